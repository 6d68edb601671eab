//! The probabilistic forward pass: one analytic pass that carries a mean and a variance of every activation, instead of
//! S drawn passes (Klein et al. 2025, arXiv 2511.23440; the moments of layers are older: Hernández-Lobato and Adams 2015,
//! Roth and Pernkopf 2016).
//!
//! It reads a model file of any kind. What it takes for granted, and drawn passes do not: that what enters an activation
//! function or a max-pool is Gaussian, and that activations are independent of each other, although neighbours in a plane
//! share weights (an average-pool shows that most). Of a quantized network it knows the ends of the activations' grids,
//! not their steps; the grid of drawn weights only if told to ([`Weights`]).
//!
//! So its numbers hold for groups of images: means over a group are near those of many draws. For a single image they need not
//! be; epistemic uncertainty was found to be off by a factor of up to 2.7.
//!
//! One image at a time, in float and on `std`; a device without float runs draws (`qbnn_core::run`).

#[doc(hidden)]
pub mod activation;

#[doc(hidden)]
pub mod linear;
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod prediction;

use crate::error::BnnError;
use crate::math::add;
use crate::nn::buffer::Buffer;
use crate::predictor::Probabilities;
use crate::progress::{Progress, step};
use crate::stored::{DecodedPosterior, scale};
use activation::Function;
use linear::{LANES, Linear};
use pool::Pool;
pub use prediction::{POINTS, Points, Prediction};
use qbnn_core::ImagesView;
use qbnn_core::model::{self, Model, Op, Shape};
use rayon::prelude::*;

/// Which means and variances a pass gives to the weights. They differ where drawn weights lie on a grid (SPQ, JQ).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Those of the stored posterior. No grid clips a weight that sits at the prior: what says that an image is OOD
    /// stays whole.
    #[default]
    Stored,
    /// Those that draws have on their grid, its ends and its rounding included: the pass is then near to what many draws
    /// of the same file say.
    Drawn,
}

impl Weights {
    /// In a word: `stored` or `drawn`.
    pub fn name(self) -> &'static str {
        match self {
            Weights::Stored => "stored",
            Weights::Drawn => "drawn",
        }
    }
}

/// A network made ready for passes.
#[derive(Clone, Debug)]
pub struct Pfp {
    input: Shape,
    /// The number of each pixel.
    pixels: Box<[f32; 256]>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    /// Values that it reads: 0 is the image, `i + 1` the output of node `i`.
    input: usize,
    shape: Shape,
    /// Whether its output is deterministic: no weight took part.
    deterministic: bool,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    Linear(Box<Linear>),
    Pool(Pool),
    Activation(Function),
    Add { other: usize },
}

/// Workspace of a pass: means and variances of every value.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    values: Vec<[Buffer; 2]>,
    /// What the weights of a linear layer meet.
    factors: Buffer,
    /// Of a pool.
    rows: [Buffer; 2],
    column: [Buffer; 2],
}

impl Pfp {
    /// Decodes a model's parameters and lays them out.
    ///
    /// # Errors
    /// [`BnnError::Network`] names the layer that stores something that is no number; [`BnnError::Setting`] for a network of MC
    /// dropout, whose dropped units no variance of single weights describes.
    pub fn new(model: Model<'_>, weights: Weights) -> Result<Self, BnnError> {
        if model.posterior().dropped() > 0 {
            let wanted = "an analytic pass reads means and variances: predict with draws, without --pfp";
            return Err(BnnError::setting("train.posterior", model.posterior().name(), wanted));
        }
        let pixels = model.pixels();
        let step = scale(pixels.log2_step as i16);
        let mut nodes: Vec<Node> = Vec::with_capacity(model.layers());
        for (index, layer) in model.iter().enumerate() {
            let from = model.shape_of(layer.input);
            let deterministic = |value: usize| value.checked_sub(1).is_none_or(|i| nodes[i].deterministic);
            let (deterministic, step) = match layer.op {
                Op::Linear(map) => {
                    let stored = match weights {
                        Weights::Stored => DecodedPosterior::read(&model, index)?,
                        Weights::Drawn => DecodedPosterior::drawn(&model, index)?,
                    };
                    let linear = Linear::new(from, layer.shape, map, &stored);
                    (false, Step::Linear(Box::new(linear)))
                }
                Op::Pool(pool) => (deterministic(layer.input), Step::Pool(Pool { from, to: layer.shape, pool })),
                Op::Activation(a) => (deterministic(layer.input), Step::Activation(function(&model, index, a)?)),
                Op::Add { other } => (deterministic(layer.input) && deterministic(other), Step::Add { other }),
            };
            nodes.push(Node { input: layer.input, shape: layer.shape, deterministic, step });
        }
        pools_first(&mut nodes);
        let pixels = Box::new(std::array::from_fn(|p| (p as i32 - pixels.zero) as f32 * step));
        Ok(Pfp { input: model.input(), pixels, nodes })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.nodes.last().map_or(0, |n| n.shape.len())
    }

