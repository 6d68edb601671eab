//! `qbnn eval`: any checkpoints, model files and ensembles, side by side on one dataset.

use crate::closing::{self, Closing};
use crate::failure::usage;
use crate::session::Session;
use crate::settings::{BaseArgs, EvalArgs};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use qbnn::config::{self, Config, Layers};
use qbnn::consistency::{self, Part};
use qbnn::ensemble::{self, Ensemble};
use qbnn::evaluate::{self, Evaluated};
use qbnn::lock::check_writable;
use qbnn::model_file::ModelFile;
use qbnn::named;
use qbnn::opened::Model;
use qbnn::output::{self, write_whole};
use qbnn::preprocess::Prepared;
use qbnn::run_folder::{METRICS, PREDICTIONS, RunFolder, classes_beside, name_in};
use qbnn::{experiment, model_file, report, shell};
use qbnn_bnn::Checkpoint;
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

/// A checkpoint to evaluate.
pub struct Entry {
    pub folder: RunFolder,
    pub path: PathBuf,
    pub checkpoint: Checkpoint,
}

/// Evaluates.
pub fn eval(session: &Session, args: &EvalCommand) -> Result<()> {
    let pfp = pass(args.pfp, args.score);
    if pfp.is_some() && args.update {
        return Err(usage(
            "--update replaces the run's own metrics, which are of draws; leave out --score pfp, or give --out",
        ));
    }
    let selected = Selected::new("eval", &args.models, &args.base, &args.eval)?;
    let config = selected.config.clone();
    // An ensemble is no model of a run, and a model file is one only together with its checkpoint.
    let first = selected.entries.first().filter(|_| selected.ensembles.is_empty() && selected.files.is_empty());
    let folder = first.filter(|f| selected.entries.iter().all(|e| e.folder.path() == f.folder.path()));
    let folder = folder.map(|f| f.folder.clone());
    // A run's own metrics are of its draws.
    let own = folder.clone().filter(|_| args.out.is_none() && pfp.is_none());
    let own = match own {
        Some(folder) if !args.update && selected.is_other(&folder)? => None,
        own => own,
    };
    if args.update && own.is_none() {
        return Err(usage(
            "--update wants a run folder or checkpoints of one, whose metrics it replaces; name a file with --out",
        ));
    }
    let held = own.map(RunFolder::hold).transpose()?;
    if let Some(out) = &args.out {
        let read = selected.entries.iter().flat_map(|e| [Some(e.path.clone()), e.folder.config()]).flatten();
        let members =
            selected.ensembles.iter().flat_map(|e| e.members.iter().map(|m| &m.path).chain([&e.path]).cloned());
        let members = members.chain(selected.files.iter().map(|file| file.path.clone()));
        output::refuse_inputs("--out", out, read.chain(args.base.config.clone()).chain(members))?;
        check_writable(out)?;
    }
    let dataset = experiment::load(&config)?;
    let data = Prepared::new(&dataset);
    evaluate::check_draws(&data, config.eval.samples)?;
    selected.fit(session, &data)?;
    let Selected { entries, files, ensembles, .. } = selected;
    let names = names(&entries);
    let single = names.into_iter().zip(entries).map(|(n, e)| (n, Model::Checkpoint(Box::new(e.checkpoint))));
    let mut models: Vec<_> = single.collect();
    let mut add = |name: String, path: PathBuf, model| {
        let taken = models.iter().any(|(other, _)| *other == name);
        models.push((if taken { path.display().to_string() } else { name }, model));
    };
    for file in files {
        add(file.name(), file.path.clone(), Model::File(file));
    }
    for ensemble in ensembles {
        add(ensemble.name.clone(), ensemble.path.clone(), Model::Ensemble(ensemble));
    }
    let Evaluated { metrics, stored } =
        evaluate::evaluate_models(session, &models, &data, config.eval, pfp.map(Into::into), config.seed, "qbnn eval")?;
    let own = held.as_deref();
    let target = args.out.clone().or_else(|| own.map(|f| f.path().join(METRICS)));
    if let Some(target) = &target {
        write_whole(target, &evaluate::to_file(&metrics)?)?;
    }
    // The run's own metrics: its predictions and its page go with them.
    let mut report = None;
    if let Some(folder) = own.filter(|f| f.config().is_some()) {
        folder.write(PREDICTIONS, &stored.to_bytes()?)?;
        session.record(folder)?;
        report = Some(report::write(folder)?);
    }
    let shown = folder.as_ref().map(|f| f.path().display().to_string());
    let report = report.map(|r| r.display().to_string());
    let next = match &target {
        Some(target) => format!("metrics: {}", target.display()),
        None if folder.is_some() && pfp.is_none() => {
            "the run's metrics stay as they are; next: --out FILE keeps these, --update makes them the run's own"
                .to_owned()
        }
        None => "next: give --out FILE to keep these metrics".to_owned(),
    };
    let (note, folder) = (dataset.note.as_deref(), shown.as_deref());
    closing::show(session, &metrics, &Closing { note, folder, report: report.as_deref(), next: &next })
}

/// The checkpoints that were named, and the settings to evaluate them with: those of the first one's run, and what was
/// typed.
pub struct Selected {
    /// The checkpoints.
    pub entries: Vec<Entry>,
    /// The model files.
    files: Vec<ModelFile>,
    /// The ensembles; with the checkpoints and model files at least one model.
    ensembles: Vec<Ensemble>,
    /// Checkpoints that lie beside model files and members of the ensembles.
    beside: Vec<Entry>,
    /// The settings.
    pub config: Config,
    /// Keys that were typed, or that stand in a config that was.
    asked: Vec<String>,
}

