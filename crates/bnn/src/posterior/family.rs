//! What every kind of posterior can do.

use crate::draw::Draw;
use crate::estimator::Estimator;
use crate::nn::Network;
use crate::nn::pass::Gradient;
use crate::noise::{self, purpose};
use crate::optim::{Adam, Rates};
use crate::prior::WeightedPrior;
use qbnn_core::model;
use qbnn_core::noise::NoiseCounter;

/// What is true of all posteriors of one kind.
#[derive(Debug)]
pub(crate) struct Properties {
    /// Its name in settings.
    pub name: &'static str,
    /// Whether a standard deviation is learned: the estimators that draw activations need it, and grids that store it.
    pub has_sigma: bool,
    /// Whether two draws are two networks: draws that are all the same cannot disagree.
    pub draws_differ: bool,
    /// Whether a draw is mu + sigma * noise, as quantizers make it.
    pub adds_noise: bool,
    /// Whether a draw drops units of its values: quantizers draw those, and [`Family::drop_units`] drops.
    pub drops_units: bool,
}

/// Settings of a posterior before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PosteriorSettings {
    /// Standard deviation of every weight, where one is learned.
    pub initial_sigma: f32,
    /// Share of the units that a draw drops, where it drops some.
    pub dropout: f32,
}

/// A kind of posterior. Buffers are flat over all tensors of a network; "stored" means and standard deviations are those
/// that its quantizers leave of them.
///
/// Gradients come in two steps: from the weights to the stored mean and standard deviation ([`Family::backward_draw`]), to
/// which the KL adds its own, and from there to what is learned ([`Family::backward_parameters`]). Quantizers, where there are
/// some, take the place of both.
pub(crate) trait Family {
    /// Everything that is learned, by the names under which checkpoints store it, one number for each weight in each: the
    /// mean and, where there is one, what the standard deviation is made of.
    fn parameters(&self) -> Vec<(&'static str, &[f32])>;

    /// The same, to be changed.
    fn parameters_mut(&mut self) -> Vec<(&'static str, &mut [f32])>;

    /// The means.
    fn mu(&self) -> &[f32];

    /// ln(sigma); `None` where none is learned.
    fn log_sigma(&self) -> Option<&[f32]> {
        None
    }

    /// Writes the standard deviations into `sigma`: by default zeros.
    fn sigma_into(&self, sigma: &mut Vec<f32>) {
        sigma.clear();
        sigma.resize(self.mu().len(), 0.0);
    }

    /// Draws every weight in float: `draw.weights`, and `draw.noise` as [`Family::backward_draw`] wants it.
    fn draw(&self, net: &Network, key: [u32; 2], place: NoiseCounter, draw: &mut Draw);

    /// How a model file says it; `None` where no file can.
    fn in_file(&self) -> Option<model::Posterior> {
        None
    }

    /// Drops units of a draw that quantizers made, with `draw.noise` as [`Family::draw`] leaves it: by default none.
    fn drop_units(&self, _net: &Network, _key: [u32; 2], _place: NoiseCounter, _draw: &mut Draw) {}

    /// The gradient of the weights before units were dropped, where this kind drops some.
    fn before_dropping(&self, _draw: &Draw, _d_weights: &[f32]) -> Option<Vec<f32>> {
        None
    }

    /// Overwrites the gradients of the stored means and standard deviations (`d_sigma` is empty where none is learned)
    /// with what the gradient of a batch gives. `sigma` is the stored one.
    fn backward_draw(
        &self,
        estimator: Estimator,
        draw: &Draw,
        sigma: &[f32],
        batch: &Gradient,
        d_mu: &mut [f32],
        d_sigma: &mut [f32],
    );

    /// The divergence from the prior at the stored means and standard deviations, in nats; adds its weighted gradients.
    fn kl(&self, kl: WeightedPrior<'_>, mu: &[f32], sigma: &[f32], d_mu: &mut [f32], d_sigma: &mut [f32]) -> f64;

    /// Turns the gradient of mean and standard deviation into that of what is learned, in place.
    fn backward_parameters(&self, _sigma: &[f32], _d_mu: &mut [f32], _d_sigma: &mut [f32]) {}

    /// Whether a step in float with one draw goes through [`Family::update_fused`].
    fn has_fused_update(&self) -> bool {
        false
    }

    /// Gradient, KL and optimizer of such a step in one pass over the parameters; `adams` are in the order of
    /// [`Family::parameters`]. Returns the KL in nats before the step; `None` where there is no such pass.
    fn update_fused(
        &mut self,
        _adams: &mut [Adam],
        _d_weights: &[f32],
        _noise: &[f32],
        _kl: WeightedPrior<'_>,
        _rates: Rates,
    ) -> Option<f64> {
        None
    }
}

/// Means from N(0, 1/fan-in), biases at zero.
pub(super) fn initial_means(net: &Network, key: [u32; 2]) -> Vec<f32> {
    let mut mu = vec![0.0; net.parameters()];
    for (i, tensor) in net.tensors.iter().enumerate().filter(|(_, t)| !t.bias) {
        let part = &mut mu[tensor.range.clone()];
        noise::normal(key, NoiseCounter { purpose: purpose::INITIAL, tensor: i as u32, draw: 0 }, part);
        let scale = 1.0 / (tensor.fan_in as f32).sqrt();
        part.iter_mut().for_each(|m| *m *= scale);
    }
    mu
}
