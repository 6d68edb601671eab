//! What a command shows of an evaluation: one JSON object, or the table and what to do next.

use crate::session::Session;
use crate::table;
use anyhow::Result;
use qbnn_eval::{Metrics, ModelEntry};

/// What stands below the table of an evaluation.
#[derive(Default)]
pub struct Closing<'a> {
    /// A note on the data.
    pub note: Option<&'a str>,
    /// The run folder.
    pub folder: Option<&'a str>,
    /// The page.
    pub report: Option<&'a str>,
    /// What to do now.
    pub next: &'a str,
}

/// Shows an evaluation: one JSON object, or the table and closing lines.
pub fn show(session: &Session, metrics: &Metrics, closing: &Closing<'_>) -> Result<()> {
    let &Closing { note, folder, report, next } = closing;
    let ui = session.ui;
    if ui.json {
        let mut object = serde_json::to_value(metrics)?;
        object["note"] = note.into();
        object["run_folder"] = folder.into();
        object["report"] = report.into();
        return ui.json_line(&object);
    }
    ui.result(&table::table(metrics, ui.medium()))?;
    if let Some(calibrated) = table::calibrated(metrics, ui.medium()) {
        ui.result(&calibrated)?;
    }
    let bytes = table::bytes(metrics, ui.medium());
    if !bytes.is_empty() {
        ui.text(&bytes)?;
    }
    for note in note.map(str::to_owned).into_iter().chain(metrics.models.iter().flat_map(ModelEntry::notes)) {
        ui.text(&format!("note: {note}"))?;
    }
    let seeds = metrics.models.iter().filter_map(|m| m.draw_seeds).max();
    let over = seeds.map_or(String::new(), |seeds| format!(" over test images and {seeds} seeds of draws"));
    ui.text(&format!("{}, seed {}; in brackets 95 % bootstrap intervals{over}", metrics.dataset, metrics.seed))?;
    if let Some(folder) = folder {
        ui.result(&format!("run folder: {folder}"))?;
    }
    if let Some(report) = report {
        ui.result(&format!("report: {report}"))?;
    }
    ui.result(next)
}
