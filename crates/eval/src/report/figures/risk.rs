//! Risk and coverage: the accuracy that remains if the most uncertain images are left to a human
//! (El-Yaniv and Wiener 2010; Geifman and El-Yaniv, arXiv 1705.08500).

use super::NO_PREDICTIONS;
use crate::Role;
use crate::rank::rises;
use crate::report::chart::{Axis, Chart, Key, Mark, thin};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::{Kind, ModelPredictions, RunReport};
use crate::report::palette;

/// Accuracy of the `k` least uncertain inputs for every k: (coverage, accuracy). Inputs of one uncertainty share
/// their mean, so that their order does not matter.
pub(crate) fn curve(uncertainty: &[f64], right: &[bool]) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, bool)> = uncertainty.iter().copied().zip(right.iter().copied()).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let n = all.len() as f64;
    let (mut taken, mut hits) = (0usize, 0usize);
    let mut points = Vec::new();
    for ties in all.chunk_by(|a, b| !rises(a.0, b.0)) {
        taken += ties.len();
        hits += ties.iter().filter(|t| t.1).count();
        points.push((taken as f64 / n, hits as f64 / taken as f64));
    }
    points
}

/// Accuracy at a coverage: that of the first point that covers as much.
fn at(points: &[(f64, f64)], coverage: f64) -> f64 {
    let place = points.partition_point(|p| p.0 < coverage - 1e-12);
    points.get(place).or(points.last()).map_or(0.0, |p| p.1)
}

fn right(model: &ModelPredictions, labels: &[usize]) -> Option<Vec<bool>> {
    let clean = model.first(Role::Clean)?;
    (clean.total.len() == labels.len()).then(|| clean.decisions().zip(labels).map(|(d, &l)| d.0 == l).collect())
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models = report.drawn();
    if models.is_empty() {
        return Err(format!("The curve of risk and coverage is left out: {NO_PREDICTIONS}."));
    }
    type Line<'a> = (usize, &'a str, Vec<(f64, f64)>);
    let clean: Vec<Line> = models
        .iter()
        .filter_map(|(i, m)| {
            Some((*i, m.name.as_str(), curve(&m.first(Role::Clean)?.total, &right(m, &report.labels)?)))
        })
        .collect();
    let mixed = |kind: Kind| -> Vec<Line> {
        let one = |m: &'_ ModelPredictions| {
            let mut right = right(m, &report.labels)?;
            let ood = m.first(Role::Ood)?.kind(kind)?;
            right.resize(right.len() + ood.len(), false);
            Some(curve(&[m.first(Role::Clean)?.kind(kind)?, ood].concat(), &right))
        };
        models.iter().filter_map(|(i, m)| Some((*i, m.name.as_str(), one(m)?))).collect()
    };
    let sets = [
        ("Clean images", "Left to a human: the greatest total uncertainty", "clean, by total uncertainty", clean),
        (
            "Clean and OOD, by total",
            "Any decision on an OOD image counts as wrong",
            "clean + ood, by total uncertainty",
            mixed(Kind::Total),
        ),
        (
            "Clean and OOD, by epistemic",
            "Any decision on an OOD image counts as wrong",
            "clean + ood, by epistemic uncertainty",
            mixed(Kind::Epistemic),
        ),
    ];
    let coverages = [0.5, 0.8, 0.9, 0.95, 0.99, 1.0];
    let mut table = Table::new(["images", "model"]);
    table.head.extend(coverages.iter().map(|c| format!("accuracy at {:.0} % coverage", 100.0 * c)));
    let mut panels = Vec::new();
    for (title, says, what, lines) in sets {
        if lines.is_empty() {
            continue;
        }
        let legend: Vec<Key> = lines.iter().map(|l| (Mark::Line, palette::model(l.0), l.1.to_owned())).collect();
        let shown = lines.iter().flat_map(|l| l.2.iter().filter(|p| p.0 >= 0.02).map(|p| p.1));
        let y = Axis::around(&format!("accuracy, {what}"), shown, (0.0, 1.0)).percent();
        let x = Axis::linear("coverage: share decided by the network", 0.0, 1.0).percent();
        let mut chart = Chart::new(title, &format!("{says}. Accuracy against coverage, {what}."), x, y, &legend, 190.0);
        for (i, name, points) in &lines {
            // The first few images say nothing about a rate.
            let far: Vec<_> = points.iter().copied().filter(|p| p.0 >= 0.02).collect();
            chart.line(&palette::model(*i), &thin(&far, 0.004));
            let mut row = vec![what.to_owned(), (*name).to_owned()];
            row.extend(coverages.iter().map(|&c| format!("{:.2} %", 100.0 * at(points, c))));
            table.row(row);
        }
        panels.push(chart.finish());
    }
    if panels.is_empty() {
        return Err("The curve of risk and coverage is left out: the labels of the clean images are missing.".into());
    }
    let caption = "The network decides the images it is least uncertain about and leaves the rest to a human. A curve that rises \
                   to the left means that its uncertainty knows where it errs."
        .into();
    Ok(Figure { id: "risk", title: "What remains if the uncertain is left to a human?".into(), caption, panels, table })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean() {
        let points = curve(&[0.1, 0.1f64.next_up(), 0.5, 0.2], &[true, false, false, true]);
        assert_eq!(points, [(0.5, 0.5), (0.75, 2.0 / 3.0), (1.0, 0.5)]);
        assert_eq!((at(&points, 0.4), at(&points, 1.0)), (0.5, 0.5));
    }
}
