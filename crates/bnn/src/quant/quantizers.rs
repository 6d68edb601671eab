//! All grids of a network: which of its values lie on one, and the numbers that those learn.
//!
//! Four independent parts, each of which may be missing: stored means, stored standard deviations, drawn weights,
//! activations. A strategy is a choice among them. Of each weight tensor: means and drawn weights on uniform grids,
//! standard deviations on a logarithmic (or uniform) one. Of each bias, where the posterior is stored on grids: mean (8
//! bits) and sigma with one scale per tensor; a drawn bias joins the wide accumulator and is not rounded again.
//!
//! The draw takes its noise from core's integer table, so that training sees the noise that inference will draw.

use super::draw::{self, Draw};
use super::mu;
use super::settings::{BitWidths, Calibration, FLOAT_BITS, QuantizeSettings, Rounding, Scale};
use super::sigma::SigmaQuantizer;
use crate::error::BnnError;
use crate::math::vectorized;
use crate::nn::Network;
use crate::nn::network::Tensor;
use crate::noise;
use crate::posterior::Posterior;
use qbnn_core::noise::NoiseCounter;
use qbnn_core::{Bits, UniformCode};
use std::ops::Range;

/// Width of a bias's mean where means are stored on grids: there are few, and they join a wide accumulator.
pub const BIAS_BITS: u32 = 8;

/// The grids of a network: widths, and the numbers that they learn.
#[derive(Clone, Debug)]
pub struct Quantizers {
    pub(super) mu: Option<UniformCode>,
    bias_mu: UniformCode,
    pub(super) sigma: Option<SigmaQuantizer>,
    weight: Option<UniformCode>,
    activation: Option<Bits>,
    /// The largest value of each site's function, where it has one.
    pub(super) ceilings: Vec<Option<f32>>,
    rounding: Rounding,
    fit: Calibration,
    learn: bool,
    deviations: Box<[f32; 256]>,
    pub(super) places: Vec<Places>,
    pub(super) sites: Range<usize>,
    /// All learned numbers: log2 scales, tops and log2 steps. Names and order: [`Quantizers::names`].
    pub learned: Vec<f32>,
}

/// Where a tensor's numbers lie in `learned`; empty where it has no such grid.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// One scale per row of means.
    pub(super) mu: Range<usize>,
    /// One scale per row of drawn weights.
    pub(super) weight: Range<usize>,
    /// The numbers of each row of standard deviations, one row after the other.
    pub(super) sigma: Range<usize>,
}

fn width(key: &'static str, bits: u32) -> Result<Option<Bits>, BnnError> {
    if bits == FLOAT_BITS {
        return Ok(None);
    }
    Bits::new(bits).map(Some).map_err(|e| BnnError::setting(key, bits, e.to_string()))
}

/// The rows that share a scale: (number of the scale, range of the flat buffers).
fn rows(tensor: &Tensor, scales: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
    let (first, start) = (scales.start, tensor.range.start);
    let len = if scales.is_empty() { 0 } else { tensor.range.len() / scales.len() };
    (0..scales.len()).map(move |row| (first + row, start + row * len..start + (row + 1) * len))
}

impl Quantizers {
    /// Grids of the right number, scales not yet set (all 1).
    ///
    /// # Errors
    /// [`BnnError::Setting`] for a width other than 2..8 and 32.
    pub fn new(net: &Network, settings: &QuantizeSettings) -> Result<Self, BnnError> {
        let BitWidths { mu, sigma, weight, activation } = settings.bits;
        let signed = |bits: Option<Bits>| bits.map(UniformCode::Signed);
        let mu = signed(width("bits.mu", mu)?);
        let sigma = width("bits.sigma", sigma)?.map(|b| SigmaQuantizer::new(settings.sigma_grid, b));
        let weight = signed(width("bits.weight", weight)?);
        let activation = width("bits.activation", activation)?;
        let bias_bits = Bits::new(BIAS_BITS).map_err(|e| BnnError::setting("bits.mu", BIAS_BITS, e.to_string()))?;
        let mut next = 0;
        let mut take = |n: usize| {
            next += n;
            next - n..next
        };
        let mut places = Vec::with_capacity(net.tensors.len());
        for tensor in &net.tensors {
            let scales = |scale| if tensor.bias || scale == Scale::Tensor { 1 } else { tensor.channels };
            let (shared, of_sigma) = (scales(settings.scale), scales(settings.sigma_scale));
            places.push(Places {
                mu: take(if mu.is_some() { shared } else { 0 }),
                weight: take(if weight.is_some() && !tensor.bias { shared } else { 0 }),
                sigma: take(sigma.map_or(0, |s| s.learns().len() * of_sigma)),
            });
        }
        let sites = take(if activation.is_some() { net.activations.len() } else { 0 });
        Ok(Quantizers {
            mu,
            bias_mu: UniformCode::Signed(bias_bits),
            sigma,
            weight,
            activation,
            ceilings: net.activations.iter().map(|a| a.ceiling()).collect(),
            rounding: settings.rounding,
            fit: settings.fit,
            learn: settings.learn_scales,
            deviations: Box::new(draw::deviations(settings.noise_bits)),
            places,
            learned: vec![0.0; sites.end],
            sites,
        })
    }

