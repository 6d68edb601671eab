//! Quality against the severity of a shift: how fast accuracy and calibration fall, and whether errors are still found
//! (Ovadia et al. 2019, arXiv 1906.02530).

use crate::report::chart::{Axis, Chart, Key, Mark};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::RunReport;
use crate::report::number::{metric, with_interval};
use crate::report::palette;
use crate::{Headline, Metrics, ModelEntry, Score};
use std::collections::{BTreeMap, BTreeSet};

const SHOWN: [(Headline, &str, (f64, f64)); 4] = [
    (Headline::Accuracy, "Accuracy", (0.0, 1.0)),
    (Headline::Nll, "NLL, nats", (0.0, f64::INFINITY)),
    (Headline::Ece, "ECE", (0.0, 1.0)),
    (Headline::ErrorAuroc(Score::Total), "Error AUROC, total", (0.0, 1.0)),
];

/// The severities of every kind of shift that has several, in the order of the groups.
fn kinds(metrics: &Metrics) -> Vec<(&str, BTreeSet<u8>)> {
    let mut all: Vec<(&str, BTreeSet<u8>)> = Vec::new();
    for shift in metrics.models.iter().flat_map(|m| &m.groups).filter_map(|g| g.shift.as_ref()) {
        match all.iter_mut().find(|kind| kind.0 == shift.kind) {
            Some((_, severities)) => _ = severities.insert(shift.severity),
            None => all.push((&shift.kind, BTreeSet::from([shift.severity]))),
        }
    }
    all.retain(|kind| kind.1.len() > 1);
    all
}

/// A metric of the group that a shift made.
fn at(model: &ModelEntry, kind: &str, severity: u8, headline: Headline) -> Option<(f64, Option<[f64; 2]>)> {
    let made = |g: &&crate::GroupEntry| g.shift.as_ref().is_some_and(|s| s.kind == kind && s.severity == severity);
    let group = model.groups.iter().find(made)?;
    Some(((*group.metrics.get(headline))?, *group.ci95.get(headline)))
}

/// (severity, mean over the kinds, lowest, highest) of a model, the clean images as severity 0. A severity at which some kind
/// has no such metric has none.
fn curve(model: &ModelEntry, kinds: &[&str], severities: &BTreeSet<u8>, headline: Headline) -> Vec<(f64, [f64; 3])> {
    let clean = model.value(headline).map(|v| (0.0, [v; 3]));
    let shifted = severities.iter().filter_map(|&severity| {
        let values: Option<Vec<f64>> = kinds.iter().map(|kind| Some(at(model, kind, severity, headline)?.0)).collect();
        let values = values.filter(|v| !v.is_empty())?;
        let ends = values.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |e, &v| [e[0].min(v), e[1].max(v)]);
        Some((f64::from(severity), [values.iter().sum::<f64>() / values.len() as f64, ends[0], ends[1]]))
    });
    clean.into_iter().chain(shifted).collect()
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let kinds = kinds(&report.metrics);
    if kinds.is_empty() {
        return Err(
            "Quality against the severity of a shift is left out: no kind of shift has test groups of several \
                    severities."
                .into(),
        );
    }
    let mut table = Table::new(["shift", "severity", "model"]);
    table.head.extend(SHOWN.map(
        |(headline, title, _)| {
            if headline == Headline::Accuracy { format!("{title} %") } else { title.to_owned() }
        },
    ));
    for (kind, severities) in &kinds {
        for &severity in severities {
            for model in &report.metrics.models {
                if at(model, kind, severity, Headline::Accuracy).is_none() {
                    continue;
                }
                let mut row = vec![(*kind).to_owned(), severity.to_string(), model.name.clone()];
                row.extend(SHOWN.map(|(headline, ..)| {
                    let found = at(model, kind, severity, headline);
                    found.map_or("–".to_owned(), |(value, ci95)| with_interval(headline, value, ci95, false))
                }));
                table.row(row);
            }
        }
    }
    // A mean over other kinds at one severity than at the next would be no curve.
    let every: BTreeSet<u8> = kinds.iter().flat_map(|kind| kind.1.iter().copied()).collect();
    let whole: Vec<&str> = kinds.iter().filter(|kind| kind.1 == every).map(|kind| kind.0).collect();
    let shown = report.shown();
    let models: Vec<_> = shown.into_iter().enumerate().map(|(i, m)| (i, &report.metrics.models[m])).collect();
    let panels = SHOWN.iter().filter(|_| !whole.is_empty()).filter_map(|shown| panel(shown, &models, &whole, &every));
    let panels = panels.collect();
    let mut caption = match whole.as_slice() {
        [] => "No kind of shift has all severities, so that nothing is drawn.".to_owned(),
        [one] => format!("The clean test images (severity 0) and the same after a shift ({one})."),
        many => format!(
            "The clean test images (severity 0) and the same after a shift: the line is the mean over {} kinds ({}), the band \
             their range.",
            many.len(),
            many.join(", ")
        ),
    };
    let part: Vec<&str> = kinds.iter().map(|kind| kind.0).filter(|kind| !whole.contains(kind)).collect();
    if !part.is_empty() {
        caption.push_str(&format!(" Without all severities, and in the table alone: {}.", part.join(", ")));
    }
    caption.push_str(
        " NLL and ECE that rise faster than the accuracy falls are of a network that does not notice. Error AUROC: does the \
         total uncertainty still rank wrong predictions above right ones?",
    );
    let title = "What does a shift of the images do?".into();
    Ok(Figure { id: "severity", title, caption, panels, table })
}

fn panel(
    &(headline, title, limits): &(Headline, &str, (f64, f64)),
    models: &[(usize, &ModelEntry)],
    kinds: &[&str],
    severities: &BTreeSet<u8>,
) -> Option<crate::report::chart::Panel> {
    let curves: BTreeMap<usize, _> =
        models.iter().map(|(i, model)| (*i, curve(model, kinds, severities, headline))).collect();
    let values = || curves.values().flatten().flat_map(|point| point.1);
    values().next()?;
    let legend: Vec<Key> = models.iter().map(|(i, m)| (Mark::Line, palette::model(*i), m.name.clone())).collect();
    let most = severities.last().copied().unwrap_or(1);
    let x = Axis::linear("severity of the shift", 0.0, f64::from(most));
    let mut y = Axis::around(if kinds.len() > 1 { "mean and range over shifts" } else { title }, values(), limits);
    if headline == Headline::Accuracy {
        y = y.percent();
    }
    let ends = |curve: &Vec<(f64, [f64; 3])>| {
        let of = |point: Option<&(f64, [f64; 3])>| point.map_or("–".to_owned(), |p| metric(headline, p.1[0], false));
        format!("from {} to {}", of(curve.first()), of(curve.last()))
    };
    let said: Vec<String> = models.iter().map(|(i, m)| format!("{} {}", m.name, ends(&curves[i]))).collect();
    let description = format!("{title} against the severity of shifts: {}.", said.join(", "));
    let mut chart = Chart::new(title, &description, x, y, &legend, 150.0);
    for (i, points) in &curves {
        let class = palette::model(*i);
        chart.band(&class, &points.iter().map(|(x, [_, low, high])| (*x, *low, *high)).collect::<Vec<_>>());
        chart.line(&class, &points.iter().map(|(x, [mean, ..])| (*x, *mean)).collect::<Vec<_>>());
        points.iter().for_each(|(x, [mean, ..])| chart.point(&class, *x, *mean));
    }
    Some(chart.finish())
}
