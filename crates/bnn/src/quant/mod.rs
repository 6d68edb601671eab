//! Quantizers of the guide: grids on real numbers, their straight-through gradients, and the strategies built of them.
//!
//! Every range of codes comes from `qbnn_core`; what is added here is the real-valued side: scales that are calibrated
//! or learned. Scales are learned as log2, so that none can cross zero; a range's ends are a top and a positive step,
//! so that they cannot change places.
//!
//! Grids: [`uniform`] and [`log`]. What lies on them: [`mu`], [`sigma`] (standard deviations), [`weight`] (drawn
//! weights), [`activation`]; each is a type with its parameters, its gradient and its calibration. [`Quantizers`] joins
//! them as the [`settings`] say.

pub mod activation;
mod file;
pub mod fit;
pub mod gradient;
pub mod limits;
pub mod log;
pub mod mu;
pub mod params;
pub mod quantizers;
pub mod settings;
pub mod sigma;
pub mod uniform;
pub mod weight;

pub use quantizers::Quantizers;
