//! The guide: the posterior, and the quantizers through which it is drawn. The network knows of neither.

use crate::data::Normalisation;
use crate::draw::Draw;
use crate::error::BnnError;
use crate::math::add;
use crate::nn::Network;
use crate::nn::pass::{ActivationQuantizer, FloatActivations, Gradient, PassNoise, WeightSample};
use crate::noise;
use crate::posterior::Posterior;
use crate::prior::WeightedPrior;
use crate::quant::Quantizers;
use crate::quant::activation::QuantizedActivations;
use crate::quant::gradient::QuantizerGradient;
use crate::quant::settings::FLOAT_BITS;
use crate::settings::Estimator;
use qbnn_core::Bits;
use qbnn_core::noise::NoiseCounter;
use qbnn_core::pack::packed_len;

/// Posterior and quantizers of a network.
#[derive(Clone, Debug)]
pub struct Guide {
    /// The posterior that training moves, in float.
    pub posterior: Posterior,
    /// The grids that stand between it and a draw; `None` in float, and where every width is 32.
    pub quantizers: Option<Quantizers>,
}

/// Memory of a guide's draws: the stored posterior and one draw.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// Means as stored.
    pub mu: Vec<f32>,
    /// Standard deviations as stored.
    pub sigma: Vec<f32>,
    /// Variances (local reparameterization only).
    variance: Vec<f32>,
    draw: Draw,
}

/// Gradient of everything that a guide learns.
#[derive(Clone, Debug, Default)]
pub struct GuideGradient {
    /// Of the means.
    pub mu: Vec<f32>,
    /// Of the log standard deviations; empty where none is learned.
    pub log_sigma: Vec<f32>,
    /// Of the quantizers' parameters.
    pub quantizers: QuantizerGradient,
}

impl GuideGradient {
    /// Adds another gradient of the same guide.
    pub fn add(&mut self, other: &GuideGradient) {
        add(&mut self.mu, &other.mu);
        add(&mut self.log_sigma, &other.log_sigma);
        self.quantizers.add(&other.quantizers);
    }

    /// That of the posterior's parameters, in their order.
    pub(crate) fn of_posterior(&self) -> [&[f32]; 2] {
        [&self.mu, &self.log_sigma]
    }
}

/// Bytes of a stored network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterBytes {
    /// Means and standard deviations of the weights.
    pub weights: usize,
    /// Means and standard deviations of the biases.
    pub biases: usize,
    /// Scales, ranges and steps, 4 bytes each.
    pub scales: usize,
}

impl ParameterBytes {
    /// All of them.
    pub fn total(&self) -> usize {
        self.weights + self.biases + self.scales
    }
}

impl Guide {
    /// Bytes of the parameters: packed codes and scales, or two floats a parameter.
    pub fn bytes(&self, net: &Network) -> ParameterBytes {
        let mut bytes = ParameterBytes { weights: 0, biases: 0, scales: 0 };
        for (index, tensor) in net.tensors.iter().enumerate() {
            let n = tensor.range.len();
            let wide = (FLOAT_BITS, FLOAT_BITS);
            let (mu, sigma) = self.quantizers.as_ref().map_or(wide, |q| q.stored_bits(index));
            let packed = |b| Bits::new(b).map_or(4 * n, |b| packed_len(n, b));
            let size = if self.posterior.kind().properties().has_sigma {
                packed(mu) + packed(sigma)
            } else {
                // Where the mean has no grid of its own, the drawn value is stored in its place.
                packed(self.quantizers.as_ref().filter(|_| mu == FLOAT_BITS).map_or(mu, |q| q.drawn_bits(index)))
            };
            *if tensor.bias { &mut bytes.biases } else { &mut bytes.weights } += size;
        }
        bytes.scales = self.quantizers.as_ref().map_or(0, |q| 4 * q.param_count());
        bytes
    }

    /// Works out the posterior as stored: to be called after every change of the guide. (A plain draw in float reads the
    /// posterior itself and needs none of it.)
    pub fn store(&self, net: &Network, into: &mut Drawn) {
        match &self.quantizers {
            None => {
                into.mu.clear();
                into.mu.extend_from_slice(self.posterior.mu());
                self.posterior.family().sigma_into(&mut into.sigma);
            }
            Some(quantizers) => quantizers.stored(net, &self.posterior, &mut into.mu, &mut into.sigma),
        }
    }

    /// Draws every weight from the stored posterior.
    pub fn draw(&self, net: &Network, key: [u32; 2], purpose: u32, draw: u32, into: &mut Drawn) {
        let Drawn { mu, sigma, draw: memory, .. } = into;
        match &self.quantizers {
            Some(quantizers) => {
                let place = NoiseCounter { purpose: purpose + noise::purpose::CODES, tensor: 0, draw };
                quantizers.draw(net, mu, sigma, key, place, memory);
                self.posterior.family().drop_units(net, key, place, memory);
            }
            None => {
                let place = NoiseCounter { purpose: purpose + noise::purpose::WEIGHTS, tensor: 0, draw };
                self.posterior.family().draw(net, key, place, memory);
            }
        }
    }

