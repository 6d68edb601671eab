//! Many evaluations on one page: widths, strategies, seeds, and techniques of others.
//!
//! A row is one model evaluated with one seed; [`SweepRow::of`] takes rows from a `metrics.json`, a ledger of runs fills them
//! line by line (differences are then made from the float row of the same seed). Rows of one experiment that differ in
//! the seed alone are one *configuration*; its interval is over seeds (Student's t) where there are several, and the
//! bootstrap's over images where there is one.

mod figures;

use super::figure::{Drawn, Table};
use super::number::{fixed, thousands};
use super::words::model_in_words;
use crate::metrics::{Bits, Difference, Metrics, ModelEntry, Strategy};
use crate::{Backend, ByHeadline, Contrast, Headline, Interval, Score};

pub(crate) use figures::all as figures;

/// How the table of all configurations reads.
pub(crate) const HOW: &str = "One row per configuration, best first by NLL within each experiment. With several seeds: mean and 95 % \
                              interval of the mean over seeds; with one: the bootstrap interval over test images.";

/// One model, trained and evaluated with one seed. A ledger of runs is a list of these.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRow {
    /// What is compared with each other: data and network, such as `dirty-mnist lenet5`.
    pub experiment: String,
    /// Name of the configuration, whatever the seed: `jq-w4a4`, `mc-dropout`, ...
    pub configuration: String,
    /// Whether it is a technique of others, shown in a table of its own.
    pub technique: bool,
    /// How it was quantized.
    pub strategy: Strategy,
    /// At which widths.
    pub bits: Bits,
    /// What computed its predictions; `None` where that was not written down.
    pub backend: Option<Backend>,
    /// Seed of training and draws.
    pub seed: u64,
    /// Bytes of all stored parameters.
    pub bytes: u64,
    /// The headline metrics.
    pub values: ByHeadline<Option<f64>>,
    /// Their bootstrap intervals over images, where they were made.
    pub intervals: ByHeadline<Option<Interval>>,
    /// Paired differences from the float model of the same seed, where they were made.
    pub differences: ByHeadline<Option<Difference>>,
}

impl SweepRow {
    /// The rows of one evaluation.
    pub fn of(experiment: &str, metrics: &Metrics) -> Vec<Self> {
        let row = |model: &ModelEntry| {
            let difference = metrics.differences.iter().find(|d| d.name == model.name);
            SweepRow {
                experiment: experiment.to_owned(),
                configuration: model.name.clone(),
                technique: false,
                strategy: model.strategy,
                bits: model.bits,
                backend: model.backend.clone(),
                seed: metrics.seed,
                bytes: model.parameter_bytes,
                values: ByHeadline::from_fn(|h| model.value(h)),
                intervals: ByHeadline::from_fn(|h| model.interval(h)),
                differences: ByHeadline::from_fn(|h| difference.and_then(|d| *d.metrics.get(h))),
            }
        };
        metrics.models.iter().map(row).collect()
    }

    fn is_float(&self) -> bool {
        !self.technique && self.bits == Bits::FLOAT
    }
}

/// Everything that the page of a sweep shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SweepReport {
    /// Heading of the page.
    pub title: String,
    /// All rows.
    pub rows: Vec<SweepRow>,
    /// A note on the data.
    pub note: Option<String>,
    /// What made these numbers.
    pub provenance: Vec<(String, String)>,
    /// What could not be read or drawn, and why: full sentences.
    pub left_out: Vec<String>,
}

/// One configuration: its rows, one per seed.
#[derive(Debug, Clone)]
pub(crate) struct Configuration<'a> {
    pub experiment: &'a str,
    pub name: &'a str,
    pub technique: bool,
    pub strategy: Strategy,
    pub bits: Bits,
    pub bytes: u64,
    pub rows: Vec<&'a SweepRow>,
}

