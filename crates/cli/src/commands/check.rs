//! `qbnn check`: does the integer runtime compute the network that was trained?
//!
//! Training simulates the grids in float; a device computes in integers. Both predict the same groups with the same drawn
//! weights, and what differs is shown.

use crate::layout::Sheet;
use crate::session::Session;
use crate::settings::{BaseArgs, EvalArgs};
use anyhow::{Context, Result, bail};
use clap::Args;
use qbnn::evaluate::{self, predicted};
use qbnn::experiment;
use qbnn::preprocess::Prepared;
use qbnn::steps::select::{Selected, names};
use qbnn::wording::thousands;
use qbnn_bnn::predictor::{Draws, Export, Predictor};
use qbnn_eval::Agreement;
use serde_json::json;
use std::path::PathBuf;

/// Most that a metric may differ.
const TOLERANCE: f64 = 1e-3;

/// `check`.
#[derive(Debug, Args)]
pub struct CheckCommand {
    /// Run folders (all their JQ models) or checkpoints.
    #[arg(value_name = "RUN|CHECKPOINT", required = true)]
    pub models: Vec<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Settings.
    #[command(flatten)]
    pub eval: EvalArgs,
}

/// Checks.
pub fn check(session: &Session, args: &CheckCommand) -> Result<()> {
    let selected = Selected::new("check", &args.models, &|run| args.base.layers(run, &[&args.eval]))?;
    let config = &selected.config;
    let dataset = experiment::load(config)?;
    let data = Prepared::new(&dataset);
    evaluate::check_draws(&data, selected.config.eval.samples)?;
    selected.fit(session, &data)?;
    let all = &selected.entries;
    let names = names(all);
    let mut found = Vec::new();
    for (name, entry) in names.into_iter().zip(all) {
        let export = Export::new(&entry.checkpoint);
        if let Some((mut integer, mut simulated)) = export.both()? {
            let draws = Draws { count: config.eval.samples, seed: config.seed };
            let groups = |what: &str, predictor: &mut dyn Predictor| match predicted(
                session,
                &format!("{name}, {what}"),
                predictor,
                &data,
                draws,
            ) {
                Err(e) if e.is_stopped() => bail!("stopped; nothing was written"),
                all => Ok(all?),
            };
            let agreement = Agreement::of(&groups("simulated", &mut simulated)?, &groups("machine", &mut integer)?)
                .with_context(|| format!("cannot compare {name}"))?;
            found.push((name, agreement));
        } else if entry.checkpoint.quantize.is_some() {
            let reason = export.file().err().map_or("it is not JQ".to_owned(), |e| e.to_string());
            session.ui.warn(&format!("{name} is left out: {reason}"));
        }
    }
    if found.is_empty() {
        bail!("no JQ network among them that the machine runs; `qbnn quantize RUN` makes one");
    }
    show(session, &found)?;
    let off: Vec<&str> = found.iter().filter(|(_, a)| !agrees(a)).map(|(n, _)| n.as_str()).collect();
    if !off.is_empty() {
        bail!("{}: a metric of machine and simulation differs by more than {TOLERANCE}", off.join(", "));
    }
    Ok(())
}

fn agrees(agreement: &Agreement) -> bool {
    agreement.largest_difference().is_none_or(|(_, d)| d <= TOLERANCE)
}

fn show(session: &Session, found: &[(String, Agreement)]) -> Result<()> {
    let ui = session.ui;
    if ui.json {
        let models: Vec<_> =
            found.iter().map(|(name, a)| json!({ "model": name, "agrees": agrees(a), "agreement": a })).collect();
        return ui.json_line(&json!({ "tolerance": TOLERANCE, "models": models }));
    }
    let mut rows = vec![
        ["model", "group", "images", "other class", "largest lead there", "largest change of a probability"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (name, agreement) in found {
        rows.extend(agreement.groups.iter().map(|g| {
            vec![
                name.clone(),
                g.group.clone(),
                thousands(g.images as u64),
                g.classes_differ.to_string(),
                format!("{:.5}", g.largest_lead),
                format!("{:.5}", g.largest_difference),
            ]
        }));
    }
    ui.table(&Sheet::plain(2, &rows))?;
    for (name, agreement) in found {
        if let Some((metric, difference)) = agreement.largest_difference() {
            ui.text(&format!("{name}: no metric differs by more than {difference:.6} ({})", metric.name()))?;
        }
    }
    Ok(())
}
