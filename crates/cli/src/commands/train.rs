//! `qbnn train`: the float phase alone. Resuming finishes whatever training a run folder holds.

use crate::session::Session;
use crate::settings::RunArgs;
use anyhow::Result;
use qbnn::run_folder::FLOAT;
use qbnn::shell;
use qbnn::steps::{self, Trained};
use serde_json::json;

/// Trains.
pub fn train(session: &Session, args: &RunArgs) -> Result<()> {
    report(session, &steps::train(&session.caller(), args.start()?)?)
}

/// Shows what there is now, and what can be done with it.
pub fn report(session: &Session, trained: &Trained) -> Result<()> {
    let Trained { folder, seed, models, epochs } = trained;
    let file = |model: &String| folder.join(format!("{model}.safetensors")).display().to_string();
    let files: Vec<_> = models.iter().map(file).collect();
    if session.ui.json {
        let shown = folder.display().to_string();
        let object = json!({ "run_folder": shown, "seed": seed, "epochs": epochs, "checkpoints": files });
        return session.ui.json_line(&object);
    }
    let verb = if models.iter().all(|m| m == FLOAT) { "quantize" } else { "eval" };
    let next = format!("qbnn {verb} {}", shell::path(folder));
    session.ui.result(&format!("trained {epochs} epochs, seed {seed}: {}\nnext: {next}", files.join(", ")))
}
