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
use super::error::RunError;
use super::step::{Action, ConstantsAt, LinearStep, Step, Value};
use crate::fixed::{OCTAVE, WIDE_FRACTION_BITS, shift_for};
use crate::kernel::{LANES, Runs, noise_words};
use crate::model::{Activation, Kind, Layer, Linear, Model, Op, Shape};

/// Bytes that may be read behind the last number of a value.
pub(super) const SLACK: usize = 64;
/// Images of a block hold about this many bytes of activations.
const BLOCK_BYTES: u64 = 192 * 1024;
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
    /// # Errors
    /// [`RunError`] if the model is of another kind, `steps` are fewer than the layers, or the model needs more memory than this
    /// processor can address.
    pub fn new(model: Model<'a>, steps: &'a mut [Step]) -> Result<Self, RunError> {
        Plan::within(model, steps, isize::MAX as u64)
    }

    /// The plan for a processor on which no memory has more than `limit` bytes, at most `isize::MAX` of this one.
    ///
    /// Sizes are summed in 64 bits and narrowed where they are kept. Where that loses something, their sum is beyond the limit,
    /// and nobody sees them.
    fn within(model: Model<'a>, steps: &'a mut [Step], limit: u64) -> Result<Self, RunError> {
        if model.kind() != Kind::Jq {
            return Err(RunError::Kind(model.kind()));
        }
        let (found, wanted) = (steps.len(), model.layers());
        let steps = steps.get_mut(..wanted).ok_or(RunError::Memory { what: "steps (Model::layers)", found, wanted })?;
        let fits = |bytes: u64| if bytes <= limit { Ok(()) } else { Err(RunError::TooLarge { bytes, limit }) };
        for layer in model.iter() {
            // As many words as there are lanes where all 16 serve each channel: what steps count with fits then.
            fits(4 * LANES as u64 * layer.shape.channels as u64)?;
        }
        let group = fuse(&model, steps);
        let block = block(&model, steps);
        let (mut shared, mut own, mut constants) = ([0; 2], [0; 2], 0);
        let (mut fan_in, mut strip, mut padded, mut lanes, mut sums) = (0u64, 0u64, 0u64, 0u64, 0u64);
        let levels = sigma_levels(&model);
        for step in steps.iter_mut() {
            let Action::Linear(l) = &mut step.action else { continue };
            let part: &mut [u64; 2] = if l.shared > 1 { &mut shared } else { &mut own };
            (l.weights, l.starts) = (part[0] as usize, part[1] as usize);
            part[0] += (l.linear.groups * l.strips) as u64 * l.strip() as u64;
            part[1] += l.lanes() as u64;
            let mut take = |n: usize| {
                constants += n as u64;
                (constants - n as u64) as usize
            };
            l.at = ConstantsAt {
                rows: take(2 * l.channels),
                biases: take(4 * l.channels),
                levels: take(2 * levels),
                multipliers: take(l.lanes()),
                negative: if l.activation.is_some_and(|a| leaky(&a)) { take(l.lanes()) } else { 0 },
                origins: take(l.windows(block)),
            };
            strip = strip.max(l.strip() as u64);
            fan_in = fan_in.max(l.linear.fan_in() as u64);
            if l.input == 0 {
                let (from, edge) = (model.input(), 2 * l.linear.padding);
                padded = padded.max(((from.rows + edge) * (from.columns + edge) * from.channels) as u64);
                // Where windows begin is a number of 32 bits with a sign.
                let patches = if l.whole() { block as u64 * l.patch() as u64 } else { l.image_patches() };
                if patches > i32::MAX as u64 {
                    return Err(RunError::TooLarge { bytes: patches, limit: i32::MAX as u64 });
                }
            }
            match l.activation {
                Some(_) => {
                    let outputs = if l.whole() { block } else { l.outputs() };
                    lanes = lanes.max(outputs as u64 * (l.strips * LANES) as u64);
                }
                None => sums = sums.max(l.windows(block) as u64 * (l.strips * LANES) as u64),
            }
        }
        let mut next = 0;
        let mut take = |n: u64| {
            let at = next;
            next += region(n);
            at as usize
        };
        take(LANES as u64 * fan_in);
        let noise = noise_words(fan_in as usize, model.rounding()) as u64;
        let starts = strip + noise;
        let wide = starts + LANES as u64 + sums;
        let mut at = ScratchAt {
            mu: take(strip),
            sigma: take(strip),
            padded: take(padded),
            lanes: take(lanes),
            noise: strip as usize,
            starts: starts as usize,
            sums: (starts + LANES as u64) as usize,
            wide: wide as usize,
            ..ScratchAt::default()
        };
        let mut patches = 0u64;
        for step in steps.iter_mut() {
            if let Action::Linear(l) = &mut step.action
                && l.input == 0
            {
                l.patches = patches as usize;
                patches += region(block as u64 * l.image_patches());
            }
        }
        at.patches = take(patches);
        let (mut bytes, mut words) = (0u64, 0u64);
        for step in steps.iter_mut() {
            let v = &mut step.output;
            let n = (v.copies * block) as u64 * v.image() as u64;
            let (all, n) = match v.grid {
                Some(_) => (&mut bytes, region(n)),
                None => (&mut words, n),
            };
            v.base = *all as usize;
            *all += n;
        }
        at.values = take(bytes);
        let ends = 2 * SLACK as u64;
        let scratch = [strip + ends, next + ends, wide + words + ends];
        fits(4 * constants)?;
        fits(scratch[0] + scratch[1] + 4 * scratch[2])?;
        fits(shared[0] + 4 * shared[1] + group as u64 * (own[0] + 4 * own[1]))?;
        let size = |[signed, words]: [u64; 2]| Size { signed: signed as usize, bytes: 0, words: words as usize };
        let [signed, bytes, words] = scratch.map(|n| n as usize);
        let scratch = Size { signed, bytes, words };
        let (shared, own, constants) = (size(shared), size(own), constants as usize);
        Ok(Plan { model, steps, block, group, constants, shared, own, scratch, at })
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

    /// Memory of `draws` materialised sets of weights; `usize::MAX` where it is more than can be counted.
    pub fn weights(&self, draws: usize) -> Size {
        let groups = draws.div_ceil(self.group);
        let of = |shared: usize, own: usize| groups.saturating_mul(shared + self.group * own);
        Size {
            signed: of(self.shared.signed, self.own.signed).saturating_add(SLACK),
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

/// Bytes that a part of the scratch memory takes, with what may be read behind it.
fn region(n: u64) -> u64 {
    (n + SLACK as u64).next_multiple_of(64)
}

/// Levels of sigma that a step holds for weights, and for biases. Without sigmas all are 0, as many as the narrowest code has.
pub(super) fn sigma_levels(model: &Model<'_>) -> usize {
    model.sigma_code().map_or(4, |s| s.0.levels() as usize)
}

/// Whether an activation has a slope of its own below zero.
pub(crate) fn leaky(a: &Activation) -> bool {
    a.low < 0 && a.slope != 1 << 31
}

/// Whether `layer` reads `value`.
pub(crate) fn reads(layer: &Layer, value: usize) -> bool {
    layer.input == value || matches!(layer.op, Op::Add { other } if other == value)
}

/// The layer `index`, if it reads the output of the layer before it and nobody else does.
pub(crate) fn only_reader(model: &Model<'_>, index: usize) -> Option<Layer> {
    if index >= model.layers() {
        return None;
    }
    let mut readers = model.iter().skip(index).filter(|l| reads(l, index));
    let layer = model.layer(index);
    (readers.by_ref().count() == 1 && layer.input == index && reads(&layer, index)).then_some(layer)
}

/// The shift of a layer's requantization to a step of 2^(`output` / 2048), if it has one.
pub(crate) fn shift(model: &Model<'_>, layer: &Layer, output: i32) -> Option<u32> {
    shift_for(model.largest_ratio(layer, output)?)
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
    let of = |v: &Value| v.image() as u64 * v.copies.max(1) as u64 * if v.grid.is_some() { 1 } else { 4 };
    let values = steps.iter().map(|s| of(&s.output)).sum::<u64>() + model.input().len() as u64;
    let images = ((BLOCK_BYTES / values.max(1)) as usize).clamp(1, BLOCK_LIMIT);
    // Dense layers work off eight images at a time.
    if images > 8 { images / 8 * 8 } else { images }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::code::Bits;
    use crate::draw::Rounding;
    use crate::model::write::{Header, Parameters, write};
    use std::vec;
    use std::vec::Vec;

    /// One convolution of a grey image.
    fn file(side: usize, channels: usize, window: usize) -> Vec<u8> {
        let bits = Bits::new(2).ok();
        let header = Header {
            name: "large",
            kind: Kind::Jq,
            posterior: crate::model::Posterior::Gaussian,
            rounding: Rounding::Nearest,
            input: Shape { channels: 1, rows: side, columns: side },
            pixel_zero: 0,
            pixel_log2_step: -8 * 2048,
            mu: bits,
            sigma: bits,
            weight: bits,
            activation: bits,
        };
        let (n, rest) = (channels * window * window, side - window + 1);
        let shape = Shape { channels, rows: rest, columns: rest };
        let parameters = Parameters {
            mu_scales: vec![0; channels],
            weight_scales: vec![0; channels],
            ranges: [0, 1, 0, 0, 1],
            mu: vec![0; n],
            sigma: vec![0; n],
            bias_mu: vec![0; channels],
            bias_sigma: vec![0; channels],
            ..Parameters::default()
        };
        let op = Op::Linear(Linear::new([window; 2], 1, 0, 1, 1));
        write(&header, &[(Layer { input: 0, shape, op }, parameters)]).unwrap()
    }

    /// Bytes of one piece of memory on a processor with addresses of 32 bits.
    const NARROW: u64 = i32::MAX as u64;

    #[test]
    fn memory_beyond_a_processors_addresses_is_refused() {
        let file = file(12_000, 4, 1);
        let model = Model::new(&file).unwrap();
        let mut steps = [Step::default()];
        // 4 sums of 4 bytes at 144 million places.
        let bytes = match Plan::within(model, &mut steps, NARROW) {
            Err(RunError::TooLarge { bytes, limit: NARROW }) => bytes,
            other => panic!("{other:?}"),
        };
        assert!(bytes > 16 * 144_000_000, "{bytes}");
        if usize::BITS == 64 {
            let plan = Plan::new(model, &mut steps).unwrap();
            assert!(plan.scratch().total() as u64 >= bytes);
            assert_eq!(plan.weights(usize::MAX).total(), usize::MAX, "more than can be counted");
        }
        let small = self::file(120, 4, 1);
        assert!(Plan::within(Model::new(&small).unwrap(), &mut steps, NARROW).is_ok());
    }

    /// Windows begin at places of 32 bits, on every processor.
    #[test]
    fn windows_beyond_32_bits_are_refused() {
        let (wide, narrow) = (file(400, 1, 200), file(200, 1, 100));
        let mut steps = [Step::default()];
        let found = Plan::new(Model::new(&wide).unwrap(), &mut steps);
        // 201 x 201 windows of 200 x 200 bytes.
        if usize::BITS == 64 {
            assert!(found.is_ok(), "1.6 GB: {found:?}");
        }
        assert!(Plan::within(Model::new(&narrow).unwrap(), &mut steps, NARROW).is_ok());
        let far = file(600, 1, 300);
        let found = Plan::new(Model::new(&far).unwrap(), &mut steps).unwrap_err();
        let bytes = 301 * 301 * 300 * 300;
        assert_eq!(found, RunError::TooLarge { bytes, limit: i32::MAX as u64 });
    }
}
