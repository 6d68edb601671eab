//! From images to a Gaussian posterior over weights, and from a posterior to codes.
//!
//! Prior, posterior, likelihood, gradient estimator and network are independent parts (the decomposition of TyXe, Ritter
//! et al. 2021). Nothing here prints: training emits events.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod data;
mod difference;
mod divergence;
pub mod draw;
pub mod error;
mod estimator;
pub mod export;
pub mod files;
pub mod guide;
pub mod identity;
pub mod import;
pub mod integer;
pub mod layout;
pub mod likelihood;
pub mod load;
pub mod math;
pub mod mutual_information;
pub mod nn;
pub mod noise;
pub mod optim;
pub mod pfp;
pub mod posterior;
pub mod predict;
pub mod predictor;
pub mod prior;
pub mod profile;
mod progress;
pub mod quant;

pub mod settings;
pub mod step;
pub mod stored;
pub mod train;
pub mod verify;

pub use checkpoint::Checkpoint;
pub use data::{Normalisation, TrainData};
pub use error::BnnError;
pub use guide::{Guide, ParameterBytes};
pub use nn::{Network, NetworkSpec};
pub use posterior::Posterior;
pub use qbnn_core::{ImagesView, Shape};
pub use quant::settings::{BitWidths, QuantizeSettings, Rounding, Strategy};
pub use settings::{Estimator, Labels, PosteriorKind, TrainSettings};
