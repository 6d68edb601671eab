//! Pools of Gaussians: the mean of a window, or its largest by pairs.
//!
//! The largest of several is taken as the larger of two, again and again, each time as if that one were Gaussian
//! ([`larger`]). Rows meet before columns: neighbouring rows lie in one piece, `[row][column][channel]`, and are worked
//! off as one vector.

use super::activation::larger;
use super::linear::{LANES, lanes_at};
use crate::math::vectorized;
use crate::nn::buffer::Buffer;
use qbnn_core::model::{self, Shape};

/// A pooling layer with its sizes; windows that would pass the edge are left out.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Shape of its input.
    pub from: Shape,
    /// Shape of its output.
    pub to: Shape,
    /// Window and step.
    pub pool: model::Pool,
}

/// Joins `from` into `into`, number by number: means and variances, or numbers that are known and have no variances.
#[inline(always)]
fn join<const RANDOM: bool>(max: bool, into: [&mut [f32]; 2], from: [&[f32]; 2]) {
    let ([mean, variance], [m, v]) = (into, from);
    match (max, RANDOM) {
        (true, true) => {
            for ((mean, variance), (&m, &v)) in mean.iter_mut().zip(variance).zip(m.iter().zip(v)) {
                (*mean, *variance) = larger(*mean, *variance, m, v);
            }
        }
        (true, false) => mean.iter_mut().zip(m).for_each(|(a, &b)| *a = if b > *a { b } else { *a }),
        (false, _) => {
            mean.iter_mut().zip(m).for_each(|(a, b)| *a += b);
            variance.iter_mut().zip(v).for_each(|(a, b)| *a += b);
        }
    }
}

impl Pool {
    /// `y = pool(x)`; means and variances, or, unless `RANDOM`, known numbers alone. `rows` and `column` are working
    /// memory. `x` and `y` have [`LANES`] numbers more than their shapes say.
    pub fn forward<const RANDOM: bool>(
        &self,
        x: [&[f32]; 2],
        y: [&mut [f32]; 2],
        rows: &mut [Buffer; 2],
        column: &mut [Buffer; 2],
    ) {
        let model::Pool { max, size, stride } = self.pool;
        let channels = self.from.channels;
        let (line, out) = (self.from.columns * channels, self.to.columns * channels);
        // Whole vectors: a row's last one runs into the next row, or past the end, where nothing is read from it.
        let (line_up, out_up) = (line.next_multiple_of(LANES), out.next_multiple_of(LANES));
        // Of variances, where there are any.
        let part = |i: usize| if RANDOM { i } else { 0 };
        let parts = if RANDOM { 2 } else { 1 };
        for (rows, column) in rows.iter_mut().zip(column.iter_mut()) {
            rows.resize(line + LANES);
            column.resize(out + LANES);
        }
        let ([x_mean, x_variance], [mean, variance]) = (x, y);
        vectorized(
            #[inline(always)]
            || {
                for row in 0..self.to.rows {
                    for ky in 0..size {
                        let at = (row * stride + ky) * line;
                        let from = [&x_mean[at..at + line_up], &x_variance[part(at)..part(at + line_up)]];
                        let [rows_mean, rows_variance] = &mut *rows;
                        let into = [&mut rows_mean[..line_up], &mut rows_variance[..part(line_up)]];
                        if ky == 0 {
                            into.into_iter().zip(from).for_each(|(into, from)| into.copy_from_slice(from));
                        } else {
                            join::<RANDOM>(max, into, from);
                        }
                    }
                    let at = row * out;
                    for kx in 0..size {
                        for part in 0..parts {
                            let into = match (kx, part) {
                                (0, 0) => &mut mean[at..],
                                (0, _) => &mut variance[at..],
                                _ => &mut column[part][..],
                            };
                            for to in 0..self.to.columns {
                                let from = &rows[part][(to * stride + kx) * channels..];
                                spread(from, &mut into[to * channels..], channels);
                            }
                        }
                        if kx > 0 {
                            let into = [&mut mean[at..at + out_up], &mut variance[part(at)..part(at + out_up)]];
                            join::<RANDOM>(max, into, [&column[0][..out_up], &column[1][..part(out_up)]]);
                        }
                    }
                }
                if !max {
                    let (n, share) = (out * self.to.rows, 1.0 / (size * size) as f32);
                    mean[..n].iter_mut().for_each(|m| *m *= share);
                    // Independent, as everything here: the variance of a sum is the sum of variances.
                    variance[..part(n)].iter_mut().for_each(|v| *v *= share * share);
                }
            },
        );
    }
}

/// Copies at least `n` numbers in whole vectors; those past them are written again by who comes next.
#[inline(always)]
fn spread(from: &[f32], into: &mut [f32], n: usize) {
    let mut at = 0;
    while at < n {
        lanes_at(into, at).copy_from_slice(&from[at..at + LANES]);
        at += LANES;
    }
}
