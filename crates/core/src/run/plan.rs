//! What runs and where everything lies: worked out once from a model's records, in the caller's memory.
//!
//! Three decisions are made here, all from the model alone, so that results depend on nothing else:
//!
//! - A linear layer, the activation that alone reads it, and a 2x2 max-pool that alone reads that become one step: sums
//!   never leave registers, and of four sums only the largest is requantized (requantization keeps order).
//! - The linear layer that reads the image sees the same input under every draw. Where its channels do not fill strips,
//!   several draws share them: of 6 channels, 8 draws fill 3 strips.
//! - Its windows are copied out (*patches*), which pads them once; all other layers read their windows in place, from
//!   activations that lie `[row][column][channel]` within a border of zeros.

use super::Size;
use super::step::{Action, ConstantsAt, LinearStep, Step, Value};
use crate::fixed::{OCTAVE, WIDE_FRACTION_BITS, shift_for};
use crate::kernel::{LANES, Runs, noise_words};
use crate::model::{Activation, Layer, Linear, Model, Op, Shape};

/// Bytes that may be read behind the last number of a value.
pub(super) const SLACK: usize = 64;
/// Images of a block hold about this many bytes of activations.
const BLOCK_BYTES: usize = 192 * 1024;
/// Images of a block, at most.
const BLOCK_LIMIT: usize = 32;

/// What a model becomes when it runs, and how much memory that takes.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    pub(super) model: Model<'a>,
    pub(super) steps: &'a [Step],
    /// Images that run together.
    pub(super) block: usize,
    /// Draws that share the first layer's strips.
    pub(super) group: usize,
    pub(super) constants: usize,
    /// Of the strips that a group of draws shares, and of those that each draw has for itself.
    pub(super) shared: Size,
    pub(super) own: Size,
    pub(super) scratch: Size,
    pub(super) at: ScratchAt,
}

/// Where the parts of the scratch memory lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScratchAt {
    /// Bytes: codes of 16 rows, then as they lie in a strip; a padded image; codes on their way to their value; patches;
    /// values.
    pub mu: usize,
    pub sigma: usize,
    pub padded: usize,
    pub lanes: usize,
    pub patches: usize,
    pub values: usize,
    /// Words: moments of a strip, their noise, the strip's starts, sums on their way, then wide values.
    pub noise: usize,
    pub starts: usize,
    pub sums: usize,
    pub wide: usize,
}

impl<'a> Plan<'a> {
    /// The plan of a model that runs on codes alone (JQ), in memory for [`Model::layers`] steps.
    ///
    /// # Panics
    /// If `steps` are fewer than the layers, or the model is of another kind.
    pub fn new(model: Model<'a>, steps: &'a mut [Step]) -> Self {
        assert!(model.kind() == crate::model::Kind::Jq, "the integer machine runs JQ models");
        let steps = &mut steps[..model.layers()];
        let group = fuse(&model, steps);
        let block = block(&model, steps);
        let (mut shared, mut own, mut constants) = (Size::default(), Size::default(), 0);
        let (mut fan_in, mut strip, mut padded, mut lanes, mut sums) = (0, 0, 0, 0, 0);
        let levels = model.sigma_code().map_or(0, |s| s.0.levels() as usize);
        for step in steps.iter_mut() {
            let Action::Linear(l) = &mut step.action else { continue };
            let part = if l.shared > 1 { &mut shared } else { &mut own };
            (l.weights, l.starts) = (part.signed, part.words);
            part.signed += l.linear.groups * l.strips * l.strip();
            part.words += l.lanes();
            let mut take = |n: usize| {
                constants += n;
                constants - n
            };
            l.at = ConstantsAt {
                rows: take(2 * l.channels),
                biases: take(4 * l.channels),
                levels: take(2 * levels),
                multipliers: take(l.lanes()),
                negative: if l.activation.is_some_and(|a| leaky(&a)) { take(l.lanes()) } else { 0 },
                origins: take(l.windows(block)),
            };
            strip = strip.max(l.strip());
            fan_in = fan_in.max(l.linear.fan_in());
            if l.input == 0 {
                let (from, edge) = (model.input(), 2 * l.linear.padding);
                padded = padded.max((from.rows + edge) * (from.columns + edge) * from.channels);
            }
            match l.activation {
                Some(_) => lanes = lanes.max(if l.whole() { block } else { l.outputs() } * l.strips * LANES),
                None => sums = sums.max(l.windows(block) * l.strips * LANES),
            }
        }
        let mut next = 0;
        let mut take = |n: usize| {
            let at = next;
            next += (n + SLACK).next_multiple_of(64);
            at
        };
        take(LANES * fan_in);
        let noise = noise_words(fan_in, model.rounding());
        let mut at = ScratchAt {
            mu: take(strip),
            sigma: take(strip),
            padded: take(padded),
            lanes: take(lanes),
            noise: strip,
            starts: strip + noise,
            sums: strip + noise + LANES,
            wide: strip + noise + LANES + sums,
            ..ScratchAt::default()
        };
        let mut patches = 0;
        for step in steps.iter_mut() {
            if let Action::Linear(l) = &mut step.action
                && l.input == 0
            {
                l.patches = patches;
                patches += (block * l.image_patches() + SLACK).next_multiple_of(64);
            }
        }
        at.patches = take(patches);
        let (mut bytes, mut words) = (0, 0);
        for step in steps.iter_mut() {
            let v = &mut step.output;
            let n = v.copies * block * v.image();
            let (all, n) = match v.grid {
                Some(_) => (&mut bytes, (n + SLACK).next_multiple_of(64)),
                None => (&mut words, n),
            };
            v.base = *all;
            *all += n;
        }
        at.values = take(bytes);
        let scratch = Size { signed: strip + 2 * SLACK, bytes: next + 2 * SLACK, words: at.wide + words + 2 * SLACK };
        Plan { model, steps, block, group, constants, shared, own, scratch, at }
    }

