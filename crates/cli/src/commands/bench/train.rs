//! `qbnn bench train`: training steps, as multiples of their bare matrix products.

use super::{Bar, record, record_folder, show_bars, threads};
use crate::bench::args::BenchTrainArgs;
use crate::bench::machine::Machine;
use crate::bench::networks::NAMES;
use crate::bench::train::{Case, Effort, Evaluation, Kind, Row, Sharing, evaluation, measure, sharing};
use crate::failure::usage;
use crate::layout::Sheet;
use crate::session::Session;
use anyhow::{Result, bail};
use serde::Serialize;

/// Batch of the rows that the bars judge.
const BATCH: usize = 128;

/// A bar: a network, a kind, and the most that a step may take in bare products, on one thread.
const BARS: [(&str, Kind, f64); 4] = [
    ("lenet5", Kind::Float, 1.8),
    ("lenet5", Kind::JqW4a4, 2.1),
    ("mlp", Kind::Float, 1.8),
    ("residual", Kind::Float, 2.5),
];
/// Two threads against one, lenet5 in float.
const TWO_THREADS: f64 = 1.8;

#[derive(Serialize)]
struct Report {
    machine: Machine,
    bars: Vec<Bar>,
    rows: Vec<Row>,
    sharing: Option<Sharing>,
    evaluation: Option<Evaluation>,
}

