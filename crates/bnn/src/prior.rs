//! The prior over weights and biases, and the divergence of a Gaussian posterior from it.

use crate::math::{ln, vectorized};

/// N(0, sigma^2), independently for every weight and bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Standard deviation.
    pub sigma: f32,
}

/// A prior and the factor of its divergence in the loss: KL weight over number of training pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedPrior {
    /// The prior.
    pub prior: Prior,
    /// Factor of the KL.
    pub scale: f32,
}

impl Prior {
    /// Negative log density of point masses up to a constant, mu^2 / (2 p^2) summed over all parameters, in nats; adds
    /// `scale` times its gradient.
    pub fn penalty(self, mu: &[f32], scale: f32, d_mu: &mut [f32]) -> f64 {
        let precision = 1.0 / (self.sigma * self.sigma);
        d_mu.iter_mut().zip(mu).for_each(|(d, m)| *d += scale * precision * m);
        mu.iter().map(|&m| 0.5 * f64::from(precision) * f64::from(m) * f64::from(m)).sum()
    }

    /// KL(q || prior) summed over all parameters, in nats; adds `scale` times its gradient to that of the means and of
    /// the standard deviations.
    ///
    /// KL = (sigma^2 + mu^2) / (2 p^2) - 1/2 - ln(sigma / p) per parameter, p the prior's standard deviation.
    pub fn kl(self, mu: &[f32], sigma: &[f32], scale: f32, d_mu: &mut [f32], d_sigma: &mut [f32]) -> f64 {
        /// Parameters summed in f32 before the sum is carried on in f64.
        const CHUNK: usize = 512;
        const LANES: usize = 32;
        let precision = 1.0 / (self.sigma * self.sigma);
        let constant = mu.len() as f64 * (self.sigma.ln() as f64 - 0.5);
        vectorized(
            #[inline(always)]
            || {
                let mut total = constant;
                let chunks = mu.chunks(CHUNK).zip(sigma.chunks(CHUNK));
                let grads = d_mu.chunks_mut(CHUNK).zip(d_sigma.chunks_mut(CHUNK));
                for ((mu, sigma), (d_mu, d_sigma)) in chunks.zip(grads) {
                    let mut sums = [0.0f32; LANES];
                    let (mu, mu_rest) = mu.as_chunks::<LANES>();
                    let (sigma, sigma_rest) = sigma.as_chunks::<LANES>();
                    let (d_mu, d_mu_rest) = d_mu.as_chunks_mut::<LANES>();
                    let (d_sigma, d_sigma_rest) = d_sigma.as_chunks_mut::<LANES>();
                    for ((m, s), (dm, ds)) in mu.iter().zip(sigma).zip(d_mu.iter_mut().zip(d_sigma)) {
                        let (mut by_mu, mut by_sigma) = (*dm, *ds);
                        for i in 0..LANES {
                            sums[i] += Self::one(precision, m[i], s[i], scale, &mut by_mu[i], &mut by_sigma[i]);
                        }
                        (*dm, *ds) = (by_mu, by_sigma);
                    }
                    let rest = mu_rest.iter().zip(sigma_rest).zip(d_mu_rest.iter_mut().zip(d_sigma_rest));
                    for (((&m, &s), (dm, ds)), sum) in rest.zip(&mut sums) {
                        *sum += Self::one(precision, m, s, scale, dm, ds);
                    }
                    total += sums.iter().map(|&s| s as f64).sum::<f64>();
                }
                total
            },
        )
    }
}

impl Prior {
    /// The same of one parameter, without the constant ln p - 1/2.
    #[inline(always)]
    fn one(precision: f32, m: f32, s: f32, scale: f32, d_mu: &mut f32, d_sigma: &mut f32) -> f32 {
        *d_mu += scale * precision * m;
        *d_sigma += scale * (precision * s - 1.0 / s);
        0.5 * precision * (s * s + m * m) - ln(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalty_worked_by_hand() {
        let mut d = [1.0, 0.0];
        let total = Prior { sigma: 0.5 }.penalty(&[0.5, -1.0], 2.0, &mut d);
        assert_eq!((total, d), (0.5 + 2.0, [1.0 + 4.0, -8.0]));
    }

    #[test]
    fn divergence_worked_by_hand_and_gradient_by_differences() {
        let prior = Prior { sigma: 0.5 };
        let at = |m: f32, s: f32| prior.kl(&[m], &[s], 0.0, &mut [0.0], &mut [0.0]);
        assert!(at(0.0, 0.5).abs() < 1e-6, "a posterior at its prior costs nothing");
        // sigma = 1, mu = 0.5: (1 + 0.25) / 0.5 - 0.5 - ln 2
        assert!((at(0.5, 1.0) - (2.5 - 0.5 - std::f64::consts::LN_2)).abs() < 1e-6);
        let (mut dm, mut ds) = ([0.0], [0.0]);
        prior.kl(&[0.3], &[0.2], 2.0, &mut dm, &mut ds);
        let h = 1e-2;
        let slope_m = (at(0.3 + h, 0.2) - at(0.3 - h, 0.2)) / (2.0 * h as f64);
        let slope_s = (at(0.3, 0.2 + h) - at(0.3, 0.2 - h)) / (2.0 * h as f64);
        assert!((dm[0] as f64 - 2.0 * slope_m).abs() < 1e-3, "{dm:?} {slope_m}");
        assert!((ds[0] as f64 - 2.0 * slope_s).abs() < 0.03, "{ds:?} {slope_s}");
    }
}
