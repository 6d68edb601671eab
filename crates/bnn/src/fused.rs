//! What a float step with one weight draw does to every parameter, in two loops.
//!
//! Posterior, noise, draw, gradient and moments of a network rarely fit into a core's own cache together, so that a
//! step of a small dense network waits for memory more than it calculates. [`draw`] reads the posterior once and makes
//! noise and weights of it; [`update`] reads everything once more, and works out KL, both gradients and both moves of
//! Adam while it has it at hand. Term for term they are `Guide::draw`, `Prior::kl`, `Guide::backward` and
//! `Adam::update`, which the other estimators and the quantizers use.
//!
//! Both cut the parameters into stretches that the threads share; each stretch is one thread's, and the KL is summed
//! over them in order.

use crate::math::{exp, vectorized};
use crate::nn::Network;
use crate::noise;
use crate::optim::{Adam, Rates};
use crate::posterior::Posterior;
use crate::prior::WeightedPrior;
use qbnn_core::noise::Place;
use rayon::prelude::*;

/// Parameters of a stretch; a multiple of [`noise::STRETCH`].
const STRETCH: usize = 4096;

/// Draws `weights = mu + sigma * noise` of every tensor, and keeps the noise. `place.tensor` counts from 0.
pub fn draw(
    net: &Network,
    posterior: &Posterior,
    key: [u32; 2],
    place: Place,
    weights: &mut Vec<f32>,
    noise: &mut Vec<f32>,
) {
    let n = posterior.mu.len();
    weights.resize(n, 0.0);
    noise.resize(n, 0.0);
    let mut jobs = Vec::with_capacity(n / STRETCH + net.tensors.len());
    let (mut weights, mut noise) = (&mut weights[..], &mut noise[..]);
    for (tensor, index) in net.tensors.iter().zip(0..) {
        let (w, rest_w) = weights.split_at_mut(tensor.range.len());
        let (e, rest_e) = noise.split_at_mut(tensor.range.len());
        (weights, noise) = (rest_w, rest_e);
        for (i, part) in w.chunks_mut(STRETCH).zip(e.chunks_mut(STRETCH)).enumerate() {
            jobs.push((Place { tensor: index, ..place }, tensor.range.start, i * STRETCH, part));
        }
    }
    jobs.into_par_iter().for_each(|(place, start, first, (weights, noise))| {
        noise::normal_from(key, place, first, noise);
        let at = start + first..start + first + noise.len();
        let (mu, log_sigma) = (&posterior.mu[at.clone()], &posterior.log_sigma[at]);
        vectorized(
            #[inline(always)]
            || {
                for ((w, &e), (&m, &l)) in weights.iter_mut().zip(&*noise).zip(mu.iter().zip(log_sigma)) {
                    *w = m + exp(l) * e;
                }
            },
        );
    });
}

/// Moves the posterior by one step of Adam against the gradient `d_weights` of the weights drawn with `noise` and that
/// of the weighted KL. Returns the KL in nats, of the posterior before it moved.
pub fn update(
    posterior: &mut Posterior,
    (mu_adam, sigma_adam): (&mut Adam, &mut Adam),
    d_weights: &[f32],
    noise: &[f32],
    kl: WeightedPrior,
    rates: Rates,
) -> f64 {
    let parts = posterior.mu.par_chunks_mut(STRETCH).zip(posterior.log_sigma.par_chunks_mut(STRETCH));
    let of_mu = mu_adam.first.par_chunks_mut(STRETCH).zip(mu_adam.second.par_chunks_mut(STRETCH));
    let of_sigma = sigma_adam.first.par_chunks_mut(STRETCH).zip(sigma_adam.second.par_chunks_mut(STRETCH));
    let given = d_weights.par_chunks(STRETCH).zip(noise.par_chunks(STRETCH));
    let sums: Vec<f64> = parts
        .zip(given)
        .zip(of_mu.zip(of_sigma))
        .map(|((posterior, given), (of_mu, of_sigma))| stretch(posterior, given, of_mu, of_sigma, kl, rates))
        .collect();
    sums.iter().sum()
}