impl Configuration<'_> {
    /// Mean of a metric over the seeds that have it, and its interval.
    pub(crate) fn value(&self, headline: Headline) -> Option<(f64, Option<Interval>)> {
        let values: Vec<f64> = self.rows.iter().filter_map(|r| *r.values.get(headline)).collect();
        match values[..] {
            [] => None,
            [one] => Some((one, self.rows.iter().find_map(|r| *r.intervals.get(headline)))),
            _ => Some(over_seeds(&values)),
        }
    }

    /// What computed the predictions, over all seeds.
    pub(crate) fn backend(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for row in &self.rows {
            let name = row
                .backend
                .as_ref()
                .map_or("–".to_owned(), |b| if b.is_simulated() { b.to_string() } else { b.name() });
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    /// Mean paired difference from float over seeds, and its interval.
    pub(crate) fn difference(&self, headline: Headline, report: &SweepReport) -> Option<(f64, Option<Interval>)> {
        let paired = |row: &SweepRow| {
            let stored = *row.differences.get(headline);
            let float =
                || report.rows.iter().find(|f| f.is_float() && f.experiment == row.experiment && f.seed == row.seed);
            let subtracted = || Some((*row.values.get(headline))? - (*float()?.values.get(headline))?);
            stored.map(|d| (d.value, d.ci95)).or_else(|| subtracted().map(|d| (d, None)))
        };
        if self.rows.iter().any(|r| r.is_float()) {
            return None;
        }
        let all: Vec<_> = self.rows.iter().filter_map(|r| paired(r)).collect();
        match all[..] {
            [] => None,
            [one] => Some(one),
            _ => Some(over_seeds(&all.iter().map(|d| d.0).collect::<Vec<_>>())),
        }
    }
}

/// Mean and 95 % interval of the mean (Student 1908), for at least two values.
fn over_seeds(values: &[f64]) -> (f64, Option<Interval>) {
    /// Quantile 0.975 of Student's t for 1, 2, ... degrees of freedom.
    const T: [f64; 15] =
        [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131];
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // Beyond the table its limit with one more term, which is right to three digits.
    let freedom = values.len().saturating_sub(1);
    let t = T.get(freedom.saturating_sub(1)).copied().unwrap_or(1.960 + 2.5 / freedom as f64);
    let reach = t * (variance / n).sqrt();
    (mean, Some([mean - reach, mean + reach]))
}

/// Rows put together by experiment and configuration, in the order of their first appearance.
pub(crate) fn configurations(report: &SweepReport) -> Vec<Configuration<'_>> {
    let mut all: Vec<Configuration<'_>> = Vec::new();
    for row in &report.rows {
        let same = |c: &&mut Configuration<'_>| {
            c.experiment == row.experiment && c.name == row.configuration && c.bits == row.bits
        };
        match all.iter_mut().find(same) {
            Some(c) => c.rows.push(row),
            None => all.push(Configuration {
                experiment: &row.experiment,
                name: &row.configuration,
                technique: row.technique,
                strategy: row.strategy,
                bits: row.bits,
                bytes: row.bytes,
                rows: vec![row],
            }),
        }
    }
    all
}

/// Experiments in the order of their first appearance.
pub(crate) fn experiments<'a>(all: &[Configuration<'a>]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for c in all {
        if !names.contains(&c.experiment) {
            names.push(c.experiment);
        }
    }
    names
}