impl Selected {
    /// Reads them, for a command.
    pub fn new(command: &str, models: &[PathBuf], base: &BaseArgs, eval: &EvalArgs) -> Result<Self> {
        let (mut entries, mut files, mut ensembles, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for from in models {
            if ensemble::is_one(from) {
                if command != "eval" {
                    return Err(usage(format!(
                        "{} is an ensemble; `qbnn {command}` takes checkpoints",
                        from.display()
                    )));
                }
                ensembles.push(Ensemble::read(from)?);
                continue;
            }
            if command == "eval" && named::is_model(from) {
                let file = ModelFile::read(from)?;
                if files.iter().any(|other: &ModelFile| other.path == file.path) {
                    return Err(usage(format!("{} is named twice; name it once", from.display())));
                }
                files.push(file);
                continue;
            }
            entries.extend(if from.is_dir() { of_run(from)? } else { vec![of_file(from)?] });
        }
        for file in files.iter().chain(ensembles.iter().flat_map(|e| &e.members)) {
            let path = file.path.with_extension("safetensors");
            if path.is_file() && Checkpoint::is_one(&path)? {
                beside.push(of_file(&path)?);
            }
        }
        let others = files.iter().map(|file| &file.path).chain(ensembles.iter().map(|e| &e.path));
        let first = entries.iter().map(|e| &e.path).chain(others).next();
        let first = first.map(|path| (RunFolder::of_checkpoint(path).config(), path));
        let Some((settings, path)) = first else { bail!("nothing to evaluate; name a run folder or a checkpoint") };
        let layers = base.layers(settings.as_deref(), &[eval])?;
        config::check_used(command, &layers.flags)?;
        if settings.is_none() && !layers.names_data() {
            return Err(usage(format!(
                "no config.toml lies beside {}; name the data to evaluate on with --data",
                path.display()
            )));
        }
        let asked = layers.asked.clone();
        Ok(Selected { entries, files, ensembles, beside, config: layers.finish()?, asked })
    }

    /// Whether metrics of these models with these settings would take the place of others in a run folder: those of other
    /// settings than the run's own, or of more models.
    fn is_other(&self, folder: &RunFolder) -> Result<bool> {
        let whole = self.entries.len() == folder.models()?.len();
        Ok(folder.path().join(METRICS).exists() && (!self.asked.is_empty() || !whole))
    }

    /// Whether all of them read such images, and belong to the settings and the model files beside them; warns of
    /// half-trained ones.
    pub fn fit(&self, session: &Session, data: &Prepared<'_>) -> Result<()> {
        let asked = |key: &str| self.asked.iter().any(|a| a == key);
        let other_data = ["seed", "data.name", "data.group_limit"].into_iter().any(asked);
        self.files.iter().try_for_each(|file| file.check(data))?;
        for ensemble in &self.ensembles {
            data.check(&ensemble.path, ensemble.input, ensemble.classes)?;
            model_file::same_names(&ensemble.path, &ensemble.class_names, data)?;
        }
        for entry in self.entries.iter().chain(&self.beside) {
            let c = &entry.checkpoint;
            data.check(&entry.path, c.input, c.classes)?;
            model_file::same_names(&entry.path, &classes_beside(&entry.path, c.classes)?, data)?;
            model_file::check_beside(&entry.path, c)?;
            if let Some(path) = entry.folder.config() {
                let mut own = Layers::default();
                own.file(&path)?;
                let fix = |key: &str| match key {
                    "seed" | "data.name" | "data.group_limit" => {
                        format!("say so with --set {key}=VALUE to evaluate with another")
                    }
                    _ => "copy the checkpoint elsewhere and name the data with --data".to_owned(),
                };
                // What was typed counts, and is another evaluation than that of the run.
                consistency::same_settings(&entry.path, c, &own.finish()?, asked, fix)?;
            }
            if !other_data && consistency::same_test(c, &self.config) {
                consistency::same_data(&entry.path, c, data, Part::Test)?;
            }
            if !c.finished() {
                let (path, epoch, epochs) = (entry.path.display(), c.epoch, c.epochs());
                session.ui.warn(&format!("{path} has {epoch} of {epochs} epochs"));
            }
        }
        Ok(())
    }
}

fn of_run(path: &std::path::Path) -> Result<Vec<Entry>> {
    let folder = RunFolder::open(path)?;
    let models = folder.models()?;
    if models.is_empty() {
        bail!("{} holds no checkpoint yet; `qbnn train --resume {}` makes one", path.display(), shell::path(path));
    }
    models.iter().map(|m| of_file(&folder.checkpoint(m))).collect()
}

fn of_file(path: &std::path::Path) -> Result<Entry> {
    named::checkpoint(path)?;
    let checkpoint = Checkpoint::load(path)?;
    Ok(Entry { folder: RunFolder::of_checkpoint(path), path: path.to_owned(), checkpoint })
}

/// The models' names; with their paths where two have the same.
pub fn names(entries: &[Entry]) -> Vec<String> {
    let short: Vec<_> = entries.iter().map(|e| name_in(&e.path, &e.checkpoint)).collect();
    let twice = |name: &String| short.iter().filter(|n| *n == name).count() > 1;
    let name = |(e, name): (&Entry, &String)| {
        if twice(name) { e.path.with_extension("").display().to_string() } else { name.clone() }
    };
    entries.iter().zip(&short).map(name).collect()
}
