//! The figures of a sweep: widths, Pareto fronts, heat maps of mu against sigma, and existing techniques.

use super::{All, Configuration, SweepReport, configurations, experiments, in_words};
use crate::metrics::{Bits, Strategy};
use crate::report::chart::{Axis, Chart, Key, Mark};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::number::{metric, thousands};
use crate::report::palette;
use crate::{Contrast, Headline, Score};

/// Metrics of the width curves and fronts: name, limits of the axis.
const SHOWN: [(Headline, &str, (f64, f64)); 5] = [
    (Headline::Auroc(Score::Epistemic, Contrast::OodVsClean), "AUROC epistemic, ood vs clean", (0.0, 1.0)),
    (
        Headline::Auroc(Score::Epistemic, Contrast::OodVsCleanAmbiguous),
        "AUROC epistemic, ood vs clean + ambiguous",
        (0.0, 1.0),
    ),
    (Headline::AMBIGUOUS, "AUROC aleatoric, ambiguous vs clean", (0.0, 1.0)),
    (Headline::Nll, "NLL, nats", (0.0, f64::INFINITY)),
    (Headline::Accuracy, "Accuracy", (0.0, 1.0)),
];

/// Every figure, or why there is none.
pub(crate) fn all(report: &SweepReport) -> All {
    let all = configurations(report);
    vec![widths(&all), pareto(&all), heat(&all), techniques(&all)]
}

fn strategy(s: Strategy) -> (&'static str, &'static str) {
    match s {
        Strategy::Float => ("float", "k0"),
        Strategy::Jq => ("JQ", "k1"),
        Strategy::Vpq => ("VPQ", "k2"),
        Strategy::Spq => ("SPQ", "k3"),
    }
}

/// The one width of all quantized parameters; `None` where they differ.
fn width(bits: Bits) -> Option<u8> {
    let mut quantized = [bits.mu, bits.sigma, bits.weight].into_iter().filter(|&b| b < 32);
    let first = quantized.next()?;
    quantized.all(|b| b == first).then_some(first)
}

fn axis(label: &str, headline: Headline, values: impl IntoIterator<Item = f64>, limits: (f64, f64)) -> Axis {
    let y = Axis::around(label, values, limits);
    if headline == Headline::Accuracy { y.percent() } else { y }
}

