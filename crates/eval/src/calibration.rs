//! How right and how honest the mean prediction is on labelled inputs: accuracy, NLL, Brier score, ECE.
//!
//! All take `mean_probs`, `[N][C]` row-major with rows that sum to 1 (see [`crate::Uncertainty::mean_probs`]), and one
//! label per input.

use crate::EvalError;
use crate::groups::check_labels;

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
}

impl Terms {
    pub(crate) fn new(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<Self, EvalError> {
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
            let value = mean_probs[i] as f32;
            return Err(EvalError::NotAProbability { value, sample: 0, input: i / classes, class: i % classes });
        }
        check_labels(labels, labels.len(), classes)?;
        let capacity = || Vec::with_capacity(labels.len());
        let mut terms = Self { correct: capacity(), nll: capacity(), brier: capacity(), bin: vec![], gap: capacity() };
        for (probs, &label) in mean_probs.chunks_exact(classes).zip(labels) {
            let (best, confidence) = arg_max(probs);
            let correct = f64::from(u8::from(best == label));
            let brier = probs.iter().enumerate().map(|(c, p)| (p - f64::from(u8::from(c == label))).powi(2)).sum();
            // p can exceed 1 by one rounding; its loss is 0, not less.
            terms.nll.push((-probs[label].max(NLL_EPS).ln()).max(0.0));
            terms.correct.push(correct);
            terms.brier.push(brier);
            terms.bin.push(bin_of(confidence));
            terms.gap.push(correct - confidence);
        }
        Ok(terms)
    }

    pub(crate) fn calibration(&self) -> Calibration {
        let n = self.nll.len() as f64;
        let mut bins = [0.0f64; ECE_BINS];
        for (&bin, gap) in self.bin.iter().zip(&self.gap) {
            bins[bin] += gap;
        }
        Calibration {
            accuracy: self.correct.iter().sum::<f64>() / n,
            nll: self.nll.iter().sum::<f64>() / n,
            brier: self.brier.iter().sum::<f64>() / n,
            ece: bins.iter().map(|gap| gap.abs()).sum::<f64>() / n,
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
    Ok(Terms::new(mean_probs, classes, labels)?.calibration())
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

/// The class of a prediction: the place of its first greatest value, and that value.
pub fn arg_max(probs: &[f64]) -> (usize, f64) {
    probs.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (c, &p)| if p > best.1 { (c, p) } else { best })
}

/// The bin b with b/15 < confidence <= (b+1)/15, decided by the bounds themselves and not by a rounded product.
/// 0 belongs to the first bin, anything above 1 to the last.
pub(crate) fn bin_of(confidence: f64) -> usize {
    let bound = |b: usize| b as f64 / ECE_BINS as f64;
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
        assert_eq!((bin_of(0.0), bin_of(1.0), bin_of(1.0 + 1e-15), bin_of(-1.0)), (0, 14, 14, 0));
        for b in 1..ECE_BINS {
            let bound = b as f64 / ECE_BINS as f64;
            assert_eq!((bin_of(bound), bin_of(bound.next_up())), (b - 1, b));
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