/// A table of all configurations for each experiment, with its name.
pub(crate) fn overview(report: &SweepReport) -> Vec<(String, Table)> {
    let all = configurations(report);
    let mut tables = Vec::new();
    let shown = [
        (Headline::Accuracy, "accuracy %"),
        (Headline::Nll, "NLL nats"),
        (Headline::Ece, "ECE"),
        (Headline::Auroc(Score::Epistemic, Contrast::OodVsClean), "AUROC epistemic, ood vs clean"),
        (Headline::Auroc(Score::Aleatoric, Contrast::OodVsClean), "AUROC aleatoric, ood vs clean"),
        (Headline::Auroc(Score::Epistemic, Contrast::OodVsCleanAmbiguous), "AUROC epistemic, ood vs clean + ambiguous"),
        (Headline::AMBIGUOUS, "AUROC aleatoric, ambiguous vs clean"),
    ];
    for experiment in experiments(&all) {
        let mut table =
            Table::new(["configuration", "bits of mu, sigma, weight, activation", "bytes", "backend", "seeds"]);
        let mut rows: Vec<_> = all.iter().filter(|c| c.experiment == experiment).collect();
        let shown: Vec<_> = shown.iter().filter(|(h, _)| rows.iter().any(|c| c.value(*h).is_some())).collect();
        table.head.extend(shown.iter().map(|s| s.1.to_owned()));
        let nll = |c: &Configuration<'_>| c.value(Headline::Nll).map_or(f64::INFINITY, |v| v.0);
        rows.sort_by(|a, b| nll(a).total_cmp(&nll(b)));
        for c in rows {
            let Bits { mu, sigma, weight, activation } = c.bits;
            let width = |b: u8| if b == 32 { "float".to_owned() } else { b.to_string() };
            let mut row = vec![
                c.name.to_owned(),
                if c.bits == Bits::FLOAT { width(32) } else { [mu, sigma, weight, activation].map(width).join(", ") },
                thousands(c.bytes),
                c.backend(),
                c.rows.len().to_string(),
            ];
            row.extend(shown.iter().map(|(h, _)| c.value(*h).map_or("–".into(), |v| in_words(*h, v))));
            table.row(row);
        }
        tables.push((experiment.to_owned(), table));
    }
    tables
}

/// `0.9917 [0.9909, 0.9924]`.
pub(crate) fn in_words(headline: Headline, (mean, interval): (f64, Option<Interval>)) -> String {
    super::number::with_interval(headline, mean, interval, false)
}

/// What a sweep found, in words: the smallest configuration that keeps each experiment's quality.
pub(crate) fn sentences(report: &SweepReport) -> Vec<String> {
    let all = configurations(report);
    let mut out = Vec::new();
    for experiment in experiments(&all) {
        let of = || all.iter().filter(|c| c.experiment == experiment);
        let seeds = of().map(|c| c.rows.len()).max().unwrap_or(0);
        let mut text = format!(
            "{experiment}: {} configurations, up to {seeds} seed{}.",
            of().count(),
            if seeds == 1 { "" } else { "s" }
        );
        let keeps = |c: &&Configuration<'_>| {
            let within = |h, kept: f64| {
                c.difference(h, report).and_then(|d| d.1).is_some_and(|[low, high]| low.abs().max(high.abs()) <= kept)
            };
            // Data without ambiguous images has no such AUROC to keep.
            let aleatoric = Headline::AMBIGUOUS;
            let ood = Headline::ood(Score::Epistemic, |h| c.value(h).is_some());
            within(Headline::Accuracy, 0.01)
                && within(ood, 0.02)
                && (c.value(aleatoric).is_none() || within(aleatoric, 0.02))
        };
        if let Some(least) = of().filter(keeps).min_by_key(|c| c.bytes) {
            let whole = of().find(|c| c.bits == Bits::FLOAT && !c.technique).map_or(0, |c| c.bytes);
            let memory = if whole > least.bytes && least.bytes > 0 {
                format!(", at 1/{} of the memory of float", fixed(whole as f64 / least.bytes as f64, 2, false))
            } else {
                String::new()
            };
            let words = model_in_words(least.name, least.strategy, least.bits);
            text.push_str(&format!(
                " The smallest that surely keeps accuracy within one point and each AUROC within 0.02 of float is {} \
                 ({words}){memory}.",
                least.name
            ));
        } else if of().any(|c| c.difference(Headline::Accuracy, report).is_some()) {
            text.push_str(" None surely keeps accuracy within one point and each AUROC within 0.02 of float.");
        }
        out.push(text);
    }
    out
}

/// For figures: which of the drawings could not be made, as sentences.
pub(crate) type All = Vec<Drawn>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_over_seeds_are_students() {
        // Mean 3, standard deviation 1.5811, t(4) = 2.776: reach 1.9629.
        let (mean, interval) = over_seeds(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let [low, high] = interval.unwrap();
        assert!(mean == 3.0 && (low - 1.0371).abs() < 1e-4 && (high - 4.9629).abs() < 1e-4, "{low} {high}");
    }
}
