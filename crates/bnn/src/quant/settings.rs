//! What a quantization is told: one description of every strategy.
//!
//! A strategy is nothing but the set of values that it puts on grids; widths, grids and rounding are independent
//! settings of their own. 32 bits mean float everywhere.

use crate::error::BnnError;
use crate::posterior::PosteriorKind;
use crate::settings::{passes, positive};
use qbnn_core::Bits;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The width that means float.
pub const FLOAT_BITS: u32 = 32;

/// Which of the values are quantized (Borras et al., arXiv 2512.10602).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Variational parameter quantization: means and standard deviations; draws in float.
    Vpq,
    /// Sampled parameter quantization: each drawn weight; means and standard deviations in float.
    Spq,
    /// Joint quantization: both.
    Jq,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 3] = [Strategy::Vpq, Strategy::Spq, Strategy::Jq];

    /// Whether the stored posterior (means and standard deviations) lies on grids.
    pub fn stores(self) -> bool {
        matches!(self, Strategy::Vpq | Strategy::Jq)
    }

    /// Whether drawn weights lie on a grid.
    pub fn draws(self) -> bool {
        matches!(self, Strategy::Spq | Strategy::Jq)
    }

    /// `vpq`, `spq` or `jq`.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Vpq => "vpq",
            Strategy::Spq => "spq",
            Strategy::Jq => "jq",
        }
    }

    /// `bits` for everything that this strategy quantizes, activations included, 32 for the rest.
    pub fn widths(self, bits: u32) -> BitWidths {
        let (stored, drawn) = (self.stores(), self.draws());
        let either = |quantized: bool| if quantized { bits } else { FLOAT_BITS };
        BitWidths { mu: either(stored), sigma: either(stored), weight: either(drawn), activation: bits }
    }
}

/// Widths in bits: 2 to 8 each, or 32 for float.
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
        Strategy::Jq.widths(4)
    }
}

impl BitWidths {
    /// Everything in float.
    pub const FLOAT: BitWidths =
        BitWidths { mu: FLOAT_BITS, sigma: FLOAT_BITS, weight: FLOAT_BITS, activation: FLOAT_BITS };
}

/// Widths as people write them: `4`, `w4a2`, `mu4s3w4a4`. What is quantized besides depends on the strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// Of every parameter that the strategy quantizes (`w`).
    pub parameters: Option<u32>,
    /// Of the means alone (`mu`).
    pub mu: Option<u32>,
    /// Of the standard deviations alone (`s`).
    pub sigma: Option<u32>,
    /// Of the activations (`a`).
    pub activation: Option<u32>,
}

