//! Dense and convolution as what they share: a map linear in its weights and in its input.
//!
//! Activations lie *batch-innermost*, `[channel][row][column][image]`, in blocks of 32 images: padding, strides and
//! pooling then never touch single numbers but runs of 32 floats, flattening is free, and one layout serves dense and
//! convolution alike. Every product is a [`gather`] or a [`correlate`] over such runs.

use super::buffer::Buffer;
use super::kernel::{
    self, Axis, Plane, RUN, Run, Start, Sum, Window, correlate, gather, outer, runs, runs_mut, slide, widths,
};
use pulp::{Arch, Simd, WithSimd};
use qbnn_core::Shape;
use std::ops::Range;

/// A dense layer or a convolution, with its sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum Linear {
    /// `inputs` to `outputs`; weights `[outputs][inputs]`.
    Dense {
        /// Width of the input.
        inputs: usize,
        /// Units.
        outputs: usize,
    },
    /// Weights `[out channels][in channels / groups][kernel][kernel]`.
    Conv(Conv),
}

/// Sizes of a convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Input shape.
    pub input: Shape,
    /// Output shape.
    pub output: Shape,
    /// Kernel height and width.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Groups of channels.
    pub groups: usize,
}

impl Linear {
    /// Output channels (units): the axis that per-channel scales and biases follow.
    pub fn channels(&self) -> usize {
        match self {
            Linear::Dense { outputs, .. } => *outputs,
            Linear::Conv(c) => c.output.channels,
        }
    }

    /// Inputs that one output value sums over.
    pub fn fan_in(&self) -> usize {
        match self {
            Linear::Dense { inputs, .. } => *inputs,
            Linear::Conv(c) => c.patch(),
        }
    }

    /// Channels (features) of the input.
    pub fn input_channels(&self) -> usize {
        match self {
            Linear::Dense { inputs, .. } => *inputs,
            Linear::Conv(c) => c.input.channels,
        }
    }

    /// Weights in all.
    pub fn weights(&self) -> usize {
        self.channels() * self.fan_in()
    }

    /// Outputs of each channel (1 for dense; rows times columns for a convolution).
    pub fn positions(&self) -> usize {
        match self {
            Linear::Dense { .. } => 1,
            Linear::Conv(c) => c.output.rows * c.output.columns,
        }
    }

    /// `y = w · x + bias` (no bias: zero); `y` is overwritten. `padded` receives a convolution's padded input.
    pub fn forward(&self, w: &[f32], bias: Option<&[f32]>, x: &[f32], y: &mut [f32], padded: &mut Buffer) {
        if let Linear::Conv(c) = self {
            c.pad(x, padded);
        }
        let start = bias.map_or(Start::Zero, Start::Bias);
        Arch::new().dispatch(Forward { map: self, w, start, x: runs(self.source(x, padded)), y: runs_mut(y) });
    }

    /// The weights' gradient of one block, `dw = dy · x^T`, overwritten. `padded` is as [`Linear::forward`] left it.
    pub fn backward_weights(&self, dy: &[f32], x: &[f32], padded: &Buffer, dw: &mut [f32]) {
        match self {
            Linear::Dense { inputs, outputs } => {
                let mut transposed = Buffer::default();
                transpose(x, &mut transposed);
                dense_weights(*inputs, 0..*outputs, &[(dy, &transposed)], dw);
            }
            Linear::Conv(conv) => {
                let x = runs(self.source(x, padded));
                Arch::new().dispatch(ConvWeights { conv, dy: runs(dy), x, dw });
            }
        }
    }

    /// The input's gradient, `dx = w^T · dy`, overwritten or, if `add`, added.
    pub fn backward_input(&self, w: &[f32], dy: &[f32], dx: &mut [f32], add: bool) {
        let start = if add { Start::Add } else { Start::Zero };
        Arch::new().dispatch(BackwardInput { map: self, w, start, dy: runs(dy), dx: runs_mut(dx) });
    }

    /// The input that the products read: padded where there is padding.
    fn source<'a>(&self, x: &'a [f32], padded: &'a Buffer) -> &'a [f32] {
        match self {
            Linear::Conv(c) if c.padding > 0 => padded,
            _ => x,
        }
    }
}

impl Conv {
    /// Weights of one output channel.
    pub fn patch(&self) -> usize {
        self.input.channels / self.groups * self.kernel * self.kernel
    }

    fn group_channels(&self) -> usize {
        self.output.channels / self.groups
    }

    /// Rows and columns of the padded input.
    fn padded(&self) -> (usize, usize) {
        (self.input.rows + 2 * self.padding, self.input.columns + 2 * self.padding)
    }

