//! Every entry of every gradient against central differences, for all layers and all three estimators.
//!
//! Differences of an f32 pass would be mostly rounding noise. So a second, slow and obvious interpreter of the network
//! description works in f64 below: first its logits must equal those of the pass, then its central differences (step
//! 1e-5, rounding near 1e-11) must equal the gradient of the pass. Corners of activations and ties of max-pool are kept
//! away: values are drawn again until every one is [`MARGIN`] off, and a difference across a corner fails the test.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

#[path = "../block/mod.rs"]
mod block;
mod layers;
mod networks;
#[path = "../random/mod.rs"]
mod random;

use qbnn_bnn::internals::nn::activation::Activation;
use qbnn_bnn::internals::nn::network::Op;
use qbnn_bnn::internals::nn::pass::{BLOCK, PassNoise, WeightSample, Workspace};
use qbnn_bnn::internals::nn::pool::Pool;
use qbnn_bnn::internals::noise;
use qbnn_bnn::internals::noise::purpose;
use qbnn_bnn::{LayerSpec, Network, NetworkSpec, OpSpec, Shape};
use qbnn_core::noise::NoiseCounter;
use random::Random;
use std::ops::Range;

/// Of the largest logit, and of the largest entry of a tensor's gradient (or of a hundredth of the largest of all).
const TOLERANCE: f64 = 1e-5;
/// How far values keep from corners and ties.
const MARGIN: f64 = 5e-4;
const STEP: f64 = 1e-5;
const ESTIMATORS: [Estimator; 3] = [Estimator::Drawn, Estimator::Local, Estimator::Flipout];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Estimator {
    Drawn,
    Local,
    Flipout,
}

// The slow interpreter.

/// One layer of the description, with what this file itself works out about it.
struct Layer<'a> {
    op: &'a OpSpec,
    name: Option<&'a str>,
    input: usize,
    other: usize,
    from: Shape,
    shape: Shape,
    weight: Range<usize>,
    bias: Range<usize>,
    noise: Vec<f32>,
}

struct Reference<'a> {
    layers: Vec<Layer<'a>>,
    estimator: Estimator,
    batch: usize,
}

/// What a run of the interpreter gives: the logits, which side of each corner it took, and the nearest corner.
struct Run {
    logits: Vec<f64>,
    branches: Vec<usize>,
    margin: f64,
}

fn windows(side: usize, size: usize, stride: usize, padding: usize) -> usize {
    (side + 2 * padding - size) / stride + 1
}

impl<'a> Reference<'a> {
    fn new(spec: &'a NetworkSpec, image: Shape, batch: usize, estimator: Estimator, source: PassNoise) -> Self {
        let mut layers: Vec<Layer> = Vec::new();
        let mut parameters = 0;
        for (i, layer) in spec.layers.iter().enumerate() {
            let find = |name: &str| layers.iter().position(|l| l.name == Some(name)).unwrap() + 1;
            let shape_of = |value: usize| if value == 0 { image } else { layers[value - 1].shape };
            let input = layer.input.as_deref().map_or(i, find);
            let from = shape_of(input);
            let mut other = 0;
            let mut weights = 0;
            let shape = match &layer.op {
                OpSpec::Dense { out } => {
                    weights = out * from.len();
                    Shape::flat(*out)
                }
                OpSpec::Conv { out, kernel, stride, padding, groups } => {
                    weights = out * from.channels / groups * kernel * kernel;
                    let side = |n| windows(n, *kernel, *stride, *padding);
                    Shape { channels: *out, rows: side(from.rows), columns: side(from.columns) }
                }
                OpSpec::MaxPool { size, stride } | OpSpec::AveragePool { size, stride } => {
                    let side = |n| windows(n, *size, stride.unwrap_or(*size), 0);
                    Shape { rows: side(from.rows), columns: side(from.columns), ..from }
                }
                OpSpec::Flatten => Shape::flat(from.len()),
                OpSpec::Add { from: name } => {
                    other = find(name);
                    from
                }
                _ => from,
            };
            let weight = parameters..parameters + weights;
            let bias = weight.end..weight.end + if weights > 0 { shape.channels } else { 0 };
            parameters = bias.end;
            // A dense layer reads features, whatever their shape was.
            let channels = if matches!(layer.op, OpSpec::Dense { .. }) { from.len() } else { from.channels };
            // Noise belongs to (key, step, block, node), and nothing else.
            let place = |purpose| NoiseCounter {
                purpose,
                tensor: source.block * spec.layers.len() as u32 + i as u32,
                draw: source.step,
            };
            let noise = match estimator {
                Estimator::Local => {
                    let mut eps = vec![0.0; shape.len() * BLOCK];
                    noise::normal(source.key, place(purpose::ACTIVATIONS), &mut eps);
                    block::narrow(&eps, batch)
                }
                Estimator::Flipout => {
                    let mut signs = vec![0.0; (channels + shape.channels) * BLOCK];
                    noise::signs(source.key, place(purpose::SIGNS), &mut signs);
                    block::narrow(&signs, batch)
                }
                Estimator::Drawn => Vec::new(),
            };
            let name = layer.name.as_deref();
            layers.push(Layer { op: &layer.op, name, input, other, from, shape, weight, bias, noise });
        }
        Reference { layers, estimator, batch }
    }

