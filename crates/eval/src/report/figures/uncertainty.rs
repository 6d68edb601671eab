//! Histograms of aleatoric and epistemic uncertainty by group, all models over each other.
//!
//! The axis is logarithmic: most clean images lie below a hundredth of a nat, and a linear axis would show one bar.

use super::NO_PREDICTIONS;
use crate::Role;
use crate::report::chart::{Axis, Chart, Key, Mark};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::{Kind, RunReport};
use crate::report::number::nats;
use crate::report::palette;

/// Left end of the axis; what is smaller is counted in the first bin.
const LEAST: f64 = 1e-4;
const BINS: usize = 36;

/// Shares of values per bin of a logarithmic axis.
fn shares(values: &[f64], top: f64) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    for &v in values {
        let place = (v.max(LEAST) / LEAST).ln() / (top / LEAST).ln();
        bins[((place * BINS as f64) as usize).min(BINS - 1)] += 1.0 / values.len() as f64;
    }
    bins
}

/// The middle value.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models = report.drawn();
    let Some(classes) = models.iter().flat_map(|m| &m.1.groups).map(|g| g.classes).next() else {
        return Err(format!("Histograms of uncertainty are left out: {NO_PREDICTIONS}."));
    };
    let top = (classes as f64).ln() * 1.0001;
    let edges: Vec<f64> = (0..=BINS).map(|i| LEAST * (top / LEAST).powf(i as f64 / BINS as f64)).collect();
    let mut table = Table::new([
        "model",
        "uncertainty",
        "group",
        "images",
        "median nats",
        "share below 0.001 nats",
        "share above 0.1 nats",
    ]);
    let mut panels = Vec::new();
    for kind in [Kind::Aleatoric, Kind::Epistemic] {
        let mut present: Vec<(&str, Role)> = Vec::new();
        for group in models.iter().flat_map(|m| &m.1.groups).filter(|g| g.kind(kind).is_some()) {
            if !present.iter().any(|p| p.0 == group.name) {
                present.push((&group.name, group.role));
            }
        }
        if present.is_empty() {
            continue;
        }
        let legend: Vec<Key> = models
            .iter()
            .map(|(i, m)| {
                if *i == 0 {
                    (Mark::Fill, "ghost".into(), m.name.clone())
                } else {
                    (Mark::Line, format!("ink {}", palette::dashes(*i)), m.name.clone())
                }
            })
            .collect();
        let rows = present.len() as f64;
        let x = Axis::log10(&format!("{} uncertainty, nats (logarithmic)", kind.name()), LEAST, top);
        let y = Axis::bare("share of images, each group to its own highest bin", 0.0, rows);
        let description = format!(
            "Histograms of {} uncertainty of {}, models over each other.",
            kind.name(),
            present.iter().map(|g| g.0).collect::<Vec<_>>().join(", ")
        );
        let mut chart =
            Chart::new(&format!("{} by group", capital(kind.name())), &description, x, y, &legend, 76.0 * rows);
        for (row, &(group, role)) in present.iter().enumerate() {
            let base = rows - 1.0 - row as f64;
            let histograms: Vec<_> = models
                .iter()
                .filter_map(|(i, m)| Some((*i, &m.name, m.named(group)?.kind(kind)?)))
                .map(|(i, name, values)| (i, name, values, shares(values, top)))
                .collect();
            let highest = histograms.iter().flat_map(|h| &h.3).copied().fold(1e-9, f64::max);
            for (i, name, values, bins) in histograms {
                let heights: Vec<f64> = bins.iter().map(|b| 0.86 * b / highest).collect();
                let class = palette::group(role);
                if i == 0 {
                    chart.steps(class, &edges, &heights, base, true);
                } else {
                    chart.steps(&format!("{class} {}", palette::dashes(i)), &edges, &heights, base, false);
                }
                let share = |keep: &dyn Fn(f64) -> bool| {
                    let n = values.iter().filter(|v| keep(**v)).count();
                    format!("{:.1} %", 100.0 * n as f64 / values.len().max(1) as f64)
                };
                table.row([
                    name.clone(),
                    kind.name().to_owned(),
                    group.to_owned(),
                    values.len().to_string(),
                    nats(median(values)),
                    share(&|v| v < 1e-3),
                    share(&|v| v > 0.1),
                ]);
            }
            chart.rule((LEAST, base), (top, base));
            chart.text(&format!("tg {}", palette::group(role)), LEAST, base + 0.86, (6.0, 8.0), group);
        }
        panels.push(chart.finish());
    }
    let mut caption = "Clean images should lie left. Aleatoric uncertainty should move ambiguous images to the right, epistemic the \
                       OOD ones. Where line and area coincide, the models agree. What lies below 0.0001 nats is counted in the \
                       first bin."
        .to_owned();
    if panels.len() == 1 {
        caption.push_str(" Epistemic uncertainty is left out: with a single draw there is nothing to disagree.");
    }
    Ok(Figure { id: "uncertainty", title: "Where each kind of uncertainty lies".into(), caption, panels, table })
}

/// The first letter in capitals.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |c| c.to_uppercase().chain(letters).collect())
}
