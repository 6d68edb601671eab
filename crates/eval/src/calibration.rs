//! How right and how honest the mean prediction is on labelled inputs: accuracy, NLL, Brier score, ECE.
//!
//! All take `mean_probs`, `[N][C]` row-major with rows that sum to 1 (see [`crate::Uncertainty::mean_probs`]), and one
//! label per input.

use crate::groups::check_labels;
use crate::sum::Sum;
use crate::uncertainty::arg_max;
use crate::{EvalError, Precision};

/// The true class's probability is raised to at least this before its logarithm is taken, so that one underflowed
/// probability costs -ln 1e-12 = 27.6 nats and not infinity.
pub const NLL_EPS: f64 = 1e-12;

/// Number of equal-width confidence bins of the ECE.
pub const ECE_BINS: usize = 15;

/// The four metrics of one labelled group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Fraction whose most probable class is the label, in \[0, 1\].
    pub accuracy: f64,
    /// Mean -ln p(label), nats, in \[0, 27.6\].
    pub nll: f64,
    /// Brier score, sum over classes, in \[0, 2\].
    pub brier: f64,
    /// Expected calibration error, in \[0, 1\].
    pub ece: f64,
    /// Inputs whose label had a probability below [`NLL_EPS`] and was counted with that.
    pub clamped: u64,
}

/// What each input contributes; the metrics and their bootstrap are sums over these.
pub(crate) struct Terms {
    /// 1 where the most probable class is the label, else 0.
    pub correct: Vec<f64>,
    /// -ln p(label).
    pub nll: Vec<f64>,
    /// Sum over classes of (p - \[class is label\])^2.
    pub brier: Vec<f64>,
    /// Bin of the greatest probability.
    pub bin: Vec<usize>,
    /// correct - greatest probability.
    pub gap: Vec<f64>,
    /// How many labels were given less than [`NLL_EPS`].
    pub clamped: u64,
}

impl Terms {
    pub(crate) fn new(
        mean_probs: &[f64],
        classes: usize,
        labels: &[usize],
        precision: Precision,
    ) -> Result<Self, EvalError> {
        if labels.is_empty() {
            return Err(EvalError::TooFew { dimension: "inputs", found: 0, wanted: 1 });
        }
        if classes < 2 {
            return Err(EvalError::TooFew { dimension: "classes", found: classes, wanted: 2 });
        }
        if labels.len().checked_mul(classes) != Some(mean_probs.len()) {
            return Err(EvalError::LengthsDiffer {
                what: "mean probabilities and labels x classes",
                left: mean_probs.len(),
                right: labels.len().saturating_mul(classes),
            });
        }
        // NaN is in no range; a mean may exceed 1 by its rounding.
        if let Some(i) = mean_probs.iter().position(|p| !(0.0..=1.0 + 1e-9).contains(p)) {
            let value = mean_probs[i];
            return Err(EvalError::NotAProbability { value, sample: 0, input: i / classes, class: i % classes });
        }
        check_labels(labels, labels.len(), classes)?;
        let capacity = || Vec::with_capacity(labels.len());
        let mut terms =
            Self { correct: capacity(), nll: capacity(), brier: capacity(), bin: vec![], gap: capacity(), clamped: 0 };
        for (probs, &label) in mean_probs.chunks_exact(classes).zip(labels) {
            let (best, confidence) = arg_max(probs);
            let correct = f64::from(u8::from(best == label));
            let brier = probs.iter().enumerate().map(|(c, p)| (p - f64::from(u8::from(c == label))).powi(2)).sum();
            // p can exceed 1 by one rounding; its loss is 0, not less.
            terms.clamped += u64::from(probs[label] < NLL_EPS);
            terms.nll.push((-probs[label].max(NLL_EPS).ln()).max(0.0));
            terms.correct.push(correct);
            terms.brier.push(brier);
            terms.bin.push(bin_of(confidence, precision));
            terms.gap.push(correct - confidence);
        }
        Ok(terms)
    }

    pub(crate) fn calibration(&self) -> Calibration {
        let n = self.nll.len();
        let mut bins = [Sum::default(); ECE_BINS];
        for (&bin, &gap) in self.bin.iter().zip(&self.gap) {
            bins[bin].add(gap);
        }
        let mean = |terms: &[f64]| Sum::of(terms.iter().copied()).over(n);
        Calibration {
            accuracy: mean(&self.correct),
            nll: mean(&self.nll),
            brier: mean(&self.brier),
            ece: Sum::of(bins.iter().map(|gap| gap.value().abs())).over(n),
            clamped: self.clamped,
        }
    }
}

