//! Model files at the command line: written beside checkpoints, read with the file's name in every error.

use crate::run_folder::RunFolder;
use anyhow::{Context, Result, bail};
use qbnn_bnn::Checkpoint;
use qbnn_bnn::lower::lower;
use qbnn_core::model::Model;
use std::path::{Path, PathBuf};

/// Writes the model file of a checkpoint; `None` for one that no file can hold.
pub fn write(folder: &RunFolder, name: &str, checkpoint: &Checkpoint) -> Result<Option<PathBuf>> {
    let Ok(file) = lower(checkpoint) else { return Ok(None) };
    let path = folder.path().join(format!("{name}.qbnn"));
    let part = folder.path().join(format!("{name}.qbnn.part"));
    std::fs::write(&part, file)
        .and_then(|()| std::fs::rename(&part, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(path))
}

/// The bytes of a model file, checked; [`Model::new`] cannot fail on them.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Err(e) = Model::new(&bytes) {
        bail!("{} {e}", path.display());
    }
    Ok(bytes)
}

/// The model of bytes that [`read`] gave.
pub fn model(bytes: &[u8]) -> Result<Model<'_>> {
    Ok(Model::new(bytes)?)
}
