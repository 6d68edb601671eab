//! From images to a Gaussian posterior over weights, and from a posterior to codes.
//!
//! Prior, posterior, likelihood, gradient estimator and network are independent parts (the decomposition of TyXe, Ritter
//! et al. 2021). Nothing here prints: training emits events.
#![deny(unsafe_code)]

pub mod error;
pub mod math;
pub mod nn;
pub mod noise;

pub use error::BnnError;
