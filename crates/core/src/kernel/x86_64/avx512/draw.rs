//! Drawing weights: Philox, the table of Gaussian numbers and the rule, on 16 lanes at once.
//!
//! Every lane of a strip has its own counter, so noise falls out of Philox in the order in which a strip lies, and nothing
//! is transposed. Counted in instructions of 512 bits, of which Zen 4 starts two in a cycle, and one multiplication and
//! one or two shuffles at most: 64 bytes of noise take 28, hence 14 cycles, and the rule 16 for 64 weights, of which seven
//! are shuffles, hence 8 cycles more.

use super::load;
use crate::draw::{PURPOSE, Rounding};
use crate::kernel::{Codes, Draw, LANES, Lanes, VECTOR};
use crate::noise::{GAUSSIAN, MULTIPLIER, WEYL};
use core::arch::asm;
use core::arch::x86_64::*;

/// Vectors of eight counters that go through the rounds together: chains of multiplications beside each other, to hide
/// their latency.
const CHAINS: usize = 4;

/// Noise for 16 lanes. A word has the lower half of a 64-bit lane, lanes 0 to 7 in one vector and 8 to 15 in another; what
/// lies above it is of no consequence, as a multiplication reads the lower half alone.
struct Philox {
    /// Keys of the rounds.
    keys: [[u32; 2]; 10],
    /// Block of each lane.
    index: [__m512i; 2],
    /// Only the first word of the counter differs between a lane's blocks. So two rounds leave some words alike in all of
    /// them: the first round word 1 (here with the second's key), the second what word 2 is changed by, and word 3.
    first: [__m512i; 2],
    second: [[__m512i; 2]; 2],
}

