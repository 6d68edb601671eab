//! From a checkpoint to a model file: grids become codes, learned scales become the file's logarithms.
//!
//! Float networks and those of every strategy have a file; [`import`](crate::import) is the way back.
//!
//! Two things change on the way, and nothing else. Scales are rounded to the 2048ths of an octave that a file stores
//! ([`snap_scales`] does the same to a guide, so that a simulation can stand on the same scales). And weights change their
//! order: activations lie `[row][column][channel]` in the runtime, so that each window is read in runs, and weights follow
//! them ([`layout`](crate::layout)).

use crate::checkpoint::Checkpoint;
use crate::data::Normalisation;
use crate::error::BnnError;
use crate::guide::Guide;
use crate::layout::{file_order, file_shape, is_flat};
use crate::nn::Network;
use crate::nn::activation::Activation;
use crate::nn::linear::Linear;
use crate::nn::network::{Node, Op, Tensor};
use crate::posterior::kept;
use crate::quant::params::{MU_SCALE, WEIGHT_SCALE};
use crate::quant::quantizers::TensorQuantizers;
use crate::quant::settings::{FLOAT_BITS, QuantizeSettings, Rounding, Scale, SigmaGrid, Strategy};
use crate::quant::sigma::{self, SigmaQuantizer};
use qbnn_core::draw;
use qbnn_core::fixed::{Log2, OCTAVE};
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{self, Function, Kind, Layer, Model, ModelError, Shape};
use qbnn_core::{Bits, UniformCode};
use std::cell::Cell;
use std::f32::consts::LOG2_E;

thread_local! {
    static EXPORTS: Cell<usize> = const { Cell::new(0) };
}

/// How often this thread has exported a checkpoint, so that tests can count.
pub fn exports() -> usize {
    EXPORTS.with(Cell::get)
}

/// The model file of a checkpoint: of kind float without quantizers, else of its strategy.
///
/// # Errors
/// [`BnnError::Network`] names the layer that has no integer twin where it stands, or whose numbers the format cannot
/// hold; [`BnnError::Setting`] a grid that it does not know.
pub fn export(checkpoint: &Checkpoint) -> Result<Vec<u8>, BnnError> {
    EXPORTS.with(|count| count.set(count.get() + 1));
    let (net, guide) = (checkpoint.net(), &snap_scales(checkpoint.guide()));
    let scales = Scales { net, guide };
    let quantize = checkpoint.quantize.as_ref().filter(|q| !q.is_float());
    if let Some((name, found)) = checkpoint.not_finite() {
        return Err(BnnError::Data(format!("`{name}` of network `{}` holds {found}; train it again", net.spec.name)));
    }
    let Some(posterior) = guide.posterior.family().in_file() else {
        let name = guide.posterior.kind().name();
        return Err(BnnError::setting("train.posterior", name, "a model file holds gaussian, point and dropout"));
    };
    let kind = quantize.map_or(Kind::Float, |q| match q.strategy {
        Strategy::Vpq => Kind::Vpq,
        Strategy::Spq => Kind::Spq,
        Strategy::Jq => Kind::Jq,
    });
    let [mu, sigma, weight, activation] = quantize.map_or(Ok([None; 4]), |q| widths(q, kind))?;
    let sigma = sigma.filter(|_| posterior.has_sigma());
    let Pixels { zero, log2_step } = pixels(checkpoint.normalisation)?;
    let header = Header {
        name: &net.spec.name,
        kind,
        posterior,
        rounding: match quantize.map(|q| q.rounding) {
            Some(Rounding::Stochastic) => draw::Rounding::Stochastic,
            Some(Rounding::Nearest) | None => draw::Rounding::Nearest,
        },
        input: net.input,
        pixel_zero: zero,
        pixel_log2_step: log2_step,
        mu,
        sigma,
        weight,
        activation,
    };
    let mut layers: Vec<(Layer, Parameters)> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    // The file's number of each of the network's values; flattening is none of its layers.
    let mut values: Vec<usize> = vec![0];
    for node in &net.nodes {
        let input = values[node.input];
        let from = input.checked_sub(1).map_or(header.input, |i| layers[i].0.shape);
        let fail = |problem: String| fail(net, node, problem);
        let (op, to, parameters) = match &node.op {
            Op::Flatten => {
                values.push(input);
                continue;
            }
            Op::Linear { map, weight, bias } => {
                let linear = linear(map, from).map_err(fail)?;
                // The runtime takes such a window for a dense layer's.
                if posterior.dropped() > 0
                    && matches!(map, Linear::Conv(_))
                    && draw::units(&linear, from) > from.channels
                {
                    return Err(fail(format!(
                        "its window is its whole input of {from}, where a model file drops single numbers and not \
                         channels; make it `flatten` and `dense`"
                    )));
                }
                let order = file_order(net, node);
                let parameters = match kind {
                    Kind::Float | Kind::Spq => scales.float(*weight, *bias, &order, &header),
                    Kind::Vpq | Kind::Jq => scales.codes(*weight, *bias, &order, &header),
                };
                (model::Op::Linear(linear), node.shape, parameters.map_err(fail)?)
            }
            Op::Pool(pool) => {
                // Over a flat value a window is one number, wherever that lies in the file.
                let (to, stride) = if is_flat(pool.input) { (from, 1) } else { (node.shape, pool.stride) };
                let op = model::Pool { max: pool.max, size: pool.size, stride };
                (model::Op::Pool(op), to, Parameters::default())
            }
            Op::Activation { function, index } => {
                let grids = guide.quantizers.as_ref().and_then(|q| q.activations.as_ref());
                let step = grids.and_then(|grids| grids.log2_steps.get(*index).copied());
                let a = activation_of(*function, step, header.activation).map_err(fail)?;
                (model::Op::Activation(a), from, Parameters::default())
            }
            Op::Add { other } => {
                let second = file_shape(net, *other);
                if second != from {
                    return Err(fail(format!(
                        "it adds what was {from} and what was {second} before they were flattened, which a model file \
                         cannot; put a dense layer behind each `flatten`"
                    )));
                }
                (model::Op::Add { other: values[*other] }, from, Parameters::default())
            }
        };
        layers.push((Layer { input, shape: to, op }, parameters));
        names.push(&node.name);
        values.push(layers.len());
    }
    let last = layers.last().map_or(header.input, |(l, _)| l.shape);
    if let Some(node) = net.nodes.last().filter(|_| (last.rows, last.columns) != (1, 1)) {
        return Err(fail(net, node, format!("the classes come from a flattened {last}; end in a dense layer")));
    }
    activations_first(&mut layers, &mut names, header.input);
    write(&header, &layers).map_err(|e| {
        let (layer, problem) = match e {
            ModelError::Layer { layer, problem } => (names.get(layer - 1).copied(), problem.to_string()),
            other => (None, other.to_string()),
        };
        BnnError::Network { network: net.spec.name.clone(), layer: layer.unwrap_or("model file").into(), problem }
    })
}

