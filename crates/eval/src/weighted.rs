//! The metrics over inputs that count several times or not at all, prepared once and then O(n) per set of counts.
//!
//! A bootstrap resample is nothing but a count per input. Sorting depends on the values alone, so it happens here,
//! once; each resample then walks the sorted order and sums counts. With all counts 1 these are the plain metrics.
//! `counts[i]` is how often input `i` is taken; `i` numbers the inputs of whatever the caller pooled.

use crate::calibration::ECE_BINS;
use crate::detection::{Detection, Detections, is_95_percent};
use crate::rank::{ascending, check_no_nan, correlation, rises};
use crate::{Contrast, EvalError, Predictions, Role};

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

/// AUROC, AUPR and FPR95 of one score over every [`Contrast`], weighted, from the scores of all three groups sorted once.
#[derive(Debug, Clone)]
pub struct PooledScores {
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

impl PooledScores {
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

    /// AUROC (U / (W_pos W_neg), a tie counting one half), AUPR and FPR95 of every contrast; `None` where one of its groups is
    /// absent or has no counts, or some counts are missing. AUROC and FPR95 come from sums of integers, so they are those of
    /// the resampled arrays to the last division.
    pub fn value(&self, counts: &[u8]) -> Detections {
        let Some(counts) = counts.get(..self.steps.len()) else { return Detections::default() };
        let mut rest = counts;
        let sizes = self.sizes.map(|size| {
            let (group, after) = rest.split_at(size);
            rest = after;
            group.iter().map(|&count| u64::from(count)).sum::<u64>()
        });
        // Twice the wins of one group over another, so that halves stay whole: below 2 (2^31)^2 / 4.
        let mut wins = [[0u64; 3]; 3];
        let mut curves = Contrast::ALL.map(|contrast| Curve::new(contrast, sizes));
        self.for_ties(
            |input| u64::from(counts[input]),
            |tied, below| {
                for (group, &own) in tied.iter().enumerate().filter(|t| *t.1 > 0) {
                    (0..3).for_each(|g| wins[group][g] += own * (2 * below[g] + tied[g]));
                }
                curves.iter_mut().for_each(|curve| curve.add(tied, below));
            },
        );
        let mut curves = curves.into_iter();
        let aurocs = self.contrasts(sizes, |positive, negative| wins[positive][negative]);
        aurocs.map(|auroc| {
            let (auroc, curve) = (auroc.map(|ratio| ratio / 2.0), curves.next()?);
            Some(Detection { auroc: auroc?, aupr: curve.aupr(), fpr95: curve.fpr95() })
        })
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

    /// Calls `with(inputs of each group that tie, those below)` for each group of ties in ascending order.
    fn for_ties(&self, count: impl Fn(usize) -> u64, mut with: impl FnMut([u64; 3], [u64; 3])) {
        let mut below = [0u64; 3];
        for ties in self.steps.chunk_by(|_, next| !next.rises()) {
            let mut tied = [0u64; 3];
            ties.iter().for_each(|step| tied[self.group(step.input())] += count(step.input()));
            with(tied, below);
            (0..3).for_each(|g| below[g] += tied[g]);
        }
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

/// What the sums over ascending thresholds leave of one contrast.
struct Curve {
    positive: usize,
    negatives: &'static [Role],
    /// Inputs of each side, with their counts.
    sizes: [u64; 2],
    /// Sum over positives of the precision at their scores.
    precision: f64,
    /// False positives at the highest threshold so far that takes 95 % of the positives.
    false_positives: u64,
}

impl Curve {
    fn new(contrast: Contrast, sizes: [u64; 3]) -> Self {
        let (positive, negatives) = (contrast.positives() as usize, contrast.negatives());
        let others = negatives.iter().map(|&g| sizes[g as usize]).sum();
        Self { positive, negatives, sizes: [sizes[positive], others], precision: 0.0, false_positives: others }
    }

    /// Takes the next higher score in, as a threshold; only those of positives matter.
    fn add(&mut self, tied: [u64; 3], below: [u64; 3]) {
        let own = tied[self.positive];
        if own == 0 {
            return;
        }
        let true_positives = self.sizes[0] - below[self.positive];
        let false_positives = self.sizes[1] - self.negatives.iter().map(|&g| below[g as usize]).sum::<u64>();
        self.precision += own as f64 * (true_positives as f64 / (true_positives + false_positives) as f64);
        if is_95_percent(true_positives, self.sizes[0]) {
            self.false_positives = false_positives;
        }
    }

    fn aupr(&self) -> f64 {
        self.precision / self.sizes[0] as f64
    }

    fn fpr95(&self) -> f64 {
        self.false_positives as f64 / self.sizes[1] as f64
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