/// All four metrics at once.
///
/// # Errors
///
/// [`EvalError::TooFew`] without inputs or with one class, [`EvalError::LengthsDiffer`] unless `mean_probs` holds
/// labels x classes values, [`EvalError::NotAProbability`], [`EvalError::LabelRange`].
pub fn calibration(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<Calibration, EvalError> {
    Ok(Terms::new(mean_probs, classes, labels, Precision::Double)?.calibration())
}

/// Fraction of inputs whose most probable class (the first of equals) is the label, in \[0, 1\].
///
/// # Errors
///
/// As [`calibration`].
pub fn accuracy(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<f64, EvalError> {
    Ok(calibration(mean_probs, classes, labels)?.accuracy)
}

/// Negative log likelihood -mean ln max(p(label), [`NLL_EPS`]) of the mean prediction, nats, in \[0, 27.6\].
///
/// # Errors
///
/// As [`calibration`].
pub fn nll(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<f64, EvalError> {
    Ok(calibration(mean_probs, classes, labels)?.nll)
}

/// Brier score in its original form, the mean over inputs of the sum over classes of (p - \[class is label\])^2, in
/// \[0, 2\] (Brier 1950). Forms that halve it or take the mean over classes are smaller by 2 or C.
///
/// # Errors
///
/// As [`calibration`].
pub fn brier(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<f64, EvalError> {
    Ok(calibration(mean_probs, classes, labels)?.brier)
}

/// Expected calibration error: the mean of |accuracy - confidence| over [`ECE_BINS`] equal-width bins (lo, hi\] of the
/// greatest probability, weighted by inputs per bin, in \[0, 1\] (Guo et al. 2017, arXiv 1706.04599).
///
/// # Errors
///
/// As [`calibration`].
pub fn ece(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<f64, EvalError> {
    Ok(calibration(mean_probs, classes, labels)?.ece)
}

/// The bin b with b/15 < confidence <= (b+1)/15, decided by the bounds themselves and not by a rounded product, all in
/// the precision in which the probabilities were given: a confidence of 9/15 is in the ninth bin however it is stored.
/// 0 belongs to the first bin, anything above 1 to the last.
pub fn bin_of(confidence: f64, precision: Precision) -> usize {
    let confidence = precision.round(confidence);
    let bound = |b: usize| precision.round(b as f64 / ECE_BINS as f64);
    // A cast to usize saturates: negative becomes 0.
    let mut bin = ((confidence * ECE_BINS as f64) as usize).min(ECE_BINS - 1);
    while bin > 0 && confidence <= bound(bin) {
        bin -= 1;
    }
    while bin + 1 < ECE_BINS && confidence > bound(bin + 1) {
        bin += 1;
    }
    bin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_open_below_and_closed_above() {
        let double = |p| bin_of(p, Precision::Double);
        assert_eq!((double(0.0), double(1.0), double(1.0 + 1e-15), double(-1.0)), (0, 14, 14, 0));
        for b in 1..ECE_BINS {
            let bound = b as f64 / ECE_BINS as f64;
            assert_eq!((double(bound), double(bound.next_up())), (b - 1, b));
            let narrow = bound as f32;
            for same in [bound, narrow.into(), bound.next_up()] {
                assert_eq!(bin_of(same, Precision::Single), b - 1, "{same}");
            }
            assert_eq!(bin_of(narrow.next_up().into(), Precision::Single), b);
        }
    }

    #[test]
    fn a_sure_and_right_model_scores_perfectly() {
        let c = calibration(&[1.0, 0.0, 0.0, 1.0], 2, &[0, 1]).unwrap();
        assert_eq!((c.accuracy, c.nll, c.brier, c.ece), (1.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn a_sure_and_wrong_model_pays_a_finite_price() {
        let c = calibration(&[1.0, 0.0], 2, &[1]).unwrap();
        assert_eq!((c.accuracy, c.brier, c.ece), (0.0, 2.0, 1.0));
        assert!((c.nll - -(1e-12f64.ln())).abs() < 1e-12);
    }

    #[test]
    fn bad_labels_are_refused() {
        assert!(matches!(nll(&[0.5, 0.5], 2, &[2]), Err(EvalError::LabelRange { label: 2, .. })));
        assert!(matches!(ece(&[0.5, 0.5], 2, &[0, 0]), Err(EvalError::LengthsDiffer { .. })));
        assert!(matches!(brier(&[], 2, &[]), Err(EvalError::TooFew { .. })));
        assert!(matches!(accuracy(&[1.0], 1, &[0]), Err(EvalError::TooFew { .. })));
        assert!(matches!(accuracy(&[f64::NAN, 1.0], 2, &[0]), Err(EvalError::NotAProbability { class: 0, .. })));
    }
}
