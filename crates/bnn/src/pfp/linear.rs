//! Dense layers and convolutions of independent Gaussians.
//!
//! With weights w of mean mu and variance s², and inputs x of mean m and variance v, all independent, a sum of products
//! has mean Σ mu m and variance Σ (s² (m² + v) + mu² v). The second form of the same, Σ E\[w²\] E\[x²\] - (mu m)², would
//! take as many products and lose digits in a difference. Known inputs have v = 0, and one product less.
//!
//! One image at a time: a vector holds neighbouring output channels, the weights lie so that each of their vectors meets
//! a single input, and a tile of outputs stays in registers. Two numbers of each weight are read and mu² is worked out on
//! the way: at one image reading is what takes the time.

use crate::math::vectorized;
use crate::nn::buffer::Buffer;
use crate::nn::kernel::{lanes, widths};
use crate::stored::DecodedPosterior;
use pulp::{Arch, Simd, WithSimd};
use qbnn_core::model::{self, Shape};

/// Output channels that lie together, whatever the width of a vector.
pub const LANES: usize = 16;

/// A number of each channel of a tile.
type Lane = [f32; LANES];

/// Tiles that a place is worked off in at a time, where there is one place only.
const TILES: usize = 4;

fn lanes_of(floats: &[f32]) -> &[Lane] {
    floats.as_chunks().0
}

/// The [`LANES`] numbers at a place.
#[inline(always)]
pub fn lanes_at(floats: &mut [f32], at: usize) -> &mut [f32] {
    &mut floats[at..at + LANES]
}

/// A linear layer, its weights laid out.
#[derive(Clone, Debug)]
pub struct Linear {
    from: Shape,
    to: Shape,
    map: model::Linear,
    /// Means, `[group][tile of channels][tap][channel]`.
    mean: Buffer,
    /// Variances, likewise.
    variance: Buffer,
    /// Means of the biases, `[group][tile][channel]`.
    bias_mean: Buffer,
    /// Variances of the biases.
    bias_variance: Buffer,
}

impl Linear {
    /// A layer from `from` to `to` with these means and standard deviations.
    pub fn new(from: Shape, to: Shape, map: model::Linear, stored: &DecodedPosterior) -> Self {
        let (group, taps) = (to.channels / map.groups, map.fan_in());
        let tiles = group.div_ceil(LANES);
        let lay = |taps: usize, value: &dyn Fn(usize, usize) -> f32| {
            let mut laid = Buffer::default();
            laid.resize(map.groups * tiles * taps * LANES);
            for (i, slot) in laid.iter_mut().enumerate() {
                let (tile, tap, lane) = (i / LANES / taps, i / LANES % taps, i % LANES);
                let channel = tile % tiles * LANES + lane;
                let channel = (channel < group).then_some(tile / tiles * group + channel);
                *slot = channel.map_or(0.0, |c| value(c, tap));
            }
            laid
        };
        Linear {
            from,
            to,
            map,
            mean: lay(taps, &|c, tap| stored.mu[c * taps + tap]),
            variance: lay(taps, &|c, tap| stored.sigma[c * taps + tap].powi(2)),
            bias_mean: lay(1, &|c, _| stored.bias_mu[c]),
            bias_variance: lay(1, &|c, _| stored.bias_sigma[c].powi(2)),
        }
    }

    /// Rows and columns of the padded input.
    fn padded(&self) -> (usize, usize) {
        (self.from.rows + 2 * self.map.padding, self.from.columns + 2 * self.map.padding)
    }

    /// Means and variances of the outputs. How many `PRODUCTS` a weight takes part in says what is known: 1, weights
    /// and inputs, so that this is a plain float layer; 2, the inputs (their variances are not looked at); 3, neither.
    ///
    /// `y` has [`LANES`] numbers more than its shape says; `scratch` is working memory.
    pub fn forward<const PRODUCTS: usize>(&self, x: [&[f32]; 2], y: [&mut [f32]; 2], scratch: &mut Buffer) {
        let [mean, variance] = x;
        let factors = if PRODUCTS == 1 && self.map.padding == 0 {
            mean
        } else {
            self.lay_out::<PRODUCTS>(mean, variance, scratch);
            scratch
        };
        let [y_mean, y_variance] = y;
        let x = factors.as_chunks().0;
        Arch::new().dispatch(Forward::<PRODUCTS> { layer: self, x, y_mean, y_variance });
    }

