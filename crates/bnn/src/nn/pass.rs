//! One pass of a block of images through a network: forward, and backward to the parameters.
//!
//! How a linear layer meets its random weights is the gradient *estimator*'s choice, handed in as [`WeightSample`]; how an
//! activation is rounded is the *guide*'s choice, handed in as [`ActivationQuantizer`]. The layers know of neither.

use super::activation::Activation;
use super::buffer::Buffer;
use super::kernel::{RUN, runs, runs_mut};
use super::linear::{Linear, transpose};
use super::network::{Codes, Network, Op};
use crate::math::{add, vectorized};
use crate::noise::{self, purpose};
use qbnn_core::noise::NoiseCounter;

/// Images that one pass carries: fixed, so that sums are taken in one order whatever the number of threads. Where there
/// are fewer, the columns past them are computed and ignored.
pub const BLOCK: usize = RUN;

/// Where the noise of a pass comes from.
#[derive(Clone, Copy, Debug)]
pub struct PassNoise {
    /// Philox key.
    pub key: [u32; 2],
    /// Training step.
    pub step: u32,
    /// Number of the block within the batch.
    pub block: u32,
}

/// The weights of a pass, flat over all tensors, as the estimator sees them.
#[derive(Clone, Copy)]
pub enum WeightSample<'a> {
    /// One drawn network for every image of the batch.
    Drawn(&'a [f32]),
    /// Local reparameterization (Kingma, Salimans, Welling 2015, eq. 6): each *activation* is drawn from the Gaussian
    /// that the posterior implies, N(x·mu, x²·sigma²).
    Local {
        /// Means.
        mean: &'a [f32],
        /// Variances.
        variance: &'a [f32],
        /// Noise of this pass.
        noise: PassNoise,
    },
    /// Flipout (Wen et al. 2018, eq. 4): one drawn deviation, decorrelated between images by random signs on the
    /// channels of input and output.
    Flipout {
        /// Means.
        mean: &'a [f32],
        /// Drawn deviations sigma * eps.
        deviation: &'a [f32],
        /// Noise of this pass.
        noise: PassNoise,
    },
}

impl WeightSample<'_> {
    /// Whether the gradient has a second part (of the variances or of the deviations).
    pub fn second(&self) -> bool {
        !matches!(self, WeightSample::Drawn(_))
    }
}

/// What becomes of the activations' values beside their functions: nothing, or rounding to grids, their means included.
pub trait ActivationQuantizer: Sync {
    /// Its parameters, over all activations.
    fn parameters(&self) -> usize {
        0
    }
    /// `y` of `x` at the activation `index`.
    fn forward(&self, index: usize, function: Activation, x: &[f32], y: &mut [f32]);
    /// Rounds means of `window` values each, where these are codes. Its gradient is straight through: that of the mean.
    fn average(&self, _codes: Codes, _window: usize, _means: &mut [f32]) {}
    /// Overwrites `dx`; adds to the gradient of the parameters.
    fn backward(&self, index: usize, function: Activation, x: &[f32], dy: &[f32], dx: &mut [f32], d_params: &mut [f32]);
}

/// Activations in float.
pub struct FloatActivations;

impl ActivationQuantizer for FloatActivations {
    fn forward(&self, _: usize, function: Activation, x: &[f32], y: &mut [f32]) {
        function.forward(x, y);
    }
    fn backward(&self, _: usize, function: Activation, x: &[f32], dy: &[f32], dx: &mut [f32], _: &mut [f32]) {
        function.backward(x, dy, dx);
    }
}

/// Gradients of one block, or of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradient {
    /// Of the drawn weights (or of the means).
    pub first: Vec<f32>,
    /// Of the variances (local) or deviations (flipout); empty otherwise.
    pub second: Vec<f32>,
    /// Of the parameters of the activations' quantizer.
    pub activations: Vec<f32>,
}

impl Gradient {
    /// Makes the lengths right. Only `activations` is zeroed: a pass overwrites the rest.
    pub fn reset(&mut self, parameters: usize, second: bool, activations: usize) {
        self.first.resize(parameters, 0.0);
        self.second.resize(if second { parameters } else { 0 }, 0.0);
        self.activations.clear();
        self.activations.resize(activations, 0.0);
    }
}

