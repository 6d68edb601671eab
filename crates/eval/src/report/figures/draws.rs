//! Quality against the number of draws S.

use crate::report::chart::{Axis, Chart, Key, Mark};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::RunReport;
use crate::report::number::metric;
use crate::report::palette;
use crate::{Contrast, Headline, Score};

const SHOWN: [(Headline, &str, (f64, f64)); 6] = [
    (Headline::Auroc(Score::Epistemic, Contrast::OodVsClean), "AUROC epistemic, ood vs clean", (0.0, 1.0)),
    (Headline::Auroc(Score::Aleatoric, Contrast::OodVsClean), "AUROC aleatoric, ood vs clean", (0.0, 1.0)),
    (
        Headline::Auroc(Score::Epistemic, Contrast::OodVsCleanAmbiguous),
        "AUROC epistemic, ood vs clean + ambiguous",
        (0.0, 1.0),
    ),
    (Headline::AMBIGUOUS, "AUROC aleatoric, ambiguous vs clean", (0.0, 1.0)),
    (Headline::Nll, "NLL, nats", (0.0, f64::INFINITY)),
    (Headline::Accuracy, "Accuracy", (0.0, 1.0)),
];

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models: Vec<_> = report
        .shown()
        .into_iter()
        .enumerate()
        .map(|(i, m)| (i, &report.metrics.models[m]))
        .filter(|m| m.1.by_samples.len() > 1)
        .collect();
    let Some(most) = models.iter().flat_map(|m| &m.1.by_samples).map(|e| e.samples).max() else {
        let why = if report.metrics.models.iter().any(|m| m.samples > 1) {
            "the metrics hold only one number of draws; `qbnn eval` on the run measures more"
        } else {
            "there is a single draw"
        };
        return Err(format!("Quality against the number of draws is left out: {why}."));
    };
    let mut table = Table::new(["metric", "model", "draws S", "sets of S draws", "mean", "lowest", "highest"]);
    let mut panels = Vec::new();
    let legend: Vec<Key> = models.iter().map(|(i, m)| (Mark::Line, palette::model(*i), m.name.clone())).collect();
    for (headline, title, limits) in SHOWN {
        let spreads = || models.iter().flat_map(|m| &m.1.by_samples).filter_map(|e| *e.metrics.get(headline));
        if spreads().next().is_none() {
            continue;
        }
        let mut powers: Vec<(f64, String)> = std::iter::successors(Some(1u64), |s| Some(s * 2))
            .take_while(|s| *s <= most)
            .map(|s| (s as f64, s.to_string()))
            .collect();
        let stride = powers.len().div_ceil(8).max(1);
        powers = powers.into_iter().step_by(stride).collect();
        let x = Axis::log_at("draws S (logarithmic)", 1.0, most.max(2) as f64, powers);
        let mut y = Axis::around("mean and range over sets of draws", spreads().flat_map(|s| [s.low, s.high]), limits);
        if headline == Headline::Accuracy {
            y = y.percent();
        }
        let description = format!(
            "{title} against the number of draws of {}.",
            models.iter().map(|m| m.1.name.as_str()).collect::<Vec<_>>().join(", ")
        );
        let mut chart = Chart::new(title, &description, x, y, &legend, 150.0);
        for (i, model) in &models {
            let points: Vec<_> = model
                .by_samples
                .iter()
                .filter_map(|e| e.metrics.get(headline).map(|s| (e.samples as f64, e.sets, s)))
                .collect();
            let class = palette::model(*i);
            chart.band(&class, &points.iter().map(|(s, _, p)| (*s, p.low, p.high)).collect::<Vec<_>>());
            chart.line(&class, &points.iter().map(|(s, _, p)| (*s, p.mean)).collect::<Vec<_>>());
            for (s, sets, p) in points {
                chart.point(&class, s, p.mean);
                let mut row = vec![title.to_owned(), model.name.clone(), s.to_string(), sets.to_string()];
                row.extend([p.mean, p.low, p.high].map(|v| metric(headline, v, false)));
                table.row(row);
            }
        }
        panels.push(chart.finish());
    }
    let caption = "Each S is measured on up to eight disjoint sets of the draws; the band is their range, and says how much luck a \
                   single set holds. Where the lines are flat, fewer draws would do. Epistemic uncertainty begins at S = 2."
        .into();
    Ok(Figure { id: "draws", title: "How many draws does it take?".into(), caption, panels, table })
}
