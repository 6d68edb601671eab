//! Metrics that look at order alone: AUROC and Spearman's rank correlation, ties handled by mid-ranks, O(n log n).
//!
//! No rank is decided by the last bit: scores that agree to a relative [`TIE`] tie.

use crate::EvalError;

/// Scores that differ by less than this part of themselves are one score: what is left of a difference when the same
/// value was worked out in two ways.
pub const TIE: f64 = 1e-12;

/// Area under the ROC curve: the probability that a positive scores above a negative, a tie counting one half.
///
/// `positives` and `negatives` are scores (higher = more positive) of any scale, infinite allowed, NaN not. Returns a
/// value in \[0, 1\]. Computed as the Mann-Whitney U statistic from mid-ranks (Hanley and McNeil 1982).
///
/// # Errors
///
/// [`EvalError::NoScores`] if either set is empty, [`EvalError::NanScore`] for a NaN.
pub fn auroc(positives: &[f64], negatives: &[f64]) -> Result<f64, EvalError> {
    for (which, scores) in [("positive scores", positives), ("negative scores", negatives)] {
        if scores.is_empty() {
            return Err(EvalError::NoScores { which });
        }
        check_no_nan(which, scores)?;
    }
    let pooled: Vec<f64> = positives.iter().chain(negatives).copied().collect();
    let ranks = ranks_of(&pooled);
    let (n_pos, n_neg) = (positives.len() as f64, negatives.len() as f64);
    let rank_sum: f64 = ranks[..positives.len()].iter().sum();
    Ok((rank_sum - n_pos * (n_pos + 1.0) / 2.0) / (n_pos * n_neg))
}

/// Spearman's rank correlation: Pearson's correlation of the mid-ranks.
///
/// `a` and `b` hold one value each per input. Returns a value in \[-1, 1\], or `None` where it is undefined: fewer
/// than two inputs, or one side constant.
///
/// # Errors
///
/// [`EvalError::LengthsDiffer`], [`EvalError::NanScore`].
pub fn spearman(a: &[f64], b: &[f64]) -> Result<Option<f64>, EvalError> {
    if a.len() != b.len() {
        return Err(EvalError::LengthsDiffer { what: "values to correlate", left: a.len(), right: b.len() });
    }
    let (ranks_a, ranks_b) = (mid_ranks(a)?, mid_ranks(b)?);
    // The mean rank is (n + 1) / 2 whatever the ties.
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let (mut cov, mut var_a, mut var_b) = (0.0, 0.0, 0.0);
    for (x, y) in ranks_a.iter().zip(&ranks_b) {
        let (dx, dy) = (x - mean, y - mean);
        cov += dx * dy;
        var_a += dx * dx;
        var_b += dy * dy;
    }
    Ok(correlation(cov, var_a, var_b))
}

/// Whether a score lies above the one before it in ascending order, and is not that score in another rounding ([`TIE`]).
/// Everything that ranks asks here.
pub(crate) fn rises(before: f64, value: f64) -> bool {
    // Infinite ones differ by infinity or NaN.
    value != before
        && !(value - before <= TIE * value.abs().max(before.abs()) && value.is_finite() && before.is_finite())
}

/// Ranks from 1 to n, values that tie sharing the mean of their places.
///
/// # Errors
///
/// [`EvalError::NanScore`].
pub fn mid_ranks(values: &[f64]) -> Result<Vec<f64>, EvalError> {
    check_no_nan("values to rank", values)?;
    Ok(ranks_of(values))
}

/// Refuses NaN, which has no rank.
pub(crate) fn check_no_nan(which: &'static str, scores: &[f64]) -> Result<(), EvalError> {
    match scores.iter().position(|s| s.is_nan()) {
        Some(index) => Err(EvalError::NanScore { which, index }),
        None => Ok(()),
    }
}

/// cov / sqrt(var_a var_b), kept in \[-1, 1\] against rounding; `None` if a variance is 0.
pub(crate) fn correlation(cov: f64, var_a: f64, var_b: f64) -> Option<f64> {
    (var_a > 0.0 && var_b > 0.0).then(|| (cov / (var_a * var_b).sqrt()).clamp(-1.0, 1.0))
}

/// Positions of `values` in ascending order of value.
pub(crate) fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    order
}

fn ranks_of(values: &[f64]) -> Vec<f64> {
    let order = ascending(values);
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for ties in order.chunk_by(|&i, &j| !rises(values[i], values[j])) {
        // The mean of the places below + 1 ..= below + ties.
        let rank = below as f64 + (ties.len() as f64 + 1.0) / 2.0;
        ties.iter().for_each(|&i| ranks[i] = rank);
        below += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_the_mean_of_their_places() {
        assert_eq!(mid_ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]).unwrap(), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(mid_ranks(&[0.0, -0.0]).unwrap(), [1.5, 1.5]);
        assert_eq!(mid_ranks(&[]).unwrap(), [0.0; 0]);
    }

    #[test]
    fn auroc_of_the_plain_cases() {
        assert_eq!(auroc(&[2.0, 3.0], &[0.0, 1.0]).unwrap(), 1.0);
        assert_eq!(auroc(&[0.0], &[1.0]).unwrap(), 0.0);
        assert_eq!(auroc(&[1.0; 5], &[1.0; 3]).unwrap(), 0.5);
        assert_eq!(auroc(&[f64::INFINITY], &[1.0]).unwrap(), 1.0);
        assert_eq!(auroc(&[f64::INFINITY], &[f64::INFINITY, f64::NEG_INFINITY]).unwrap(), 0.75);
    }

    #[test]
    fn the_last_bit_decides_nothing() {
        let score = 0.325_082_973_391_448_2f64;
        assert_eq!(auroc(&[score.next_up()], &[score]).unwrap(), 0.5);
        assert_eq!(auroc(&[1e-30f64.next_up(); 3], &[1e-30; 2]).unwrap(), 0.5);
        assert_eq!(auroc(&[1.1e-30], &[1e-30]).unwrap(), 1.0);
        assert_eq!(spearman(&[score, score.next_up()], &[1.0, 2.0]).unwrap(), None);
    }

    #[test]
    fn what_has_no_rank_is_refused() {
        assert_eq!(auroc(&[], &[1.0]), Err(EvalError::NoScores { which: "positive scores" }));
        assert!(matches!(auroc(&[1.0], &[f64::NAN]), Err(EvalError::NanScore { index: 0, .. })));
        assert!(matches!(spearman(&[1.0], &[]), Err(EvalError::LengthsDiffer { .. })));
        assert!(matches!(spearman(&[f64::NAN], &[1.0]), Err(EvalError::NanScore { .. })));
    }

    #[test]
    fn spearman_is_none_where_undefined() {
        assert_eq!(spearman(&[], &[]).unwrap(), None);
        assert_eq!(spearman(&[1.0], &[2.0]).unwrap(), None);
        assert_eq!(spearman(&[1.0, 1.0], &[2.0, 3.0]).unwrap(), None);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[9.0, 8.0, -1.0]).unwrap(), Some(-1.0));
    }
}