    /// Prepares a training step's draw, or what its estimator wants instead.
    pub fn draw_for(&self, net: &Network, estimator: Estimator, key: [u32; 2], step: u32, into: &mut Drawn) {
        if !self.is_fused(estimator) {
            self.store(net, into);
        }
        match estimator {
            Estimator::Reparameterization => self.draw(net, key, 0, step, into),
            Estimator::LocalReparameterization => {
                into.variance.clear();
                into.variance.extend(into.sigma.iter().map(|s| s * s));
            }
            Estimator::Flipout => {
                self.draw(net, key, 0, step, into);
                // The draw becomes its deviation from the mean.
                let Drawn { mu, draw, .. } = into;
                draw.weights.iter_mut().zip(mu).for_each(|(w, m)| *w -= *m);
            }
        }
    }

    /// Whether a step of training with one draw updates the posterior in one pass over it, and needs no stored one.
    pub fn is_fused(&self, estimator: Estimator) -> bool {
        let family = self.posterior.family();
        self.quantizers.is_none() && family.has_fused_update() && estimator == Estimator::Reparameterization
    }

    /// What quantizes the activations, in a network whose inputs become numbers by `pixels`.
    pub fn activation_quantizer(&self, pixels: Normalisation) -> Box<dyn ActivationQuantizer + '_> {
        match self.activation_grids(pixels) {
            None => Box::new(FloatActivations),
            Some(grids) => Box::new(grids),
        }
    }

    /// The grids of the activations; `None` where they are in float.
    pub fn activation_grids(&self, pixels: Normalisation) -> Option<QuantizedActivations<'_>> {
        let grids = self.quantizers.as_ref().and_then(|q| q.activations.as_ref())?;
        Some(QuantizedActivations { bits: grids.bits, log2_steps: &grids.log2_steps, pixels })
    }

    /// From a batch's gradient to the guide's, the weighted KL's included. Returns the KL in nats, of the
    /// posterior *as stored*.
    pub fn backward(
        &self,
        net: &Network,
        estimator: Estimator,
        drawn: &mut Drawn,
        batch: &Gradient,
        kl: WeightedPrior<'_>,
        into: &mut GuideGradient,
    ) -> f64 {
        let family = self.posterior.family();
        let n = drawn.mu.len();
        into.mu.resize(n, 0.0);
        into.log_sigma.resize(if self.posterior.kind().properties().has_sigma { n } else { 0 }, 0.0);
        into.quantizers = self.quantizers.as_ref().map_or_else(QuantizerGradient::default, Quantizers::zero_gradient);
        let (d_mu, d_sigma) = (&mut into.mu[..], &mut into.log_sigma[..]);
        match &self.quantizers {
            Some(quantizers) => {
                let before = family.before_dropping(&drawn.draw, &batch.first);
                let d_weights = before.as_deref().unwrap_or(&batch.first);
                quantizers.backward_draw(net, &drawn.draw, d_weights, d_mu, d_sigma, &mut into.quantizers);
                into.quantizers.activations.copy_from_slice(&batch.activations);
            }
            None => family.backward_draw(estimator, &drawn.draw, &drawn.sigma, batch, d_mu, d_sigma),
        }
        let lifted = self.quantizers.as_ref().and_then(|q| q.divergence_sigma(net, &drawn.sigma));
        let kl = family.kl(kl, &drawn.mu, lifted.as_ref().unwrap_or(&drawn.sigma), d_mu, d_sigma);
        match &self.quantizers {
            Some(quantizers) => {
                quantizers.backward_stored(net, &self.posterior, &drawn.sigma, d_mu, d_sigma, &mut into.quantizers);
            }
            None => family.backward_parameters(&drawn.sigma, d_mu, d_sigma),
        }
        kl
    }

    /// Whether an estimator can train this guide.
    ///
    /// # Errors
    /// Local reparameterization and flipout assume a Gaussian weight; a weight on a grid is none.
    pub fn check(&self, estimator: Estimator) -> Result<(), BnnError> {
        match (&self.quantizers, estimator) {
            (None, _) | (Some(_), Estimator::Reparameterization) => Ok(()),
            (Some(_), other) => Err(BnnError::Setting {
                key: "estimator",
                found: format!("{other:?}"),
                wanted: "a quantized draw is not Gaussian: fine-tune with weight-draw".into(),
            }),
        }
    }
}

impl Drawn {
    /// The noise of the draw, flat.
    pub fn noise(&self) -> &[f32] {
        &self.draw.noise
    }

    /// The drawn weights, flat.
    pub fn weights(&self) -> &[f32] {
        &self.draw.weights
    }

    /// The weights of one block's pass.
    pub fn for_pass(&self, estimator: Estimator, noise: PassNoise) -> WeightSample<'_> {
        match estimator {
            Estimator::Reparameterization => WeightSample::Drawn(&self.draw.weights),
            Estimator::LocalReparameterization => {
                WeightSample::Local { mean: &self.mu, variance: &self.variance, noise }
            }
            Estimator::Flipout => WeightSample::Flipout { mean: &self.mu, deviation: &self.draw.weights, noise },
        }
    }
}
