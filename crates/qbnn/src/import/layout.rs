//! Layouts of weights: what JAX and TensorFlow store becomes what PyTorch and qbnn store.
//!
//! | | PyTorch, qbnn | JAX, TensorFlow |
//! |---|---|---|
//! | convolution | `[out, in, rows, columns]` | `[rows, columns, in, out]` |
//! | dense | `[out, in]` | `[in, out]` |
//! | what flatten gives | channel by channel | row by row, column by column, channels innermost |
//!
//! So the first dense layer behind a convolution has its inputs in another order as well.

use qbnn_core::Shape;
use serde::Serialize;
use std::str::FromStr;

/// Order of the numbers of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[out, in, rows, columns]`, `[out, in]`, channels first.
    Torch,
    /// `[rows, columns, in, out]`, `[in, out]`, channels last: JAX, Flax, Keras.
    Jax,
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "torch" => Ok(Layout::Torch),
            "jax" => Ok(Layout::Jax),
            _ => Err("wanted torch or jax".into()),
        }
    }
}

/// For each number of a weight in PyTorch's layout, where it lies in JAX's; with the shape in PyTorch's layout. `None` for a
/// shape of no linear layer.
#[must_use]
pub fn from_jax(shape: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
    match *shape {
        [inputs, outputs] => {
            let order = (0..outputs).flat_map(|o| (0..inputs).map(move |i| i * outputs + o)).collect();
            Some((vec![outputs, inputs], order))
        }
        [rows, columns, inputs, outputs] => {
            let mut order = Vec::with_capacity(rows * columns * inputs * outputs);
            for o in 0..outputs {
                for i in 0..inputs {
                    for r in 0..rows {
                        order.extend((0..columns).map(|c| ((r * columns + c) * inputs + i) * outputs + o));
                    }
                }
            }
            Some((vec![outputs, inputs, rows, columns], order))
        }
        _ => None,
    }
}

/// For each weight of a dense layer `[out, in]` that reads `from` channel by channel, where it lies in one that reads it with
/// channels innermost.
#[must_use]
pub fn channels_first(outputs: usize, from: Shape) -> Vec<usize> {
    let Shape { channels, rows, columns } = from;
    let inputs = channels * rows * columns;
    let mut order = Vec::with_capacity(outputs * inputs);
    for o in 0..outputs {
        for channel in 0..channels {
            order.extend((0..rows * columns).map(|place| o * inputs + place * channels + channel));
        }
    }
    order
}

/// Numbers in another order.
pub(super) fn permuted<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    order.iter().filter_map(|&at| values.get(at).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_finds_its_place() {
        let (shape, order) = from_jax(&[2, 3]).unwrap();
        assert_eq!((shape, permuted(&[0, 1, 2, 10, 11, 12], &order)), (vec![3, 2], vec![0, 10, 1, 11, 2, 12]));
        // Value: row, column, input, output as digits.
        let digits = |r: usize, c: usize, i: usize, o: usize| 1000 * r + 100 * c + 10 * i + o;
        let mut jax = Vec::new();
        for r in 0..2 {
            for c in 0..3 {
                for i in 0..4 {
                    jax.extend((0..5).map(|o| digits(r, c, i, o)));
                }
            }
        }
        let (shape, order) = from_jax(&[2, 3, 4, 5]).unwrap();
        assert_eq!(shape, [5, 4, 2, 3]);
        let torch = permuted(&jax, &order);
        assert_eq!(torch[((2 * 4 + 3) * 2 + 1) * 3 + 2], digits(1, 2, 3, 2));
        assert_eq!(from_jax(&[3]), None);
        let from = Shape { channels: 2, rows: 1, columns: 3 };
        // Place by place, channels innermost: a0 b0 a1 b1 a2 b2.
        assert_eq!(permuted(&[0, 10, 1, 11, 2, 12], &channels_first(1, from)), [0, 1, 2, 10, 11, 12]);
    }
}
