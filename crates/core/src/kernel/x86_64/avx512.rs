//! AVX-512: one instruction multiplies 64 unsigned by 64 signed bytes and adds fours of them to 16 sums (VNNI); one
//! instruction looks 64 bytes up in a table of 128 (VBMI).

mod product;

use super::{detected, kernel};
use crate::code::Bits;
use crate::draw::{Rounding, RowScale};
use crate::kernel::{Draw, Kernel, LANES, VECTOR};
use crate::noise::{GAUSSIAN, MULTIPLIER, Place, WEYL};
use core::arch::x86_64::*;
use product::product;

/// The kernel, for processors on which [`detected`] is true.
pub(super) const KERNEL: Kernel = kernel!("avx512vnni");

/// Whether this processor can run the kernel.
pub(super) fn detected() -> bool {
    detected!("avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512vnni")
}

/// The first `n` (at most 64) bytes of a slice, zeros behind them.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load(bytes: &[u8], n: usize) -> __m512i {
    if let Some(whole) = bytes.first_chunk::<VECTOR>()
        && n >= VECTOR
    {
        // SAFETY: 64 bytes are there.
        return unsafe { _mm512_loadu_si512(whole.as_ptr().cast()) };
    }
    let n = n.min(bytes.len()).min(VECTOR);
    // SAFETY: the mask lets only the first n bytes be read, and the slice holds them.
    unsafe { _mm512_maskz_loadu_epi8(mask(n), bytes.as_ptr().cast()) }
}

/// Writes the first bytes of a vector, as many as the slice holds (at most 64).
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
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
#[inline]
fn mask(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// The keys of Philox's ten rounds.
fn round_keys(key: [u32; 2]) -> [[i64; 2]; 10] {
    let step = |round: u32, i: usize| key[i].wrapping_add(round.wrapping_mul(WEYL[i])) as i64;
    core::array::from_fn(|round| [step(round as u32, 0), step(round as u32, 1)])
}

/// Vectors of noise that are made together: enough chains of multiplications beside each other to hide their latency.
const CHAINS: usize = 2;

/// Blocks of noise from `first` on, eight for each chain: Philox on eight blocks a vector, each word in the lower half of a 64-bit lane (what
/// lies above it is of no consequence: the multiplication reads the lower half alone).
#[target_feature(enable = "avx512f")]
#[inline]
fn philox(keys: &[[i64; 2]; 10], place: Place, first: u32) -> [[__m512i; 2]; CHAINS] {
    // This order of blocks in the lanes brings them into theirs when words are joined below.
    let lanes = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    let (m0, m1) = (_mm512_set1_epi64(MULTIPLIER[0] as i64), _mm512_set1_epi64(MULTIPLIER[1] as i64));
    let (tensor, draw) = (_mm512_set1_epi64(place.tensor as i64), _mm512_set1_epi64(place.draw as i64));
    let purpose = _mm512_set1_epi64(place.purpose as i64);
    let mut x = [[lanes, tensor, draw, purpose]; CHAINS];
    for (i, x) in x.iter_mut().enumerate() {
        x[0] = _mm512_add_epi64(lanes, _mm512_set1_epi64(first as i64 + 8 * i as i64));
    }
    macro_rules! rounds {
        ($($k:expr),+) => { $( for x in &mut x {
            let (p0, p1) = (_mm512_mul_epu32(x[0], m0), _mm512_mul_epu32(x[2], m1));
            *x = [
                _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(p1), x[1], _mm512_set1_epi64(keys[$k][0])),
                p1,
                _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(p0), x[3], _mm512_set1_epi64(keys[$k][1])),
                p0,
            ];
        } )+ };
    }
    rounds!(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    let mut out = [[lanes; 2]; CHAINS];
    for (out, x) in out.iter_mut().zip(x) {
        let low = _mm512_mask_blend_epi32(0xAAAA, x[0], _mm512_slli_epi64::<32>(x[1]));
        let high = _mm512_mask_blend_epi32(0xAAAA, x[2], _mm512_slli_epi64::<32>(x[3]));
        *out = [_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high)];
    }
    out
}