/// A linear layer that reads a value of the shape `from` in the file.
fn linear(map: &Linear, from: Shape) -> Result<model::Linear, String> {
    let whole = model::Linear::new([from.rows, from.columns], 1, 0, 1, from.channels);
    match map {
        Linear::Dense { .. } => Ok(whole),
        Linear::Conv(c) if c.input == from => {
            Ok(model::Linear::new([c.kernel; 2], c.stride, c.padding, c.groups, c.input.channels / c.groups))
        }
        Linear::Conv(c) if (c.kernel, c.padding, c.groups) == (1, 0, 1) => Ok(whole),
        Linear::Conv(_) => Err(format!("it is a convolution over a flattened {from}; put `flatten` behind it")),
    }
}

/// Exchanges every max-pool with the activation that alone reads it. The activation of the largest is the largest
/// activation, so nothing changes, but behind a linear layer the runtime joins all three when the activation comes first.
fn activations_first(layers: &mut [(Layer, Parameters)], names: &mut [&str], image: Shape) {
    let reads =
        |l: &Layer, value: usize| l.input == value || matches!(l.op, model::Op::Add { other } if other == value);
    for i in 1..layers.len() {
        let (pool, activation) = (layers[i - 1].0, layers[i].0);
        let max = matches!(pool.op, model::Op::Pool(p) if p.max);
        let alone = activation.input == i && layers.iter().filter(|(l, _)| reads(l, i)).count() == 1;
        if max && alone && matches!(activation.op, model::Op::Activation(_)) {
            let from = pool.input.checked_sub(1).map_or(image, |v| layers[v].0.shape);
            layers[i - 1].0 = Layer { input: pool.input, shape: from, op: activation.op };
            layers[i].0 = Layer { input: i, shape: pool.shape, op: pool.op };
            names.swap(i - 1, i);
        }
    }
}

