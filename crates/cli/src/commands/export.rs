//! `qbnn export`: the posterior of a run as arrays that any program reads, its networks as ONNX, or the codes of its model
//! file.

use crate::failure::usage;
use crate::session::Session;
use anyhow::Result;
use clap::{Args, ValueEnum};
use qbnn::lock::check_writable;
use qbnn::neutral::{self, Form};
use qbnn::onnx::{self, Networks};
use qbnn::output::{self, write_whole};
use qbnn::run_folder::{FLOAT, RunFolder, model_name};
use qbnn::{codes, input, named, shell};
use qbnn_bnn::Checkpoint;
use serde_json::json;
use std::path::PathBuf;

/// `export`.
#[derive(Debug, Args)]
pub struct ExportCommand {
    /// A run folder (its float network) or a checkpoint; for codes a run folder or a model file (.qbnn).
    #[arg(value_name = "RUN|CHECKPOINT|MODEL")]
    pub from: PathBuf,
    /// Kind of file [default: by the name of FILE].
    #[arg(long, value_enum, value_name = "FORM")]
    pub to: Option<FormArg>,
    /// The file. Of codes, the description beside it has the same name and ends in .json.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// ONNX: so many drawn networks side by side, and their uncertainties; 0 for the network of the means.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub draws: usize,
    /// ONNX: seed of the draws.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub seed: u64,
}

/// Names of the kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormArg {
    /// safetensors: LAYER.weight.mu, LAYER.weight.sigma, LAYER.bias.mu, LAYER.bias.sigma in PyTorch's layout.
    Safetensors,
    /// The same as numpy.savez writes it.
    Npz,
    /// ONNX, operators of version 17: pixels in, probabilities out.
    Onnx,
    /// Codes and scales of a quantized model file, as .npz and .json.
    Codes,
}

/// Exports.
pub fn export(session: &Session, args: &ExportCommand) -> Result<()> {
    let extension = args.out.extension().map(|e| e.to_ascii_lowercase());
    let form = args.to.unwrap_or(match extension.as_ref().and_then(|e| e.to_str()) {
        Some("npz") => FormArg::Npz,
        Some("onnx") => FormArg::Onnx,
        _ => FormArg::Safetensors,
    });
    if form != FormArg::Onnx && (args.draws > 0 || args.seed > 0) {
        return Err(usage("--draws and --seed: only an ONNX file holds drawn networks; add --to onnx"));
    }
    if form == FormArg::Codes {
        return export_codes(session, args);
    }
    let path = if args.from.is_dir() { RunFolder::open(&args.from)?.checkpoint(FLOAT) } else { args.from.clone() };
    named::checkpoint(&path)?;
    output::refuse_inputs("--out", &args.out, [&path])?;
    check_writable(&args.out)?;
    let checkpoint = Checkpoint::load(&path)?;
    let (name, parameters) = (model_name(&checkpoint), checkpoint.net().parameters());
    let networks = match args.draws {
        0 => Networks::Means,
        count => Networks::Draws { count, seed: args.seed },
    };
    let bytes = match form {
        FormArg::Npz => neutral::to_bytes(&checkpoint, Form::Npz)?,
        FormArg::Onnx => onnx::to_bytes(&checkpoint, networks, &name)?,
        _ => neutral::to_bytes(&checkpoint, Form::Safetensors)?,
    };
    write_whole(&args.out, &bytes)?;
    let what = match (form, args.draws) {
        (FormArg::Onnx, 0) => format!("the network of the means of {parameters} parameters"),
        (FormArg::Onnx, draws) => format!("{draws} drawn networks of {parameters} parameters"),
        _ => format!("means and standard deviations of {parameters} parameters"),
    };
    told(session, args, &name, &what, parameters, bytes.len())
}

fn export_codes(session: &Session, args: &ExportCommand) -> Result<()> {
    let is_float = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == FLOAT);
    let quantized = if args.from.is_dir() { named::models(&args.from)? } else { Vec::new() };
    let path = match &quantized.into_iter().filter(|path| !is_float(path)).collect::<Vec<_>>()[..] {
        [one] => one.clone(),
        _ => named::model(&args.from)?,
    };
    let beside = args.out.with_extension("json");
    for out in [&args.out, &beside] {
        output::refuse_inputs("--out", out, [&path])?;
        check_writable(out)?;
    }
    let bytes = input::bytes(&path, input::MODEL)?;
    let exported = codes::of_file(&path, &bytes)?;
    write_whole(&args.out, &exported.npz)?;
    let mut json = serde_json::to_vec_pretty(&exported.json)?;
    json.push(b'\n');
    if !output::is_stdout(&args.out) {
        write_whole(&beside, &json)?;
    }
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let what = format!("codes and scales, described in {}", shell::path(&beside));
    told(session, args, &name, &what, exported.parameters, exported.npz.len())
}

/// Says what was written.
fn told(session: &Session, args: &ExportCommand, name: &str, what: &str, parameters: usize, size: usize) -> Result<()> {
    if output::is_stdout(&args.out) {
        return Ok(());
    }
    if session.ui.json {
        return session
            .ui
            .json_line(&json!({ "model": name, "file": args.out, "parameters": parameters, "bytes": size }));
    }
    session.ui.result(&format!("{name}: {what} in {} ({size} bytes)", shell::path(&args.out)))
}
