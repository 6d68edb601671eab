//! A network with its shapes worked out: what runs, in which order, on which parameters.

use super::activation::Activation;
use super::linear::{Conv, Linear};
use super::pool::Pool;
use super::sizes::{MAX_LAYERS, MAX_PARAMETERS, MAX_VALUES, at_most, len, padded_len, product};
use super::spec::{NetworkSpec, OpSpec};
use crate::error::BnnError;
use qbnn_core::Shape;
use std::ops::Range;

/// What layers call the image, unless one of them has that name.
pub const IMAGE: &str = "image";

/// One layer, ready to run.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name, unique in the network.
    pub name: String,
    /// Values that it reads: 0 is the image, `i + 1` the output of node `i`.
    pub input: usize,
    /// Shape of its output, one image.
    pub shape: Shape,
    /// What it does.
    pub op: Op,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Dense or convolution, with bias: indices into [`Network::tensors`].
    Linear {
        /// The map.
        map: Linear,
        /// Index of the weight tensor.
        weight: usize,
        /// Index of the bias tensor.
        bias: usize,
    },
    /// Pooling.
    Pool(Pool),
    /// Activation function; `index` counts them, for quantizers.
    Activation {
        /// The function.
        function: Activation,
        /// Its number among the activations.
        index: usize,
    },
    /// A change of shape alone: with the images innermost the numbers stay where they are, and whoever reads this
    /// node reads its input.
    Flatten,
    /// Sum with another value.
    Add {
        /// The other value (numbered as [`Node::input`]).
        other: usize,
    },
}

impl Node {
    /// Whether it reads a value, as its input or as a second one.
    pub(crate) fn reads(&self, value: usize) -> bool {
        self.input == value || self.op.second_input() == Some(value)
    }
}

impl Op {
    /// The value that it reads besides its input.
    pub(crate) fn second_input(&self) -> Option<usize> {
        match self {
            Op::Add { other } => Some(*other),
            Op::Linear { .. } | Op::Pool(_) | Op::Activation { .. } | Op::Flatten => None,
        }
    }
}

/// Where codes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// They are pixels.
    Image,
    /// They are those of an activation, by its index.
    Activation(usize),
}

/// Weights or biases of one layer, as a stretch of the flat parameter buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// `<layer>.weight` or `<layer>.bias`.
    pub name: String,
    /// Where it lies in the flat buffers.
    pub range: Range<usize>,
    /// Output channels; a weight tensor's rows.
    pub channels: usize,
    /// Inputs that each output sums over.
    pub fan_in: usize,
    /// Whether it is a bias.
    pub bias: bool,
    /// Shape as files store it.
    pub dims: Vec<usize>,
}

/// A network: nodes in running order and the tensors that they need.
#[derive(Clone, Debug)]
pub struct Network {
    /// The description that it was built from.
    pub spec: NetworkSpec,
    /// Shape of one input image.
    pub input: Shape,
    /// Nodes, first to last; the last gives the logits.
    pub nodes: Vec<Node>,
    /// Parameter tensors in buffer order.
    pub tensors: Vec<Tensor>,
    /// Activations, in the order of their indices.
    pub activations: Vec<Activation>,
}

impl Network {
    /// Builds a network for images of `input` shape with `classes` outputs.
    ///
    /// # Errors
    /// [`BnnError::Network`] names the layer whose sizes do not fit or are too large, or whose names do not resolve.
    pub fn new(spec: &NetworkSpec, input: Shape, classes: usize) -> Result<Self, BnnError> {
        let refuse = |layer: &str, problem: String| BnnError::Network {
            network: spec.name.clone(),
            layer: layer.to_owned(),
            problem,
        };
        at_most("layers", spec.layers.len() as u128, MAX_LAYERS).map_err(|p| refuse("list", p))?;
        let mut values = len(input);
        at_most("numbers of an image", values, MAX_VALUES).map_err(|p| refuse("input", p))?;
        let mut net = Network {
            spec: spec.clone(),
            input,
            nodes: Vec::with_capacity(spec.layers.len()),
            tensors: Vec::new(),
            activations: Vec::new(),
        };
        let mut seen = std::collections::BTreeMap::<&str, usize>::new();
        for (i, layer) in spec.layers.iter().enumerate() {
            let count = seen.entry(layer.op.word()).and_modify(|n| *n += 1).or_insert(1);
            let name = layer.name.clone().unwrap_or_else(|| format!("{}{count}", layer.op.word()));
            let fail = |problem: String| BnnError::Network { network: spec.name.clone(), layer: name.clone(), problem };
            if net.nodes.iter().any(|n| n.name == name) {
                return Err(fail("two layers have this name; give each its own".into()));
            }
            let source = match &layer.input {
                None => i,
                Some(wanted) => net.find(wanted).map_err(&fail)?,
            };
            let from = net.shape_of(source);
            let (op, shape) = net.build(&layer.op, &name, from, &mut values).map_err(&fail)?;
            net.nodes.push(Node { name, input: net.resolve(source), shape, op });
        }
        let last = net.nodes.last().map(|n| (n.name.clone(), n.shape));
        match last {
            Some((_, shape)) if shape == Shape::flat(classes) => {
                net.pool_first();
                Ok(net)
            }
            Some((layer, shape)) => Err(BnnError::Network {
                network: spec.name.clone(),
                layer,
                problem: format!(
                    "the last layer gives {shape} numbers, the data has {classes} classes; end in a dense layer with out = {classes}"
                ),
            }),
            None => Err(BnnError::Network {
                network: spec.name.clone(),
                layer: "none".into(),
                problem: "there are no layers; write at least one [[layer]]".into(),
            }),
        }
    }