    /// Means and variances of the logits of an image, `[row][column][channel]` as the integer runtime reads it.
    pub fn logits<'m>(&self, image: &[u8], workspace: &'m mut Workspace) -> [&'m [f32]; 2] {
        self.pass::<true>(image, workspace);
        self.value(self.nodes.len().saturating_sub(1), workspace)
    }

    /// Logits of an image under the mean of every weight: one float pass of the same network by the same loops, which
    /// is what the price of an analytic pass is to be measured in.
    pub fn mean_pass<'m>(&self, image: &[u8], workspace: &'m mut Workspace) -> &'m [f32] {
        self.pass::<false>(image, workspace);
        &workspace.values[self.nodes.len()][0][..self.classes()]
    }

    /// Mean and variance of a layer's outputs after [`Pfp::logits`]. Layers are counted as in the file, but that a
    /// max-pool goes before the activation that it alone reads.
    pub fn value<'m>(&self, layer: usize, workspace: &'m Workspace) -> [&'m [f32]; 2] {
        let n = self.nodes[layer].shape.len();
        let [mean, variance] = &workspace.values[layer + 1];
        [&mean[..n], &variance[..n]]
    }

    fn is_deterministic(&self, value: usize) -> bool {
        value.checked_sub(1).is_none_or(|i| self.nodes[i].deterministic)
    }

    fn pass<const RANDOM: bool>(&self, image: &[u8], workspace: &mut Workspace) {
        let Workspace { values, factors, rows, column } = workspace;
        values.resize_with(self.nodes.len() + 1, Default::default);
        let pixels = &mut values[0][0];
        pixels.resize(self.input.len() + LANES);
        pixels.iter_mut().zip(image).for_each(|(x, &p)| *x = self.pixels[p as usize]);
        for (i, node) in self.nodes.iter().enumerate() {
            let (before, rest) = values.split_at_mut(i + 1);
            let n = node.shape.len();
            let certain = !RANDOM || node.deterministic;
            let [mean, variance] = &mut rest[0];
            mean.resize(n + LANES);
            variance.resize(if RANDOM { n + LANES } else { 0 });
            if RANDOM && certain {
                variance.fill(0.0);
            }
            let [x_mean, x_variance] = &before[node.input];
            match &node.step {
                Step::Linear(linear) => {
                    let (x, y) = ([&**x_mean, &**x_variance], [&mut **mean, &mut **variance]);
                    match (RANDOM, self.is_deterministic(node.input)) {
                        (false, _) => linear.forward::<1>(x, y, factors),
                        (true, true) => linear.forward::<2>(x, y, factors),
                        (true, false) => linear.forward::<3>(x, y, factors),
                    }
                }
                Step::Pool(pool) => {
                    let (x, y) = ([&**x_mean, &**x_variance], [&mut **mean, &mut **variance]);
                    match certain {
                        true => pool.forward::<false>(x, y, rows, column),
                        false => pool.forward::<true>(x, y, rows, column),
                    }
                }
                Step::Activation(f) if certain => f.forward_deterministic(&x_mean[..n], &mut mean[..n]),
                Step::Activation(f) => {
                    // Whole vectors: what lies past the end is read by nobody.
                    let n = n.next_multiple_of(LANES);
                    f.forward([&x_mean[..n], &x_variance[..n]], [&mut mean[..n], &mut variance[..n]]);
                }
                Step::Add { other } => {
                    let [o_mean, o_variance] = &before[*other];
                    mean[..n].copy_from_slice(&x_mean[..n]);
                    add(&mut mean[..n], &o_mean[..n]);
                    if !certain {
                        variance[..n].fill(0.0);
                        for (value, v) in [(node.input, x_variance), (*other, o_variance)] {
                            if !self.is_deterministic(value) {
                                add(&mut variance[..n], &v[..n]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Puts every max-pool before the activation that it alone reads. No activation here ever falls, so the largest of the
/// activated is the activated largest. Before an activation values are Gaussian, as the pool takes them to be, and a
/// quarter of the activations is left to be worked out.
fn pools_first(nodes: &mut [Node]) {
    for i in 1..nodes.len() {
        let reads = |n: &Node| n.input == i || matches!(n.step, Step::Add { other } if other == i);
        let alone = nodes[i].input == i && nodes.iter().filter(|n| reads(n)).count() == 1;
        let pool = match nodes[i].step {
            Step::Pool(p) if p.pool.max => p,
            _ => continue,
        };
        if alone && matches!(nodes[i - 1].step, Step::Activation(_)) {
            nodes[i - 1].shape = pool.to;
            let (first, second) = nodes.split_at_mut(i);
            std::mem::swap(&mut first[i - 1].step, &mut second[0].step);
        }
    }
}

/// What an activation does to a number: its function and, where its values are codes, the ends of their grid.
fn function(model: &Model<'_>, index: usize, a: model::Activation) -> Result<Function, BnnError> {
    let parameter = f32::from_bits(a.parameter_bits);
    let fail = |problem: String| BnnError::Network {
        network: model.name().to_owned(),
        layer: (index + 1).to_string(),
        problem,
    };
    if a.bits.is_some() {
        let step = scale(a.log2_step);
        let (low, high) = (a.low as f32 * step, a.high as f32 * step);
        return Ok(match a.function {
            model::Function::LeakyRelu => Function::Leaky { slope: a.slope as f32 / (1u64 << 31) as f32 },
            model::Function::Hardtanh => Function::Clip { low, high },
            model::Function::Relu | model::Function::ClippedRelu => Function::Clip { low: 0.0, high },
        });
    }
    match a.function {
        model::Function::Relu => Ok(Function::Relu),
        model::Function::LeakyRelu if (0.0..=1.0).contains(&parameter) => Ok(Function::Leaky { slope: parameter }),
        model::Function::ClippedRelu if parameter > 0.0 && parameter.is_finite() => {
            Ok(Function::Clip { low: 0.0, high: parameter })
        }
        model::Function::Hardtanh => Ok(Function::Clip { low: -1.0, high: 1.0 }),
        found => Err(fail(format!("{found:?} with {parameter} is no activation; write the model file again"))),
    }
}

/// Images that are worked off between two looks at whether to stop.
const TOGETHER: usize = 1024;

/// What one analytic pass says of every image. `progress` is told (images done, images in
/// all).
///
/// A prediction depends on (model, image) alone.
///
/// # Errors
/// As [`Pfp::new`]; [`BnnError::Data`] if the images are not of the network's shape, or if its numbers grow beyond what a
/// float holds; [`BnnError::Stopped`] once `progress` said stop.
pub fn predict(
    model: Model<'_>,
    weights: Weights,
    images: ImagesView<'_>,
    progress: &mut dyn Progress,
) -> Result<Vec<Prediction>, BnnError> {
    each(model, weights, images, progress, |points, [mean, variance], workspace| {
        points.prediction(mean, variance, workspace)
    })
}

/// Class probabilities of every image at the [`POINTS`] points over which a [`Prediction`] is taken, each as if it were a draw:
/// what a metric reads that was made for draws.
///
/// # Errors
/// As [`predict`].
pub(crate) fn probabilities(
    model: Model<'_>,
    weights: Weights,
    images: ImagesView<'_>,
    progress: &mut dyn Progress,
) -> Result<Probabilities, BnnError> {
    let (n, classes) = (images.len(), model.classes());
    let mut by_point = Probabilities::zeros(POINTS, n, classes)?;
    let all = each(model, weights, images, progress, |points, [mean, variance], workspace| {
        points.probabilities(mean, variance, workspace)
    })?;
    let points = by_point.values.par_chunks_exact_mut((n * classes).max(1));
    points.zip(by_point.energies.par_chunks_exact_mut(n.max(1))).enumerate().for_each(|(point, (rows, energies))| {
        for ((row, energy), (image, own)) in rows.chunks_exact_mut(classes).zip(energies).zip(&all) {
            row.copy_from_slice(&image[point * classes..(point + 1) * classes]);
            *energy = own[point];
        }
    });
    Ok(by_point)
}

/// What `make` makes of every image's logits.
fn each<T: Send>(
    model: Model<'_>,
    weights: Weights,
    images: ImagesView<'_>,
    progress: &mut dyn Progress,
    make: impl Fn(&Points, [&[f32]; 2], &mut prediction::Scratch) -> T + Sync,
) -> Result<Vec<T>, BnnError> {
    let wanted = model.input();
    let found = images.shape;
    if found != wanted {
        return Err(BnnError::Data(format!("images are {found}, the network reads {wanted}")));
    }
    let (pfp, points) = (Pfp::new(model, weights)?, Points::new(model.classes()));
    let mut all = Vec::with_capacity(images.len());
    for part in images.pixels.chunks(TOGETHER * wanted.len()) {
        let made: Option<Vec<T>> = part
            .par_chunks_exact(wanted.len())
            .map_init(
                || (Workspace::default(), points.scratch()),
                |(workspace, scratch), image| {
                    let logits = pfp.logits(image, workspace);
                    let finite = logits.iter().all(|part| part.iter().all(|x| x.is_finite()));
                    finite.then(|| make(&points, logits, scratch))
                },
            )
            .collect();
        let Some(made) = made else {
            let name = model.name();
            return Err(BnnError::Data(format!("the logits of `{name}` leave the range of floats; train it again")));
        };
        all.extend(made);
        step(progress, all.len(), images.len())?;
    }
    Ok(all)
}
