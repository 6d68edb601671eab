//! Thresholds on a doubt score: when to abstain, and when to call an input unknown.
//!
//! A score is larger the more a prediction is doubted: 1 - greatest probability, or total, aleatoric or epistemic
//! uncertainty. A prediction is kept if its score is at most the threshold. The threshold is chosen on inputs that the model
//! was not trained with; inputs of equal score fall on the same side.
//!
//! - For a coverage, or a rate of false alarms on known inputs (1 - coverage): the k-th smallest score, k = ceil((n + 1)
//!   coverage), which is the quantile of split conformal prediction ([`crate::conformal`]): a new input of the same
//!   distribution is kept with probability at least the coverage, however small n is.
//! - For an error among the kept predictions (selective risk; Geifman and El-Yaniv 2017, arXiv 1705.08500): the largest
//!   threshold at which (wrong + 1) / (kept + 1) is at most the error. The one added input counts as wrong, as conformal
//!   risk control adds it (Angelopoulos et al. 2022, arXiv 2208.02814). It makes small n conservative. It is no guarantee:
//!   the error among kept inputs is no monotone function of the threshold.

use crate::EvalError;
use crate::conformal::upper_quantile;
use serde::{Deserialize, Serialize};

/// A threshold and what it does to the inputs that it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// A prediction is kept if its score is at most this.
    pub value: f64,
    /// Inputs that it was chosen on.
    pub inputs: usize,
    /// How many of them it keeps.
    pub kept: usize,
}

impl Threshold {
    /// Whether a prediction of such a score is kept. NaN is not.
    pub fn keeps(&self, score: f64) -> bool {
        score <= self.value
    }

    /// Fraction of its own inputs that it keeps, in \[0, 1\].
    pub fn coverage(&self) -> f64 {
        self.kept as f64 / self.inputs.max(1) as f64
    }

    fn of(value: f64, scores: &[f64]) -> Self {
        Threshold { value, inputs: scores.len(), kept: scores.iter().filter(|&&s| s <= value).count() }
    }
}

/// The smallest threshold that keeps a new input with probability at least `coverage`.
///
/// # Errors
///
/// [`EvalError::Level`] for a coverage outside (0, 1), [`EvalError::TooFewFor`] for too few inputs, [`EvalError::NanScore`].
pub fn threshold_for_coverage(scores: &[f64], coverage: f64) -> Result<Threshold, EvalError> {
    Ok(Threshold::of(upper_quantile(scores, coverage)?, scores))
}

/// The smallest threshold above which a new known input lies with probability at most `rate`.
///
/// # Errors
///
/// As [`threshold_for_coverage`] with 1 - `rate`.
pub fn threshold_for_false_alarms(scores: &[f64], rate: f64) -> Result<Threshold, EvalError> {
    threshold_for_coverage(scores, 1.0 - rate)
}

/// The largest threshold at which (wrong + 1) / (kept + 1) of the kept predictions is at most `error`.
///
/// `wrong` says of each score whether its prediction is wrong.
///
/// # Errors
///
/// [`EvalError::Level`] for an error outside (0, 1), [`EvalError::LengthsDiffer`], [`EvalError::NoScores`],
/// [`EvalError::NanScore`], and [`EvalError::ErrorOutOfReach`] where no threshold gives so small an error.
pub fn threshold_for_error(scores: &[f64], wrong: &[bool], error: f64) -> Result<Threshold, EvalError> {
    if !(0.0 < error && error < 1.0) {
        return Err(EvalError::Level { found: error });
    }
    if scores.len() != wrong.len() {
        let what = "scores and whether they are wrong";
        return Err(EvalError::LengthsDiffer { what, left: scores.len(), right: wrong.len() });
    }
    if let Some(index) = scores.iter().position(|s| s.is_nan()) {
        return Err(EvalError::NanScore { which: "scores", index });
    }
    let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(wrong.iter().copied()).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut kept, mut errors, mut least, mut best) = (0usize, 0usize, f64::INFINITY, None);
    for equal in order.chunk_by(|a, b| a.0 == b.0) {
        kept += equal.len();
        errors += equal.iter().filter(|(_, wrong)| *wrong).count();
        let found = (errors as f64 + 1.0) / (kept as f64 + 1.0);
        least = least.min(found);
        if found <= error {
            best = Some(Threshold { value: equal[0].0, inputs: scores.len(), kept });
        }
    }
    if scores.is_empty() {
        return Err(EvalError::NoScores { which: "scores" });
    }
    best.ok_or(EvalError::ErrorOutOfReach { wanted: error, least })
}