#[target_feature(enable = "avx512f")]
#[inline]
fn set(word: u32) -> __m512i {
    _mm512_set1_epi64(word as i64)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn high(product: __m512i) -> __m512i {
    _mm512_srli_epi64::<32>(product)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

/// The first and the last eight of 16 words.
#[target_feature(enable = "avx512f")]
#[inline]
fn halves(words: &[u32; LANES]) -> [__m512i; 2] {
    // SAFETY: 16 words are 64 bytes.
    let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
    [_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64::<1>(words)].map(|half| _mm512_cvtepu32_epi64(half))
}

impl Philox {
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn new(key: [u32; 2], tensor: u32, lanes: &Lanes) -> Self {
        let step = |round: usize, i: usize| key[i].wrapping_add((round as u32).wrapping_mul(WEYL[i]));
        let keys: [[u32; 2]; 10] = core::array::from_fn(|round| [step(round, 0), step(round, 1)]);
        let (mut first, mut second) = ([_mm512_setzero_si512(); 2], [[_mm512_setzero_si512(); 2]; 2]);
        for (half, draw) in halves(&lanes.draw).into_iter().enumerate() {
            let product = _mm512_mul_epu32(draw, set(MULTIPLIER[1]));
            first[half] = _mm512_xor_si512(product, set(keys[1][0]));
            let word = _mm512_xor_si512(high(product), set(tensor ^ keys[0][0]));
            let product = _mm512_mul_epu32(word, set(MULTIPLIER[0]));
            second[half] = [_mm512_xor_si512(high(product), set(keys[1][1])), product];
        }
        Philox { keys, index: halves(&lanes.block), first, second }
    }

    /// Writes the words of `blocks` blocks of every lane, and of as many more as are made at a time: `[word][lane]`. Of
    /// the halves only the first `HALVES` are made.
    #[target_feature(enable = "avx512f")]
    fn fill<const HALVES: usize>(&self, blocks: usize, out: &mut [i32]) {
        let together = CHAINS / HALVES;
        let xor = |a, b| _mm512_xor_si512(a, b);
        let (m0, m1) = (set(MULTIPLIER[0]), set(MULTIPLIER[1]));
        let key = |round: usize, i: usize| set(self.keys[round][i]);
        // The lower and the upper 32 bits of eight lanes of 64, of two vectors.
        let lower = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        let upper = _mm512_or_si512(lower, _mm512_set1_epi32(1));
        let out = out.as_chunks_mut::<LANES>().0.chunks_exact_mut(4 * together);
        for (step, out) in out.enumerate().take(blocks.div_ceil(together)) {
            let mut x = [[m0; 4]; CHAINS];
            for (i, x) in x.iter_mut().enumerate() {
                let block = (step * together + i / HALVES) as u32;
                let index = _mm512_add_epi64(self.index[i % HALVES], set(block));
                let p0 = _mm512_mul_epu32(index, m0);
                x[2] = xor(high(p0), set(PURPOSE ^ self.keys[0][1]));
                x[3] = p0;
            }
            side_by_side(&mut x);
            for (i, x) in x.iter_mut().enumerate() {
                let p1 = _mm512_mul_epu32(x[2], m1);
                let [change, word] = self.second[i % HALVES];
                *x = [xor(high(p1), self.first[i % HALVES]), p1, xor(x[3], change), word];
            }
            side_by_side(&mut x);
            macro_rules! rounds {
                ($($k:expr),+) => { $(
                    for x in &mut x {
                        let (p0, p1) = (_mm512_mul_epu32(x[0], m0), _mm512_mul_epu32(x[2], m1));
                        *x = [xor3(high(p1), x[1], key($k, 0)), p1, xor3(high(p0), x[3], key($k, 1)), p0];
                    }
                    side_by_side(&mut x);
                )+ };
            }
            rounds!(2, 3, 4, 5, 6, 7, 8);
            let keys = self.keys[9].map(|key| _mm512_set1_epi32(key as i32));
            for (out, x) in out.as_chunks_mut::<4>().0.iter_mut().zip(x.chunks_exact(HALVES)) {
                // The last round brings the halves together.
                let (a, b) = (x[0], x[HALVES - 1]);
                let low = |a, b| _mm512_permutex2var_epi32(a, lower, b);
                let up = |a, b| _mm512_permutex2var_epi32(a, upper, b);
                let (a0, b0) = (_mm512_mul_epu32(a[0], m0), _mm512_mul_epu32(b[0], m0));
                let (a1, b1) = (_mm512_mul_epu32(a[2], m1), _mm512_mul_epu32(b[2], m1));
                let words = [
                    xor3(up(a1, b1), low(a[1], b[1]), keys[0]),
                    low(a1, b1),
                    xor3(up(a0, b0), low(a[3], b[3]), keys[1]),
                    low(a0, b0),
                ];
                for (out, word) in out.iter_mut().zip(words) {
                    // SAFETY: 16 words are 64 bytes.
                    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), word) };
                }
            }
        }
    }
}

