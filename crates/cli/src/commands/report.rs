//! `qbnn report`: one page from what is stored. Nothing is trained, predicted or measured again; only anyone's
//! predictions are measured here, because nobody has yet.

use crate::failure::usage;
use crate::session::Session;
use anyhow::Result;
use clap::Args;
use qbnn::config::MAX_RESAMPLES;
use qbnn::lock::check_writable;
use qbnn::output::{self, write_whole};
use qbnn::run_folder::{CARD, PREDICTIONS, REPORT};
use qbnn::sweep::spec::COPY;
use qbnn::{comparison, external, report, shell};
use qbnn_eval::report::Page;
use qbnn_eval::{Metrics, ModelEntry};
use serde_json::json;
use std::path::{Path, PathBuf};

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
    if let Some(out) = args.out.as_deref().filter(|out| !out.is_dir()) {
        check_writable(out)?;
    }
    refuse_inputs(args)?;
    if !args.predictions.is_empty() {
        let (page, metrics) =
            external::page(&args.predictions, args.title.as_deref(), &args.show, args.bootstrap as usize)?;
        let out = args.out.clone().map_or_else(usual, Ok)?;
        return finish(session, args, &page, &out, None, Some(&metrics));
    }
    if args.runs.iter().all(|p| p.extension().is_some_and(|e| e == "toml") || p.join(COPY).is_file()) {
        let page = comparison::of_sweeps(&args.runs, args.ledger.as_deref(), args.title.as_deref())?;
        let out = args.out.clone().map_or_else(usual, Ok)?;
        return finish(session, args, &page, &out, None, None);
    }
    let runs = comparison::runs(&args.runs)?;
    if let ([folder], [given]) = (&runs[..], &args.runs[..])
        && folder.path() == given
    {
        let (page, card) = report::of_run(folder, args.title.as_deref(), &args.show)?;
        // The card belongs to the run. Elsewhere a file of its name is anyone's.
        let card_path = args.out.is_none().then(|| folder.path().join(CARD));
        card_path.as_ref().map_or(Ok(()), |path| write_whole(path, card.as_bytes()))?;
        let out = args.out.clone().unwrap_or_else(|| folder.path().join(REPORT));
        if !folder.path().join(PREDICTIONS).is_file() {
            session.ui.warn(&format!(
                "{} holds no {PREDICTIONS}: the page has numbers and no curves; `qbnn eval {}` stores them",
                folder.path().display(),
                shell::path(folder.path())
            ));
        }
        return finish(session, args, &page, &out, card_path.as_deref(), None);
    }
    if let Some(model) = args.show.first() {
        return Err(usage(format!("--show {model}: a page of several runs shows all models; leave it out")));
    }
    let page = comparison::of_runs(session, &runs, args.title.as_deref())?;
    let out = match &args.runs[..] {
        _ if args.out.is_some() => args.out.clone().unwrap_or_default(),
        [one] => one.join(REPORT),
        _ => usual()?,
    };
    finish(session, args, &page, &out, None, None)
}

/// The page where no file is named for it: here, unless somebody else's lies here under this name.
fn usual() -> Result<PathBuf> {
    output::refuse_others(Path::new(REPORT), "name=\"generator\" content=\"qbnn")?;
    Ok(PathBuf::from(REPORT))
}

/// Endings of the files of runs and sweeps that pages are made from.
const READ: [&str; 5] = ["toml", "json", "jsonl", "safetensors", "qbnn"];

/// Refuses to write over what the page is made from.
fn refuse_inputs(args: &ReportCommand) -> Result<()> {
    let mut read = Vec::new();
    for path in args.runs.iter().chain(&args.ledger) {
        let inside = output::inside(path);
        // A folder of run folders.
        read.extend(inside.iter().flat_map(|path| output::inside(path)));
        read.extend(inside);
        read.extend([path.clone()]);
        read.extend(output::inside(&path.with_file_name("ledgers")));
    }
    // What else lies in these folders, pages of before among it, is not read.
    read.retain(|path| path.extension().and_then(|e| e.to_str()).is_some_and(|e| READ.contains(&e)));
    read.extend(args.predictions.iter().cloned());
    if let Some(out) = &args.out {
        let out = if out.is_dir() { out.join(REPORT) } else { out.clone() };
        output::refuse_inputs("--out", &out, &read)?;
    }
    for (flag, folder, ending) in [("--svg", &args.svg, "svg"), ("--png", &args.png, "png")] {
        folder.as_ref().map_or(Ok(()), |folder| output::refuse_inputs_in(flag, folder, ending, &read))?;
    }
    Ok(())
}

/// Writes the page and its figures, and says where.
///
/// `metrics` are those that were measured for it, and stand nowhere else.
fn finish(
    session: &Session,
    args: &ReportCommand,
    page: &Page,
    out: &Path,
    card: Option<&Path>,
    metrics: Option<&Metrics>,
) -> Result<()> {
    let out = if out.is_dir() { out.join(REPORT) } else { out.to_owned() };
    write_whole(&out, page.html.as_bytes())?;
    let mut figures = Vec::new();
    if let Some(folder) = &args.svg {
        let written = report::figures(page, folder, "svg", |svg| Ok::<_, qbnn::Error>(svg.as_bytes().to_vec()))?;
        figures.push((written, folder.display().to_string()));
    }
    if let Some(folder) = &args.png {
        let painter = crate::png::Painter::new()?;
        let written = report::figures(page, folder, "png", |svg| painter.paint(svg))?;
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