/// `qbnn bench train`.
pub fn train(session: &Session, args: &BenchTrainArgs) -> Result<()> {
    let threads = threads(session, &args.bench_threads)?;
    record_folder(&args.effort)?;
    let named = |name: &String| match NAMES.iter().find(|known| *known == name) {
        Some(known) => Ok(*known),
        None => Err(usage(format!("--net {name}: no such network to measure; there are {}", NAMES.join(", ")))),
    };
    let networks = args.net.iter().map(named).collect::<Result<Vec<_>>>()?;
    let quick = args.effort.quick;
    let effort = if quick { Effort { rounds: 3, seconds: 0.1 } } else { Effort { rounds: 7, seconds: 0.4 } };
    let cases = cases(&networks, &args.batch, &threads);
    let bar = session.ui.predicting("measuring");
    bar.set_length(cases.len() as u64);
    let mut rows = Vec::new();
    for case in cases {
        if session.stopped() {
            bail!("stopped after {} measurements; nothing was written", rows.len());
        }
        rows.push(measure(case, effort)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let most = threads.iter().copied().max().unwrap_or(1);
    let whole = networks.is_empty() || networks.contains(&"lenet5");
    let sharing = if whole && most > 1 { Some(sharing(most, effort)?) } else { None };
    let evaluation = if whole { Some(evaluation(most, effort)?) } else { None };
    let report = Report { machine: Machine::here(), bars: bars(&rows), rows, sharing, evaluation };
    record(session, &args.effort, "train", &report)?;
    if session.ui.json {
        return session.ui.json_line(&serde_json::to_value(&report)?);
    }
    show(session, &report)
}

/// Everything by default: both built-in networks, float and QAT, three batches; the other estimators and the
/// residual network at one.
fn cases(networks: &[&'static str], batches: &[u32], threads: &[usize]) -> Vec<Case> {
    let mut cases = Vec::new();
    for network in NAMES.into_iter().filter(|n| networks.is_empty() || networks.contains(n)) {
        for &threads in threads {
            let all: &[(Kind, &[usize])] = match network {
                "residual" => &[(Kind::Float, &[BATCH])],
                _ => &[
                    (Kind::Float, &[32, BATCH, 512]),
                    (Kind::JqW4a4, &[32, BATCH, 512]),
                    (Kind::Local, &[BATCH]),
                    (Kind::Flipout, &[BATCH]),
                ],
            };
            for (kind, default) in all {
                let given: Vec<usize> = batches.iter().map(|&b| b as usize).collect();
                let batches = if given.is_empty() { default.to_vec() } else { given };
                cases.extend(batches.into_iter().map(|batch| Case { network, kind: *kind, batch, threads }));
            }
        }
    }
    cases
}

fn find<'a>(rows: &'a [Row], network: &str, kind: Kind, threads: usize) -> Option<&'a Row> {
    rows.iter().find(|r| (r.network, r.kind, r.batch, r.threads) == (network, kind, BATCH, threads))
}

fn bars(rows: &[Row]) -> Vec<Bar> {
    let find = |network: &str, kind: Kind, threads: usize| find(rows, network, kind, threads);
    let mut out = Vec::new();
    for (network, kind, bar) in BARS {
        if let Some(row) = find(network, kind, 1) {
            out.push(Bar::at_most(format!("{network} {}: step over bare products", kind.name()), bar, row.ratio));
        }
    }
    if let (Some(one), Some(two)) = (find("lenet5", Kind::Float, 1), find("lenet5", Kind::Float, 2)) {
        let measured = two.steps_per_second / one.steps_per_second;
        out.push(Bar::at_least("lenet5 float: two threads against one".to_owned(), TWO_THREADS, measured));
    }
    out
}

fn show(session: &Session, report: &Report) -> Result<()> {
    let ui = session.ui;
    let machine = &report.machine;
    ui.result(&format!("{}, {} cores", machine.cpu.as_deref().unwrap_or("unknown processor"), machine.cores))?;
    let mut rows: Vec<Vec<String>> = vec![
        ["network", "training", "batch", "threads", "steps/s", "images/s", "step ms", "bare ms", "ratio", "peak MB"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(report.rows.iter().map(|r| {
        vec![
            r.network.to_owned(),
            r.kind.name().to_owned(),
            r.batch.to_string(),
            r.threads.to_string(),
            format!("{:.1}", r.steps_per_second),
            format!("{:.0}", r.images_per_second),
            format!("{:.3}", 1e3 / r.steps_per_second),
            format!("{:.3}", r.floor_ms),
            format!("{:.2}x", r.ratio),
            r.peak_bytes.map_or("?".into(), |b| format!("{:.0}", b as f64 / 1e6)),
        ]
    }));
    ui.table(&Sheet::plain(4, &rows))?;
    ui.text("where the time goes: milliseconds of a step, batch 128, one thread")?;
    let profiled: Vec<&Row> = report.rows.iter().filter(|r| r.batch == BATCH && r.threads == 1).collect();
    let names = qbnn_bnn::internals::profile::Part::ALL.map(|(_, name)| name);
    let mut rows: Vec<Vec<String>> =
        vec![["network", "training"].into_iter().chain(names).map(str::to_owned).collect()];
    rows.extend(profiled.iter().map(|r| {
        let parts = names.iter().map(|name| format!("{:.3}", r.parts_ms.get(name).copied().unwrap_or(0.0)));
        [r.network.to_owned(), r.kind.name().to_owned()].into_iter().chain(parts).collect()
    }));
    ui.table(&Sheet::plain(2, &rows))?;
    if let Some(s) = report.sharing {
        ui.text(&format!(
            "{} runs of lenet5: {:.0} images/s one after the other on {} threads, {:.0} side by side on one thread each",
            s.runs, s.in_turn, s.runs, s.side_by_side
        ))?;
    }
    if let Some(e) = report.evaluation {
        ui.text(&format!(
            "evaluation of lenet5, 32 draws of 80,000 images: {:.1} s on {} threads; two epochs of 120,000 pairs: {:.1} s",
            e.seconds, e.threads, e.two_epochs_seconds
        ))?;
    }
    if let (Some(one), Some(two)) =
        (find(&report.rows, "lenet5", Kind::Float, 1), find(&report.rows, "lenet5", Kind::Float, 2))
    {
        ui.text(&format!(
            "two threads against one: {:.2} for the step of lenet5, {:.2} for its bare products (what the machine gives)",
            two.steps_per_second / one.steps_per_second,
            one.floor_ms / two.floor_ms
        ))?;
    }
    show_bars(ui, &report.bars)
}
