//! One way to predict: whatever computes the class probabilities of images is a [`Predictor`].
//!
//! Five backends stand behind it. **Integer** is the runtime of a JQ model file, bit for bit what a device computes.
//! **Simulated** is a JQ network in float. **Float** draws weights in float (float, VPQ and SPQ networks). **Analytic**
//! is one probabilistic forward pass (PFP) instead of draws. **Ensemble** asks several predictors in turn. A model is
//! exported once, when it is opened ([`Export`], [`of_checkpoint`], [`of_file`]), and the backend says which of them gave
//! a figure.

mod analytic;
mod ensemble;
mod float;
mod integer;
mod interface;
mod open;
mod simulated;

pub use crate::integer::kernel;
pub use crate::progress::{NoProgress, Progress};
pub use analytic::Analytic;
pub use ensemble::Ensemble;
pub use float::Float;
pub use integer::Integer;
pub use interface::{Backend, Draws, Predictor, Probabilities};
pub use open::{Export, of_checkpoint, of_file};
pub use simulated::Simulated;
