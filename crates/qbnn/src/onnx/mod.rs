//! A network as a file of ONNX (operators of version 17), for every program that runs such files: the network of the means, or
//! S drawn networks side by side.
//!
//! | | name | shape | content |
//! |---|---|---|---|
//! | input | `pixels` | `[N, channels, rows, columns]` | unsigned bytes; that inputs are (pixel / 255 - mean) / std is in the graph |
//! | output | `probabilities` | `[N, classes]` | of the means; of drawn networks their mean |
//! | output, of draws | `draws` | `[S, N, classes]` | of each drawn network |
//! | output, of draws | `total`, `aleatoric`, `epistemic` | `[N]` | uncertainties in nats |
//!
//! Drawn networks are those of `qbnn predict` with the same seed in float. They run side by side: convolutions as S groups of
//! channels, dense layers as S products at once, so that the graph has as many nodes whatever S is. Activations on grids are
//! written as products, clips and roundings; a file of a JQ network therefore is its simulation in float.

mod graph;
mod protobuf;

use crate::error::{Error, Result};
use graph::Attribute::{Float, Number, Numbers};
use graph::{Graph, Size, Type};
use qbnn_bnn::internals::nn::activation::Activation;
use qbnn_bnn::internals::nn::linear::{Conv, Linear};
use qbnn_bnn::internals::nn::network::{Codes, Op};
use qbnn_bnn::internals::nn::pool::Pool;
use qbnn_bnn::{Checkpoint, Network};
use qbnn_core::Shape;

/// Most bytes of a file: the format counts them in 31 bits.
const LONGEST: u64 = (1 << 31) - (1 << 20);
/// The least probability whose logarithm is taken; the smallest normal number of single precision.
const LEAST: f32 = f32::MIN_POSITIVE;

/// Which networks a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Networks {
    /// That of the means.
    Means,
    /// Drawn ones.
    Draws {
        /// How many.
        count: usize,
        /// Of the noise.
        seed: u64,
    },
}

/// The bytes of the file of a checkpoint. `name` is what the model is called.
///
/// # Errors
/// [`Error::Settings`] of no draws, or of so many that no file holds them.
pub fn to_bytes(checkpoint: &Checkpoint, networks: Networks, name: &str) -> Result<Vec<u8>> {
    let net = checkpoint.net();
    let count = match networks {
        Networks::Means => 1,
        Networks::Draws { count, .. } => count,
    };
    let bytes = 4 * count as u64 * net.parameters() as u64;
    if count == 0 || bytes > LONGEST {
        let most = LONGEST / (4 * net.parameters().max(1) as u64);
        let problem = format!("{count} found; an ONNX file holds 1 to {most} draws of this network");
        return Err(Error::settings("--draws", problem));
    }
    let weights = match networks {
        Networks::Means => vec![checkpoint.stored_means()],
        Networks::Draws { count, seed } => (0..count).map(|draw| checkpoint.drawn_weights(seed, draw as u32)).collect(),
    };
    let mut writer = Writer { checkpoint, net, weights, graph: Graph::default(), values: Vec::new() };
    writer.network();
    let text = match networks {
        Networks::Means => "The network of the means; it has no epistemic uncertainty.".to_owned(),
        Networks::Draws { count, seed } => {
            format!("{count} networks drawn with seed {seed}, and what they say together.")
        }
    };
    let mut properties = vec![("qbnn.model", name.to_owned())];
    if let Networks::Draws { count, seed } = networks {
        properties.push(("qbnn.draws", count.to_string()));
        properties.push(("qbnn.seed", seed.to_string()));
        writer.draws();
    } else {
        writer.means();
    }
    Ok(writer.graph.into_model(name, &text, &properties))
}

/// A value of the network in the graph.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    form: Form,
    shape: Shape,
}

/// How the numbers of all drawn networks lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// The image: `[N, channels, rows, columns]`, one for all.
    Shared,
    /// `[N, S channels, rows, columns]`.
    Planes,
    /// `[S, N, numbers]`.
    Vectors,
}