impl FromStr for Widths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` names no widths; wanted a number, or the like of w4a4 or mu4s3w4a4");
        if let Ok(bits) = text.parse() {
            return Ok(Widths { parameters: Some(bits), activation: Some(bits), ..Widths::default() });
        }
        let mut widths = Widths::default();
        let mut rest = text;
        while !rest.is_empty() {
            let letters = rest.find(|c: char| c.is_ascii_digit()).ok_or_else(wanted)?;
            let (name, after) = rest.split_at(letters);
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let bits = after[..digits].parse().map_err(|_| wanted())?;
            let slot = match name {
                "w" => &mut widths.parameters,
                "mu" => &mut widths.mu,
                "s" => &mut widths.sigma,
                "a" => &mut widths.activation,
                _ => return Err(wanted()),
            };
            if slot.replace(bits).is_some() {
                return Err(format!("`{text}` gives {name} twice"));
            }
            rest = &after[digits..];
        }
        if widths == Widths::default() { Err(wanted()) } else { Ok(widths) }
    }
}

impl Widths {
    /// The widths under a strategy; what is not named stays as in `base`. A part that the strategy leaves in float is
    /// taken over if it is named by itself, so that a contradiction is seen.
    pub fn resolve(self, strategy: Strategy, base: BitWidths) -> BitWidths {
        let stored = self.parameters.filter(|_| strategy.stores());
        let drawn = self.parameters.filter(|_| strategy.draws());
        BitWidths {
            mu: self.mu.or(stored).unwrap_or(base.mu),
            sigma: self.sigma.or(stored).unwrap_or(base.sigma),
            weight: drawn.unwrap_or(base.weight),
            activation: self.activation.unwrap_or(base.activation),
        }
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

/// The grid of the standard deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SigmaGrid {
    /// Equal ratios between neighbours.
    Log,
    /// Equal differences, from zero on, as in related work.
    Uniform,
}

impl SigmaGrid {
    /// Every grid.
    pub const ALL: [SigmaGrid; 2] = [SigmaGrid::Log, SigmaGrid::Uniform];

    /// Its name, as settings have it.
    pub fn name(self) -> &'static str {
        match self {
            SigmaGrid::Log => "log",
            SigmaGrid::Uniform => "uniform",
        }
    }
}

/// How many weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Those of an output channel.
    Channel,
    /// Those of a tensor.
    Tensor,
}

/// What sets a grid's first scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibration {
    /// Of means and drawn weights the least squared error, each in units of its own sigma; of the log grid of sigma
    /// the extremes, because the smallest hundredth carries the prediction where the others are as their prior; of
    /// activations the step that changes the prediction least.
    Prediction,
    /// The least squared error, of parameters each in units of its own sigma; of the log grid, percentiles (1 and 99.5).
    /// The rule of version 0.1.
    WeightedError,
    /// The least squared error; of the log grid, percentiles (1 and 99.5).
    Error,
    /// The extremes: nothing clips.
    Range,
}

/// What training through the quantizers starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// A trained float network.
    Float,
    /// The float network's initial weights: the whole training runs through the quantizers.
    Scratch,
}

/// How a posterior is quantized and trained through its quantizers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizeSettings {
    /// Which values.
    pub strategy: Strategy,
    /// How wide.
    pub bits: BitWidths,
    /// The grid of the standard deviations.
    pub sigma_grid: SigmaGrid,
    /// What shares a scale of means, and of drawn weights.
    pub scale: Scale,
    /// What shares a range of standard deviations.
    pub sigma_scale: Scale,
    /// How a draw is rounded.
    pub rounding: Rounding,
    /// Bits of noise that choose a deviation from the Gaussian table: 8 use all of it, 1 leaves a sign.
    pub noise_bits: u32,
    /// What sets the first scales.
    pub fit: Calibration,
    /// Whether training moves scales and ranges.
    pub learn_scales: bool,
    /// What training starts from.
    pub start: Start,
    /// Passes of quantization-aware training; 0 calibrates only (PTQ).
    pub epochs: usize,
    /// Adam's step size at the start of it.
    pub learning_rate: f32,
    /// Weight of the KL divergence in it; by default that of the float training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_weight: Option<f32>,
    /// Training images whose activations set the first scales.
    pub calibration: usize,
}

impl Default for QuantizeSettings {
    fn default() -> Self {
        QuantizeSettings {
            strategy: Strategy::Jq,
            bits: BitWidths::default(),
            sigma_grid: SigmaGrid::Log,
            scale: Scale::Channel,
            sigma_scale: Scale::Tensor,
            rounding: Rounding::Nearest,
            noise_bits: 8,
            fit: Calibration::Prediction,
            learn_scales: true,
            start: Start::Float,
            epochs: 3,
            learning_rate: 1e-4,
            kl_weight: None,
            calibration: 1024,
        }
    }
}

impl QuantizeSettings {
    /// Checks every range, and that widths and strategy agree.
    ///
    /// # Errors
    /// [`BnnError::Setting`] names the key, what was found and what is accepted.
    pub fn check(&self) -> Result<(), BnnError> {
        let BitWidths { mu, sigma, weight, activation } = self.bits;
        for (key, bits) in
            [("bits.mu", mu), ("bits.sigma", sigma), ("bits.weight", weight), ("bits.activation", activation)]
        {
            if bits != FLOAT_BITS && Bits::new(bits).is_err() {
                return Err(BnnError::setting(key, bits, "wanted 2..8, or 32 for float"));
            }
        }
        self.check_strategy()?;
        if !(1..=8).contains(&self.noise_bits) {
            return Err(BnnError::setting("noise_bits", self.noise_bits, "wanted 1..8"));
        }
        positive("learning_rate", self.learning_rate)?;
        if let Some(weight) = self.kl_weight.filter(|w| !(*w >= 0.0 && w.is_finite())) {
            return Err(BnnError::setting("kl_weight", weight, "it must be 0 or more"));
        }
        if self.start == Start::Scratch && self.epochs == 0 {
            return Err(BnnError::setting(
                "epochs",
                0,
                "training from scratch needs at least 1; or set start = \"float\"",
            ));
        }
        if self.calibration == 0 {
            return Err(BnnError::setting("calibration", 0, "it must be at least 1 image"));
        }
        passes("epochs", self.epochs)?;
        passes("calibration", self.calibration)?;
        Ok(())
    }

    /// Checks that a posterior of a family can be quantized so.
    ///
    /// # Errors
    /// [`BnnError::Setting`] names the family and what fits.
    pub fn check_posterior(&self, family: PosteriorKind) -> Result<(), BnnError> {
        let refuse = |found: &str, wanted: &str| Err(BnnError::setting("train.posterior", found, wanted));
        let properties = family.properties();
        if self.is_float() || properties.has_sigma {
            return Ok(());
        }
        if !properties.adds_noise && !properties.drops_units {
            return refuse(properties.name, "it is not quantized here: train a gaussian, point or dropout posterior");
        }
        if properties.drops_units && self.strategy == Strategy::Spq {
            return refuse(
                properties.name,
                "SPQ draws no dropped units: quantize it with strategy = \"jq\" or \"vpq\"",
            );
        }
        if self.strategy == Strategy::Jq && self.bits.weight != self.bits.mu {
            let wanted =
                format!("a {} posterior draws its means: set it to bits.mu, {}", properties.name, self.bits.mu);
            return Err(BnnError::setting("bits.weight", self.bits.weight, wanted));
        }
        Ok(())
    }

    /// Widths that contradict the strategy. Everything at 32 bits is float under any of them.
    fn check_strategy(&self) -> Result<(), BnnError> {
        let BitWidths { mu, sigma, weight, activation } = self.bits;
        if self.is_float() {
            return Ok(());
        }
        let all = [("bits.mu", mu), ("bits.sigma", sigma), ("bits.weight", weight), ("bits.activation", activation)];
        let (wrong, wanted): (Vec<_>, _) = match self.strategy {
            Strategy::Vpq => (
                all[2..3].iter().filter(|p| p.1 != FLOAT_BITS).collect(),
                "VPQ draws weights in float: leave it at 32, or set strategy = \"jq\"",
            ),
            Strategy::Spq => (
                all[..2].iter().filter(|p| p.1 != FLOAT_BITS).collect(),
                "SPQ stores the posterior in float: leave it at 32, or set strategy = \"jq\"",
            ),
            Strategy::Jq => (
                all.iter().filter(|p| p.1 == FLOAT_BITS).collect(),
                "JQ puts everything on grids: wanted 2..8; or set strategy = \"vpq\" (float draws) or \"spq\" (float \
                 posterior)",
            ),
        };
        wrong.first().map_or(Ok(()), |(key, bits)| Err(BnnError::setting(key, bits, wanted)))
    }

    /// Whether nothing at all is quantized.
    pub fn is_float(&self) -> bool {
        self.bits == BitWidths::FLOAT
    }

    /// What reports call the quantized network: `jq-w4a4`, or every width where they differ, then whatever else is not
    /// as usual.
    pub fn name(&self) -> String {
        let mut name = format!("{}-{}", self.strategy.name(), self.width_name());
        let usual = QuantizeSettings::default();
        let grid = format!("{}-sigma", self.sigma_grid.name());
        let words = [
            (self.sigma_grid != usual.sigma_grid, &grid[..]),
            (self.scale != usual.scale, "per-tensor"),
            (self.sigma_scale != usual.sigma_scale, "sigma-per-channel"),
            (self.rounding != usual.rounding, "stochastic"),
            (self.start != usual.start, "scratch"),
        ];
        for (_, word) in words.iter().filter(|w| w.0) {
            name.push('-');
            name.push_str(word);
        }
        name
    }

    fn width_name(&self) -> String {
        let BitWidths { mu, sigma, weight, activation } = self.bits;
        let stored = self.strategy.stores();
        match self.strategy.draws() {
            true if !stored || (mu == sigma && mu == weight) => format!("w{weight}a{activation}"),
            true => format!("mu{mu}s{sigma}w{weight}a{activation}"),
            false if mu == sigma => format!("w{mu}a{activation}"),
            false => format!("mu{mu}s{sigma}a{activation}"),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sigma_grid_is_read_by_the_name_that_reports_call_it() {
        for grid in SigmaGrid::ALL {
            assert_eq!(serde_json::to_value(grid).unwrap(), grid.name());
            let settings = QuantizeSettings { sigma_grid: grid, ..QuantizeSettings::default() };
            assert_eq!(settings.name().contains(&format!("{}-sigma", grid.name())), grid != SigmaGrid::Log);
        }
    }
}
