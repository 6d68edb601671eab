//! Model files at the command line: written beside checkpoints, read with the file's name in every error.

use crate::run_folder::RunFolder;
use anyhow::{Context, Result, bail};
use qbnn_bnn::lower::lower;
use qbnn_bnn::{Checkpoint, machine};
use qbnn_core::model::Model;
use std::path::{Path, PathBuf};

/// Writes the model file of a quantized checkpoint that the integer machine can run; `None` for any other.
pub fn write(folder: &RunFolder, name: &str, checkpoint: &Checkpoint) -> Result<Option<PathBuf>> {
    if !machine::runs(checkpoint) {
        return Ok(None);
    }
    let path = folder.path().join(format!("{name}.qbnn"));
    let part = folder.path().join(format!("{name}.qbnn.part"));
    std::fs::write(&part, lower(checkpoint)?)
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
