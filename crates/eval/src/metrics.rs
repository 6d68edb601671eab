//! The schema of `metrics.json`: the contract between `qbnn eval` and whoever reads its numbers.
//!
//! Fields may be added, none renamed but with a new version; files of older versions are read, each name as what it was
//! (see [`ByHeadline`]). A number that does not exist (epistemic uncertainty of a single draw, an absent
//! group) is `null`, never NaN. Accuracy and the like are fractions, uncertainties are in nats.

mod check;
mod model;

pub use model::{Clamped, GroupEntry, ModelEntry, TIES_MATTER};

use crate::{ByHeadline, Headline, Interval, Measure, OfGroup, is_shown};
use serde::{Deserialize, Deserializer, Serialize};

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
}
