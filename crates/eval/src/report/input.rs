//! What a page is made of: plain data, gathered by the caller.

use crate::uncertainty::arg_max;
use crate::{EvaluatedGroup, Evaluation, Metrics, ModelEntry, Precision, Role};

/// More models than this in one figure cannot be told apart by colour and dashes.
pub(crate) const MOST_SHOWN: usize = 8;

/// Most characters of a class's name on an axis.
const SHORT: usize = 8;

/// Everything that the page of one evaluation shows. What is absent is left out of the page, which says so.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// Heading of the page.
    pub title: String,
    /// All numbers.
    pub metrics: Metrics,
    /// Whether another program made the predictions: nothing is then said of parameters and training.
    pub external: bool,
    /// Names of the models that figures show; empty leaves the choice to the page. The table has all.
    pub show: Vec<String>,
    /// A note on the data, such as that it is synthetic.
    pub note: Option<String>,
    /// The models' predictions, found by name.
    pub predictions: Vec<ModelPredictions>,
    /// Labels of the clean inputs.
    pub labels: Vec<usize>,
    /// Names of the classes; none where they are their numbers.
    pub class_names: Vec<String>,
    /// Training, epoch by epoch.
    pub epochs: Vec<Epoch>,
    /// Posterior means and standard deviations, layer by layer.
    pub tensors: Vec<Tensor>,
    /// Images worth looking at.
    pub gallery: Vec<GalleryImage>,
    /// What made these numbers: (what, value), such as ("CPU", "..."), ("command", "...").
    pub provenance: Vec<(String, String)>,
    /// The settings that repeat the experiment, as TOML.
    pub config: Option<String>,
    /// What could not be drawn, and why: full sentences.
    pub left_out: Vec<String>,
}

impl RunReport {
    /// A page of metrics alone.
    pub fn new(title: impl Into<String>, metrics: Metrics) -> Self {
        Self {
            title: title.into(),
            metrics,
            external: false,
            show: Vec::new(),
            note: None,
            predictions: Vec::new(),
            labels: Vec::new(),
            class_names: Vec::new(),
            epochs: Vec::new(),
            tensors: Vec::new(),
            gallery: Vec::new(),
            provenance: Vec::new(),
            config: None,
            left_out: Vec::new(),
        }
    }

    /// What a class is called.
    pub(crate) fn class(&self, class: usize) -> String {
        self.class_names.get(class).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| class.to_string())
    }

    /// What a class is called where there is little room: its name, where all of them are short, else its number.
    pub(crate) fn short_class(&self, class: usize) -> String {
        let short = self.class_names.iter().all(|name| name.chars().count() <= SHORT);
        if short { self.class(class) } else { class.to_string() }
    }

    /// The places among the metrics of the models that figures show: those asked for; else all, or of many the first,
    /// and others evenly by their size.
    pub(crate) fn shown(&self) -> Vec<usize> {
        let all = &self.metrics.models;
        if !self.show.is_empty() {
            return (0..all.len()).filter(|&i| self.show.contains(&all[i].name)).collect();
        }
        if all.len() <= MOST_SHOWN {
            return (0..all.len()).collect();
        }
        let mut others: Vec<usize> = (1..all.len()).collect();
        others.sort_by_key(|&i| all[i].bytes());
        // Evenly from the largest to the smallest.
        let at = |i: usize| others[i * (others.len() - 1) / (MOST_SHOWN - 2)];
        let chosen: Vec<usize> = (0..MOST_SHOWN - 1).map(at).collect();
        (0..all.len()).filter(|i| *i == 0 || chosen.contains(i)).collect()
    }

    /// The shown models that have predictions, each with its place among the shown: that is its colour.
    pub(crate) fn drawn(&self) -> Vec<(usize, &ModelPredictions)> {
        let of = |name: &str| self.predictions.iter().find(|p| p.name == name);
        let shown = self.shown();
        shown.iter().enumerate().filter_map(|(i, &m)| of(&self.metrics.models[m].name).map(|p| (i, p))).collect()
    }

    /// The metrics of a shown model.
    pub(crate) fn entry(&self, name: &str) -> Option<&ModelEntry> {
        self.metrics.models.iter().find(|m| m.name == name)
    }
}

/// Mean predictions and uncertainties of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPredictions {
    /// As in the metrics.
    pub name: String,
    /// Of each group.
    pub groups: Vec<GroupPredictions>,
}

impl ModelPredictions {
    /// What an evaluation found.
    pub fn of(name: impl Into<String>, evaluation: &Evaluation) -> Self {
        let groups = evaluation.groups().iter().map(|g| GroupPredictions::of(g, evaluation.classes()));
        Self { name: name.into(), groups: groups.collect() }
    }

    /// The first group of a role; `None` if it is absent.
    pub fn first(&self, role: Role) -> Option<&GroupPredictions> {
        self.groups.iter().find(|g| g.role == role)
    }

    /// The group of this name.
    pub fn named(&self, name: &str) -> Option<&GroupPredictions> {
        self.groups.iter().find(|g| g.name == name)
    }
}

