//! `qbnn bench [MODEL…]`: how fast models run.

use super::args::BenchRunArgs;
use super::{computer, failed, progress, record_folder, save, show_targets, threads};
use crate::layout::Sheet;
use crate::session::Session;
use anyhow::{Result, bail};
use qbnn::named;
use qbnn::wording::thousands;
use qbnn::{ensemble, model_file};
use qbnn_bench::Effort;
use qbnn_bench::inference::{BUILT_IN, Plan, Record, Subject, What, measure};
use std::path::Path;

/// Share of waiting from which figures are doubtful.
const BUSY: f64 = 0.02;

/// Measures models, or the two built-in networks.
pub fn run(session: &Session, args: &BenchRunArgs) -> Result<()> {
    let threads = threads(session, &args.bench_threads)?;
    let batches = match args.batch.as_slice() {
        [] => vec![1, 10, 100, 1000],
        given => given.iter().map(|&n| n as usize).collect(),
    };
    record_folder(&args.effort)?;
    let subjects: Vec<Subject> = match args.models.as_slice() {
        [] => BUILT_IN.iter().map(|name| Subject::built_in(name).map_err(failed)).collect::<Result<_>>()?,
        paths => paths.iter().map(|path| subject(path)).collect::<Result<_>>()?,
    };
    let quick = args.effort.quick;
    let effort = if quick { Effort { rounds: 3, seconds: 0.02 } } else { Effort { rounds: 9, seconds: 0.1 } };
    let bar = session.ui.predicting("measuring");
    let plan = Plan { batches, threads, effort };
    let record = measure(&subjects, &plan, &mut progress(session, &bar)).map_err(failed)?;
    bar.finish_and_clear();
    save(session, &args.effort, "run", &record)?;
    if session.ui.json { session.ui.json_line(&record) } else { show(session, &record) }
}

/// A model file that was named.
fn subject(path: &Path) -> Result<Subject> {
    let path = named::model(path)?;
    if ensemble::is_one(&path) {
        bail!("{} names several models; name one of them, since each runs for itself", path.display());
    }
    Subject::of_file(path.display().to_string(), model_file::read(&path)?).map_err(failed)
}

fn show(session: &Session, record: &Record) -> Result<()> {
    let ui = session.ui;
    ui.text(&format!("{}; {} draws", computer(&record.machine), record.draws))?;
    for network in &record.networks {
        let from = network.file.as_deref().unwrap_or("untrained, which takes the same time");
        ui.text(&format!(
            "{} ({from}): {} multiply-adds a draw, kernel {}; bytes: file {}, working memory {} a thread, drawn weights {}",
            network.name,
            thousands(network.multiply_adds),
            network.kernel,
            thousands(network.file_bytes as u64),
            thousands(network.scratch_bytes as u64),
            thousands(network.weights_bytes as u64),
        ))?;
        let mut rows: Vec<Vec<String>> =
            vec![["what", "threads", "batch", "ms", "rate", "of the limit"].map(str::to_owned).to_vec()];
        rows.extend(network.rows.iter().map(|row| {
            let rate = match row.what {
                What::Limit => format!("{:.1} G multiply-adds/s", row.rate / 1e9),
                What::Copy => format!("{:.1} GB/s", row.rate / 1e9),
                What::Drawing => format!("{:.2} G weights/s", row.rate / 1e9),
                What::Materialised | What::Streamed | What::Float | What::Pass | What::Pfp => {
                    format!("{} images/s", thousands(row.rate as u64))
                }
            };
            vec![
                row.what.name().to_owned(),
                row.threads.to_string(),
                row.batch.map_or(String::new(), |b| b.to_string()),
                format!("{:.3}", row.seconds * 1e3),
                rate,
                row.of_limit.map_or(String::new(), |of| format!("{of:.4}")),
            ]
        }));
        ui.table(&Sheet::plain(3, &rows))?;
        if let Some(waited) = network.waited.filter(|&w| w > BUSY) {
            ui.warn(&format!(
                "{}: one thread waited for a core {:.0} % of the time; that is taken off its rows, not off those of two, and \
                 caches were shared: measure again when nothing else runs",
                network.name,
                100.0 * waited
            ));
        }
    }
    if record.networks.iter().any(|n| n.find(What::Float, Some(1), 1).is_some()) {
        ui.text("float: the same layers, an untrained posterior, as many draws; it works in blocks of 32 images")?;
    }
    show_targets(ui, &record.targets)
}
