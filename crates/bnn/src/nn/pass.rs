//! One pass of a block of images through a network: forward, and backward to the parameters.
//!
//! How a linear layer meets its random weights is the gradient *estimator*'s choice, handed in as [`Weights`]; how an
//! activation is rounded is the *guide*'s choice, handed in as [`Sites`]. The layers know of neither.

use super::activation::Activation;
use super::linear::Patches;
use super::network::{Network, Op};
use crate::math::vectorized;
use crate::noise::{self, purpose};
use qbnn_core::noise::Place;

/// Images that one pass carries: fixed, so that sums are taken in one order whatever the number of threads.
pub const BLOCK: usize = 32;

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
pub enum Weights<'a> {
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

impl Weights<'_> {
    /// Whether the gradient has a second part (of the variances or of the deviations).
    pub fn second(&self) -> bool {
        !matches!(self, Weights::Drawn(_))
    }
}

/// What an activation does to its values beside the function: nothing, or rounding them to a grid.
pub trait Sites: Sync {
    /// Numbers that the sites learn.
    fn parameters(&self) -> usize {
        0
    }
    /// `y` of `x` at a site.
    fn forward(&self, site: usize, function: Activation, x: &[f32], y: &mut [f32]);
    /// Adds to `dx`, and to the gradient of the learned numbers.
    fn backward(&self, site: usize, function: Activation, x: &[f32], dy: &[f32], dx: &mut [f32], learned: &mut [f32]);
}

/// Activations in float.
pub struct FloatSites;

impl Sites for FloatSites {
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
    /// Of the numbers that the sites learn.
    pub sites: Vec<f32>,
}

impl Gradient {
    /// Zeros of the right lengths.
    pub fn reset(&mut self, parameters: usize, second: bool, sites: usize) {
        for (buffer, len) in [
            (&mut self.first, parameters),
            (&mut self.second, if second { parameters } else { 0 }),
            (&mut self.sites, sites),
        ] {
            buffer.clear();
            buffer.resize(len, 0.0);
        }
    }

    /// Adds another gradient of the same lengths.
    pub fn add(&mut self, other: &Gradient) {
        for (into, from) in
            [(&mut self.first, &other.first), (&mut self.second, &other.second), (&mut self.sites, &other.sites)]
        {
            into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        }
    }
}

/// Memory of a pass: every value and every gradient of a block, and the noise that the estimator used.
#[derive(Default)]
pub struct Tape {
    values: Vec<Vec<f32>>,
    grads: Vec<Vec<f32>>,
    /// Per node: standard deviation times noise parts (local), or signs (flipout).
    side: Vec<[Vec<f32>; 3]>,
    patches: Patches,
    batch: usize,
}

impl Tape {
    /// Makes room for `batch` images and returns the input, `[pixel][image]`, to be filled.
    pub fn input(&mut self, net: &Network, batch: usize) -> &mut [f32] {
        self.batch = batch;
        let count = net.nodes.len() + 1;
        self.values.resize_with(count, Vec::new);
        self.grads.resize_with(count, Vec::new);
        self.side.resize_with(net.nodes.len(), Default::default);
        for (i, value) in self.values.iter_mut().enumerate() {
            value.resize(net.shape_of(i).len() * batch, 0.0);
        }
        &mut self.values[0]
    }

    /// Logits of the last forward pass, `[class][image]`.
    pub fn logits(&self) -> &[f32] {
        self.values.last().map_or(&[], |v| v)
    }

    /// The output of a node in the last forward pass, `[feature][image]`.
    pub fn value(&self, node: usize) -> &[f32] {
        &self.values[node + 1]
    }

