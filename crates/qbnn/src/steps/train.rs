//! Training: the float phase alone, or the whole way to an evaluated quantized network.

use super::{Beginning, Caller, Start};
use crate::error::Result;
use crate::evaluate::{self, Evaluated};
use crate::observer::Event;
use crate::opened::Model;
use crate::preprocess::Prepared;
use crate::run_folder::{FLOAT, METRICS, PREDICTIONS};
use crate::training::TrainingContext;
use crate::{experiment, export, report, shell};
use qbnn_eval::Metrics;
use std::path::PathBuf;

/// What a training leaves.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The run folder.
    pub folder: PathBuf,
    /// Seed of the network.
    pub seed: u64,
    /// Names of the models that are trained now.
    pub models: Vec<String>,
    /// Epochs of the last of them that was asked for.
    pub epochs: usize,
}

/// What a whole run leaves.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The run folder.
    pub folder: PathBuf,
    /// The evaluation, as `metrics.json` holds it.
    pub metrics: Metrics,
    /// The page.
    pub report: PathBuf,
    /// What there is to say about the data.
    pub note: Option<String>,
}

/// Trains in float. Of a run folder that goes on, whatever training it holds is finished, of quantized networks too, so that
/// a stopped [`run`] or [`quantize`](super::quantize()) ends with the checkpoints it would have had.
///
/// # Errors
/// Those of [`experiment::load`], [`experiment::network`] and [`TrainingContext::float`].
pub fn train(caller: &Caller<'_>, start: Start) -> Result<Trained> {
    let dataset = experiment::load(&start.config)?;
    let data = Prepared::new(&dataset);
    let (spec, net) = experiment::network(&start.config, &data)?;
    export::warn_of_float(caller.observer, &spec, &data, &start.config.train);
    let (config, held) = start.begin()?;
    let (config, folder) = (&config, &*held);
    caller.observer.event(Event::Begins(Beginning { config, data: &data, network: &net, trains: true }));
    let context = TrainingContext { observer: caller.observer, folder, data: &data, go_on: "qbnn train --resume" };
    let mut models = vec![FLOAT.to_owned()];
    let float = context.float(config, &spec)?;
    for model in folder.models()?.into_iter().filter(|m| m != FLOAT) {
        if let Some(checkpoint) = folder.load(&model)? {
            context.go_on(config, &model, checkpoint)?;
            models.push(model);
        }
    }
    caller.record(folder)?;
    Ok(Trained { folder: folder.path().to_owned(), seed: config.seed, models, epochs: float.epoch })
}

/// Trains in float, quantizes, evaluates both, and writes the report. Of a run folder that goes on, whatever of it is not yet
/// done is done.
///
/// # Errors
/// As [`train()`]; those of [`TrainingContext::quantized`] and [`evaluate::evaluate_models`].
pub fn run(caller: &Caller<'_>, start: Start) -> Result<Ran> {
    let dataset = experiment::load(&start.config)?;
    let data = Prepared::new(&dataset);
    evaluate::check_draws(&data, start.config.eval.samples)?;
    let (spec, net) = experiment::network(&start.config, &data)?;
    export::check(&spec, &data, &start.config.train, &start.config.quantize)?;
    let (config, held) = start.begin()?;
    let (config, folder) = (&config, &*held);
    caller.observer.event(Event::Begins(Beginning { config, data: &data, network: &net, trains: true }));
    let context = TrainingContext { observer: caller.observer, folder, data: &data, go_on: "qbnn run --resume" };
    let float = context.float(config, &spec)?;
    // Read again where it must be kept: fine-tuning starts from what is stored.
    let quantized = context.quantized(float, config)?;
    let float = match folder.load(FLOAT)? {
        Some(float) => float,
        None => context.float(config, &spec)?,
    };
    let name = folder.name_of(&config.quantize)?;
    let models =
        [(FLOAT.to_owned(), Model::Checkpoint(Box::new(float))), (name, Model::Checkpoint(Box::new(quantized)))];
    let go_on = format!("{} {}", context.go_on, shell::path(folder.path()));
    let Evaluated { metrics, stored } =
        evaluate::evaluate_models(caller.observer, &models, &data, config.eval, None, config.seed, &go_on)?;
    folder.write(METRICS, &evaluate::to_file(&metrics)?)?;
    folder.write(PREDICTIONS, &stored.to_bytes()?)?;
    caller.record(folder)?;
    let report = report::write(folder)?;
    Ok(Ran { folder: folder.path().to_owned(), metrics, report, note: dataset.note.clone() })
}
