//! The posterior: one Gaussian per weight and bias (mean-field).
//!
//! Standard deviations are learned as `log_sigma = ln(sigma)`: positive by construction, equal steps are equal ratios
//! (as on the logarithmic grid), and the gradient needs no softplus.

use crate::math::{exp, vectorized};
use crate::nn::Network;
use crate::noise::{self, purpose};
use qbnn_core::noise::NoiseCounter;

/// Mean and log standard deviation of every parameter, flat over all tensors of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// Means.
    pub mu: Vec<f32>,
    /// Natural logarithms of the standard deviations; empty for a point mass, whose only draw is its mean.
    pub log_sigma: Vec<f32>,
}

impl Posterior {
    /// Means from N(0, 1/fan-in), biases at zero; every standard deviation `sigma`.
    pub fn initial(net: &Network, key: [u32; 2], sigma: f32) -> Self {
        let mut mu = vec![0.0; net.parameters()];
        for (i, tensor) in net.tensors.iter().enumerate().filter(|(_, t)| !t.bias) {
            let part = &mut mu[tensor.range.clone()];
            noise::normal(key, NoiseCounter { purpose: purpose::INITIAL, tensor: i as u32, draw: 0 }, part);
            let scale = 1.0 / (tensor.fan_in as f32).sqrt();
            part.iter_mut().for_each(|m| *m *= scale);
        }
        let log_sigma = vec![sigma.ln(); mu.len()];
        Posterior { mu, log_sigma }
    }

    /// Whether there are means alone.
    pub fn is_point(&self) -> bool {
        self.log_sigma.is_empty()
    }

    /// Writes the standard deviations into `sigma`.
    pub fn sigma_into(&self, sigma: &mut Vec<f32>) {
        if self.is_point() {
            sigma.clear();
            sigma.resize(self.mu.len(), 0.0);
            return;
        }
        sigma.resize(self.log_sigma.len(), 0.0);
        vectorized(
            #[inline(always)]
            || sigma.iter_mut().zip(&self.log_sigma).for_each(|(s, &l)| *s = exp(l)),
        );
    }

    /// The standard deviations.
    pub fn sigma(&self) -> Vec<f32> {
        let mut sigma = Vec::new();
        self.sigma_into(&mut sigma);
        sigma
    }
}
