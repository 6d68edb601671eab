//! The one input format of this crate: `probs[S][N][C]`, checked once on the way in.
//!
//! Beside it there may be an energy for every draw and input, which tells what a softmax takes away: how great the logits were.
//!
//! Everything after [`Predictions::new`] may rely on the shape and on the rows being probability vectors, so no
//! metric has to ask again.

use crate::EvalError;

/// How far the sum of one row may be from 1. Wide enough for an integer softmax with 12 fractional bits, narrow
/// enough to catch logits or a transposed array.
pub const ROW_SUM_TOLERANCE: f64 = 1e-3;

/// To how many digits numbers were given: what "equal" means for a probability that lies on the edge of a bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// 24 bits: numbers of another program's `float32`, widened.
    Single,
    /// 53 bits.
    #[default]
    Double,
}

impl Precision {
    /// Distance of 1 from the next greater number.
    pub fn epsilon(self) -> f64 {
        match self {
            Precision::Single => f32::EPSILON.into(),
            Precision::Double => f64::EPSILON,
        }
    }

    /// The precision in which numbers were made: single where single precision holds each of them exactly.
    pub fn of(values: &[f64]) -> Self {
        let single = |v: &f64| f64::from(*v as f32) == *v;
        if values.iter().all(single) { Precision::Single } else { Precision::Double }
    }

    /// A number rounded to this precision.
    pub(crate) fn round(self, value: f64) -> f64 {
        match self {
            Precision::Single => f64::from(value as f32),
            Precision::Double => value,
        }
    }
}

/// Class probabilities of S draws for N inputs over C classes, row-major `[S][N][C]`.
///
/// S >= 1, N >= 1, C >= 2; every value is in [0, 1] (one that lies outside within the tolerance was moved to the end);
/// every row of C values sums to 1 within [`ROW_SUM_TOLERANCE`]. A deterministic network has S = 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    samples: usize,
    inputs: usize,
    classes: usize,
    probs: Vec<f64>,
    energies: Option<Vec<f64>>,
    precision: Precision,
}

impl Predictions {
    /// Takes an array and its shape and checks both.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooFew`] for an empty dimension or a single class, [`EvalError::ProbsLength`] where shape and
    /// length disagree, [`EvalError::NotAProbability`] for NaN or a value outside [0, 1] by more than
    /// [`ROW_SUM_TOLERANCE`], [`EvalError::RowSum`] where a row does not sum to 1.
    pub fn new(samples: usize, inputs: usize, classes: usize, mut probs: Vec<f64>) -> Result<Self, EvalError> {
        for (dimension, found, wanted) in [("samples", samples, 1), ("inputs", inputs, 1), ("classes", classes, 2)] {
            if found < wanted {
                return Err(EvalError::TooFew { dimension, found, wanted });
            }
        }
        let wanted = samples.checked_mul(inputs).and_then(|rows| rows.checked_mul(classes));
        if wanted != Some(probs.len()) {
            return Err(EvalError::ProbsLength { found: probs.len(), samples, inputs, classes });
        }
        for (row_index, row) in probs.chunks_exact_mut(classes).enumerate() {
            check_row(row, row_index / inputs, row_index % inputs)?;
        }
        Ok(Self { samples, inputs, classes, probs, energies: None, precision: Precision::Double })
    }

    /// The same with the energy -ln sum_c exp(logit_c) of every draw and input, nats, row-major `[S][N]` (Liu et al. 2020,
    /// arXiv 2010.03759).
    ///
    /// # Errors
    ///
    /// [`EvalError::LengthsDiffer`] unless there are S x N, [`EvalError::NotAnEnergy`] for one that is not finite.
    pub fn with_energies(self, energies: Vec<f64>) -> Result<Self, EvalError> {
        if energies.len() != self.samples * self.inputs {
            return Err(EvalError::LengthsDiffer {
                what: "energies and samples x inputs",
                left: energies.len(),
                right: self.samples * self.inputs,
            });
        }
        if let Some(i) = energies.iter().position(|e| !e.is_finite()) {
            let (value, sample, input) = (energies[i], i / self.inputs, i % self.inputs);
            return Err(EvalError::NotAnEnergy { value, sample, input });
        }
        Ok(Self { energies: Some(energies), ..self })
    }

