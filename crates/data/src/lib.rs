//! Image sets for uncertainty: IDX files, the dirty sets, an embedded synthetic set, downloads.
//!
//! This crate turns files (or a seed) into plain arrays of 8-bit pixels and labels. It knows no model, never prints,
//! and reads every file as if it were hostile: sizes are checked before anything is allocated, and whatever is wrong
//! comes back as one [`DataError`] on one line.
//!
//! The way through: [`Locations`] says where sets are searched, [`fn@load`] puts a [`Dataset`] together by name,
//! [`list`] tells what is there, and [`fn@fetch`] downloads what is not.
//!
//! ```no_run
//! use qbnn_data::{Limits, Locations, load};
//! # fn main() -> Result<(), qbnn_data::DataError> {
//! let dataset = load("dirty-mnist", &Locations::from_environment(None, None), 1, Limits::default())?;
//! println!("{} pairs, {} OOD images", dataset.train.pairs.len(), dataset.ood.images.len());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod compose;
mod error;
mod fetch;
pub mod files;
pub mod idx;
pub mod picture;
pub mod pt;
mod random;
mod set;
pub mod strokes;
pub mod synthetic_ood;

pub use compose::{DATASETS, Dataset, Group, Images, Labelled, Limits, TRAIN_NOISE, TrainSet, VALIDATION, load};
pub use error::DataError;
pub use fetch::{FetchEvent, Mirrors, OnEvent, fetch};
pub use set::{
    Ambiguous, CLASSES, DRAWN, FileReport, Half, Locations, Origin, ROOT_VARIABLE, SUM_TOLERANCE, Set, SetLocation,
    SetReport, list, load_ambiguous, load_images, load_labelled,
};
