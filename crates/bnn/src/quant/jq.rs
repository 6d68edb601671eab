//! Joint quantization (JQ): the stored posterior on grids, and every drawn weight on a grid of its own.
//!
//! Of each weight tensor: mean and drawn weight on uniform grids with one scale per output channel, sigma on one
//! logarithmic grid. Of each bias: mean (8 bits) and sigma on grids with one scale per tensor; a drawn bias joins the
//! wide accumulator and is not rounded again.
//!
//! The draw takes its noise from core's integer table, so that training sees the noise that inference will draw.

use super::log::{self, LogGrid};
use super::uniform::{self, Uniform};
use crate::error::BnnError;
use crate::math::vectorized;
use crate::nn::Network;
use crate::nn::network::Tensor;
use crate::noise;
use crate::posterior::Posterior;
use crate::settings::{BitWidths, QuantizeSettings, Rounding};
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS, Place};
use qbnn_core::{Bits, LogCode, UniformCode};
use std::f32::consts::{LN_2, LOG2_E};
use std::ops::Range;

/// Width of a bias's mean: there are few, and they join a wide accumulator.
pub const BIAS_BITS: u32 = 8;

/// The grids of a network: widths, and the numbers that they learn.
#[derive(Clone, Debug)]
pub struct Jq {
    mu: UniformCode,
    bias_mu: UniformCode,
    sigma: LogCode,
    weight: UniformCode,
    /// Width of the activations.
    pub activation: Bits,
    rounding: Rounding,
    places: Vec<Places>,
    sites: Range<usize>,
    /// All learned numbers: log2 scales, tops and log2 steps. Names and order: [`Jq::names`].
    pub learned: Vec<f32>,
}

/// Where a tensor's numbers lie in `learned`.
#[derive(Clone, Debug)]
struct Places {
    mu: Range<usize>,
    /// Empty for a bias.
    weight: Range<usize>,
    top: usize,
    step: usize,
}

/// One draw's working memory: everything that the backward pass asks for again.
#[derive(Clone, Debug, Default)]
pub struct Draw {
    /// Drawn weights, flat.
    pub weights: Vec<f32>,
    /// Standard normal noise, flat.
    pub noise: Vec<f32>,
    bytes: Vec<u8>,
    /// Weights before their own grid, flat.
    raw: Vec<f32>,
}

fn width(key: &'static str, bits: u32) -> Result<Bits, BnnError> {
    Bits::new(bits).map_err(|e| BnnError::setting(key, bits, e.to_string()))
}

impl Jq {
    /// Grids of the right number, scales not yet set (all 1).
    ///
    /// # Errors
    /// [`BnnError::Setting`] for a width outside 2..8.
    pub fn new(net: &Network, settings: &QuantizeSettings) -> Result<Self, BnnError> {
        let BitWidths { mu, sigma, weight, activation } = settings.bits;
        let mut next = 0;
        let mut take = |n: usize| {
            next += n;
            next - n..next
        };
        let mut places = Vec::with_capacity(net.tensors.len());
        for tensor in &net.tensors {
            let channels = if tensor.bias { 1 } else { tensor.channels };
            let (mu, weight) = (take(channels), take(if tensor.bias { 0 } else { channels }));
            let range = take(2);
            places.push(Places { mu, weight, top: range.start, step: range.start + 1 });
        }
        let sites = take(net.activations.len());
        Ok(Jq {
            mu: UniformCode::Signed(width("bits.mu", mu)?),
            bias_mu: UniformCode::Signed(width("bits.mu", BIAS_BITS)?),
            sigma: LogCode(width("bits.sigma", sigma)?),
            weight: UniformCode::Signed(width("bits.weight", weight)?),
            activation: width("bits.activation", activation)?,
            rounding: settings.rounding,
            places,
            learned: vec![0.0; sites.end],
            sites,
        })
    }

    /// Where each stretch of [`Jq::learned`] belongs: names as checkpoints store them.
    pub fn names(&self, net: &Network) -> Vec<(String, Range<usize>)> {
        let mut names = Vec::new();
        for (tensor, p) in net.tensors.iter().zip(&self.places) {
            names.push((format!("{}.mu.log2_scale", tensor.name), p.mu.clone()));
            if !p.weight.is_empty() {
                names.push((format!("{}.draw.log2_scale", tensor.name), p.weight.clone()));
            }
            names.push((format!("{}.sigma.log2_top", tensor.name), p.top..p.top + 1));
            names.push((format!("{}.sigma.log2_step", tensor.name), p.step..p.step + 1));
        }
        if !self.sites.is_empty() {
            names.push(("activations.log2_step".to_owned(), self.sites.clone()));
        }
        names
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
    }

