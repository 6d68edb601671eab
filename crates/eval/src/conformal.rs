//! Split conformal prediction: a set of classes that holds the right one with a chosen probability.
//!
//! A score says how badly a class suits an input. With the scores of the right classes of n calibration inputs, q is
//! the k-th smallest, k = ceil((n + 1)(1 - alpha)), and the set of a new input is every class whose score is at most q.
//! If new and calibration inputs are exchangeable, the set holds the right class with probability at least 1 - alpha, and at
//! most 1 - alpha + 1/(n + 1) where no scores are equal (Vovk et al. 2005; Angelopoulos and Bates 2021, arXiv 2107.07511). This
//! holds for every model, good or bad, on average over inputs: not for each class, and not under another distribution.
//!
//! Two scores, of a class c with probability p(c):
//!
//! - LAC: 1 - p(c) (Sadinle, Lei and Wasserman 2019, arXiv 1609.00451; also THR). The smallest sets on average.
//! - APS: the sum of the probabilities of all classes before c, in order of falling probability, and u p(c) (Romano, Sesia
//!   and Candès 2020, arXiv 2006.02544). u = 1 is the deterministic form: the sum up to and with c. A uniform u of each
//!   input's own is the randomised form; it is a hash of the input's probabilities here ([`qbnn_core::decide::randomness`]), so
//!   that sets repeat. Classes of equal probability are ordered by their number.
//!
//! A set can be empty, in all: a network that is right on 99 of 100 inputs reaches 90 % only by leaving some inputs without
//! a class. With LAC those are its least sure inputs. With deterministic APS they are its surest, whose score is close to 1,
//! and its least sure ones get many classes. With randomised APS they are about any tenth. LAC is the better choice for accurate
//! networks, APS where several classes are often likely.
//!
//! Where new inputs are harder than those of the calibration, LAC covers less than it should and deterministic APS more; the
//! randomised form hardly moves, because its scores spread over all of \[0, 1\] whatever the network's confidence.

use crate::EvalError;
use crate::groups::check_labels;
use crate::sum::Sum;
use qbnn_core::decide::{ONE, randomness};
use serde::{Deserialize, Serialize};

/// How far (n + 1)(1 - alpha) may lie above a whole number that it stands for: ten times 0.9 is nine.
const WHOLE: f64 = 1e-9;

/// A score of a class for conformal sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConformalScore {
    /// 1 - p(c).
    Lac,
    /// The sum of the probabilities of the classes up to c, in order of falling probability.
    Aps,
    /// The same with a random share of p(c).
    ApsRandomised,
}

impl ConformalScore {
    /// All of them.
    pub const ALL: [ConformalScore; 3] = [ConformalScore::Lac, ConformalScore::Aps, ConformalScore::ApsRandomised];

    /// Its name: `lac`, `aps`, `aps-randomised`.
    pub const fn name(self) -> &'static str {
        match self {
            ConformalScore::Lac => "lac",
            ConformalScore::Aps => "aps",
            ConformalScore::ApsRandomised => "aps-randomised",
        }
    }

    /// The score of every class of one input, into `scores`.
    ///
    /// Scores and probabilities are of one length; what is longer is left alone.
    pub fn of_classes(self, probs: &[f64], scores: &mut [f64]) {
        match self {
            ConformalScore::Lac => scores.iter_mut().zip(probs).for_each(|(score, p)| *score = 1.0 - p),
            ConformalScore::Aps => aps_scores(probs, 1.0, scores),
            ConformalScore::ApsRandomised => aps_scores(probs, share(probs), scores),
        }
    }
}

/// The random number of an input in \[0, 1), as a device finds it: probabilities are rounded to 32 fraction bits first.
fn share(probs: &[f64]) -> f64 {
    // Casts to integers saturate.
    let mean: Vec<u64> = probs.iter().map(|p| (p * ONE as f64).round() as u64).collect();
    f64::from(randomness(&mean)) / ONE as f64
}

/// APS scores of every class: the probabilities of the classes before it, and `u` times its own. `u` is in \[0, 1\]: 1 is
/// the deterministic form; for the randomised one it is uniform, the same for all classes of an input, and independent of it.
pub fn aps_scores(probs: &[f64], u: f64, scores: &mut [f64]) {
    let mut order: Vec<usize> = (0..probs.len()).collect();
    order.sort_by(|&a, &b| probs[b].total_cmp(&probs[a]).then(a.cmp(&b)));
    let mut before = Sum::default();
    for class in order {
        let mut sum = before;
        sum.add(u * probs[class]);
        if let Some(score) = scores.get_mut(class) {
            *score = sum.value();
        }
        before.add(probs[class]);
    }
}

