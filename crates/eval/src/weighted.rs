//! The metrics over inputs that count several times or not at all, prepared once and then O(n) per set of counts.
//!
//! A bootstrap resample is nothing but a count per input. Sorting depends on the values alone, so it happens here,
//! once; each resample then walks the sorted order and sums counts. With all counts 1 these are the plain metrics.
//! `counts[i]` is how often input `i` is taken; `i` numbers the inputs of whatever the caller pooled.

use crate::calibration::ECE_BINS;
use crate::rank::{ascending, check_no_nan, correlation, rises};
use crate::{Contrast, EvalError, Predictions};

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

/// Number of contrasts.
const CONTRASTS: usize = Contrast::ALL.len();

/// Weighted AUROCs of one score over every [`Contrast`], from the scores of all three groups sorted once.
#[derive(Debug, Clone)]
pub struct PooledAuroc {
    steps: Vec<Step>,
    /// Inputs of clean, ambiguous, ood.
    sizes: [usize; 3],
}

/// Weighted Spearman correlation over two orders sorted once.
#[derive(Debug, Clone)]
pub struct WeightedSpearman {
    by_a: Vec<Step>,
    by_b: Vec<Step>,
    inputs: usize,
}

/// One input in ascending order of score: its number, and above it a bit that says whether its score exceeds the one
/// before, so that a group of ties ended there.
#[derive(Debug, Clone, Copy)]
struct Step(u32);

const RISES: u32 = 1 << 31;

impl Step {
    fn input(self) -> usize {
        (self.0 & !RISES) as usize
    }

    fn rises(self) -> bool {
        self.0 & RISES != 0
    }
}

impl WeightedMean {
    /// `values[i]` belongs to `counts[first + i]`.
    pub fn new(values: Vec<f64>, first: usize) -> Self {
        Self { values, first }
    }

    /// sum w x / sum w; `None` if all counts are 0 or some are missing.
    pub fn value(&self, counts: &[u8]) -> Option<f64> {
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
        let terms = crate::calibration::Terms::new(&mean, predictions.classes(), labels, predictions.precision())?;
        Ok(Self::new(terms.bin, terms.gap, 0))
    }

    /// sum_b |sum_b w (correct - confidence)| / sum w; `None` if all counts are 0 or some are missing.
    pub fn value(&self, counts: &[u8]) -> Option<f64> {
        let counts = counts.get(self.first..)?.get(..self.bins.len())?;
        let (mut sums, mut n) = ([0.0f64; ECE_BINS], 0u64);
        for ((&bin, gap), &count) in self.bins.iter().zip(&self.gaps).zip(counts) {
            sums[bin] += gap * f64::from(count);
            n += u64::from(count);
        }
        (n > 0).then(|| sums.iter().map(|s| s.abs()).sum::<f64>() / n as f64)
    }
}

impl PooledAuroc {
    /// Sorts the scores of clean, ambiguous and ood inputs, whose counts stand in this order; an absent group is empty.
    ///
    /// # Errors
    ///
    /// [`EvalError::NanScore`], [`EvalError::TooManyInputs`].
    pub fn new(groups: [&[f64]; 3]) -> Result<Self, EvalError> {
        let scores = groups.concat();
        check_no_nan("scores", &scores)?;
        end_of(0, scores.len())?;
        Ok(Self { steps: steps(0, &scores)?, sizes: groups.map(<[f64]>::len) })
    }

    /// U / (W_pos W_neg) of every contrast, in \[0, 1\], a tie counting one half; `None` where one of its groups is absent
    /// or has no counts, or some counts are missing. The sums are integers, so the result is that of the resampled
    /// arrays to the last division.
    pub fn value(&self, counts: &[u8]) -> [Option<f64>; CONTRASTS] {
        let Some(counts) = counts.get(..self.steps.len()) else { return [None; CONTRASTS] };
        // Twice the wins of one group over another, so that halves stay whole: below 2 (2^31)^2 / 4.
        let mut wins = [[0u64; 3]; 3];
        let sizes = self.for_ties(
            |input| u64::from(counts[input]),
            |group, tied, below| {
                for (wins, below) in wins[group].iter_mut().zip(below) {
                    *wins += tied * below;
                }
            },
        );
        self.contrasts(sizes, |positive, negative| wins[positive][negative]).map(|ratio| ratio.map(|ratio| ratio / 2.0))
    }

    /// The share of pairs of a positive and a negative whose scores tie, for every contrast: what an AUROC counts as one
    /// half because the score cannot tell.
    pub fn tied(&self) -> [Option<f64>; CONTRASTS] {
        let mut ties = [[0u64; 3]; 3];
        for group in self.steps.chunk_by(|_, next| !next.rises()) {
            let mut tied = [0u64; 3];
            group.iter().for_each(|step| tied[self.group(step.input())] += 1);
            for (ties, one) in ties.iter_mut().zip(tied) {
                ties.iter_mut().zip(tied).for_each(|(ties, other)| *ties += one * other);
            }
        }
        self.contrasts(self.sizes.map(|n| n as u64), |positive, negative| ties[positive][negative])
    }

