//! Import: a posterior that another program trained becomes a run folder.

use super::{Beginning, Caller, NewRun};
use crate::config::Layers;
use crate::error::Result;
use crate::experiment;
use crate::import::assign::Taking;
use crate::import::check::Reference;
use crate::import::{self as posterior, Given, Import, Layout, Record, Told};
use crate::observer::Event;
use crate::preprocess::Prepared;
use std::path::PathBuf;

/// What is to be imported, and what is told of it.
#[derive(Default)]
pub struct Importing {
    /// The file.
    pub file: PathBuf,
    /// How its tensors are recognised.
    pub told: Told,
    /// The layout of its weights, over what its library says.
    pub layout: Option<Layout>,
    /// Of the source: pixels, prior, activation functions.
    pub given: Given,
    /// How layers are taken.
    pub taking: Taking,
    /// An `.npz` of images and the logits that the source gives with every weight at its mean, to compare.
    pub check: Option<PathBuf>,
    /// Whether the readings of sigma are compared by their ELBO.
    pub elbo: bool,
}

/// What came of it.
pub struct Imported {
    /// What became of every tensor.
    pub record: Record,
    /// The run folder, if it was made.
    pub folder: Option<PathBuf>,
}

/// Imports a posterior with settings that name data and, as far as it is named, the network. Without a place everything is read,
/// compared and told, and nothing written.
///
/// # Errors
/// Those of [`posterior::read`], [`Given::put`], [`Import::new`], [`Import::check`] and [`Import::write`].
pub fn import(caller: &Caller<'_>, asked: &Importing, mut layers: Layers, place: Option<&NewRun>) -> Result<Imported> {
    let observer = caller.observer;
    place.map_or(Ok(()), NewRun::check)?;
    let found = posterior::read(&asked.file, &asked.told, asked.layout)?;
    asked.given.put(&asked.file, &found, &mut layers)?;
    let is_named = layers.names_network();
    let mut config = layers.finish()?;
    let dataset = experiment::load(&config)?;
    let data = Prepared::new(&dataset);
    for line in asked.given.network(&asked.file, &found, is_named, &mut config, &data)? {
        observer.warn(&line);
    }
    let reference = asked.check.as_deref().map(Reference::read).transpose()?;
    let mut imported = Import::new(&asked.file, &found, &config, &data, &asked.taking)?;
    if let Some(reference) = &reference {
        imported.check(reference)?;
    }
    imported.settle()?;
    if asked.elbo {
        imported.rank(observer, &found, &data, &asked.taking)?;
    }
    let network = imported.checkpoint.net();
    observer.event(Event::Begins(Beginning { config: &config, data: &data, network, trains: false }));
    imported.record.notes.iter().for_each(|note| observer.note(note));
    imported.record.warnings.iter().for_each(|warning| observer.warn(warning));
    let Some(place) = place else { return Ok(Imported { record: imported.record, folder: None }) };
    let folder = place.make(&mut config)?;
    let record = imported.write(observer, &folder, &data)?;
    caller.record(&folder)?;
    Ok(Imported { record, folder: Some(folder.path().to_owned()) })
}
