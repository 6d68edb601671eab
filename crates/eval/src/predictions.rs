//! The one input format of this crate: `probs[S][N][C]`, checked once on the way in.
//!
//! Everything after [`Predictions::new`] may rely on the shape and on the rows being probability vectors, so no
//! metric has to ask again.

use crate::EvalError;

/// How far the sum of one row may be from 1. Wide enough for an integer softmax with 12 fractional bits, narrow
/// enough to catch logits or a transposed array.
pub const ROW_SUM_TOLERANCE: f64 = 1e-3;

/// Class probabilities of S draws for N inputs over C classes, row-major `[S][N][C]`.
///
/// S >= 1, N >= 1, C >= 2; every value is in [0, 1]; every row of C values sums to 1 within
/// [`ROW_SUM_TOLERANCE`]. A deterministic network has S = 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    samples: usize,
    inputs: usize,
    classes: usize,
    probs: Vec<f32>,
}

impl Predictions {
    /// Takes an array and its shape and checks both.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooFew`] for an empty dimension or a single class, [`EvalError::ProbsLength`] where shape and
    /// length disagree, [`EvalError::NotAProbability`] for NaN or a value outside [0, 1], [`EvalError::RowSum`]
    /// where a row does not sum to 1.
    pub fn new(samples: usize, inputs: usize, classes: usize, probs: Vec<f32>) -> Result<Self, EvalError> {
        for (dimension, found, wanted) in [("samples", samples, 1), ("inputs", inputs, 1), ("classes", classes, 2)] {
            if found < wanted {
                return Err(EvalError::TooFew { dimension, found, wanted });
            }
        }
        let wanted = samples.checked_mul(inputs).and_then(|rows| rows.checked_mul(classes));
        if wanted != Some(probs.len()) {
            return Err(EvalError::ProbsLength { found: probs.len(), samples, inputs, classes });
        }
        for (row_index, row) in probs.chunks_exact(classes).enumerate() {
            check_row(row, row_index / inputs, row_index % inputs)?;
        }
        Ok(Self { samples, inputs, classes, probs })
    }

    /// S, the number of draws.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// N, the number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// C, the number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The whole array, `[S][N][C]` row-major.
    pub fn probs(&self) -> &[f32] {
        &self.probs
    }

    /// The same inputs under some of the draws alone. `None` unless `draws` is a part of them and not empty.
    pub fn draws(&self, draws: std::ops::Range<usize>) -> Option<Self> {
        let row = self.inputs * self.classes;
        let samples = draws.len();
        let probs = self.probs.get(draws.start.checked_mul(row)?..draws.end.checked_mul(row)?)?.to_vec();
        (samples > 0).then_some(Self { samples, probs, ..*self })
    }

    /// The rows of one input, one per draw in the order of the draws, each of C values. An input out of range has
    /// no rows.
    pub fn rows_of(&self, input: usize) -> impl Iterator<Item = &[f32]> {
        self.probs.chunks_exact(self.classes).skip(input).step_by(self.inputs).take(if input < self.inputs {
            self.samples
        } else {
            0
        })
    }
}

/// Checks that one row is a probability vector.
pub(crate) fn check_row(row: &[f32], sample: usize, input: usize) -> Result<(), EvalError> {
    let mut sum = 0.0f64;
    for (class, &value) in row.iter().enumerate() {
        // NaN is in no range.
        if !(0.0..=1.0).contains(&value) {
            return Err(EvalError::NotAProbability { value, sample, input, class });
        }
        sum += f64::from(value);
    }
    if (sum - 1.0).abs() > ROW_SUM_TOLERANCE {
        return Err(EvalError::RowSum { sum, sample, input });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_array_keeps_its_shape() {
        let p = Predictions::new(2, 3, 2, vec![0.5; 12]).unwrap();
        assert_eq!((p.samples(), p.inputs(), p.classes(), p.probs().len()), (2, 3, 2, 12));
    }

    #[test]
    fn rows_of_walks_the_draws_of_one_input() {
        let p = Predictions::new(2, 2, 2, vec![0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6]).unwrap();
        let rows: Vec<_> = p.rows_of(1).collect();
        assert_eq!(rows, [&[0.2f32, 0.8][..], &[0.4, 0.6]]);
        assert_eq!(p.rows_of(2).count(), 0);
    }

    #[test]
    fn draws_are_a_part() {
        let p = Predictions::new(3, 1, 2, vec![0.1, 0.9, 0.2, 0.8, 0.3, 0.7]).unwrap();
        assert_eq!(p.draws(1..3), Some(Predictions::new(2, 1, 2, vec![0.2, 0.8, 0.3, 0.7]).unwrap()));
        assert_eq!((p.draws(1..1), p.draws(2..4)), (None, None));
    }

    #[test]
    fn what_cannot_be_predictions_is_refused() {
        let new = Predictions::new;
        assert!(matches!(new(0, 1, 2, vec![]), Err(EvalError::TooFew { dimension: "samples", .. })));
        assert!(matches!(new(1, 0, 2, vec![]), Err(EvalError::TooFew { dimension: "inputs", .. })));
        assert!(matches!(new(1, 1, 1, vec![1.0]), Err(EvalError::TooFew { dimension: "classes", .. })));
        assert!(matches!(new(1, 2, 2, vec![0.5; 3]), Err(EvalError::ProbsLength { found: 3, .. })));
        assert!(matches!(new(usize::MAX, 2, 2, vec![0.5; 3]), Err(EvalError::ProbsLength { .. })));
        assert!(matches!(new(1, 1, 2, vec![f32::NAN, 1.0]), Err(EvalError::NotAProbability { class: 0, .. })));
        assert!(matches!(new(1, 1, 2, vec![1.5, -0.5]), Err(EvalError::NotAProbability { .. })));
        let transposed = vec![0.5, 0.5, 0.5, 0.6];
        assert!(matches!(new(2, 1, 2, transposed), Err(EvalError::RowSum { sample: 1, input: 0, .. })));
    }

    #[test]
    fn messages_are_one_line() {
        let error = Predictions::new(1, 1, 2, vec![0.5, 0.6]).unwrap_err().to_string();
        assert!(!error.contains('\n') && error.contains("wanted 1"), "{error}");
    }
}
