//! The yardstick of speed: a general matrix product, `C (+)= A · B` on strided `f32` views, one thread.
//!
//! The layers have products of their own (`bnn/src/nn/kernel`). The kernels of the `gemm` project (its `f32` crate alone:
//! the umbrella crate also compiles five other types) say what a good general product would take for the same sizes.

use gemm_common::Parallelism;

/// A read-only matrix: element (r, c) is `data[r * row_stride + c * column_stride]`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// Rows one after the other, `columns` apart.
    pub fn rows(data: &'a [f32], columns: usize) -> Self {
        View { data, row_stride: columns, column_stride: 1 }
    }

    /// The same matrix with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        View { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.data.len()
    }
}

/// `out[r][c] = sum_k a[r][k] b[k][c]`, added to what is there if `accumulate`.
///
/// `out` is row-major with `out_stride` floats between rows; sizes are `(rows, columns, inner)`.
///
/// # Panics
/// If a view is too small for the sizes (a mistake of this crate, never of a user).
pub fn matmul(
    (rows, columns, inner): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
    out: &mut [f32],
    out_stride: usize,
    accumulate: bool,
) {
    assert!(a.holds(rows, inner) && b.holds(inner, columns), "matrix product reads past a view");
    assert!(
        rows == 0 || columns == 0 || (columns <= out_stride && (rows - 1) * out_stride + columns <= out.len()),
        "matrix product writes past its output"
    );
    // gemm wants a column-major destination: compute the transposed product, whose columns are our rows.
    // SAFETY: the asserts above show that every element that sizes and strides address lies inside its slice; strides
    // are lengths of live slices and so fit an isize; `out` is borrowed mutably and cannot alias `a` or `b`; with
    // `columns <= out_stride` no two elements of `out` share an address.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            columns,
            rows,
            inner,
            out.as_mut_ptr(),
            out_stride as isize,
            1,
            accumulate,
            b.data.as_ptr(),
            b.row_stride as isize,
            b.column_stride as isize,
            a.data.as_ptr(),
            a.row_stride as isize,
            a.column_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(rows in 1usize..9, columns in 1usize..40, inner in 0usize..20, flip_a: bool, flip_b: bool,
                                 accumulate: bool, seed in 0u32..1000) {
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 65536.0 - 0.5;
            let a: Vec<f32> = (0..rows * inner).map(value).collect();
            let b: Vec<f32> = (0..columns * inner).map(|i| value(i + 7777)).collect();
            let view_a = if flip_a { View::rows(&a, rows).transposed() } else { View::rows(&a, inner) };
            let view_b = if flip_b { View::rows(&b, inner).transposed() } else { View::rows(&b, columns) };
            let stride = columns + 3;
            let mut out = vec![0.25f32; rows * stride];
            matmul((rows, columns, inner), view_a, view_b, &mut out, stride, accumulate);
            for r in 0..rows {
                for c in 0..columns {
                    let mut want = if accumulate { 0.25 } else { 0.0 };
                    for k in 0..inner {
                        want += view_a.data[r * view_a.row_stride + k * view_a.column_stride]
                            * view_b.data[k * view_b.row_stride + c * view_b.column_stride];
                    }
                    prop_assert!((out[r * stride + c] - want).abs() < 1e-5);
                }
            }
        }
    }
}
