//! The guide: the posterior, and the quantizers through which it is drawn. The network knows of neither.

use crate::error::BnnError;
use crate::fused;
use crate::nn::Network;
use crate::nn::pass::{FloatSites, Gradient, PassNoise, Sites, Weights};
use crate::noise;
use crate::posterior::Posterior;
use crate::prior::WeightedPrior;
use crate::quant::activation::QuantizedSites;
use crate::quant::jq::{Draw, Jq};
use crate::settings::Estimator;
use qbnn_core::Bits;
use qbnn_core::noise::Place;
use qbnn_core::pack::packed_len;

/// Posterior and quantizers of a network.
#[derive(Clone, Debug)]
pub struct Guide {
    /// The posterior that training moves, in float.
    pub posterior: Posterior,
    /// The grids that stand between it and a draw; `None` in float.
    pub quantizers: Option<Jq>,
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
    /// Of the log standard deviations.
    pub log_sigma: Vec<f32>,
    /// Of the quantizers' learned numbers.
    pub learned: Vec<f32>,
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
        for tensor in &net.tensors {
            let n = tensor.range.len();
            let size = match &self.quantizers {
                None => 8 * n,
                Some(jq) => {
                    let (mu, sigma) = jq.stored_bits(tensor);
                    [mu, sigma].map(|b| Bits::new(b).map_or(4 * n, |b| packed_len(n, b))).iter().sum()
                }
            };
            *if tensor.bias { &mut bytes.biases } else { &mut bytes.weights } += size;
        }
        bytes.scales = self.quantizers.as_ref().map_or(0, |jq| 4 * jq.learned.len());
        bytes
    }

    /// Works out the posterior as stored: to be called after every change of the guide. (A plain draw in float reads the
    /// posterior itself and needs none of it.)
    pub fn store(&self, net: &Network, into: &mut Drawn) {
        match &self.quantizers {
            None => {
                into.mu.clone_from(&self.posterior.mu);
                self.posterior.sigma_into(&mut into.sigma);
            }
            Some(jq) => jq.stored(net, &self.posterior, &mut into.mu, &mut into.sigma),
        }
    }

    /// Draws every weight from the stored posterior.
    pub fn draw(&self, net: &Network, key: [u32; 2], purpose: u32, draw: u32, into: &mut Drawn) {
        let Drawn { mu, sigma, draw: memory, .. } = into;
        match &self.quantizers {
            Some(jq) => {
                let place = Place { purpose: purpose + noise::purpose::CODES, tensor: 0, draw };
                jq.draw(net, mu, sigma, key, place, memory);
            }
            None => {
                let place = Place { purpose: purpose + noise::purpose::WEIGHTS, tensor: 0, draw };
                fused::draw(net, &self.posterior, key, place, &mut memory.weights, &mut memory.noise);
            }
        }
    }

    /// Prepares a training step's draw, or what its estimator wants instead.
    pub fn draw_for(&self, net: &Network, estimator: Estimator, key: [u32; 2], step: u32, into: &mut Drawn) {
        if !self.is_fused(estimator) {
            self.store(net, into);
        }
        match estimator {
            Estimator::WeightDraw => self.draw(net, key, 0, step, into),
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

    /// Whether a step of training goes through [`fused::update`].
    pub fn is_fused(&self, estimator: Estimator) -> bool {
        self.quantizers.is_none() && estimator == Estimator::WeightDraw
    }

    /// The activations' sites.
    pub fn sites(&self) -> Box<dyn Sites + '_> {
        match &self.quantizers {
            None => Box::new(FloatSites),
            Some(jq) => Box::new(QuantizedSites { bits: jq.activation, log2_steps: jq.site_steps() }),
        }
    }

    /// From a batch's gradient to the guide's, the weighted KL's included. Returns the KL in nats, of the
    /// posterior *as stored*.
    pub fn backward(
        &self,
        net: &Network,
        estimator: Estimator,
        drawn: &mut Drawn,
        batch: &Gradient,
        kl: WeightedPrior,
        into: &mut GuideGradient,
    ) -> f64 {
        let n = drawn.mu.len();
        into.mu.resize(n, 0.0);
        into.log_sigma.resize(n, 0.0);
        into.learned.clear();
        into.learned.resize(self.quantizers.as_ref().map_or(0, |jq| jq.learned.len()), 0.0);
        let (d_mu, d_sigma) = (&mut into.mu[..], &mut into.log_sigma[..]);
        let noise = &drawn.draw.noise;
        match (&self.quantizers, estimator) {
            (Some(jq), _) => {
                jq.backward_draw(net, &drawn.draw, &batch.first, d_mu, d_sigma, &mut into.learned);
                into.learned[jq.site_range()].copy_from_slice(&batch.sites);
            }
            (None, Estimator::WeightDraw) => {
                d_mu.copy_from_slice(&batch.first);
                d_sigma.iter_mut().zip(&batch.first).zip(noise).for_each(|((d, g), e)| *d = g * e);
            }
            (None, Estimator::Flipout) => {
                d_mu.copy_from_slice(&batch.first);
                d_sigma.iter_mut().zip(&batch.second).zip(noise).for_each(|((d, g), e)| *d = g * e);
            }
            (None, Estimator::LocalReparameterization) => {
                d_mu.copy_from_slice(&batch.first);
                d_sigma.iter_mut().zip(&batch.second).zip(&drawn.sigma).for_each(|((d, g), s)| *d = 2.0 * g * s);
            }
        }
        let kl = kl.prior.kl(&drawn.mu, &drawn.sigma, kl.scale, d_mu, d_sigma);
        match &self.quantizers {
            Some(jq) => jq.backward_stored(net, &self.posterior, &drawn.sigma, d_mu, d_sigma, &mut into.learned),
            None => d_sigma.iter_mut().zip(&drawn.sigma).for_each(|(d, s)| *d *= s),
        }
        kl
    }

    /// Whether an estimator can train this guide.
    ///
    /// # Errors
    /// Local reparameterization and flipout assume a Gaussian weight; a weight on a grid is none.
    pub fn check(&self, estimator: Estimator) -> Result<(), BnnError> {
        match (&self.quantizers, estimator) {
            (None, _) | (Some(_), Estimator::WeightDraw) => Ok(()),
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
    pub fn for_pass(&self, estimator: Estimator, noise: PassNoise) -> Weights<'_> {
        match estimator {
            Estimator::WeightDraw => Weights::Drawn(&self.draw.weights),
            Estimator::LocalReparameterization => Weights::Local { mean: &self.mu, variance: &self.variance, noise },
            Estimator::Flipout => Weights::Flipout { mean: &self.mu, deviation: &self.draw.weights, noise },
        }
    }
}
