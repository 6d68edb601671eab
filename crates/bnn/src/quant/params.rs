//! The parameters of all quantizers of a network, and their names in checkpoints.

use super::gradient::{QuantizerGradient, QuantizerId, TensorGradient};
use super::quantizers::Quantizers;
use super::sigma::SigmaQuantizer;
use crate::nn::Network;
use std::ops::Range;

/// Names of parameters, behind those of their tensor.
pub(crate) const MU_SCALE: &str = "mu.log2_scale";
pub(crate) const WEIGHT_SCALE: &str = "draw.log2_scale";
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
                QuantizerId::Sigma(t) => {
                    let named = self.tensors[t].sigma.iter().flat_map(SigmaQuantizer::named);
                    named.for_each(|(what, range)| add(Some(t), what, range));
                }
                QuantizerId::Activations => add(None, ACTIVATION_STEP, 0..len),
            }
        }
        all
    }

    /// A gradient of zeros for every parameter.
    pub fn zero_gradient(&self) -> QuantizerGradient {
        let zeros = |id| vec![0.0; self.params(id).len()];
        let tensor = |t| TensorGradient {
            mu: zeros(QuantizerId::Mu(t)),
            weight: zeros(QuantizerId::Weight(t)),
            sigma: zeros(QuantizerId::Sigma(t)),
        };
        let tensors = (0..self.tensors.len()).map(tensor).collect();
        QuantizerGradient { tensors, activations: zeros(QuantizerId::Activations) }
    }
}
