//! Sums of runs: outputs as sums of input runs, each times one weight.

use super::run::{RUN, Run, lanes};
use pulp::Simd;

/// One of the nested sums over (weight, run) pairs: how many, and how far apart.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Terms.
    pub count: usize,
    /// Weights between neighbours.
    pub weight: usize,
    /// Runs between neighbours.
    pub run: isize,
}

impl Axis {
    /// A single term.
    pub const ONE: Axis = Axis { count: 1, weight: 0, run: 0 };
}

/// Where the first term lies, and the sums over the others.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// Index of the first output's first weight.
    pub weight: usize,
    /// Weights between neighbouring outputs.
    pub weight_step: usize,
    /// Index of the first run.
    pub run: usize,
    /// The sums, outermost first.
    pub axes: [Axis; 3],
}

/// What an output begins with.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Nothing.
    Zero,
    /// What is there.
    Add,
    /// A number for each output.
    Bias(&'a [f32]),
}

/// Outputs of a tile: with two vectors each they fill twelve registers.
const OUTPUTS: usize = 6;
/// Vectors of a tile.
const VECTORS: usize = 2;

/// Output runs `first`, `first + step`, … (`count` of them) as sums of input runs times weights.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "weights, input, output, and where in each")]
pub fn gather<S: Simd>(
    simd: S,
    w: &[f32],
    x: &[Run],
    mut sum: Sum,
    y: &mut [Run],
    mut first: usize,
    step: usize,
    count: usize,
    start: Start<'_>,
) {
    let mut done = 0;
    for width in widths(count) {
        let bias = match start {
            Start::Bias(all) => Start::Bias(&all[done..]),
            other => other,
        };
        match width {
            6 => tile::<S, 6>(simd, w, x, sum, y, first, step, bias),
            5 => tile::<S, 5>(simd, w, x, sum, y, first, step, bias),
            4 => tile::<S, 4>(simd, w, x, sum, y, first, step, bias),
            3 => tile::<S, 3>(simd, w, x, sum, y, first, step, bias),
            2 => tile::<S, 2>(simd, w, x, sum, y, first, step, bias),
            _ => tile::<S, 1>(simd, w, x, sum, y, first, step, bias),
        }
        sum.weight += width * sum.weight_step;
        first += width * step;
        done += width;
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "weights, input, output, and where in each")]
fn tile<S: Simd, const O: usize>(
    simd: S,
    w: &[f32],
    x: &[Run],
    sum: Sum,
    y: &mut [Run],
    first: usize,
    step: usize,
    start: Start<'_>,
) {
    let [a, b, c] = sum.axes;
    for part in 0..RUN / (VECTORS * lanes::<S>()) {
        let at = part * VECTORS;
        let mut acc = begin::<S, O>(simd, start, y, first, step, at);
        let (mut wa, mut xa) = (sum.weight, sum.run);
        for _ in 0..a.count {
            let (mut wb, mut xb) = (wa, xa);
            for _ in 0..b.count {
                let (mut wc, mut xc) = (wb, xb);
                for _ in 0..c.count {
                    let (run, _) = S::as_simd_f32s(&x[xc]);
                    let run: [S::f32s; VECTORS] = std::array::from_fn(|v| run[at + v]);
                    for (j, acc) in acc.iter_mut().enumerate() {
                        let weight = simd.splat_f32s(w[wc + j * sum.weight_step]);
                        for (acc, &x) in acc.iter_mut().zip(&run) {
                            *acc = simd.mul_add_e_f32s(weight, x, *acc);
                        }
                    }
                    wc += c.weight;
                    xc = xc.wrapping_add_signed(c.run);
                }
                wb += b.weight;
                xb = xb.wrapping_add_signed(b.run);
            }
            wa += a.weight;
            xa = xa.wrapping_add_signed(a.run);
        }
        finish::<S, O>(acc, y, first, step, at);
    }
}

/// A window of input runs, and the weights that meet it: `count` rows of rows of neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Index of the first weight, in taps.
    pub weight: usize,
    /// Index of the first run.
    pub run: usize,
    /// The two outer sums; weights counted in taps.
    pub axes: [Axis; 2],
    /// Neighbouring taps and runs of the innermost sum.
    pub inner: usize,
}

/// As [`gather`], for many windows under one set of weights: `packed` holds them in the order in which windows read
/// them, `[tile of outputs][tap][output of the tile]` with the tiles of [`widths`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "weights, input, output, and where in each")]
pub fn slide<S: Simd>(
    simd: S,
    packed: &[f32],
    x: &[Run],
    window: Window,
    y: &mut [Run],
    mut first: usize,
    step: usize,
    count: usize,
    start: Start<'_>,
) {
    let taps = packed.len() / count;
    let mut done = 0;
    for width in widths(count) {
        let packed = &packed[done * taps..(done + width) * taps];
        let bias = match start {
            Start::Bias(all) => Start::Bias(&all[done..]),
            other => other,
        };
        match width {
            6 => window_tile::<S, 6>(simd, packed, x, window, y, first, step, bias),
            5 => window_tile::<S, 5>(simd, packed, x, window, y, first, step, bias),
            4 => window_tile::<S, 4>(simd, packed, x, window, y, first, step, bias),
            3 => window_tile::<S, 3>(simd, packed, x, window, y, first, step, bias),
            2 => window_tile::<S, 2>(simd, packed, x, window, y, first, step, bias),
            _ => window_tile::<S, 1>(simd, packed, x, window, y, first, step, bias),
        }
        first += width * step;
        done += width;
    }
}

