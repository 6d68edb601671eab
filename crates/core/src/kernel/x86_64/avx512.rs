//! AVX-512: one instruction multiplies 64 unsigned by 64 signed bytes and adds fours of them to 16 sums (VNNI); one
//! instruction looks 64 bytes up in a table of 128 (VBMI).

use super::{Pointers, detected, tile};
use crate::code::Bits;
use crate::draw::Rounding;
use crate::kernel::{DrawRow, Kernel, LANES, Output, Product, Requantize, VECTOR, scalar};
use crate::noise::{GAUSSIAN, Place};
use core::arch::x86_64::*;

/// The kernel, for processors on which [`detected`] is true.
pub(super) const KERNEL: Kernel = Kernel {
    name: "avx512vnni",
    // SAFETY (all five): a Kernel reaches a caller only through `available`, which gives this one out after `detected`
    // has found every feature that the functions are compiled for.
    noise: |key, place, first, out| unsafe { noise(key, place, first, out) },
    unpack: |packed, first, bits, out| unsafe { unpack(packed, first, bits, out) },
    draw: |row, out| unsafe { draw(row, out) },
    pack: |rows, pitch, len, strip| unsafe { pack(rows, pitch, len, strip) },
    product: |p, output| unsafe { product(p, output) },
};

/// Whether this processor can run the kernel.
pub(super) fn detected() -> bool {
    detected!("avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512vnni")
}

/// The first `n` (at most 64) bytes of a slice, zeros behind them.
#[target_feature(enable = "avx512f,avx512bw")]
fn load(bytes: &[u8], n: usize) -> __m512i {
    let n = n.min(bytes.len()).min(VECTOR);
    // SAFETY: the mask lets only the first n bytes be read, and the slice holds them.
    unsafe { _mm512_maskz_loadu_epi8(mask(n), bytes.as_ptr().cast()) }
}

/// Writes the first bytes of a vector, as many as the slice holds (at most 64).
#[target_feature(enable = "avx512f,avx512bw")]
fn store(out: &mut [u8], value: __m512i) {
    if let Some(whole) = out.first_chunk_mut::<VECTOR>() {
        // SAFETY: 64 bytes are there.
        unsafe { _mm512_storeu_si512(whole.as_mut_ptr().cast(), value) };
    } else {
        // SAFETY: the mask lets only bytes inside the slice be written.
        unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), mask(out.len()), value) };
    }
}

/// A mask of the first `n` of 64.
fn mask(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// Philox on eight blocks at once, each word in the lower half of a 64-bit lane (what lies above it is of no
/// consequence: the multiplication reads the lower half alone). Sixteen blocks, so that two chains of
/// multiplications run beside each other.
#[target_feature(enable = "avx512f")]
fn philox(key: [u32; 2], place: Place, first: u32) -> [__m512i; 4] {
    let lanes = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    let m0 = _mm512_set1_epi64(0xD251_1F53);
    let m1 = _mm512_set1_epi64(0xCD9E_8D57);
    let mut x = [0u32, 8].map(|offset| {
        let index = _mm512_add_epi64(lanes, _mm512_set1_epi64(first.wrapping_add(offset) as i64));
        let word = |w: u32| _mm512_set1_epi64(w as i64);
        [index, word(place.tensor), word(place.draw), word(place.purpose)]
    });
    let mut k = key;
    for _ in 0..10 {
        let (k0, k1) = (_mm512_set1_epi64(k[0] as i64), _mm512_set1_epi64(k[1] as i64));
        for x in &mut x {
            let (p0, p1) = (_mm512_mul_epu32(x[0], m0), _mm512_mul_epu32(x[2], m1));
            *x = [
                _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(p1), x[1], k0),
                p1,
                _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(p0), x[3], k1),
                p0,
            ];
        }
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    let mut out = [_mm512_setzero_si512(); 4];
    for (x, out) in x.iter().zip(out.as_chunks_mut::<2>().0) {
        let low = _mm512_mask_blend_epi32(0xAAAA, x[0], _mm512_slli_epi64::<32>(x[1]));
        let high = _mm512_mask_blend_epi32(0xAAAA, x[2], _mm512_slli_epi64::<32>(x[3]));
        // The order of the lanes above makes the even ones blocks 0 to 3 and the odd ones blocks 4 to 7.
        *out = [_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high)];
    }
    out
}

