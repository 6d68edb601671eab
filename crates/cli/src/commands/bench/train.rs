//! `qbnn bench train`: training steps, as multiples of their bare matrix products.

use super::args::BenchTrainArgs;
use super::{computer, failed, progress, record_folder, save, show_targets, threads};
use crate::layout::Sheet;
use crate::session::Session;
use anyhow::Result;
use qbnn_bench::Effort;
use qbnn_bench::training::{BATCH, Kind, Plan, Record, Row, measure};

/// `qbnn bench train`.
pub fn train(session: &Session, args: &BenchTrainArgs) -> Result<()> {
    let threads = threads(session, &args.bench_threads)?;
    record_folder(&args.effort)?;
    let quick = args.effort.quick;
    let effort = if quick { Effort { rounds: 3, seconds: 0.1 } } else { Effort { rounds: 7, seconds: 0.4 } };
    let batches = args.batch.iter().map(|&n| n as usize).collect();
    let plan = Plan { networks: args.net.clone(), batches, threads, effort };
    let bar = session.ui.predicting("measuring");
    let record = measure(&plan, &mut progress(session, &bar)).map_err(failed)?;
    bar.finish_and_clear();
    save(session, &args.effort, "train", &record)?;
    if session.ui.json { session.ui.json_line(&record) } else { show(session, &record) }
}

fn show(session: &Session, record: &Record) -> Result<()> {
    let ui = session.ui;
    ui.result(&computer(&record.machine))?;
    let mut rows: Vec<Vec<String>> = vec![
        ["network", "training", "batch", "threads", "steps/s", "images/s", "step ms", "bare ms", "ratio", "peak MB"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(record.rows.iter().map(|r| {
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
    let profiled: Vec<&Row> = record.rows.iter().filter(|r| r.batch == BATCH && r.threads == 1).collect();
    let names = qbnn_bnn::internals::profile::Part::ALL.map(|(_, name)| name);
    let mut rows: Vec<Vec<String>> =
        vec![["network", "training"].into_iter().chain(names).map(str::to_owned).collect()];
    rows.extend(profiled.iter().map(|r| {
        let parts = names.iter().map(|name| format!("{:.3}", r.parts_ms.get(name).copied().unwrap_or(0.0)));
        [r.network.to_owned(), r.kind.name().to_owned()].into_iter().chain(parts).collect()
    }));
    ui.table(&Sheet::plain(2, &rows))?;
    if let Some(s) = record.sharing {
        ui.text(&format!(
            "{} runs of lenet5: {:.0} images/s one after the other on {} threads, {:.0} side by side on one thread each",
            s.runs, s.in_turn, s.runs, s.side_by_side
        ))?;
    }
    if let Some(e) = record.evaluation {
        ui.text(&format!(
            "evaluation of lenet5, 32 draws of 80,000 images: {:.1} s on {} threads; two epochs of 120,000 pairs: {:.1} s",
            e.seconds, e.threads, e.two_epochs_seconds
        ))?;
    }
    if let (Some(one), Some(two)) = (record.find("lenet5", Kind::Float, 1), record.find("lenet5", Kind::Float, 2)) {
        ui.text(&format!(
            "two threads against one: {:.2} for the step of lenet5, {:.2} for its bare products (what the machine gives)",
            two.steps_per_second / one.steps_per_second,
            one.floor_ms / two.floor_ms
        ))?;
    }
    show_targets(ui, &record.targets)
}
