//! All quantizers of a network: which of its values lie on a grid, and on which.
//!
//! Four independent parts, each of which may be missing: stored means, stored standard deviations, drawn weights,
//! activations. A strategy is a choice among them. Of each weight tensor: means and drawn weights on uniform grids,
//! standard deviations on a logarithmic (or uniform) one. Of each bias, where the posterior is stored on grids: mean (8
//! bits) and sigma with one scale per tensor; a drawn bias joins the wide accumulator and is not rounded again.
//!
//! The draw takes its noise from core's integer table, so that training sees the noise that inference will draw.

use super::activation::ActivationGrids;
use super::gradient::QuantizerGradient;
use super::mu::MuQuantizer;
use super::settings::{BitWidths, Calibration, FLOAT_BITS, QuantizeSettings, Scale};
use super::sigma::SigmaQuantizer;
use super::weight::{WeightQuantizer, deviations};
use crate::draw::Draw;
use crate::error::BnnError;
use crate::math::vectorized;
use crate::nn::Network;
use crate::nn::network::Tensor;
use crate::noise;
use crate::posterior::{Posterior, PosteriorKind};
use qbnn_core::noise::NoiseCounter;
use qbnn_core::{Bits, UniformCode};

/// Width of a bias's mean where means are stored on grids: there are few, and they join a wide accumulator.
pub const BIAS_BITS: u32 = 8;

/// The quantizers of a network.
#[derive(Clone, Debug)]
pub struct Quantizers {
    /// Those of each tensor of the network.
    pub tensors: Vec<TensorQuantizers>,
    /// Those of the activations; `None` leaves them in float.
    pub activations: Option<ActivationGrids>,
    fit: Calibration,
    learn: bool,
    deviations: Box<[f32; 256]>,
}

/// The quantizers of a tensor, each `None` where its values stay in float.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorQuantizers {
    /// Of the stored means.
    pub mu: Option<MuQuantizer>,
    /// Of the drawn weights; never of biases.
    pub weight: Option<WeightQuantizer>,
    /// Of the stored standard deviations.
    pub sigma: Option<SigmaQuantizer>,
}

fn width(key: &'static str, bits: u32) -> Result<Option<Bits>, BnnError> {
    if bits == FLOAT_BITS {
        return Ok(None);
    }
    Bits::new(bits).map(Some).map_err(|e| BnnError::setting(key, bits, e.to_string()))
}

fn bits_of(code: UniformCode) -> u32 {
    match code {
        UniformCode::Signed(b) | UniformCode::Unsigned(b) => b.get(),
    }
}

impl Quantizers {
    /// Grids of the right number, every parameter 0. A posterior without sigmas has none for them; and where its means are
    /// stored as codes, a drawn weight is such a code and has no grid of its own.
    ///
    /// # Errors
    /// [`BnnError::Setting`] for a width other than 2..8 and 32.
    pub fn new(net: &Network, kind: PosteriorKind, settings: &QuantizeSettings) -> Result<Self, BnnError> {
        let BitWidths { mu, sigma, weight, activation } = settings.bits;
        let has_sigma = kind.properties().has_sigma;
        let mu = width("bits.mu", mu)?;
        let sigma = width("bits.sigma", sigma)?.filter(|_| has_sigma);
        let weight = width("bits.weight", weight)?.filter(|_| has_sigma || mu.is_none());
        let activation = width("bits.activation", activation)?;
        let bias_bits = Bits::new(BIAS_BITS).map_err(|e| BnnError::setting("bits.mu", BIAS_BITS, e.to_string()))?;
        let of_tensor = |tensor: &Tensor| {
            let rows = |scale| if tensor.bias || scale == Scale::Tensor { 1 } else { tensor.channels };
            let code = |bits| UniformCode::Signed(if tensor.bias { bias_bits } else { bits });
            let weight = weight.filter(|_| !tensor.bias).map(UniformCode::Signed);
            TensorQuantizers {
                mu: mu.map(|bits| MuQuantizer::new(code(bits), rows(settings.scale))),
                weight: weight.map(|code| WeightQuantizer::new(code, settings.rounding, rows(settings.scale))),
                sigma: sigma.map(|bits| SigmaQuantizer::new(settings.sigma_grid, bits, rows(settings.sigma_scale))),
            }
        };
        Ok(Quantizers {
            tensors: net.tensors.iter().map(of_tensor).collect(),
            activations: activation.map(|bits| ActivationGrids::new(bits, &net.activations)),
            fit: settings.fit,
            learn: settings.learn_scales,
            deviations: Box::new(deviations(settings.noise_bits)),
        })
    }

