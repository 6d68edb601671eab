//! `qbnn eval`: any checkpoints, model files and ensembles, side by side on one dataset.

use crate::closing::{self, Closing};
use crate::failure::usage;
use crate::session::Session;
use crate::settings::{BaseArgs, EvalArgs};
use anyhow::Result;
use clap::{Args, ValueEnum};
use qbnn::steps::{self, Evaluation, Measured};
use std::path::PathBuf;

/// `eval`.
#[derive(Debug, Args)]
pub struct EvalCommand {
    /// Run folders (all their models), checkpoints, model files (.qbnn) or ensembles of these (NAME.ensemble.toml); the first
    /// float model is what the others are compared with. What lies in no run folder needs --data.
    #[arg(value_name = "RUN|CHECKPOINT|MODEL|ENSEMBLE", required = true)]
    pub models: Vec<PathBuf>,
    /// Also evaluate one analytic pass (PFP) of each model; the run's own metrics stay as they are. The pass
    /// is near draws in means over a group, not image by image.
    #[arg(long, value_enum, value_name = "WEIGHTS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "stored")]
    pub pfp: Option<PfpWeights>,
    /// What gives the uncertainties; `pfp` is --pfp.
    #[arg(long, value_enum, conflicts_with = "pfp")]
    pub score: Option<ScoreArg>,
    /// File for the metrics [default: the run's metrics.json, if all models of one run are evaluated as it says].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the run's metrics.json, though settings, groups or models are others than its own.
    #[arg(long, conflicts_with_all = ["out", "pfp"])]
    pub update: bool,
    /// Settings.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Settings.
    #[command(flatten)]
    pub eval: EvalArgs,
}

/// Which moments an analytic pass gives to weights that are drawn on a grid.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PfpWeights {
    /// Those of the stored posterior.
    Stored,
    /// Those of its draws, clipped and rounded.
    Drawn,
}

/// What gives the uncertainties of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreArg {
    /// Networks that are drawn.
    Draws,
    /// One analytic pass over the stored posterior.
    Pfp,
}

/// The pass that was asked for, by either option.
pub fn pass(pfp: Option<PfpWeights>, score: Option<ScoreArg>) -> Option<PfpWeights> {
    pfp.or((score == Some(ScoreArg::Pfp)).then_some(PfpWeights::Stored))
}

impl From<PfpWeights> for qbnn_bnn::pfp::Weights {
    fn from(weights: PfpWeights) -> Self {
        match weights {
            PfpWeights::Stored => Self::Stored,
            PfpWeights::Drawn => Self::Drawn,
        }
    }
}

/// Evaluates.
pub fn eval(session: &Session, args: &EvalCommand) -> Result<()> {
    let pfp = pass(args.pfp, args.score);
    if pfp.is_some() && args.update {
        return Err(usage(
            "--update replaces the run's own metrics, which are of draws; leave out --score pfp, or give --out",
        ));
    }
    let asked = Evaluation {
        models: args.models.clone(),
        pfp: pfp.map(Into::into),
        out: args.out.clone(),
        update: args.update,
        read: args.base.config.iter().cloned().collect(),
    };
    let Measured { metrics, folder, written, report, note } =
        steps::evaluate(&session.caller(), &asked, &|run| args.base.layers(run, &[&args.eval]))?;
    let [shown, report] = [&folder, &report].map(|path| path.as_ref().map(|path| path.display().to_string()));
    let next = match &written {
        Some(written) => format!("metrics: {}", written.display()),
        None if folder.is_some() && pfp.is_none() => {
            "the run's metrics stay as they are; next: --out FILE keeps these, --update makes them the run's own"
                .to_owned()
        }
        None => "next: give --out FILE to keep these metrics".to_owned(),
    };
    let closing = Closing { note: note.as_deref(), folder: shown.as_deref(), report: report.as_deref(), next: &next };
    closing::show(session, &metrics, &closing)
}
