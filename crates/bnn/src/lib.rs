//! From images to a Gaussian posterior over weights, and from a posterior to codes.
//!
//! Prior, posterior, likelihood, gradient estimator and network are independent parts (the decomposition of TyXe, Ritter
//! et al. 2021). Nothing here prints: training emits events.
//!
//! [`Checkpoint`] is a training in progress, [`train`] moves it, [`Checkpoint::quantized`] puts grids between posterior and
//! draw, [`export()`] writes the model file that a device runs, and [`predictor`] gives class probabilities. A network that
//! learns to tell bright images from dark ones, in 4 bits:
//!
//! ```
//! use qbnn_bnn::predictor::{Draws, NoProgress, of_file};
//! use qbnn_bnn::train::train;
//! use qbnn_bnn::{
//!     Checkpoint, ImagesView, NetworkSpec, Normalisation, QuantizeSettings, Shape, TrainData, TrainSettings, export,
//! };
//! use std::ops::ControlFlow;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // 64 images of 4 x 4 pixels, [image][row][column][channel]; every other one is bright.
//! let shape = Shape { channels: 1, rows: 4, columns: 4 };
//! let labels: Vec<u16> = (0..64).map(|i| i % 2).collect();
//! let pixels: Vec<u8> = (0..64 * 16).map(|i| (i * 37 % 90 + i / 16 % 2 * 120) as u8).collect();
//! let images = ImagesView { shape, pixels: &pixels };
//! let pairs: Vec<(u32, u16)> = (0..).zip(labels.iter().copied()).collect();
//! let data = TrainData::of_pairs(images, &pairs, images, &labels);
//!
//! let network: NetworkSpec = serde_json::from_str(
//!     r#"{ "name": "tiny", "layer": [
//!         { "type": "dense", "out": 8 }, { "type": "relu" }, { "type": "dense", "out": 2 }
//!     ] }"#,
//! )?;
//! let pixels = Normalisation { mean: 0.4, std: 0.25 };
//! let settings = TrainSettings { epochs: 20, batch: 32, learning_rate: 2e-2, ..TrainSettings::default() };
//! let mut float = Checkpoint::new(&network, shape, 2, pixels, 1, settings)?;
//! train(&mut float, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;
//!
//! // Joint quantization (JQ) to 4 bits, calibrated and trained through the quantizers.
//! let mut quantized = Checkpoint::quantized(float, QuantizeSettings::default(), &data)?;
//! train(&mut quantized, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;
//! let file = export(&quantized)?;
//!
//! let mut model = of_file(file)?;
//! let result = model.predict(images, Draws { count: 16, seed: 1 }, &mut NoProgress)?;
//! let bright = result.of_image(1).map(|row| row[1]).sum::<f64>() / result.draws as f64;
//! assert!(bright > 0.9, "{bright}");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod calibrate;
mod checkpoint;
mod data;
mod difference;
mod divergence;
mod draw;
mod drawn;
mod error;
mod estimator;
mod export;
mod files;
mod given;
mod guide;
mod identity;
mod import;
mod integer;
#[doc(hidden)]
pub mod internals;
mod layout;
mod likelihood;
mod load;
mod math;
mod mutual_information;
mod nn;
mod noise;
mod optim;
pub mod pfp;
mod posterior;
mod predict;
pub mod predictor;
mod prior;
mod profile;
mod progress;
mod quant;
mod settings;
mod step;
mod stored;
pub mod train;
pub mod verify;

pub use checkpoint::Checkpoint;
pub use data::{Normalisation, TrainData};
pub use difference::Difference;
pub use error::BnnError;
pub use export::export;
pub use given::GivenPosterior;
pub use guide::ParameterBytes;
pub use identity::Origin;
pub use import::{Imported, import};
pub use nn::{Activation, LayerSpec, Network, NetworkSpec, OpSpec};
pub use qbnn_core::{ImagesView, Shape};
pub use quant::settings::{
    BitWidths, Calibration, QuantizeSettings, Rounding, Scale, SigmaGrid, Start, Strategy, Widths,
};
pub use settings::{Estimator, Labels, PosteriorKind, TrainSettings};
