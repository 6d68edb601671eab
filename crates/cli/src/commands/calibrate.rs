//! `qbnn calibrate`: what a finished model decides, measured and stored in its file.

use crate::commands::eval::PfpWeights;
use crate::layout::decimal;
use crate::session::Session;
use anyhow::Result;
use clap::{Args, ValueEnum};
use qbnn::calibrate::{Calibrated, Part, Rule, Settings};
use qbnn::config::Layers;
use qbnn::wording::thousands;
use qbnn::{shell, steps};
use qbnn_bnn::predictor::Draws;
use qbnn_core::decide::{Aim, Doubt, SetScore};
use std::path::{Path, PathBuf};
use toml::Value;

/// `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateCommand {
    /// The model file (.qbnn), or a folder that holds one model file.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Dataset whose validation images are measured, or a path [default: that of the run folder].
    #[arg(long, value_name = "SET|PATH")]
    pub data: Option<String>,
    /// Folder searched for data before $QBNN_DATA and the user's cache.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Measure on the clean test images instead; they are then no test of this model any more.
    #[arg(long)]
    pub on_test: bool,
    /// Abstain so that at most this fraction of the answers is wrong.
    #[arg(long, value_name = "FRACTION", conflicts_with = "coverage")]
    pub error: Option<f64>,
    /// Abstain so that at least this fraction of known images is answered [default: 0.95].
    #[arg(long, value_name = "FRACTION")]
    pub coverage: Option<f64>,
    /// What the model abstains by.
    #[arg(long, value_enum, default_value_t = DoubtArg::Confidence)]
    pub abstain_by: DoubtArg,
    /// Fraction of known images that may be called unknown.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05)]
    pub false_alarms: f64,
    /// What tells unknown images.
    #[arg(long, value_enum, default_value_t = DoubtArg::Epistemic)]
    pub ood_by: DoubtArg,
    /// Fraction of class sets that may lack the right class.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.1)]
    pub alpha: f64,
    /// Score of the class sets: 1 - probability, or the sum of the probabilities down to the class, of its own all or a share
    /// by chance.
    #[arg(long, value_enum, default_value_t = ConformalArg::Lac)]
    pub conformal: ConformalArg,
    /// Networks drawn for each prediction; those that `qbnn predict` will draw.
    #[arg(long, value_name = "S", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub samples: u32,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Measure one analytic pass (PFP) instead of draws.
    #[arg(long, value_enum, value_name = "WEIGHTS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "stored", conflicts_with_all = ["samples", "seed"])]
    pub pfp: Option<PfpWeights>,
    /// Take the decisions out of the file; nothing is measured.
    #[arg(long, conflicts_with_all = ["data", "on_test", "error", "coverage", "pfp"])]
    pub remove: bool,
    /// Write here, and leave the model file as it is.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Names of doubts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DoubtArg {
    /// 1 - the greatest probability.
    Confidence,
    /// Total uncertainty.
    Total,
    /// Aleatoric uncertainty.
    Aleatoric,
    /// Epistemic uncertainty.
    Epistemic,
}

impl From<DoubtArg> for Doubt {
    fn from(arg: DoubtArg) -> Self {
        match arg {
            DoubtArg::Confidence => Doubt::Confidence,
            DoubtArg::Total => Doubt::Total,
            DoubtArg::Aleatoric => Doubt::Aleatoric,
            DoubtArg::Epistemic => Doubt::Epistemic,
        }
    }
}

/// Names of the scores of class sets.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ConformalArg {
    /// 1 - the class's probability.
    Lac,
    /// The sum of the probabilities down to the class.
    Aps,
    /// The same, of the class's own probability a share that is a hash of the prediction.
    ApsRandomised,
}