    /// Parameters in all (each has a mean and a standard deviation).
    pub fn parameters(&self) -> usize {
        self.tensors.last().map_or(0, |t| t.range.end)
    }

    /// Outputs of the last layer.
    pub fn classes(&self) -> usize {
        self.nodes.last().map_or(0, |n| n.shape.len())
    }

    /// Multiply-adds of one image under one draw.
    pub fn multiply_adds(&self) -> usize {
        let of = |node: &Node| match &node.op {
            Op::Linear { map, .. } => map.weights() * map.positions(),
            _ => 0,
        };
        self.nodes.iter().map(of).sum()
    }

    /// Shape of a value: 0 is the image, `i + 1` the output of node `i`.
    pub(crate) fn shape_of(&self, value: usize) -> Shape {
        value.checked_sub(1).map_or(self.input, |i| self.nodes[i].shape)
    }

    /// The value that holds the numbers of `value`: itself, or what was flattened into it.
    pub(crate) fn resolve(&self, value: usize) -> usize {
        if self.is_alias(value) { self.nodes[value - 1].input } else { value }
    }

    /// Whether a value only renames another.
    pub(crate) fn is_alias(&self, value: usize) -> bool {
        value > 0 && matches!(self.nodes[value - 1].op, Op::Flatten)
    }

    /// The value that holds the logits.
    pub(crate) fn output(&self) -> usize {
        self.resolve(self.nodes.len())
    }

    /// What the numbers of a value are codes of, where a guide puts activations on grids: pools of codes are codes.
    pub fn codes_of(&self, value: usize) -> Option<Codes> {
        let mut value = value;
        loop {
            let Some(node) = value.checked_sub(1).map(|i| &self.nodes[i]) else { return Some(Codes::Image) };
            match node.op {
                Op::Activation { index, .. } => return Some(Codes::Activation(index)),
                Op::Pool(_) | Op::Flatten => value = node.input,
                Op::Linear { .. } | Op::Add { .. } => return None,
            }
        }
    }

    /// Exchanges an activation and the max-pool that alone reads it. No activation here ever falls, nor does rounding to
    /// a grid, so the largest of the activated is the activated largest: the same values, from a quarter of the work.
    fn pool_first(&mut self) {
        for i in 1..self.nodes.len() {
            let (activated, pooled) = (i, i + 1);
            let (first, second) = (&self.nodes[i - 1], &self.nodes[i]);
            let exchanges = matches!(first.op, Op::Activation { .. })
                && matches!(second.op, Op::Pool(Pool { max: true, .. }))
                && second.input == activated;
            let alone = self.nodes.iter().filter(|node| node.reads(activated)).count() == 1;
            if exchanges && alone {
                self.nodes.swap(i - 1, i);
                self.nodes[i - 1].input = self.nodes[i].input;
                self.nodes[i].input = activated;
                self.nodes[i].shape = self.nodes[i - 1].shape;
                debug_assert!(pooled == self.nodes[i].input + 1);
            }
        }
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let at = self.nodes.iter().position(|n| n.name == name).map(|i| i + 1);
        at.or((name == IMAGE).then_some(0))
            .ok_or_else(|| format!("no earlier layer is named `{name}`; name it, or move this layer down"))
    }

