//! Means and standard deviations of each layer before and after quantization, with the grid's levels.

use crate::report::chart::{Axis, Chart, Key, Mark, Panel};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::{RunReport, Tensor};
use crate::report::number::short;

const BINS: usize = 60;

/// The value below which a share of the (sorted) values lies.
fn quantile(sorted: &[f32], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((share * last).round() as usize).map_or(0.0, |&v| v.into())
}

fn sorted(values: &[f32]) -> Vec<f32> {
    let mut values: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}

/// Shares per bin between two ends; what is beyond an end is counted in the last bin.
fn shares(values: &[f32], low: f64, high: f64) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    for &v in values {
        let place = ((f64::from(v) - low) / (high - low) * BINS as f64).max(0.0) as usize;
        bins[place.min(BINS - 1)] += 1.0 / values.len() as f64;
    }
    bins
}

fn drawing(
    tensor: &Tensor,
    what: &str,
    unit: &str,
    [before, after]: [&[f32]; 2],
    levels: &[f32],
    model: &str,
) -> Panel {
    let (b, a) = (sorted(before), sorted(after));
    let ends = [quantile(&b, 0.002), quantile(&a, 0.002), quantile(&b, 0.998), quantile(&a, 0.998)];
    let (mut low, mut high) = (ends[0].min(ends[1]), ends[2].max(ends[3]));
    let air = (high - low).max(1e-3) * 0.05;
    (low, high) = (low - air, high + air);
    let (before, after) = (shares(&b, low, high), shares(&a, low, high));
    // Each to its own highest bin: values on a grid crowd into few bins, and would flatten what they came from.
    let top = |bins: &[f64]| bins.iter().copied().fold(1e-9, f64::max);
    let legend: [Key; 2] = [(Mark::Fill, "ghost".into(), "float".into()), (Mark::Line, "k1".into(), model.to_owned())];
    let description = format!(
        "Histogram of {what} of layer {}, in float and quantized, {} levels of the grid marked.",
        tensor.name,
        levels.len()
    );
    let x = Axis::linear(unit, low, high);
    let mut chart =
        Chart::new(&format!("{}: {what}", tensor.name), &description, x, Axis::bare("", 0.0, 1.05), &legend, 92.0);
    let edges: Vec<f64> = (0..=BINS).map(|i| low + (high - low) * i as f64 / BINS as f64).collect();
    let scaled = |bins: &[f64]| bins.iter().map(|v| v / top(bins)).collect::<Vec<_>>();
    chart.steps("ghost", &edges, &scaled(&before), 0.0, true);
    chart.steps("k1", &edges, &scaled(&after), 0.0, false);
    for &level in levels {
        let level = f64::from(level);
        if (low..=high).contains(&level) {
            chart.level(level);
        }
    }
    chart.finish()
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let shown = report.shown();
    let is_shown = |t: &&Tensor| shown.iter().any(|&i| report.metrics.models[i].name == t.model);
    let tensors: Vec<&Tensor> = report.tensors.iter().filter(is_shown).collect();
    if tensors.is_empty() {
        return Err(
            "Means and standard deviations per layer are left out: they need a float checkpoint and a quantized one."
                .into(),
        );
    }
    let mut table = Table::new([
        "layer",
        "model",
        "weights",
        "what",
        "median float",
        "median quantized",
        "5 % to 95 % float",
        "5 % to 95 % quantized",
        "levels",
    ]);
    let mut panels = Vec::new();
    for tensor in tensors {
        let log2 = |values: &[f32]| values.iter().map(|v| v.log2()).collect::<Vec<f32>>();
        let sigma = [log2(&tensor.sigma[0]), log2(&tensor.sigma[1])];
        panels.push(drawing(
            tensor,
            "sigma",
            "log2 of sigma",
            [&sigma[0], &sigma[1]],
            &log2(&tensor.sigma_levels),
            &tensor.model,
        ));
        panels.push(drawing(tensor, "mu", "mu", [&tensor.mu[0], &tensor.mu[1]], &tensor.mu_levels, &tensor.model));
        for (what, [before, after], levels) in
            [("sigma", &tensor.sigma, &tensor.sigma_levels), ("mu", &tensor.mu, &tensor.mu_levels)]
        {
            let (b, a) = (sorted(before), sorted(after));
            let range = |v: &[f32]| format!("{} to {}", short(quantile(v, 0.05)), short(quantile(v, 0.95)));
            table.row([
                tensor.name.clone(),
                tensor.model.clone(),
                before.len().to_string(),
                what.to_owned(),
                short(quantile(&b, 0.5)),
                short(quantile(&a, 0.5)),
                range(&b),
                range(&a),
                levels.len().to_string(),
            ]);
        }
    }
    let caption = "Posterior means and standard deviations of every layer's weights: the area is float, the line what the quantized \
                   network stores, each to its own highest bin. Strokes at the foot are the levels of the grid; means have one grid \
                   per output channel, and the channel of the median scale is shown."
        .into();
    Ok(Figure { id: "posterior", title: "What quantization did to the posterior".into(), caption, panels, table })
}
