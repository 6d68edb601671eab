//! What a training is told: plain data that a config file and a checkpoint hold alike. What a quantization is told
//! stands with the quantizers, in [`crate::quant::settings`].

use crate::data::TrainData;
use crate::error::BnnError;
pub use crate::estimator::Estimator;
use crate::nn::pass::BLOCK;
pub use crate::posterior::PosteriorKind;
use crate::posterior::PosteriorSettings;
use serde::{Deserialize, Serialize};

/// How training is done. Defaults are the project's own recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSettings {
    /// Passes over the training pairs.
    pub epochs: usize,
    /// Pairs per step.
    pub batch: usize,
    /// Adam's step size at the start; it falls to zero along a cosine.
    pub learning_rate: f32,
    /// Weight of the KL divergence in the ELBO; 1 is the exact bound.
    pub kl_weight: f32,
    /// Share of the training over which the KL weight rises linearly from zero.
    pub kl_warmup: f32,
    /// Standard deviation of the Gaussian prior of every weight and bias.
    pub prior_sigma: f32,
    /// Standard deviation that every weight starts with.
    pub initial_sigma: f32,
    /// How the gradient meets the random weights.
    pub estimator: Estimator,
    /// Networks drawn for a step, each for its share of the batch: more of them, less noise of the gradient.
    pub draws: usize,
    /// What is learned of every weight.
    pub posterior: PosteriorKind,
    /// Share of the units that a dropout posterior drops.
    pub dropout: f32,
    /// What an image is taken for.
    pub labels: Labels,
    /// Share of every label that is spread over all classes; above 0 it makes for underconfidence by as much.
    pub label_smoothing: f32,
    /// Weight of the draws' mutual information on synthetic OOD images (`bnn/src/mutual_information.rs`); 0 for no such
    /// images. (Files of 0.1 call it `foreign_weight`.)
    #[serde(alias = "foreign_weight")]
    pub ood_weight: f32,
    /// Kinds of these images, by the names that who makes them has for them (`data/src/synthetic_ood.rs`); `None`, as in files
    /// of 0.1, for those of then: tiles, negatives, stains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood_kinds: Option<Vec<String>>,
    /// Largest share of an OOD image that is blended into training images, which keep their labels: half of them, each with a
    /// share drawn evenly from 0 to this. `None`, as in files of 0.1, for no blends. Without OOD images it has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood_blend: Option<f32>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        TrainSettings {
            epochs: 20,
            batch: 128,
            learning_rate: 2e-3,
            kl_weight: 1.0,
            kl_warmup: 0.3,
            prior_sigma: 1.0,
            initial_sigma: 0.02,
            estimator: Estimator::Reparameterization,
            draws: 1,
            posterior: PosteriorKind::Gaussian,
            dropout: 0.1,
            labels: Labels::Hard,
            label_smoothing: 0.0,
            ood_weight: 0.0,
            ood_kinds: None,
            ood_blend: None,
        }
    }
}

/// What the images of training pairs are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// Each pair's own label: an ambiguous image is met with one drawn label after the other.
    #[serde(rename = "drawn")]
    Hard,
    /// The probabilities of all labels, where the data knows them.
    Soft,
}

/// A setting that must be a positive finite number.
pub(crate) fn positive(key: &'static str, value: f32) -> Result<(), BnnError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(BnnError::setting(key, value, "it must be a number above 0"))
    }
}

/// Most passes over the data, and most images that grids are calibrated on.
pub(crate) const MOST: usize = 1_000_000;

/// A number of passes, or of images, that is no slip of the finger.
pub(crate) fn passes(key: &'static str, value: usize) -> Result<(), BnnError> {
    if value <= MOST { Ok(()) } else { Err(BnnError::setting(key, value, format!("wanted at most {MOST}"))) }
}

impl TrainSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`BnnError::Setting`] names the key, what was found and what is accepted.
    pub fn check(&self) -> Result<(), BnnError> {
        if self.batch == 0 {
            return Err(BnnError::setting("batch", self.batch, "it must be at least 1"));
        }
        passes("epochs", self.epochs)?;
        let most = self.batch.div_ceil(BLOCK);
        if !(1..=most).contains(&self.draws) {
            let wanted =
                format!("wanted 1 to {most}: each draw takes at least {BLOCK} of the batch's {} pairs", self.batch);
            return Err(BnnError::setting("draws", self.draws, wanted));
        }
        positive("learning_rate", self.learning_rate)?;
        positive("prior_sigma", self.prior_sigma)?;
        positive("initial_sigma", self.initial_sigma)?;
        if !(self.kl_weight >= 0.0 && self.kl_weight.is_finite()) {
            return Err(BnnError::setting("kl_weight", self.kl_weight, "it must be 0 or more"));
        }
        if !(0.0..=1.0).contains(&self.kl_warmup) {
            return Err(BnnError::setting("kl_warmup", self.kl_warmup, "it is a share of the training, 0 to 1"));
        }
        if !(self.dropout > 0.0 && self.dropout < 1.0) {
            return Err(BnnError::setting("dropout", self.dropout, "it is a share of the units, between 0 and 1"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let wanted = "it is a share of every label, 0 or more and below 1";
            return Err(BnnError::setting("label_smoothing", self.label_smoothing, wanted));
        }
        self.check_ood()?;
        if !self.posterior.properties().has_sigma && self.estimator != Estimator::Reparameterization {
            let found = format!("{:?}", self.estimator);
            return Err(BnnError::setting("estimator", found, "a posterior without sigma needs weight-draw"));
        }
        Ok(())
    }

    /// What a posterior starts with.
    pub(crate) fn of_posterior(&self) -> PosteriorSettings {
        PosteriorSettings { initial_sigma: self.initial_sigma, dropout: self.dropout }
    }

    /// Checks that the data has what these settings want of it.
    ///
    /// # Errors
    /// [`BnnError::Setting`] names the key.
    pub fn check_data(&self, data: &TrainData<'_>) -> Result<(), BnnError> {
        if self.labels == Labels::Soft && data.soft_labels.is_none() {
            return Err(BnnError::setting("labels", "soft", "this data knows no soft labels: use \"drawn\""));
        }
        if self.ood_weight > 0.0 && data.ood.is_none_or(|images| images.is_empty()) {
            let wanted = "no OOD images were made for it: give TrainData some, or set it to 0";
            return Err(BnnError::setting("ood_weight", self.ood_weight, wanted));
        }
        Ok(())
    }

    fn check_ood(&self) -> Result<(), BnnError> {
        let weight = self.ood_weight;
        let refuse = |wanted: &str| Err(BnnError::setting("ood_weight", weight, wanted));
        if !(weight >= 0.0 && weight.is_finite()) {
            return refuse("it must be 0 or more");
        }
        if let Some(blend) = self.ood_blend
            && !(0.0..=0.75).contains(&blend)
        {
            let wanted = "it is the largest share of an OOD image in a training image, 0 to 0.75";
            return Err(BnnError::setting("ood_blend", blend, wanted));
        }
        if weight > 0.0 && self.draws < 2 {
            return refuse("draws disagree where there are at least two: set train.draws to 2 or more (4 is usual)");
        }
        if weight > 0.0
            && (self.estimator != Estimator::Reparameterization || !self.posterior.properties().draws_differ)
        {
            return refuse("it needs whole networks that are drawn: a gaussian or dropout posterior and weight-draw");
        }
        Ok(())
    }
}
