//! Reliability diagrams with histograms of confidence (DeGroot and Fienberg 1983; Guo et al., arXiv 1706.04599).

use super::NO_PREDICTIONS;
use crate::calibration::bin_of;
use crate::report::chart::{Axis, Chart, Mark};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::RunReport;
use crate::report::number::fixed;
use crate::report::palette;
use crate::sum::Sum;
use crate::{ECE_BINS, Headline, Role};

/// What lies in one bin of confidence.
#[derive(Clone, Copy, Default)]
struct Bin {
    images: usize,
    right: usize,
    confidence: Sum,
}

/// 95 % interval of a rate (Wilson 1927): sound for few images, where the normal one is not.
pub(crate) fn wilson(right: usize, images: usize) -> (f64, f64) {
    if images == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (images as f64, 1.959_963_985);
    let p = right as f64 / n;
    let middle = p + z * z / (2.0 * n);
    let reach = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - reach) / scale).max(0.0), ((middle + reach) / scale).min(1.0))
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models = report.drawn();
    let mut table = Table::new(["model", "confidence", "images", "mean confidence %", "accuracy %", "95 % interval"]);
    let mut panels = Vec::new();
    for (i, model) in &models {
        let Some(clean) = model.first(Role::Clean).filter(|g| g.total.len() == report.labels.len()) else { continue };
        let mut bins = [Bin::default(); ECE_BINS];
        for ((class, p), &label) in clean.decisions().zip(&report.labels) {
            let bin = &mut bins[bin_of(p, clean.precision)];
            bin.images += 1;
            bin.right += usize::from(class == label);
            bin.confidence.add(p);
        }
        let ece = report.entry(&model.name).and_then(|e| e.value(Headline::Ece));
        let ece = ece.map_or("–".to_owned(), |e| fixed(e, 4, false));
        let description = format!(
            "Reliability diagram of {}: accuracy against confidence in {ECE_BINS} bins. ECE {ece}.",
            model.name
        );
        let legend = [(
            Mark::Line,
            format!("{} solid", palette::model(*i)),
            format!("accuracy and its 95 % interval; ECE {ece}"),
        )];
        let x = Axis::linear("confidence: the greatest probability", 0.0, 1.0).percent();
        // Below zero hangs the histogram; its axis has no ticks of its own, the table has the counts.
        let mut y = Axis::linear("accuracy; below it the share of images by confidence", 0.0, 1.0).percent();
        y = y.extended_below(0.34);
        let mut chart = Chart::new(&model.name, &description, x, y, &legend, 250.0);
        chart.rule((0.0, 0.0), (1.0, 1.0));
        let most = bins.iter().map(|b| b.images).max().unwrap_or(1).max(1) as f64;
        let edge = |b: usize| b as f64 / ECE_BINS as f64;
        let mut line = Vec::new();
        for (b, bin) in bins.iter().enumerate().filter(|b| b.1.images > 0) {
            let (low, high) = wilson(bin.right, bin.images);
            let (confidence, accuracy) = (bin.confidence.over(bin.images), bin.right as f64 / bin.images as f64);
            line.push((confidence, accuracy));
            chart.whisker(&palette::model(*i), confidence, low, high);
            // The square root lets bins of a hundredth be seen beside the full one.
            let height = 0.3 * (bin.images as f64 / most).sqrt();
            chart.cell(&palette::model(*i), [edge(b) + 0.004, edge(b + 1) - 0.004], [-0.34, -0.34 + height], 0.55);
            table.row([
                model.name.clone(),
                format!("{} to {}", fixed(edge(b), 3, false), fixed(edge(b + 1), 3, false)),
                bin.images.to_string(),
                fixed(100.0 * confidence, 2, false),
                fixed(100.0 * accuracy, 2, false),
                format!("{} to {}", fixed(100.0 * low, 1, false), fixed(100.0 * high, 1, false)),
            ]);
        }
        chart.line(&format!("{} solid", palette::model(*i)), &line);
        for &(x, y) in &line {
            chart.point(&palette::model(*i), x, y);
        }
        panels.push(chart.finish());
    }
    if panels.is_empty() {
        let why = if models.is_empty() { NO_PREDICTIONS } else { "the labels of the clean images are missing" };
        return Err(format!("Reliability diagrams are left out: {why}."));
    }
    let caption = "On the diagonal a confidence of 70 % is right in 70 % of cases; below it the network is too sure, above it too \
                   modest. Bars show how often each confidence occurs (heights by square root, so that rare ones can be seen). \
                   Clean test images."
        .into();
    Ok(Figure { id: "reliability", title: "Are the probabilities honest?".into(), caption, panels, table })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_gives_its_published_answer() {
        // 81 of 263 (Newcombe 1998, table I): 0.2553 to 0.3662.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }
}