    /// Runs the network forward on the input.
    pub fn forward(&mut self, net: &Network, weights: Weights<'_>, sites: &dyn Sites) {
        let batch = self.batch;
        for (i, node) in net.nodes.iter().enumerate() {
            let (before, rest) = self.values.split_at_mut(i + 1);
            let (x, y) = (&before[node.input][..], &mut rest[0][..]);
            match &node.op {
                Op::Linear { map, weight, bias } => {
                    let (w, b) = (&net.tensors[*weight], &net.tensors[*bias]);
                    let rows = map.positions() * batch;
                    let side = &mut self.side[i];
                    match weights {
                        Weights::Drawn(all) => {
                            map.forward(&all[w.range.clone()], x, y, batch, &mut self.patches);
                            add_bias(y, &all[b.range.clone()], rows);
                        }
                        Weights::Local { mean, variance, noise } => {
                            let [sd, eps, squares] = side;
                            map.forward(&mean[w.range.clone()], x, y, batch, &mut self.patches);
                            add_bias(y, &mean[b.range.clone()], rows);
                            squares.clear();
                            squares.extend(x.iter().map(|x| x * x));
                            sd.resize(y.len(), 0.0);
                            map.forward(&variance[w.range.clone()], squares, sd, batch, &mut self.patches);
                            add_bias(sd, &variance[b.range.clone()], rows);
                            eps.resize(y.len(), 0.0);
                            noise::normal(noise.key, place(net, i, purpose::ACTIVATIONS, noise), eps);
                            for ((y, sd), eps) in y.iter_mut().zip(sd).zip(eps) {
                                *sd = sd.max(1e-16).sqrt();
                                *y += *sd * *eps;
                            }
                        }
                        Weights::Flipout { mean, deviation, noise } => {
                            let [flipped, product, signs] = side;
                            let from = net.shape_of(node.input).channels;
                            signs.resize((from + node.shape.channels) * batch, 0.0);
                            noise::signs(noise.key, place(net, i, purpose::SIGNS, noise), signs);
                            let (signs_in, signs_out) = signs.split_at(from * batch);
                            flipped.clear();
                            flipped.extend_from_slice(x);
                            flip(flipped, signs_in, batch);
                            product.resize(y.len(), 0.0);
                            map.forward(&deviation[w.range.clone()], flipped, product, batch, &mut self.patches);
                            add_bias(product, &deviation[b.range.clone()], rows);
                            flip(product, signs_out, batch);
                            map.forward(&mean[w.range.clone()], x, y, batch, &mut self.patches);
                            add_bias(y, &mean[b.range.clone()], rows);
                            y.iter_mut().zip(product).for_each(|(y, p)| *y += *p);
                        }
                    }
                }
                Op::Pool(pool) => pool.forward(x, y, batch),
                Op::Activation { function, site } => sites.forward(*site, *function, x, y),
                Op::Flatten => y.copy_from_slice(x),
                Op::Add { other } => {
                    y.iter_mut().zip(x).zip(&before[*other]).for_each(|((y, a), b)| *y = a + b);
                }
            }
        }
    }

