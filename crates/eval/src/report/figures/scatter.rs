//! Aleatoric against epistemic uncertainty, image by image: the picture of disentanglement.

use super::NO_PREDICTIONS;
use super::uncertainty::median;
use crate::report::chart::{Axis, Chart, Key, Mark};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::GroupPredictions;
use crate::report::input::{Kind, RunReport};
use crate::report::number::{nats, short};
use crate::report::palette;
use crate::spearman;

/// Dots per group: more would only darken what is dark already.
const DOTS: usize = 900;
/// Layers in which groups are drawn by turns, so that none hides another.
const LAYERS: usize = 6;

/// The value that 99.5 % lie below: a few outliers must not press all others into a corner.
fn nearly_all(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() * 995 / 1000).copied().unwrap_or(0.0)
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models = report.drawn();
    if models.is_empty() {
        return Err(format!("The scatter of both uncertainties is left out: {NO_PREDICTIONS}."));
    }
    fn pair(group: &GroupPredictions) -> Option<(&[f64], &[f64])> {
        Some((group.kind(Kind::Aleatoric)?, group.kind(Kind::Epistemic)?))
    }
    let (mut far, mut high) = (0.1f64, 0.05f64);
    let mut any = false;
    for (a, e) in models.iter().flat_map(|m| &m.1.groups).filter_map(pair) {
        far = far.max(nearly_all(a));
        high = high.max(nearly_all(e));
        any = true;
    }
    if !any {
        return Err(
            "The scatter of both uncertainties is left out: with a single draw there is no epistemic uncertainty."
                .into(),
        );
    }
    let (right, top) = (far * 1.05, high * 1.05);
    let mut table = Table::new([
        "model",
        "group",
        "images",
        "median aleatoric nats",
        "median epistemic nats",
        "Spearman of the two",
    ]);
    let mut panels = Vec::new();
    for (_, model) in &models {
        let groups: Vec<&GroupPredictions> = model.groups.iter().filter(|g| pair(g).is_some()).collect();
        let legend: Vec<Key> =
            groups.iter().map(|g| (Mark::Dot, palette::group(g.role).to_owned(), g.name.clone())).collect();
        let description = format!(
            "Scatter of aleatoric (across) and epistemic uncertainty (up) of {}: {}; large dots are medians.",
            model.name,
            groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>().join(", ")
        );
        let (x, y) = (Axis::linear("aleatoric, nats", 0.0, right), Axis::linear("epistemic, nats", 0.0, top));
        let mut chart = Chart::new(&model.name, &description, x, y, &legend, 240.0);
        for layer in 0..LAYERS {
            for &group in &groups {
                let Some((a, e)) = pair(group) else { continue };
                let stride = a.len().div_ceil(DOTS).max(1);
                let points = a.iter().zip(e).step_by(stride).skip(layer).step_by(LAYERS);
                chart.dots(palette::group(group.role), points.map(|(&a, &e)| (a, e)));
            }
        }
        for &group in &groups {
            let Some((a, e)) = pair(group) else { continue };
            chart.point(palette::group(group.role), median(a), median(e));
            let rank = spearman(a, e).ok().flatten().map_or("–".to_owned(), short);
            table.row([
                model.name.clone(),
                group.name.clone(),
                a.len().to_string(),
                nats(median(a)),
                nats(median(e)),
                rank,
            ]);
        }
        panels.push(chart.finish());
    }
    let caption = format!(
        "One dot per image, at most {DOTS} of each group, evenly taken; large dots are medians, the few dots beyond a range lie on its edge. Disentangled, the groups would \
         form an L: ambiguous images to the right, OOD ones upward. A single diagonal cloud means that both uncertainties \
         say the same."
    );
    Ok(Figure { id: "disentanglement", title: "Aleatoric against epistemic".into(), caption, panels, table })
}