struct Writer<'a> {
    checkpoint: &'a Checkpoint,
    net: &'a Network,
    /// Of each drawn network.
    weights: Vec<Vec<f32>>,
    graph: Graph,
    /// 0 is the image, `i + 1` the output of node `i`.
    values: Vec<Value>,
}

impl Writer<'_> {
    /// The whole way from pixels to logits.
    fn network(&mut self) {
        let Shape { channels, rows, columns } = self.net.input;
        let sizes = [Size::Named("N"), Size::Known(channels), Size::Known(rows), Size::Known(columns)];
        self.graph.input("pixels", Type::Byte, &sizes, "unsigned bytes, 0 to 255, channels first");
        let pixels = self.graph.node("Cast", &["pixels"], &[Number("to", Type::Float as i64)]);
        let most = self.graph.float(255.0);
        let shares = self.graph.node("Div", &[&pixels, &most], &[]);
        let [mean, std] = [self.checkpoint.normalisation.mean, self.checkpoint.normalisation.std];
        let (mean, std) = (self.graph.float(mean), self.graph.float(std));
        let centred = self.graph.node("Sub", &[&shares, &mean], &[]);
        let name = self.graph.node("Div", &[&centred, &std], &[]);
        self.values.push(Value { name, form: Form::Shared, shape: self.net.input });
        let net = self.net;
        for node in &net.nodes {
            let from = self.values[node.input].clone();
            let (name, form) = match &node.op {
                Op::Linear { map: Linear::Conv(conv), weight, bias } => {
                    (self.convolution(&from, conv, *weight, *bias, &node.name), Form::Planes)
                }
                Op::Linear { map: Linear::Dense { inputs, outputs }, weight, bias } => {
                    (self.dense(&from, (*inputs, *outputs), *weight, *bias, &node.name), Form::Vectors)
                }
                Op::Pool(pool) => {
                    let from = self.planes(&from);
                    (self.pool(&from, pool, net.codes_of(node.input)), from.form)
                }
                Op::Activation { function, index } => (self.activation(&from.name, *function, *index), from.form),
                Op::Flatten => (from.name.clone(), from.form),
                Op::Add { other } => {
                    let (first, second) = (self.planes(&from), self.planes(&self.values[*other].clone()));
                    (self.graph.node("Add", &[&first.name, &second.name], &[]), first.form)
                }
            };
            // A flattened value stays as it is until a dense layer reads it.
            let shape = if matches!(node.op, Op::Flatten) { from.shape } else { node.shape };
            self.values.push(Value { name, form, shape });
        }
    }

    fn draws_count(&self) -> i64 {
        self.weights.len() as i64
    }

    /// The parameters of a tensor, of one drawn network after the other.
    fn stacked(&self, tensor: usize) -> Vec<f32> {
        let range = self.net.tensors[tensor].range.clone();
        self.weights.iter().flat_map(|weights| weights[range.clone()].iter().copied()).collect()
    }

    /// A value as planes of every drawn network; the image is repeated.
    fn planes(&mut self, value: &Value) -> Value {
        let Shape { channels, rows, columns } = value.shape;
        let count = self.draws_count();
        let name = match value.form {
            Form::Planes => value.name.clone(),
            Form::Shared if count == 1 => value.name.clone(),
            Form::Shared => {
                let repeats = self.graph.whole(&[1, count, 1, 1]);
                self.graph.node("Tile", &[&value.name, &repeats], &[])
            }
            Form::Vectors => {
                let turned = self.graph.node("Transpose", &[&value.name], &[Numbers("perm", &[1, 0, 2])]);
                let sizes = self.graph.whole(&[0, count * channels as i64, rows as i64, columns as i64]);
                self.graph.node("Reshape", &[&turned, &sizes], &[])
            }
        };
        Value { name, form: Form::Planes, shape: value.shape }
    }

    /// A value as vectors of every drawn network; the image is one for all.
    fn vectors(&mut self, value: &Value) -> String {
        let numbers = value.shape.len() as i64;
        match value.form {
            Form::Vectors => value.name.clone(),
            Form::Shared => {
                let sizes = self.graph.whole(&[1, -1, numbers]);
                self.graph.node("Reshape", &[&value.name, &sizes], &[])
            }
            Form::Planes => {
                let sizes = self.graph.whole(&[0, self.weights.len() as i64, numbers]);
                let parts = self.graph.node("Reshape", &[&value.name, &sizes], &[]);
                self.graph.node("Transpose", &[&parts], &[Numbers("perm", &[1, 0, 2])])
            }
        }
    }

    fn convolution(&mut self, from: &Value, conv: &Conv, weight: usize, bias: usize, layer: &str) -> String {
        let count = self.weights.len();
        // One image is read by all at once, unless its channels are in groups.
        let is_shared = from.form == Form::Shared && conv.groups == 1;
        let from = if is_shared { from.clone() } else { self.planes(from) };
        let groups = if is_shared { 1 } else { count * conv.groups };
        let outputs = count * conv.output.channels;
        let (weights, biases) = (self.stacked(weight), self.stacked(bias));
        let shape = [outputs, conv.input.channels / conv.groups, conv.kernel, conv.kernel];
        let weights = self.graph.floats(&format!("{layer}.weight"), &shape, &weights);
        let biases = self.graph.floats(&format!("{layer}.bias"), &[outputs], &biases);
        let (kernel, stride, padding) = (conv.kernel as i64, conv.stride as i64, conv.padding as i64);
        self.graph.node(
            "Conv",
            &[&from.name, &weights, &biases],
            &[
                Number("group", groups as i64),
                Numbers("kernel_shape", &[kernel, kernel]),
                Numbers("pads", &[padding; 4]),
                Numbers("strides", &[stride, stride]),
            ],
        )
    }

    fn dense(&mut self, from: &Value, sizes: (usize, usize), weight: usize, bias: usize, layer: &str) -> String {
        let ((inputs, outputs), count) = (sizes, self.weights.len());
        let from = self.vectors(from);
        let rows = self.stacked(weight);
        // `[out][in]` becomes `[in][out]`, as a product wants it.
        let column = |draw: usize, i: usize| (0..outputs).map(move |o| (draw * outputs + o) * inputs + i);
        let turned = (0..count).flat_map(|draw| (0..inputs).flat_map(move |i| column(draw, i)));
        let weights: Vec<f32> = turned.map(|at| rows[at]).collect();
        let weights = self.graph.floats(&format!("{layer}.weight"), &[count, inputs, outputs], &weights);
        let biases = self.stacked(bias);
        let biases = self.graph.floats(&format!("{layer}.bias"), &[count, 1, outputs], &biases);
        let product = self.graph.node("MatMul", &[&from, &weights], &[]);
        self.graph.node("Add", &[&product, &biases], &[])
    }

    fn pool(&mut self, from: &Value, pool: &Pool, codes: Option<Codes>) -> String {
        let (size, stride) = (pool.size as i64, pool.stride as i64);
        let sizes = [Numbers("kernel_shape", &[size, size]), Numbers("strides", &[stride, stride])];
        if pool.max {
            return self.graph.node("MaxPool", &[&from.name], &sizes);
        }
        let mean = self.graph.node("AveragePool", &[&from.name], &sizes);
        let grids = self.checkpoint.guide().activation_grids(self.checkpoint.normalisation);
        let grid = codes.and_then(|codes| grids.map(|grids| grids.average_grid(codes)));
        let Some((inverse, zero)) = grid else { return mean };
        // As `QuantizedActivations::average` rounds.
        let window = (pool.size * pool.size) as f32;
        let inverse_of = self.graph.float(inverse);
        let up = self.graph.float(zero + 0.5 + 0.25 / window);
        let (zero, step) = (self.graph.float(zero), self.graph.float(1.0 / inverse));
        let scaled = self.graph.node("Mul", &[&mean, &inverse_of], &[]);
        let above = self.graph.node("Add", &[&scaled, &up], &[]);
        let codes = self.graph.node("Floor", &[&above], &[]);
        let codes = self.graph.node("Sub", &[&codes, &zero], &[]);
        self.graph.node("Mul", &[&codes, &step], &[])
    }

    fn activation(&mut self, from: &str, function: Activation, index: usize) -> String {
        let value = match function {
            Activation::Relu => self.graph.node("Relu", &[from], &[]),
            Activation::LeakyRelu { slope } => self.graph.node("LeakyRelu", &[from], &[Float("alpha", slope)]),
            Activation::ClippedRelu { max } => self.clip(from, 0.0, max),
            Activation::Hardtanh => self.clip(from, -1.0, 1.0),
            Activation::Tanh => self.graph.node("Tanh", &[from], &[]),
            Activation::Sigmoid => self.graph.node("Sigmoid", &[from], &[]),
        };
        let grids = self.checkpoint.guide().activation_grids(self.checkpoint.normalisation);
        let Some((scale, [least, most])) = grids.map(|grids| grids.grid(index, function)) else { return value };
        let (inverse, scale) = (self.graph.float(1.0 / scale), self.graph.float(scale));
        let scaled = self.graph.node("Mul", &[&value, &inverse], &[]);
        let clipped = self.clip(&scaled, least, most);
        let codes = self.graph.node("Round", &[&clipped], &[]);
        self.graph.node("Mul", &[&codes, &scale], &[])
    }

    fn clip(&mut self, from: &str, least: f32, most: f32) -> String {
        let (least, most) = (self.graph.float(least), self.graph.float(most));
        self.graph.node("Clip", &[from, &least, &most], &[])
    }

    /// Probabilities of every drawn network, `[S, N, classes]`.
    fn probabilities(&mut self, name: Option<&str>) -> String {
        let logits = self.values[self.values.len() - 1].clone();
        let logits = self.vectors(&logits);
        let axis = [Number("axis", -1)];
        match name {
            Some(name) => {
                self.graph.named("Softmax", &[&logits], &axis, name);
                name.to_owned()
            }
            None => self.graph.node("Softmax", &[&logits], &axis),
        }
    }

    fn means(&mut self) {
        let each = self.probabilities(None);
        let axes = self.graph.whole(&[0]);
        self.graph.named("Squeeze", &[&each, &axes], &[], "probabilities");
        let sizes = [Size::Named("N"), Size::Known(self.net.classes())];
        self.graph.output("probabilities", Type::Float, &sizes, "of the network of the means");
    }

    fn draws(&mut self) {
        let each = self.probabilities(Some("draws"));
        let over_draws = [Numbers("axes", &[0]), Number("keepdims", 0)];
        self.graph.named("ReduceMean", &[&each], &over_draws, "probabilities");
        let least = self.graph.float(LEAST);
        let total = self.entropy("probabilities", &least);
        self.graph.named("Neg", &[&total], &[], "total");
        let of_each = self.entropy(&each, &least);
        let mean = self.graph.node("ReduceMean", &[&of_each], &over_draws);
        self.graph.named("Neg", &[&mean], &[], "aleatoric");
        self.graph.named("Sub", &["total", "aleatoric"], &[], "epistemic");
        let (draws, classes) = (Size::Known(self.weights.len()), Size::Known(self.net.classes()));
        let n = Size::Named("N");
        self.graph.output("probabilities", Type::Float, &[n, classes], "mean over the drawn networks");
        self.graph.output("draws", Type::Float, &[draws, n, classes], "of each drawn network");
        for (name, text) in [
            ("total", "entropy of the mean, in nats"),
            ("aleatoric", "mean of the entropies, in nats"),
            ("epistemic", "their difference: mutual information, in nats"),
        ] {
            self.graph.output(name, Type::Float, &[n], text);
        }
    }

    /// The sum over classes of p ln p.
    fn entropy(&mut self, of: &str, least: &str) -> String {
        let above = self.graph.node("Max", &[of, least], &[]);
        let logarithms = self.graph.node("Log", &[&above], &[]);
        let terms = self.graph.node("Mul", &[of, &logarithms], &[]);
        let axes = self.graph.whole(&[-1]);
        self.graph.node("ReduceSum", &[&terms, &axes], &[Number("keepdims", 0)])
    }
}