    fn pad(&self, x: &[f32], padded: &mut Buffer) {
        if self.padding == 0 {
            return;
        }
        let (rows, columns) = self.padded();
        padded.resize(self.input.channels * rows * columns * RUN);
        let (edge, line) = (self.padding * RUN, self.input.columns * RUN);
        let border = self.padding * columns * RUN;
        for (channel, plane) in padded.chunks_exact_mut(rows * columns * RUN).enumerate() {
            let (above, rest) = plane.split_at_mut(border);
            let (inside, below) = rest.split_at_mut(rest.len() - border);
            above.fill(0.0);
            below.fill(0.0);
            for (row, into) in inside.chunks_exact_mut(columns * RUN).enumerate() {
                let from = (channel * self.input.rows + row) * line;
                into[..edge].fill(0.0);
                into[edge..edge + line].copy_from_slice(&x[from..from + line]);
                into[edge + line..].fill(0.0);
            }
        }
    }

    /// The kernel's places in the order in which an input position meets them: those of one remainder by the stride
    /// together, last to first, so that neighbouring places belong to neighbouring outputs.
    fn reading_order(&self) -> Vec<usize> {
        (0..self.stride).flat_map(|rest| (rest..self.kernel).step_by(self.stride).rev()).collect()
    }

    /// The outputs of one axis (`outputs` long) that read input position `at`.
    fn readers(&self, at: usize, outputs: usize) -> Readers {
        let reach = at + self.padding;
        let rest = reach % self.stride;
        // Output `o` reads it with the kernel's place `reach - o * stride`.
        let last = (reach / self.stride).min(outputs - 1);
        let first = (reach + 1).saturating_sub(self.kernel).div_ceil(self.stride);
        if first > last {
            return Readers { count: 0, tap: 0, output: 0 };
        }
        let place = reach - first * self.stride;
        // In reading order: the places of smaller remainders come first, then those above this one.
        let of = |rest: usize| self.kernel.saturating_sub(rest).div_ceil(self.stride);
        let before: usize = (0..rest).map(of).sum();
        Readers { count: last - first + 1, tap: before + of(rest) - 1 - place / self.stride, output: first }
    }
}

/// Neighbouring outputs that read one input position.
#[derive(Clone, Copy, Debug)]
struct Readers {
    /// How many.
    count: usize,
    /// The first one's place of the kernel, in reading order.
    tap: usize,
    /// The first one.
    output: usize,
}

struct Forward<'a> {
    map: &'a Linear,
    w: &'a [f32],
    start: Start<'a>,
    x: &'a [Run],
    y: &'a mut [Run],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Forward { map, w, start, x, y } = self;
        let c = match map {
            Linear::Dense { inputs, outputs } => {
                let axes = [Axis::ONE, Axis::ONE, Axis { count: *inputs, weight: 1, run: 1 }];
                let sum = Sum { weight: 0, weight_step: *inputs, run: 0, axes };
                return gather(simd, w, x, sum, y, 0, 1, *outputs, start);
            }
            Linear::Conv(c) => c,
        };
        let (rows, columns) = c.padded();
        let (inputs, outputs) = (c.input.channels / c.groups, c.group_channels());
        let axes = [
            Axis { count: inputs, weight: c.kernel * c.kernel, run: (rows * columns) as isize },
            Axis { count: c.kernel, weight: c.kernel, run: columns as isize },
        ];
        let places = c.output.rows * c.output.columns;
        let mut packed = Buffer::default();
        for (group, w) in w.chunks_exact(outputs * c.patch()).enumerate() {
            pack(&mut packed, outputs, c.patch(), |output, tap| w[output * c.patch() + tap]);
            let start = match start {
                Start::Bias(bias) => Start::Bias(&bias[group * outputs..]),
                other => other,
            };
            for row in 0..c.output.rows {
                for column in 0..c.output.columns {
                    let run = (group * inputs * rows + row * c.stride) * columns + column * c.stride;
                    let window = Window { weight: 0, run, axes, inner: c.kernel };
                    let first = group * outputs * places + row * c.output.columns + column;
                    slide(simd, &packed, x, window, y, first, places, outputs, start);
                }
            }
        }
    }
}

/// Puts weights into the order in which [`slide`] reads them; `weight` gives that of an output and a tap.
fn pack(packed: &mut Buffer, outputs: usize, taps: usize, weight: impl Fn(usize, usize) -> f32) {
    packed.resize(outputs * taps);
    let (mut slots, mut first) = (packed.iter_mut(), 0);
    for width in widths(outputs) {
        for tap in 0..taps {
            for (output, slot) in (first..first + width).zip(&mut slots) {
                *slot = weight(output, tap);
            }
        }
        first += width;
    }
}

struct BackwardInput<'a> {
    map: &'a Linear,
    w: &'a [f32],
    start: Start<'a>,
    dy: &'a [Run],
    dx: &'a mut [Run],
}

