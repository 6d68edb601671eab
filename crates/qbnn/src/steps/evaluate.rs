//! Evaluation: any checkpoints, model files and ensembles, side by side on one dataset.

use super::select::{Selected, names};
use super::{Caller, OnTopOf};
use crate::error::{Error, Result};
use crate::evaluate::{self, Evaluated};
use crate::lock::check_writable;
use crate::opened::Model;
use crate::output::{self, write_whole};
use crate::preprocess::Prepared;
use crate::run_folder::{METRICS, PREDICTIONS, RunFolder};
use crate::{experiment, report};
use qbnn_bnn::pfp;
use qbnn_eval::Metrics;
use std::path::PathBuf;

/// What is to be evaluated, and where its figures go.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Run folders (all their models), checkpoints, model files, or ensembles; the first float model is what the others are compared with.
    pub models: Vec<PathBuf>,
    /// Also one analytic pass of each model, with such weights.
    pub pfp: Option<pfp::Weights>,
    /// File for the metrics; the run's own, if all models of one run are evaluated as it says.
    pub out: Option<PathBuf>,
    /// Replace the run's metrics, though settings, groups or models are others than its own.
    pub update: bool,
    /// Files that the settings were read from, which `out` must not replace.
    pub read: Vec<PathBuf>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures.
    pub metrics: Metrics,
    /// The run folder, if all models are of one.
    pub folder: Option<PathBuf>,
    /// The file that the metrics were written to.
    pub written: Option<PathBuf>,
    /// The page of the run, if it was written.
    pub report: Option<PathBuf>,
    /// What there is to say about the data.
    pub note: Option<String>,
}

/// Evaluates models on the data of the first one's run, with settings on top.
///
/// # Errors
/// Those of [`Selected`], [`evaluate::evaluate_models`] and the files that are written.
pub fn evaluate(caller: &Caller<'_>, asked: &Evaluation, settings: OnTopOf<'_>) -> Result<Measured> {
    let selected = Selected::new("eval", &asked.models, settings)?;
    let config = selected.config.clone();
    // An ensemble is no model of a run, and a model file is one only together with its checkpoint.
    let first = selected.entries.first().filter(|_| selected.ensembles.is_empty() && selected.files.is_empty());
    let folder = first.filter(|f| selected.entries.iter().all(|e| e.folder.path() == f.folder.path()));
    let folder = folder.map(|f| f.folder.clone());
    // A run's own metrics are of its draws.
    let own = folder.clone().filter(|_| asked.out.is_none() && asked.pfp.is_none());
    let own = match own {
        Some(folder) if !asked.update && selected.is_other(&folder)? => None,
        own => own,
    };
    if asked.update && own.is_none() {
        return Err(Error::asked(
            "--update wants a run folder or checkpoints of one, whose metrics it replaces; name a file with --out",
        ));
    }
    let held = own.map(RunFolder::hold).transpose()?;
    if let Some(out) = &asked.out {
        let read = selected.entries.iter().flat_map(|e| [Some(e.path.clone()), e.folder.config()]).flatten();
        let members =
            selected.ensembles.iter().flat_map(|e| e.members.iter().map(|m| &m.path).chain([&e.path]).cloned());
        let members = members.chain(selected.files.iter().map(|file| file.path.clone()));
        output::refuse_inputs("--out", out, read.chain(asked.read.iter().cloned()).chain(members))?;
        check_writable(out)?;
    }
    let dataset = experiment::load(&config)?;
    let data = Prepared::new(&dataset);
    evaluate::check_draws(&data, config.eval.samples)?;
    selected.fit(caller.observer, &data)?;
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
        evaluate::evaluate_models(caller.observer, &models, &data, config.eval, asked.pfp, config.seed, "qbnn eval")?;
    let own = held.as_deref();
    let target = asked.out.clone().or_else(|| own.map(|f| f.path().join(METRICS)));
    if let Some(target) = &target {
        write_whole(target, &evaluate::to_file(&metrics)?)?;
    }
    // The run's own metrics: its predictions and its page go with them.
    let mut report = None;
    if let Some(folder) = own.filter(|f| f.config().is_some()) {
        folder.write(PREDICTIONS, &stored.to_bytes()?)?;
        caller.record(folder)?;
        report = Some(report::write(folder)?);
    }
    Ok(Measured {
        metrics,
        folder: folder.map(|folder| folder.path().to_owned()),
        written: target,
        report,
        note: dataset.note.clone(),
    })
}