fn stretch(
    (mu, log_sigma): (&mut [f32], &mut [f32]),
    (d_weights, noise): (&[f32], &[f32]),
    (mu_first, mu_second): (&mut [f32], &mut [f32]),
    (sigma_first, sigma_second): (&mut [f32], &mut [f32]),
    kl: WeightedPrior,
    rates: Rates,
) -> f64 {
    let whole = mu.len() - mu.len() % LANES;
    let (mu, mu_rest) = mu.split_at_mut(whole);
    let (log_sigma, log_sigma_rest) = log_sigma.split_at_mut(whole);
    let (mu_first, mu_first_rest) = mu_first.split_at_mut(whole);
    let (mu_second, mu_second_rest) = mu_second.split_at_mut(whole);
    let (sigma_first, sigma_first_rest) = sigma_first.split_at_mut(whole);
    let (sigma_second, sigma_second_rest) = sigma_second.split_at_mut(whole);
    let mut sums = [0.0f32; LANES];
    vectorized(
        #[inline(always)]
        || {
            let posterior = mu.as_chunks_mut().0.iter_mut().zip(log_sigma.as_chunks_mut().0);
            let of_mu = mu_first.as_chunks_mut().0.iter_mut().zip(mu_second.as_chunks_mut().0);
            let of_sigma = sigma_first.as_chunks_mut().0.iter_mut().zip(sigma_second.as_chunks_mut().0);
            let given = d_weights.as_chunks().0.iter().zip(noise.as_chunks().0);
            for (((posterior, of_mu), of_sigma), given) in posterior.zip(of_mu).zip(of_sigma).zip(given) {
                let mut lanes = Lanes {
                    mu: *posterior.0,
                    log_sigma: *posterior.1,
                    mu_first: *of_mu.0,
                    mu_second: *of_mu.1,
                    sigma_first: *of_sigma.0,
                    sigma_second: *of_sigma.1,
                };
                lanes.learn(*given.0, *given.1, kl, rates, &mut sums, LANES);
                (*posterior.0, *posterior.1) = (lanes.mu, lanes.log_sigma);
                (*of_mu.0, *of_mu.1) = (lanes.mu_first, lanes.mu_second);
                (*of_sigma.0, *of_sigma.1) = (lanes.sigma_first, lanes.sigma_second);
            }
        },
    );
    let mut lanes = Lanes {
        mu: padded(mu_rest),
        log_sigma: padded(log_sigma_rest),
        mu_first: padded(mu_first_rest),
        mu_second: padded(mu_second_rest),
        sigma_first: padded(sigma_first_rest),
        sigma_second: padded(sigma_second_rest),
    };
    lanes.learn(padded(&d_weights[whole..]), padded(&noise[whole..]), kl, rates, &mut sums, mu_rest.len());
    for (into, from) in [
        (mu_rest, lanes.mu),
        (log_sigma_rest, lanes.log_sigma),
        (mu_first_rest, lanes.mu_first),
        (mu_second_rest, lanes.mu_second),
        (sigma_first_rest, lanes.sigma_first),
        (sigma_second_rest, lanes.sigma_second),
    ] {
        into.copy_from_slice(&from[..into.len()]);
    }
    sums.iter().map(|&s| s as f64).sum()
}

/// A few numbers, zeros after them.
fn padded(from: &[f32]) -> [f32; LANES] {
    std::array::from_fn(|i| from.get(i).copied().unwrap_or(0.0))
}

/// Parameters that move together: two vectors of the widest kind, so that one may calculate while the other waits.
const LANES: usize = 32;

/// A few neighbouring parameters with their moments, as values: read from eight slices by index, the compiler could not
/// know that they are apart.
struct Lanes {
    mu: [f32; LANES],
    log_sigma: [f32; LANES],
    mu_first: [f32; LANES],
    mu_second: [f32; LANES],
    sigma_first: [f32; LANES],
    sigma_second: [f32; LANES],
}

impl Lanes {
    /// Moves them; adds the KL of the first `count` to `sums`.
    #[inline(always)]
    fn learn(
        &mut self,
        d_weights: [f32; LANES],
        noise: [f32; LANES],
        kl: WeightedPrior,
        rates: Rates,
        sums: &mut [f32; LANES],
        count: usize,
    ) {
        let precision = 1.0 / (kl.prior.sigma * kl.prior.sigma);
        let constant = kl.prior.sigma.ln() - 0.5;
        let weight = kl.scale * precision;
        for i in 0..LANES {
            let (m, l) = (self.mu[i], self.log_sigma[i]);
            let s = exp(l);
            let divergence = 0.5 * precision * (s * s + m * m) - l + constant;
            sums[i] += if i < count { divergence } else { 0.0 };
            let d_mu = d_weights[i] + weight * m;
            // d sigma / d log_sigma = sigma.
            let d_log_sigma = d_weights[i] * noise[i] * s + (weight * (s * s) - kl.scale);
            rates.apply(&mut self.mu[i], d_mu, &mut self.mu_first[i], &mut self.mu_second[i]);
            rates.apply(&mut self.log_sigma[i], d_log_sigma, &mut self.sigma_first[i], &mut self.sigma_second[i]);
        }
    }
}