fn widths(all: &[Configuration<'_>]) -> Drawn {
    let mut table = Table::new(["experiment", "metric", "strategy", "bits", "activation bits", "seeds", "value"]);
    let mut panels = Vec::new();
    for experiment in experiments(all) {
        let own: Vec<_> = all.iter().filter(|c| c.experiment == experiment && !c.technique).collect();
        // A line holds all else equal: activations of one width, or as wide as the parameters throughout (0 stands for
        // that).
        let as_wide =
            |s: Strategy| own.iter().filter(|c| c.strategy == s).all(|c| width(c.bits) == Some(c.bits.activation));
        let kind = |c: &Configuration<'_>| {
            width(c.bits).map(|_| (c.strategy, if as_wide(c.strategy) { 0 } else { c.bits.activation }))
        };
        let mut lines: Vec<(Strategy, u8)> = Vec::new();
        for c in &own {
            if let Some(k) = kind(c)
                && c.strategy != Strategy::Float
                && !lines.contains(&k)
            {
                lines.push(k);
            }
        }
        let bits: Vec<f64> = own.iter().filter_map(|c| width(c.bits)).map(f64::from).collect();
        let (low, high) = bits.iter().fold((8.0f64, 2.0f64), |(l, h), b| (l.min(*b), h.max(*b)));
        if lines.is_empty() || low >= high {
            continue;
        }
        let float = own.iter().find(|c| c.bits == Bits::FLOAT);
        // Colours tell strategies apart; where there is but one, its lines.
        let one = lines.iter().all(|l| l.0 == lines[0].0);
        let class_of = |i: usize| if one { ["k1", "k2", "k3"][i % 3] } else { strategy(lines[i].0).1 };
        for (headline, title, limits) in SHOWN {
            let of = |k: (Strategy, u8)| {
                let mut points: Vec<_> = own
                    .iter()
                    .filter(|c| kind(c) == Some(k))
                    .filter_map(|c| Some((f64::from(width(c.bits)?), *c, c.value(headline)?)))
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                points
            };
            let ends =
                |v: (f64, Option<[f64; 2]>)| [v.0].into_iter().chain(v.1.into_iter().flatten()).collect::<Vec<_>>();
            let mut values: Vec<f64> = lines.iter().flat_map(|&k| of(k)).flat_map(|p| ends(p.2)).collect();
            if values.is_empty() {
                continue;
            }
            let whole = float.and_then(|f| f.value(headline));
            values.extend(whole.into_iter().flat_map(ends));
            let mut legend: Vec<Key> = Vec::new();
            if whole.is_some() {
                legend.push((Mark::Line, "k0".into(), "float".into()));
            }
            for (i, &(s, activation)) in lines.iter().enumerate() {
                let (name, class) = (strategy(s).0, class_of(i));
                let text = match activation {
                    0 => name.to_owned(),
                    32 => format!("{name}, float activations"),
                    a => format!("{name}, activations {a}"),
                };
                legend.push((Mark::Line, class.into(), text));
            }
            let ticks = (low as u8..=high as u8).map(|b| (f64::from(b), b.to_string())).collect();
            let x = Axis::log_at("bits of the parameters", low * 0.94, high * 1.06, ticks);
            let description = format!("{title} against bits per strategy, {experiment}.");
            let y = axis(experiment, headline, values, limits);
            let mut chart = Chart::new(title, &description, x, y, &legend, 180.0);
            if let Some((mean, interval)) = whole {
                if let Some([l, h]) = interval {
                    chart.band("k0", &[(low * 0.94, l, h), (high * 1.06, l, h)]);
                }
                chart.line("k0", &[(low * 0.94, mean), (high * 1.06, mean)]);
            }
            for (i, &k) in lines.iter().enumerate() {
                let class = class_of(i);
                let points = of(k);
                // Side by side, so that none hides another.
                let aside = |bits: f64| bits * (1.0 + 0.018 * (i as f64 - (lines.len() as f64 - 1.0) / 2.0));
                chart.line(class, &points.iter().map(|p| (aside(p.0), p.2.0)).collect::<Vec<_>>());
                for (bits, c, value) in points {
                    if let Some([l, h]) = value.1 {
                        chart.whisker(class, aside(bits), l, h);
                    }
                    chart.point(class, aside(bits), value.0);
                    table.row([
                        experiment.to_owned(),
                        title.to_owned(),
                        strategy(k.0).0.to_owned(),
                        bits.to_string(),
                        c.bits.activation.to_string(),
                        c.rows.len().to_string(),
                        in_words(headline, value),
                    ]);
                }
            }
            panels.push(chart.finish());
        }
    }
    if panels.is_empty() {
        return Err("Quality against bits is left out: it needs one strategy at two widths at least.".into());
    }
    let caption = "Mean and 95 % interval; the band is float. A strategy is as good as its worst panel: accuracy often survives where \
                   the detection of OOD images does not."
        .into();
    Ok(Figure { id: "widths", title: "Quality against bits".into(), caption, panels, table })
}