    fn run(&self, image: &[f64], first: &[f64], second: &[f64]) -> Run {
        let mut values = vec![image.to_vec()];
        let mut run = Run { logits: Vec::new(), branches: Vec::new(), margin: f64::INFINITY };
        for layer in &self.layers {
            let x = &values[layer.input];
            let y = match layer.op {
                OpSpec::Dense { .. } | OpSpec::Conv { .. } => self.linear(layer, x, first, second),
                OpSpec::MaxPool { size, stride } => self.pool(layer, *size, *stride, x, Some(&mut run)),
                OpSpec::AveragePool { size, stride } => self.pool(layer, *size, *stride, x, None),
                OpSpec::Activation(Activation::Relu) => run.pieces(x, &[0.0], &[0.0, 1.0]),
                OpSpec::Activation(Activation::LeakyRelu { slope }) => run.pieces(x, &[0.0], &[*slope as f64, 1.0]),
                OpSpec::Activation(Activation::ClippedRelu { max }) => {
                    run.pieces(x, &[0.0, *max as f64], &[0.0, 1.0, 0.0])
                }
                OpSpec::Activation(Activation::Hardtanh) => {
                    let shifted: Vec<f64> = x.iter().map(|x| x + 1.0).collect();
                    run.pieces(&shifted, &[0.0, 2.0], &[0.0, 1.0, 0.0]).iter().map(|y| y - 1.0).collect()
                }
                OpSpec::Activation(Activation::Tanh) => x.iter().map(|x| x.tanh()).collect(),
                OpSpec::Activation(Activation::Sigmoid) => x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
                OpSpec::Flatten => x.clone(),
                OpSpec::Add { .. } => x.iter().zip(&values[layer.other]).map(|(a, b)| a + b).collect(),
            };
            assert_eq!(y.len(), layer.shape.len() * self.batch);
            values.push(y);
        }
        run.logits = values.pop().unwrap();
        run
    }

    /// The linear map and its bias under the estimator.
    fn linear(&self, layer: &Layer, x: &[f64], first: &[f64], second: &[f64]) -> Vec<f64> {
        let mean = self.product(layer, x, first);
        let noise: Vec<f64> = layer.noise.iter().map(|&e| e as f64).collect();
        match self.estimator {
            Estimator::Drawn => mean,
            Estimator::Local => {
                let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
                let variance = self.product(layer, &squares, second);
                mean.iter().zip(variance).zip(noise).map(|((m, v), eps)| m + v.sqrt() * eps).collect()
            }
            Estimator::Flipout => {
                let from = if let OpSpec::Dense { .. } = layer.op { Shape::flat(layer.from.len()) } else { layer.from };
                let sign = |channel: usize, image: usize| noise[channel * self.batch + image];
                let channel = |i: usize, shape: Shape| i / (shape.rows * shape.columns * self.batch);
                let flipped: Vec<f64> =
                    x.iter().enumerate().map(|(i, x)| x * sign(channel(i, from), i % self.batch)).collect();
                let deviation = self.product(layer, &flipped, second);
                let out = |i: usize| sign(from.channels + channel(i, layer.shape), i % self.batch);
                mean.iter().zip(deviation).enumerate().map(|(i, (m, d))| m + d * out(i)).collect()
            }
        }
    }

