//! Model files: written beside checkpoints, read with the file's name in every error.
//!
//! A model file and its checkpoint lie side by side under one name. The checkpoint keeps the SHA-256 of its file from the
//! moment at which its training is finished, and whoever reads one of the two compares it with the other.

use crate::calibrate::worth_naming;
use crate::error::{At, Error, Result};
use crate::observer::Observer;
use crate::run_folder::{RunFolder, classes_beside};
use crate::{export, input, shell};
use qbnn_bnn::internals::files;
use qbnn_bnn::internals::identity::sha256;
use qbnn_bnn::internals::nn::limit::MAX_VALUES;
use qbnn_bnn::verify::network_of;
use qbnn_bnn::{Checkpoint, ImagesView};
use qbnn_core::model::write_section::{Content, with_section};
use qbnn_core::model::{Model, ModelError};
use std::path::{Path, PathBuf};

/// Sees to it that the model file of a finished checkpoint, checked on training images, lies beside it, and that the
/// checkpoint knows it; `None` for a float network that no file can hold, which is said, or whose file is there already.
///
/// # Errors
/// As [`export::file`]; [`Error::Io`]; a checkpoint that cannot be written.
pub fn settle(
    observer: &dyn Observer,
    folder: &RunFolder,
    name: &str,
    checkpoint: &mut Checkpoint,
    images: ImagesView<'_>,
) -> Result<Option<PathBuf>> {
    let file = export::file(observer, name, checkpoint, images);
    let Ok(Some(file)) = file else {
        remove(folder, name)?;
        return file.map(|_| None);
    };
    let path = folder.model_file(name);
    let hash = sha256(&file);
    if checkpoint.model_file.as_ref() != Some(&hash) {
        // A file that is there is not of this checkpoint: it goes before the checkpoint says what is.
        remove(folder, name)?;
        checkpoint.model_file = Some(hash);
        checkpoint.save(&folder.checkpoint(name))?;
    } else if files::read(&path, input::MODEL).is_ok_and(|there| network_of(&there) == file) {
        // With whatever it decides.
        return Ok(None);
    }
    let file = named(&path, file)?;
    files::replace(&path, &file).map_err(Error::io("write", &path))?;
    Ok(Some(path))
}

/// A new model file with the names of its classes, which lie beside it where they are more than their numbers.
fn named(path: &Path, file: Vec<u8>) -> Result<Vec<u8>> {
    let model = of_file(path, &file)?;
    let class_names = worth_naming(&classes_beside(path, model.classes())?);
    if class_names.is_empty() {
        return Ok(file);
    }
    let content = Content { class_names, ..Content::default() };
    with_section(&model, &content)
        .map_err(|e| Error::contents(path, format!("cannot hold the names of its classes: {e}")))
}

/// Removes the model file of a checkpoint that is about to change.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(folder: &RunFolder, name: &str) -> Result<()> {
    let path = folder.model_file(name);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(e)),
        _ => Ok(()),
    }
}

/// Refuses a checkpoint beside whose file lies a model file that is not of it.
///
/// # Errors
/// [`Error::Stale`]; a model file that cannot be read.
pub fn check_beside(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let beside = path.with_extension("qbnn");
    if !beside.is_file() {
        return Ok(());
    }
    let file = input::bytes(&beside, input::MODEL)?;
    checkpoint.owns(&file).map_err(|why| stale(&beside, path, why))
}

fn stale(file: &Path, checkpoint: &Path, why: String) -> Error {
    let folder = RunFolder::of_checkpoint(checkpoint);
    let fix = match folder.config() {
        Some(_) => {
            format!("`qbnn train --resume {}` writes it again, or move it elsewhere", shell::path(folder.path()))
        }
        None => "move one of them elsewhere".to_owned(),
    };
    Error::Stale { file: file.to_owned(), checkpoint: checkpoint.to_owned(), why, fix }
}

/// The bytes of a model file, checked; [`Model::new`] cannot fail on them.
///
/// # Errors
/// [`Error::Io`]; [`Error::Model`] or [`Error::Contents`] of a file that is no model or too large; [`Error::Stale`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = input::bytes(path, input::MODEL)?;
    check(path, &bytes)?;
    check_checkpoint(path, &bytes)?;
    Ok(bytes)
}

/// Refuses bytes that are no model, or too large a one.
pub(crate) fn check(path: &Path, bytes: &[u8]) -> Result<()> {
    check_size(path, &of_file(path, bytes)?)
}

/// The model of bytes that [`read`] gave.
///
/// # Errors
/// None of such bytes; what is wrong with others.
pub fn model(bytes: &[u8]) -> Result<Model<'_>, ModelError> {
    Model::new(bytes)
}

/// The model of a file's bytes.
pub(crate) fn of_file<'a>(path: &Path, bytes: &'a [u8]) -> Result<Model<'a>> {
    Model::new(bytes).map_err(|error| Error::Model { path: path.to_owned(), error })
}

/// Refuses a model whose layers would take more memory than any network that this program makes.
fn check_size(path: &Path, model: &Model<'_>) -> Result<()> {
    let numbers = |shape: qbnn_core::model::Shape| shape.len() as u128;
    let found = model.iter().map(|layer| numbers(layer.shape)).sum::<u128>() + numbers(model.input());
    if found > MAX_VALUES as u128 {
        let problem = format!("has {found} numbers an image, wanted at most {MAX_VALUES}; write the model file again");
        return Err(Error::contents(path, problem));
    }
    Ok(())
}

/// Refuses a model file that is not of the checkpoint beside it.
fn check_checkpoint(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("safetensors");
    if path.extension().is_none_or(|e| e != "qbnn") || !beside.is_file() || !Checkpoint::is_one(&beside)? {
        return Ok(());
    }
    let checkpoint = Checkpoint::load(&beside)
        .at(|| format!("cannot tell whether {} is of the checkpoint beside it", path.display()))?;
    checkpoint.owns(bytes).map_err(|why| stale(path, &beside, why))
}