    /// Runs the network backward from the logits' gradient (`[class][image]`), adding to `gradient`.
    pub fn backward(
        &mut self,
        net: &Network,
        weights: Weights<'_>,
        sites: &dyn Sites,
        logits: &[f32],
        gradient: &mut Gradient,
    ) {
        let batch = self.batch;
        for (i, grad) in self.grads.iter_mut().enumerate() {
            grad.clear();
            grad.resize(if i == 0 { 0 } else { self.values[i].len() }, 0.0);
        }
        if let Some(last) = self.grads.last_mut() {
            last.copy_from_slice(logits);
        }
        for (i, node) in net.nodes.iter().enumerate().rev() {
            let (before, rest) = self.grads.split_at_mut(i + 1);
            let dy = &rest[0][..];
            let x = &self.values[node.input][..];
            // Nothing wants the gradient of the image: its buffer stays empty.
            let wanted = node.input > 0;
            let dx = &mut before[node.input];
            match &node.op {
                Op::Linear { map, weight, bias } => {
                    let (w, b) = (&net.tensors[*weight].range, &net.tensors[*bias].range);
                    let rows = map.positions() * batch;
                    let patches = &mut self.patches;
                    let side = &mut self.side[i];
                    let means = match weights {
                        Weights::Drawn(all) => all,
                        Weights::Local { mean, .. } | Weights::Flipout { mean, .. } => mean,
                    };
                    map.backward_weights(dy, x, &mut gradient.first[w.clone()], batch, patches);
                    sum_bias(dy, &mut gradient.first[b.clone()], rows);
                    if wanted {
                        map.backward_input(&means[w.clone()], dy, dx, batch, patches);
                    }
                    match weights {
                        Weights::Drawn(_) => {}
                        Weights::Local { variance, .. } => {
                            let [sd, eps, squares] = side;
                            // y = mean + sqrt(v) eps, so dv = dy eps / (2 sqrt(v)).
                            eps.iter_mut().zip(sd.iter()).zip(dy).for_each(|((e, sd), dy)| *e *= dy / (2.0 * sd));
                            map.backward_weights(eps, squares, &mut gradient.second[w.clone()], batch, patches);
                            sum_bias(eps, &mut gradient.second[b.clone()], rows);
                            if wanted {
                                squares.fill(0.0);
                                map.backward_input(&variance[w.clone()], eps, squares, batch, patches);
                                dx.iter_mut().zip(squares).zip(x).for_each(|((d, s), x)| *d += 2.0 * x * *s);
                            }
                        }
                        Weights::Flipout { deviation, .. } => {
                            let [flipped, product, signs] = side;
                            let (signs_in, signs_out) = signs.split_at(signs.len() - node.shape.channels * batch);
                            product.copy_from_slice(dy);
                            flip(product, signs_out, batch);
                            map.backward_weights(product, flipped, &mut gradient.second[w.clone()], batch, patches);
                            sum_bias(product, &mut gradient.second[b.clone()], rows);
                            if wanted {
                                flipped.fill(0.0);
                                map.backward_input(&deviation[w.clone()], product, flipped, batch, patches);
                                flip(flipped, signs_in, batch);
                                dx.iter_mut().zip(flipped).for_each(|(d, f)| *d += *f);
                            }
                        }
                    }
                }
                _ if !wanted && !matches!(node.op, Op::Add { .. } | Op::Activation { .. }) => {}
                Op::Pool(pool) => pool.backward(x, &self.values[i + 1], dy, dx, batch),
                Op::Activation { function, site } => {
                    if !wanted {
                        dx.resize(x.len(), 0.0);
                    }
                    sites.backward(*site, *function, x, dy, dx, &mut gradient.sites);
                }
                Op::Flatten => dx.iter_mut().zip(dy).for_each(|(d, g)| *d += g),
                Op::Add { other } => {
                    for value in [node.input, *other] {
                        before[value].iter_mut().zip(dy).for_each(|(d, g)| *d += g);
                    }
                }
            }
        }
    }
}

fn place(net: &Network, node: usize, purpose: u32, noise: PassNoise) -> Place {
    Place { purpose, tensor: noise.block * net.nodes.len() as u32 + node as u32, draw: noise.step }
}

/// Adds each channel's bias to its `rows` floats.
fn add_bias(y: &mut [f32], bias: &[f32], rows: usize) {
    vectorized(
        #[inline(always)]
        || {
            for (row, &b) in y.chunks_exact_mut(rows).zip(bias) {
                row.iter_mut().for_each(|y| *y += b);
            }
        },
    );
}

/// Sums each channel's gradient; partial sums, so that the additions do not wait for each other.
fn sum_bias(dy: &[f32], bias: &mut [f32], rows: usize) {
    const LANES: usize = 32;
    vectorized(
        #[inline(always)]
        || {
            for (row, b) in dy.chunks_exact(rows).zip(bias) {
                let mut sums = [0.0f32; LANES];
                let (chunks, tail) = row.as_chunks::<LANES>();
                for chunk in chunks {
                    sums.iter_mut().zip(chunk).for_each(|(s, v)| *s += v);
                }
                *b += sums.iter().sum::<f32>() + tail.iter().sum::<f32>();
            }
        },
    );
}

/// Multiplies every position of a channel by that channel's signs, one per image.
fn flip(values: &mut [f32], signs: &[f32], batch: usize) {
    let channels = signs.len() / batch;
    let per_channel = values.len() / channels;
    for (channel, signs) in values.chunks_exact_mut(per_channel).zip(signs.chunks_exact(batch)) {
        for run in channel.chunks_exact_mut(batch) {
            run.iter_mut().zip(signs).for_each(|(v, s)| *v *= s);
        }
    }
}