impl WithSimd for BackwardInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let BackwardInput { map, w, start, dy, dx } = self;
        let c = match map {
            Linear::Dense { inputs, outputs } => {
                let axes = [Axis::ONE, Axis::ONE, Axis { count: *outputs, weight: *inputs, run: 1 }];
                let sum = Sum { weight: 0, weight_step: 1, run: 0, axes };
                return gather(simd, w, dy, sum, dx, 0, 1, *inputs, start);
            }
            Linear::Conv(c) => c,
        };
        let (inputs, outputs) = (c.input.channels / c.groups, c.group_channels());
        let (rows, columns) = (c.output.rows, c.output.columns);
        let area = c.kernel * c.kernel;
        let plane = c.input.rows * c.input.columns;
        let mut packed = Buffer::default();
        for (group, w) in w.chunks_exact(outputs * c.patch()).enumerate() {
            let order = c.reading_order();
            pack(&mut packed, inputs, outputs * area, |input, tap| {
                let (output, ky, kx) = (tap / area, tap % area / c.kernel, tap % c.kernel);
                w[output * c.patch() + input * area + order[ky] * c.kernel + order[kx]]
            });
            for row in 0..c.input.rows {
                let down = c.readers(row, rows);
                for column in 0..c.input.columns {
                    let across = c.readers(column, columns);
                    let axes = [
                        Axis { count: outputs, weight: area, run: (rows * columns) as isize },
                        Axis { count: down.count, weight: c.kernel, run: columns as isize },
                    ];
                    let weight = down.tap * c.kernel + across.tap;
                    let run = (group * outputs * rows + down.output) * columns + across.output;
                    let window = Window { weight, run, axes, inner: across.count };
                    let first = group * inputs * plane + row * c.input.columns + column;
                    slide(simd, &packed, dy, window, dx, first, plane, inputs, start);
                }
            }
        }
    }
}

struct ConvWeights<'a> {
    conv: &'a Conv,
    dy: &'a [Run],
    x: &'a [Run],
    dw: &'a mut [f32],
}

impl WithSimd for ConvWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ConvWeights { conv: c, dy, x, dw } = self;
        let (rows, columns) = c.padded();
        let (inputs, outputs) = (c.input.channels / c.groups, c.group_channels());
        let plane = Plane {
            rows: c.output.rows,
            columns: c.output.columns,
            row_step: c.stride * columns,
            column_step: c.stride,
        };
        for (group, dw) in dw.chunks_exact_mut(outputs * c.patch()).enumerate() {
            let mut offsets = Vec::with_capacity(c.patch());
            for channel in group * inputs..(group + 1) * inputs {
                for ky in 0..c.kernel {
                    offsets.extend((0..c.kernel).map(|kx| (channel * rows + ky) * columns + kx));
                }
            }
            let first = group * outputs * plane.rows * plane.columns;
            correlate(simd, dy, first, x, &offsets, plane, dw);
        }
    }
}

/// A dense layer's input with features innermost, `[feature / 32][image][feature % 32]`, as [`dense_weights`] reads it.
pub fn transpose(x: &[f32], transposed: &mut Buffer) {
    let features = x.len() / RUN;
    transposed.resize(features.next_multiple_of(RUN) * RUN);
    Arch::new().dispatch(Transpose { x: runs(x), transposed: runs_mut(transposed) });
}

struct Transpose<'a> {
    x: &'a [Run],
    transposed: &'a mut [Run],
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut last = [[0.0; RUN]; RUN];
        for (from, into) in self.x.chunks(RUN).zip(self.transposed.chunks_exact_mut(RUN)) {
            let tile = from.first_chunk().unwrap_or_else(|| {
                last[..from.len()].copy_from_slice(from);
                &last
            });
            kernel::transpose(simd, tile, into);
        }
    }
}

/// Rows `rows` of a dense layer's weight gradient, summed over `blocks` of (dy, transposed input), in their order; `dw`
/// holds these rows and is overwritten.
///
/// Over the whole batch at once and split by rows, it needs neither a gradient per block nor their sum.
pub fn dense_weights(inputs: usize, rows: Range<usize>, blocks: &[(&[f32], &[f32])], dw: &mut [f32]) {
    Arch::new().dispatch(DenseWeights { inputs, rows, blocks, dw });
}

struct DenseWeights<'a> {
    inputs: usize,
    rows: Range<usize>,
    blocks: &'a [(&'a [f32], &'a [f32])],
    dw: &'a mut [f32],
}

impl WithSimd for DenseWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let DenseWeights { inputs, rows, blocks, dw } = self;
        let blocks: Vec<(&[Run], &[Run])> =
            blocks.iter().map(|(dy, transposed)| (runs(dy), runs(transposed))).collect();
        // The inputs of a chunk stay in the first cache while the rows go by.
        for chunk in 0..inputs.div_ceil(RUN) {
            let mut done = 0;
            for width in widths(rows.len()) {
                let (row, dw) = (rows.start + done, &mut dw[done * inputs..(done + width) * inputs]);
                match width {
                    6 => outer::<S, 6>(simd, &blocks, row, chunk, dw, inputs),
                    5 => outer::<S, 5>(simd, &blocks, row, chunk, dw, inputs),
                    4 => outer::<S, 4>(simd, &blocks, row, chunk, dw, inputs),
                    3 => outer::<S, 3>(simd, &blocks, row, chunk, dw, inputs),
                    2 => outer::<S, 2>(simd, &blocks, row, chunk, dw, inputs),
                    _ => outer::<S, 1>(simd, &blocks, row, chunk, dw, inputs),
                }
                done += width;
            }
        }
    }
}
