//! The confusion matrix of each model on clean images.

use super::NO_PREDICTIONS;
use crate::Role;
use crate::report::chart::{Axis, Chart};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::RunReport;
use crate::report::palette;

/// Beyond this many classes cells are too small for numbers.
const NUMBERED: usize = 12;
/// Beyond this many a matrix cannot be read at all.
const MOST: usize = 60;

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models = report.drawn();
    let mut table = Table::new(["model", "true class", "images", "accuracy %", "most often taken for"]);
    let (mut panels, mut unseen) = (Vec::new(), Vec::new());
    for (_, model) in &models {
        let Some(clean) = model.first(Role::Clean).filter(|g| g.total.len() == report.labels.len()) else { continue };
        let classes = clean.classes;
        let mut counts = vec![0usize; classes * classes];
        for ((class, _), &label) in clean.decisions().zip(&report.labels) {
            if let Some(count) = counts.get_mut(label * classes + class) {
                *count += 1;
            }
        }
        unseen = Vec::new();
        for (label, row) in counts.chunks_exact(classes).enumerate() {
            let images: usize = row.iter().sum();
            if images == 0 {
                unseen.push(report.class(label));
            }
            let wrong = row.iter().enumerate().filter(|(c, n)| *c != label && **n > 0).max_by_key(|(_, n)| **n);
            table.row([
                model.name.clone(),
                report.class(label),
                images.to_string(),
                if images == 0 { "–".into() } else { format!("{:.2}", 100.0 * row[label] as f64 / images as f64) },
                wrong.map_or("–".into(), |(c, n)| format!("{} ({n} times)", report.class(c))),
            ]);
        }
        if classes > MOST {
            continue;
        }
        let names: Vec<String> = (0..classes).map(|c| report.short_class(c)).collect();
        let reversed: Vec<String> = names.iter().rev().cloned().collect();
        let errors = report.labels.len() - (0..classes).map(|c| counts[c * classes + c]).sum::<usize>();
        let description = format!(
            "Confusion matrix of {}: {errors} of {} clean images decided wrongly.",
            model.name,
            report.labels.len()
        );
        let (x, y) = (Axis::names("decided", &names), Axis::names("true class", &reversed));
        let title = format!("{}: {errors} errors", model.name);
        let mut chart = Chart::new(&title, &description, x, y, &[], 290.0);
        for (label, row) in counts.chunks_exact(classes).enumerate() {
            let images = row.iter().sum::<usize>().max(1) as f64;
            let y = (classes - 1 - label) as f64;
            for (class, &count) in row.iter().enumerate().filter(|c| *c.1 > 0) {
                // Logarithmic: one error in a thousand must not look like none.
                let share = (1.0 + 999.0 * count as f64 / images).ln() / 1000f64.ln();
                let (opacity, text) = palette::heat(share);
                let x = class as f64;
                chart.cell("heat", [x - 0.48, x + 0.48], [y - 0.47, y + 0.47], opacity);
                if classes <= NUMBERED {
                    chart.text(text, x, y, (0.0, 3.6), &count.to_string());
                }
            }
        }
        panels.push(chart.finish());
    }
    if table.rows.is_empty() {
        let why = if models.is_empty() { NO_PREDICTIONS } else { "the labels of the clean images are missing" };
        return Err(format!("The confusion matrix is left out: {why}."));
    }
    let mut caption =
        "Rows are true classes, columns decisions, on clean images; shades are logarithmic, so that single errors show.".to_owned();
    if !unseen.is_empty() {
        caption.push_str(&format!(" No clean image is of class {}.", unseen.join(", ")));
    }
    if panels.is_empty() {
        caption = format!("More than {MOST} classes: the table has each class, a drawing could not be read.");
    }
    Ok(Figure { id: "confusion", title: "What is taken for what?".into(), caption, panels, table })
}
