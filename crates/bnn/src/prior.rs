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
    /// KL(q || prior) summed over all parameters, in nats; adds `scale` times its gradient to that of the means and of
    /// the standard deviations.
    ///
    /// KL = (sigma^2 + mu^2) / (2 p^2) - 1/2 - ln(sigma / p) per parameter, p the prior's standard deviation.
    pub fn kl(self, mu: &[f32], sigma: &[f32], scale: f32, d_mu: &mut [f32], d_sigma: &mut [f32]) -> f64 {
        /// Parameters summed in f32 before the sum is carried on in f64.
        const CHUNK: usize = 256;
        const LANES: usize = 16;
        let precision = 1.0 / (self.sigma * self.sigma);
        let constant = -0.5 + self.sigma.ln();
        vectorized(
            #[inline(always)]
            || {
                let mut total = 0.0f64;
                let chunks = mu.chunks(CHUNK).zip(sigma.chunks(CHUNK));
                let grads = d_mu.chunks_mut(CHUNK).zip(d_sigma.chunks_mut(CHUNK));
                for ((mu, sigma), (d_mu, d_sigma)) in chunks.zip(grads) {
                    let mut sums = [0.0f32; LANES];
                    for (i, ((&m, &s), (dm, ds))) in mu.iter().zip(sigma).zip(d_mu.iter_mut().zip(d_sigma)).enumerate()
                    {
                        sums[i % LANES] += 0.5 * precision * (s * s + m * m) - ln(s) + constant;
                        *dm += scale * precision * m;
                        *ds += scale * (precision * s - 1.0 / s);
                    }
                    total += sums.iter().map(|&s| s as f64).sum::<f64>();
                }
                total
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