/// What a threshold does to labelled inputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Fraction of inputs that are kept, in \[0, 1\].
    pub coverage: f64,
    /// Fraction of the kept predictions that are wrong; `None` where none is kept.
    pub error: Option<f64>,
}

/// Coverage and error of a threshold on inputs, of each of which `wrong` says whether its prediction is wrong.
///
/// # Errors
///
/// [`EvalError::LengthsDiffer`]; [`EvalError::NoScores`].
pub fn selection(threshold: f64, scores: &[f64], wrong: &[bool]) -> Result<Selection, EvalError> {
    if scores.len() != wrong.len() {
        let what = "scores and whether they are wrong";
        return Err(EvalError::LengthsDiffer { what, left: scores.len(), right: wrong.len() });
    }
    if scores.is_empty() {
        return Err(EvalError::NoScores { which: "scores" });
    }
    let kept: Vec<bool> = scores.iter().zip(wrong).filter(|(s, _)| **s <= threshold).map(|(_, w)| *w).collect();
    let errors = kept.iter().filter(|w| **w).count();
    let error = (!kept.is_empty()).then(|| errors as f64 / kept.len() as f64);
    Ok(Selection { coverage: kept.len() as f64 / scores.len() as f64, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_by_hand() {
        let scores: Vec<f64> = (1..=9).map(f64::from).collect();
        let found = threshold_for_coverage(&scores, 0.9).unwrap();
        assert_eq!((found.value, found.kept), (9.0, 9));
        let found = threshold_for_false_alarms(&scores, 0.5).unwrap();
        assert_eq!((found.value, found.kept, found.coverage()), (5.0, 5, 5.0 / 9.0));
        assert!(matches!(
            threshold_for_coverage(&scores, 0.95),
            Err(EvalError::TooFewFor { found: 9, wanted: 19, .. })
        ));
        // Equal scores are kept together.
        assert_eq!(threshold_for_coverage(&[1.0; 9], 0.5).unwrap().kept, 9);
    }

    #[test]
    fn error_by_hand() {
        // Kept 4 with 0 wrong: 1/5. Kept 5 with 1 wrong: 2/6.
        let scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        let wrong = [false, false, false, false, true, false];
        assert_eq!(threshold_for_error(&scores, &wrong, 0.2).unwrap().kept, 4);
        // 2/7 after the sixth: a later, larger threshold counts.
        assert_eq!(threshold_for_error(&scores, &wrong, 0.3).unwrap().kept, 6);
        let found = threshold_for_error(&scores, &wrong, 0.19);
        assert_eq!(found, Err(EvalError::ErrorOutOfReach { wanted: 0.19, least: 0.2 }));
        // A tie is kept or left whole.
        assert_eq!(
            threshold_for_error(&[0.1, 0.1, 0.1, 0.4, 0.4], &[false, false, false, false, true], 0.25).unwrap().kept,
            3
        );
        let chosen = selection(0.5, &scores, &wrong).unwrap();
        assert_eq!((chosen.coverage, chosen.error), (5.0 / 6.0, Some(0.2)));
        assert_eq!(selection(0.0, &scores, &wrong).unwrap().error, None);
    }

    #[test]
    fn bad_arguments_are_refused() {
        assert!(matches!(threshold_for_error(&[], &[], 0.1), Err(EvalError::NoScores { .. })));
        assert!(matches!(threshold_for_error(&[0.0], &[], 0.1), Err(EvalError::LengthsDiffer { .. })));
        assert!(matches!(threshold_for_error(&[f64::NAN], &[true], 0.1), Err(EvalError::NanScore { .. })));
        assert!(matches!(threshold_for_error(&[0.0], &[true], 1.0), Err(EvalError::Level { .. })));
        assert!(matches!(selection(0.0, &[], &[]), Err(EvalError::NoScores { .. })));
    }
}