/// Widths of means, standard deviations, drawn weights and activations, where they are codes; those that the kind cannot
/// do without are.
fn widths(q: &QuantizeSettings, kind: Kind) -> Result<[Option<Bits>; 4], BnnError> {
    if q.noise_bits != 8 {
        return Err(BnnError::setting("noise_bits", q.noise_bits, "a model file's draws take all 8: set it to 8"));
    }
    if kind.stores_codes() && q.sigma_grid != SigmaGrid::Log {
        return Err(BnnError::setting(
            "sigma_grid",
            q.sigma_grid.name(),
            "a model file holds the logarithmic one: set it to log",
        ));
    }
    if kind.stores_codes() && q.sigma_scale != Scale::Tensor {
        let wanted = "a model file holds one range of sigma for a tensor: set it to tensor";
        return Err(BnnError::setting("sigma_scale", "channel", wanted));
    }
    let (stored, run) = (kind.stores_codes(), kind.runs_on_codes());
    let width = |key: &'static str, bits: u32, needed: bool| match Bits::new(bits) {
        Ok(bits) => Ok(Some(bits)),
        Err(_) if bits == FLOAT_BITS && !needed => Ok(None),
        Err(_) => Err(BnnError::setting(key, bits, format!("a {} model file holds 2 to 8 bits", kind.name()))),
    };
    Ok([
        width("bits.mu", q.bits.mu, stored)?,
        width("bits.sigma", q.bits.sigma, stored)?,
        width("bits.weight", q.bits.weight, run)?,
        width("bits.activation", q.bits.activation, run)?,
    ])
}

fn fail(net: &Network, node: &Node, problem: String) -> BnnError {
    BnnError::Network { network: net.spec.name.clone(), layer: node.name.clone(), problem }
}

/// How the runtime reads a pixel: (pixel - zero) * 2^(log2_step / 2048).
struct Pixels {
    zero: u8,
    log2_step: Log2,
}

/// The zero must be a pixel, or padding could not be exact.
fn pixels(n: Normalisation) -> Result<Pixels, BnnError> {
    let zero = (255.0 * n.mean).round();
    let wanted = "a model file wants a mean from 0 to 1 and a positive standard deviation";
    match to_log2(-(255.0 * n.std).log2()) {
        Some(log2_step) if (0.0..=255.0).contains(&zero) => Ok(Pixels { zero: zero as u8, log2_step }),
        _ => Err(BnnError::setting("normalisation", format!("{n:?}"), wanted)),
    }
}

/// How a model file reads pixels, as the network here has it.
pub(crate) fn normalisation(model: &Model<'_>) -> Normalisation {
    let grid = model.pixels();
    Normalisation { mean: grid.zero as f32 / 255.0, std: (-from_log2(grid.log2_step as Log2)).exp2() / 255.0 }
}

/// A logarithm in 2048ths of an octave, if it is one that a file holds.
fn to_log2(log2: f32) -> Option<Log2> {
    let value = (log2 * OCTAVE as f32).round();
    (value >= i16::MIN as f32 && value <= i16::MAX as f32).then_some(value as Log2)
}

pub(crate) fn from_log2(log2: Log2) -> f32 {
    log2 as f32 / OCTAVE as f32
}

/// A guide whose scales are the nearest that a file holds: what it draws and rounds stands on the runtime's grids.
pub fn snap_scales(guide: &Guide) -> Guide {
    let mut guide = guide.clone();
    if let Some(quantizers) = &mut guide.quantizers {
        quantizers.snap();
    }
    guide
}

/// The parameters of a guide and its quantizers, as a file stores them.
struct Scales<'a> {
    net: &'a Network,
    guide: &'a Guide,
}

