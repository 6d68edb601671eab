//! Calibration: what a finished model decides, measured and stored in its file.

use super::OnTopOf;
use crate::calibrate::{self as decisions, Calibrated, Settings};
use crate::error::{Error, Result};
use crate::lock::check_writable;
use crate::observer::Observer;
use crate::preprocess::Prepared;
use crate::run_folder::RunFolder;
use crate::{experiment, named};
use std::path::{Path, PathBuf};

/// The model file that is meant, where it is to be written, and the lock of its run folder while that is done.
fn target(model: &Path, out: Option<&Path>) -> Result<(PathBuf, PathBuf, Option<crate::run_folder::Held>)> {
    let path = named::model(model)?;
    let out = out.map_or_else(|| path.clone(), Path::to_owned);
    check_writable(&out)?;
    let folder = RunFolder::of_checkpoint(&path);
    // A run's own model file is written while no other command writes in the folder.
    let held = if folder.config().is_some() && out == path { Some(folder.hold()?) } else { None };
    Ok((path, out, held))
}

/// Measures a model file on the data of its run folder, with settings on top, and stores what it decides: in the file, or in
/// another one. Gives the figures and the file that was written.
///
/// # Errors
/// [`Error::Asked`] where nothing names the data; those of [`decisions::measure`] and [`decisions::store`].
pub fn calibrate(
    observer: &dyn Observer,
    model: &Path,
    out: Option<&Path>,
    asked: &Settings,
    settings: OnTopOf<'_>,
) -> Result<(Calibrated, PathBuf)> {
    let (path, out, _held) = target(model, out)?;
    let own = RunFolder::of_checkpoint(&path).config();
    let layers = settings(own.as_deref())?;
    if own.is_none() && !layers.names_data() {
        let shown = path.display();
        let problem = format!("no config.toml lies beside {shown}; name the data to measure on with --data");
        return Err(Error::asked(problem));
    }
    let dataset = experiment::load(&layers.finish()?)?;
    let data = Prepared::new(&dataset);
    let found = decisions::measure(observer, &path, &data, asked)?;
    decisions::store(&path, &out, &found, &dataset.class_names)?;
    Ok((found, out))
}

/// Takes the decisions out of a model file, in place or into another one, and gives the file that was written.
///
/// # Errors
/// Those of [`decisions::remove`].
pub fn remove_decisions(model: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let (path, out, _held) = target(model, out)?;
    decisions::remove(&path, &out)?;
    Ok(out)
}
