//! The schema of `metrics.json`: the contract between `qbnn eval` and whoever reads its numbers.
//!
//! Fields may be added, none renamed but with a new version; files of older versions are read, each name as what it was
//! (see [`ByHeadline`]). A number that does not exist (epistemic uncertainty of a single draw, an absent
//! group) is `null`, never NaN. Accuracy and the like are fractions, uncertainties are in nats.

use serde::{Deserialize, Deserializer, Serialize};

use crate::headline::present;
use crate::{
    Backend, ByHeadline, Contrast, EvalError, Evaluation, Headline, Interval, Measure, NLL_EPS, OfGroup, Role, Score,
    Shift, is_shown,
};

/// The version that this crate writes. It reads version 1 too, whose AUROCs were named without their negatives.
pub const SCHEMA_VERSION: u32 = 2;

/// The whole of `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// [`SCHEMA_VERSION`].
    #[serde(deserialize_with = "version")]
    pub schema_version: u32,
    /// Name of the data set.
    pub dataset: String,
    /// Seed of the noise with which the models drew.
    pub seed: u64,
    /// One entry per model.
    pub models: Vec<ModelEntry>,
    /// Paired differences of models on the same inputs (quantized minus float).
    #[serde(default)]
    pub differences: Vec<DifferenceEntry>,
}

/// How a posterior was quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Not at all.
    Float,
    /// Variational parameter quantization: mu and sigma.
    Vpq,
    /// Sampled parameter quantization: each drawn weight.
    Spq,
    /// Joint quantization: both.
    Jq,
}

/// Widths in bits; 32 means float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits {
    /// Posterior means.
    pub mu: u8,
    /// Posterior standard deviations.
    pub sigma: u8,
    /// Drawn weights.
    pub weight: u8,
    /// Activations.
    pub activation: u8,
}

impl Bits {
    /// All widths 32.
    pub const FLOAT: Bits = Bits { mu: 32, sigma: 32, weight: 32, activation: 32 };
}

/// What a model's parameters weigh, by kind, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterBytes {
    /// mu and sigma of the weights.
    pub weights_bytes: u64,
    /// mu and sigma of the biases.
    pub biases_bytes: u64,
    /// Scales, steps and clips of the grids.
    pub scales_bytes: u64,
}

/// Number of inputs of the first group of each role; 0 for an absent group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Inputs of the clean group.
    pub clean: u64,
    /// Inputs of the ambiguous group.
    pub ambiguous: u64,
    /// Inputs of the ood group.
    pub ood: u64,
}

/// Mean uncertainties of one group, nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanUncertainty {
    /// Mean of H\[mean_s p_s\], in \[0, ln C\].
    pub total: f64,
    /// Mean of mean_s H\[p_s\], in \[0, ln C\].
    pub aleatoric: f64,
    /// Mean of their difference; `None` with a single draw.
    pub epistemic: Option<f64>,
}

/// Mean uncertainties of the first group of each role; `None` for an absent group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupMeans {
    /// The clean group.
    pub clean: Option<MeanUncertainty>,
    /// The ambiguous group.
    pub ambiguous: Option<MeanUncertainty>,
    /// The ood group.
    pub ood: Option<MeanUncertainty>,
}

/// What an evaluation cannot know about the model it measured.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDescription {
    /// Name, such as `float` or `jq-w4a4`.
    pub name: String,
    /// How it was quantized.
    pub strategy: Strategy,
    /// At which widths.
    pub bits: Bits,
    /// Bytes of all stored parameters.
    pub parameter_bytes: u64,
    /// The same by kind, where known.
    pub parameters: Option<ParameterBytes>,
    /// Bytes of its model file, where it has one.
    pub file_bytes: Option<u64>,
}

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

/// A metric over several disjoint sets of draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean over the sets.
    pub mean: f64,
    /// The lowest set.
    pub low: f64,
    /// The highest set.
    pub high: f64,
}

/// The headline metrics with S draws: `{"samples", "sets", "accuracy": {"mean", "low", "high"}, ...}`, `null` for a
/// metric that does not exist there (all epistemic ones at S = 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplesEntry {
    /// S.
    pub samples: u64,
    /// How many disjoint sets of S draws were measured.
    pub sets: u64,
    /// One spread per metric.
    #[serde(flatten)]
    pub metrics: ByHeadline<Option<Spread>>,
    /// The same of each further group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<OfGroup<Spread>>,
}

/// A paired difference of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The model's value minus the reference's.
    pub value: f64,
    /// Its 95 % paired bootstrap interval `[lo, hi]`; `None` where no resamples were drawn or one left it undefined.
    pub ci95: Option<Interval>,
}

