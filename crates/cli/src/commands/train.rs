//! `qbnn train`: the float phase alone. Resuming finishes whatever training a run folder holds, of float and of
//! quantized networks, so that a stopped `run` or `quantize` ends with the checkpoints it would have had.

use super::Start;
use crate::session::{self, Session};
use crate::settings::RunArgs;
use crate::summary;
use anyhow::Result;
use qbnn::preprocess::Prepared;
use qbnn::run_folder::{FLOAT, RunFolder};
use qbnn::training::TrainingContext;
use qbnn::{experiment, export, shell};
use serde_json::json;

/// Trains.
pub fn train(session: &Session, args: &RunArgs) -> Result<()> {
    let start = Start::new(args)?;
    let dataset = experiment::load(&start.config)?;
    let data = Prepared::new(&dataset);
    let (spec, net) = experiment::network(&start.config, &data)?;
    export::warn_of_float(session, &spec, &data, &start.config.train);
    let (config, held) = start.begin()?;
    let (config, folder) = (&config, &*held);
    session.ui.say(&session::headline(config, &data, &net));
    session.ui.say(&summary::table(&net, session.ui.notes_medium()));
    let context = TrainingContext { observer: session, folder, data: &data, go_on: "qbnn train --resume" };
    let mut models = vec![FLOAT.to_owned()];
    let float = context.float(config, &spec)?;
    for model in folder.models()?.into_iter().filter(|m| m != FLOAT) {
        if let Some(checkpoint) = folder.load(&model)? {
            context.go_on(config, &model, checkpoint)?;
            models.push(model);
        }
    }
    session.record(folder)?;
    report(session, folder, config.seed, &models, float.epoch)
}

/// Shows what there is now, and what can be done with it.
pub fn report(session: &Session, folder: &RunFolder, seed: u64, models: &[String], epochs: usize) -> Result<()> {
    let shown = folder.path().display().to_string();
    let files: Vec<_> = models.iter().map(|m| folder.checkpoint(m).display().to_string()).collect();
    if session.ui.json {
        let object = json!({ "run_folder": shown, "seed": seed, "epochs": epochs, "checkpoints": files });
        return session.ui.json_line(&object);
    }
    let verb = if models.iter().all(|m| m == FLOAT) { "quantize" } else { "eval" };
    let next = format!("qbnn {verb} {}", shell::path(folder.path()));
    session.ui.result(&format!("trained {epochs} epochs, seed {seed}: {}\nnext: {next}", files.join(", ")))
}
