//! Model files: written beside checkpoints, read with the file's name in every error.
//!
//! A model file and its checkpoint lie side by side under one name. The checkpoint keeps the SHA-256 of its file from the
//! moment at which its training is finished, and whoever reads one of the two compares it with the other.

use crate::observer::Observer;
use crate::run_folder::RunFolder;
use crate::{export, input, shell};
use anyhow::{Context, Result, anyhow, bail};
use qbnn_bnn::identity::sha256;
use qbnn_bnn::nn::limit::MAX_VALUES;
use qbnn_bnn::{Checkpoint, ImagesView, files};
use qbnn_core::model::Model;
use std::path::{Path, PathBuf};

/// Sees to it that the model file of a finished checkpoint, checked on training images, lies beside it, and that the
/// checkpoint knows it; `None` for a float network that no file can hold, which is said, or whose file is there already.
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
    } else if files::read(&path, input::MODEL).is_ok_and(|there| there == file) {
        return Ok(None);
    }
    files::replace(&path, &file).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(path))
}

/// Removes the model file of a checkpoint that is about to change.
pub fn remove(folder: &RunFolder, name: &str) -> Result<()> {
    let path = folder.model_file(name);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Refuses a checkpoint beside whose file lies a model file that is not of it.
///
/// # Errors
/// One line that names the model file, what is wrong with it, and the fix.
pub fn check_beside(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let beside = path.with_extension("qbnn");
    if !beside.is_file() {
        return Ok(());
    }
    let file = input::bytes(&beside, input::MODEL)?;
    checkpoint.owns(&file).map_err(|why| stale(&beside, path, &why))
}

fn stale(file: &Path, checkpoint: &Path, why: &str) -> anyhow::Error {
    let folder = RunFolder::of_checkpoint(checkpoint);
    let again = match folder.config() {
        Some(_) => {
            format!("`qbnn train --resume {}` writes it again, or move it elsewhere", shell::path(folder.path()))
        }
        None => "move one of them elsewhere".to_owned(),
    };
    anyhow!("{} {why} ({}); {again}", file.display(), checkpoint.display())
}

/// The bytes of a model file, checked; [`Model::new`] cannot fail on them.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = input::bytes(path, input::MODEL)?;
    match Model::new(&bytes) {
        Ok(model) => check_size(&model).map_err(|e| anyhow!("{} {e}", path.display()))?,
        Err(e) => bail!("{} {e}", path.display()),
    }
    check_checkpoint(path, &bytes)?;
    Ok(bytes)
}

/// The model of bytes that [`read`] gave.
pub fn model(bytes: &[u8]) -> Result<Model<'_>> {
    Ok(Model::new(bytes)?)
}

/// Refuses a model whose layers would take more memory than any network that this program makes.
fn check_size(model: &Model<'_>) -> Result<()> {
    let numbers = |shape: qbnn_core::model::Shape| shape.len() as u128;
    let found = model.iter().map(|layer| numbers(layer.shape)).sum::<u128>() + numbers(model.input());
    if found > MAX_VALUES as u128 {
        bail!("has {found} numbers an image, wanted at most {MAX_VALUES}; write the model file again");
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
        .with_context(|| format!("cannot tell whether {} is of the checkpoint beside it", path.display()))?;
    checkpoint.owns(bytes).map_err(|why| stale(path, &beside, &why))
}
