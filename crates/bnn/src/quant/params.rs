//! The parameters of all quantizers of a network: their names in checkpoints, and their gradient.

use super::quantizers::Quantizers;
use super::sigma::SigmaQuantizer;
use crate::math::add;
use crate::nn::Network;
use std::ops::Range;

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

/// Names of parameters, behind those of their tensor.
pub(crate) const MU_SCALE: &str = "mu.log2_scale";
pub(crate) const WEIGHT_SCALE: &str = "draw.log2_scale";
pub(crate) const SIGMA_TOP: &str = "sigma.log2_top";
pub(crate) const SIGMA_STEP: &str = "sigma.log2_step";
/// Where rows have ranges of their own: top and log2(step) of each, side by side.
const SIGMA_RANGES: &str = "sigma.log2_top.log2_step";
const SIGMA_SCALE: &str = "sigma.log2_scale";
const ACTIVATION_STEP: &str = "activations.log2_step";

/// Parameters as a checkpoint stores them under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Their quantizer.
    pub id: QuantizerId,
    /// Which of its parameters they are.
    pub range: Range<usize>,
}

impl Quantizers {
    /// Every quantizer, in the order in which checkpoints and optimizer keep their parameters.
    pub fn ids(&self) -> Vec<QuantizerId> {
        let tensors = 0..self.tensors.len();
        let each = tensors.flat_map(|t| [QuantizerId::Mu(t), QuantizerId::Weight(t), QuantizerId::Sigma(t)]);
        each.chain([QuantizerId::Activations]).filter(|&id| !self.params(id).is_empty()).collect()
    }

    /// The parameters of a quantizer; none where there is no such quantizer.
    pub fn params(&self, id: QuantizerId) -> &[f32] {
        match id {
            QuantizerId::Mu(t) => self.tensors[t].mu.as_ref().map_or(&[], |q| &q.log2_scales),
            QuantizerId::Weight(t) => self.tensors[t].weight.as_ref().map_or(&[], |q| &q.log2_scales),
            QuantizerId::Sigma(t) => self.tensors[t].sigma.as_ref().map_or(&[], SigmaQuantizer::params),
            QuantizerId::Activations => self.activations.as_ref().map_or(&[], |q| &q.log2_steps),
        }
    }

    /// The same, to be changed.
    pub fn params_mut(&mut self, id: QuantizerId) -> &mut [f32] {
        match id {
            QuantizerId::Mu(t) => self.tensors[t].mu.as_mut().map_or(&mut [], |q| &mut q.log2_scales),
            QuantizerId::Weight(t) => self.tensors[t].weight.as_mut().map_or(&mut [], |q| &mut q.log2_scales),
            QuantizerId::Sigma(t) => self.tensors[t].sigma.as_mut().map_or(&mut [], SigmaQuantizer::params_mut),
            QuantizerId::Activations => self.activations.as_mut().map_or(&mut [], |q| &mut q.log2_steps),
        }
    }

    /// Parameters in all.
    pub fn param_count(&self) -> usize {
        self.ids().into_iter().map(|id| self.params(id).len()).sum()
    }

    /// All parameters by their names in a checkpoint, in its order. This list is the only one.
    pub fn named(&self, net: &Network) -> Vec<Named> {
        let mut all = Vec::new();
        for id in self.ids() {
            let len = self.params(id).len();
            let mut add = |tensor: Option<usize>, what: &str, range: Range<usize>| {
                let name = tensor.map_or(what.to_owned(), |t| format!("{}.{what}", net.tensors[t].name));
                all.push(Named { name, id, range });
            };
            match id {
                QuantizerId::Mu(t) => add(Some(t), MU_SCALE, 0..len),
                QuantizerId::Weight(t) => add(Some(t), WEIGHT_SCALE, 0..len),
                QuantizerId::Sigma(t) => match &self.tensors[t].sigma {
                    Some(SigmaQuantizer::Log { rows, .. }) if rows.len() == 1 => {
                        add(Some(t), SIGMA_TOP, 0..1);
                        add(Some(t), SIGMA_STEP, 1..2);
                    }
                    Some(SigmaQuantizer::Log { .. }) => add(Some(t), SIGMA_RANGES, 0..len),
                    Some(SigmaQuantizer::Uniform { .. }) => add(Some(t), SIGMA_SCALE, 0..len),
                    None => {}
                },
                QuantizerId::Activations => add(None, ACTIVATION_STEP, 0..len),
            }
        }
        all
    }
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
    /// Zeros for every parameter.
    pub fn zeros(quantizers: &Quantizers) -> Self {
        let zeros = |id| vec![0.0; quantizers.params(id).len()];
        let tensor = |t| TensorGradient {
            mu: zeros(QuantizerId::Mu(t)),
            weight: zeros(QuantizerId::Weight(t)),
            sigma: zeros(QuantizerId::Sigma(t)),
        };
        let tensors = (0..quantizers.tensors.len()).map(tensor).collect();
        QuantizerGradient { tensors, activations: zeros(QuantizerId::Activations) }
    }

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
