//! A model's line in `metrics.json`.

use super::{Bits, Counts, GroupMeans, MeanUncertainty, ModelDescription, ParameterBytes, SamplesEntry, Strategy};
use crate::headline::present;
use crate::{
    Backend, ByHeadline, Calibrator, Contrast, Evaluation, Headline, Interval, Measure, NLL_EPS, Role, Score, Shift,
};
use serde::{Deserialize, Serialize};

/// One model's line in `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Name, such as `float` or `jq-w4a4`.
    pub name: String,
    /// How it was quantized.
    pub strategy: Strategy,
    /// At which widths.
    pub bits: Bits,
    /// S, the number of draws.
    pub samples: u64,
    /// Seeds of draws, from the file's seed on, over which the metrics are means; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw_seeds: Option<u64>,
    /// What computed its predictions; `None` where that was not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// SHA-256 that tells the network from any other, whatever it is called and wherever it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The headline metrics, each a field of its own; `None` where one of its groups is absent, where it needs several
    /// draws and there is one, or where a rank correlation is undefined.
    #[serde(flatten)]
    pub values: ByHeadline<Option<f64>>,
    /// Bytes of all stored parameters.
    pub parameter_bytes: u64,
    /// The same by kind, where known.
    pub parameters: Option<ParameterBytes>,
    /// Bytes of its model file, where it has one: what a device has to store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// 95 % bootstrap intervals `[lo, hi]` by metric name; a metric without one has no key.
    #[serde(default, serialize_with = "present")]
    pub ci95: ByHeadline<Option<Interval>>,
    /// Of each AUROC the share of its pairs of a positive and a negative that tie, and count one half.
    #[serde(default, serialize_with = "present")]
    pub tied_pairs: ByHeadline<Option<f64>>,
    /// Labels whose probability was too small to be counted as it is; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nll_clamped: Option<Clamped>,
    /// Mean uncertainties per group.
    #[serde(default)]
    pub mean_uncertainty: GroupMeans,
    /// Inputs per group.
    #[serde(default)]
    pub counts: Counts,
    /// What validation inputs made of the model, by which its calibrated metrics are measured; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrator: Option<Calibrator>,
    /// The same metrics with fewer draws, in ascending order of S; empty where they were not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_samples: Vec<SamplesEntry>,
    /// Every group that is not the first of its role: a second OOD group, a shifted one. Absent where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupEntry>,
}

/// A group beside the first ones of their roles, measured by the metrics of its role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Of a group that was made by a shift: by which. A mean over such groups (`shifts@mean`) has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// Its inputs.
    pub inputs: u64,
    /// The metrics, named as the headline metrics are, with this group in the place of the first of its role.
    #[serde(serialize_with = "present")]
    pub metrics: ByHeadline<Option<f64>>,
    /// 95 % bootstrap intervals `[lo, hi]`.
    #[serde(default, serialize_with = "present")]
    pub ci95: ByHeadline<Option<Interval>>,
    /// Of each AUROC the share of pairs that tie.
    #[serde(default, serialize_with = "present")]
    pub tied_pairs: ByHeadline<Option<f64>>,
    /// Its mean uncertainties.
    pub mean_uncertainty: MeanUncertainty,
}

/// Clean inputs whose label had a lesser probability than `at` and entered the NLL with `at`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clamped {
    /// How many.
    pub inputs: u64,
    /// The least probability that counts as it is.
    pub at: f64,
}

impl ModelEntry {
    /// Whether another entry is of the same network. Where no identity was written down, its figures decide.
    #[must_use]
    pub fn is_same_network(&self, other: &Self) -> bool {
        match (&self.identity, &other.identity) {
            (Some(own), Some(other)) => own == other,
            _ => {
                let figures = |m: &Self| (m.bits, m.samples, m.mean_uncertainty, m.counts);
                self.values.agrees(&other.values) && figures(self) == figures(other)
            }
        }
    }

