//! Products: tiles of windows and strips in registers, and what becomes of their sums before they leave them.

use super::mask;
use crate::kernel::x86_64::{Pointers, tile};
use crate::kernel::{LANES, Output, Product, Requantize, VECTOR, scalar};
use core::arch::x86_64::*;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn product(p: &Product<'_>, mut output: Output<'_>) {
    let strips = p.start.len() / LANES;
    if let Output::Codes { pool, .. } = &output
        && *pool != 1
        && *pool != 4
    {
        return (scalar::KERNEL.product)(p, output);
    }
    let windows = p.origins.len();
    let mut strip = 0;
    while strip < strips {
        // Tiles of windows x strips: enough sums to hide the latency of an addition, few enough for the registers.
        let wide = match (windows, strips - strip) {
            (..=2, 4..) => run::<1, 4>(p, strip, &mut output),
            (..=2, _) => single(p, strip, &mut output),
            (_, 3..) => run::<8, 3>(p, strip, &mut output),
            (_, 2) => run::<8, 2>(p, strip, &mut output),
            (..=8, _) => run::<8, 1>(p, strip, &mut output),
            _ => run::<16, 1>(p, strip, &mut output),
        };
        strip += wide;
    }
}

/// All windows with `V` strips; returns `V`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn run<const P: usize, const V: usize>(p: &Product<'_>, strip: usize, output: &mut Output<'_>) -> usize {
    for (i, origins) in p.origins.chunks(P).enumerate() {
        let sums = sums::<P, V>(p, strip, &tile(origins));
        finish(p, strip, i * P, origins.len(), &sums, output);
    }
    V
}

/// The windows, one by one, with one strip: the inputs are shared out to four sums, as there is nothing else to do while
/// an addition takes its time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn single(p: &Product<'_>, strip: usize, output: &mut Output<'_>) -> usize {
    let (at, runs) = (Pointers::of(p), &p.runs);
    for (i, &origin) in p.origins.iter().enumerate() {
        let start = &p.start[strip * LANES..][..LANES];
        // SAFETY: 16 words are 64 bytes.
        let mut sums = [unsafe { _mm512_loadu_si512(start.as_ptr().cast()) }, _mm512_setzero_si512()];
        let mut more = [_mm512_setzero_si512(); 2];
        let mut vector = strip * runs.vectors() * VECTOR;
        for run in 0..runs.rows * runs.columns {
            let (row, column) = (run / runs.columns, run % runs.columns);
            let offset = origin as usize + row * runs.row_pitch + column * runs.column_pitch;
            let add = |sum: __m512i, group: usize| {
                // SAFETY: `Kernel::product` has checked that the weights hold `vectors()` vectors of every strip, and that
                // every window's extent lies inside the input.
                unsafe {
                    let x = at.input.add(offset + 4 * group).cast::<i32>().read_unaligned();
                    let w = _mm512_loadu_si512(at.weights.add(vector + group * VECTOR).cast());
                    _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(x), w)
                }
            };
            let mut group = 0;
            while group + 4 <= runs.groups {
                sums = [add(sums[0], group), add(sums[1], group + 1)];
                more = [add(more[0], group + 2), add(more[1], group + 3)];
                group += 4;
            }
            while group < runs.groups {
                sums[group % 2] = add(sums[group % 2], group);
                group += 1;
            }
            vector += runs.groups * VECTOR;
        }
        let [a, b] = [0, 1].map(|j| _mm512_add_epi32(sums[j], more[j]));
        finish(p, strip, i, 1, &[[_mm512_add_epi32(a, b)]], output);
    }
    1
}

/// The sums of `P` windows with `V` strips.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn sums<const P: usize, const V: usize>(p: &Product<'_>, strip: usize, origins: &[usize; P]) -> [[__m512i; V]; P] {
    let (at, runs) = (Pointers::of(p), &p.runs);
    let starts: [__m512i; V] = core::array::from_fn(|v| {
        let start = &p.start[(strip + v) * LANES..][..LANES];
        // SAFETY: 16 words are 64 bytes.
        unsafe { _mm512_loadu_si512(start.as_ptr().cast()) }
    });
    let mut sums = [starts; P];
    let bytes = runs.vectors() * VECTOR;
    let mut vector = strip * bytes;
    for row in 0..runs.rows {
        for column in 0..runs.columns {
            let offset = row * runs.row_pitch + column * runs.column_pitch;
            for group in 0..runs.groups {
                // SAFETY: `Kernel::product` has checked that the weights hold `vectors()` vectors of every strip, and
                // strip + V <= strips.
                let w: [__m512i; V] =
                    core::array::from_fn(|v| unsafe { _mm512_loadu_si512(at.weights.add(vector + v * bytes).cast()) });
                for (sums, &origin) in sums.iter_mut().zip(origins) {
                    // SAFETY: it has checked that every window's extent, of which these are four bytes, lies inside.
                    let x = unsafe { at.input.add(origin + offset + 4 * group).cast::<i32>().read_unaligned() };
                    let x = _mm512_set1_epi32(x);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbusd_epi32(*sum, x, w);
                    }
                }
                vector += VECTOR;
            }
        }
    }
    sums
}