impl Scales<'_> {
    fn float(&self, weight: usize, bias: usize, order: &[usize], header: &Header<'_>) -> Result<Parameters, String> {
        let (mu, sigma) = (self.guide.posterior.mu(), self.guide.posterior.sigma());
        let has_sigma = header.posterior.has_sigma();
        let weight_scales = if header.kind == Kind::Spq { self.weight_scales(weight)? } else { Vec::new() };
        let (weight, bias) = (&self.net.tensors[weight], &self.net.tensors[bias]);
        let of = |all: &[f32], t: &Tensor| all[t.range.clone()].to_vec();
        let ordered = |all: &[f32]| order.iter().map(|&i| all[weight.range.start + i]).collect();
        let sigmas = if has_sigma { [ordered(&sigma), of(&sigma, bias)] } else { Default::default() };
        let [weights, biases] = sigmas;
        Ok(Parameters { weight_scales, float: [ordered(mu), weights, of(mu, bias), biases], ..Parameters::default() })
    }

    fn quantizers(&self, tensor: usize) -> Option<&TensorQuantizers> {
        self.guide.quantizers.as_ref().map(|q| &q.tensors[tensor])
    }

    fn mu_scales(&self, tensor: usize) -> Result<Vec<Log2>, String> {
        let grid = self.quantizers(tensor).and_then(|q| q.mu.as_ref());
        self.scales(tensor, MU_SCALE, grid.map(|q| &q.log2_scales[..]))
    }

    fn weight_scales(&self, tensor: usize) -> Result<Vec<Log2>, String> {
        let grid = self.quantizers(tensor).and_then(|q| q.weight.as_ref());
        self.scales(tensor, WEIGHT_SCALE, grid.map(|q| &q.log2_scales[..]))
    }

    /// Scales of a tensor's grid, one for each of its channels or, of a bias, one in all.
    fn scales(&self, tensor: usize, what: &str, log2_scales: Option<&[f32]>) -> Result<Vec<Log2>, String> {
        let tensor = &self.net.tensors[tensor];
        let count = if tensor.bias { 1 } else { tensor.channels };
        let name = format!("{}.{what}", tensor.name);
        let Some(scales) = log2_scales.filter(|scales| scales.len() == 1 || scales.len() == count) else {
            return Err(no_grid(&name, count));
        };
        let one = |i: usize| {
            let value = scales[i % scales.len()];
            let channel = if scales.len() > 1 { format!(" of channel {}", i + 1) } else { String::new() };
            to_log2(value).ok_or_else(|| too_large(&name, &channel, value))
        };
        (0..count).map(one).collect()
    }

    /// Top and step of the one range of a tensor's sigma.
    fn range(&self, tensor: usize) -> Result<[Log2; 2], String> {
        let name = |what: &str| format!("{}.{what}", self.net.tensors[tensor].name);
        let Some(SigmaQuantizer::Log { rows, .. }) = self.quantizers(tensor).and_then(|q| q.sigma.as_ref()) else {
            return Err(no_grid(&name(sigma::TOP), 1));
        };
        let &[[top, log2_step]] = &rows[..] else { return Err(no_grid(&name(sigma::TOP), 1)) };
        let top = to_log2(top).ok_or_else(|| too_large(&name(sigma::TOP), "", top))?;
        let step = to_log2(log2_step.exp2()).ok_or_else(|| too_large(&name(sigma::STEP), "", log2_step))?;
        Ok([top, step.max(1)])
    }

    /// The code of a mean.
    fn mean(&self, index: usize, scale: Log2, code: UniformCode) -> i8 {
        let steps = self.guide.posterior.mu()[index] / from_log2(scale).exp2();
        steps.round_ties_even().clamp(code.min() as f32, code.max() as f32) as i8
    }

    /// Codes of a posterior without sigmas. Under MC dropout, JQ's scales have the factor of what a draw keeps.
    fn means(&self, weight: usize, bias: usize, order: &[usize], header: &Header<'_>) -> Result<Parameters, String> {
        let (Some(bits), Ok(bias_bits)) = (header.mu, Bits::new(model::BIAS_BITS)) else {
            return Err("its means are in float".into());
        };
        let (mut mu_scales, bias_scale) = (self.mu_scales(weight)?, self.mu_scales(bias)?[0]);
        let drops = weight > 0 && header.kind == Kind::Jq;
        let (weight, bias) = (&self.net.tensors[weight], &self.net.tensors[bias]);
        let (row, start) = (order.len() / weight.channels, weight.range.start);
        let [code, bias_code] = [bits, bias_bits].map(UniformCode::Signed);
        let mu = order.iter().enumerate().map(|(i, &at)| self.mean(start + at, mu_scales[i / row], code)).collect();
        if drops && header.posterior.dropped() > 0 {
            let kept = kept(header.posterior.dropped()).log2();
            for scale in &mut mu_scales {
                let value = from_log2(*scale) + kept;
                *scale = to_log2(value).ok_or_else(|| too_large(&format!("{}.{MU_SCALE}", weight.name), "", value))?;
            }
        }
        Ok(Parameters {
            mu,
            bias_mu: bias.range.clone().map(|at| self.mean(at, bias_scale, bias_code)).collect(),
            mu_scales,
            ranges: [0, 0, bias_scale, 0, 0],
            ..Parameters::default()
        })
    }

    fn codes(&self, weight: usize, bias: usize, order: &[usize], header: &Header<'_>) -> Result<Parameters, String> {
        if !header.posterior.has_sigma() {
            return self.means(weight, bias, order, header);
        }
        let mu_scales = self.mu_scales(weight)?;
        let weight_scales = if header.kind == Kind::Jq { self.weight_scales(weight)? } else { Vec::new() };
        let ([top, step], bias_mu) = (self.range(weight)?, self.mu_scales(bias)?[0]);
        let [bias_top, bias_step] = self.range(bias)?;
        let ranges = [top, step, bias_mu, bias_top, bias_step];
        let (weight, bias) = (&self.net.tensors[weight], &self.net.tensors[bias]);
        let channels = weight.channels;
        let (Some(mu_bits), Some(sigma_bits)) = (header.mu, header.sigma) else {
            return Err("its means and sigmas are in float".into());
        };
        let Some(log_sigma) = self.guide.posterior.log_sigma() else {
            return Err("its posterior has no sigma".into());
        };
        let mean = |index: usize, scale: Log2, code: UniformCode| self.mean(index, scale, code);
        let sigma = |index: usize, top: Log2, step: Log2| {
            let octaves = from_log2(top) - log_sigma[index] * LOG2_E;
            (octaves / from_log2(step)).clamp(0.0, (sigma_bits.levels() - 1) as f32).round_ties_even() as u8
        };
        let row = order.len() / channels;
        let code = UniformCode::Signed(mu_bits);
        let start = weight.range.start;
        let bias_code = UniformCode::Signed(Bits::new(model::BIAS_BITS).map_err(|e| e.to_string())?);
        Ok(Parameters {
            mu: order.iter().enumerate().map(|(i, &at)| mean(start + at, mu_scales[i / row], code)).collect(),
            sigma: order.iter().map(|&at| sigma(start + at, ranges[0], ranges[1])).collect(),
            bias_mu: bias.range.clone().map(|at| mean(at, ranges[2], bias_code)).collect(),
            bias_sigma: bias.range.clone().map(|at| sigma(at, ranges[3], ranges[4])).collect(),
            mu_scales,
            weight_scales,
            ranges,
            ..Parameters::default()
        })
    }
}

