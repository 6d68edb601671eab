//! `qbnn export`: the posterior of a run as arrays that any program reads.

use crate::session::Session;
use anyhow::Result;
use clap::{Args, ValueEnum};
use qbnn::lock::check_writable;
use qbnn::neutral::{self, Form};
use qbnn::output::{self, write_whole};
use qbnn::run_folder::{FLOAT, RunFolder, model_name};
use qbnn::{named, shell};
use qbnn_bnn::Checkpoint;
use serde_json::json;
use std::path::PathBuf;

/// `export`.
#[derive(Debug, Args)]
pub struct ExportCommand {
    /// A run folder (its float network) or a checkpoint.
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub from: PathBuf,
    /// Kind of file [default: by the name of FILE].
    #[arg(long, value_enum, value_name = "FORM")]
    pub to: Option<FormArg>,
    /// The file: LAYER.weight.mu, LAYER.weight.sigma, LAYER.bias.mu, LAYER.bias.sigma in PyTorch's layout.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Names of the kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormArg {
    /// safetensors.
    Safetensors,
    /// numpy.savez.
    Npz,
}

/// Exports.
pub fn export(session: &Session, args: &ExportCommand) -> Result<()> {
    let path = if args.from.is_dir() { RunFolder::open(&args.from)?.checkpoint(FLOAT) } else { args.from.clone() };
    named::checkpoint(&path)?;
    output::refuse_inputs("--out", &args.out, [&path])?;
    check_writable(&args.out)?;
    let is_npz = args.out.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"));
    let form = args.to.unwrap_or(if is_npz { FormArg::Npz } else { FormArg::Safetensors });
    let form = match form {
        FormArg::Safetensors => Form::Safetensors,
        FormArg::Npz => Form::Npz,
    };
    let checkpoint = Checkpoint::load(&path)?;
    let bytes = neutral::to_bytes(&checkpoint, form)?;
    write_whole(&args.out, &bytes)?;
    let (name, parameters, size) = (model_name(&checkpoint), checkpoint.net().parameters(), bytes.len());
    if output::is_stdout(&args.out) {
        return Ok(());
    }
    if session.ui.json {
        return session
            .ui
            .json_line(&json!({ "model": name, "file": args.out, "parameters": parameters, "bytes": size }));
    }
    session.ui.result(&format!(
        "{name}: means and standard deviations of {parameters} parameters in {} ({size} bytes)",
        shell::path(&args.out)
    ))
}