#[target_feature(enable = "avx512f,avx512bw")]
fn noise(key: [u32; 2], place: Place, first: u32, out: &mut [u8]) {
    let mut block = first;
    for chunk in out.chunks_mut(4 * VECTOR) {
        for (part, value) in chunk.chunks_mut(VECTOR).zip(philox(key, place, block)) {
            store(part, value);
        }
        block = block.wrapping_add(16);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack(packed: &[u8], first: usize, bits: Bits, out: &mut [u8]) {
    let bits = bits.get() as usize;
    // Codes j*8 to j*8+7 lie in eight bytes (nine never: a width that straddles has seven bits at most) from byte
    // j * bits on; each is then shifted out of its 64-bit lane by its own amount.
    let gather: [u8; 64] = core::array::from_fn(|i| ((i / 8) * bits + i % 8) as u8);
    let gather = load(&gather, 64);
    let low = _mm512_set1_epi8(((1u32 << bits) - 1) as u8 as i8);
    for (i, chunk) in out.chunks_mut(VECTOR).enumerate() {
        let bit = (first + i * VECTOR) * bits;
        let shifts: [u8; 64] = core::array::from_fn(|j| (bit % 8 + j % 8 * bits) as u8);
        let source = load(&packed[bit / 8..], VECTOR);
        let lanes = _mm512_permutexvar_epi8(gather, source);
        store(chunk, _mm512_and_si512(_mm512_multishift_epi64_epi8(load(&shifts, 64), lanes), low));
    }
}

/// A table of 16-bit numbers as two tables of bytes, in registers: `REGISTERS` of 64 entries each.
struct Table<const REGISTERS: usize> {
    low: [__m512i; REGISTERS],
    high: [__m512i; REGISTERS],
}

impl<const REGISTERS: usize> Table<REGISTERS> {
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new(values: &[i16]) -> Self {
        let mut table =
            Table { low: [_mm512_setzero_si512(); REGISTERS], high: [_mm512_setzero_si512(); REGISTERS] };
        for (i, part) in values.chunks(64).enumerate().take(REGISTERS) {
            let halves = [0, 32].map(|at| {
                let words: [i16; 32] = core::array::from_fn(|j| part.get(at + j).copied().unwrap_or(0));
                // SAFETY: 32 words are 64 bytes.
                unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
            });
            let join = |a: __m512i, b: __m512i| {
                let (a, b) = (_mm512_cvtepi16_epi8(a), _mm512_cvtepi16_epi8(b));
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b)
            };
            table.low[i] = join(halves[0], halves[1]);
            table.high[i] = join(_mm512_srli_epi16::<8>(halves[0]), _mm512_srli_epi16::<8>(halves[1]));
        }
        table
    }

    /// The words of 64 indices, in two vectors: of bytes 0 to 7 of each 16 indices, and of bytes 8 to 15.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    #[inline]
    fn words(&self, index: __m512i) -> [__m512i; 2] {
        let (low, high) = (look_up(&self.low, index), look_up(&self.high, index));
        [_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)]
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn look_up<const REGISTERS: usize>(table: &[__m512i; REGISTERS], index: __m512i) -> __m512i {
    match REGISTERS {
        1 => _mm512_permutexvar_epi8(index, table[0]),
        2 => _mm512_permutex2var_epi8(table[0], index, table[1]),
        _ => {
            let low = _mm512_permutex2var_epi8(table[0], index, table[1]);
            let high = _mm512_permutex2var_epi8(table[2], index, table[3]);
            _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high)
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn draw(row: &DrawRow<'_>, out: &mut [i8]) {
    match row.levels.len() {
        ..=64 => draw_with::<1>(row, out),
        128 => draw_with::<2>(row, out),
        _ => draw_with::<4>(row, out),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn draw_with<const REGISTERS: usize>(row: &DrawRow<'_>, out: &mut [i8]) {
    let gaussian = Table::<4>::new(&GAUSSIAN);
    let mut levels = [0i16; 256];
    for (level, &t) in levels.iter_mut().zip(row.levels) {
        *level = row.scale.level(t);
    }
    let levels = Table::<REGISTERS>::new(&levels[..row.levels.len()]);
    let mean_scale = _mm512_set1_epi16(row.scale.mean);
    let align = _mm_cvtsi32_si128(16 - row.mu_bits.get() as i32);
    let fraction = row.scale.fraction as i32;
    let (shift, cut) = (_mm_cvtsi32_si128(fraction), _mm_cvtsi32_si128(8 - fraction));
    let half = _mm512_set1_epi16((1 << fraction) >> 1);
    let (low, high) = (_mm512_set1_epi8(row.grid.min() as i8), _mm512_set1_epi8(row.grid.max() as i8));
    let zero = _mm512_setzero_si512();
    let each = row.rounding.noise_bytes();
    for (i, chunk) in out.chunks_mut(VECTOR).enumerate() {
        let (at, n) = (i * VECTOR, chunk.len());
        let mu = load(&row.mu[at..], n);
        let sigma = load(&row.sigma[at..], n);
        let bytes = &row.noise[at * each..];
        let (noise, up) = match row.rounding {
            Rounding::Nearest => (load(bytes, n), [half; 2]),
            Rounding::Stochastic => {
                let pairs = [load(bytes, 2 * n), load(&bytes[VECTOR.min(2 * n)..], (2 * n).saturating_sub(VECTOR))];
                let join = |a: __m256i, b: __m256i| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b);
                let first = pairs.map(|p| _mm512_cvtepi16_epi8(p));
                let second = pairs.map(|p| _mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(p)));
                let second = join(second[0], second[1]);
                let words = [_mm512_unpacklo_epi8(second, zero), _mm512_unpackhi_epi8(second, zero)];
                (join(first[0], first[1]), words.map(|w| _mm512_srl_epi16(w, cut)))
            }
        };
        let eps = gaussian.words(noise);
        let level = levels.words(sigma);
        let mu = [_mm512_unpacklo_epi8(mu, zero), _mm512_unpackhi_epi8(mu, zero)];
        let mut words = [zero; 2];
        for j in 0..2 {
            let mean = _mm512_mulhrs_epi16(_mm512_sll_epi16(mu[j], align), mean_scale);
            let value = _mm512_adds_epi16(mean, _mm512_mulhrs_epi16(eps[j], level[j]));
            words[j] = _mm512_sra_epi16(_mm512_adds_epi16(value, up[j]), shift);
        }
        let codes = _mm512_packs_epi16(words[0], words[1]);
        let codes = _mm512_min_epi8(_mm512_max_epi8(codes, low), high);
        store(unsigned(chunk), codes);
    }
}

/// The same bytes, without their sign.
fn unsigned(bytes: &mut [i8]) -> &mut [u8] {
    // SAFETY: i8 and u8 have one size and alignment, and every bit pattern is a value of both.
    unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn pack(rows: &[i8], pitch: usize, len: usize, strip: &mut [i8]) {
    for (i, block) in strip.chunks_mut(16 * VECTOR).enumerate() {
        let (at, n) = (i * VECTOR, (len - i * VECTOR).min(VECTOR));
        let mut x: [__m512i; 16] = core::array::from_fn(|lane| {
            let row = &rows[lane * pitch + at..][..n];
            // SAFETY: the mask lets only the row's n bytes be read.
            unsafe { _mm512_maskz_loadu_epi8(mask(n), row.as_ptr().cast()) }
        });
        transpose(&mut x);
        for (part, value) in block.chunks_mut(VECTOR).zip(x) {
            store(unsigned(part), value);
        }
    }
}

/// Transposes 16 x 16 words of 32 bits: pairs, fours, then 128-bit lanes twice.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(x: &mut [__m512i; 16]) {
    let mut y = *x;
    for i in (0..16).step_by(2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for i in (0..16).step_by(4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    // x[4 a + b] now holds, in 128-bit lane l, column 4 l + b of rows 4 a to 4 a + 3.
    for b in 0..4 {
        let (r0, r1, r2, r3) = (x[b], x[4 + b], x[8 + b], x[12 + b]);
        let low01 = _mm512_shuffle_i32x4::<0x88>(r0, r1);
        let low23 = _mm512_shuffle_i32x4::<0x88>(r2, r3);
        let high01 = _mm512_shuffle_i32x4::<0xDD>(r0, r1);
        let high23 = _mm512_shuffle_i32x4::<0xDD>(r2, r3);
        y[b] = _mm512_shuffle_i32x4::<0x88>(low01, low23);
        y[8 + b] = _mm512_shuffle_i32x4::<0xDD>(low01, low23);
        y[4 + b] = _mm512_shuffle_i32x4::<0x88>(high01, high23);
        y[12 + b] = _mm512_shuffle_i32x4::<0xDD>(high01, high23);
    }
    *x = y;
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn product(p: &Product<'_>, mut output: Output<'_>) {
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
            (..=2, _) => run::<1, 1>(p, strip, &mut output),
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
                let w: [__m512i; V] = core::array::from_fn(|v| unsafe {
                    _mm512_loadu_si512(at.weights.add(vector + v * bytes).cast())
                });
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
            low: _mm512_set1_epi32(r.low),
            high: _mm512_set1_epi32(r.high),
            zero: _mm512_set1_epi32(r.zero),
        }
    }

    /// The codes of 16 sums. Even and odd lanes are multiplied apart, as products have 64 bits.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn codes(&self, sum: __m512i) -> __m128i {
        let below = _mm512_cmplt_epi32_mask(sum, _mm512_setzero_si512());
        let m = _mm512_mask_blend_epi32(below, self.multipliers, self.negative);
        let scaled = |sum, m| _mm512_sra_epi64(_mm512_add_epi64(_mm512_mul_epi32(sum, m), self.half), self.shift);
        let even = scaled(sum, m);
        let odd = scaled(_mm512_srli_epi64::<32>(sum), _mm512_srli_epi64::<32>(m));
        let both = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd));
        let codes = _mm512_min_epi32(_mm512_max_epi32(both, self.low), self.high);
        _mm512_cvtepi32_epi8(_mm512_add_epi32(codes, self.zero))
    }
}