    /// What a weight meets, side by side and with zeros around it: m; m and m²; or m, m² + v and v.
    fn lay_out<const PRODUCTS: usize>(&self, mean: &[f32], variance: &[f32], into: &mut Buffer) {
        let (rows, columns) = self.padded();
        let (line, width) = (self.from.columns * self.from.channels, columns * self.from.channels);
        into.resize(rows * width * PRODUCTS);
        if self.map.padding > 0 {
            into.fill(0.0);
        }
        let into: &mut [[f32; PRODUCTS]] = into.as_chunks_mut().0;
        let first = self.map.padding * (width + self.from.channels);
        vectorized(
            #[inline(always)]
            || {
                for row in 0..self.from.rows {
                    let into = &mut into[first + row * width..][..line];
                    let mean = &mean[row * line..][..line];
                    let variance = if PRODUCTS > 2 { &variance[row * line..][..line] } else { mean };
                    for ((x, &m), &v) in into.iter_mut().zip(mean).zip(variance) {
                        x[0] = m;
                        if PRODUCTS > 1 {
                            x[1] = if PRODUCTS > 2 { m * m + v } else { m * m };
                        }
                        if PRODUCTS > 2 {
                            x[2] = v;
                        }
                    }
                }
            },
        );
    }
}

struct Forward<'a, const PRODUCTS: usize> {
    layer: &'a Linear,
    x: &'a [[f32; PRODUCTS]],
    y_mean: &'a mut [f32],
    y_variance: &'a mut [f32],
}

/// Where a tile reads and writes.
#[derive(Clone, Copy)]
struct At {
    /// Number of its first block of weights: group * tiles + tile.
    block: usize,
    /// Channels of the last block that are some.
    channels: usize,
    /// Index of its first input.
    input: usize,
    /// Index of its first output.
    output: usize,
}

impl<const PRODUCTS: usize> WithSimd for Forward<'_, PRODUCTS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Linear { to, map, from, .. } = *self.layer;
        let (_, columns) = self.layer.padded();
        let group = to.channels / map.groups;
        let tiles = group.div_ceil(LANES);
        let single = to.rows * to.columns == 1;
        for g in 0..map.groups {
            let input = g * map.group_inputs;
            let mut tile = 0;
            while tile < tiles {
                let count = if single { TILES.min(tiles - tile) } else { 1 };
                let channels = (group - (tile + count - 1) * LANES).min(LANES);
                let mut at = At { block: g * tiles + tile, channels, input, output: g * group + tile * LANES };
                for row in 0..to.rows {
                    at.input = input + row * map.stride * columns * from.channels;
                    for width in widths(to.columns) {
                        match (width, count) {
                            (6, _) => self.tile::<S, 6, 1>(simd, at),
                            (5, _) => self.tile::<S, 5, 1>(simd, at),
                            (4, _) => self.tile::<S, 4, 1>(simd, at),
                            (3, _) => self.tile::<S, 3, 1>(simd, at),
                            (2, _) => self.tile::<S, 2, 1>(simd, at),
                            (_, 4) => self.tile::<S, 1, 4>(simd, at),
                            (_, 3) => self.tile::<S, 1, 3>(simd, at),
                            (_, 2) => self.tile::<S, 1, 2>(simd, at),
                            _ => self.tile::<S, 1, 1>(simd, at),
                        }
                        at.input += width * map.stride * from.channels;
                        at.output += width * to.channels;
                    }
                }
                tile += count;
            }
        }
    }
}

