//! `qbnn report`: one page from what is stored. Nothing is trained, predicted or measured again; only anyone's
//! predictions are measured here, because nobody has yet.

use crate::session::Session;
use anyhow::Result;
use clap::Args;
use qbnn::config::MAX_RESAMPLES;
use qbnn::steps::{self, Reported, Reporting};
use qbnn::{output, report};
use qbnn_eval::ModelEntry;
use serde_json::json;
use std::path::PathBuf;

/// `report`.
#[derive(Debug, Args)]
pub struct ReportCommand {
    /// A run folder; several, or a folder of run folders, for a page that compares them; or folders or specs of sweeps.
    #[arg(value_name = "RUN|SWEEP|SPEC.toml", required_unless_present = "predictions")]
    pub runs: Vec<PathBuf>,
    /// Ledger of a sweep, or the folder of it [default: runs/sweep-NAME, else ledgers/NAME.jsonl beside the spec].
    #[arg(long, value_name = "PATH", conflicts_with = "predictions")]
    pub ledger: Option<PathBuf>,
    /// Predictions of any program instead of a run; may be repeated.
    #[arg(long, value_name = "FILE.npz|.safetensors", conflicts_with = "runs")]
    pub predictions: Vec<PathBuf>,
    /// The page [default: report.html in the run folder, or here].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write every figure as an SVG file too.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Write every figure as a PNG file too, in three times its size.
    #[arg(long, value_name = "DIR")]
    pub png: Option<PathBuf>,
    /// Models that the figures show, by name [default: all, or of many the first and three by size]; may be repeated.
    #[arg(long, value_name = "MODEL")]
    pub show: Vec<String>,
    /// Heading of the page.
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Resamples for the 95 % intervals of --predictions; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "predictions")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=MAX_RESAMPLES as i64))]
    pub bootstrap: u32,
}

/// Writes it.
pub fn report(session: &Session, args: &ReportCommand) -> Result<()> {
    let asked = Reporting {
        runs: args.runs.clone(),
        ledger: args.ledger.clone(),
        predictions: args.predictions.clone(),
        out: args.out.clone(),
        show: args.show.clone(),
        title: args.title.clone(),
        resamples: args.bootstrap as usize,
    };
    let read = asked.read();
    for (flag, folder, ending) in [("--svg", &args.svg, "svg"), ("--png", &args.png, "png")] {
        folder.as_ref().map_or(Ok(()), |folder| output::refuse_inputs_in(flag, folder, ending, &read))?;
    }
    let Reported { page, path: out, card, metrics } = steps::report(session, &asked)?;
    let mut figures = Vec::new();
    if let Some(folder) = &args.svg {
        let written = report::figures(&page, folder, "svg", |svg| Ok::<_, qbnn::Error>(svg.as_bytes().to_vec()))?;
        figures.push((written, folder.display().to_string()));
    }
    if let Some(folder) = &args.png {
        let painter = crate::png::Painter::new()?;
        let written = report::figures(&page, folder, "png", |svg| painter.paint(svg))?;
        figures.push((written, folder.display().to_string()));
    }
    let ui = session.ui;
    if ui.json && !output::is_stdout(&out) {
        let figures: Vec<_> = figures.iter().map(|(n, folder)| json!({ "folder": folder, "files": n })).collect();
        return ui.json_line(&json!({
            "report": out.display().to_string(),
            "card": card.map(|c| c.display().to_string()),
            "bytes": page.html.len(),
            "figures": figures,
            "left_out": page.left_out,
            "metrics": metrics,
        }));
    }
    for why in &page.left_out {
        ui.say(why);
    }
    // What comes out of stdout is then the page alone.
    let result = |line: &str| {
        if output::is_stdout(&out) {
            ui.say(line);
            return Ok(());
        }
        ui.result(line)
    };
    for note in metrics.iter().flat_map(|m| &m.models).flat_map(ModelEntry::notes) {
        result(&format!("note: {note}"))?;
    }
    for (written, folder) in figures {
        result(&format!("{written} figures: {folder}"))?;
    }
    if let Some(card) = card {
        result(&format!("card: {}", card.display()))?;
    }
    result(&format!("report: {} ({} kB)", out.display(), page.html.len().div_ceil(1000)))
}
