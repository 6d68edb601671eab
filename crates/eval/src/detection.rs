//! How well a score finds a group among others, beside its AUROC: average precision (AUPR) and the false positive rate at
//! 95 % true positive rate (FPR95).
//!
//! The group to be found is the positive one, so that OOD inputs are positives, as in OpenOOD (Zhang et al. 2023,
//! arXiv 2306.09301); papers that call the in-distribution inputs positive have other values. A threshold takes all inputs that
//! tie or none of them. Neither depends on how scores are scaled; both depend on how many inputs of each kind there are
//! (AUPR in its value, FPR95 only in its resolution).

use crate::rank::{ascending, check_no_nan, rises};
use crate::{Contrast, EvalError};

/// Metrics of one score over one contrast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Area under the ROC curve, in \[0, 1\], see [`crate::auroc`].
    pub auroc: f64,
    /// Average precision, in \[0, 1\], see [`average_precision`].
    pub aupr: f64,
    /// False positive rate at 95 % true positive rate, in \[0, 1\], see [`fpr95`].
    pub fpr95: f64,
}

/// Those of every [`Contrast`], in their order; `None` where one of its groups is absent.
pub type Detections = [Option<Detection>; Contrast::ALL.len()];

/// Whether so many true positives of so many positives are 95 % of them.
pub(crate) fn is_95_percent(found: u64, positives: u64) -> bool {
    20 * found >= 19 * positives
}

/// Area under the curve of precision and recall as the average precision sum_t (R_t - R_before t) P_t over the distinct
/// scores t from high to low, where R_t and P_t are recall and precision of taking all inputs that score t or more
/// (scikit-learn's `average_precision_score`). The value of chance is the share of positives.
///
/// `positives` and `negatives` are scores (higher = more positive), infinite allowed, NaN not. Returns a value in \[0, 1\].
///
/// # Errors
///
/// [`EvalError::NoScores`] if either set is empty, [`EvalError::NanScore`] for a NaN.
pub fn average_precision(positives: &[f64], negatives: &[f64]) -> Result<f64, EvalError> {
    let (mut sum, mut before) = (0.0, 0);
    for (taken, false_positives) in thresholds(positives, negatives)? {
        sum += (taken - before) as f64 * (taken as f64 / (taken + false_positives) as f64);
        before = taken;
    }
    Ok(sum / positives.len() as f64)
}

/// The false positive rate at the highest threshold whose true positive rate is at least 95 %: the first point of the ROC
/// curve (scikit-learn's `roc_curve` with `drop_intermediate=False`) that reaches it; nothing is interpolated. The value of
/// chance is 0.95.
///
/// # Errors
///
/// As [`average_precision`].
pub fn fpr95(positives: &[f64], negatives: &[f64]) -> Result<f64, EvalError> {
    let all = thresholds(positives, negatives)?;
    let reached = all.into_iter().find(|t| is_95_percent(t.0, positives.len() as u64));
    Ok(reached.map_or(1.0, |t| t.1 as f64 / negatives.len() as f64))
}

/// (true positives, false positives) of every distinct score as a threshold, from high to low.
fn thresholds(positives: &[f64], negatives: &[f64]) -> Result<Vec<(u64, u64)>, EvalError> {
    for (which, scores) in [("positive scores", positives), ("negative scores", negatives)] {
        if scores.is_empty() {
            return Err(EvalError::NoScores { which });
        }
        check_no_nan(which, scores)?;
    }
    let pooled: Vec<f64> = positives.iter().chain(negatives).copied().collect();
    let order = ascending(&pooled);
    let ties: Vec<&[usize]> = order.chunk_by(|&i, &j| !rises(pooled[i], pooled[j])).collect();
    let (mut found, mut alarms) = (0, 0);
    let mut out = Vec::with_capacity(ties.len());
    for group in ties.into_iter().rev() {
        let own = group.iter().filter(|&&i| i < positives.len()).count() as u64;
        found += own;
        alarms += group.len() as u64 - own;
        out.push((found, alarms));
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_plain_cases() {
        assert_eq!(average_precision(&[2.0, 3.0], &[0.0, 1.0]).unwrap(), 1.0);
        assert_eq!(fpr95(&[2.0, 3.0], &[0.0, 1.0]).unwrap(), 0.0);
        // All tie: precision is the share of positives, and the one threshold takes all.
        assert_eq!(average_precision(&[1.0; 3], &[1.0; 5]).unwrap(), 3.0 / 8.0);
        assert_eq!(fpr95(&[1.0; 3], &[1.0; 5]).unwrap(), 1.0);
        // The wrong way round: precision 1/3 and 2/4.
        assert!((average_precision(&[0.0, 1.0], &[2.0, 3.0]).unwrap() - (1.0 / 3.0 + 0.5) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn ninety_five_percent_is_exact() {
        // 19 of 20 positives above the negatives, one below: 95 % are reached without a false alarm.
        let positives: Vec<f64> = (0..20).map(|i| if i == 0 { -1.0 } else { 1.0 + f64::from(i) }).collect();
        assert_eq!(fpr95(&positives, &[0.0; 7]).unwrap(), 0.0);
        // 18 of 19 are 94.7 %.
        assert_eq!(fpr95(&positives[..19], &[0.0; 7]).unwrap(), 1.0);
        assert!(is_95_percent(0, 0) && is_95_percent(19, 20) && !is_95_percent(18, 19));
    }

    #[test]
    fn what_has_no_rank_is_refused() {
        assert_eq!(fpr95(&[], &[1.0]), Err(EvalError::NoScores { which: "positive scores" }));
        assert!(matches!(average_precision(&[1.0], &[f64::NAN]), Err(EvalError::NanScore { index: 0, .. })));
    }
}
