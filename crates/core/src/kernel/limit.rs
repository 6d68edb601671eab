//! What a core can do at best with a kernel's own instructions: loops of nothing but products. For benchmarks, which state
//! every other speed as a fraction of it.

use super::Kernel;
use core::hint::black_box;

/// Sums in registers: enough chains beside each other to hide an instruction's latency.
const CHAINS: usize = 12;

/// Multiplies and adds on registers, `turns` turns of a dozen vectors, with the instructions of a kernel's product;
/// returns the multiply-adds done. A kernel that is unknown here gets the plain loop, which any processor runs.
pub fn multiply_adds(kernel: Kernel, turns: usize) -> u64 {
    #[cfg(target_arch = "x86_64")]
    match kernel.name() {
        // SAFETY: a `Kernel` of this name was handed out, so the processor has its features (`x86_64::available`).
        "avx512vnni" => return unsafe { vnni(turns) },
        // SAFETY: the same.
        "avxvnni" => return unsafe { avxvnni(turns) },
        // SAFETY: the same.
        "avx512vl" => return unsafe { avx512vl(turns) },
        // SAFETY: the same.
        "avx2" => return unsafe { avx2(turns) },
        _ => {}
    }
    let _ = kernel;
    plain(turns)
}

fn plain(turns: usize) -> u64 {
    let (x, mut w) = (black_box([3u8; 16]), [-2i8; 16]);
    let mut sums = [0i32; 16];
    for _ in 0..turns * CHAINS {
        black_box(&mut w);
        for ((sum, &x), &w) in sums.iter_mut().zip(&x).zip(&w) {
            *sum = sum.wrapping_add(x as i32 * w as i32);
        }
    }
    black_box(sums);
    (turns * CHAINS * 16) as u64
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni(turns: usize) -> u64 {
    use core::arch::x86_64::*;
    let (x, w) = (_mm512_set1_epi8(black_box(3)), _mm512_set1_epi8(black_box(-2)));
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..turns {
        sums.iter_mut().for_each(|sum| *sum = _mm512_dpbusd_epi32(*sum, x, w));
    }
    black_box(sums.iter().map(|&sum| _mm512_reduce_add_epi32(sum)).fold(0, i32::wrapping_add));
    (turns * CHAINS * 64) as u64
}

/// The loop of a 256-bit dot-product instruction.
#[cfg(target_arch = "x86_64")]
macro_rules! half {
    ($name:ident, $features:literal, $dot:path) => {
        #[target_feature(enable = $features)]
        fn $name(turns: usize) -> u64 {
            use core::arch::x86_64::*;
            let (x, w) = (_mm256_set1_epi8(black_box(3)), _mm256_set1_epi8(black_box(-2)));
            let mut sums = [_mm256_setzero_si256(); CHAINS];
            for _ in 0..turns {
                sums.iter_mut().for_each(|sum| *sum = $dot(*sum, x, w));
            }
            black_box(sums.iter().map(|&sum| _mm256_extract_epi32::<0>(sum)).fold(0, i32::wrapping_add));
            (turns * CHAINS * 32) as u64
        }
    };
}
#[cfg(target_arch = "x86_64")]
half!(avxvnni, "avx2,avxvnni", core::arch::x86_64::_mm256_dpbusd_avx_epi32);
#[cfg(target_arch = "x86_64")]
half!(avx512vl, "avx2,avx512f,avx512vl,avx512vnni", core::arch::x86_64::_mm256_dpbusd_epi32);

/// Here a product does not depend on the sum that it goes to. So that none is worked out once for all turns, weights lie in
/// memory that might have changed; reading them there costs nothing beside the products.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(turns: usize) -> u64 {
    use core::arch::x86_64::*;
    let (x, ones) = (_mm256_set1_epi8(black_box(3)), _mm256_set1_epi16(1));
    let mut w = [_mm256_set1_epi8(-2); CHAINS];
    let mut sums = [_mm256_setzero_si256(); CHAINS];
    for _ in 0..turns {
        black_box(&mut w);
        for (sum, &w) in sums.iter_mut().zip(&w) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
        }
    }
    black_box(sums.iter().map(|&sum| _mm256_extract_epi32::<0>(sum)).fold(0, i32::wrapping_add));
    (turns * CHAINS * 32) as u64
}

#[test]
fn every_kernel_has_a_loop() {
    for kernel in Kernel::available() {
        assert!(multiply_adds(kernel, 10) >= 10 * 12 * 16, "{kernel:?}");
    }
}