/// Which of n sorted scores, counted from 1, is not exceeded by a new one with probability `level`: ceil((n + 1) level), or
/// `None` where that is above n, and n scores are too few for the level.
///
/// `level` is in (0, 1), else there is none either.
pub fn quantile_rank(n: usize, level: f64) -> Option<usize> {
    if !(0.0 < level && level < 1.0) {
        return None;
    }
    let exact = (n as f64 + 1.0) * level;
    let rank = (exact - WHOLE * exact.max(1.0)).ceil().max(1.0);
    // A cast to usize saturates.
    Some(rank as usize).filter(|&rank| rank <= n)
}

/// The fewest scores that have a [`quantile_rank`] of this level; `None` for a level outside (0, 1).
pub fn fewest_inputs(level: f64) -> Option<usize> {
    if !(0.0 < level && level < 1.0) {
        return None;
    }
    // (n + 1)(1 - level) >= 1. The estimate is off by a rounding at most.
    let near = (1.0 / (1.0 - level) - 1.0).floor().max(2.0) as usize - 1;
    (near.saturating_sub(1)..near.saturating_add(4)).find(|&n| quantile_rank(n, level).is_some())
}

/// The k-th smallest of scores, k = [`quantile_rank`]. A new score that is exchangeable with them is at most that with
/// probability at least `level`. Equal scores only make it more.
///
/// # Errors
///
/// [`EvalError::Level`] for a level outside (0, 1); [`EvalError::TooFewFor`] for fewer scores than the level needs;
/// [`EvalError::NanScore`].
pub fn upper_quantile(scores: &[f64], level: f64) -> Result<f64, EvalError> {
    let wanted = fewest_inputs(level).ok_or(EvalError::Level { found: level })?;
    if let Some(index) = scores.iter().position(|s| s.is_nan()) {
        return Err(EvalError::NanScore { which: "scores", index });
    }
    let rank = quantile_rank(scores.len(), level).ok_or(EvalError::TooFewFor { found: scores.len(), wanted, level })?;
    let mut sorted = scores.to_vec();
    Ok(*sorted.select_nth_unstable_by(rank - 1, f64::total_cmp).1)
}

/// A rule that gives sets of classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConformalRule {
    /// The score.
    pub score: ConformalScore,
    /// The chosen probability of a set without the right class.
    pub alpha: f64,
    /// q: a class whose score is at most this belongs to the set.
    pub quantile: f64,
}

/// How often sets hold the right class, and how large they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SetQuality {
    /// Fraction of sets with the right class, in \[0, 1\].
    pub coverage: f64,
    /// Mean number of classes of a set.
    pub size: f64,
    /// Fraction of sets without any class.
    pub empty: f64,
    /// Fraction of sets of one class.
    pub single: f64,
}

impl ConformalRule {
    /// From the mean probabilities `[N][C]` and labels of calibration inputs, which the model was not trained with.
    ///
    /// # Errors
    ///
    /// As [`upper_quantile`] with level 1 - alpha; [`EvalError::TooFew`], [`EvalError::LengthsDiffer`],
    /// [`EvalError::LabelRange`] for labels that do not fit.
    pub fn fit(
        score: ConformalScore,
        alpha: f64,
        mean_probs: &[f64],
        classes: usize,
        labels: &[usize],
    ) -> Result<Self, EvalError> {
        check(mean_probs, classes, labels)?;
        let mut all = vec![0.0; classes];
        let of_label = |(row, &label): (&[f64], &usize)| {
            score.of_classes(row, &mut all);
            all[label]
        };
        let scores: Vec<f64> = mean_probs.chunks_exact(classes).zip(labels).map(of_label).collect();
        Ok(Self { score, alpha, quantile: upper_quantile(&scores, 1.0 - alpha)? })
    }

    /// The classes of the set of one input, in rising order.
    pub fn set(&self, probs: &[f64]) -> Vec<usize> {
        let mut scores = vec![0.0; probs.len()];
        self.score.of_classes(probs, &mut scores);
        (0..probs.len()).filter(|&class| scores[class] <= self.quantile).collect()
    }