    /// Sets the step of one activation.
    pub fn set_activation(&mut self, index: usize, log2_step: f32) {
        if let Some(grids) = &mut self.activations {
            grids.log2_steps[index] = log2_step;
        }
        self.limit();
    }

    /// Bits of each parameter of a tensor as stored: (mean, sigma).
    pub fn stored_bits(&self, tensor: usize) -> (u32, u32) {
        let TensorQuantizers { mu, sigma, .. } = &self.tensors[tensor];
        (mu.as_ref().map_or(FLOAT_BITS, |q| bits_of(q.code)), sigma.as_ref().map_or(FLOAT_BITS, SigmaQuantizer::bits))
    }

    /// Bits of each parameter of a tensor as drawn.
    pub fn drawn_bits(&self, tensor: usize) -> u32 {
        self.tensors[tensor].weight.as_ref().map_or(FLOAT_BITS, |q| bits_of(q.code))
    }

    /// Sets the grids of the parameters from a float posterior. `span` gives the least and largest sigma that training
    /// is still to reach, where it has not begun.
    ///
    /// By the usual rule errors are weighted by 1/sigma^2: a mean may be off by a fraction of its own standard
    /// deviation at no cost, and a drawn weight that is mostly noise may be clipped where one that matters may not.
    pub fn calibrate(&mut self, net: &Network, posterior: &Posterior, span: Option<(f32, f32)>) {
        let (mu, sigma) = (posterior.mu(), posterior.sigma());
        for (tensor, grids) in net.tensors.iter().zip(&mut self.tensors) {
            let r = tensor.range.clone();
            if let Some(grid) = &mut grids.mu {
                grid.calibrate(self.fit, &mu[r.clone()], &sigma[r.clone()]);
            }
            if let Some(grid) = &mut grids.weight {
                grid.calibrate(self.fit, &mu[r.clone()], &sigma[r.clone()]);
            }
            if let (Some(grid), Some(log_sigma)) = (&mut grids.sigma, posterior.log_sigma()) {
                grid.calibrate(self.fit, &log_sigma[r], span);
            }
        }
        self.limit();
    }

    /// The posterior as stored: means and standard deviations on their grids, where they have some.
    pub fn stored(&self, net: &Network, posterior: &Posterior, mu: &mut Vec<f32>, sigma: &mut Vec<f32>) {
        mu.clear();
        mu.extend_from_slice(posterior.mu());
        // Work for nothing where grids overwrite all of it.
        if self.tensors.iter().all(|grids| grids.sigma.is_some()) && posterior.log_sigma().is_some() {
            sigma.resize(mu.len(), 0.0);
        } else {
            posterior.family().sigma_into(sigma);
        }
        for (tensor, grids) in net.tensors.iter().zip(&self.tensors) {
            let r = tensor.range.clone();
            if let Some(grid) = &grids.mu {
                grid.store(&posterior.mu()[r.clone()], &mut mu[r.clone()]);
            }
            if let (Some(grid), Some(log_sigma)) = (&grids.sigma, posterior.log_sigma()) {
                grid.store(&log_sigma[r.clone()], &mut sigma[r]);
            }
        }
    }

    /// The standard deviations at which the KL divergence is taken: the stored ones (`sigma`), lifted above zero where
    /// their grid has one. `None` if they are those already.
    pub fn divergence_sigma(&self, net: &Network, sigma: &[f32]) -> Option<Vec<f32>> {
        let grids = || self.tensors.iter().map(|grids| grids.sigma.as_ref());
        grids().flatten().any(SigmaQuantizer::has_zero).then(|| {
            let mut lifted = sigma.to_vec();
            for (tensor, grid) in net.tensors.iter().zip(grids()) {
                if let Some(grid) = grid {
                    grid.lift(&mut lifted[tensor.range.clone()]);
                }
            }
            lifted
        })
    }