    fn product(&self, layer: &Layer, x: &[f64], parameters: &[f64]) -> Vec<f64> {
        let (w, bias) = (&parameters[layer.weight.clone()], &parameters[layer.bias.clone()]);
        let (from, to, batch) = (layer.from, layer.shape, self.batch);
        // A dense layer is a convolution of a flat image with a kernel of one pixel.
        let (from, kernel, stride, padding, groups) = match layer.op {
            OpSpec::Conv { kernel, stride, padding, groups, .. } => (from, *kernel, *stride, *padding, *groups),
            _ => (Shape::flat(from.len()), 1, 1, 0, 1),
        };
        let (ins, outs) = (from.channels / groups, to.channels / groups);
        let mut y = vec![0.0; to.len() * batch];
        for o in 0..to.channels {
            for oy in 0..to.rows {
                for ox in 0..to.columns {
                    let y = &mut y[((o * to.rows + oy) * to.columns + ox) * batch..][..batch];
                    y.fill(bias[o]);
                    for i in 0..ins {
                        for ky in 0..kernel {
                            for kx in 0..kernel {
                                let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                                let inside = |at: usize, side: usize| at >= padding && at < side + padding;
                                if !inside(iy, from.rows) || !inside(ix, from.columns) {
                                    continue;
                                }
                                let w = w[((o * ins + i) * kernel + ky) * kernel + kx];
                                let line = (o / outs * ins + i) * from.rows + iy - padding;
                                let x = &x[(line * from.columns + ix - padding) * batch..][..batch];
                                y.iter_mut().zip(x).for_each(|(y, x)| *y += w * x);
                            }
                        }
                    }
                }
            }
        }
        y
    }

    /// The largest of each window, noted in `largest`; without it the mean.
    fn pool(
        &self,
        layer: &Layer,
        size: usize,
        stride: Option<usize>,
        x: &[f64],
        largest: Option<&mut Run>,
    ) -> Vec<f64> {
        let (from, to, batch, stride) = (layer.from, layer.shape, self.batch, stride.unwrap_or(size));
        let mut largest = largest;
        let mut y = vec![0.0; to.len() * batch];
        for (at, y) in y.iter_mut().enumerate() {
            let (n, column, line) = (at % batch, at / batch % to.columns, at / batch / to.columns);
            let (row, channel) = (line % to.rows, line / to.rows);
            let mut window = Vec::new();
            for ky in 0..size {
                for kx in 0..size {
                    let line = channel * from.rows + row * stride + ky;
                    window.push(x[(line * from.columns + column * stride + kx) * batch + n]);
                }
            }
            *y = match &mut largest {
                None => window.iter().sum::<f64>() / window.len() as f64,
                Some(run) => {
                    let best = window.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    run.branches.push(window.iter().position(|&v| v == best).unwrap());
                    // Exact ties come from clipped values alone, which do not move: any of them will do.
                    let gaps = window.iter().map(|v| best - v).filter(|&gap| gap > 0.0);
                    run.margin = gaps.fold(run.margin, f64::min);
                    best
                }
            };
        }
        y
    }
}

impl Run {
    /// The continuous piecewise linear function through 0 with these corners and the slopes between them.
    fn pieces(&mut self, x: &[f64], corners: &[f64], slopes: &[f64]) -> Vec<f64> {
        assert_eq!(corners[0], 0.0);
        let mut y = Vec::new();
        for &x in x {
            let piece = corners.iter().filter(|&&c| x > c).count();
            self.margin = corners.iter().fold(self.margin, |m, c| m.min((x - c).abs()));
            self.branches.push(piece);
            y.push(match piece {
                0 | 1 => slopes[piece] * x,
                _ => slopes[1] * corners[1] + slopes[2] * (x - corners[1]),
            });
        }
        y
    }
}

// The comparison.

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v as f64).collect()
}