/// What a grid lacks that a file wants.
fn no_grid(name: &str, count: usize) -> String {
    format!("its grids have no `{name}` for {count}: a model file wants the usual grids")
}

/// A scale that no file holds.
fn too_large(name: &str, channel: &str, value: f32) -> String {
    format!(
        "`{name}`{channel} is {value}, a logarithm of base 2; a model file holds scales from 2^-16 to 2^16: train again \
         with a smaller learning rate"
    )
}

/// An activation function on its grid.
fn activation_of(
    function: Activation,
    log2_step: Option<f32>,
    bits: Option<Bits>,
) -> Result<model::Activation, String> {
    let (kind, parameter) = match function {
        Activation::Relu => (Function::Relu, 0.0),
        Activation::LeakyRelu { slope } => (Function::LeakyRelu, slope),
        Activation::ClippedRelu { max } => (Function::ClippedRelu, max),
        Activation::Hardtanh => (Function::Hardtanh, 1.0),
        other => {
            let function = other.name();
            return Err(format!("{function} has no integer twin; train with hardtanh or clipped-relu"));
        }
    };
    let slope =
        if kind == Function::LeakyRelu { (parameter as f64 * (1u64 << 31) as f64).round() as u32 } else { 1 << 31 };
    let mut activation = model::Activation {
        function: kind,
        parameter_bits: parameter.to_bits(),
        bits,
        log2_step: 0,
        low: 0,
        high: 0,
        slope,
    };
    let (Some(value), Some(code)) = (log2_step, activation.code()) else { return Ok(activation) };
    activation.log2_step =
        to_log2(value).ok_or_else(|| format!("its step is 2^{value}; a model file holds scales from 2^-16 to 2^16: train again with a smaller learning rate"))?;
    // What the function clips, as a code.
    let ceiling = function.ceiling().map_or(f32::INFINITY, |c| (c / from_log2(activation.log2_step).exp2()).round());
    activation.high = ceiling.clamp(1.0, code.max() as f32) as i16;
    activation.low =
        (code.min() as i16).max(if function.ceiling().is_some() { -(ceiling.min(1e4) as i16) } else { i16::MIN });
    Ok(activation)
}
