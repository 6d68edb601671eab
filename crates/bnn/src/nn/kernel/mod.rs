//! The register tiles that every product of a layer is made of.
//!
//! With the images innermost, a dense layer, a convolution, and the gradient of either's input are one thing: an output
//! *run* (32 floats, one per image) is a sum of input runs, each times one weight. [`gather()`] takes six outputs at a
//! time, so that every run that is loaded meets six weights and every weight two vectors, and nothing but the results
//! is ever written: no patches are copied, no matrix is packed. A dense layer's weight gradient is the same sum once
//! more, with images and features exchanged. The weight gradient of a convolution sums over the images instead, and so
//! is its own tile, [`correlate()`].
//!
//! All sums are taken in an order that depends on the sizes alone.

mod correlate;
mod gather;
mod run;

pub use correlate::{Plane, correlate};
pub use gather::{Axis, Start, Sum, Window, gather, outer, slide, widths};
pub(crate) use run::lanes;
pub use run::{RUN, Run, runs, runs_mut, transpose};
