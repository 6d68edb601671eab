//! Max- and average-pool over square windows, batch innermost.

use super::shape::Shape;

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

impl Pool {
    /// Calls `f(output run, window index, input run)`: offsets of `batch` floats, windows in a fixed order.
    fn runs(&self, batch: usize, mut f: impl FnMut(usize, usize, usize)) {
        for channel in 0..self.output.channels {
            for row in 0..self.output.rows {
                for column in 0..self.output.columns {
                    let out = ((channel * self.output.rows + row) * self.output.columns + column) * batch;
                    for ky in 0..self.size {
                        let line = (channel * self.input.rows + row * self.stride + ky) * self.input.columns;
                        for kx in 0..self.size {
                            f(out, ky * self.size + kx, (line + column * self.stride + kx) * batch);
                        }
                    }
                }
            }
        }
    }

    /// `y = pool(x)`.
    pub fn forward(&self, x: &[f32], y: &mut [f32], batch: usize) {
        let share = 1.0 / (self.size * self.size) as f32;
        self.runs(batch, |out, k, from| {
            let (y, x) = (&mut y[out..out + batch], &x[from..from + batch]);
            match (self.max, k) {
                (true, 0) => y.copy_from_slice(x),
                (true, _) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x > *y { x } else { *y }),
                (false, 0) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * share),
                (false, _) => y.iter_mut().zip(x).for_each(|(y, &x)| *y += x * share),
            }
        });
    }

    /// Adds the input's gradient. Of equal largest values the first of the window takes it, as in the forward pass.
    pub fn backward(&self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], batch: usize) {
        let share = 1.0 / (self.size * self.size) as f32;
        let mut left = vec![0.0; batch];
        self.runs(batch, |out, k, from| {
            let (dx, x) = (&mut dx[from..from + batch], &x[from..from + batch]);
            let (y, dy) = (&y[out..out + batch], &dy[out..out + batch]);
            if !self.max {
                dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy * share);
                return;
            }
            if k == 0 {
                left.copy_from_slice(dy);
            }
            for i in 0..batch {
                let winner = x[i] == y[i];
                dx[i] += if winner { left[i] } else { 0.0 };
                left[i] = if winner { 0.0 } else { left[i] };
            }
        });
    }
}