#[target_feature(enable = "avx512f,avx512bw")]
fn noise(key: [u32; 2], place: Place, first: u32, out: &mut [u8]) {
    let keys = round_keys(key);
    let mut block = first;
    for chunk in out.chunks_mut(2 * CHAINS * VECTOR) {
        let values = philox(&keys, place, block);
        for (part, value) in chunk.chunks_mut(VECTOR).zip(values.as_flattened()) {
            store(part, *value);
        }
        block = block.wrapping_add(8 * CHAINS as u32);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack(packed: &[u8], first: usize, bits: Bits, out: &mut [u8]) {
    let bits = bits.get() as usize;
    // Codes 8j to 8j + 7 lie in eight bytes from byte j * bits on (nine never: a width that straddles has seven bits at
    // most); each is then shifted out of its 64-bit lane by its own amount. 64 codes later the bytes are aligned alike.
    let mut gather = [0u8; 64];
    let mut shifts = [0u8; 64];
    for i in 0..64 {
        gather[i] = ((i / 8) * bits + i % 8) as u8;
        shifts[i] = (first * bits % 8 + i % 8 * bits) as u8;
    }
    let (gather, shifts) = (load(&gather, 64), load(&shifts, 64));
    let low = _mm512_set1_epi8(((1u32 << bits) - 1) as u8 as i8);
    for (i, chunk) in out.chunks_mut(VECTOR).enumerate() {
        let source = load(&packed[(first + i * VECTOR) * bits / 8..], VECTOR);
        let lanes = _mm512_permutexvar_epi8(gather, source);
        store(chunk, _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, lanes), low));
    }
}

/// A table of 16-bit numbers as two tables of bytes, in registers: `REGISTERS` of 64 entries each.
#[derive(Clone, Copy)]
struct Table<const REGISTERS: usize> {
    low: [__m512i; REGISTERS],
    high: [__m512i; REGISTERS],
}

/// The low and the high bytes of 16-bit numbers.
const fn split<const N: usize>(values: &[i16; N]) -> [[u8; N]; 2] {
    let mut bytes = [[0; N]; 2];
    let mut i = 0;
    while i < N {
        bytes[0][i] = values[i] as u8;
        bytes[1][i] = (values[i] >> 8) as u8;
        i += 1;
    }
    bytes
}

static GAUSSIAN_BYTES: [[u8; 256]; 2] = split(&GAUSSIAN);

