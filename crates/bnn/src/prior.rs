//! The prior over weights and biases, and the divergence of a Gaussian posterior from it.

use crate::math::{ln, vectorized};

/// N(0, sigma^2), independently for every weight and bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior<'a> {
    /// Standard deviation of every parameter.
    pub sigma: f32,
    /// One for each parameter, in the place of `sigma`: a posterior from elsewhere may have been trained so.
    pub each: Option<&'a [f32]>,
}

/// A prior and the factor of its divergence in the loss: KL weight over number of training pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedPrior<'a> {
    /// The prior.
    pub prior: Prior<'a>,
    /// Factor of the KL.
    pub scale: f32,
}

impl Prior<'_> {
    /// The same standard deviation for every parameter.
    #[must_use]
    pub fn same(sigma: f32) -> Self {
        Prior { sigma, each: None }
    }

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
        if let Some(each) = self.each {
            return Self::kl_of_each(each, mu, sigma, scale, d_mu, d_sigma);
        }
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

impl Prior<'_> {
    /// The same with a prior for each parameter.
    fn kl_of_each(each: &[f32], mu: &[f32], sigma: &[f32], scale: f32, d_mu: &mut [f32], d_sigma: &mut [f32]) -> f64 {
        let mut total = 0.0;
        let posterior = each.iter().zip(mu.iter().zip(sigma));
        for ((&p, (&m, &s)), (dm, ds)) in posterior.zip(d_mu.iter_mut().zip(d_sigma)) {
            total += f64::from(Self::one(1.0 / (p * p), m, s, scale, dm, ds)) + f64::from(p).ln() - 0.5;
        }
        total
    }

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
        let total = Prior::same(0.5).penalty(&[0.5, -1.0], 2.0, &mut d);
        assert_eq!((total, d), (0.5 + 2.0, [1.0 + 4.0, -8.0]));
    }

    #[test]
    fn divergence_worked_by_hand_and_gradient_by_differences() {
        let prior = Prior::same(0.5);
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

    #[test]
    fn a_prior_for_each_parameter_is_the_same_one_where_they_are_alike_and_adds_up_where_they_are_not() {
        let n = 700;
        let mu: Vec<f32> = (0..n).map(|i| (i % 13) as f32 * 0.1 - 0.6).collect();
        let sigma: Vec<f32> = (0..n).map(|i| 0.01 + (i % 7) as f32 * 0.2).collect();
        let of = |prior: Prior<'_>, at: std::ops::Range<usize>| {
            let (mut dm, mut ds) = (vec![0.0; at.len()], vec![0.0; at.len()]);
            let kl = prior.kl(&mu[at.clone()], &sigma[at], 2.0, &mut dm, &mut ds);
            (kl, dm, ds)
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} and {b}");
        let (alike, same) = (vec![0.3; n], of(Prior::same(0.3), 0..n));
        let each = of(Prior { sigma: 9.0, each: Some(&alike) }, 0..n);
        near(each.0, same.0);
        each.1
            .iter()
            .chain(&each.2)
            .zip(same.1.iter().chain(&same.2))
            .for_each(|(a, b)| near((*a).into(), (*b).into()));
        let two: Vec<f32> = (0..n).map(|i| if i < 300 { 0.3 } else { 1.5 }).collect();
        let whole = of(Prior { sigma: 9.0, each: Some(&two) }, 0..n);
        let (first, second) = (of(Prior::same(0.3), 0..300), of(Prior::same(1.5), 300..n));
        near(whole.0, first.0 + second.0);
        near(whole.1[299].into(), first.1[299].into());
        near(whole.2[300].into(), second.2[0].into());
    }
}