    /// Coverage and size of the sets of labelled inputs.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooFew`], [`EvalError::LengthsDiffer`], [`EvalError::LabelRange`] for labels that do not fit.
    pub fn quality(&self, mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<SetQuality, EvalError> {
        check(mean_probs, classes, labels)?;
        let sets = mean_probs.chunks_exact(classes).map(|row| self.set(row));
        Ok(set_quality(sets, labels))
    }
}

/// Coverage and size of sets, one for each label.
pub fn set_quality<S: AsRef<[usize]>>(sets: impl Iterator<Item = S>, labels: &[usize]) -> SetQuality {
    let (mut covered, mut size, mut empty, mut single) = (0u64, 0u64, 0u64, 0u64);
    for (set, label) in sets.zip(labels) {
        let set = set.as_ref();
        covered += u64::from(set.contains(label));
        size += set.len() as u64;
        empty += u64::from(set.is_empty());
        single += u64::from(set.len() == 1);
    }
    let share = |count: u64| count as f64 / labels.len().max(1) as f64;
    SetQuality { coverage: share(covered), size: share(size), empty: share(empty), single: share(single) }
}

pub(crate) fn check(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<(), EvalError> {
    for (dimension, found, wanted) in [("inputs", labels.len(), 1), ("classes", classes, 2)] {
        if found < wanted {
            return Err(EvalError::TooFew { dimension, found, wanted });
        }
    }
    let right = labels.len().saturating_mul(classes);
    if mean_probs.len() != right {
        let what = "mean probabilities and labels x classes";
        return Err(EvalError::LengthsDiffer { what, left: mean_probs.len(), right });
    }
    check_labels(labels, labels.len(), classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_whole_products() {
        assert_eq!(quantile_rank(9, 0.9), Some(9));
        assert_eq!(quantile_rank(8, 0.9), None);
        assert_eq!(quantile_rank(99, 0.9), Some(90));
        assert_eq!(quantile_rank(100, 0.9), Some(91));
        assert_eq!(quantile_rank(19, 0.95), Some(19));
        for level in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!((quantile_rank(100, level), fewest_inputs(level)), (None, None));
        }
    }

    #[test]
    fn the_fewest_inputs_are_the_fewest() {
        for level in [0.01, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999] {
            let n = fewest_inputs(level).unwrap();
            assert!(
                quantile_rank(n, level).is_some() && quantile_rank(n.saturating_sub(1), level).is_none(),
                "{level}: {n}"
            );
        }
        assert_eq!(fewest_inputs(0.9), Some(9));
        assert_eq!(fewest_inputs(0.99), Some(99));
    }

    #[test]
    fn aps_by_hand() {
        let mut scores = [0.0; 4];
        aps_scores(&[0.25, 0.5, 0.125, 0.125], 1.0, &mut scores);
        assert_eq!(scores, [0.75, 0.5, 0.875, 1.0]);
        aps_scores(&[0.25, 0.5, 0.125, 0.125], 0.0, &mut scores);
        assert_eq!(scores, [0.5, 0.0, 0.75, 0.875]);
    }

    #[test]
    fn sets_by_hand() {
        let probs = [0.25, 0.5, 0.125, 0.125];
        let rule = |score, quantile| ConformalRule { score, alpha: 0.1, quantile };
        assert_eq!(rule(ConformalScore::Lac, 0.75).set(&probs), [0, 1]);
        assert_eq!(rule(ConformalScore::Aps, 0.75).set(&probs), [0, 1]);
        assert_eq!(rule(ConformalScore::Aps, 0.4).set(&probs), [0; 0]);
        let quality = rule(ConformalScore::Lac, 0.75).quality(&probs.repeat(2), 4, &[0, 3]).unwrap();
        assert_eq!((quality.coverage, quality.size, quality.empty, quality.single), (0.5, 2.0, 0.0, 0.0));
    }

    #[test]
    fn too_few_inputs_are_refused() {
        let found = ConformalRule::fit(ConformalScore::Lac, 0.1, &[0.5, 0.5].repeat(8), 2, &[0; 8]);
        assert!(matches!(found, Err(EvalError::TooFewFor { found: 8, wanted: 9, .. })), "{found:?}");
        let found = ConformalRule::fit(ConformalScore::Lac, 0.0, &[0.5, 0.5], 2, &[0]);
        assert!(matches!(found, Err(EvalError::Level { .. })));
        assert!(matches!(upper_quantile(&[f64::NAN; 20], 0.9), Err(EvalError::NanScore { .. })));
    }
}
