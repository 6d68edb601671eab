//! The weights that the integer runtime draws from a model file, as floats: what a simulation of the file runs on.

use crate::error::BnnError;
use crate::export::from_log2;
use crate::layout::file_order;
use crate::nn::Network;
use crate::nn::network::Op;
use qbnn_core::draw::{self, BiasScale, RowScale, sigma_level};
use qbnn_core::fixed::OCTAVE;
use qbnn_core::model::{self, Layer, Model};
use qbnn_core::{noise, pack};

/// Weights and biases that the runtime draws from a model file, as the flat buffer of the network that it came from:
/// codes times their scales. A simulation that runs on them differs from the runtime by float's rounding alone.
///
/// # Errors
/// [`BnnError::Data`] if the model is of another network, or not JQ.
pub fn drawn(model: &Model<'_>, net: &Network, seed: u64, draw: u32) -> Result<Vec<f32>, BnnError> {
    let other =
        || BnnError::Data(format!("the model file `{}` is not JQ of network `{}`", model.name(), net.spec.name));
    let mut weights = vec![0.0; net.parameters()];
    let linear = model.iter().filter(|l| matches!(l.op, model::Op::Linear(_)));
    let mut layers = linear.enumerate();
    for node in &net.nodes {
        let Op::Linear { weight, bias, .. } = &node.op else { continue };
        let (index, layer) = layers.next().ok_or_else(other)?;
        let (weight, bias) = (&net.tensors[*weight], &net.tensors[*bias]);
        let order = file_order(net, node);
        let drawn = draw_layer(model, &layer, 2 * index as u32, seed, draw).ok_or_else(other)?;
        if drawn.0.len() != order.len() || drawn.1.len() != bias.range.len() {
            return Err(other());
        }
        order.iter().zip(drawn.0).for_each(|(&at, w)| weights[weight.range.start + at] = w);
        weights[bias.range.clone()].copy_from_slice(&drawn.1);
    }
    Ok(weights)
}

/// Weights and biases of one layer, in the file's order. `None` for a model that is not JQ.
fn draw_layer(model: &Model<'_>, layer: &Layer, tensor: u32, seed: u64, draw: u32) -> Option<(Vec<f32>, Vec<f32>)> {
    let model::Op::Linear(linear) = layer.op else { return None };
    let codes = model.codes(layer)?;
    let (mu_bits, grid) = (model.mu_bits()?, model.weight_code()?);
    let sigma_bits = model.sigma_code().map(|code| code.0);
    let input = model.grid_of(layer.input)?;
    let (channels, row, rounding) = (layer.shape.channels, linear.fan_in(), model.rounding());
    let (key, each) = (noise::key(seed), rounding.noise_bytes());
    let level = |step| match sigma_bits {
        Some(bits) => (0..bits.levels()).map(|k| sigma_level(k as u8, step)).collect(),
        None => vec![0],
    };
    let code = |packed, i| sigma_bits.map_or(Some(0), |bits| pack::get(packed, i, bits));
    // Of MC dropout: a byte for each unit, which is dropped where that is below the share.
    let mut masks = vec![0; draw::units(&linear, model.shape_of(layer.input))];
    let dropped = if tensor == 0 { 0 } else { model.posterior().dropped() };
    if dropped > 0 {
        noise::fill(key, draw::mask_counter(tensor, draw), 0, &mut masks);
    }
    let levels = level(codes.sigma_step());
    let mut random = vec![0; channels * row * each];
    noise::fill(key, draw::counter(tensor, draw), 0, &mut random);
    let mut weights = Vec::with_capacity(channels * row);
    for c in 0..channels {
        let own = RowScale::new(codes.mu_scales.get(c), codes.weight_scales.get(c), codes.sigma_top(), mu_bits)?;
        let scale = from_log2(codes.weight_scales.get(c)).exp2();
        for i in c * row..(c + 1) * row {
            let (mu, sigma) = (pack::get(codes.mu, i, mu_bits)?, code(codes.sigma, i)?);
            let bytes = &random[i * each..][..each];
            let up = bytes.get(1).copied();
            let code = draw::weight(&own, mu_bits, grid, mu, own.level(levels[sigma as usize]), bytes[0], up);
            let kept = masks[(i - c * row) % masks.len()] >= dropped;
            weights.push(if kept { code as f32 * scale } else { 0.0 });
        }
    }
    let mut random = vec![0; channels * each];
    noise::fill(key, draw::counter(tensor + 1, draw), 0, &mut random);
    let levels = level(codes.bias_sigma_step());
    let biases = (0..channels).map(|c| {
        let accumulator = codes.weight_scales.get(c) as i32 + input.log2_step;
        let scale = BiasScale::new(codes.bias_mu_scale(), codes.bias_sigma_top(), accumulator);
        let level = levels[code(codes.bias_sigma, c).unwrap_or(0) as usize];
        let bias = scale.draw(codes.bias_mu[c] as i8, level, random[each * c]);
        bias as f32 * (accumulator as f32 / OCTAVE as f32).exp2()
    });
    Some((weights, biases.collect()))
}
