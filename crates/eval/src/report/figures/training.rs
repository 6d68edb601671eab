//! Training: NLL, KL and accuracy by epoch, float and then through the quantizers.

use crate::report::chart::{Axis, Chart, Key, Mark};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::{Epoch, RunReport};
use crate::report::number::{fixed, short};
use crate::report::palette;

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let shown: Vec<&str> = report.shown().into_iter().map(|i| report.metrics.models[i].name.as_str()).collect();
    let all: Vec<&Epoch> = report.epochs.iter().filter(|e| shown.contains(&e.model.as_str())).collect();
    if all.is_empty() {
        return Err("Training curves are left out: no epoch is recorded.".into());
    }
    // One phase after the other, as they happened.
    let mut phases: Vec<(&str, Vec<&Epoch>)> = Vec::new();
    for epoch in all.iter().copied() {
        match phases.iter_mut().find(|p| p.0 == epoch.model) {
            Some(phase) => phase.1.push(epoch),
            None => phases.push((&epoch.model, vec![epoch])),
        }
    }
    let place = |name: &str, i: usize| shown.iter().position(|m| *m == name).unwrap_or(i);
    let total: usize = phases.iter().map(|p| p.1.len()).sum();
    let mut table = Table::new(["model", "epoch", "NLL", "KL", "validation NLL", "validation accuracy %"]);
    for e in &all {
        table.row([
            e.model.clone(),
            e.epoch.to_string(),
            short(e.nll),
            short(e.kl),
            short(e.validation_nll),
            fixed(100.0 * e.validation_accuracy, 2, false),
        ]);
    }
    type Series = (&'static str, &'static str, fn(&Epoch) -> f64);
    let charts: [(&str, &str, &[Series], bool); 3] = [
        (
            "NLL",
            "nats per image",
            &[("training", "solid", |e| e.nll), ("validation", "fine", |e| e.validation_nll)],
            false,
        ),
        ("KL divergence", "nats per training image", &[("", "solid", |e| e.kl)], false),
        ("Accuracy", "on validation images", &[("", "solid", |e| e.validation_accuracy)], true),
    ];
    let mut panels = Vec::new();
    for (title, unit, series, percent) in charts {
        let values = || all.iter().flat_map(|e| series.iter().map(|s| s.2(e)));
        let top = if percent { 1.0 } else { f64::INFINITY };
        let mut y = Axis::around(unit, values(), (0.0, top));
        if percent {
            y = y.percent();
        }
        let x = Axis::linear("epoch", 0.0, total.max(1) as f64);
        let mut legend: Vec<Key> = Vec::new();
        for (i, (name, _)) in phases.iter().enumerate() {
            for (what, style, _) in series {
                let text = if what.is_empty() { (*name).to_owned() } else { format!("{name} {what}") };
                legend.push((Mark::Line, format!("{} {style}", palette::model(place(name, i))), text));
            }
        }
        let description =
            format!("{title} by epoch of {}.", phases.iter().map(|p| p.0).collect::<Vec<_>>().join(", then "));
        let mut chart = Chart::new(title, &description, x, y, &legend, 150.0);
        let mut before = 0;
        for (i, (name, epochs)) in phases.iter().enumerate() {
            let class = palette::model(place(name, i));
            for (_, style, value) in series {
                let points: Vec<_> =
                    epochs.iter().enumerate().map(|(n, e)| ((before + n + 1) as f64, value(e))).collect();
                let style = format!("{class} {style}");
                if let [(x, y)] = points[..] {
                    chart.point(&style, x, y);
                }
                chart.line(&style, &points);
            }
            before += epochs.len();
        }
        panels.push(chart.finish());
    }
    let caption = "Epochs of float training, then of training through the quantizers. The KL has settled when its curve is flat; \
                   trained further, it would still move weights to the prior."
        .into();
    Ok(Figure { id: "training", title: "Training".into(), caption, panels, table })
}
