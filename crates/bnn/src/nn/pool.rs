//! Max- and average-pool over square windows, batch innermost.

use crate::math::vectorized;
use qbnn_core::Shape;

/// A pooling layer with its sizes; windows that would pass the edge are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Input shape.
    pub input: Shape,
    /// Output shape.
    pub output: Shape,
    /// Window height and width.
    pub size: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Largest (true) or mean (false).
    pub max: bool,
}

/// Floats that move together; a run shorter than this goes one by one.
const LANES: usize = 16;

impl Pool {
    /// Calls `f(output run, first run of its window)`: offsets of `batch` floats.
    #[inline(always)]
    fn windows(&self, batch: usize, mut f: impl FnMut(usize, usize)) {
        for channel in 0..self.output.channels {
            for row in 0..self.output.rows {
                let line = (channel * self.input.rows + row * self.stride) * self.input.columns;
                for column in 0..self.output.columns {
                    let out = (channel * self.output.rows + row) * self.output.columns + column;
                    f(out * batch, (line + column * self.stride) * batch);
                }
            }
        }
    }

    /// Calls `f` with each place's distance from the window's first, in a fixed order.
    #[inline(always)]
    fn places(&self, batch: usize, mut f: impl FnMut(usize)) {
        for ky in 0..self.size {
            for kx in 0..self.size {
                f((ky * self.input.columns + kx) * batch);
            }
        }
    }

    /// `y = pool(x)`.
    pub fn forward(&self, x: &[f32], y: &mut [f32], batch: usize) {
        vectorized(
            #[inline(always)]
            || {
                self.windows(
                    batch,
                    #[inline(always)]
                    |out, from| {
                        let run = &mut y[out..out + batch];
                        let mut start = 0;
                        while start + LANES <= batch {
                            self.forward_lanes::<LANES>(x, run, start, from + start, batch);
                            start += LANES;
                        }
                        for i in start..batch {
                            self.forward_lanes::<1>(x, run, i, from + i, batch);
                        }
                    },
                );
            },
        );
    }

    #[inline(always)]
    fn forward_lanes<const L: usize>(&self, x: &[f32], run: &mut [f32], at: usize, from: usize, batch: usize) {
        let mut best = [if self.max { f32::NEG_INFINITY } else { 0.0 }; L];
        self.places(
            batch,
            #[inline(always)]
            |k| {
                for (b, &x) in best.iter_mut().zip(&x[from + k..from + k + L]) {
                    *b = match (self.max, x > *b) {
                        (true, true) => x,
                        (true, false) => *b,
                        (false, _) => *b + x,
                    };
                }
            },
        );
        let share = if self.max { 1.0 } else { 1.0 / (self.size * self.size) as f32 };
        run[at..at + L].iter_mut().zip(best).for_each(|(y, b)| *y = b * share);
    }

    /// Whether every input lies in exactly one window.
    fn tiles(&self) -> bool {
        let fits = |from: usize, windows: usize| self.stride == self.size && windows * self.size == from;
        fits(self.input.rows, self.output.rows) && fits(self.input.columns, self.output.columns)
    }

    /// The input's gradient, overwritten. Of equal largest values the first of the window takes it, as in the forward
    /// pass.
    pub fn backward(&self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], batch: usize) {
        if self.tiles() {
            self.backward_as::<false>(x, y, dy, dx, batch);
        } else {
            dx.fill(0.0);
            self.backward_as::<true>(x, y, dy, dx, batch);
        }
    }

    /// Adds to `dx`, or overwrites it.
    fn backward_as<const ADD: bool>(&self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], batch: usize) {
        vectorized(
            #[inline(always)]
            || {
                self.windows(
                    batch,
                    #[inline(always)]
                    |out, from| {
                        let (y, dy) = (&y[out..out + batch], &dy[out..out + batch]);
                        let mut start = 0;
                        while start + LANES <= batch {
                            self.backward_lanes::<LANES, ADD>(x, y, dy, dx, start, from + start, batch);
                            start += LANES;
                        }
                        for i in start..batch {
                            self.backward_lanes::<1, ADD>(x, y, dy, dx, i, from + i, batch);
                        }
                    },
                );
            },
        );
    }

    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the four arrays of a backward pass, and where")]
    fn backward_lanes<const L: usize, const ADD: bool>(
        &self,
        x: &[f32],
        y: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        at: usize,
        from: usize,
        batch: usize,
    ) {
        let (mut left, mut top) = ([0.0; L], [0.0; L]);
        left.copy_from_slice(&dy[at..at + L]);
        top.copy_from_slice(&y[at..at + L]);
        let share = 1.0 / (self.size * self.size) as f32;
        self.places(
            batch,
            #[inline(always)]
            |k| {
                let (x, dx) = (&x[from + k..from + k + L], &mut dx[from + k..from + k + L]);
                for i in 0..L {
                    let before = if ADD { dx[i] } else { 0.0 };
                    if self.max {
                        let winner = x[i] == top[i];
                        dx[i] = before + if winner { left[i] } else { 0.0 };
                        left[i] = if winner { 0.0 } else { left[i] };
                    } else {
                        dx[i] = before + left[i] * share;
                    }
                }
            },
        );
    }
}