    /// Draws every weight and bias from the stored posterior (`mu`, `sigma` of [`Quantizers::stored`]).
    pub fn draw(&self, net: &Network, mu: &[f32], sigma: &[f32], key: [u32; 2], place: NoiseCounter, draw: &mut Draw) {
        let n = mu.len();
        for buffer in [&mut draw.weights, &mut draw.noise, &mut draw.raw] {
            buffer.resize(n, 0.0);
        }
        for (index, (tensor, grids)) in net.tensors.iter().zip(&self.tensors).enumerate() {
            let r = tensor.range.clone();
            draw.bytes.resize(2 * r.len(), 0);
            noise::bytes(key, NoiseCounter { tensor: index as u32, ..place }, &mut draw.bytes);
            for (eps, pair) in draw.noise[r.clone()].iter_mut().zip(draw.bytes.chunks_exact(2)) {
                *eps = self.deviations[pair[0] as usize];
            }
            let (mu, sigma, eps) = (&mu[r.clone()], &sigma[r.clone()], &draw.noise[r.clone()]);
            let into = if grids.weight.is_some() { &mut draw.raw } else { &mut draw.weights };
            let into = &mut into[r.clone()];
            vectorized(
                #[inline(always)]
                || {
                    for ((x, &eps), (&m, &s)) in into.iter_mut().zip(eps).zip(mu.iter().zip(sigma)) {
                        *x = m + s * eps;
                    }
                },
            );
            if let Some(grid) = &grids.weight {
                grid.round(&draw.raw[r.clone()], &draw.bytes, &mut draw.weights[r]);
            }
        }
    }

    /// From the gradient of the drawn weights to that of the stored means and standard deviations (`d_mu`, `d_sigma`,
    /// overwritten) and, added, of the draws' scales.
    pub fn backward_draw(
        &self,
        net: &Network,
        draw: &Draw,
        d_weights: &[f32],
        d_mu: &mut [f32],
        d_sigma: &mut [f32],
        into: &mut QuantizerGradient,
    ) {
        d_mu.copy_from_slice(d_weights);
        for ((tensor, grids), into) in net.tensors.iter().zip(&self.tensors).zip(&mut into.tensors) {
            let r = tensor.range.clone();
            if let Some(grid) = &grids.weight {
                let (raw, weights) = (&draw.raw[r.clone()], &draw.weights[r.clone()]);
                grid.backward(raw, weights, &mut d_mu[r], &mut into.weight);
            }
        }
        vectorized(
            #[inline(always)]
            || {
                for ((ds, &dm), &e) in d_sigma.iter_mut().zip(&*d_mu).zip(&draw.noise) {
                    *ds = dm * e;
                }
            },
        );
    }

    /// From the gradient of the stored (mu, sigma) to that of what the posterior learns, in place, and, added, of the
    /// grids' parameters. `sigma` is the stored one. Where parameters are not learned their gradient is zero.
    pub fn backward_stored(
        &self,
        net: &Network,
        posterior: &Posterior,
        sigma: &[f32],
        d_mu: &mut [f32],
        d_sigma: &mut [f32],
        into: &mut QuantizerGradient,
    ) {
        for ((tensor, grids), into) in net.tensors.iter().zip(&self.tensors).zip(&mut into.tensors) {
            let r = tensor.range.clone();
            if let Some(grid) = &grids.mu {
                grid.backward(&posterior.mu()[r.clone()], &mut d_mu[r.clone()], &mut into.mu);
            }
            if let (Some(grid), Some(log_sigma)) = (&grids.sigma, posterior.log_sigma()) {
                let (log_sigma, stored) = (&log_sigma[r.clone()], &sigma[r.clone()]);
                grid.backward(log_sigma, stored, &mut d_sigma[r], &mut into.sigma);
            }
        }
        // A grid of sigma is differentiated in ln(sigma); where there is none, the posterior knows the way.
        if self.tensors.iter().all(|grids| grids.sigma.is_none()) {
            posterior.family().backward_parameters(sigma, d_mu, d_sigma);
        }
        if !self.learn {
            into.clear();
        }
    }
}
