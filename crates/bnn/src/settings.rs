//! What a training and a quantization are told: plain data that a config file and a checkpoint hold alike.

use crate::error::BnnError;
use qbnn_core::Bits;
use serde::{Deserialize, Serialize};

/// How training is done. Defaults are the house recipe.
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
            estimator: Estimator::WeightDraw,
        }
    }
}

/// The gradient estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// One drawn network per step (Blundell et al. 2015).
    WeightDraw,
    /// Drawn activations (Kingma, Salimans, Welling 2015).
    LocalReparameterization,
    /// One drawn deviation, its sign flipped per image (Wen et al. 2018).
    Flipout,
}

/// Which of the values are quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Posterior and drawn weights.
    Jq,
}

/// Widths in bits: 2 to 8 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BitWidths {
    /// Stored means.
    pub mu: u32,
    /// Stored standard deviations.
    pub sigma: u32,
    /// Drawn weights.
    pub weight: u32,
    /// Activations.
    pub activation: u32,
}

impl Default for BitWidths {
    fn default() -> Self {
        BitWidths { mu: 4, sigma: 4, weight: 4, activation: 4 }
    }
}

/// How a drawn weight meets its grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest code.
    Nearest,
    /// Up with the probability of the fraction: keeps the mean of the draw, and adds the variance of the rounding, a
    /// sixth of a squared step on average.
    Stochastic,
}

/// How a posterior is quantized and fine-tuned through its quantizers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizeSettings {
    /// Which values.
    pub strategy: Strategy,
    /// How wide.
    pub bits: BitWidths,
    /// How a draw is rounded.
    pub rounding: Rounding,
    /// Passes of quantization-aware training; 0 calibrates only (PTQ).
    pub epochs: usize,
    /// Adam's step size at the start of it.
    pub learning_rate: f32,
    /// Training images whose activations set the first scales.
    pub calibration: usize,
}

impl Default for QuantizeSettings {
    fn default() -> Self {
        QuantizeSettings {
            strategy: Strategy::Jq,
            bits: BitWidths::default(),
            rounding: Rounding::Nearest,
            epochs: 3,
            learning_rate: 1e-4,
            calibration: 1024,
        }
    }
}

/// A setting that must be a positive finite number.
fn positive(key: &'static str, value: f32) -> Result<(), BnnError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(BnnError::setting(key, value, "it must be a number above 0"))
    }
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
        positive("learning_rate", self.learning_rate)?;
        positive("prior_sigma", self.prior_sigma)?;
        positive("initial_sigma", self.initial_sigma)?;
        if !(self.kl_weight >= 0.0 && self.kl_weight.is_finite()) {
            return Err(BnnError::setting("kl_weight", self.kl_weight, "it must be 0 or more"));
        }
        if !(0.0..=1.0).contains(&self.kl_warmup) {
            return Err(BnnError::setting("kl_warmup", self.kl_warmup, "it is a share of the training, 0 to 1"));
        }
        Ok(())
    }
}

impl QuantizeSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`BnnError::Setting`] names the key, what was found and what is accepted.
    pub fn check(&self) -> Result<(), BnnError> {
        let widths = [
            ("bits.mu", self.bits.mu),
            ("bits.sigma", self.bits.sigma),
            ("bits.weight", self.bits.weight),
            ("bits.activation", self.bits.activation),
        ];
        for (key, bits) in widths {
            let wanted = "JQ quantizes it to 2..8 bits (32, which means float, belongs to the float network)";
            Bits::new(bits).map_err(|_| BnnError::setting(key, bits, wanted))?;
        }
        positive("learning_rate", self.learning_rate)?;
        if self.calibration == 0 {
            return Err(BnnError::setting("calibration", 0, "it must be at least 1 image"));
        }
        Ok(())
    }

    /// What reports call the quantized network: `jq-w4a4`, or every width where they differ.
    pub fn name(&self) -> String {
        let BitWidths { mu, sigma, weight, activation } = self.bits;
        if mu == sigma && mu == weight {
            format!("jq-w{mu}a{activation}")
        } else {
            format!("jq-mu{mu}s{sigma}w{weight}a{activation}")
        }
    }
}
