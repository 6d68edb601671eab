//! The metrics over inputs that count several times or not at all, prepared once and then O(n) per set of counts.
//!
//! A bootstrap resample is nothing but a count per input. Sorting depends on the values alone, so it happens here,
//! once; each resample then walks the sorted order and sums counts. With all counts 1 these are the plain metrics.
//! `counts[i]` is how often input `i` is taken; `i` numbers the inputs of whatever the caller pooled.

use crate::calibration::ECE_BINS;
use crate::rank::{ascending, check_no_nan, correlation};
use crate::{EvalError, Predictions};

/// Weighted mean of one value per input.
#[derive(Debug, Clone)]
pub struct WeightedMean {
    values: Vec<f64>,
    first: usize,
}

/// Weighted expected calibration error of labelled inputs, 15 bins.
#[derive(Debug, Clone)]
pub struct WeightedEce {
    bins: Vec<usize>,
    gaps: Vec<f64>,
    first: usize,
}

/// Weighted AUROC over scores sorted once.
#[derive(Debug, Clone)]
pub struct WeightedAuroc {
    steps: Vec<Step>,
}

/// Weighted Spearman correlation over two orders sorted once.
#[derive(Debug, Clone)]
pub struct WeightedSpearman {
    by_a: Vec<Step>,
    by_b: Vec<Step>,
    inputs: usize,
}

/// One input in ascending order of score.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Which of the counts is its own.
    input: u32,
    /// 1 for a positive, 0 for a negative (AUROC only).
    positive: u8,
    /// Whether its score exceeds the one before, so that a group of ties ended there.
    rises: bool,
}

impl WeightedMean {
    /// `values[i]` belongs to `counts[first + i]`.
    pub fn new(values: Vec<f64>, first: usize) -> Self {
        Self { values, first }
    }

    /// sum w x / sum w; `None` if all counts are 0 or some are missing.
    pub fn value(&self, counts: &[u32]) -> Option<f64> {
        let counts = counts.get(self.first..)?.get(..self.values.len())?;
        let (mut sum, mut n) = (0.0, 0u64);
        for (value, &count) in self.values.iter().zip(counts) {
            sum += value * f64::from(count);
            n += u64::from(count);
        }
        (n > 0).then(|| sum / n as f64)
    }
}

impl WeightedEce {
    /// `bins[i]` in `0..15` and `gaps[i]` = correct - confidence belong to `counts[first + i]`.
    pub(crate) fn new(bins: Vec<usize>, gaps: Vec<f64>, first: usize) -> Self {
        Self { bins, gaps, first }
    }

    /// From predictions and labels, whose inputs are `counts[0..N]`.
    ///
    /// # Errors
    ///
    /// As [`crate::calibration()`].
    pub fn of(predictions: &Predictions, labels: &[usize]) -> Result<Self, EvalError> {
        let mean = crate::uncertainty(predictions).mean_probs;
        let terms = crate::calibration::Terms::new(&mean, predictions.classes(), labels)?;
        Ok(Self::new(terms.bin, terms.gap, 0))
    }

    /// sum_b |sum_b w (correct - confidence)| / sum w; `None` if all counts are 0 or some are missing.
    pub fn value(&self, counts: &[u32]) -> Option<f64> {
        let counts = counts.get(self.first..)?.get(..self.bins.len())?;
        let (mut sums, mut n) = ([0.0f64; ECE_BINS], 0u64);
        for ((&bin, gap), &count) in self.bins.iter().zip(&self.gaps).zip(counts) {
            sums[bin] += gap * f64::from(count);
            n += u64::from(count);
        }
        (n > 0).then(|| sums.iter().map(|s| s.abs()).sum::<f64>() / n as f64)
    }
}

