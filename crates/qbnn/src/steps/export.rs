//! Export: the posterior of a run as arrays that any program reads.

use crate::error::Result;
use crate::lock::check_writable;
use crate::named;
use crate::neutral::{self, Form};
use crate::output::{self, write_whole};
use crate::run_folder::{FLOAT, RunFolder, model_name};
use qbnn_bnn::Checkpoint;
use std::path::Path;

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The model.
    pub model: String,
    /// Its weights and biases.
    pub parameters: usize,
    /// Bytes of the file.
    pub bytes: usize,
}

/// Writes means and standard deviations of the float network of a run folder, or of a checkpoint, into a file: by its name an `.npz`
/// or a safetensors file, where no form is given.
///
/// # Errors
/// A file that is no checkpoint, cannot be read or cannot be written; [`crate::Error::WouldOverwrite`].
pub fn export(from: &Path, form: Option<Form>, out: &Path) -> Result<Exported> {
    let path = if from.is_dir() { RunFolder::open(from)?.checkpoint(FLOAT) } else { from.to_owned() };
    named::checkpoint(&path)?;
    output::refuse_inputs("--out", out, [&path])?;
    check_writable(out)?;
    let is_npz = out.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"));
    let form = form.unwrap_or(if is_npz { Form::Npz } else { Form::Safetensors });
    let checkpoint = Checkpoint::load(&path)?;
    let bytes = neutral::to_bytes(&checkpoint, form)?;
    write_whole(out, &bytes)?;
    Ok(Exported { model: model_name(&checkpoint), parameters: checkpoint.net().parameters(), bytes: bytes.len() })
}