    /// The same, given to so many digits.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// To how many digits the probabilities were given: [`Precision::Double`] unless said otherwise.
    pub fn precision(&self) -> Precision {
        self.precision
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
    pub fn probs(&self) -> &[f64] {
        &self.probs
    }

    /// The energies, `[S][N]` row-major, nats; `None` where they are not known.
    pub fn energies(&self) -> Option<&[f64]> {
        self.energies.as_deref()
    }

    /// The energy of one input under each draw; empty where they are not known, or for an input out of range.
    pub fn energies_of(&self, input: usize) -> impl Iterator<Item = f64> {
        let own = self.energies.as_deref().filter(|_| input < self.inputs).unwrap_or(&[]);
        own.iter().skip(input).step_by(self.inputs).copied()
    }

    /// The same inputs under some of the draws alone. `None` unless `draws` is a part of them and not empty.
    pub fn draws(&self, draws: std::ops::Range<usize>) -> Option<Self> {
        let row = self.inputs * self.classes;
        let samples = draws.len();
        let probs = self.probs.get(draws.start.checked_mul(row)?..draws.end.checked_mul(row)?)?.to_vec();
        let part = |all: &Vec<f64>| all[draws.start * self.inputs..draws.end * self.inputs].to_vec();
        let energies = self.energies.as_ref().map(part);
        (samples > 0).then_some(Self { samples, probs, energies, ..*self })
    }

    /// The rows of one input, one per draw in the order of the draws, each of C values. An input out of range has
    /// no rows.
    pub fn rows_of(&self, input: usize) -> impl Iterator<Item = &[f64]> {
        let rows = if input < self.inputs { self.samples } else { 0 };
        (0..rows).map(move |draw| &self.probs[(draw * self.inputs + input) * self.classes..][..self.classes])
    }
}

/// Checks that one row is a probability vector, and moves to the end of [0, 1] what lies beyond it by no more than a row
/// may miss its sum.
pub(crate) fn check_row(row: &mut [f64], sample: usize, input: usize) -> Result<(), EvalError> {
    for (class, value) in row.iter_mut().enumerate() {
        // NaN is in no range.
        if !(-ROW_SUM_TOLERANCE..=1.0 + ROW_SUM_TOLERANCE).contains(value) {
            return Err(EvalError::NotAProbability { value: *value, sample, input, class });
        }
        *value = value.clamp(0.0, 1.0);
    }
    let sum = row.iter().sum::<f64>();
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
        assert_eq!(rows, [&[0.2, 0.8][..], &[0.4, 0.6]]);
        assert_eq!(p.rows_of(2).count(), 0);
    }

    #[test]
    fn draws_are_a_part() {
        let p = Predictions::new(3, 1, 2, vec![0.1, 0.9, 0.2, 0.8, 0.3, 0.7]).unwrap();
        assert_eq!(p.draws(1..3), Some(Predictions::new(2, 1, 2, vec![0.2, 0.8, 0.3, 0.7]).unwrap()));
        assert_eq!((p.draws(1..1), p.draws(2..4)), (None, None));
        let p =
            Predictions::new(3, 2, 2, vec![0.5; 12]).unwrap().with_energies((0..6).map(f64::from).collect()).unwrap();
        let part = p.draws(1..3).unwrap();
        assert_eq!((part.energies().unwrap().len(), part.energies_of(1).collect::<Vec<_>>()), (4, vec![3.0, 5.0]));
        assert_eq!(p.energies_of(2).count(), 0);
    }

    #[test]
    fn what_cannot_be_energies_is_refused() {
        let p = || Predictions::new(2, 2, 2, vec![0.5; 8]).unwrap();
        assert!(matches!(p().with_energies(vec![0.0; 3]), Err(EvalError::LengthsDiffer { left: 3, right: 4, .. })));
        for value in [f64::NAN, f64::INFINITY] {
            let found = p().with_energies(vec![0.0, 0.0, 0.0, value]);
            assert!(matches!(found, Err(EvalError::NotAnEnergy { sample: 1, input: 1, .. })));
        }
    }

    #[test]
    fn what_cannot_be_predictions_is_refused() {
        let new = Predictions::new;
        assert!(matches!(new(0, 1, 2, vec![]), Err(EvalError::TooFew { dimension: "samples", .. })));
        assert!(matches!(new(1, 0, 2, vec![]), Err(EvalError::TooFew { dimension: "inputs", .. })));
        assert!(matches!(new(1, 1, 1, vec![1.0]), Err(EvalError::TooFew { dimension: "classes", .. })));
        assert!(matches!(new(1, 2, 2, vec![0.5; 3]), Err(EvalError::ProbsLength { found: 3, .. })));
        assert!(matches!(new(usize::MAX, 2, 2, vec![0.5; 3]), Err(EvalError::ProbsLength { .. })));
        assert!(matches!(new(1, 1, 2, vec![f64::NAN, 1.0]), Err(EvalError::NotAProbability { class: 0, .. })));
        assert!(matches!(new(1, 1, 2, vec![1.5, -0.5]), Err(EvalError::NotAProbability { .. })));
        let transposed = vec![0.5, 0.5, 0.5, 0.6];
        assert!(matches!(new(2, 1, 2, transposed), Err(EvalError::RowSum { sample: 1, input: 0, .. })));
    }

    #[test]
    fn what_rounding_puts_outside_is_moved_to_the_end() {
        let p = Predictions::new(1, 2, 2, vec![1.0, -1e-17, 1.000_000_1, 0.0]).unwrap();
        assert_eq!(p.probs(), [1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn precision_is_told_from_the_numbers() {
        assert_eq!(Precision::of(&[f64::from(0.1f32), 0.5]), Precision::Single);
        assert_eq!(Precision::of(&[0.1, 0.5]), Precision::Double);
    }

    #[test]
    fn messages_are_one_line() {
        let error = Predictions::new(1, 1, 2, vec![0.5, 0.6]).unwrap_err().to_string();
        assert!(!error.contains('\n') && error.contains("wanted 1"), "{error}");
    }
}
