//! What each model is worth once it is calibrated on validation images, on every labelled group: a table without a drawing.

use super::aurocs::beside;
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::RunReport;
use crate::report::number::{fixed, thousands};
use crate::{ALPHA, ConformalScore, Headline, ModelEntry, Role};

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let sets = [ConformalScore::Lac, ConformalScore::Aps, ConformalScore::ApsRandomised];
    let mut head = vec!["group".to_owned(), "model".to_owned(), "temperature".to_owned()];
    let columns = [Headline::Nll, Headline::NllAtTemperature, Headline::Ece, Headline::EceAtTemperature];
    let columns: Vec<Headline> = columns
        .into_iter()
        .chain(sets.into_iter().flat_map(|s| [Headline::Coverage(s), Headline::SetSize(s)]))
        .collect();
    head.extend(columns.iter().map(|h| format!("{} {}", h.about().title, h.about().unit).trim_end().to_owned()));
    let mut table = Table::new(head);
    let calibrated = |m: &&ModelEntry| m.calibrator.is_some();
    for measure in report.metrics.measures(&[Headline::NllAtTemperature]) {
        for model in report.metrics.models.iter().filter(calibrated) {
            let Some(calibrator) = model.calibrator.as_ref().filter(|_| model.measured(&measure).is_some()) else {
                continue;
            };
            let mut row = vec![
                measure.group.clone().unwrap_or_else(|| Role::Clean.name().to_owned()),
                model.name.clone(),
                fixed(calibrator.temperature, 4, false),
            ];
            row.extend(columns.iter().map(|&headline| beside(model, &measure, headline)));
            table.row(row);
        }
    }
    let Some(calibrator) = report.metrics.models.iter().find_map(|m| m.calibrator.as_ref()) else {
        return Err("What calibration makes of the models is left out: no validation images were predicted with these metrics; \
                    `qbnn eval` predicts them."
            .into());
    };
    let caption = format!(
        "On {} validation images, and after quantization, each model got one temperature (smallest NLL of the mean prediction) and \
         conformal sets that are to hold the right class with {:.0} %: LAC takes classes by their probability, APS by the sum of \
         the probabilities down to them, randomised APS with a share of the class's own. Measured here on test images; the \
         intervals are over these alone. The promise holds for images like those of the validation: where coverage is off by \
         more than a point, the two are not alike, or the group is shifted.",
        thousands(calibrator.inputs),
        100.0 * (1.0 - ALPHA)
    );
    let title = "What is calibration worth?".into();
    Ok(Figure { id: "calibrated", title, caption, panels: Vec::new(), table })
}