    /// Bits of each parameter as stored: (mean, sigma).
    pub fn stored_bits(&self, tensor: &Tensor) -> (u32, u32) {
        let of = |code| match code {
            UniformCode::Signed(b) | UniformCode::Unsigned(b) => b.get(),
        };
        (of(self.mu_code(tensor)), self.sigma.0.get())
    }

    fn mu_code(&self, tensor: &Tensor) -> UniformCode {
        if tensor.bias { self.bias_mu } else { self.mu }
    }

    /// Sets the grids of the parameters from a float posterior.
    ///
    /// Errors are weighted by 1/sigma^2: a mean may be off by a fraction of its own standard deviation at no cost, and
    /// a drawn weight that is mostly noise may be clipped where one that matters may not.
    pub fn calibrate(&mut self, net: &Network, posterior: &Posterior) {
        let sigma = posterior.sigma();
        for (tensor, places) in net.tensors.iter().zip(&self.places) {
            let rows = places.mu.len();
            let row_len = tensor.range.len() / rows;
            for row in 0..rows {
                let at = tensor.range.start + row * row_len;
                let (mu, sigma) = (&posterior.mu[at..at + row_len], &sigma[at..at + row_len]);
                let weighted = || mu.iter().zip(sigma).map(|(&m, &s)| (m, 1.0 / (s * s)));
                self.learned[places.mu.start + row] = uniform::search(self.mu_code(tensor), weighted);
                if !places.weight.is_empty() {
                    // Nine points of each Gaussian stand for its draws.
                    let quantile = |i: usize| GAUSSIAN[14 + i * 28 + i / 2] as f32 / one();
                    let draws = || {
                        mu.iter()
                            .zip(sigma)
                            .flat_map(move |(&m, &s)| (0..9).map(move |i| (m + s * quantile(i), 1.0 / (s * s))))
                    };
                    self.learned[places.weight.start + row] = uniform::search(self.weight, draws);
                }
            }
            let mut log2: Vec<f32> = posterior.log_sigma[tensor.range.clone()].iter().map(|l| l * LOG2_E).collect();
            let (top, step) = log::fit(self.sigma, &mut log2);
            self.learned[places.top] = top;
            self.learned[places.step] = step;
        }
    }

    /// The posterior as stored: means and standard deviations on their grids.
    pub fn stored(&self, net: &Network, posterior: &Posterior, mu: &mut Vec<f32>, sigma: &mut Vec<f32>) {
        mu.resize(posterior.mu.len(), 0.0);
        sigma.resize(posterior.mu.len(), 0.0);
        for (tensor, places) in net.tensors.iter().zip(&self.places) {
            let row_len = tensor.range.len() / places.mu.len();
            for (row, place) in places.mu.clone().enumerate() {
                let grid = Uniform::new(self.mu_code(tensor), self.learned[place]);
                let at = tensor.range.start + row * row_len;
                vectorized(
                    #[inline(always)]
                    || {
                        let from = &posterior.mu[at..at + row_len];
                        mu[at..at + row_len].iter_mut().zip(from).for_each(|(q, &m)| *q = grid.value(m));
                    },
                );
            }
            let grid = LogGrid::new(self.sigma, self.learned[places.top], self.learned[places.step]);
            let levels: Vec<f32> = (0..self.sigma.0.levels()).map(|k| grid.log2_value(k as f32).exp2()).collect();
            let from = &posterior.log_sigma[tensor.range.clone()];
            for (q, &l) in sigma[tensor.range.clone()].iter_mut().zip(from) {
                *q = levels[grid.code(l * LOG2_E) as usize];
            }
        }
    }

