//! From a model file back to a network and its guide: the way by which files of the kinds that run in float are run.
//!
//! It undoes [`export`](crate::export): layers become a description from which the network is built anew, weights return
//! to the order of training, grids get their stored scales. What is imported draws with the trainer's noise and runs by the
//! trainer's pass, so that a file predicts what its checkpoint predicts on the file's scales, to the last bit.
//!
//! One thing that files of other writers may hold is refused: a window that is neither square nor its whole input.

use crate::data::Normalisation;
use crate::error::BnnError;
use crate::export::{from_log2, normalisation};
use crate::guide::Guide;
use crate::layout::file_order;
use crate::math::exp;
use crate::nn::network::{IMAGE, Op};
use crate::nn::{Activation, LayerSpec, Network, NetworkSpec, OpSpec};
use crate::posterior::{Dropout, Gaussian, Point, Posterior, PosteriorKind, kept};
use crate::quant::Quantizers;
use crate::quant::quantizers::TensorQuantizers;
use crate::quant::settings::{BitWidths, FLOAT_BITS, QuantizeSettings, Rounding};
use crate::quant::sigma::SigmaQuantizer;
use crate::stored::DecodedPosterior;
use qbnn_core::fixed::Log2;
use qbnn_core::model::{self, Function, Kind, Layer, Model};
use qbnn_core::{Bits, draw};

/// A network out of a file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network.
    pub net: Network,
    /// Posterior and grids.
    pub guide: Guide,
    /// How pixels become inputs.
    pub normalisation: Normalisation,
}

/// The network and the guide of a model file.
///
/// # Errors
/// [`BnnError::Network`] names the layer, by its number from 1, that the float pass does not know as it stands, or that
/// stores something that is no number.
pub fn import(model: &Model<'_>) -> Result<Imported, BnnError> {
    let fail = |layer: String, problem: String| BnnError::Network { network: model.name().to_owned(), layer, problem };
    let input = model.input();
    let mut layers = Vec::with_capacity(model.layers());
    for (index, layer) in model.iter().enumerate() {
        let spec = describe(model, index, &layer);
        layers.push(spec.map_err(|problem| fail((index + 1).to_string(), problem))?);
    }
    let spec = NetworkSpec { name: model.name().to_owned(), layers };
    let net = Network::new(&spec, input, model.classes())?;
    let mut posterior = Gaussian { mu: vec![0.0; net.parameters()], log_sigma: vec![0.0; net.parameters()] };
    let kind = match model.posterior() {
        model::Posterior::Gaussian => PosteriorKind::Gaussian,
        model::Posterior::Point => PosteriorKind::Point,
        model::Posterior::Dropout { .. } => PosteriorKind::Dropout,
    };
    let mut quantizers = settings(model).map(|s| Quantizers::new(&net, kind, &s)).transpose()?;
    let linear = model.iter().enumerate().filter(|(_, l)| matches!(l.op, model::Op::Linear(_)));
    let nodes = net.nodes.iter().filter(|n| matches!(n.op, Op::Linear { .. }));
    for (node, (index, layer)) in nodes.zip(linear) {
        let Op::Linear { weight, bias, .. } = &node.op else { continue };
        let grids = quantizers.as_mut().and_then(|q| q.tensors.get_disjoint_mut([*weight, *bias]).ok());
        let (weight, bias) = (&net.tensors[*weight], &net.tensors[*bias]);
        let stored = DecodedPosterior::read(model, index)?;
        let order = file_order(&net, node);
        let biases = bias.range.clone().zip(stored.bias_mu.iter().zip(&stored.bias_sigma));
        let weights = order.iter().map(|at| weight.range.start + at).zip(stored.mu.iter().zip(&stored.sigma));
        // What JQ's scales have of the factor by which a draw of MC dropout grows the weights that it keeps, draws add again.
        let drops = weight.range.start > 0 && model.kind() == Kind::Jq;
        let kept = if drops { kept(model.posterior().dropped()) } else { 1.0 };
        let first_bias = bias.range.start;
        for (at, (&mu, &sigma)) in weights.chain(biases) {
            posterior.mu[at] = if at < first_bias { mu / kept } else { mu };
            posterior.log_sigma[at] = logarithm(sigma);
        }
        let Some([of_weight, of_bias]) = grids else { continue };
        if let Some(codes) = model.codes(&layer) {
            set_mu(of_weight, scales(codes.mu_scales).map(|scale| scale - kept.log2()));
            set_sigma(of_weight, codes.sigma_top(), codes.sigma_step());
            set_weight(of_weight, codes.weight_scales);
            set_mu(of_bias, [from_log2(codes.bias_mu_scale())].into_iter());
            set_sigma(of_bias, codes.bias_sigma_top(), codes.bias_sigma_step());
        } else if let Some(floats) = model.floats(&layer) {
            set_weight(of_weight, floats.weight_scales);
        }
    }
    let steps = model.iter().filter_map(|l| match l.op {
        model::Op::Activation(a) => Some(from_log2(a.log2_step)),
        _ => None,
    });
    if let Some(grids) = quantizers.as_mut().and_then(|q| q.activations.as_mut()) {
        grids.log2_steps.iter_mut().zip(steps).for_each(|(slot, step)| *slot = step);
    }
    let Gaussian { mu, .. } = &posterior;
    let posterior = match model.posterior() {
        model::Posterior::Gaussian => Posterior::Gaussian(posterior),
        model::Posterior::Point => Posterior::Point(Point { mu: mu.clone() }),
        model::Posterior::Dropout { dropped } => {
            Posterior::Dropout(Dropout { mu: mu.clone(), rate: f32::from(dropped) / 256.0 })
        }
    };
    let guide = Guide { posterior, quantizers };
    Ok(Imported { net, guide, normalisation: normalisation(model) })
}