/// Keeps the compiler from working off one chain after the other: the processor looks ahead for about one chain, and would
/// wait for each multiplication.
#[target_feature(enable = "avx512f")]
#[inline]
fn side_by_side(chains: &mut [[__m512i; 4]; CHAINS]) {
    let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = chains;
    // SAFETY: no instruction at all; the vectors pass through.
    unsafe {
        asm!(
            "/* {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} */",
            inout(zmm_reg) * a0,
            inout(zmm_reg) * a1,
            inout(zmm_reg) * a2,
            inout(zmm_reg) * a3,
            inout(zmm_reg) * b0,
            inout(zmm_reg) * b1,
            inout(zmm_reg) * b2,
            inout(zmm_reg) * b3,
            inout(zmm_reg) * c0,
            inout(zmm_reg) * c1,
            inout(zmm_reg) * c2,
            inout(zmm_reg) * c3,
            inout(zmm_reg) * d0,
            inout(zmm_reg) * d1,
            inout(zmm_reg) * d2,
            inout(zmm_reg) * d3,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
}

/// A table of 256 words of 16 bits as two tables of bytes, in registers.
#[derive(Clone, Copy)]
struct Table {
    low: [__m512i; 4],
    high: [__m512i; 4],
}

/// The low and the high bytes of words.
const fn split(values: &[i16; 256]) -> [[u8; 256]; 2] {
    let mut bytes = [[0; 256]; 2];
    let mut i = 0;
    while i < 256 {
        bytes[0][i] = values[i] as u8;
        bytes[1][i] = (values[i] >> 8) as u8;
        i += 1;
    }
    bytes
}

static GAUSSIAN_BYTES: [[u8; 256]; 2] = split(&GAUSSIAN);

impl Table {
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn new([low, high]: &[[u8; 256]; 2]) -> Self {
        Table {
            low: core::array::from_fn(|i| load(&low[64 * i..], VECTOR)),
            high: core::array::from_fn(|i| load(&high[64 * i..], VECTOR)),
        }
    }

    /// The words of 64 indices, in the order of [`widen`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    #[inline]
    fn words(&self, index: __m512i) -> [__m512i; 2] {
        let upper = _mm512_movepi8_mask(index);
        let look_up = |t: &[__m512i; 4]| {
            let low = _mm512_permutex2var_epi8(t[0], index, t[1]);
            _mm512_mask_blend_epi8(upper, low, _mm512_permutex2var_epi8(t[2], index, t[3]))
        };
        widen(look_up(&self.low), look_up(&self.high))
    }
}

/// Words of 64 low and 64 high bytes, in two vectors: of bytes 0 to 7 of each 16, and of bytes 8 to 15. This is the order
/// of moments too: of 64 weights first the two vectors of means, then the two of levels.
#[target_feature(enable = "avx512bw")]
#[inline]
fn widen(low: __m512i, high: __m512i) -> [__m512i; 2] {
    [_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)]
}

/// A number of each lane, for each of its four weights, as words in the order of [`widen`].
#[target_feature(enable = "avx512bw")]
#[inline]
fn of_lanes(numbers: impl Fn(usize) -> i16) -> [__m512i; 2] {
    let twice: [i32; LANES] = core::array::from_fn(|lane| numbers(lane) as u16 as i32 * 0x1_0001);
    // SAFETY: 16 words are 64 bytes.
    let twice = unsafe { _mm512_loadu_si512(twice.as_ptr().cast()) };
    [_mm512_unpacklo_epi32(twice, twice), _mm512_unpackhi_epi32(twice, twice)]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn moments(codes: &Codes<'_>, out: &mut [i32]) {
    let mut levels = [0i16; 256];
    levels[..codes.levels.len()].copy_from_slice(codes.levels);
    let levels = Table::new(&split(&levels));
    let align = _mm_cvtsi32_si128(8 - codes.mu_bits.get() as i32);
    let zero = _mm512_setzero_si512();
    let (mean, deviation) = (of_lanes(|i| codes.scales[i].mean), of_lanes(|i| codes.scales[i].deviation));
    let up = of_lanes(|i| match codes.rounding {
        Rounding::Nearest => 1 << (codes.scales[i].fraction - 1),
        Rounding::Stochastic => 0,
    });
    let groups = codes.run_len.div_ceil(4);
    // The words that have an input in the last vector of a run.
    let last = 4 - (4 * groups - codes.run_len);
    let last = 0x1111_1111u32 * ((1 << last) - 1);
    let (mu, sigma) = (codes.mu.as_chunks::<VECTOR>().0, codes.sigma.as_chunks::<VECTOR>().0);
    for (i, (out, (mu, sigma))) in out.as_chunks_mut::<VECTOR>().0.iter_mut().zip(mu.iter().zip(sigma)).enumerate() {
        // Codes have mu bits at most, so none is shifted out of its byte.
        let mu = widen(zero, _mm512_sll_epi16(load(mu, VECTOR), align));
        let t = levels.words(load(sigma, VECTOR));
        let valid = if i % groups + 1 == groups { last } else { u32::MAX };
        for j in 0..2 {
            let mean = _mm512_add_epi16(_mm512_mulhrs_epi16(mu[j], mean[j]), up[j]);
            let level = _mm512_maskz_mulhrs_epi16(valid, t[j], deviation[j]);
            // SAFETY: 64 words are four vectors.
            unsafe {
                let at = out.as_mut_ptr().cast::<__m512i>();
                _mm512_storeu_si512(at.add(j), mean);
                _mm512_storeu_si512(at.add(2 + j), level);
            }
        }
    }
}

/// Reads the noise of every lane word by word, from any byte of it on.
struct Reader<'a> {
    words: &'a [[i32; LANES]],
    /// Lanes that begin one to four words further on.
    later: [__mmask16; 4],
    /// Bits that each lane begins within its word.
    bits: __m512i,
    /// Whether all begin with the word.
    aligned: bool,
    /// The word that begins last, in lanes that begin within it.
    held: __m512i,
}

impl<'a> Reader<'a> {
    /// From byte `first` of every lane on.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn new(words: &'a [[i32; LANES]], lanes: &Lanes, first: usize) -> Self {
        let bytes = lanes.byte.map(|byte| byte as i32);
        // SAFETY: 16 words are 64 bytes.
        let bytes = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
        let at = _mm512_add_epi32(bytes, _mm512_set1_epi32((first % 4) as i32));
        let word = _mm512_srli_epi32::<2>(at);
        let mut reader = Reader {
            words: &words[first / 4..],
            later: [1, 2, 3, 4].map(|i| _mm512_cmpeq_epi32_mask(word, _mm512_set1_epi32(i))),
            bits: _mm512_slli_epi32::<3>(_mm512_and_si512(at, _mm512_set1_epi32(3))),
            aligned: _mm512_test_epi32_mask(at, at) == 0,
            held: _mm512_setzero_si512(),
        };
        reader.held = reader.word();
        reader
    }

    /// The word of each lane that the reader stands at.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn word(&self) -> __m512i {
        // SAFETY: 16 words are 64 bytes.
        let mut word = unsafe { _mm512_loadu_si512(self.words[0].as_ptr().cast()) };
        for (words, &later) in self.words[1..5].iter().zip(&self.later) {
            // SAFETY: 16 words are 64 bytes.
            word = unsafe { _mm512_mask_loadu_epi32(word, later, words.as_ptr()) };
        }
        word
    }

    /// The next word of every lane.
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    #[inline]
    fn next(&mut self) -> __m512i {
        if self.aligned {
            // SAFETY: 16 words are 64 bytes.
            let word = unsafe { _mm512_loadu_si512(self.words[0].as_ptr().cast()) };
            self.words = &self.words[1..];
            return word;
        }
        self.words = &self.words[1..];
        let next = self.word();
        let word = _mm512_shrdv_epi32(self.held, next, self.bits);
        self.held = next;
        word
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,avx512vnni")]
pub(super) fn draw(draw: &Draw<'_>, noise: &mut [i32], out: &mut [i8], sums: Option<&mut [i32; LANES]>) {
    let last = draw.lanes.byte.iter().fold(0, |last, &b| last.max(b)) as usize + draw.noise_bytes();
    let philox = Philox::new(draw.key, draw.tensor, draw.lanes);
    if draw.lanes.count > LANES / 2 {
        philox.fill::<2>(last.div_ceil(16), noise);
    } else {
        philox.fill::<1>(last.div_ceil(16), noise);
    }
    match (draw.rounding, draw.lanes.fit && draw.lanes.fraction == [8; LANES]) {
        (Rounding::Nearest, true) => rule::<false, true>(draw, noise, out),
        (Rounding::Nearest, false) => rule::<false, false>(draw, noise, out),
        (Rounding::Stochastic, true) => rule::<true, true>(draw, noise, out),
        (Rounding::Stochastic, false) => rule::<true, false>(draw, noise, out),
    }
    if let Some(sums) = sums {
        let ones = _mm512_set1_epi8(1);
        let mut parts = [_mm512_setzero_si512(); 4];
        for vectors in out.as_chunks::<VECTOR>().0.chunks(4) {
            for (part, weights) in parts.iter_mut().zip(vectors) {
                // SAFETY: 64 weights are 64 bytes.
                let weights = unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) };
                *part = _mm512_dpbusd_epi32(*part, ones, weights);
            }
        }
        let [a, b, c, d] = parts;
        let sum = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
        // SAFETY: 16 words are 64 bytes.
        unsafe {
            let at = sums.as_mut_ptr();
            _mm512_storeu_si512(at.cast(), _mm512_add_epi32(sum, _mm512_loadu_si512(at.cast())));
        }
    }
}

