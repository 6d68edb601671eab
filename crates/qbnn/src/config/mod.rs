//! What an experiment is: one plain struct, and the layers from which it is put together.
//!
//! Defaults and the recipe of data and network lie lowest, then the config file (or that of a run folder), then flags,
//! then `--set key.path=value`. Layers are merged as TOML tables, so that every key can be set in every layer; which
//! keys exist is read off the struct itself. Each layer is checked alone, so that an error names the file and line or
//! the flag it came from.

mod data;
mod layers;
mod settings;
mod shifts;
mod used;

pub use data::{DataConfig, TestSource};
pub use layers::Layers;
pub use settings::{Config, EvalConfig, MAX_DRAW_SEEDS, MAX_RESAMPLES, MAX_SAMPLES, NetworkConfig};
pub use shifts::{SHIFT_IMAGES, Severities, Shifts, shifted};
pub use used::check_used;

pub use qbnn_bnn::Widths;