fn scales(stored: model::Scales<'_>) -> impl Iterator<Item = f32> {
    (0..stored.len()).map(move |c| from_log2(stored.get(c)))
}

// A guide without such a grid takes nothing.

fn set_mu(grids: &mut TensorQuantizers, log2_scales: impl Iterator<Item = f32>) {
    let slots = grids.mu.iter_mut().flat_map(|q| &mut q.log2_scales);
    slots.zip(log2_scales).for_each(|(slot, scale)| *slot = scale);
}

fn set_weight(grids: &mut TensorQuantizers, stored: model::Scales<'_>) {
    let slots = grids.weight.iter_mut().flat_map(|q| &mut q.log2_scales);
    slots.zip(scales(stored)).for_each(|(slot, scale)| *slot = scale);
}

fn set_sigma(grids: &mut TensorQuantizers, top: Log2, step: Log2) {
    if let Some(SigmaQuantizer::Log { rows, .. }) = &mut grids.sigma {
        rows.fill([from_log2(top), from_log2(step).log2()]);
    }
}

/// The logarithm that [`exp`] turns into `sigma` to the bit, where there is one: a file stores what `exp` gave.
pub(crate) fn logarithm(sigma: f32) -> f32 {
    const NEAR: i32 = 4;
    // A standard deviation of zero is the least that a float can tell from it.
    let log = sigma.max(f32::MIN_POSITIVE).ln();
    let near = (0..=2 * NEAR).map(|i| f32::from_bits(log.to_bits().wrapping_add_signed(i - NEAR)));
    near.into_iter().find(|&l| exp(l) == sigma).unwrap_or(log)
}

/// The grids of a model; `None` in float.
fn settings(model: &Model<'_>) -> Option<QuantizeSettings> {
    let bits = |bits: Option<Bits>| bits.map_or(FLOAT_BITS, Bits::get);
    (model.kind() != Kind::Float).then(|| QuantizeSettings {
        bits: BitWidths {
            mu: bits(model.mu_bits()),
            sigma: bits(model.sigma_code().map(|s| s.0)),
            weight: bits(model.weight_code().map(|w| w.bits())),
            activation: bits(model.activation_bits()),
        },
        rounding: match model.rounding() {
            draw::Rounding::Nearest => Rounding::Nearest,
            draw::Rounding::Stochastic => Rounding::Stochastic,
        },
        ..QuantizeSettings::default()
    })
}

/// A layer as a description names it; or what is wrong with it.
fn describe(model: &Model<'_>, index: usize, layer: &Layer) -> Result<LayerSpec, String> {
    let name = |value: usize| if value == 0 { IMAGE.to_owned() } else { format!("value{value}") };
    let from = model.shape_of(layer.input);
    let op = match layer.op {
        model::Op::Linear(l) => {
            let whole =
                l.padding == 0 && l.groups == 1 && (l.kernel_rows, l.kernel_columns) == (from.rows, from.columns);
            match whole {
                true => OpSpec::Dense { out: layer.shape.channels },
                false if l.kernel_rows == l.kernel_columns => OpSpec::Conv {
                    out: layer.shape.channels,
                    kernel: l.kernel_rows,
                    stride: l.stride,
                    padding: l.padding,
                    groups: l.groups,
                },
                false => {
                    let (rows, columns) = (l.kernel_rows, l.kernel_columns);
                    return Err(format!("its window is {rows}x{columns}; the float pass knows square ones"));
                }
            }
        }
        model::Op::Pool(p) if p.max => OpSpec::MaxPool { size: p.size, stride: Some(p.stride) },
        model::Op::Pool(p) => OpSpec::AveragePool { size: p.size, stride: Some(p.stride) },
        model::Op::Activation(a) => {
            let parameter = f32::from_bits(a.parameter_bits);
            OpSpec::Activation(match a.function {
                Function::Relu => Activation::Relu,
                Function::LeakyRelu => Activation::LeakyRelu { slope: parameter },
                Function::ClippedRelu => Activation::ClippedRelu { max: parameter },
                Function::Hardtanh => Activation::Hardtanh,
            })
        }
        model::Op::Add { other } => OpSpec::Add { from: name(other) },
    };
    let input = (layer.input != index).then(|| name(layer.input));
    Ok(LayerSpec { name: Some(name(index + 1)), input, op })
}
