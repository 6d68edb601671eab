//! MC dropout: a value of every parameter, and units that each draw drops.
//!
//! Dropping a unit is drawing the weights that read it: w = mu diag(z) (Gal, Ghahramani 2016, section 3), so that a draw
//! is one network for all images, as with every other posterior.

use super::family::{Family, PosteriorSettings, Properties, initial_means};
use crate::nn::Network;
use crate::nn::pass::Gradient;
use crate::noise;
use crate::prior::WeightedPrior;
use crate::draw::Draw;
use crate::estimator::Estimator;
use qbnn_core::model;
use qbnn_core::noise::NoiseCounter;

pub(super) const PROPERTIES: Properties =
    Properties { name: "dropout", has_sigma: false, draws_differ: true, adds_noise: false, drops_units: true };

/// The value of every parameter, and how many units a draw drops.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Values.
    pub mu: Vec<f32>,
    /// Share of the units that each draw drops.
    pub rate: f32,
}

pub(super) fn initial(net: &Network, key: [u32; 2], settings: PosteriorSettings) -> Dropout {
    Dropout { mu: initial_means(net, key), rate: settings.dropout }
}

/// The factor of the weights that a draw keeps which drops so many 256ths of the units.
pub(crate) fn kept(dropped: u8) -> f32 {
    256.0 / (256.0 - f32::from(dropped))
}

impl Dropout {
    /// 256ths of the units that a draw drops: at most 254, so that a file can say it.
    pub fn dropped(&self) -> u8 {
        (self.rate * 256.0).round().clamp(0.0, 254.0) as u8
    }

    /// Which weights a draw keeps, into `draw.noise`: 0 where the unit that they read is dropped, else 1 over the share
    /// that is kept. Units are the inputs of every layer but the first (of convolutions, channels); the rate is rounded
    /// to 1/256.
    fn mask(&self, net: &Network, key: [u32; 2], place: NoiseCounter, draw: &mut Draw) {
        draw.noise.clear();
        draw.noise.resize(net.parameters(), 1.0);
        let dropped = f32::from(self.dropped());
        if dropped == 0.0 {
            return;
        }
        let kept = kept(self.dropped());
        for (index, tensor) in net.tensors.iter().enumerate().filter(|(i, t)| *i > 0 && !t.bias) {
            let units = tensor.dims.get(1).copied().unwrap_or(1);
            let taps = tensor.fan_in / units.max(1);
            draw.bytes.resize(units, 0);
            noise::bytes(key, NoiseCounter { tensor: index as u32, ..place }, &mut draw.bytes);
            for row in draw.noise[tensor.range.clone()].chunks_exact_mut(tensor.fan_in) {
                for (unit, &byte) in row.chunks_exact_mut(taps).zip(&draw.bytes) {
                    unit.fill(if f32::from(byte) < dropped { 0.0 } else { kept });
                }
            }
        }
    }
}

impl Family for Dropout {
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
        Some(match self.dropped() {
            0 => model::Posterior::Point,
            dropped => model::Posterior::Dropout { dropped },
        })
    }

    fn draw(&self, net: &Network, key: [u32; 2], place: NoiseCounter, draw: &mut Draw) {
        draw.weights.clone_from(&self.mu);
        self.drop_units(net, key, place, draw);
    }

    fn drop_units(&self, net: &Network, key: [u32; 2], place: NoiseCounter, draw: &mut Draw) {
        self.mask(net, key, place, draw);
        draw.weights.iter_mut().zip(&draw.noise).for_each(|(w, kept)| *w *= kept);
    }

    fn before_dropping(&self, draw: &Draw, d_weights: &[f32]) -> Option<Vec<f32>> {
        Some(d_weights.iter().zip(&draw.noise).map(|(d, kept)| d * kept).collect())
    }

    fn backward_draw(
        &self,
        _: Estimator,
        draw: &Draw,
        _: &[f32],
        batch: &Gradient,
        d_mu: &mut [f32],
        _: &mut [f32],
    ) {
        d_mu.iter_mut().zip(&batch.first).zip(&draw.noise).for_each(|((d, g), kept)| *d = g * kept);
    }

    fn kl(&self, kl: WeightedPrior<'_>, mu: &[f32], _: &[f32], d_mu: &mut [f32], _: &mut [f32]) -> f64 {
        kl.prior.penalty(mu, kl.scale, d_mu)
    }
}
