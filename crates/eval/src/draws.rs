//! How quality depends on the number of draws S: the headline metrics for S = 1, 2, 4, ... up to all.
//!
//! One prefix of the draws would show one accident. Each S is measured on several disjoint sets of draws instead, and
//! their mean, lowest and highest are kept: the range is what another seed of the noise could have shown.

use crate::metrics::{SamplesEntry, Spread};
use crate::{ByHeadline, EvalError, EvalOptions, Evaluation, Groups, Headline, OfGroup, evaluate};

/// At most this many sets per S: enough to see the spread, and the work stays a few times that of one evaluation.
pub const MAX_SETS: usize = 8;

/// The metrics at S = 1, 2, 4, ... below the number of draws, and at all of them.
///
/// # Errors
///
/// Those of [`Groups::check`].
pub fn by_samples(groups: &Groups) -> Result<Vec<SamplesEntry>, EvalError> {
    let all = groups.samples();
    let none = EvalOptions { resamples: 0, seed: 0 };
    let below = std::iter::successors(Some(1usize), |s| s.checked_mul(2)).take_while(|&s| s < all);
    let mut entries = Vec::new();
    for samples in below.chain([all]) {
        let sets = (all / samples).min(MAX_SETS);
        let mut evaluations = Vec::with_capacity(sets);
        for set in 0..sets {
            if let Some(part) = groups.draws(set * samples..(set + 1) * samples) {
                evaluations.push(evaluate(&part, &none)?);
            }
        }
        let spread = |of: &dyn Fn(&Evaluation, Headline) -> Option<f64>| {
            ByHeadline::from_fn(|headline| {
                let values: Vec<f64> = evaluations.iter().map(|e| of(e, headline)).collect::<Option<_>>()?;
                Some(Spread {
                    mean: values.iter().sum::<f64>() / values.len() as f64,
                    low: values.iter().copied().fold(f64::INFINITY, f64::min),
                    high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                })
            })
        };
        let further = evaluations.first().into_iter().flat_map(Evaluation::further).map(|group| OfGroup {
            name: group.name.to_owned(),
            shift: group.shift.cloned(),
            metrics: spread(&|e, headline| e.value_of(group.name, headline)),
        });
        let (metrics, groups) = (spread(&|e, headline| e.value(headline)), further.collect());
        entries.push(SamplesEntry { samples: samples as u64, sets: sets as u64, metrics, groups });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Predictions, TestGroup};

    #[test]
    fn all_draws_are_the_evaluation_and_one_draw_has_no_epistemic() {
        // Draw s is right on input 0 alone where s is even.
        let probs = (0..12).flat_map(|s| if s % 2 == 0 { [0.9, 0.1] } else { [0.4, 0.6] }).collect();
        let groups = Groups(vec![TestGroup::clean(Predictions::new(12, 1, 2, probs).unwrap(), vec![0])]);
        let entries = by_samples(&groups).unwrap();
        let shape: Vec<_> = entries.iter().map(|e| (e.samples, e.sets)).collect();
        assert_eq!(shape, [(1, 8), (2, 6), (4, 3), (8, 1), (12, 1)]);
        assert_eq!(*entries[0].metrics.get(Headline::Accuracy), Some(Spread { mean: 0.5, low: 0.0, high: 1.0 }));
        let whole = evaluate(&groups, &EvalOptions { resamples: 0, seed: 0 }).unwrap();
        let last = entries[4].metrics.get(Headline::Nll).unwrap();
        assert_eq!(Some(last.mean), whole.value(Headline::Nll));
        assert_eq!((last.low, last.high), (last.mean, last.mean));
        assert_eq!(*entries[0].metrics.get(Headline::SpearmanAleatoricEpistemic), None);
    }
}