/// Measures and stores.
pub fn calibrate(session: &Session, args: &CalibrateCommand) -> Result<()> {
    let out = args.out.as_deref();
    if args.remove {
        let written = steps::remove_decisions(&args.model, out)?;
        session.ui.say(&format!("{} holds no decisions", written.display()));
        return Ok(());
    }
    let layers = |run: Option<&Path>| {
        let mut layers = Layers::default();
        run.map_or(Ok(()), |file| layers.file(file))?;
        args.data.iter().for_each(|data| layers.data(data));
        if let Some(dir) = &args.data_dir {
            layers.flag("data.dir", Value::String(dir.to_string_lossy().into_owned()));
        }
        Ok(layers)
    };
    let (found, out) = steps::calibrate(session, &args.model, out, &settings(args), &layers)?;
    if session.ui.json {
        let mut object = serde_json::to_value(&found)?;
        object["file"] = out.display().to_string().into();
        return session.ui.json_line(&object);
    }
    show(session, &found, &out)
}

fn settings(args: &CalibrateCommand) -> Settings {
    let (aim, abstain_level) = match (args.error, args.coverage) {
        (Some(error), _) => (Aim::Error, error),
        (None, coverage) => (Aim::Coverage, coverage.unwrap_or(Settings::default().abstain_level)),
    };
    Settings {
        aim,
        abstain_level,
        abstain_by: args.abstain_by.into(),
        false_alarms: args.false_alarms,
        ood_by: args.ood_by.into(),
        alpha: args.alpha,
        conformal: match args.conformal {
            ConformalArg::Lac => SetScore::Lac,
            ConformalArg::Aps => SetScore::Aps,
            ConformalArg::ApsRandomised => SetScore::ApsRandomised,
        },
        draws: Draws { count: args.samples as usize, seed: args.seed },
        pfp: args.pfp.map(Into::into),
        part: if args.on_test { Part::Test } else { Part::Validation },
    }
}

fn show(session: &Session, found: &Calibrated, out: &Path) -> Result<()> {
    let ui = session.ui;
    let Calibrated { data, part, fared, .. } = found;
    let how = match found.samples {
        0 => "one analytic pass each".to_owned(),
        samples => format!("{samples} draws each, seed {}", found.seed),
    };
    ui.text(&format!(
        "measured on {} images of {data} ({part}), {how}: accuracy {:.4}",
        thousands(fared.images as u64),
        fared.accuracy
    ))?;
    if part != "validation" {
        ui.warn("these are test images: figures on them are no test of this model any more");
    }
    let end = if found.temperature_at_end { "; these images fix none, take more" } else { "" };
    ui.text(&format!(
        "temperature {:.4}: NLL {:.5} before, {:.5} after{end}",
        found.temperature, found.nll, found.nll_at_temperature
    ))?;
    rule(session, &found.rule)?;
    ui.text(&format!("on these {}", fared.in_words()))?;
    ui.text(&format!("stored in {}; next: qbnn predict {} IMAGES", out.display(), shell::path(out)))
}

/// The lines of a rule.
pub fn rule(session: &Session, rule: &Rule) -> Result<()> {
    let doubt = |name: &str, value: f64| match name {
        "confidence" => format!("1 - probability above {}", decimal(value)),
        name => format!("{name} uncertainty above {} nats", decimal(value)),
    };
    let ui = session.ui;
    let limit = if rule.conformal == "lac" { "1 - probability" } else { "sum of probabilities" };
    ui.text(&format!(
        "class sets ({}): {limit} up to {}, for {} without the right class",
        rule.conformal,
        decimal(rule.quantile),
        rule.alpha
    ))?;
    let aim = match rule.abstain_for {
        "coverage" => "of known images answered",
        _ => "of the answers wrong",
    };
    ui.text(&format!("abstain: {}, for {} {aim}", doubt(rule.abstain_by, rule.abstain_above), rule.abstain_level))?;
    ui.text(&format!("unknown: {}, for {} false alarms", doubt(rule.ood_by, rule.ood_above), rule.false_alarms))
}