    /// Where each stretch of [`Quantizers::learned`] belongs: names as checkpoints store them.
    ///
    /// Of standard deviations with a range per channel, the numbers of each channel stand side by side.
    pub fn names(&self, net: &Network) -> Vec<(String, Range<usize>)> {
        let mut names = Vec::new();
        let mut name = |name: String, range: Range<usize>| {
            if !range.is_empty() {
                names.push((name, range));
            }
        };
        for (tensor, p) in net.tensors.iter().zip(&self.places) {
            name(format!("{}.mu.log2_scale", tensor.name), p.mu.clone());
            name(format!("{}.draw.log2_scale", tensor.name), p.weight.clone());
            let learns = self.sigma.map_or(&[][..], SigmaQuantizer::learns);
            if learns.len() == p.sigma.len() {
                for (i, what) in learns.iter().enumerate() {
                    name(format!("{}.sigma.{what}", tensor.name), p.sigma.start + i..p.sigma.start + i + 1);
                }
            } else {
                name(format!("{}.sigma.{}", tensor.name, learns.join(".")), p.sigma.clone());
            }
        }
        name("activations.log2_step".to_owned(), self.sites.clone());
        names
    }

    /// Width of the activations; `None` leaves them in float.
    pub fn activation(&self) -> Option<Bits> {
        self.activation
    }

    /// log2 of the activations' steps.
    pub fn site_steps(&self) -> &[f32] {
        &self.learned[self.sites.clone()]
    }

    /// Where the sites' gradient belongs.
    pub fn site_range(&self) -> Range<usize> {
        self.sites.clone()
    }

    /// Sets the scale of one activation site.
    pub fn set_site(&mut self, site: usize, log2_step: f32) {
        let at = self.sites.start + site;
        self.learned[at] = log2_step;
        self.limit();
    }

    /// Bits of each parameter as stored: (mean, sigma).
    pub fn stored_bits(&self, tensor: &Tensor) -> (u32, u32) {
        let of = |code| match code {
            UniformCode::Signed(b) | UniformCode::Unsigned(b) => b.get(),
        };
        (self.mu_code(tensor).map_or(FLOAT_BITS, of), self.sigma.map_or(FLOAT_BITS, SigmaQuantizer::bits))
    }

    /// Bits of each parameter as drawn.
    pub fn drawn_bits(&self, tensor: &Tensor) -> u32 {
        match self.weight {
            Some(UniformCode::Signed(b) | UniformCode::Unsigned(b)) if !tensor.bias => b.get(),
            _ => FLOAT_BITS,
        }
    }

    fn mu_code(&self, tensor: &Tensor) -> Option<UniformCode> {
        if tensor.bias { self.mu.map(|_| self.bias_mu) } else { self.mu }
    }

    /// The rows of standard deviations that share a range: (their learned numbers, range of the flat buffers).
    fn sigma_rows(
        &self,
        tensor: &Tensor,
        places: &Places,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let numbers = self.sigma.map_or(1, |s| s.learns().len());
        let first = places.sigma.start;
        let each = move |(row, range)| (first + row * numbers..first + (row + 1) * numbers, range);
        rows(tensor, &(0..places.sigma.len() / numbers)).map(each)
    }

    /// Sets the grids of the parameters from a float posterior. `span` gives the least and largest sigma that training
    /// is still to reach, where it has not begun.
    ///
    /// By the usual rule errors are weighted by 1/sigma^2: a mean may be off by a fraction of its own standard
    /// deviation at no cost, and a drawn weight that is mostly noise may be clipped where one that matters may not.
    pub fn calibrate(&mut self, net: &Network, posterior: &Posterior, span: Option<(f32, f32)>) {
        let sigma = posterior.sigma();
        let Quantizers { fit, weight, sigma: spread, .. } = *self;
        for (tensor, places) in net.tensors.iter().zip(self.places.clone()) {
            if let Some(code) = self.mu_code(tensor) {
                for (at, row) in rows(tensor, &places.mu) {
                    self.learned[at] = mu::calibrate(code, fit, &posterior.mu[row.clone()], &sigma[row]);
                }
            }
            if let Some(code) = weight {
                for (at, row) in rows(tensor, &places.weight) {
                    self.learned[at] = draw::calibrate(code, fit, &posterior.mu[row.clone()], &sigma[row]);
                }
            }
            if let Some(spread) = spread {
                for (at, row) in self.sigma_rows(tensor, &places) {
                    spread.calibrate(fit, &posterior.log_sigma[row], span, &mut self.learned[at]);
                }
            }
        }
        self.limit();
    }