    /// Its size: bytes of its model file, or of its parameters where it has no file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file_bytes.unwrap_or(self.parameter_bytes)
    }

    /// The sizes of this model and another, each by the same measure: files where both have one, else parameters.
    #[must_use]
    pub fn bytes_beside(&self, other: &Self) -> (u64, u64) {
        self.file_bytes.zip(other.file_bytes).unwrap_or((self.parameter_bytes, other.parameter_bytes))
    }

    /// Joins what was measured with what is known of the model.
    pub fn new(description: ModelDescription, evaluation: &Evaluation) -> Self {
        let ModelDescription { name, strategy, bits, parameter_bytes, parameters, file_bytes } = description;
        let clamped = evaluation.calibration().map_or(0, |c| c.clamped);
        let further = evaluation.further().map(|group| GroupEntry {
            name: group.name.to_owned(),
            role: group.role,
            shift: group.shift.cloned(),
            inputs: group.inputs as u64,
            metrics: ByHeadline::from_fn(|h| group.measured.value(h)),
            ci95: ByHeadline::from_fn(|h| group.measured.interval(h)),
            tied_pairs: ByHeadline::from_fn(|h| group.measured.tied(h)),
            mean_uncertainty: group.means,
        });
        Self {
            name,
            strategy,
            bits,
            samples: evaluation.samples() as u64,
            draw_seeds: (evaluation.draw_seeds() > 1).then_some(evaluation.draw_seeds() as u64),
            backend: None,
            identity: None,
            values: ByHeadline::from_fn(|h| evaluation.value(h)),
            parameter_bytes,
            parameters,
            file_bytes,
            ci95: ByHeadline::from_fn(|h| evaluation.interval(h)),
            tied_pairs: ByHeadline::from_fn(|h| evaluation.tied(h)),
            nll_clamped: (clamped > 0).then_some(Clamped { inputs: clamped, at: NLL_EPS }),
            mean_uncertainty: evaluation.mean_uncertainty(),
            counts: evaluation.counts(),
            calibrator: evaluation.calibrator().cloned(),
            by_samples: Vec::new(),
            groups: further.collect(),
        }
    }

    /// The value of one metric of one of the groups.
    pub fn measured(&self, measure: &Measure) -> Option<f64> {
        match &measure.group {
            None => self.value(measure.headline),
            Some(group) => *self.group(group)?.metrics.get(measure.headline),
        }
    }

    /// Its 95 % bootstrap interval.
    pub fn measured_interval(&self, measure: &Measure) -> Option<Interval> {
        match &measure.group {
            None => self.interval(measure.headline),
            Some(group) => *self.group(group)?.ci95.get(measure.headline),
        }
    }

    /// The further group of this name.
    pub fn group(&self, name: &str) -> Option<&GroupEntry> {
        self.groups.iter().find(|g| g.name == name)
    }

    /// The value of one headline metric.
    pub fn value(&self, headline: Headline) -> Option<f64> {
        *self.values.get(headline)
    }

    /// Its 95 % bootstrap interval.
    pub fn interval(&self, headline: Headline) -> Option<Interval> {
        *self.ci95.get(headline)
    }

    /// Whether a metric of detection is missing although its score exists over other groups with the same positives: older
    /// files hold only some.
    pub(crate) fn lacks_contrasts(&self) -> bool {
        let lacks = |headline| self.value(headline).is_none();
        let aleatoric = |contrast| self.value(Headline::Auroc(Score::Aleatoric, contrast)).is_some();
        let total = |c| lacks(Headline::Auroc(Score::Total, c)) || lacks(Headline::Aupr(Score::Total, c));
        Contrast::ALL.into_iter().any(|c| aleatoric(c) && total(c))
    }

    /// What a reader of its numbers must know beside them: full sentences, mostly none.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(Clamped { inputs, at }) = self.nll_clamped {
            let images = if inputs == 1 { "image gave" } else { "images gave" };
            notes.push(format!(
                "{}: {inputs} clean {images} the label a probability below {at:e}; the NLL counts {at:e} there.",
                self.name
            ));
        }
        if let Some(Calibrator { inputs, temperature_at_end: true, temperature, .. }) = self.calibrator {
            notes.push(format!(
                "{}: the {inputs} validation images fix no temperature, {temperature} is the end of the range; more of them would.",
                self.name
            ));
        }
        let tied = self.tied_pairs.iter().filter_map(|(h, tied)| Some((h, (*tied)?)));
        let matter: Vec<String> = tied
            .filter(|(_, tied)| *tied > TIES_MATTER)
            .map(|(h, tied)| format!("{} ({:.0} %)", h.about().title, 100.0 * tied))
            .collect();
        if !matter.is_empty() {
            notes.push(format!(
                "{}: ties decide part of an AUROC, pairs that score the same count one half: {}.",
                self.name,
                matter.join(", ")
            ));
        }
        notes
    }
}

/// The share of tied pairs above which an AUROC is said to rest on ties: they could move it by half of that.
pub const TIES_MATTER: f64 = 0.02;