/// Paired differences of one model against another; as JSON `{"name", "against", "accuracy": {"value", "ci95"}, ...}`
/// with `null` for a metric that either model lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DifferenceEntry {
    /// The model.
    pub name: String,
    /// The reference that is subtracted, mostly `float`.
    pub against: String,
    /// One difference per metric.
    #[serde(flatten)]
    pub metrics: ByHeadline<Option<Difference>>,
    /// The same of each further group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<OfGroup<Difference>>,
}

impl DifferenceEntry {
    /// The difference of one metric of one of the groups.
    pub fn measured(&self, measure: &Measure) -> Option<Difference> {
        match &measure.group {
            None => *self.metrics.get(measure.headline),
            Some(group) => OfGroup::find(&self.groups, group, measure.headline).copied(),
        }
    }
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

/// Older versions are read as the newest: names are mapped as they are read.
fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let found = u32::deserialize(deserializer)?;
    Ok(if found == 1 { SCHEMA_VERSION } else { found })
}

impl Metrics {
    /// An empty file for one data set and seed.
    pub fn new(dataset: impl Into<String>, seed: u64) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            dataset: dataset.into(),
            seed,
            models: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// The metrics that tables show of these headline metrics: each of them, and after them those of every further group that
    /// some model has.
    pub fn measures(&self, headlines: &[Headline]) -> Vec<Measure> {
        let shown = |g: &&GroupEntry| is_shown(&g.name, g.shift.as_ref());
        let further = self.models.iter().flat_map(|m| m.groups.iter().filter(shown).map(|g| g.name.as_str()));
        let exists = |group: &str, headline| {
            let has = |m: &ModelEntry| m.group(group).is_some_and(|g| g.metrics.get(headline).is_some());
            self.models.iter().any(has)
        };
        Measure::all(headlines, further, exists)
    }

    /// Checks a file that was read, or one that was built by hand and is about to be written.
    ///
    /// # Errors
    ///
    /// [`EvalError::SchemaVersion`] for another version, [`EvalError::MissingMetric`] for a model that lacks what every
    /// model has, [`EvalError::NotFinite`] for a number that JSON cannot hold
    /// (serde_json would write it as `null`, and no reader would accept it for a required field).
    pub fn check(&self) -> Result<(), EvalError> {
        if self.schema_version != SCHEMA_VERSION {
            return Err(EvalError::SchemaVersion { found: self.schema_version, wanted: SCHEMA_VERSION });
        }
        for model in &self.models {
            for (headline, value) in model.values.iter() {
                finite(*value, headline.name(), &model.name)?;
                finite(
                    model.interval(headline).into_iter().flatten(),
                    &format!("ci95.{}", headline.name()),
                    &model.name,
                )?;
            }
            for headline in [Headline::Accuracy, Headline::Nll, Headline::Brier, Headline::Ece] {
                if model.value(headline).is_none() {
                    return Err(EvalError::MissingMetric { metric: headline.name(), name: model.name.clone() });
                }
            }
            let means = &model.mean_uncertainty;
            let further = model.groups.iter().map(|g| g.mean_uncertainty);
            for mean in [means.clean, means.ambiguous, means.ood].into_iter().flatten().chain(further) {
                finite([mean.total, mean.aleatoric], "mean_uncertainty", &model.name)?;
                finite(mean.epistemic, "mean_uncertainty", &model.name)?;
            }
            for group in &model.groups {
                for headline in Headline::ALL {
                    let field = |what: &str| format!("groups.{}{what}.{}", group.name, headline.name());
                    finite(*group.metrics.get(headline), &field(""), &model.name)?;
                    finite(group.ci95.get(headline).iter().flatten().copied(), &field(".ci95"), &model.name)?;
                }
            }
            for entry in &model.by_samples {
                for spread in Headline::ALL.into_iter().filter_map(|h| *entry.metrics.get(h)) {
                    finite([spread.mean, spread.low, spread.high], "by_samples", &model.name)?;
                }
            }
        }
        for entry in &self.differences {
            for headline in Headline::ALL {
                let Some(difference) = entry.metrics.get(headline) else { continue };
                finite([difference.value], headline.name(), &entry.name)?;
                finite(difference.ci95.into_iter().flatten(), headline.name(), &entry.name)?;
            }
        }
        Ok(())
    }
}

/// Every number is finite.
fn finite(numbers: impl IntoIterator<Item = f64>, field: &str, name: &str) -> Result<(), EvalError> {
    if numbers.into_iter().all(f64::is_finite) {
        Ok(())
    } else {
        Err(EvalError::NotFinite { field: field.to_owned(), name: name.to_owned() })
    }
}