/// Where a block's images go.
pub struct Input<'a> {
    /// `[pixel][image]` of [`BLOCK`] images.
    pub input: &'a mut [f32],
    /// Where the network begins with a dense layer: the same as its weight gradient wants it, as [`transpose`] would make
    /// it.
    /// To be filled before a backward pass.
    pub transposed: Option<&'a mut [f32]>,
}

/// The dense layer that reads the image, where the network begins with one.
fn first_dense(net: &Network) -> Option<usize> {
    net.nodes.iter().position(|n| n.input == 0 && matches!(n.op, Op::Linear { map: Linear::Dense { .. }, .. }))
}

/// Memory of a pass: every value and every gradient of a block, and the noise that the estimator used.
#[derive(Default)]
pub struct Workspace {
    values: Vec<Buffer>,
    grads: Vec<Buffer>,
    nodes: Vec<NodeScratch>,
    /// Gradients on their way to a value that already has some.
    spare: Buffer,
}

/// What a linear node keeps from its forward pass for its backward one.
#[derive(Default)]
struct NodeScratch {
    /// Inputs as the weight gradients read them: padded (convolution) or transposed (dense), of the first and the second
    /// product.
    inputs: [Buffer; 2],
    /// Gradient of the second product (flipout), or noise and then that (local).
    second: Buffer,
    /// Standard deviations (local), or signs (flipout).
    side: Buffer,
    /// Input of the second product: squares (local), or the input with its signs (flipout).
    twin: Buffer,
}

