//! The guide: the posterior, and the quantizers through which it is drawn. The network knows of neither.

use crate::error::BnnError;
use crate::fused;
use crate::math::add;
use crate::nn::Network;
use crate::nn::pass::{FloatSites, Gradient, PassNoise, Sites, Weights};
use crate::noise;
use crate::posterior::Posterior;
use crate::prior::WeightedPrior;
use crate::quant::Quantizers;
use crate::quant::activation::QuantizedSites;
use crate::quant::draw::Draw;
use crate::quant::settings::FLOAT_BITS;
use crate::sets::Normalisation;
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
    /// Share of the units that each draw drops; 0 for none. With it the posterior is a point mass.
    pub dropout: f32,
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

impl GuideGradient {
    /// Adds another gradient of the same guide.
    pub fn add(&mut self, other: &GuideGradient) {
        add(&mut self.mu, &other.mu);
        add(&mut self.log_sigma, &other.log_sigma);
        add(&mut self.learned, &other.learned);
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
        for tensor in &net.tensors {
            let n = tensor.range.len();
            let wide = (FLOAT_BITS, FLOAT_BITS);
            let (mu, sigma) = self.quantizers.as_ref().map_or(wide, |q| q.stored_bits(tensor));
            let packed = |b| Bits::new(b).map_or(4 * n, |b| packed_len(n, b));
            let size = match self.posterior.is_point() {
                false => packed(mu) + packed(sigma),
                // The only draw is known beforehand, and stored in its place.
                true => packed(self.quantizers.as_ref().map_or(mu, |q| q.drawn_bits(tensor))),
            };
            *if tensor.bias { &mut bytes.biases } else { &mut bytes.weights } += size;
        }
        bytes.scales = self.quantizers.as_ref().map_or(0, |q| 4 * q.learned.len());
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
            }
            None if self.posterior.is_point() => {
                let place = NoiseCounter { purpose: purpose + noise::purpose::WEIGHTS, tensor: 0, draw };
                keep(net, self.dropout, key, place, memory);
                memory.weights.clear();
                let kept = self.posterior.mu.iter().zip(&memory.noise);
                memory.weights.extend(kept.map(|(m, kept)| m * kept));
            }
            None => {
                let place = NoiseCounter { purpose: purpose + noise::purpose::WEIGHTS, tensor: 0, draw };
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

    /// Whether a step of training goes through [`fused::update`].
    pub fn is_fused(&self, estimator: Estimator) -> bool {
        self.quantizers.is_none() && !self.posterior.is_point() && estimator == Estimator::Reparameterization
    }

    /// The activations' sites, in a network whose inputs become numbers by `pixels`.
    pub fn sites(&self, pixels: Normalisation) -> Box<dyn Sites + '_> {
        let quantized = self.quantizers.as_ref().and_then(|q| q.activation().map(|bits| (bits, q.site_steps())));
        match quantized {
            None => Box::new(FloatSites),
            Some((bits, log2_steps)) => Box::new(QuantizedSites { bits, log2_steps, pixels }),
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
        into.log_sigma.resize(self.posterior.log_sigma.len(), 0.0);
        into.learned.clear();
        into.learned.resize(self.quantizers.as_ref().map_or(0, |q| q.learned.len()), 0.0);
        let (d_mu, d_sigma) = (&mut into.mu[..], &mut into.log_sigma[..]);
        let noise = &drawn.draw.noise;
        match (&self.quantizers, estimator) {
            (Some(quantizers), _) => {
                quantizers.backward_draw(net, &drawn.draw, &batch.first, d_mu, d_sigma, &mut into.learned);
                into.learned[quantizers.site_range()].copy_from_slice(&batch.sites);
            }
            (None, _) if self.posterior.is_point() => {
                d_mu.iter_mut().zip(&batch.first).zip(noise).for_each(|((d, g), kept)| *d = g * kept);
            }
            (None, Estimator::Reparameterization) => {
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
        let lifted = self.quantizers.as_ref().and_then(|q| q.divergence_sigma(net, &drawn.sigma));
        let kl = match self.posterior.is_point() {
            false => kl.prior.kl(&drawn.mu, lifted.as_ref().unwrap_or(&drawn.sigma), kl.scale, d_mu, d_sigma),
            true => kl.prior.penalty(&drawn.mu, kl.scale, d_mu),
        };
        match &self.quantizers {
            Some(quantizers) => {
                quantizers.backward_stored(net, &self.posterior, &drawn.sigma, d_mu, d_sigma, &mut into.learned);
            }
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
            (None, _) | (Some(_), Estimator::Reparameterization) => Ok(()),
            (Some(_), other) => Err(BnnError::Setting {
                key: "estimator",
                found: format!("{other:?}"),
                wanted: "a quantized draw is not Gaussian: fine-tune with weight-draw".into(),
            }),
        }
    }
}

/// Which weights a dropout draw keeps, into `memory.noise`: 0 where the unit that they read is dropped, else 1 over the
/// share that is kept. Units are the inputs of every layer but the first (of convolutions, channels), in 1/256 shares.
///
/// Dropping a unit is drawing the weights that read it: w = mu diag(z) (Gal, Ghahramani 2016, section 3), so that a draw
/// is one network for all images, as with every other posterior.
fn keep(net: &Network, share: f32, key: [u32; 2], place: NoiseCounter, memory: &mut Draw) {
    memory.noise.clear();
    memory.noise.resize(net.parameters(), 1.0);
    let dropped = (share * 256.0).round().clamp(0.0, 255.0);
    if dropped == 0.0 {
        return;
    }
    let kept = 256.0 / (256.0 - dropped);
    for (index, tensor) in net.tensors.iter().enumerate().filter(|(i, t)| *i > 0 && !t.bias) {
        let units = tensor.dims.get(1).copied().unwrap_or(1);
        let taps = tensor.fan_in / units.max(1);
        memory.bytes.resize(units, 0);
        noise::bytes(key, NoiseCounter { tensor: index as u32, ..place }, &mut memory.bytes);
        for row in memory.noise[tensor.range.clone()].chunks_exact_mut(tensor.fan_in) {
            for (unit, &byte) in row.chunks_exact_mut(taps).zip(&memory.bytes) {
                unit.fill(if f32::from(byte) < dropped { 0.0 } else { kept });
            }
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
            Estimator::Reparameterization => Weights::Drawn(&self.draw.weights),
            Estimator::LocalReparameterization => Weights::Local { mean: &self.mu, variance: &self.variance, noise },
            Estimator::Flipout => Weights::Flipout { mean: &self.mu, deviation: &self.draw.weights, noise },
        }
    }
}
