//! Dense and convolution as what they share: a map linear in its weights and in its input, without bias.
//!
//! Activations lie *batch-innermost*, `[channel][row][column][image]`: padding, strides and pooling then never touch
//! single numbers but runs of `batch` floats, flattening is free, and one layout serves dense and convolution alike.
//! A convolution becomes a product per tile of output rows: the input patches of the tile are copied as rows of a
//! matrix (runs again, since the batch is innermost) small enough to stay in the cache.

use super::gemm::{View, matmul};
use super::shape::Shape;

/// Patches of a tile take about this many floats, to stay inside a core's second-level cache.
const TILE_FLOATS: usize = 64 * 1024;

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

/// Room for patches, reused from layer to layer.
#[derive(Default)]
pub struct Patches(Vec<f32>);

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

    /// `y = w · x`; `x` holds `batch` images, `y` is overwritten.
    pub fn forward(&self, w: &[f32], x: &[f32], y: &mut [f32], batch: usize, patches: &mut Patches) {
        match self {
            Linear::Dense { inputs, outputs } => {
                matmul((*outputs, batch, *inputs), View::rows(w, *inputs), View::rows(x, batch), y, batch, false);
            }
            Linear::Conv(c) => c.tiles(batch, |group, first_row, rows, run| {
                let columns = run * rows;
                let patch = patches.fill(c, x, batch, group, first_row, rows);
                let (out, stride) = c.output_tile(group, first_row, batch);
                matmul(
                    (c.group_channels(), columns, c.patch()),
                    View::rows(&w[group * c.group_weights()..], c.patch()),
                    View::rows(patch, columns),
                    &mut y[out..],
                    stride,
                    false,
                );
            }),
        }
    }

    /// Adds the weights' gradient: `dw += dy · x^T`.
    pub fn backward_weights(&self, dy: &[f32], x: &[f32], dw: &mut [f32], batch: usize, patches: &mut Patches) {
        match self {
            Linear::Dense { inputs, outputs } => {
                let x = View::rows(x, batch).transposed();
                matmul((*outputs, *inputs, batch), View::rows(dy, batch), x, dw, *inputs, true);
            }
            Linear::Conv(c) => c.tiles(batch, |group, first_row, rows, run| {
                let columns = run * rows;
                let patch = patches.fill(c, x, batch, group, first_row, rows);
                let (out, stride) = c.output_tile(group, first_row, batch);
                matmul(
                    (c.group_channels(), c.patch(), columns),
                    View::rows(&dy[out..], stride),
                    View::rows(patch, columns).transposed(),
                    &mut dw[group * c.group_weights()..],
                    c.patch(),
                    true,
                );
            }),
        }
    }

    /// Adds the input's gradient: `dx += w^T · dy`.
    pub fn backward_input(&self, w: &[f32], dy: &[f32], dx: &mut [f32], batch: usize, patches: &mut Patches) {
        match self {
            Linear::Dense { inputs, outputs } => {
                let w = View::rows(w, *inputs).transposed();
                matmul((*inputs, batch, *outputs), w, View::rows(dy, batch), dx, batch, true);
            }
            Linear::Conv(c) => c.tiles(batch, |group, first_row, rows, run| {
                let columns = run * rows;
                patches.room(c.patch() * columns);
                let (out, stride) = c.output_tile(group, first_row, batch);
                matmul(
                    (c.patch(), columns, c.group_channels()),
                    View::rows(&w[group * c.group_weights()..], c.patch()).transposed(),
                    View::rows(&dy[out..], stride),
                    &mut patches.0,
                    columns,
                    false,
                );
                patches.scatter(c, dx, batch, group, first_row, rows);
            }),
        }
    }
}

impl Conv {
    fn patch(&self) -> usize {
        self.input.channels / self.groups * self.kernel * self.kernel
    }

    fn group_channels(&self) -> usize {
        self.output.channels / self.groups
    }

    fn group_weights(&self) -> usize {
        self.group_channels() * self.patch()
    }

    /// Where a group's tile begins in the output, and the distance between its channels.
    fn output_tile(&self, group: usize, first_row: usize, batch: usize) -> (usize, usize) {
        let plane = self.output.rows * self.output.columns * batch;
        (group * self.group_channels() * plane + first_row * self.output.columns * batch, plane)
    }

    /// Calls `f(group, first output row, rows, floats per row)` for each tile, in order.
    fn tiles(&self, batch: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
        let run = self.output.columns * batch;
        let rows_per_tile = (TILE_FLOATS / (self.patch() * run)).clamp(1, self.output.rows);
        for group in 0..self.groups {
            let mut row = 0;
            while row < self.output.rows {
                let rows = rows_per_tile.min(self.output.rows - row);
                f(group, row, rows, run);
                row += rows;
            }
        }
    }

    /// Output columns for which column `kx` of the kernel reads inside the input.
    fn inside(&self, kx: usize) -> (usize, usize) {
        let first = self.padding.saturating_sub(kx).div_ceil(self.stride);
        let end = (self.input.columns + self.padding).saturating_sub(kx).div_ceil(self.stride);
        let end = end.min(self.output.columns);
        (first.min(end), end)
    }

    /// Calls `f(offset in the patch matrix, offset in the input or None for padding, floats)` for every run of a tile.
    fn runs(
        &self,
        batch: usize,
        group: usize,
        first_row: usize,
        rows: usize,
        mut f: impl FnMut(usize, Option<usize>, usize),
    ) {
        let row_floats = self.output.columns * batch;
        let channels = self.input.channels / self.groups;
        let mut line = 0;
        for channel in group * channels..(group + 1) * channels {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    let (first, end) = self.inside(kx);
                    for row in 0..rows {
                        let to = (line * rows + row) * row_floats;
                        let y = ((first_row + row) * self.stride + ky).wrapping_sub(self.padding);
                        // `first == end`: this column of the kernel never meets the input.
                        if y >= self.input.rows || first == end {
                            f(to, None, row_floats);
                            continue;
                        }
                        f(to, None, first * batch);
                        let from = (channel * self.input.rows + y) * self.input.columns;
                        if self.stride == 1 {
                            let x = first + kx - self.padding;
                            f(to + first * batch, Some((from + x) * batch), (end - first) * batch);
                        } else {
                            for column in first..end {
                                let x = column * self.stride + kx - self.padding;
                                f(to + column * batch, Some((from + x) * batch), batch);
                            }
                        }
                        f(to + end * batch, None, row_floats - end * batch);
                    }
                    line += 1;
                }
            }
        }
    }
}

impl Patches {
    fn room(&mut self, floats: usize) -> &mut [f32] {
        if self.0.len() < floats {
            self.0.resize(floats, 0.0);
        }
        &mut self.0[..floats]
    }

    fn fill(&mut self, c: &Conv, x: &[f32], batch: usize, group: usize, first_row: usize, rows: usize) -> &[f32] {
        let floats = c.patch() * rows * c.output.columns * batch;
        let patches = self.room(floats);
        c.runs(batch, group, first_row, rows, |to, from, floats| match from {
            Some(from) => patches[to..to + floats].copy_from_slice(&x[from..from + floats]),
            None => patches[to..to + floats].fill(0.0),
        });
        patches
    }

    fn scatter(&self, c: &Conv, dx: &mut [f32], batch: usize, group: usize, first_row: usize, rows: usize) {
        c.runs(batch, group, first_row, rows, |at, into, floats| {
            if let Some(into) = into {
                for (d, p) in dx[into..into + floats].iter_mut().zip(&self.0[at..at + floats]) {
                    *d += p;
                }
            }
        });
    }
}
