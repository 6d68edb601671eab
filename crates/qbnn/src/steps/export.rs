//! Export: the posterior of a run as arrays that any program reads, its networks as ONNX, or the codes of its model file.

use crate::error::{Error, Result};
use crate::lock::check_writable;
use crate::neutral;
use crate::onnx::{self, Networks};
use crate::output::{self, write_whole};
use crate::run_folder::{FLOAT, RunFolder, model_name};
use crate::{codes, input, named};
use qbnn_bnn::Checkpoint;
use std::path::{Path, PathBuf};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Means and standard deviations as safetensors or `.npz`.
    Arrays(neutral::Form),
    /// Networks as ONNX.
    Onnx(Networks),
    /// Codes and scales of a quantized model file as `.npz`, their description beside it as `.json`.
    Codes,
}

impl Form {
    /// By the name of a file: `.npz`, `.onnx`, else safetensors.
    pub fn of(out: &Path) -> Self {
        let is = |wanted: &str| out.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted));
        match () {
            () if is("npz") => Form::Arrays(neutral::Form::Npz),
            () if is("onnx") => Form::Onnx(Networks::Means),
            () => Form::Arrays(neutral::Form::Safetensors),
        }
    }
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The model.
    pub model: String,
    /// Its weights and biases.
    pub parameters: usize,
    /// Bytes of the file.
    pub bytes: usize,
    /// The description of codes.
    pub beside: Option<PathBuf>,
}

/// Writes a run folder's float network, a checkpoint, or the codes of a model file into a file: by its name, where no form is given.
///
/// # Errors
/// A file that is no checkpoint or model file, cannot be read or cannot be written; [`crate::Error::WouldOverwrite`]; those of
/// [`onnx::to_bytes`] and [`codes::of_file`].
pub fn export(from: &Path, form: Option<Form>, out: &Path) -> Result<Exported> {
    let form = form.unwrap_or_else(|| Form::of(out));
    if form == Form::Codes {
        return export_codes(from, out);
    }
    let path = if from.is_dir() { RunFolder::open(from)?.checkpoint(FLOAT) } else { from.to_owned() };
    named::checkpoint(&path)?;
    output::refuse_inputs("--out", out, [&path])?;
    check_writable(out)?;
    let checkpoint = Checkpoint::load(&path)?;
    let model = model_name(&checkpoint);
    let bytes = match form {
        Form::Arrays(form) => neutral::to_bytes(&checkpoint, form)?,
        Form::Onnx(networks) => onnx::to_bytes(&checkpoint, networks, &model)?,
        Form::Codes => Vec::new(),
    };
    write_whole(out, &bytes)?;
    Ok(Exported { model, parameters: checkpoint.net().parameters(), bytes: bytes.len(), beside: None })
}

/// Of a run folder the one quantized model.
fn export_codes(from: &Path, out: &Path) -> Result<Exported> {
    let is_float = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == FLOAT);
    let quantized = if from.is_dir() { named::models(from)? } else { Vec::new() };
    let path = match &quantized.into_iter().filter(|path| !is_float(path)).collect::<Vec<_>>()[..] {
        [one] => one.clone(),
        _ => named::model(from)?,
    };
    let beside = out.with_extension("json");
    for out in [out, &beside] {
        output::refuse_inputs("--out", out, [&path])?;
        check_writable(out)?;
    }
    let bytes = input::bytes(&path, input::MODEL)?;
    let exported = codes::of_file(&path, &bytes)?;
    write_whole(out, &exported.npz)?;
    let json = serde_json::to_vec_pretty(&exported.json).map_err(|e| Error::contents(&path, e.to_string()))?;
    if !output::is_stdout(out) {
        write_whole(&beside, &[&json[..], b"\n"].concat())?;
    }
    let model = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Ok(Exported { model, parameters: exported.parameters, bytes: exported.npz.len(), beside: Some(beside) })
}