/// Stores the sums of the first `n` windows of a tile that begins with window `first`, or their codes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
fn finish<const P: usize, const V: usize>(
    p: &Product<'_>,
    strip: usize,
    first: usize,
    n: usize,
    sums: &[[__m512i; V]; P],
    output: &mut Output<'_>,
) {
    match output {
        Output::Sums(out) => {
            for (i, sums) in sums.iter().take(n).enumerate() {
                let row = &mut out[(first + i) * p.start.len() + strip * LANES..][..V * LANES];
                for (out, &sum) in row.chunks_exact_mut(LANES).zip(sums) {
                    // SAFETY: 16 words are 64 bytes.
                    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
                }
            }
        }
        Output::Codes { out, pitch, channels, pool, requantize } => {
            for v in 0..V {
                let lane = (strip + v) * LANES;
                let valid = channels.saturating_sub(lane).min(LANES);
                let rule = Rule::new(requantize, lane);
                let mut put = |i: usize, sum: __m512i| {
                    let out = &mut out[(first / *pool + i) * *pitch + lane..][..valid];
                    // SAFETY: the features of `finish`; the mask lets only the `valid` bytes of the slice be written.
                    unsafe {
                        let codes = rule.codes(sum);
                        if valid == LANES {
                            _mm_storeu_si128(out.as_mut_ptr().cast(), codes);
                        } else {
                            _mm_mask_storeu_epi8(out.as_mut_ptr().cast(), mask(valid) as u16, codes);
                        }
                    }
                };
                if valid == 0 {
                    continue;
                }
                if *pool == 1 {
                    (0..n).for_each(|i| put(i, sums[i][v]));
                } else {
                    for (i, four) in sums.chunks_exact(4).take(n / 4).enumerate() {
                        let pairs = [(0, 1), (2, 3)].map(|(a, b)| _mm512_max_epi32(four[a][v], four[b][v]));
                        put(i, _mm512_max_epi32(pairs[0], pairs[1]));
                    }
                }
            }
        }
    }
}

/// The requantization of one strip.
struct Rule {
    multipliers: __m512i,
    negative: __m512i,
    half: __m512i,
    shift: __m128i,
    low: __m512i,
    high: __m512i,
    zero: __m512i,
}

impl Rule {
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn new(r: &Requantize<'_>, lane: usize) -> Self {
        let load = |m: &[i32]| {
            let m = &m[lane..][..LANES];
            // SAFETY: 16 words are 64 bytes.
            unsafe { _mm512_loadu_si512(m.as_ptr().cast()) }
        };
        Rule {
            multipliers: load(r.multipliers),
            negative: load(r.negative.unwrap_or(r.multipliers)),
            half: _mm512_set1_epi64(1 << (r.shift - 1)),
            shift: _mm_cvtsi32_si128(r.shift as i32),
            low: _mm512_set1_epi64(r.low as i64),
            high: _mm512_set1_epi64(r.high as i64),
            zero: _mm512_set1_epi32(r.zero),
        }
    }

    /// The codes of 16 sums. Even and odd lanes are multiplied apart, as products have 64 bits.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn codes(&self, sum: __m512i) -> __m128i {
        let below = _mm512_cmplt_epi32_mask(sum, _mm512_setzero_si512());
        let m = _mm512_mask_blend_epi32(below, self.multipliers, self.negative);
        let scaled = |sum, m| {
            let value = _mm512_sra_epi64(_mm512_add_epi64(_mm512_mul_epi32(sum, m), self.half), self.shift);
            _mm512_min_epi64(_mm512_max_epi64(value, self.low), self.high)
        };
        let even = scaled(sum, m);
        let odd = scaled(_mm512_srli_epi64::<32>(sum), _mm512_srli_epi64::<32>(m));
        let codes = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd));
        _mm512_cvtepi32_epi8(_mm512_add_epi32(codes, self.zero))
    }
}