/// Mean predictions and uncertainties of one group of N inputs, C classes; uncertainties in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPredictions {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// C.
    pub classes: usize,
    /// mean_s p_s, `[N][C]` row-major.
    pub mean_probs: Vec<f64>,
    /// H\[mean_s p_s\] per input.
    pub total: Vec<f64>,
    /// mean_s H\[p_s\] per input.
    pub aleatoric: Vec<f64>,
    /// Their difference per input; `None` with a single draw.
    pub epistemic: Option<Vec<f64>>,
    /// Mean energy of the draws per input, nats; `None` where logits are not known.
    pub energy: Option<Vec<f64>>,
    /// How far the draws' logits lie apart per input, nats squared; `None` where logits are not known, or with a single draw.
    pub logit_disagreement: Option<Vec<f64>>,
    /// To how many digits the probabilities were given: which bin of confidence one on an edge belongs to.
    pub precision: Precision,
}

impl GroupPredictions {
    fn of(group: &EvaluatedGroup, classes: usize) -> Self {
        let uncertainty = &group.uncertainty;
        Self {
            name: group.name.clone(),
            role: group.role,
            classes,
            mean_probs: uncertainty.mean_probs.clone(),
            total: uncertainty.total.clone(),
            aleatoric: uncertainty.aleatoric.clone(),
            epistemic: uncertainty.epistemic.clone(),
            energy: uncertainty.energy.clone(),
            logit_disagreement: uncertainty.logit_disagreement.clone(),
            precision: uncertainty.precision,
        }
    }

    /// Whether every array has the length that the others say.
    pub fn is_whole(&self) -> bool {
        let n = self.total.len();
        self.classes >= 2
            && self.mean_probs.len() == n * self.classes
            && self.aleatoric.len() == n
            && [&self.epistemic, &self.energy, &self.logit_disagreement]
                .into_iter()
                .all(|values| values.as_ref().is_none_or(|v| v.len() == n))
    }

    /// One kind of uncertainty.
    pub fn kind(&self, kind: Kind) -> Option<&[f64]> {
        match kind {
            Kind::Total => Some(&self.total),
            Kind::Aleatoric => Some(&self.aleatoric),
            Kind::Epistemic => self.epistemic.as_deref(),
        }
    }

    /// The mean prediction of an input; empty beyond the last.
    pub fn probs(&self, input: usize) -> &[f64] {
        self.mean_probs.get(input * self.classes..(input + 1) * self.classes).unwrap_or(&[])
    }

    /// The most probable class of each input (the first of equals) and its probability.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.mean_probs.chunks_exact(self.classes.max(1)).map(arg_max)
    }
}

/// A kind of uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// H\[mean_s p_s\].
    Total,
    /// mean_s H\[p_s\].
    Aleatoric,
    /// Their difference.
    Epistemic,
}

impl Kind {
    /// `total`, `aleatoric` or `epistemic`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Total => "total",
            Kind::Aleatoric => "aleatoric",
            Kind::Epistemic => "epistemic",
        }
    }
}

/// One epoch of training.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Which model was trained.
    pub model: String,
    /// Counted from 1 within that training.
    pub epoch: usize,
    /// Mean training loss, nats per image.
    pub nll: f64,
    /// KL divergence over the number of training images, nats.
    pub kl: f64,
    /// On the validation group, in \[0, 1\].
    pub validation_accuracy: f64,
    /// On the validation group, nats.
    pub validation_nll: f64,
}

/// The posterior of one layer's weights before and after quantization.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name of the layer.
    pub name: String,
    /// The quantized model.
    pub model: String,
    /// Means: in float, and as stored on their grids.
    pub mu: [Vec<f32>; 2],
    /// The grid of the means of one channel, that of the median scale; each channel has its own.
    pub mu_levels: Vec<f32>,
    /// Standard deviations: in float, and as stored.
    pub sigma: [Vec<f32>; 2],
    /// The grid of the standard deviations.
    pub sigma_levels: Vec<f32>,
}

/// Why an image is in the gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// The least total uncertainty, the best of each predicted class.
    Certain,
    /// The most aleatoric uncertainty.
    Ambiguous,
    /// The most epistemic uncertainty.
    Ood,
    /// Clean, decided wrongly, with the least total uncertainty.
    Mistaken,
}

impl Shelf {
    /// All shelves, in the order of the page.
    pub const ALL: [Shelf; 4] = [Shelf::Certain, Shelf::Ambiguous, Shelf::Ood, Shelf::Mistaken];
}

/// An image by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Why.
    pub shelf: Shelf,
    /// Its group, by its place among those of the predictions.
    pub group: usize,
    /// Its place in the group.
    pub input: usize,
}

/// An image of the gallery with its pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GalleryImage {
    /// Which.
    pub chosen: Chosen,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `[row][column][channel]`; in grey 0 is the background, 255 full ink.
    pub pixels: Vec<u8>,
}
