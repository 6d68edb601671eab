//! Posteriors that other programs trained: from their files to a run folder that `quantize`, `eval`, `check` and `report`
//! take like one of our own.
//!
//! The way, each step a module: `source` finds the arrays of a file, `recognise` tells the library by their names
//! (`family`, `flat`) and by which rule (`rules`) standard deviations are stored, `assign` gives each layer of the
//! network its layer of the file (`choose`), in our layout (`layout`), batch normalisation (`norms`) folded in (`batch_norm`).
//! Files of one's own are read by names that say what they are (`pairs`).
//! A mapping by hand (`map`) takes the place of recognition. `check` compares the network with its source, `elbo` the
//! readings of sigma with each other. `write`(mod@write) makes the run folder and says in `import.json` what became of every tensor.
//!
//! Nothing is guessed in silence. What a file does not say (how pixels became inputs, how an unconstrained number became a
//! standard deviation) has to be said, and what cannot be one Gaussian per weight is refused with the reason.

pub mod assign;
pub mod batch_norm;
pub mod check;
mod choose;
pub mod elbo;
pub mod family;
mod flat;
pub mod found;
pub mod layout;
pub mod map;
mod names;
pub mod network;
mod norms;
mod pairs;
pub mod recognise;
pub mod rules;
pub mod settings;
mod source;
pub mod write;

pub use family::Family;
pub use found::Found;
pub use layout::Layout;
pub use map::Map;
pub use recognise::Told;
pub use rules::SigmaRule;
pub use settings::Given;
pub use write::{Import, Record};

use crate::error::{Error, Result};
use crate::neutral::{Description, KEY};
use qbnn_data::tensor_file::{self, Content};
use std::path::Path;

/// Reads what a file says of a posterior.
///
/// # Errors
/// [`Error::Data`] of a file that cannot be read; [`Error::Posterior`] of one that holds no posterior of one Gaussian per
/// weight, or does not say enough.
pub fn read(path: &Path, told: &Told, layout: Option<Layout>) -> Result<Found> {
    let file = tensor_file::read(path)?;
    let read = || match &told.map {
        Some(map) => map.found(&source::Source::of(&file, told)?, told.sigma),
        None => recognise::recognise(&file, told),
    };
    let mut found = read().map_err(|problem| Error::posterior(path, problem))?;
    if let Some(layout) = layout {
        found.layout = layout;
    }
    norms::place(&mut found, told).map_err(|problem| Error::posterior(path, problem))?;
    let of_metadata = file.metadata.iter().find(|(key, _)| key == KEY).map(|(_, json)| json.as_str());
    let of_array = match file.root.get(KEY) {
        Some(Content::Text(json)) => Some(json.as_str()),
        _ => None,
    };
    let described = of_metadata.or(of_array).map(Description::read).transpose();
    found.described = described.map_err(|problem| Error::posterior(path, problem))?;
    Ok(found)
}
