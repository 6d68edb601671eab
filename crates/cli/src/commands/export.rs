//! `qbnn export`: the posterior of a run as arrays that any program reads.

use crate::session::Session;
use anyhow::Result;
use clap::{Args, ValueEnum};
use qbnn::neutral::Form;
use qbnn::steps::{self, Exported};
use qbnn::{output, shell};
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
    let form = args.to.map(|form| match form {
        FormArg::Safetensors => Form::Safetensors,
        FormArg::Npz => Form::Npz,
    });
    let Exported { model: name, parameters, bytes: size } = steps::export(&args.from, form, &args.out)?;
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
