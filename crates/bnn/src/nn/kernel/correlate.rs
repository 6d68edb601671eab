//! The weight gradient of a convolution: sums over places and images.

use super::run::{RUN, Run, lanes};
use pulp::Simd;

/// The places of an output plane and of the input runs that each meets.
#[derive(Clone, Copy, Debug)]
pub struct Plane {
    /// Output rows.
    pub rows: usize,
    /// Output columns.
    pub columns: usize,
    /// Input runs between the windows of neighbouring rows.
    pub row_step: usize,
    /// Input runs between the windows of neighbouring columns.
    pub column_step: usize,
}

/// Weight gradient of a convolution: `dw[o][t] = sum over places and images of dy[o][place] * x[place + offsets[t]]`
/// for each of `dw`'s rows. Output planes lie one after the other from run `first`.
#[inline(always)]
pub fn correlate<S: Simd>(
    simd: S,
    dy: &[Run],
    first: usize,
    x: &[Run],
    offsets: &[usize],
    plane: Plane,
    dw: &mut [f32],
) {
    // Two channels of so many taps, with operands, fill 32 registers or 16. The tile that idles least.
    let cost = |taps: usize| offsets.len().next_multiple_of(taps);
    if S::REGISTER_COUNT >= 32 {
        match least([cost(13), cost(12), cost(9)]) {
            0 => tiles::<S, Taps13>(simd, dy, first, x, offsets, plane, dw),
            1 => tiles::<S, Taps12>(simd, dy, first, x, offsets, plane, dw),
            _ => tiles::<S, Taps9>(simd, dy, first, x, offsets, plane, dw),
        }
    } else {
        match least([cost(5), cost(4), cost(3)]) {
            0 => tiles::<S, Taps5>(simd, dy, first, x, offsets, plane, dw),
            1 => tiles::<S, Taps4>(simd, dy, first, x, offsets, plane, dw),
            _ => tiles::<S, Taps3>(simd, dy, first, x, offsets, plane, dw),
        }
    }
}

/// Index of the smallest, the first of equals.
fn least(costs: [usize; 3]) -> usize {
    (1..3).fold(0, |best, i| if costs[i] < costs[best] { i } else { best })
}

#[inline(always)]
fn tiles<S: Simd, K: Taps>(
    simd: S,
    dy: &[Run],
    first: usize,
    x: &[Run],
    offsets: &[usize],
    plane: Plane,
    dw: &mut [f32],
) {
    let places = plane.rows * plane.columns;
    for (tile, rows) in dw.chunks_mut(CHANNELS * offsets.len()).enumerate() {
        // Where channels or taps run out, the last is taken again; its twins have nowhere to go.
        let last = rows.len() / offsets.len() - 1;
        let dy: [&[Run]; CHANNELS] = std::array::from_fn(|c| {
            let at = first + (tile * CHANNELS + c.min(last)) * places;
            &dy[at..at + places]
        });
        for (tile, taps) in offsets.chunks(K::COUNT).enumerate() {
            let mut sums = [[0.0; CHANNELS]; MOST_TAPS];
            K::sums(simd, dy, x, taps, plane, &mut sums);
            for (c, row) in rows.chunks_mut(offsets.len()).enumerate() {
                for (slot, sums) in row[tile * K::COUNT..][..taps.len()].iter_mut().zip(&sums) {
                    *slot = sums[c];
                }
            }
        }
    }
}

/// Output channels of a tile.
const CHANNELS: usize = 2;
/// Taps of the largest tile.
const MOST_TAPS: usize = 13;

/// A correlation's tile by its number of taps.
trait Taps {
    /// Taps.
    const COUNT: usize;
    /// The sums of each tap and channel, over all places and images.
    fn sums<S: Simd>(
        simd: S,
        dy: [&[Run]; CHANNELS],
        x: &[Run],
        taps: &[usize],
        plane: Plane,
        sums: &mut [[f32; CHANNELS]; MOST_TAPS],
    );
}

/// A tile with a variable for every tap: as an array indexed by a loop, the compiler keeps the sums in memory.
macro_rules! taps {
    ($name:ident $count:literal: $($index:literal $at:ident $acc:ident),+) => {
        struct $name;
        impl Taps for $name {
            const COUNT: usize = $count;
            #[inline(always)]
            fn sums<S: Simd>(
                simd: S,
                dy: [&[Run]; CHANNELS],
                x: &[Run],
                taps: &[usize],
                plane: Plane,
                sums: &mut [[f32; CHANNELS]; MOST_TAPS],
            ) {
                let last = taps.len() - 1;
                $(let $at = taps[last.min($index)];)+
                $(let mut $acc = [simd.splat_f32s(0.0); CHANNELS];)+
                for row in 0..plane.rows {
                    for column in 0..plane.columns {
                        let place = row * plane.columns + column;
                        let from = row * plane.row_step + column * plane.column_step;
                        for part in 0..RUN / lanes::<S>() {
                            let mut d = [simd.splat_f32s(0.0); CHANNELS];
                            for (d, dy) in d.iter_mut().zip(&dy) {
                                *d = S::as_simd_f32s(&dy[place]).0[part];
                            }
                            $(
                                let x_at = S::as_simd_f32s(&x[from + $at]).0[part];
                                for (acc, &d) in $acc.iter_mut().zip(&d) {
                                    *acc = simd.mul_add_e_f32s(d, x_at, *acc);
                                }
                            )+
                        }
                    }
                }
                $(
                    for (sum, acc) in sums[$index].iter_mut().zip($acc) {
                        *sum = simd.reduce_sum_f32s(acc);
                    }
                )+
            }
        }
    };
}

taps!(Taps3 3: 0 p0 a0, 1 p1 a1, 2 p2 a2);
taps!(Taps4 4: 0 p0 a0, 1 p1 a1, 2 p2 a2, 3 p3 a3);
taps!(Taps5 5: 0 p0 a0, 1 p1 a1, 2 p2 a2, 3 p3 a3, 4 p4 a4);
taps!(Taps9 9: 0 p0 a0, 1 p1 a1, 2 p2 a2, 3 p3 a3, 4 p4 a4, 5 p5 a5, 6 p6 a6, 7 p7 a7, 8 p8 a8);
taps!(Taps12 12: 0 p0 a0, 1 p1 a1, 2 p2 a2, 3 p3 a3, 4 p4 a4, 5 p5 a5, 6 p6 a6, 7 p7 a7, 8 p8 a8, 9 p9 a9,
    10 p10 a10, 11 p11 a11);
taps!(Taps13 13: 0 p0 a0, 1 p1 a1, 2 p2 a2, 3 p3 a3, 4 p4 a4, 5 p5 a5, 6 p6 a6, 7 p7 a7, 8 p8 a8, 9 p9 a9,
    10 p10 a10, 11 p11 a11, 12 p12 a12);
