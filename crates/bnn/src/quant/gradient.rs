//! The gradient of the parameters of all quantizers of a network.

use crate::math::add;

/// One quantizer of a network; the number is its tensor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantizerId {
    /// That of a tensor's stored means.
    Mu(usize),
    /// That of its drawn weights.
    Weight(usize),
    /// That of its stored standard deviations.
    Sigma(usize),
    /// Those of all activations.
    Activations,
}

/// The gradient of all parameters of a network's quantizers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantizerGradient {
    /// Of each tensor's.
    pub tensors: Vec<TensorGradient>,
    /// Of the activations' steps.
    pub activations: Vec<f32>,
}

/// The gradient of the parameters of a tensor's quantizers; empty where it has no such quantizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorGradient {
    /// Of that of the means.
    pub mu: Vec<f32>,
    /// Of that of the drawn weights.
    pub weight: Vec<f32>,
    /// Of that of the standard deviations.
    pub sigma: Vec<f32>,
}

impl QuantizerGradient {
    /// That of one quantizer.
    pub fn of(&self, id: QuantizerId) -> &[f32] {
        match id {
            QuantizerId::Mu(t) => &self.tensors[t].mu,
            QuantizerId::Weight(t) => &self.tensors[t].weight,
            QuantizerId::Sigma(t) => &self.tensors[t].sigma,
            QuantizerId::Activations => &self.activations,
        }
    }

    /// Adds another gradient of the same quantizers.
    pub fn add(&mut self, other: &QuantizerGradient) {
        for (into, from) in self.tensors.iter_mut().zip(&other.tensors) {
            add(&mut into.mu, &from.mu);
            add(&mut into.weight, &from.weight);
            add(&mut into.sigma, &from.sigma);
        }
        add(&mut self.activations, &other.activations);
    }

    /// Makes it zero: where scales are not learned.
    pub(super) fn clear(&mut self) {
        for tensor in &mut self.tensors {
            for part in [&mut tensor.mu, &mut tensor.weight, &mut tensor.sigma] {
                part.fill(0.0);
            }
        }
        self.activations.fill(0.0);
    }
}
