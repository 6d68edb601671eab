//! Kernels for x86-64: AVX-512 with VNNI and VBMI; AVX-VNNI; the 256-bit part of AVX-512 with VNNI; AVX2.
//!
//! Each is a set of safe functions compiled for its instructions; the functions of its [`Kernel`] call them. That is
//! sound because a [`Kernel`] is handed out by [`available`] alone, after the processor was asked.

mod avx2;
mod avx512;
mod products;

use super::{Kernel, Product};

/// Fast kernels that this processor can run, fastest first.
pub(super) fn available() -> impl Iterator<Item = Kernel> {
    [
        avx512::detected().then_some(avx512::KERNEL),
        avx2::avxvnni::detected().then_some(avx2::avxvnni::KERNEL),
        avx2::avx512vl::detected().then_some(avx2::avx512vl::KERNEL),
        avx2::detected().then_some(avx2::KERNEL),
    ]
    .into_iter()
    .flatten()
}

/// Whether the processor has some instructions: asked of it where `std` can, else what the compiler was told.
macro_rules! detected {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let have = true $(&& std::is_x86_feature_detected!($feature))+;
        #[cfg(not(feature = "std"))]
        let have = true $(&& cfg!(target_feature = $feature))+;
        have
    }};
}
use detected;

/// The kernel of a name, of the five functions of the module that asks for it.
macro_rules! kernel {
    ($name:literal) => {
        Kernel {
            name: $name,
            // SAFETY: a `Kernel` reaches a caller only through `available`, after `detected` has found every feature that
            // these functions are compiled for.
            unpack: |packed, first, bits, out| unsafe { unpack(packed, first, bits, out) },
            // SAFETY: the same.
            pack: |rows, at, len, strip| unsafe { pack(rows, at, len, strip) },
            // SAFETY: the same.
            moments: |codes, out| unsafe { moments(codes, out) },
            // SAFETY: the same.
            draw: |strip, noise, out, sums| unsafe { draw(strip, noise, out, sums) },
            // SAFETY: the same.
            product: |p, output| unsafe { product(p, output) },
        }
    };
}
use kernel;

/// The windows of a tile of `P`, the last repeated where there are fewer.
fn tile<const P: usize>(origins: &[i32]) -> [usize; P] {
    core::array::from_fn(|i| origins[i.min(origins.len() - 1)] as usize)
}

/// What a product's inner loop reads, as addresses: its lengths were checked by [`Kernel::product`].
#[derive(Clone, Copy)]
struct Pointers {
    weights: *const i8,
    input: *const u8,
}

impl Pointers {
    fn of(p: &Product<'_>) -> Self {
        Pointers { weights: p.weights.as_ptr(), input: p.input.as_ptr() }
    }
}