    /// The posterior as stored: means and standard deviations on their grids, where they have some.
    pub fn stored(&self, net: &Network, posterior: &Posterior, mu: &mut Vec<f32>, sigma: &mut Vec<f32>) {
        if self.mu.is_none() {
            mu.clone_from(&posterior.mu);
        } else {
            mu.resize(posterior.mu.len(), 0.0);
        }
        if self.sigma.is_none() {
            posterior.sigma_into(sigma);
        } else {
            sigma.resize(posterior.mu.len(), 0.0);
        }
        for (tensor, places) in net.tensors.iter().zip(&self.places) {
            if let Some(code) = self.mu_code(tensor) {
                for (at, row) in rows(tensor, &places.mu) {
                    mu::store(code, self.learned[at], &posterior.mu[row.clone()], &mut mu[row]);
                }
            }
            if let Some(spread) = self.sigma {
                for (at, row) in self.sigma_rows(tensor, places) {
                    spread.store(&self.learned[at], &posterior.log_sigma[row.clone()], &mut sigma[row]);
                }
            }
        }
    }

    /// The standard deviations at which the KL divergence is taken: the stored ones (`sigma`), lifted above zero where
    /// their grid has one. `None` if they are those already.
    pub fn divergence_sigma(&self, net: &Network, sigma: &[f32]) -> Option<Vec<f32>> {
        let spread = self.sigma.filter(|s| matches!(s, SigmaQuantizer::Uniform(_)))?;
        let mut lifted = sigma.to_vec();
        for (tensor, places) in net.tensors.iter().zip(&self.places) {
            for (at, row) in self.sigma_rows(tensor, places) {
                let least = spread.least(&self.learned[at]);
                lifted[row].iter_mut().for_each(|s| *s = s.max(least));
            }
        }
        Some(lifted)
    }

    /// Draws every weight and bias from the stored posterior (`mu`, `sigma` of [`Quantizers::stored`]).
    pub fn draw(&self, net: &Network, mu: &[f32], sigma: &[f32], key: [u32; 2], place: NoiseCounter, draw: &mut Draw) {
        let n = mu.len();
        for buffer in [&mut draw.weights, &mut draw.noise, &mut draw.raw] {
            buffer.resize(n, 0.0);
        }
        for (index, (tensor, places)) in net.tensors.iter().zip(&self.places).enumerate() {
            let r = tensor.range.clone();
            draw.bytes.resize(2 * r.len(), 0);
            noise::bytes(key, NoiseCounter { tensor: index as u32, ..place }, &mut draw.bytes);
            for (eps, pair) in draw.noise[r.clone()].iter_mut().zip(draw.bytes.chunks_exact(2)) {
                *eps = self.deviations[pair[0] as usize];
            }
            let (mu, sigma, eps) = (&mu[r.clone()], &sigma[r.clone()], &draw.noise[r.clone()]);
            let grid = self.weight.filter(|_| !places.weight.is_empty());
            let into = if grid.is_some() { &mut draw.raw } else { &mut draw.weights };
            let into = &mut into[r.clone()];
            vectorized(
                #[inline(always)]
                || {
                    for ((x, &eps), (&m, &s)) in into.iter_mut().zip(eps).zip(mu.iter().zip(sigma)) {
                        *x = m + s * eps;
                    }
                },
            );
            let Some(code) = grid else { continue };
            for (at, row) in rows(tensor, &places.weight) {
                let bytes = &draw.bytes[2 * (row.start - r.start)..2 * (row.end - r.start)];
                let (raw, weights) = (&draw.raw[row.clone()], &mut draw.weights[row]);
                draw::round(code, self.learned[at], self.rounding, raw, bytes, weights);
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
        d_learned: &mut [f32],
    ) {
        d_mu.copy_from_slice(d_weights);
        if let Some(code) = self.weight {
            for (tensor, places) in net.tensors.iter().zip(&self.places) {
                for (at, row) in rows(tensor, &places.weight) {
                    let (raw, weights) = (&draw.raw[row.clone()], &draw.weights[row.clone()]);
                    d_learned[at] += draw::backward(code, self.learned[at], raw, weights, &mut d_mu[row]);
                }
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

    /// From the gradient of the stored (mu, sigma) to that of the posterior's (mu, log_sigma), in place, and, added, of
    /// the grids' learned numbers. `sigma` is the stored one. Where scales are not learned their gradient is zero.
    pub fn backward_stored(
        &self,
        net: &Network,
        posterior: &Posterior,
        sigma: &[f32],
        d_mu: &mut [f32],
        d_sigma: &mut [f32],
        d_learned: &mut [f32],
    ) {
        for (tensor, places) in net.tensors.iter().zip(&self.places) {
            if let Some(code) = self.mu_code(tensor) {
                for (at, row) in rows(tensor, &places.mu) {
                    let mu = &posterior.mu[row.clone()];
                    d_learned[at] += mu::backward(code, self.learned[at], mu, &mut d_mu[row]);
                }
            }
            if let Some(spread) = self.sigma {
                for (at, row) in self.sigma_rows(tensor, places) {
                    let (log_sigma, stored) = (&posterior.log_sigma[row.clone()], &sigma[row.clone()]);
                    let learned = &self.learned[at.clone()];
                    spread.backward(learned, log_sigma, stored, &mut d_sigma[row], &mut d_learned[at]);
                }
            }
        }
        if self.sigma.is_none() {
            d_sigma.iter_mut().zip(sigma).for_each(|(d, s)| *d *= s);
        }
        if !self.learn {
            d_learned.fill(0.0);
        }
    }
}