impl<const PRODUCTS: usize> Forward<'_, PRODUCTS> {
    /// `P` neighbouring places, each of `V` tiles of channels.
    #[inline(always)]
    fn tile<S: Simd, const P: usize, const V: usize>(&mut self, simd: S, at: At) {
        let Linear { to, map, from, ref mean, ref variance, ref bias_mean, ref bias_variance } = *self.layer;
        let (taps, step) = (map.fan_in(), map.stride * from.channels);
        let (_, columns) = self.layer.padded();
        // A window is rows of neighbours; where channels are split into groups, rows of columns of neighbours.
        let (across, run) = match map.groups {
            1 => (1, map.kernel_columns * from.channels),
            _ => (map.kernel_columns, map.group_inputs),
        };
        let (w_mean, w_variance) = (lanes_of(mean), lanes_of(variance));
        let (b_mean, b_variance) = (lanes_of(bias_mean), lanes_of(bias_variance));
        let mut means = [[[0.0f32; LANES]; V]; P];
        let mut variances = means;
        let used = if V == 1 { at.channels } else { LANES };
        for part in 0..used.div_ceil(lanes::<S>()) {
            let mut sums = [[simd.splat_f32s(0.0); V]; P];
            let mut spreads = [[simd.splat_f32s(0.0); V]; P];
            for k in 0..V {
                let start = S::as_simd_f32s(&b_mean[at.block + k]).0[part];
                let spread = S::as_simd_f32s(&b_variance[at.block + k]).0[part];
                for p in 0..P {
                    sums[p][k] = start;
                    spreads[p][k] = spread;
                }
            }
            let mut tap = at.block * taps;
            for row in 0..map.kernel_rows {
                for column in 0..across {
                    let first = at.input + (row * columns + column) * from.channels;
                    let x: [&[[f32; PRODUCTS]]; P] = std::array::from_fn(|p| &self.x[first + p * step..][..run]);
                    let mus: [&[Lane]; V] = std::array::from_fn(|k| &w_mean[tap + k * taps..][..run]);
                    let sigmas: [&[Lane]; V] = std::array::from_fn(|k| &w_variance[tap + k * taps..][..run]);
                    for i in 0..run {
                        for k in 0..V {
                            let mu = S::as_simd_f32s(&mus[k][i]).0[part];
                            for p in 0..P {
                                sums[p][k] = simd.mul_add_e_f32s(mu, simd.splat_f32s(x[p][i][0]), sums[p][k]);
                            }
                            if PRODUCTS > 1 {
                                let sigma = S::as_simd_f32s(&sigmas[k][i]).0[part];
                                for p in 0..P {
                                    let square = simd.splat_f32s(x[p][i][1]);
                                    spreads[p][k] = simd.mul_add_e_f32s(sigma, square, spreads[p][k]);
                                }
                            }
                            if PRODUCTS > 2 {
                                let square = simd.mul_f32s(mu, mu);
                                for p in 0..P {
                                    let variance = simd.splat_f32s(x[p][i][2]);
                                    spreads[p][k] = simd.mul_add_e_f32s(square, variance, spreads[p][k]);
                                }
                            }
                        }
                    }
                    tap += run;
                }
            }
            for p in 0..P {
                for k in 0..V {
                    S::as_mut_simd_f32s(&mut means[p][k]).0[part] = sums[p][k];
                    S::as_mut_simd_f32s(&mut variances[p][k]).0[part] = spreads[p][k];
                }
            }
        }
        // A lone tile of channels may write its whole vector: what spills over is written by the next place.
        let spills = map.groups == 1 && (to.channels <= LANES || to.rows * to.columns == 1);
        for (p, tiles) in means.iter().zip(&variances).enumerate() {
            for (k, (mean, variance)) in tiles.0.iter().zip(tiles.1).enumerate() {
                let n = if k + 1 < V || spills { LANES } else { at.channels };
                let to = at.output + p * to.channels + k * LANES;
                self.y_mean[to..to + n].copy_from_slice(&mean[..n]);
                if PRODUCTS > 1 {
                    self.y_variance[to..to + n].copy_from_slice(&variance[..n]);
                }
            }
        }
    }
}