    /// The group of an input.
    fn group(&self, input: usize) -> usize {
        let ambiguous = self.sizes[0];
        usize::from(input >= ambiguous) + usize::from(input >= ambiguous + self.sizes[1])
    }

    /// Calls `with(group, its inputs tied, twice those of each group below + those tied)` for each group of ties in
    /// ascending order, and returns how many inputs of each group there are.
    fn for_ties(&self, count: impl Fn(usize) -> u64, mut with: impl FnMut(usize, u64, [u64; 3])) -> [u64; 3] {
        let mut below = [0u64; 3];
        let mut steps = self.steps.iter().copied().peekable();
        while let Some(step) = steps.next() {
            let group = self.group(step.input());
            let one = count(step.input());
            if steps.peek().is_none_or(|next| next.rises()) {
                // Mostly nothing ties, and only other groups matter.
                if one > 0 {
                    with(group, one, below.map(|n| 2 * n));
                    below[group] += one;
                }
                continue;
            }
            let mut tied = [0u64; 3];
            tied[group] += one;
            while let Some(step) = steps.next_if(|next| !next.rises()) {
                tied[self.group(step.input())] += count(step.input());
            }
            let half: [u64; 3] = std::array::from_fn(|g| 2 * below[g] + tied[g]);
            for (group, &tied) in tied.iter().enumerate().filter(|t| *t.1 > 0) {
                with(group, tied, half);
            }
            (0..3).for_each(|g| below[g] += tied[g]);
        }
        below
    }

    /// For every contrast the sum of `of(positive, negative)` over its negatives, divided by its pairs.
    fn contrasts(&self, sizes: [u64; 3], of: impl Fn(usize, usize) -> u64) -> [Option<f64>; CONTRASTS] {
        Contrast::ALL.map(|contrast| {
            let (positive, negatives) = (contrast.positives() as usize, contrast.negatives());
            let absent = self.sizes[positive] == 0 || negatives.iter().any(|&g| self.sizes[g as usize] == 0);
            let pairs = sizes[positive] as f64 * negatives.iter().map(|&g| sizes[g as usize]).sum::<u64>() as f64;
            let sum: u64 = negatives.iter().map(|&g| of(positive, g as usize)).sum();
            (!absent && pairs > 0.0).then(|| sum as f64 / pairs)
        })
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
        Ok(Self { by_a: steps(first, a)?, by_b: steps(first, b)?, inputs: end })
    }

    /// Pearson's correlation of the weighted mid-ranks, in \[-1, 1\]; `None` where a side is constant among the inputs
    /// that count, or where some counts are missing.
    pub fn value(&self, counts: &[u8]) -> Option<f64> {
        let counts = counts.get(..self.inputs)?;
        let n: u64 = self.by_a.iter().map(|step| u64::from(counts[step.input()])).sum();
        let mean = (n as f64 + 1.0) / 2.0;
        // Deviation of each input's rank by a from the mean rank.
        let mut deviations = vec![0.0f64; self.inputs];
        let (mut cov, mut var_a, mut var_b) = (0.0, 0.0, 0.0);
        for_ties(&self.by_a, counts, |ties, below, tied| {
            let deviation = below as f64 + (tied as f64 + 1.0) / 2.0 - mean;
            ties.iter().for_each(|step| deviations[step.input()] = deviation);
            var_a += tied as f64 * deviation * deviation;
        });
        for_ties(&self.by_b, counts, |ties, below, tied| {
            let deviation = below as f64 + (tied as f64 + 1.0) / 2.0 - mean;
            let other: f64 = ties.iter().map(|s| f64::from(counts[s.input()]) * deviations[s.input()]).sum();
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

/// Sorts scores, the first of which belongs to input `first`, and marks where they rise.
fn steps(first: usize, scores: &[f64]) -> Result<Vec<Step>, EvalError> {
    let mut last = f64::NAN;
    let mut steps = Vec::with_capacity(scores.len());
    for i in ascending(scores) {
        let input = u32::try_from(first + i).map_err(|_| EvalError::TooManyInputs { found: first + i })?;
        steps.push(Step(if rises(last, scores[i]) { input | RISES } else { input }));
        last = scores[i];
    }
    Ok(steps)
}

/// Calls `with(ties, counts below, counts tied)` for each group of ties in ascending order.
fn for_ties(steps: &[Step], counts: &[u8], mut with: impl FnMut(&[Step], u64, u64)) {
    let mut below = 0;
    for ties in steps.chunk_by(|_, next| !next.rises()) {
        let tied = ties.iter().map(|step| u64::from(counts[step.input()])).sum();
        with(ties, below, tied);
        below += tied;
    }
}