/// How many outputs each tile takes of `count`: as even as may be, at most six.
#[inline(always)]
pub fn widths(count: usize) -> impl Iterator<Item = usize> {
    let tiles = count.div_ceil(OUTPUTS);
    (0..tiles).map(move |i| (count * (i + 1)) / tiles - (count * i) / tiles)
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "weights, input, output, and where in each")]
fn window_tile<S: Simd, const O: usize>(
    simd: S,
    packed: &[f32],
    x: &[Run],
    window: Window,
    y: &mut [Run],
    first: usize,
    step: usize,
    start: Start<'_>,
) {
    let packed: &[[f32; O]] = packed.as_chunks().0;
    let [a, b] = window.axes;
    for part in 0..RUN / (VECTORS * lanes::<S>()) {
        let at = part * VECTORS;
        let mut acc = begin::<S, O>(simd, start, y, first, step, at);
        let (mut wa, mut xa) = (window.weight, window.run);
        for _ in 0..a.count {
            let (mut wb, mut xb) = (wa, xa);
            for _ in 0..b.count {
                for (weights, run) in packed[wb..wb + window.inner].iter().zip(&x[xb..xb + window.inner]) {
                    let (run, _) = S::as_simd_f32s(run);
                    let run: [S::f32s; VECTORS] = std::array::from_fn(|v| run[at + v]);
                    for (acc, &weight) in acc.iter_mut().zip(weights) {
                        let weight = simd.splat_f32s(weight);
                        for (acc, &x) in acc.iter_mut().zip(&run) {
                            *acc = simd.mul_add_e_f32s(weight, x, *acc);
                        }
                    }
                }
                wb += b.weight;
                xb = xb.wrapping_add_signed(b.run);
            }
            wa += a.weight;
            xa = xa.wrapping_add_signed(a.run);
        }
        finish::<S, O>(acc, y, first, step, at);
    }
}

#[inline(always)]
fn begin<S: Simd, const O: usize>(
    simd: S,
    start: Start<'_>,
    y: &[Run],
    first: usize,
    step: usize,
    at: usize,
) -> [[S::f32s; VECTORS]; O] {
    let mut acc = [[simd.splat_f32s(0.0); VECTORS]; O];
    match start {
        Start::Zero => {}
        Start::Add => {
            for (j, acc) in acc.iter_mut().enumerate() {
                let (from, _) = S::as_simd_f32s(&y[first + j * step]);
                acc.copy_from_slice(&from[at..at + VECTORS]);
            }
        }
        Start::Bias(bias) => {
            for (acc, &b) in acc.iter_mut().zip(&bias[..O]) {
                *acc = [simd.splat_f32s(b); VECTORS];
            }
        }
    }
    acc
}

#[inline(always)]
fn finish<S: Simd, const O: usize>(acc: [[S::f32s; VECTORS]; O], y: &mut [Run], first: usize, step: usize, at: usize) {
    for (j, acc) in acc.iter().enumerate() {
        let (into, _) = S::as_mut_simd_f32s(&mut y[first + j * step]);
        into[at..at + VECTORS].copy_from_slice(acc);
    }
}

/// A tile of a dense layer's weight gradient: rows `row..row + O`, features of one chunk; `blocks` are gradients of the
/// outputs (`[output][image]`) beside the chunk's inputs (`[image][feature]`). Overwrites `dw`, the rows, `inputs` apart.
#[inline(always)]
pub fn outer<S: Simd, const O: usize>(
    simd: S,
    blocks: &[(&[Run], &[Run])],
    row: usize,
    chunk: usize,
    dw: &mut [f32],
    inputs: usize,
) {
    let mut sums = [[0.0f32; RUN]; O];
    for part in 0..RUN / (VECTORS * lanes::<S>()) {
        let at = part * VECTORS;
        let mut acc = [[simd.splat_f32s(0.0); VECTORS]; O];
        for (dy, x) in blocks {
            let dy: &[Run] = &dy[row..row + O];
            for (image, run) in x[chunk * RUN..][..RUN].iter().enumerate() {
                let (run, _) = S::as_simd_f32s(run);
                let run: [S::f32s; VECTORS] = std::array::from_fn(|v| run[at + v]);
                for (acc, dy) in acc.iter_mut().zip(dy) {
                    let weight = simd.splat_f32s(dy[image]);
                    for (acc, &x) in acc.iter_mut().zip(&run) {
                        *acc = simd.mul_add_e_f32s(weight, x, *acc);
                    }
                }
            }
        }
        for (sums, acc) in sums.iter_mut().zip(&acc) {
            S::as_mut_simd_f32s(sums).0[at..at + VECTORS].copy_from_slice(acc);
        }
    }
    let features = chunk * RUN..inputs.min((chunk + 1) * RUN);
    for (row, sums) in dw.chunks_mut(inputs).zip(&sums) {
        match row[features.clone()].first_chunk_mut::<RUN>() {
            Some(row) => *row = *sums,
            None => row[features.clone()].copy_from_slice(&sums[..features.len()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_even_and_cover_all() {
        for count in 1..40 {
            let all: Vec<usize> = widths(count).collect();
            assert_eq!(all.iter().sum::<usize>(), count);
            assert!(all.iter().all(|&w| w <= OUTPUTS && w + 1 >= count.div_ceil(all.len())), "{count}: {all:?}");
        }
    }
}
