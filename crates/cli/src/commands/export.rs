//! `qbnn export`: the posterior of a run as arrays that any program reads, its networks as ONNX, or the codes of its model
//! file.

use crate::failure::usage;
use crate::session::Session;
use anyhow::Result;
use clap::{Args, ValueEnum};
use qbnn::onnx::Networks;
use qbnn::steps::{self, Exported, export::Form};
use qbnn::{neutral, output, shell};
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

impl FormArg {
    fn form(self) -> Form {
        match self {
            FormArg::Safetensors => Form::Arrays(neutral::Form::Safetensors),
            FormArg::Npz => Form::Arrays(neutral::Form::Npz),
            FormArg::Onnx => Form::Onnx(Networks::Means),
            FormArg::Codes => Form::Codes,
        }
    }
}

/// Exports.
pub fn export(session: &Session, args: &ExportCommand) -> Result<()> {
    let given = args.to.map_or_else(|| Form::of(&args.out), FormArg::form);
    let form = match given {
        Form::Onnx(_) if args.draws > 0 => Form::Onnx(Networks::Draws { count: args.draws, seed: args.seed }),
        Form::Onnx(_) => given,
        _ if args.draws > 0 || args.seed > 0 => {
            return Err(usage("--draws and --seed: only an ONNX file holds drawn networks; add --to onnx"));
        }
        _ => given,
    };
    let Exported { model: name, parameters, bytes: size, beside } = steps::export(&args.from, Some(form), &args.out)?;
    if output::is_stdout(&args.out) {
        return Ok(());
    }
    if session.ui.json {
        return session
            .ui
            .json_line(&json!({ "model": name, "file": args.out, "parameters": parameters, "bytes": size }));
    }
    let what = match (form, beside) {
        (Form::Onnx(Networks::Draws { count, .. }), _) => format!("{count} drawn networks of {parameters} parameters"),
        (Form::Onnx(Networks::Means), _) => format!("the network of the means of {parameters} parameters"),
        (_, Some(beside)) => format!("codes and scales, described in {}", shell::path(&beside)),
        _ => format!("means and standard deviations of {parameters} parameters"),
    };
    session.ui.result(&format!("{name}: {what} in {} ({size} bytes)", shell::path(&args.out)))
}
