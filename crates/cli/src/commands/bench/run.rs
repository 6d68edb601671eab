//! `qbnn bench [MODEL…]`: how fast models run.

use super::{Bar, record, record_folder, show_bars, threads};
use crate::bench::args::BenchRunArgs;
use crate::bench::machine::Machine;
use crate::bench::run::{DRAWS, Measured, What, cases, measure};
use crate::bench::subject::{BUILT_IN, Subject};
use crate::bench::train::Effort;
use crate::layout::Sheet;
use crate::session::Session;
use anyhow::Result;
use qbnn::wording::thousands;
use serde::Serialize;
use std::ops::ControlFlow;

/// The network of the bars below, and what it and the other built-in one must reach of the limit: materialised, batch
/// 1000, one thread.
const JUDGED: &str = "lenet5";
const OF_LIMIT: [(&str, f64); 2] = [("lenet5", 0.35), ("mlp", 0.7)];
/// Images a second at batch 1, of those at batch 1000.
const ALONE: f64 = 0.4;
/// Latency at batch 1: streamed over materialised.
const STREAMED: f64 = 3.0;
/// Weights drawn a second, of the limit's multiply-adds.
const DRAWN: f64 = 1.0 / 45.0;
/// Latency of one image: an analytic pass over a float pass.
const PFP: f64 = 4.0;
/// Two threads against one, batch 1000.
const TWO_THREADS: f64 = 1.8;
/// Batch of throughput.
const MANY: usize = 1000;

/// Share of waiting from which figures are doubtful.
const BUSY: f64 = 0.02;

#[derive(Serialize)]
struct Report {
    machine: Machine,
    draws: u32,
    bars: Vec<Bar>,
    networks: Vec<Measured>,
}

/// Measures models, or the two built-in networks.
pub fn run(session: &Session, args: &BenchRunArgs) -> Result<()> {
    let threads = threads(session, &args.bench_threads)?;
    let batches = match args.batch.as_slice() {
        [] => vec![1, 10, 100, MANY],
        given => given.iter().map(|&n| n as usize).collect(),
    };
    record_folder(&args.effort)?;
    let subjects: Vec<Subject> = match args.models.as_slice() {
        [] => BUILT_IN.iter().map(|name| Subject::built_in(name)).collect::<Result<_>>()?,
        paths => paths.iter().map(|path| Subject::read(path)).collect::<Result<_>>()?,
    };
    let quick = args.effort.quick;
    let effort = if quick { Effort { rounds: 3, seconds: 0.02 } } else { Effort { rounds: 9, seconds: 0.1 } };
    let bar = session.ui.predicting("measuring");
    let lists: Vec<_> = subjects.iter().map(|s| cases(&batches, &threads, s.float.is_some())).collect();
    bar.set_length(lists.iter().map(|l| (l.len() * effort.rounds) as u64).sum());
    let mut networks = Vec::new();
    for (subject, cases) in subjects.iter().zip(&lists) {
        let mut tick = || {
            bar.inc(1);
            if session.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        networks.push(measure(subject, cases, effort, &mut tick)?);
    }
    bar.finish_and_clear();
    let bars = networks.iter().flat_map(bars).collect();
    let report = Report { machine: Machine::here(), draws: DRAWS, bars, networks };
    record(session, &args.effort, "run", &report)?;
    if session.ui.json {
        return session.ui.json_line(&serde_json::to_value(&report)?);
    }
    show(session, &report)
}

/// The bars that the rows of a network can answer; networks that are not built in have none.
fn bars(network: &Measured) -> Vec<Bar> {
    let find = |what, batch, threads| network.find(what, batch, threads);
    let (one, many) = (find(What::Materialised, Some(1), 1), find(What::Materialised, Some(MANY), 1));
    let name = |what: &str| format!("{}: {what}", network.name);
    let mut out = Vec::new();
    if let (Some((_, bar)), Some(of)) =
        (OF_LIMIT.iter().find(|(of, _)| *of == network.name), many.and_then(|row| row.of_limit))
    {
        out.push(Bar::at_least(name("materialised, batch 1000, of the limit"), *bar, of));
    }
    if network.name != JUDGED {
        return out;
    }
    if let (Some(one), Some(many)) = (one, many) {
        out.push(Bar::at_least(
            name("materialised, images/s at batch 1 of those at 1000"),
            ALONE,
            one.rate / many.rate,
        ));
    }
    if let (Some(one), Some(streamed)) = (one, find(What::Streamed, Some(1), 1)) {
        let ratio = streamed.seconds / one.seconds;
        out.push(Bar::at_most(name("latency at batch 1, streamed over materialised"), STREAMED, ratio));
    }
    if let Some(of) = find(What::Drawing, None, 1).and_then(|row| row.of_limit) {
        out.push(Bar::at_least(name("weights drawn, of the limit's multiply-adds"), DRAWN, of));
    }
    if let (Some(pass), Some(pfp)) = (find(What::Pass, Some(1), 1), find(What::Pfp, Some(1), 1)) {
        out.push(Bar::at_most(name("latency at batch 1, PFP over one float pass"), PFP, pfp.seconds / pass.seconds));
    }
    if let (Some(one), Some(two)) = (many, find(What::Materialised, Some(MANY), 2)) {
        out.push(Bar::at_least(
            name("two threads against one, batch 1000"),
            TWO_THREADS,
            one.wall_seconds / two.wall_seconds,
        ));
    }
    out
}

fn show(session: &Session, report: &Report) -> Result<()> {
    let ui = session.ui;
    let machine = &report.machine;
    ui.text(&format!(
        "{}, {} cores; {DRAWS} draws",
        machine.cpu.as_deref().unwrap_or("unknown processor"),
        machine.cores
    ))?;
    for network in &report.networks {
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
    if report.networks.iter().any(|n| n.find(What::Float, Some(1), 1).is_some()) {
        ui.text("float: the same layers, an untrained posterior, as many draws; it works in blocks of 32 images")?;
    }
    show_bars(ui, &report.bars)
}
