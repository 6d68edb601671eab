//! One Gaussian per weight and bias (mean-field).
//!
//! Standard deviations are learned as `log_sigma = ln(sigma)`: positive by construction, equal steps are equal ratios
//! (as on the logarithmic grid), and the gradient needs no softplus.

use super::family::{Family, PosteriorSettings, Properties, initial_means};
use super::fused;
use crate::math::{exp, vectorized};
use crate::nn::Network;
use crate::nn::pass::Gradient;
use crate::optim::{Adam, Rates};
use crate::prior::WeightedPrior;
use crate::draw::Draw;
use crate::estimator::Estimator;
use qbnn_core::model;
use qbnn_core::noise::NoiseCounter;

pub(super) const PROPERTIES: Properties =
    Properties { name: "gaussian", has_sigma: true, draws_differ: true, adds_noise: true, drops_units: false };

/// Mean and log standard deviation of every parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    /// Means.
    pub mu: Vec<f32>,
    /// Natural logarithms of the standard deviations.
    pub log_sigma: Vec<f32>,
}

pub(super) fn initial(net: &Network, key: [u32; 2], settings: PosteriorSettings) -> Gaussian {
    Gaussian::initial(net, key, settings.initial_sigma)
}

impl Gaussian {
    /// Means from N(0, 1/fan-in), biases at zero; every standard deviation `sigma`.
    pub fn initial(net: &Network, key: [u32; 2], sigma: f32) -> Self {
        let mu = initial_means(net, key);
        let log_sigma = vec![sigma.ln(); mu.len()];
        Gaussian { mu, log_sigma }
    }
}

impl Family for Gaussian {
    fn parameters(&self) -> Vec<(&'static str, &[f32])> {
        vec![("mu", &self.mu), ("log_sigma", &self.log_sigma)]
    }

    fn parameters_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        vec![("mu", &mut self.mu), ("log_sigma", &mut self.log_sigma)]
    }

    fn mu(&self) -> &[f32] {
        &self.mu
    }

    fn log_sigma(&self) -> Option<&[f32]> {
        Some(&self.log_sigma)
    }

    fn sigma_into(&self, sigma: &mut Vec<f32>) {
        sigma.resize(self.log_sigma.len(), 0.0);
        vectorized(
            #[inline(always)]
            || sigma.iter_mut().zip(&self.log_sigma).for_each(|(s, &l)| *s = exp(l)),
        );
    }

    fn in_file(&self) -> Option<model::Posterior> {
        Some(model::Posterior::Gaussian)
    }

    fn draw(&self, net: &Network, key: [u32; 2], place: NoiseCounter, draw: &mut Draw) {
        fused::draw(net, (&self.mu, &self.log_sigma), key, place, &mut draw.weights, &mut draw.noise);
    }

    fn backward_draw(
        &self,
        estimator: Estimator,
        draw: &Draw,
        sigma: &[f32],
        batch: &Gradient,
        d_mu: &mut [f32],
        d_sigma: &mut [f32],
    ) {
        d_mu.copy_from_slice(&batch.first);
        match estimator {
            Estimator::Reparameterization => {
                d_sigma.iter_mut().zip(&batch.first).zip(&draw.noise).for_each(|((d, g), e)| *d = g * e);
            }
            Estimator::Flipout => {
                d_sigma.iter_mut().zip(&batch.second).zip(&draw.noise).for_each(|((d, g), e)| *d = g * e);
            }
            Estimator::LocalReparameterization => {
                d_sigma.iter_mut().zip(&batch.second).zip(sigma).for_each(|((d, g), s)| *d = 2.0 * g * s);
            }
        }
    }

    fn kl(&self, kl: WeightedPrior<'_>, mu: &[f32], sigma: &[f32], d_mu: &mut [f32], d_sigma: &mut [f32]) -> f64 {
        kl.prior.kl(mu, sigma, kl.scale, d_mu, d_sigma)
    }

    fn backward_parameters(&self, sigma: &[f32], _: &mut [f32], d_sigma: &mut [f32]) {
        // d sigma / d log_sigma = sigma.
        d_sigma.iter_mut().zip(sigma).for_each(|(d, s)| *d *= s);
    }

    fn has_fused_update(&self) -> bool {
        true
    }

    fn update_fused(
        &mut self,
        adams: &mut [Adam],
        d_weights: &[f32],
        noise: &[f32],
        kl: WeightedPrior<'_>,
        rates: Rates,
    ) -> Option<f64> {
        let [mu_adam, sigma_adam] = adams else { return None };
        let of = (&mut self.mu[..], &mut self.log_sigma[..]);
        Some(fused::update(of, (mu_adam, sigma_adam), d_weights, noise, kl, rates))
    }
}