fn pareto(all: &[Configuration<'_>]) -> Drawn {
    let mut table = Table::new(["experiment", "against", "configuration", "bytes", "value", "on the front"]);
    let mut panels = Vec::new();
    for experiment in experiments(all) {
        let own: Vec<_> = all.iter().filter(|c| c.experiment == experiment && c.bytes > 0).collect();
        for (headline, title, limits) in [SHOWN[3], SHOWN[0], SHOWN[1]] {
            let sign = if headline == Headline::Nll { -1.0 } else { 1.0 };
            let mut points: Vec<_> =
                own.iter().filter_map(|c| Some((c.bytes as f64, *c, c.value(headline)?))).collect();
            // Fewest bytes first, of equal size the best.
            points.sort_by(|a, b| a.0.total_cmp(&b.0).then((sign * b.2.0).total_cmp(&(sign * a.2.0))));
            if points.len() < 2 {
                continue;
            }
            let mut best = f64::NEG_INFINITY;
            let front: Vec<bool> = points
                .iter()
                .map(|p| {
                    let on = sign * p.2.0 > best;
                    best = best.max(sign * p.2.0);
                    on
                })
                .collect();
            let (low, high) = (points[0].0, points[points.len() - 1].0);
            let kinds: std::collections::BTreeMap<&str, (Mark, String, String)> = points
                .iter()
                .map(|p| if p.1.technique { ("other techniques", "g1") } else { strategy(p.1.strategy) })
                .map(|(name, class)| (name, (Mark::Dot, class.to_owned(), name.to_owned())))
                .collect();
            let mut legend: Vec<Key> = kinds.into_values().collect();
            legend.push((Mark::Line, "ink solid thin".into(), "front".into()));
            let x = Axis::log10("parameter bytes (logarithmic)", low * 0.8, high * 1.25);
            let y = axis(experiment, headline, points.iter().map(|p| p.2.0), limits);
            let description =
                format!("Bytes against {title}, {experiment}; the line joins what nothing smaller beats.");
            let mut chart = Chart::new(&format!("Bytes against {title}"), &description, x, y, &legend, 220.0);
            let on: Vec<_> = points.iter().zip(&front).filter(|p| *p.1).map(|(p, _)| (p.0, p.2.0)).collect();
            chart.line("ink solid thin", &stairs(&on));
            for (p, &on) in points.iter().zip(&front) {
                let class = if p.1.technique { "g1" } else { strategy(p.1.strategy).1 };
                chart.point(class, p.0, p.2.0);
                if on {
                    chart.name(p.0, p.2.0, p.1.name);
                }
                table.row([
                    experiment.to_owned(),
                    title.to_owned(),
                    p.1.name.to_owned(),
                    thousands(p.1.bytes),
                    in_words(headline, p.2),
                    if on { "yes".to_owned() } else { "no".to_owned() },
                ]);
            }
            panels.push(chart.finish());
        }
    }
    if panels.is_empty() {
        return Err("The Pareto front is left out: it needs two configurations of one experiment at least.".into());
    }
    let caption = "Every configuration by its size. On the front nothing smaller is better: NLL falls downward, AUROC rises upward."
        .into();
    Ok(Figure { id: "pareto", title: "What a byte buys".into(), caption, panels, table })
}

/// A front as stairs: between two points the better one is not yet to be had.
fn stairs(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for (i, &p) in points.iter().enumerate() {
        if i > 0 {
            out.push((p.0, points[i - 1].1));
        }
        out.push(p);
    }
    out
}

fn heat(all: &[Configuration<'_>]) -> Drawn {
    let mut table = Table::new(["experiment", "metric", "configuration", "mu bits", "sigma bits", "value"]);
    let mut panels = Vec::new();
    for experiment in experiments(all) {
        // One map for each choice of all that is neither mu nor sigma.
        let mut maps: Vec<(Strategy, u8, u8)> = Vec::new();
        let own: Vec<_> = all
            .iter()
            .filter(|c| c.experiment == experiment && !c.technique && c.bits.mu < 32 && c.bits.sigma < 32)
            .collect();
        for c in &own {
            let key = (c.strategy, c.bits.weight, c.bits.activation);
            if !maps.contains(&key) {
                maps.push(key);
            }
        }
        for key in maps {
            let cells: Vec<_> = own.iter().filter(|c| (c.strategy, c.bits.weight, c.bits.activation) == key).collect();
            let distinct = |of: fn(&Bits) -> u8| {
                let mut v: Vec<u8> = cells.iter().map(|c| of(&c.bits)).collect();
                v.sort_unstable();
                v.dedup();
                v
            };
            let (mus, sigmas) = (distinct(|b| b.mu), distinct(|b| b.sigma));
            if mus.len() < 2 || sigmas.len() < 2 {
                continue;
            }
            for (headline, title, _) in [SHOWN[0], SHOWN[1], SHOWN[2], SHOWN[3]] {
                let valued: Vec<_> = cells.iter().filter_map(|c| Some((c, c.value(headline)?))).collect();
                let range = valued
                    .iter()
                    .map(|v| v.1.0)
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
                if valued.is_empty() {
                    continue;
                }
                let names = |v: &[u8]| v.iter().map(u8::to_string).collect::<Vec<_>>();
                let (name, _) = strategy(key.0);
                let side = |b: u8| if b == 32 { "float".to_owned() } else { format!("{b}-bit") };
                let rest = format!("{name}, {} weights, {} activations", side(key.1), side(key.2));
                let x = Axis::names("sigma bits", &names(&sigmas));
                let y = Axis::names(&format!("mu bits; {rest}"), &names(&mus));
                let description = format!("Heat map of {title}: mu bits up, sigma bits across. {rest}, {experiment}.");
                let mut chart = Chart::new(title, &description, x, y, &[], 46.0 * mus.len() as f64);
                for (c, value) in &valued {
                    let column = sigmas.iter().position(|&b| b == c.bits.sigma).unwrap_or(0) as f64;
                    let row = mus.iter().position(|&b| b == c.bits.mu).unwrap_or(0) as f64;
                    let mut share = if range.1 > range.0 { (value.0 - range.0) / (range.1 - range.0) } else { 0.5 };
                    if headline == Headline::Nll {
                        share = 1.0 - share;
                    }
                    let (opacity, text) = palette::heat(share);
                    chart.cell("heat", [column - 0.48, column + 0.48], [row - 0.47, row + 0.47], opacity);
                    let digits = metric(headline, value.0, false);
                    chart.text(text, column, row, (0.0, 3.6), &digits);
                    table.row([
                        experiment.to_owned(),
                        title.to_owned(),
                        c.name.to_owned(),
                        c.bits.mu.to_string(),
                        c.bits.sigma.to_string(),
                        in_words(headline, *value),
                    ]);
                }
                panels.push(chart.finish());
            }
        }
    }
    if panels.is_empty() {
        return Err(
            "The heat map of mu bits against sigma bits is left out: it needs two widths of each, all else equal."
                .into(),
        );
    }
    let caption = "Darker is better, from the worst to the best of each map (in the dark scheme: brighter).".into();
    Ok(Figure { id: "heat", title: "Bits for mu, bits for sigma".into(), caption, panels, table })
}

fn techniques(all: &[Configuration<'_>]) -> Drawn {
    let mut table = Table::new(["technique", "experiment", "bytes", "seeds"]);
    table.head.extend(SHOWN.map(|s| s.1.to_owned()));
    let rows: Vec<_> = all.iter().filter(|c| c.technique).collect();
    if rows.is_empty() {
        return Err("The table of existing techniques is left out: none was evaluated.".into());
    }
    let ours = all.iter().filter(|c| !c.technique && (c.strategy == Strategy::Float || width(c.bits) == Some(4)));
    for c in rows.into_iter().chain(ours) {
        let mut row = vec![c.name.to_owned(), c.experiment.to_owned(), thousands(c.bytes), c.rows.len().to_string()];
        row.extend(SHOWN.map(|(h, ..)| c.value(h).map_or("–".into(), |v| in_words(h, v))));
        table.row(row);
    }
    let caption =
        "Techniques of others in the same harness, on the same data and seeds; last qbnn's float and 4-bit networks."
            .into();
    Ok(Figure { id: "techniques", title: "Existing techniques".into(), caption, panels: Vec::new(), table })
}