impl<const REGISTERS: usize> Table<REGISTERS> {
    /// The table of the Gaussian.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn gaussian() -> Self {
        let mut table = Table { low: [_mm512_setzero_si512(); REGISTERS], high: [_mm512_setzero_si512(); REGISTERS] };
        for i in 0..REGISTERS {
            table.low[i] = load(&GAUSSIAN_BYTES[0][64 * i..], 64);
            table.high[i] = load(&GAUSSIAN_BYTES[1][64 * i..], 64);
        }
        table
    }

    /// The levels of a row: each T times R.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn levels(levels: &[i16], scale: i16) -> Self {
        let mut table = Table { low: [_mm512_setzero_si512(); REGISTERS], high: [_mm512_setzero_si512(); REGISTERS] };
        let scale = _mm512_set1_epi16(scale);
        for (i, levels) in levels.chunks(64).enumerate().take(REGISTERS) {
            let n = levels.len();
            let (low, high) = (mask(n.min(32)) as u32, mask(n.max(32) - 32) as u32);
            // SAFETY: the masks let only the `n` words of the slice be read.
            let (a, b) = unsafe {
                let at = levels.as_ptr();
                (_mm512_maskz_loadu_epi16(low, at), _mm512_maskz_loadu_epi16(high, at.wrapping_add(32)))
            };
            let (a, b) = (_mm512_mulhrs_epi16(a, scale), _mm512_mulhrs_epi16(b, scale));
            table.low[i] = join(_mm512_cvtepi16_epi8(a), _mm512_cvtepi16_epi8(b));
            let (a, b) = (_mm512_srli_epi16::<8>(a), _mm512_srli_epi16::<8>(b));
            table.high[i] = join(_mm512_cvtepi16_epi8(a), _mm512_cvtepi16_epi8(b));
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
fn draw(rows: &Draw<'_>, pitch: usize, out: &mut [i8]) {
    match rows.levels.len() {
        ..=64 => draw_with::<1>(rows, pitch, out),
        128 => draw_with::<2>(rows, pitch, out),
        _ => draw_with::<4>(rows, pitch, out),
    }
}

/// Two halves as one vector.
#[target_feature(enable = "avx512f")]
#[inline]
fn join(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// What is the same for all weights of a row.
struct RowRule<const REGISTERS: usize> {
    gaussian: Table<4>,
    levels: Table<REGISTERS>,
    mean: __m512i,
    align: __m128i,
    /// 2^(15 - f): a q15 with it divides by 2^f and rounds.
    nearest: __m512i,
    shift: __m128i,
    cut: __m128i,
    low: __m512i,
    high: __m512i,
}

impl<const REGISTERS: usize> RowRule<REGISTERS> {
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn new(rows: &Draw<'_>, gaussian: Table<4>, scale: RowScale) -> Self {
        let fraction = scale.fraction as i32;
        RowRule {
            gaussian,
            levels: Table::levels(rows.levels, scale.deviation),
            mean: _mm512_set1_epi16(scale.mean),
            align: _mm_cvtsi32_si128(8 - rows.mu_bits.get() as i32),
            nearest: _mm512_set1_epi16(1 << (15 - fraction)),
            shift: _mm_cvtsi32_si128(fraction),
            cut: _mm_cvtsi32_si128(8 - fraction),
            low: _mm512_set1_epi8(rows.grid.min() as i8),
            high: _mm512_set1_epi8(rows.grid.max() as i8),
        }
    }

    /// 64 weights. `up`: their rounding bytes, if they are rounded stochastically.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    #[inline]
    fn weights(&self, mu: __m512i, sigma: __m512i, noise: __m512i, up: Option<__m512i>) -> __m512i {
        let zero = _mm512_setzero_si512();
        let (eps, level) = (self.gaussian.words(noise), self.levels.words(sigma));
        // Codes have mu bits at most, so none is shifted out of its byte.
        let mu = _mm512_sll_epi16(mu, self.align);
        let mu = [_mm512_unpacklo_epi8(zero, mu), _mm512_unpackhi_epi8(zero, mu)];
        let mut words = [zero; 2];
        for j in 0..2 {
            let mean = _mm512_mulhrs_epi16(mu[j], self.mean);
            words[j] = _mm512_adds_epi16(mean, _mm512_mulhrs_epi16(eps[j], level[j]));
        }
        match up {
            None => words.iter_mut().for_each(|w| *w = _mm512_mulhrs_epi16(*w, self.nearest)),
            Some(bytes) => {
                let up = [_mm512_unpacklo_epi8(bytes, zero), _mm512_unpackhi_epi8(bytes, zero)];
                for (w, up) in words.iter_mut().zip(up) {
                    *w = _mm512_sra_epi16(_mm512_adds_epi16(*w, _mm512_srl_epi16(up, self.cut)), self.shift);
                }
            }
        }
        let codes = _mm512_packs_epi16(words[0], words[1]);
        _mm512_min_epi8(_mm512_max_epi8(codes, self.low), self.high)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn draw_with<const REGISTERS: usize>(rows: &Draw<'_>, pitch: usize, out: &mut [i8]) {
    let gaussian = Table::<4>::gaussian();
    for (i, out) in unsigned(out).chunks_mut(pitch).enumerate().take(rows.scales.len()) {
        let (scale, mu, sigma, noise) = rows.row(i);
        let rule = RowRule::<REGISTERS>::new(rows, gaussian, scale);
        let (out, mu, sigma) = (out[..rows.len].chunks_mut(VECTOR), mu.chunks(VECTOR), sigma.chunks(VECTOR));
        match rows.rounding {
            Rounding::Nearest => {
                for ((out, noise), (mu, sigma)) in out.zip(noise.chunks(VECTOR)).zip(mu.zip(sigma)) {
                    store(out, rule.weights(load(mu, VECTOR), load(sigma, VECTOR), load(noise, VECTOR), None));
                }
            }
            Rounding::Stochastic => {
                for ((out, noise), (mu, sigma)) in out.zip(noise.chunks(2 * VECTOR)).zip(mu.zip(sigma)) {
                    let (noise, up) = apart(noise);
                    store(out, rule.weights(load(mu, VECTOR), load(sigma, VECTOR), noise, Some(up)));
                }
            }
        }
    }
}

/// The even and the odd bytes of up to 128.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn apart(bytes: &[u8]) -> (__m512i, __m512i) {
    let (a, b) = (load(bytes, VECTOR), load(&bytes[bytes.len().min(VECTOR)..], VECTOR));
    let odd = join(_mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(a)), _mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(b)));
    (join(_mm512_cvtepi16_epi8(a), _mm512_cvtepi16_epi8(b)), odd)
}

/// The same bytes, without their sign.
fn unsigned(bytes: &mut [i8]) -> &mut [u8] {
    // SAFETY: i8 and u8 have one size and alignment, and every bit pattern is a value of both.
    unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn pack(rows: &[i8], pitch: usize, len: usize, strip: &mut [i8]) {
    for (i, block) in unsigned(strip).chunks_mut(LANES * VECTOR).enumerate() {
        let at = i * VECTOR;
        let valid = mask(len - at);
        let mut x = [_mm512_setzero_si512(); LANES];
        for (lane, x) in x.iter_mut().enumerate() {
            // SAFETY: `Kernel::pack` has checked that row `lane` holds `len` bytes; the mask lets no others be read.
            *x = unsafe { _mm512_maskz_loadu_epi8(valid, rows.as_ptr().add(lane * pitch + at).cast()) };
        }
        transpose(&mut x);
        for (part, value) in block.as_chunks_mut::<VECTOR>().0.iter_mut().zip(x) {
            store(part, value);
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
