//! qbnn as a library: from images to a small Bayesian network whose uncertainty is measured.
//!
//! [`steps`] are what a front end takes: a whole training, quantization, evaluation or import, as the command line has them.
//! Below them, an experiment is a [`config::Config`]. [`training`] turns it into checkpoints and model files in a
//! [`run_folder::RunFolder`], [`evaluate`] measures them, [`report`] draws their page, and [`sweep`] repeats all of it
//! over settings and seeds. [`external`] measures the predictions of any other program.
//!
//! Nothing here prints. What happens is told to an [`Observer`], which also says when to stop; what goes wrong is an
//! [`Error`].
//!
//! A network that is trained on a few embedded images, quantized to 4 bits, and measured:
//!
//! ```
//! use qbnn::config::Layers;
//! use qbnn::opened::Model;
//! use qbnn::preprocess::Prepared;
//! use qbnn::run_folder::{FLOAT, RunFolder, model_name};
//! use qbnn::training::TrainingContext;
//! use qbnn::{Silent, evaluate, experiment};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let out = temporary.path().join("run");
//! let mut settings = Layers::default();
//! for setting in [
//!     "data.name = strokes",
//!     "data.train_limit = 500",
//!     "data.group_limit = 100",
//!     "network.name = mlp",
//!     "train.epochs = 1",
//!     "quantize.epochs = 1",
//!     "eval.samples = 4",
//! ] {
//!     settings.set(setting)?;
//! }
//! let config = settings.finish()?;
//! let dataset = experiment::load(&config)?;
//! let data = Prepared::new(&dataset);
//! let (network, _) = experiment::network(&config, &data)?;
//!
//! let folder = RunFolder::make(Some(&out), &config.name, false, &config.to_toml()?)?;
//! let context = TrainingContext { observer: &Silent, folder: &folder, data: &data, go_on: "qbnn run --resume" };
//! let float = context.float(&config, &network)?;
//! let quantized = context.quantized(float.clone(), &config)?;
//!
//! let name = model_name(&quantized);
//! let models = [(FLOAT.to_owned(), float), (name.clone(), quantized)];
//! let models = models.map(|(name, checkpoint)| (name, Model::Checkpoint(Box::new(checkpoint))));
//! let result = evaluate::evaluate_models(&Silent, &models, &data, config.eval, None, config.seed, "qbnn eval")?;
//! for model in &result.metrics.models {
//!     let accuracy = model.value(qbnn_eval::Headline::Accuracy);
//!     println!("{}: accuracy {accuracy:?}, {} bytes", model.name, model.bytes());
//! }
//! # assert!(folder.model_file(&name).is_file());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod backend;
pub mod calibrate;
pub mod codes;
pub mod comparison;
pub mod config;
pub mod consistency;
pub mod decided;
pub mod draws_file;
pub mod ensemble;
pub mod environment;
pub mod error;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod external;
pub mod import;
pub mod input;
pub mod inspect;
mod keys;
pub mod labels;
pub mod lock;
pub mod model_file;
pub mod model_source;
pub mod named;
pub mod neutral;
pub mod observer;
pub mod onnx;
pub mod ood;
pub mod opened;
pub mod output;
pub mod pass_check;
pub mod pictures;
pub mod predict;
pub mod predictions_file;
pub mod preprocess;
pub mod provenance;
pub mod recipe;
pub mod report;
pub mod run_folder;
pub mod shell;
pub mod steps;
pub mod sweep;
pub mod training;
pub mod wording;

pub use error::{Error, Result};
pub use observer::{Event, Observer, Silent};