impl Workspace {
    /// Makes room and returns the input, to be filled.
    pub fn input(&mut self, net: &Network) -> Input<'_> {
        let count = net.nodes.len() + 1;
        self.values.resize_with(count, Buffer::default);
        self.grads.resize_with(count, Buffer::default);
        self.nodes.resize_with(net.nodes.len(), NodeScratch::default);
        for (i, value) in self.values.iter_mut().enumerate() {
            value.resize(if net.is_alias(i) { 0 } else { net.shape_of(i).len() * BLOCK });
        }
        let transposed = first_dense(net).map(|node| {
            let transposed = &mut self.nodes[node].inputs[0];
            transposed.resize(net.input.len().next_multiple_of(RUN) * RUN);
            &mut transposed[..]
        });
        Input { input: &mut self.values[0], transposed }
    }

    /// Logits of the last forward pass, `[class][image]`.
    pub fn logits(&self, net: &Network) -> &[f32] {
        &self.values[net.output()]
    }

    /// The output of a node in the last forward pass, `[feature][image]`.
    pub fn value(&self, net: &Network, node: usize) -> &[f32] {
        &self.values[net.resolve(node + 1)]
    }

    /// Runs the network forward on the input.
    pub fn forward(&mut self, net: &Network, weights: WeightSample<'_>, activations: &dyn ActivationQuantizer) {
        for (i, node) in net.nodes.iter().enumerate() {
            let (before, rest) = self.values.split_at_mut(i + 1);
            let (x, y) = (&before[node.input][..], &mut rest[0][..]);
            match &node.op {
                Op::Linear { map, weight, bias } => {
                    let (w, b) = (net.tensors[*weight].range.clone(), net.tensors[*bias].range.clone());
                    let NodeScratch { inputs: [input, input2], second, side, twin } = &mut self.nodes[i];
                    match weights {
                        WeightSample::Drawn(all) => map.forward(&all[w], Some(&all[b]), x, y, input),
                        WeightSample::Local { mean, variance, noise } => {
                            map.forward(&mean[w.clone()], Some(&mean[b.clone()]), x, y, input);
                            twin.resize(x.len());
                            side.resize(y.len());
                            second.resize(y.len());
                            square(x, twin);
                            map.forward(&variance[w], Some(&variance[b]), twin, side, input2);
                            noise::normal(noise.key, place(net, i, purpose::ACTIVATIONS, noise), second);
                            add_noise(y, side, second);
                        }
                        WeightSample::Flipout { mean, deviation, noise } => {
                            let channels = map.input_channels();
                            twin.resize(x.len());
                            side.resize((channels + map.channels()) * BLOCK);
                            second.resize(y.len());
                            noise::signs(noise.key, place(net, i, purpose::SIGNS, noise), side);
                            let (signs_in, signs_out) = side.split_at(channels * BLOCK);
                            twin.copy_from_slice(x);
                            flip(twin, signs_in);
                            map.forward(&deviation[w.clone()], Some(&deviation[b.clone()]), twin, second, input2);
                            flip(second, signs_out);
                            map.forward(&mean[w], Some(&mean[b]), x, y, input);
                            add(y, second);
                        }
                    }
                }
                Op::Pool(pool) => {
                    pool.forward(x, y, BLOCK);
                    if let Some(codes) = net.codes_of(node.input).filter(|_| !pool.max) {
                        activations.average(codes, pool.size * pool.size, y);
                    }
                }
                Op::Activation { function, index } => activations.forward(*index, *function, x, y),
                Op::Flatten => {}
                Op::Add { other } => {
                    y.copy_from_slice(x);
                    add(y, &before[*other]);
                }
            }
        }
    }

    /// Of a dense node after [`Workspace::backward`]: the gradient of its (`second`) product, and that product's input,
    /// transposed.
    pub(super) fn product(&self, node: usize, second: bool) -> (&[f32], &[f32]) {
        let memory = &self.nodes[node];
        let dy = if second { &memory.second } else { &self.grads[node + 1] };
        (dy, &memory.inputs[usize::from(second)])
    }

    /// Runs the network backward from the logits' gradient (`[class][image]`). Writes the gradients of convolutions and
    /// biases into `gradient`, adds those of the activations' quantizer; those of the dense layers' weights are left to
    /// [`batch_gradient`](super::batch::batch_gradient), which takes them over all blocks of a batch. Once per forward pass: under local
    /// reparameterization and flipout it works on what that left behind.
    pub fn backward(
        &mut self,
        net: &Network,
        weights: WeightSample<'_>,
        activations: &dyn ActivationQuantizer,
        logits: &[f32],
        gradient: &mut Gradient,
    ) {
        let first_dense = first_dense(net);
        let mut written = vec![false; self.grads.len()];
        for (i, grad) in self.grads.iter_mut().enumerate().skip(1) {
            grad.resize(self.values[i].len());
        }
        self.grads[net.output()].copy_from_slice(logits);
        written[net.output()] = true;
        for (i, node) in net.nodes.iter().enumerate().rev() {
            let (before, rest) = self.grads.split_at_mut(i + 1);
            let dy = &rest[0][..];
            let x = &self.values[node.input][..];
            // Nothing wants the gradient of the image: its buffer stays empty.
            let wanted = node.input > 0;
            let again = std::mem::replace(&mut written[node.input], true);
            let dx = &mut before[node.input];
            match &node.op {
                Op::Linear { map, weight, bias } => {
                    let (w, b) = (&net.tensors[*weight].range, &net.tensors[*bias].range);
                    let NodeScratch { inputs: [input, input2], second, side, twin } = &mut self.nodes[i];
                    let means = match weights {
                        WeightSample::Drawn(all) => all,
                        WeightSample::Local { mean, .. } | WeightSample::Flipout { mean, .. } => mean,
                    };
                    if first_dense != Some(i) {
                        weight_gradient(map, dy, x, input, &mut gradient.first[w.clone()]);
                    }
                    sum_bias(dy, &mut gradient.first[b.clone()]);
                    if wanted {
                        map.backward_input(&means[w.clone()], dy, dx, again);
                    }
                    match weights {
                        WeightSample::Drawn(_) => {}
                        WeightSample::Local { variance, .. } => {
                            noise_gradient(second, side, dy);
                            weight_gradient(map, second, twin, input2, &mut gradient.second[w.clone()]);
                            sum_bias(second, &mut gradient.second[b.clone()]);
                            if wanted {
                                map.backward_input(&variance[w.clone()], second, twin, false);
                                dx.iter_mut().zip(&**twin).zip(x).for_each(|((d, s), x)| *d += 2.0 * x * *s);
                            }
                        }
                        WeightSample::Flipout { deviation, .. } => {
                            let (signs_in, signs_out) = side.split_at(map.input_channels() * BLOCK);
                            second.copy_from_slice(dy);
                            flip(second, signs_out);
                            weight_gradient(map, second, twin, input2, &mut gradient.second[w.clone()]);
                            sum_bias(second, &mut gradient.second[b.clone()]);
                            if wanted {
                                map.backward_input(&deviation[w.clone()], second, twin, false);
                                flip(twin, signs_in);
                                add(dx, twin);
                            }
                        }
                    }
                }
                Op::Flatten => {}
                Op::Add { other } => {
                    accumulate(dx, dy, again);
                    let again = std::mem::replace(&mut written[*other], true);
                    accumulate(&mut before[*other], dy, again);
                }
                Op::Pool(_) if !wanted => {}
                Op::Pool(_) | Op::Activation { .. } => {
                    let into = if again || !wanted {
                        self.spare.resize(x.len());
                        &mut self.spare
                    } else {
                        &mut *dx
                    };
                    match &node.op {
                        Op::Pool(pool) => pool.backward(x, &self.values[i + 1], dy, into, BLOCK),
                        Op::Activation { function, index } => {
                            activations.backward(*index, *function, x, dy, into, &mut gradient.activations);
                        }
                        _ => {}
                    }
                    if again && wanted {
                        add(dx, &self.spare);
                    }
                }
            }
        }
    }
}