/// The rule. `WHOLE`: a step of the grid has eight fraction bits, so that a weight is the upper byte of its word; and no sum
/// leaves 16 bits, as with almost all networks.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2")]
fn rule<const STOCHASTIC: bool, const WHOLE: bool>(draw: &Draw<'_>, noise: &[i32], out: &mut [i8]) {
    let gaussian = Table::new(&GAUSSIAN_BYTES);
    let fraction = of_lanes(|i| draw.lanes.fraction[i] as i16);
    let cut = of_lanes(|i| 8 - draw.lanes.fraction[i] as i16);
    // Byte i of 64: the upper one of word i % 8 of the lane i / 16, of the second vector where i % 16 is 8 or more.
    let upper: [u8; VECTOR] = core::array::from_fn(|i| (i / 16 * 16 + i % 8 * 2 + 1 + i % 16 / 8 * 64) as u8);
    // Bytes 0, 2 of a lane's first word, then of its second.
    let even: [u8; VECTOR] = core::array::from_fn(|i| (i / 4 * 4 + i % 2 * 2 + i % 4 / 2 * 64) as u8);
    let (upper, even) = (load(&upper, VECTOR), load(&even, VECTOR));
    let odd = _mm512_or_si512(even, _mm512_set1_epi8(1));
    let (low, high) = (_mm512_set1_epi8(draw.grid.min() as i8), _mm512_set1_epi8(draw.grid.max() as i8));
    let each = draw.rounding.noise_bytes();
    let words = noise.as_chunks::<LANES>().0;
    let runs = out.chunks_exact_mut(draw.groups() * VECTOR).zip(draw.moments.chunks_exact(draw.groups() * VECTOR));
    for (run, (out, moments)) in runs.enumerate() {
        let mut reader = Reader::new(words, draw.lanes, run * draw.run_len * each);
        let vectors = out.as_chunks_mut::<VECTOR>().0.iter_mut().zip(moments.as_chunks::<VECTOR>().0);
        for (out, moments) in vectors {
            // SAFETY: 64 words are four vectors.
            let moment = |i: usize| unsafe { _mm512_loadu_si512(moments.as_ptr().cast::<__m512i>().add(i)) };
            let (bytes, up) = if STOCHASTIC {
                let (a, b) = (reader.next(), reader.next());
                (_mm512_permutex2var_epi8(a, even, b), _mm512_permutex2var_epi8(a, odd, b))
            } else {
                (reader.next(), _mm512_setzero_si512())
            };
            let eps = gaussian.words(bytes);
            // Additions that do not saturate run where multiplications do not.
            let add = |a, b| if WHOLE { _mm512_add_epi16(a, b) } else { _mm512_adds_epi16(a, b) };
            let mut w = [0, 1].map(|j| add(moment(j), _mm512_mulhrs_epi16(eps[j], moment(2 + j))));
            if STOCHASTIC {
                let up = widen(up, _mm512_setzero_si512());
                for j in 0..2 {
                    w[j] = add(w[j], if WHOLE { up[j] } else { _mm512_srlv_epi16(up[j], cut[j]) });
                }
            }
            let codes = if WHOLE {
                _mm512_permutex2var_epi8(w[0], upper, w[1])
            } else {
                let [a, b] = [0, 1].map(|j| _mm512_srav_epi16(w[j], fraction[j]));
                _mm512_packs_epi16(a, b)
            };
            let weights = _mm512_min_epi8(_mm512_max_epi8(codes, low), high);
            // SAFETY: 64 weights are 64 bytes.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), weights) };
        }
    }
}