    /// The model.
    pub fn model(&self) -> Model<'a> {
        self.model
    }

    /// Words that [`Plan::prepare`] needs.
    pub fn constants(&self) -> usize {
        self.constants
    }

    /// Memory that each thread needs to draw and to run.
    pub fn scratch(&self) -> Size {
        self.scratch
    }

    /// Memory of `draws` materialised sets of weights.
    pub fn weights(&self, draws: usize) -> Size {
        let groups = draws.div_ceil(self.group);
        let of = |shared: usize, own: usize| groups * (shared + self.group * own);
        Size {
            signed: of(self.shared.signed, self.own.signed) + SLACK,
            bytes: 0,
            words: of(self.shared.words, self.own.words),
        }
    }

    /// Draws that share strips: threads that split draws among them work best on multiples of it.
    pub fn draws_together(&self) -> usize {
        self.group
    }

    /// Images that run together: threads that split images among them work best on multiples of it.
    pub fn images_together(&self) -> usize {
        self.block
    }
}

/// Whether an activation has a slope of its own below zero.
pub(super) fn leaky(a: &Activation) -> bool {
    a.low < 0 && a.slope != 1 << 31
}

/// Whether `layer` reads `value`.
fn reads(layer: &Layer, value: usize) -> bool {
    layer.input == value || matches!(layer.op, Op::Add { other } if other == value)
}

/// The layer `index`, if it reads the output of the layer before it and nobody else does.
fn only_reader(model: &Model<'_>, index: usize) -> Option<Layer> {
    if index >= model.layers() {
        return None;
    }
    let mut readers = model.iter().skip(index).filter(|l| reads(l, index));
    let layer = model.layer(index);
    (readers.by_ref().count() == 1 && layer.input == index && reads(&layer, index)).then_some(layer)
}

/// The shift of a layer's requantization to a step of 2^(`output` / 2048), if it has one.
fn shift(model: &Model<'_>, layer: &Layer, output: i32) -> Option<u32> {
    let input = model.grid_of(layer.input)?.log2_step;
    let scales = model.codes(layer)?.weight_scales;
    let largest = (0..scales.len()).map(|c| scales.get(c) as i32).max()?;
    shift_for(largest + input - output)
}

