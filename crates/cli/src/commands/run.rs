//! `qbnn run`: images in, an evaluated 4-bit network out. Resuming does whatever of it is not yet done.

use super::Start;
use crate::closing::{self, Closing};
use crate::session::{self, Session};
use crate::settings::RunArgs;
use crate::summary;
use anyhow::Result;
use qbnn::evaluate::{self, Evaluated};
use qbnn::opened::Model;
use qbnn::preprocess::Prepared;
use qbnn::run_folder::{FLOAT, METRICS, PREDICTIONS};
use qbnn::training::TrainingContext;
use qbnn::{experiment, export, report, shell};

/// Runs it.
pub fn run(session: &Session, args: &RunArgs) -> Result<()> {
    let start = Start::new(args)?;
    let dataset = experiment::load(&start.config)?;
    let data = Prepared::new(&dataset);
    evaluate::check_draws(&data, start.config.eval.samples)?;
    let (spec, net) = experiment::network(&start.config, &data)?;
    export::check(&spec, &data, &start.config.train, &start.config.quantize)?;
    let (config, held) = start.begin()?;
    let (config, folder) = (&config, &*held);
    session.ui.say(&session::headline(config, &data, &net));
    session.ui.say(&summary::table(&net, session.ui.notes_medium()));
    let context = TrainingContext { observer: session, folder, data: &data, go_on: "qbnn run --resume" };
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
    let shown = folder.path().display().to_string();
    let word = shell::path(folder.path());
    let go_on = format!("{} {word}", context.go_on);
    let Evaluated { metrics, stored } =
        evaluate::evaluate_models(session, &models, &data, config.eval, None, config.seed, &go_on)?;
    folder.write(METRICS, &evaluate::to_file(&metrics)?)?;
    folder.write(PREDICTIONS, &stored.to_bytes()?)?;
    session.record(folder)?;
    let report = report::write(folder)?.display().to_string();
    let next = format!("next: open the report, then qbnn quantize {word} --bits 3 and qbnn eval {word}");
    let (note, folder) = (dataset.note.as_deref(), Some(shown.as_str()));
    closing::show(session, &metrics, &Closing { note, folder, report: Some(&report), next: &next })
}