    fn tensor(&mut self, layer: &str, bias: bool, channels: usize, fan_in: usize, dims: Vec<usize>) -> usize {
        let start = self.parameters();
        let len: usize = dims.iter().product();
        let name = format!("{layer}.{}", if bias { "bias" } else { "weight" });
        self.tensors.push(Tensor { name, range: start..start + len, channels, fan_in, bias, dims });
        self.tensors.len() - 1
    }

    fn linear(&mut self, name: &str, map: Linear, dims: Vec<usize>) -> Op {
        let (channels, fan_in) = (map.channels(), map.fan_in());
        let weight = self.tensor(name, false, channels, fan_in, dims);
        let bias = self.tensor(name, true, channels, fan_in, vec![channels]);
        Op::Linear { map, weight, bias }
    }

    /// Refuses a layer of so many parameters whose output, with its padded input, adds so many numbers of an image to
    /// `values`: before anything of it is made.
    fn fits(&self, parameters: u128, more: u128, values: &mut u128) -> Result<(), String> {
        at_most("parameters up to here", parameters.saturating_add(self.parameters() as u128), MAX_PARAMETERS)?;
        *values = values.saturating_add(more);
        at_most("numbers of an image up to here, padding counted", *values, MAX_VALUES)
    }

    fn build(&mut self, op: &OpSpec, name: &str, from: Shape, values: &mut u128) -> Result<(Op, Shape), String> {
        let positive = |key: &str, value: usize| {
            if value == 0 { Err(format!("{key} = 0; it must be at least 1")) } else { Ok(value) }
        };
        Ok(match *op {
            OpSpec::Dense { out } => {
                let (inputs, outputs) = (from.len(), positive("out", out)?);
                self.fits(product(&[inputs.saturating_add(1), outputs]), outputs as u128, values)?;
                let map = Linear::Dense { inputs, outputs };
                (self.linear(name, map, vec![outputs, inputs]), Shape::flat(outputs))
            }
            OpSpec::Conv { out, kernel, stride, padding, groups } => {
                positive("out", out)?;
                positive("groups", groups)?;
                if !from.channels.is_multiple_of(groups) || !out.is_multiple_of(groups) {
                    return Err(format!(
                        "groups = {groups} does not divide its {} input and {out} output channels",
                        from.channels
                    ));
                }
                let size = |side: usize| windows(side.saturating_add(padding.saturating_mul(2)), kernel, stride);
                let output = Shape { channels: out, rows: size(from.rows)?, columns: size(from.columns)? };
                let weights = product(&[out, from.channels / groups, kernel, kernel]).saturating_add(out as u128);
                let padded = if padding > 0 { padded_len(from, padding) } else { 0 };
                self.fits(weights, len(output).saturating_add(padded), values)?;
                let map = Linear::Conv(Conv { input: from, output, kernel, stride, padding, groups });
                let dims = vec![out, from.channels / groups, kernel, kernel];
                (self.linear(name, map, dims), output)
            }
            OpSpec::MaxPool { size, stride } | OpSpec::AveragePool { size, stride } => {
                let stride = stride.unwrap_or(size);
                let (rows, columns) = (windows(from.rows, size, stride)?, windows(from.columns, size, stride)?);
                let output = Shape { channels: from.channels, rows, columns };
                self.fits(0, len(output), values)?;
                let max = matches!(op, OpSpec::MaxPool { .. });
                (Op::Pool(Pool { input: from, output, size, stride, max }), output)
            }
            OpSpec::Activation(function) => {
                function.check()?;
                self.fits(0, len(from), values)?;
                (self.activation(function), from)
            }
            OpSpec::Flatten => (Op::Flatten, Shape::flat(from.len())),
            OpSpec::Add { from: ref other } => {
                let other = self.find(other)?;
                let shape = self.shape_of(other);
                if shape != from {
                    return Err(format!("it would add {from} and {shape}; both must have one shape"));
                }
                self.fits(0, len(from), values)?;
                (Op::Add { other: self.resolve(other) }, from)
            }
        })
    }

    fn activation(&mut self, function: Activation) -> Op {
        self.activations.push(function);
        Op::Activation { function, index: self.activations.len() - 1 }
    }
}

/// Windows of `size` that fit into `side`, `stride` apart.
fn windows(side: usize, size: usize, stride: usize) -> Result<usize, String> {
    if size == 0 || stride == 0 {
        return Err(format!("window {size}, stride {stride}; both must be at least 1"));
    }
    match side.checked_sub(size) {
        Some(room) => Ok(room / stride + 1),
        None => Err(format!("a window of {size} does not fit into {side} (padding counted)")),
    }
}