/// Turns layers into steps; returns the number of draws that share the first step's strips.
fn fuse(model: &Model<'_>, steps: &mut [Step]) -> usize {
    let (mut group, mut tensor) = (1, 0);
    let mut index = 0;
    while index < steps.len() {
        let layer = model.layer(index);
        let mut last = index;
        let action = match layer.op {
            Op::Pool(pool) => Action::Pool { input: layer.input, pool },
            Op::Activation(activation) => Action::Activate { input: layer.input, activation },
            Op::Add { other } => Action::Add { input: layer.input, other },
            Op::Linear(linear) => {
                let activation = only_reader(model, index + 1).and_then(|next| match next.op {
                    Op::Activation(a) => Some(a),
                    _ => None,
                });
                let fused = activation.and_then(|a| shift(model, &layer, a.log2_step as i32).zip(Some(a)));
                let (rows, columns) = (layer.shape.rows, layer.shape.columns);
                let pool = fused.and_then(|_| only_reader(model, index + 2)).and_then(|next| match next.op {
                    Op::Pool(p) if p.max && p.size == 2 && p.stride >= 2 && rows * columns > 1 => Some(p.stride),
                    _ => None,
                });
                last += fused.is_some() as usize + pool.is_some() as usize;
                let first = layer.input == 0 && tensor == 0 && fused.is_some() && linear.groups == 1;
                let shared = if first { LANES / gcd(LANES, layer.shape.channels) } else { 1 };
                group = group.max(shared);
                let wide = -(WIDE_FRACTION_BITS as i32) * OCTAVE;
                let step = LinearStep {
                    layer: index,
                    linear,
                    tensor,
                    input: layer.input,
                    output: last,
                    channels: layer.shape.channels,
                    rows,
                    columns,
                    activation: fused.map(|(_, a)| a),
                    pool,
                    shared,
                    runs: Runs::default(),
                    run_len: 0,
                    strips: (shared * layer.shape.channels / linear.groups).div_ceil(LANES),
                    weights: 0,
                    starts: 0,
                    patches: 0,
                    shift: fused.map_or_else(|| shift(model, &layer, wide).unwrap_or(1), |(s, _)| s),
                    at: ConstantsAt::default(),
                };
                tensor += 2;
                Action::Linear(step)
            }
        };
        steps[index].action = action;
        for (i, step) in steps.iter_mut().enumerate().take(last + 1).skip(index) {
            if i > index {
                step.action = Action::Fused;
            }
            let grid = model.grid_of(i + 1);
            let shared = if i == last { shared_of(action) } else { 1 };
            let shape = if i == last { model.shape_of(i + 1) } else { Shape::default() };
            step.output = Value { shape, grid, border: border(model, i + 1), base: 0, copies: shared };
        }
        index = last + 1;
    }
    for index in 0..steps.len() {
        let Action::Linear(mut l) = steps[index].action else { continue };
        let input = match l.input {
            0 => None,
            value => Some(steps[value - 1].output),
        };
        (l.runs, l.run_len) = runs(&l, input);
        steps[index].action = Action::Linear(l);
    }
    group
}

fn shared_of(action: Action) -> usize {
    match action {
        Action::Linear(l) => l.shared,
        _ => 1,
    }
}

/// Zeros that a value needs on each side: the largest padding of the layers that read it in place.
fn border(model: &Model<'_>, value: usize) -> usize {
    let of = |l: Layer| match l.op {
        Op::Linear(linear) if l.input == value => linear.padding,
        _ => 0,
    };
    model.iter().skip(value).map(of).max().unwrap_or(0)
}

/// Where a layer's windows lie in its input (`None`: in patches of the image), and the weights of each run.
fn runs(l: &LinearStep, input: Option<Value>) -> (Runs, usize) {
    let Linear { kernel_rows, kernel_columns, group_inputs, groups, .. } = l.linear;
    let channels = group_inputs * groups;
    let row_pitch = input.map_or(kernel_columns * channels, |v| v.row_pitch());
    let run = |rows, columns, run_len: usize| {
        (Runs { rows, row_pitch, columns, column_pitch: channels, groups: run_len.div_ceil(4) }, run_len)
    };
    if groups > 1 {
        run(kernel_rows, kernel_columns, group_inputs)
    } else if row_pitch == kernel_columns * channels {
        run(1, 1, kernel_rows * kernel_columns * channels)
    } else {
        run(kernel_rows, 1, kernel_columns * channels)
    }
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Images that run together: as many as keep their activations in a near cache.
fn block(model: &Model<'_>, steps: &[Step]) -> usize {
    let of = |v: &Value| v.image() * if v.grid.is_some() { 1 } else { 4 } * v.copies.max(1);
    let values: usize = steps.iter().map(|s| of(&s.output)).sum::<usize>() + model.input().len();
    let images = (BLOCK_BYTES / values.max(1)).clamp(1, BLOCK_LIMIT);
    // Dense layers work off eight images at a time.
    if images > 8 { images / 8 * 8 } else { images }
}
