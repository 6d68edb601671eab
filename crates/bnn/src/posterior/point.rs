//! A point mass: every draw is the mean. Its KL is the negative log density of the prior (MAP).

use super::family::{Family, PosteriorSettings, Properties, initial_means};
use crate::nn::Network;
use crate::nn::pass::Gradient;
use crate::prior::WeightedPrior;
use crate::draw::Draw;
use crate::estimator::Estimator;
use qbnn_core::model;
use qbnn_core::noise::NoiseCounter;

pub(super) const PROPERTIES: Properties =
    Properties { name: "point", has_sigma: false, draws_differ: false, adds_noise: true, drops_units: false };

/// The value of every parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Values.
    pub mu: Vec<f32>,
}

pub(super) fn initial(net: &Network, key: [u32; 2], _: PosteriorSettings) -> Point {
    Point { mu: initial_means(net, key) }
}

impl Family for Point {
    fn parameters(&self) -> Vec<(&'static str, &[f32])> {
        vec![("mu", &self.mu)]
    }

    fn parameters_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        vec![("mu", &mut self.mu)]
    }

    fn mu(&self) -> &[f32] {
        &self.mu
    }

    fn in_file(&self) -> Option<model::Posterior> {
        Some(model::Posterior::Point)
    }

    fn draw(&self, _: &Network, _: [u32; 2], _: NoiseCounter, draw: &mut Draw) {
        draw.weights.clone_from(&self.mu);
    }

    fn backward_draw(
        &self,
        _: Estimator,
        _: &Draw,
        _: &[f32],
        batch: &Gradient,
        d_mu: &mut [f32],
        _: &mut [f32],
    ) {
        d_mu.copy_from_slice(&batch.first);
    }

    fn kl(&self, kl: WeightedPrior<'_>, mu: &[f32], _: &[f32], d_mu: &mut [f32], _: &mut [f32]) -> f64 {
        kl.prior.penalty(mu, kl.scale, d_mu)
    }
}
