//! ROC curves of both uncertainties, for the question each is meant for and for the other one.

use super::NO_PREDICTIONS;
use crate::rank::rises;
use crate::report::chart::{Axis, Chart, Key, Mark, thin};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::{Kind, ModelPredictions, RunReport};
use crate::report::number::fixed;
use crate::report::palette;
use crate::{Contrast, Headline, Measure, Role, Score};

/// The questions: which uncertainty, which group is to be found among which. Both kinds meet the same negatives.
const QUESTIONS: [(Kind, Score, Contrast, &str); 6] = [
    (Kind::Epistemic, Score::Epistemic, Contrast::OodVsClean, "Epistemic finds ood among clean"),
    (Kind::Aleatoric, Score::Aleatoric, Contrast::OodVsClean, "Cross: aleatoric on ood among clean"),
    (Kind::Epistemic, Score::Epistemic, Contrast::OodVsCleanAmbiguous, "Epistemic finds ood among clean + ambiguous"),
    (
        Kind::Aleatoric,
        Score::Aleatoric,
        Contrast::OodVsCleanAmbiguous,
        "Cross: aleatoric on ood among clean + ambiguous",
    ),
    (Kind::Aleatoric, Score::Aleatoric, Contrast::AmbiguousVsClean, "Aleatoric finds ambiguous among clean"),
    (Kind::Epistemic, Score::Epistemic, Contrast::AmbiguousVsClean, "Cross: epistemic on ambiguous among clean"),
];

/// Points (false positive rate, true positive rate) of every threshold, from (0, 0) to (1, 1). Ties become one
/// slanted stretch, so that the area is the AUROC with ties counted one half.
pub(crate) fn curve(positives: &[f64], negatives: &[f64]) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, bool)> =
        positives.iter().map(|&v| (v, true)).chain(negatives.iter().map(|&v| (v, false))).collect();
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (p, n) = (positives.len().max(1) as f64, negatives.len().max(1) as f64);
    let (mut hits, mut alarms) = (0usize, 0usize);
    let mut points = vec![(0.0, 0.0)];
    for ties in all.chunk_by(|a, b| !rises(b.0, a.0)) {
        let found = ties.iter().filter(|t| t.1).count();
        hits += found;
        alarms += ties.len() - found;
        points.push((alarms as f64 / n, hits as f64 / p));
    }
    points
}

fn scores(model: &ModelPredictions, kind: Kind, roles: &[Role]) -> Option<Vec<f64>> {
    let parts: Option<Vec<&[f64]>> = roles.iter().map(|&r| model.first(r)?.kind(kind)).collect();
    parts.map(|parts| parts.concat())
}

/// The questions on the first groups of their roles; then, of every further OOD group, whether epistemic uncertainty finds
/// it among clean.
fn questions(report: &RunReport) -> Vec<(Kind, Measure, String)> {
    let first = QUESTIONS.map(|(kind, score, contrast, title)| {
        (kind, Measure::from(Headline::Auroc(score, contrast)), title.to_owned())
    });
    let found = [Headline::Auroc(Score::Epistemic, Contrast::OodVsClean)];
    let further = report.metrics.measures(&found).into_iter().filter_map(|measure| {
        let title = format!("Epistemic finds {} among clean", measure.group.as_ref()?);
        Some((Kind::Epistemic, measure, title))
    });
    first.into_iter().chain(further).collect()
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models = report.drawn();
    if models.is_empty() {
        return Err(format!("ROC curves are left out: {NO_PREDICTIONS}."));
    }
    let rates = [0.01, 0.05, 0.1, 0.2, 0.5];
    let mut table = Table::new(["question", "model", "AUROC"]);
    table.head.extend(rates.iter().map(|r| format!("found at {} % false alarms", 100.0 * r)));
    let mut panels = Vec::new();
    for (kind, measure, title) in questions(report) {
        let Headline::Auroc(_, contrast) = measure.headline else { continue };
        let negatives = contrast.negatives();
        let positives = |m: &ModelPredictions| match &measure.group {
            None => scores(m, kind, &[contrast.positives()]),
            Some(group) => m.named(group)?.kind(kind).map(<[f64]>::to_vec),
        };
        let positive = measure.group.as_deref().unwrap_or(contrast.positives().name());
        let curves: Vec<_> = models
            .iter()
            .filter_map(|(i, m)| Some((*i, m, curve(&positives(m)?, &scores(m, kind, negatives)?))))
            .collect();
        if curves.is_empty() {
            continue;
        }
        let auroc = |m: &ModelPredictions| {
            report.entry(&m.name).and_then(|e| e.measured(&measure)).map_or("–".to_owned(), |v| fixed(v, 3, false))
        };
        let legend: Vec<Key> = curves
            .iter()
            .map(|(i, m, _)| (Mark::Line, palette::model(*i), format!("{} {}", m.name, auroc(m))))
            .collect();
        let against = negatives.iter().map(|g| g.name()).collect::<Vec<_>>().join(" + ");
        let description = format!(
            "ROC curve of {} uncertainty, {} against {against}. AUROC: {}.",
            kind.name(),
            positive,
            legend.iter().map(|k| k.2.as_str()).collect::<Vec<_>>().join(", ")
        );
        let x = Axis::linear(&format!("false alarms: share of {against}"), 0.0, 1.0).percent();
        let y = Axis::linear(&format!("found: share of {positive}"), 0.0, 1.0).percent();
        let mut chart = Chart::new(&title, &description, x, y, &legend, 220.0);
        chart.rule((0.0, 0.0), (1.0, 1.0));
        for (i, model, points) in &curves {
            chart.line(&palette::model(*i), &thin(points, 0.006));
            let mut row = vec![title.clone(), model.name.clone(), auroc(model)];
            row.extend(rates.iter().map(|&rate| {
                let at = points.partition_point(|p| p.0 <= rate);
                let found = points.get(at.saturating_sub(1)).map_or(0.0, |p| p.1);
                format!("{:.1} %", 100.0 * found)
            }));
            table.row(row);
        }
        panels.push(chart.finish());
    }
    if panels.is_empty() {
        return Err(
            "ROC curves are left out: they need two groups, and more than one draw for the epistemic ones.".into()
        );
    }
    let caption = "Each threshold on an uncertainty finds a share of the images it should find, and raises false alarms on \
                   others. In the cross panels the diagonal would be best: the wrong kind of uncertainty should not react."
        .into();
    Ok(Figure { id: "roc", title: "Does each uncertainty find what it is meant for?".into(), caption, panels, table })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_auroc() {
        let (p, n) = ([0.9, 0.5, 0.5, 0.1], [0.5f64.next_up(), 0.2, 0.1, 0.0, 0.0]);
        let area: f64 = curve(&p, &n).windows(2).map(|w| (w[1].0 - w[0].0) * (w[1].1 + w[0].1) / 2.0).sum();
        assert!((area - crate::auroc(&p, &n).unwrap()).abs() < 1e-12);
    }
}