impl WeightedAuroc {
    /// Sorts the scores of both classes. Positive `i` belongs to `counts[positives.0 + i]`, negative likewise.
    ///
    /// # Errors
    ///
    /// [`EvalError::NanScore`], [`EvalError::TooManyInputs`].
    pub fn new(positives: (usize, &[f64]), negatives: &[(usize, &[f64])]) -> Result<Self, EvalError> {
        let (mut scores, mut inputs, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        let parts = std::iter::once((1u8, positives)).chain(negatives.iter().map(|&part| (0, part)));
        for (positive, (first, part)) in parts {
            scores.extend_from_slice(part);
            inputs.extend(first..end_of(first, part.len())?);
            classes.resize(scores.len(), positive);
        }
        check_no_nan("scores", &scores)?;
        Ok(Self { steps: steps(&scores, &inputs, &classes)? })
    }

    /// Weighted U / (W_pos W_neg), in \[0, 1\], a tie counting one half; `None` if either class has no counts or some
    /// are missing. The sums are integers, so the result is that of the resampled arrays to the last division.
    pub fn value(&self, counts: &[u32]) -> Option<f64> {
        // Twice U, so that halves stay whole.
        let (mut twice_u, mut all_pos, mut below_neg) = (0u128, 0u64, 0u64);
        let (mut tied_pos, mut tied_neg) = (0u64, 0u64);
        for step in &self.steps {
            if step.rises {
                twice_u += u128::from(tied_pos) * u128::from(2 * below_neg + tied_neg);
                all_pos += tied_pos;
                below_neg += tied_neg;
                (tied_pos, tied_neg) = (0, 0);
            }
            let count = u64::from(*counts.get(step.input as usize)?);
            let positive = u64::from(step.positive);
            tied_pos += count * positive;
            tied_neg += count * (1 - positive);
        }
        twice_u += u128::from(tied_pos) * u128::from(2 * below_neg + tied_neg);
        all_pos += tied_pos;
        below_neg += tied_neg;
        (all_pos > 0 && below_neg > 0).then(|| twice_u as f64 / (2.0 * all_pos as f64 * below_neg as f64))
    }
}

impl WeightedSpearman {
    /// Sorts both sides. Input `i` belongs to `counts[first + i]`.
    ///
    /// # Errors
    ///
    /// [`EvalError::LengthsDiffer`], [`EvalError::NanScore`], [`EvalError::TooManyInputs`].
    pub fn new(first: usize, a: &[f64], b: &[f64]) -> Result<Self, EvalError> {
        if a.len() != b.len() {
            return Err(EvalError::LengthsDiffer { what: "values to correlate", left: a.len(), right: b.len() });
        }
        check_no_nan("values to correlate", a)?;
        check_no_nan("values to correlate", b)?;
        let end = end_of(first, a.len())?;
        let inputs: Vec<usize> = (first..end).collect();
        let none = vec![0; a.len()];
        Ok(Self { by_a: steps(a, &inputs, &none)?, by_b: steps(b, &inputs, &none)?, inputs: end })
    }

    /// Pearson's correlation of the weighted mid-ranks, in \[-1, 1\]; `None` where a side is constant among the inputs
    /// that count, or where some counts are missing.
    pub fn value(&self, counts: &[u32]) -> Option<f64> {
        let counts = counts.get(..self.inputs)?;
        let n: u64 = self.by_a.iter().map(|step| u64::from(counts[step.input as usize])).sum();
        let mean = (n as f64 + 1.0) / 2.0;
        // Deviation of each input's rank by a from the mean rank.
        let mut deviations = vec![0.0f64; self.inputs];
        let (mut cov, mut var_a, mut var_b) = (0.0, 0.0, 0.0);
        for_ties(&self.by_a, counts, |ties, below, tied| {
            let deviation = below as f64 + (tied as f64 + 1.0) / 2.0 - mean;
            ties.iter().for_each(|step| deviations[step.input as usize] = deviation);
            var_a += tied as f64 * deviation * deviation;
        });
        for_ties(&self.by_b, counts, |ties, below, tied| {
            let deviation = below as f64 + (tied as f64 + 1.0) / 2.0 - mean;
            let other: f64 =
                ties.iter().map(|s| f64::from(counts[s.input as usize]) * deviations[s.input as usize]).sum();
            cov += other * deviation;
            var_b += tied as f64 * deviation * deviation;
        });
        correlation(cov, var_a, var_b)
    }
}

/// One past a group's last input, if 31 bits can number it.
fn end_of(first: usize, inputs: usize) -> Result<usize, EvalError> {
    let found = first.saturating_add(inputs);
    if found < 1 << 31 { Ok(found) } else { Err(EvalError::TooManyInputs { found }) }
}

/// Sorts scores and marks where they rise.
fn steps(scores: &[f64], inputs: &[usize], classes: &[u8]) -> Result<Vec<Step>, EvalError> {
    let mut last = f64::NAN;
    let mut steps = Vec::with_capacity(scores.len());
    for i in ascending(scores) {
        let input = u32::try_from(inputs[i]).map_err(|_| EvalError::TooManyInputs { found: inputs[i] })?;
        steps.push(Step { input, positive: classes[i], rises: scores[i] != last });
        last = scores[i];
    }
    Ok(steps)
}

/// Calls `with(ties, counts below, counts tied)` for each group of ties in ascending order.
fn for_ties(steps: &[Step], counts: &[u32], mut with: impl FnMut(&[Step], u64, u64)) {
    let mut below = 0;
    for ties in steps.chunk_by(|_, next| !next.rises) {
        let tied = ties.iter().map(|step| u64::from(counts[step.input as usize])).sum();
        with(ties, below, tied);
        below += tied;
    }
}