fn close(about: &str, what: &str, got: &[f32], want: &[f64], least: f64) {
    assert_eq!(got.len(), want.len(), "{about}: {what}");
    let scale = want.iter().fold(least, |m, v| m.max(v.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        assert!((g as f64 - w).abs() <= TOLERANCE * scale, "{about}: {what}[{i}] is {g}, wanted {w} (largest {scale})");
    }
}

/// Draws parameters and images, compares logits and then every entry of the gradient.
/// `workspace` comes from the networks before, with what they left in it.
fn check(spec: &NetworkSpec, image: Shape, batch: usize, estimator: Estimator, seed: u64, workspace: &mut Workspace) {
    let about = format!("seed {seed}, {estimator:?}, batch {batch}, image {image}, {:?}", spec.layers);
    let random = &mut Random(seed ^ 0xA5A5_0000);
    let source = PassNoise { key: [seed as u32, 7], step: seed as u32 % 5, block: seed as u32 % 3 };
    let reference = Reference::new(spec, image, batch, estimator, source);
    let net = Network::new(spec, image, reference.layers.last().unwrap().shape.len()).unwrap();
    for (node, layer) in net.nodes.iter().zip(&reference.layers) {
        // (An activation and the max-pool after it run in the other order.)
        let exchanged = matches!(node.op, Op::Pool(_)) && !matches!(layer.op, OpSpec::MaxPool { .. });
        assert!(node.shape == layer.shape || exchanged, "{about}: shape of {}", node.name);
    }
    assert_eq!(net.parameters(), reference.layers.iter().map(|l| l.bias.end).max().unwrap(), "{about}");

    for attempt in 0.. {
        assert!(attempt < 200, "{about}: no values keep off the corners");
        let x = random.values(image.len() * batch);
        let mut first = vec![0.0; net.parameters()];
        let mut second = vec![0.0; if estimator == Estimator::Drawn { 0 } else { net.parameters() }];
        for tensor in &net.tensors {
            let scale = 1.7 / (tensor.fan_in as f32).sqrt();
            for i in tensor.range.clone() {
                first[i] = random.value() * if tensor.bias { 0.5 } else { scale };
                match estimator {
                    Estimator::Drawn => {}
                    Estimator::Local => second[i] = (0.55 + 0.45 * random.value()) / tensor.fan_in as f32,
                    Estimator::Flipout => second[i] = 0.6 * random.value() * scale,
                }
            }
        }
        let (x64, mut first64, mut second64) = (wide(&x), wide(&first), wide(&second));
        let here = reference.run(&x64, &first64, &second64);
        if here.margin < MARGIN {
            continue;
        }

        let weights = match estimator {
            Estimator::Drawn => WeightSample::Drawn(&first),
            Estimator::Local => WeightSample::Local { mean: &first, variance: &second, noise: source },
            Estimator::Flipout => WeightSample::Flipout { mean: &first, deviation: &second, noise: source },
        };
        close(&about, "logits", &block::logits(workspace, &net, weights, &x, batch), &here.logits, 1e-3);

        let upstream = random.values(here.logits.len());
        let gradient = block::gradient(workspace, &net, weights, &upstream, batch);
        assert!(gradient.activations.is_empty() && gradient.second.len() == second.len());

        let loss = |first: &[f64], second: &[f64]| {
            let run = reference.run(&x64, first, second);
            assert_eq!(run.branches, here.branches, "{about}: a difference across a corner");
            run.logits.iter().zip(&upstream).map(|(l, &u)| l * u as f64).sum::<f64>()
        };
        let mut differences = [vec![0.0; first.len()], vec![0.0; second.len()]];
        for i in 0..first.len() {
            let middle = first64[i];
            let [up, down] = [STEP, -STEP].map(|step| {
                first64[i] = middle + step;
                loss(&first64, &second64)
            });
            first64[i] = middle;
            differences[0][i] = (up - down) / (2.0 * STEP);
        }
        for i in 0..second.len() {
            let middle = second64[i];
            let [up, down] = [STEP, -STEP].map(|step| {
                second64[i] = middle + step;
                loss(&first64, &second64)
            });
            second64[i] = middle;
            differences[1][i] = (up - down) / (2.0 * STEP);
        }
        // Where the terms of a tensor's every entry cancel, it is known as well as its terms and no better: they are
        // about as large as the other tensors' entries.
        let all = differences.iter().flatten();
        let least = all.fold(1e-3f64, |m, v| m.max(v.abs() * 0.01));
        for tensor in &net.tensors {
            let range = tensor.range.clone();
            close(
                &about,
                &format!("gradient of {}", tensor.name),
                &gradient.first[range.clone()],
                &differences[0][range.clone()],
                least,
            );
            if weights.second() {
                let what = format!("second gradient of {}", tensor.name);
                close(&about, &what, &gradient.second[range.clone()], &differences[1][range], least);
            }
        }
        return;
    }
}

fn any_image(random: &mut Random, smallest: usize) -> Shape {
    let mut side = || random.range(smallest, smallest + 3);
    let (rows, columns) = (side(), side());
    Shape { channels: random.range(1, 3), rows, columns }
}
