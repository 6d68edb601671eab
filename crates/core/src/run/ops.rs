//! The layers that are not sums of products: patches, pooling, activations, sums of two values. Safe, obvious loops.

use super::step::{LinearStep, Value};
use crate::fixed::{OCTAVE, WIDE_FRACTION_BITS, exp2, requantize, shift_for};
use crate::kernel::Requantize;
use crate::model::{Activation, Grid, Pool, Shape};

/// Runs of a patch up to this long are copied as blocks of fixed size, the rest of which the next run overwrites.
const SHORT: usize = 8;

/// Copies an image's windows, one after the other: `[window][kernel row][kernel column][channel]`. Around the image lies
/// `zero`, the pixel of the number 0.
pub(super) fn patches(image: &[u8], from: Shape, l: &LinearStep, zero: u8, padded: &mut [u8], out: &mut [u8]) {
    // A window that is the whole image; one output alone may also be of a window that is less.
    if [l.linear.kernel_rows, l.linear.kernel_columns] == [from.rows, from.columns] && l.linear.padding == 0 {
        out[..image.len()].copy_from_slice(image);
        return;
    }
    let p = l.linear.padding;
    let (row_len, pitch) = (from.columns * from.channels, (from.columns + 2 * p) * from.channels);
    padded[..(from.rows + 2 * p) * pitch].fill(zero);
    for (row, pixels) in image.chunks_exact(row_len).enumerate() {
        padded[(row + p) * pitch + p * from.channels..][..row_len].copy_from_slice(pixels);
    }
    let run = l.linear.kernel_columns * from.channels;
    let step = l.linear.stride * from.channels;
    for row in 0..l.rows {
        for column in 0..l.columns {
            let to = (row * l.columns + column) * l.patch();
            for ky in 0..l.linear.kernel_rows {
                let at = (row * l.linear.stride + ky) * pitch + column * step;
                let to = to + ky * run;
                if run <= SHORT {
                    out[to..to + SHORT].copy_from_slice(&padded[at..at + SHORT]);
                } else {
                    out[to..to + run].copy_from_slice(&padded[at..at + run]);
                }
            }
        }
    }
}

/// From codes to wide values.
#[derive(Clone, Copy)]
pub(crate) struct Dequantize {
    zero: i32,
    multiplier: i32,
    shift: u32,
}

impl Dequantize {
    pub fn new(grid: Grid) -> Self {
        let log2 = grid.log2_step + WIDE_FRACTION_BITS as i32 * OCTAVE;
        let shift = shift_for(log2).unwrap_or(1);
        Dequantize { zero: grid.zero, multiplier: exp2(log2, shift).min(i32::MAX as i64) as i32, shift }
    }

    pub fn wide(&self, byte: u8) -> i32 {
        saturate(requantize(byte as i32 - self.zero, self.multiplier, self.shift))
    }
}

/// A wide value that does not fit takes the nearest that does.
pub(super) fn saturate(value: i64) -> i32 {
    value.clamp(i32::MIN as i64, i32::MAX as i64) as i32
}

/// Sums to wide values.
pub(crate) fn to_i32_q16(sum: i32, r: (i32, u32)) -> i32 {
    saturate(requantize(sum, r.0, r.1))
}

/// From wide values to an activation's codes.
pub(crate) struct ToCodes {
    multiplier: i64,
    negative: i64,
    shift: u32,
    low: i64,
    high: i64,
    zero: i64,
}

impl ToCodes {
    pub fn new(a: &Activation, grid: Grid) -> Self {
        let log2 = -(WIDE_FRACTION_BITS as i32) * OCTAVE - a.log2_step as i32;
        let shift = shift_for(log2).unwrap_or(1);
        let multiplier = exp2(log2, shift).min(i32::MAX as i64);
        let negative =
            if super::plan::leaky(a) { super::constants::below_zero(multiplier, a.slope) as i64 } else { multiplier };
        ToCodes { multiplier, negative, shift, low: a.low as i64, high: a.high as i64, zero: grid.zero as i64 }
    }

    pub fn code(&self, wide: i32) -> u8 {
        let multiplier = if wide < 0 { self.negative } else { self.multiplier };
        (requantize(wide, multiplier as i32, self.shift).clamp(self.low, self.high) + self.zero) as u8
    }
}

/// What a fused activation does to a sum.
pub(super) fn requantization<'c>(
    a: &Activation,
    multipliers: &'c [i32],
    negative: Option<&'c [i32]>,
    shift: u32,
    grid: Grid,
) -> Requantize<'c> {
    Requantize { multipliers, negative, shift, low: a.low as i32, high: a.high as i32, zero: grid.zero }
}

/// Pools one image. `take` combines the numbers of a window, which come in rows.
pub(super) fn pool<T: Copy, A>(
    pool: &Pool,
    (from, x): (&Value, &[T]),
    (to, y): (&Value, &mut [T]),
    start: impl Fn(T) -> A,
    mut take: impl FnMut(&mut A, T),
    finish: impl Fn(A) -> T,
) {
    let channels = to.shape.channels;
    for row in 0..to.shape.rows {
        for column in 0..to.shape.columns {
            let out = to.first() + row * to.row_pitch() + column * channels;
            let first = from.first() + row * pool.stride * from.row_pitch() + column * pool.stride * channels;
            for channel in 0..channels {
                let mut sum = start(x[first + channel]);
                for ky in 0..pool.size {
                    for kx in 0..pool.size {
                        if ky + kx > 0 {
                            take(&mut sum, x[first + ky * from.row_pitch() + kx * channels + channel]);
                        }
                    }
                }
                y[out + channel] = finish(sum);
            }
        }
    }
}

/// The mean of a window's codes on the grid of averages (8 bits), halves rounded up.
pub(crate) fn average_code(sum: u64, windows: u64, bits: u32) -> u8 {
    (((sum << (8 - bits)) * 2 + windows) / (2 * windows)) as u8
}

/// The mean of a window's wide values, halves rounded up.
pub(crate) fn average_wide(sum: i64, windows: i64) -> i32 {
    (2 * sum + windows).div_euclid(2 * windows) as i32
}
