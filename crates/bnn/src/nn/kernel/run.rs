//! Runs: one number for each image of a block.

use pulp::Simd;

/// Floats of a run.
pub const RUN: usize = 32;

/// One number for each image of a block.
pub type Run = [f32; RUN];

/// Floats as runs.
pub fn runs(floats: &[f32]) -> &[Run] {
    floats.as_chunks().0
}

/// Floats as runs.
pub fn runs_mut(floats: &mut [f32]) -> &mut [Run] {
    floats.as_chunks_mut().0
}

/// Floats of a vector.
#[inline(always)]
pub(crate) fn lanes<S: Simd>() -> usize {
    size_of::<S::f32s>() / size_of::<f32>()
}

/// Rows to columns: `into[c][r] = tile[r][c]` for the first `into.len()` columns.
#[inline(always)]
pub fn transpose<S: Simd>(simd: S, tile: &[Run; RUN], into: &mut [Run]) {
    let lanes = lanes::<S>();
    let mut block = [simd.splat_f32s(0.0); RUN];
    // Which of a vector's lanes have the bit of a half set: the lane numbers, tested bit by bit.
    let numbers: [u32; RUN] = std::array::from_fn(|i| i as u32);
    let (numbers, _) = S::as_simd_u32s(&numbers);
    for rows in 0..RUN / lanes {
        for columns in 0..into.len().div_ceil(lanes) {
            let block = &mut block[..lanes];
            for (slot, row) in block.iter_mut().zip(&tile[rows * lanes..]) {
                *slot = S::as_simd_f32s(row).0[columns];
            }
            // Exchanges the off-diagonal quarters of ever smaller squares, whole vectors at a time.
            let mut half = lanes / 2;
            while half > 0 {
                let bit = simd.splat_u32s(half as u32);
                let set = simd.equal_u32s(simd.and_u32s(numbers[0], bit), bit);
                for row in (0..lanes).filter(|row| row & half == 0) {
                    let (upper, lower) = (block[row], block[row + half]);
                    block[row] = simd.select_f32s(set, simd.rotate_right_f32s(lower, half), upper);
                    block[row + half] = simd.select_f32s(set, lower, simd.rotate_left_f32s(upper, half));
                }
                half /= 2;
            }
            for (run, &column) in into[columns * lanes..].iter_mut().zip(&*block) {
                S::as_mut_simd_f32s(run).0[rows] = column;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Transpose<'a>(&'a [Run; RUN], &'a mut [Run]);

    impl WithSimd for Transpose<'_> {
        type Output = ();
        fn with_simd<S: Simd>(self, simd: S) {
            transpose(simd, self.0, self.1);
        }
    }

    #[test]
    fn rows_become_columns() {
        let tile: [Run; RUN] = std::array::from_fn(|r| std::array::from_fn(|c| (r * 100 + c) as f32));
        for columns in 1..=RUN {
            let mut into = vec![[-1.0; RUN]; columns];
            Arch::new().dispatch(Transpose(&tile, &mut into));
            for (c, run) in into.iter().enumerate() {
                assert!((0..RUN).all(|r| run[r] == tile[r][c]), "column {c} of {columns}: {run:?}");
            }
            let mut scalar = vec![[-1.0; RUN]; columns];
            transpose(pulp::Scalar, &tile, &mut scalar);
            assert_eq!(into, scalar);
        }
    }
}
