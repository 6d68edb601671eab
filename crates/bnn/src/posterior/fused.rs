//! What a float step with one weight draw does to every parameter of a Gaussian posterior, in two loops.
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
use crate::prior::WeightedPrior;
use qbnn_core::noise::NoiseCounter;
use rayon::prelude::*;

/// Parameters of a stretch; a multiple of [`noise::STRETCH`].
const STRETCH: usize = 4096;

/// Draws `weights = mu + sigma * noise` of every tensor, and keeps the noise. `place.tensor` counts from 0.
pub fn draw(
    net: &Network,
    (mu, log_sigma): (&[f32], &[f32]),
    key: [u32; 2],
    place: NoiseCounter,
    weights: &mut Vec<f32>,
    noise: &mut Vec<f32>,
) {
    let n = mu.len();
    weights.resize(n, 0.0);
    noise.resize(n, 0.0);
    let mut jobs = Vec::with_capacity(n / STRETCH + net.tensors.len());
    let (mut weights, mut noise) = (&mut weights[..], &mut noise[..]);
    for (tensor, index) in net.tensors.iter().zip(0..) {
        let (w, rest_w) = weights.split_at_mut(tensor.range.len());
        let (e, rest_e) = noise.split_at_mut(tensor.range.len());
        (weights, noise) = (rest_w, rest_e);
        for (i, part) in w.chunks_mut(STRETCH).zip(e.chunks_mut(STRETCH)).enumerate() {
            jobs.push((NoiseCounter { tensor: index, ..place }, tensor.range.start, i * STRETCH, part));
        }
    }
    jobs.into_par_iter().for_each(|(place, start, first, (weights, noise))| {
        noise::normal_from(key, place, first, noise);
        let at = start + first..start + first + noise.len();
        let (mu, log_sigma) = (&mu[at.clone()], &log_sigma[at]);
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
    (mu, log_sigma): (&mut [f32], &mut [f32]),
    (mu_adam, sigma_adam): (&mut Adam, &mut Adam),
    d_weights: &[f32],
    noise: &[f32],
    kl: WeightedPrior<'_>,
    rates: Rates,
) -> f64 {
    let parts = mu.par_chunks_mut(STRETCH).zip(log_sigma.par_chunks_mut(STRETCH));
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
    kl: WeightedPrior<'_>,
    rates: Rates,
) -> f64 {
    let precision = 1.0 / (kl.prior.sigma * kl.prior.sigma);
    let weight = kl.scale * precision;
    let constant = (kl.prior.sigma.ln() as f64 - 0.5) * mu.len() as f64;
    // Means, then standard deviations: buffers of this size all begin at the same place of a page, and more than a few
    // of them at once would push each other out of the first cache.
    let of_mu = learn(
        mu,
        (d_weights, d_weights),
        (mu_first, mu_second),
        rates,
        #[inline(always)]
        |m, d, _| (d + weight * m, 0.5 * precision * (m * m)),
    );
    let of_sigma = learn(
        log_sigma,
        (d_weights, noise),
        (sigma_first, sigma_second),
        rates,
        #[inline(always)]
        |l, d, noise| {
            let s = exp(l);
            // d sigma / d log_sigma = sigma.
            (d * noise * s + (weight * (s * s) - kl.scale), 0.5 * precision * (s * s) - l)
        },
    );
    constant + of_mu + of_sigma
}

/// Moves each of `parameters` by Adam against the first of what `f(parameter, given.0, given.1)` gives; returns the sum of
/// the second, taken before the move.
#[inline(always)]
fn learn(
    parameters: &mut [f32],
    given: (&[f32], &[f32]),
    (first, second): (&mut [f32], &mut [f32]),
    rates: Rates,
    f: impl Fn(f32, f32, f32) -> (f32, f32),
) -> f64 {
    /// Two vectors of the widest kind, so that one may calculate while the other waits.
    const LANES: usize = 32;
    vectorized(
        #[inline(always)]
        || {
            let mut sums = [0.0f32; LANES];
            let (p, p_rest) = parameters.as_chunks_mut::<LANES>();
            let (m, m_rest) = first.as_chunks_mut::<LANES>();
            let (v, v_rest) = second.as_chunks_mut::<LANES>();
            let (a, a_rest) = given.0.as_chunks::<LANES>();
            let (b, b_rest) = given.1.as_chunks::<LANES>();
            for (((p, m), v), (a, b)) in p.iter_mut().zip(m).zip(v).zip(a.iter().zip(b)) {
                // As values: in place, the compiler could not know that the slices are apart.
                let (mut q, mut n, mut w) = (*p, *m, *v);
                for i in 0..LANES {
                    let (gradient, sum) = f(q[i], a[i], b[i]);
                    rates.apply(&mut q[i], gradient, &mut n[i], &mut w[i]);
                    sums[i] += sum;
                }
                (*p, *m, *v) = (q, n, w);
            }
            let rest = p_rest.iter_mut().zip(m_rest).zip(v_rest).zip(a_rest.iter().zip(b_rest));
            for ((((p, m), v), (&a, &b)), total) in rest.zip(&mut sums) {
                let (gradient, sum) = f(*p, a, b);
                rates.apply(p, gradient, m, v);
                *total += sum;
            }
            sums.iter().map(|&s| s as f64).sum()
        },
    )
}