/// Hands a gradient on to a value that already has one (`again`) or not; the image, whose buffer is empty, wants none.
fn accumulate(into: &mut [f32], gradient: &[f32], again: bool) {
    if again {
        add(into, gradient);
    } else if !into.is_empty() {
        into.copy_from_slice(gradient);
    }
}

/// The weight gradient of a convolution; of a dense layer, its input as [`batch_gradient`](super::batch::batch_gradient) will want it.
fn weight_gradient(map: &Linear, dy: &[f32], x: &[f32], input: &mut Buffer, dw: &mut [f32]) {
    match map {
        Linear::Dense { .. } => transpose(x, input),
        Linear::Conv(_) => map.backward_weights(dy, x, input, dw),
    }
}

fn place(net: &Network, node: usize, purpose: u32, noise: PassNoise) -> NoiseCounter {
    NoiseCounter { purpose, tensor: noise.block * net.nodes.len() as u32 + node as u32, draw: noise.step }
}

/// Sums each channel's gradient; partial sums, so that the additions do not wait for each other.
fn sum_bias(dy: &[f32], bias: &mut [f32]) {
    let row = dy.len() / bias.len();
    vectorized(
        #[inline(always)]
        || {
            for (row, b) in dy.chunks_exact(row).zip(bias) {
                let mut sums = [0.0f32; RUN];
                for run in runs(row) {
                    sums.iter_mut().zip(run).for_each(|(s, v)| *s += v);
                }
                *b = sums.iter().sum();
            }
        },
    );
}

/// Multiplies every position of a channel by that channel's signs, one per image.
fn flip(values: &mut [f32], signs: &[f32]) {
    let (channels, signs) = (signs.len() / RUN, runs(signs));
    let row = values.len() / channels;
    vectorized(
        #[inline(always)]
        || {
            for (channel, signs) in values.chunks_exact_mut(row).zip(signs) {
                for run in runs_mut(channel) {
                    run.iter_mut().zip(signs).for_each(|(v, s)| *v *= s);
                }
            }
        },
    );
}

/// `y = x^2`
fn square(x: &[f32], y: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || y.iter_mut().zip(x).for_each(|(y, x)| *y = x * x),
    );
}

/// Turns variances into standard deviations, and adds so much noise.
fn add_noise(y: &mut [f32], variance: &mut [f32], noise: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for ((y, sd), eps) in y.iter_mut().zip(variance).zip(noise) {
                *sd = sd.max(1e-16).sqrt();
                *y += *sd * *eps;
            }
        },
    );
}

/// Turns noise into the variances' gradient: y = mean + sqrt(v) eps, so dv = dy eps / (2 sqrt(v)).
fn noise_gradient(noise: &mut [f32], sd: &[f32], dy: &[f32]) {
    vectorized(
        #[inline(always)]
        || noise.iter_mut().zip(sd).zip(dy).for_each(|((e, sd), dy)| *e *= dy / (2.0 * sd)),
    );
}