    /// Draws every weight and bias from the stored posterior (`mu`, `sigma` of [`Jq::stored`]).
    ///
    /// Two bytes of noise per parameter: the first chooses an entry of the Gaussian table, the second, as a fraction of
    /// 256 at the middle of its cell, decides the rounding where that is stochastic.
    pub fn draw(&self, net: &Network, mu: &[f32], sigma: &[f32], key: [u32; 2], place: Place, draw: &mut Draw) {
        let n = mu.len();
        for buffer in [&mut draw.weights, &mut draw.noise, &mut draw.raw] {
            buffer.resize(n, 0.0);
        }
        for (index, (tensor, places)) in net.tensors.iter().zip(&self.places).enumerate() {
            let r = tensor.range.clone();
            draw.bytes.resize(2 * r.len(), 0);
            noise::bytes(key, Place { tensor: index as u32, ..place }, &mut draw.bytes);
            let table: [f32; 256] = std::array::from_fn(|i| GAUSSIAN[i] as f32 / one());
            for (eps, pair) in draw.noise[r.clone()].iter_mut().zip(draw.bytes.chunks_exact(2)) {
                *eps = table[pair[0] as usize];
            }
            let (mu, sigma, eps) = (&mu[r.clone()], &sigma[r.clone()], &draw.noise[r.clone()]);
            let raw = &mut draw.raw[r.clone()];
            for ((raw, &eps), (&m, &s)) in raw.iter_mut().zip(eps).zip(mu.iter().zip(sigma)) {
                *raw = m + s * eps;
            }
            let weights = &mut draw.weights[r.clone()];
            if places.weight.is_empty() {
                weights.copy_from_slice(raw);
                continue;
            }
            let row_len = r.len() / places.weight.len();
            let rows = weights.chunks_exact_mut(row_len).zip(raw.chunks_exact(row_len));
            let bytes = draw.bytes.chunks_exact(2 * row_len);
            for (((weights, raw), bytes), place) in rows.zip(bytes).zip(places.weight.clone()) {
                let grid = Uniform::new(self.weight, self.learned[place]);
                let rounding = self.rounding;
                vectorized(
                    #[inline(always)]
                    || {
                        for ((w, &x), pair) in weights.iter_mut().zip(raw).zip(bytes.chunks_exact(2)) {
                            let up = match rounding {
                                Rounding::Nearest => 0.5,
                                Rounding::Stochastic => (pair[1] as f32 + 0.5) / 256.0,
                            };
                            *w = grid.code_with(x, up) * grid.scale();
                        }
                    },
                );
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
        for (tensor, places) in net.tensors.iter().zip(&self.places) {
            let r = tensor.range.clone();
            d_mu[r.clone()].copy_from_slice(&d_weights[r.clone()]);
            if !places.weight.is_empty() {
                let row_len = r.len() / places.weight.len();
                for (row, place) in places.weight.clone().enumerate() {
                    let grid = Uniform::new(self.weight, self.learned[place]);
                    let at = r.start + row * row_len;
                    let part = at..at + row_len;
                    let inverse = 1.0 / grid.scale();
                    let mut sum = 0.0;
                    let drawn = draw.raw[part.clone()].iter().zip(&draw.weights[part.clone()]);
                    for (d, (&x, &w)) in d_mu[part].iter_mut().zip(drawn) {
                        let through = grid.backward(x, w * inverse, *d);
                        *d = through.value;
                        sum += through.log2_scale;
                    }
                    d_learned[place] += sum;
                }
            }
            let eps = &draw.noise[r.clone()];
            for ((ds, &dm), &e) in d_sigma[r.clone()].iter_mut().zip(&d_mu[r]).zip(eps) {
                *ds = dm * e;
            }
        }
    }

    /// From the gradient of the stored (mu, sigma) to that of the posterior's (mu, log_sigma), in place, and, added, of
    /// the grids' learned numbers. `sigma` is the stored one.
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
            let row_len = tensor.range.len() / places.mu.len();
            for (row, place) in places.mu.clone().enumerate() {
                let grid = Uniform::new(self.mu_code(tensor), self.learned[place]);
                let at = tensor.range.start + row * row_len;
                let mut sum = 0.0;
                for (d, &m) in d_mu[at..at + row_len].iter_mut().zip(&posterior.mu[at..at + row_len]) {
                    let through = grid.backward(m, grid.code(m), *d);
                    *d = through.value;
                    sum += through.log2_scale;
                }
                d_learned[place] += sum;
            }
            let grid = LogGrid::new(self.sigma, self.learned[places.top], self.learned[places.step]);
            let (mut top, mut step) = (0.0, 0.0);
            let r = tensor.range.clone();
            let stored = sigma[r.clone()].iter().zip(&posterior.log_sigma[r.clone()]);
            for (d, (&s, &l)) in d_sigma[r].iter_mut().zip(stored) {
                // d sigma / d log2(sigma) = sigma ln 2.
                let through = grid.backward(l * LOG2_E, *d * s * LN_2);
                *d = through.value * LOG2_E;
                top += through.top;
                step += through.log2_step;
            }
            d_learned[places.top] += top;
            d_learned[places.step] += step;
        }
    }
}

/// One standard deviation of the Gaussian table.
fn one() -> f32 {
    (1u32 << GAUSSIAN_FRACTION_BITS) as f32
}
