//! AVX-512: one instruction multiplies 64 unsigned by 64 signed bytes and adds fours of them to 16 sums (VNNI); one
//! instruction looks 64 bytes up in a table of 128 (VBMI).

mod draw;
mod product;

use super::{detected, kernel};
use crate::code::Bits;
use crate::kernel::{Kernel, LANES, VECTOR};
use core::arch::x86_64::*;
use draw::{draw, moments};
use product::product;

/// The kernel, for processors on which [`detected`] is true.
pub(super) const KERNEL: Kernel = kernel!("avx512vnni");

/// Whether this processor can run the kernel.
pub(super) fn detected() -> bool {
    detected!("avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512vbmi2", "avx512vnni")
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

#[target_feature(enable = "avx512f,avx512bw")]
fn pack(rows: &[u8], at: &[usize; LANES], len: usize, strip: &mut [u8]) {
    for (i, block) in strip.chunks_mut(LANES * VECTOR).enumerate() {
        let first = i * VECTOR;
        let mut x = [_mm512_setzero_si512(); LANES];
        for (x, at) in x.iter_mut().zip(at) {
            // SAFETY: `Kernel::pack` has checked that `len` bytes lie behind `at`; the mask lets no others be read.
            *x = unsafe { _mm512_maskz_loadu_epi8(mask(len - first), rows.as_ptr().add(at + first).cast()) };
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
