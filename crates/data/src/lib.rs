//! Image sets for uncertainty: IDX files, the dirty sets, an embedded synthetic set, downloads.
//!
//! This crate turns files (or a seed) into plain arrays of 8-bit pixels and labels. It knows no model, never prints,
//! and reads every file as if it were hostile: sizes are checked before anything is allocated, and whatever is wrong
//! comes back as one [`DataError`] on one line.
//!
//! A [`Dataset`] has a training set, a validation group and any number of named test groups, each with a [`Role`]. The way
//! through: [`Catalogue`] holds a [`Descriptor`] of every built-in set, [`Locations`] says where sets are searched,
//! [`fn@load`] puts a dataset together by name, [`list`] tells what is there, and [`fn@fetch`] downloads what is not.
//!
//! ```
//! use qbnn_data::{Limits, Locations, Role, load};
//! # fn main() -> Result<(), qbnn_data::DataError> {
//! // `strokes` is drawn here and needs no files; `dirty-mnist` is searched for at the locations.
//! let dataset = load("strokes", &Locations::from_environment(None, None), 1, Limits::default())?;
//! for group in &dataset.groups {
//!     println!("{} ({}): {} images", group.name, group.role, group.images.len());
//! }
//! assert_eq!(dataset.classes(), 10);
//! assert!(dataset.first(Role::Ood).is_some());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod compose;
mod dataset;
mod descriptor;
mod error;
mod exif;
mod fetch;
pub mod file_kind;
pub mod files;
pub mod idx;
mod images;
mod jpeg;
mod locations;
pub mod npy;
pub mod npz_write;
pub mod own;
pub mod picture;
pub mod pt;
mod random;
mod read;
pub mod shift;
pub mod strokes;
mod summary;
pub mod synthetic_ood;
pub mod tensor_file;

pub use compose::{Extent, load, load_divided};
pub use dataset::{Ambiguous, CLASSES, Dataset, Labelled, LeftOut, Limits, PixelStatistics, Role, TestGroup, TrainSet};
pub use descriptor::{
    Catalogue, Composition, Descriptor, Download, Drawn, Generator, Half, Holds, SetFile, SetFiles, Tensors,
    TestDescriptor,
};
pub use error::DataError;
pub use fetch::{FetchEvent, OnEvent, fetch};
pub use images::Images;
pub use locations::{FileReport, Locations, Origin, ROOT_VARIABLE, SetLocation, SetReport, list};
pub use read::{SUM_TOLERANCE, load_ambiguous, load_images, load_labelled};
pub use summary::{Part, Summary};
