//! One model under several seeds of draws: means, and intervals that take in both the images and the draws.
//!
//! An evaluation of S draws is one of those that another seed of the noise could have given. The bootstrap over images does not
//! see that. Here the metrics of K seeds are averaged. The interval of the mean has two parts: that over images (the mean of
//! the seeds' own, whose resamples are the same), and that over seeds, s / sqrt(K) times Student's t with K - 1 degrees of
//! freedom, s the standard deviation between the seeds. The two are independent, so their reaches to each side are added as
//! squares, side by side: MOVER, the method of variance estimates recovery (Zou and Donner 2008). It leaves the image part's
//! asymmetry, and so the logit scale of an AUROC, as it is. Resampling a seed for each resample of images would not do: of few
//! seeds it leaves out a part 1/K of their variance, and knows no t.

use super::compare::paired;
use super::{Evaluation, Measured};
use crate::metrics::MeanUncertainty;
use crate::sum::Sum;
use crate::{ByHeadline, Calibrator, EvalError, Interval, t975};

/// Half of the interval of a mean over seeds: t s / sqrt(K); 0 of a single one.
pub(super) fn reach(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    t975(n - 1) * (variance / n as f64).sqrt()
}

/// The ends moved outward so that each reach from `value` takes in another one to both sides, as squares; kept in a range.
/// An end that does not lie beyond the value moves by the whole of it.
pub(super) fn widened(value: f64, [low, high]: Interval, reach: f64, (least, most): (f64, f64)) -> Interval {
    let out = |own: f64| own.max(0.0).hypot(reach) - own.max(0.0);
    // Without a second part the ends stay as they are, to the last bit.
    if reach == 0.0 {
        return [low, high];
    }
    [(low - out(value - low)).max(least), (high + out(high - value)).min(most)]
}

fn mean(values: &[f64]) -> f64 {
    Sum::of(values.iter().copied()).over(values.len())
}

/// The mean of values that are all there.
fn mean_of(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| mean(&values))
}

/// One model under several seeds of draws, evaluated on the same inputs with the same options: the metrics and mean
/// uncertainties are means over the seeds, the intervals take in images and seeds. A metric that some seed lacks is absent.
/// What is not a mean, the uncertainties of single inputs, is that of the first seed.
///
/// # Errors
///
/// [`EvalError::TooFew`] without evaluations; [`EvalError::NotPaired`] if groups, classes, labels, draws or options differ.
pub fn over_draw_seeds(evaluations: Vec<Evaluation>) -> Result<Evaluation, EvalError> {
    let Some(first) = evaluations.first() else {
        return Err(EvalError::TooFew { dimension: "evaluations", found: 0, wanted: 1 });
    };
    for other in &evaluations[1..] {
        paired(first, other)?;
        if first.samples != other.samples {
            return Err(EvalError::NotPaired { what: "the number of draws" });
        }
    }
    if evaluations.len() == 1 {
        return Ok(first.clone());
    }
    let mut all = first.clone();
    all.draw_seeds = evaluations.len();
    let calibrators: Option<Vec<_>> = evaluations.iter().map(Evaluation::calibrator).collect();
    all.calibrator = calibrators.and_then(|all| Calibrator::mean(&all));
    all.headline = over(&evaluations.iter().map(|e| &e.headline).collect::<Vec<_>>());
    for (i, (_, measured)) in all.further.iter_mut().enumerate() {
        *measured = over(&evaluations.iter().map(|e| &e.further[i].1).collect::<Vec<_>>());
    }
    for (i, mean) in all.shifts.iter_mut().enumerate() {
        mean.measured = over(&evaluations.iter().map(|e| &e.shifts[i].measured).collect::<Vec<_>>());
        mean.means = means(evaluations.iter().map(|e| e.shifts[i].means));
    }
    for (i, group) in all.groups.iter_mut().enumerate() {
        group.means = means(evaluations.iter().map(|e| e.groups[i].means));
    }
    Ok(all)
}

/// Metrics of the same groups under several seeds.
fn over(seeds: &[&Measured]) -> Measured {
    let by_seed =
        ByHeadline::from_fn(|h| seeds.iter().map(|m| m.value(h)).collect::<Option<Vec<_>>>().unwrap_or_default());
    let values = ByHeadline::from_fn(|h| mean_of(by_seed.get(h).iter().copied().map(Some)));
    let tied = ByHeadline::from_fn(|h| mean_of(seeds.iter().map(|m| m.tied(h))));
    let replicates = ByHeadline::from_fn(|h| {
        let all: Vec<&Vec<Option<f64>>> = seeds.iter().map(|m| m.replicates.get(h)).collect();
        let resamples = all.iter().map(|r| r.len()).min().unwrap_or(0);
        (0..resamples).map(|i| mean_of(all.iter().map(|r| r[i]))).collect::<Vec<_>>()
    });
    let intervals = ByHeadline::from_fn(|h| {
        let value = (*values.get(h))?;
        let end = |side: usize| mean_of(seeds.iter().map(|m| m.interval(h).map(|ends| ends[side])));
        Some(widened(value, [end(0)?, end(1)?], reach(by_seed.get(h)), h.range()))
    });
    Measured { values, tied, intervals, replicates, by_seed }
}

fn means(all: impl Iterator<Item = MeanUncertainty>) -> MeanUncertainty {
    let all: Vec<_> = all.collect();
    let over = |of: fn(&MeanUncertainty) -> f64| mean(&all.iter().map(of).collect::<Vec<_>>());
    MeanUncertainty {
        total: over(|m| m.total),
        aleatoric: over(|m| m.aleatoric),
        epistemic: mean_of(all.iter().map(|m| m.epistemic)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{Contrast, EvalOptions, Groups, Headline, Predictions, Score, TestGroup, compare, evaluate};

    /// A generator of its own: SplitMix64.
    struct Random(u64);

    impl Random {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
        }
    }

    #[test]
    fn the_two_parts_add_as_squares() {
        assert_eq!(widened(0.5, [0.2, 0.6], 0.0, (0.0, 1.0)), [0.2, 0.6]);
        let [low, high] = widened(0.5, [0.2, 0.9], 0.4, (0.0, 1.0));
        assert!(low.abs() < 1e-12 && high == 1.0, "{low} {high}");
        // Ends that do not hold the value, as of a biased bootstrap.
        let [low, high] = widened(0.5, [0.55, 0.6], 0.03, (0.0, 1.0));
        assert!((low - 0.52).abs() < 1e-12 && (high - (0.5 + 0.1f64.hypot(0.03))).abs() < 1e-12, "{low} {high}");
        // 1, 2, 3: deviation 1, t 4.303.
        assert!((reach(&[1.0, 2.0, 3.0]) - 4.303 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!((reach(&[7.0]), reach(&[])), (0.0, 0.0));
    }

    /// Worlds whose truth is 0: an error of the images, shared by all seeds, and one of each seed.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let mut random = Random(1);
        for seeds in [2, 3, 5, 10] {
            for (images, draws) in [(1.0, 0.0), (1.0, 0.3), (1.0, 1.0), (0.3, 1.0), (0.0, 1.0)] {
                let worlds = 4000;
                let held = (0..worlds).filter(|_| {
                    let shared = images * random.normal();
                    let values: Vec<f64> = (0..seeds).map(|_| shared + draws * random.normal()).collect();
                    let (value, half) = (mean(&values), 1.96 * images);
                    let everything = (f64::NEG_INFINITY, f64::INFINITY);
                    let [low, high] = widened(value, [value - half, value + half], reach(&values), everything);
                    low <= 0.0 && 0.0 <= high
                });
                let share = held.count() as f64 / f64::from(worlds);
                // 0.95 with a standard error of 0.0035; two seeds are on the safe side where both parts matter.
                assert!((0.938..0.995).contains(&share), "{seeds} seeds, {images} and {draws}: {share}");
            }
        }
    }

    fn predictions(random: &mut Random, rates: &[f64], skill: f64) -> Predictions {
        // One draw decides each input rightly with its own rate, shifted by what the draw is worth.
        let probs = rates.iter().flat_map(|&rate| {
            let sure = 0.55 + 0.4 * random.uniform();
            if random.uniform() < (rate + skill).clamp(0.0, 1.0) { [sure, 1.0 - sure] } else { [1.0 - sure, sure] }
        });
        Predictions::new(1, rates.len(), 2, probs.collect()).unwrap()
    }

    /// The accuracy of a whole evaluation: images and draws are both of a population whose mean is known.
    #[test]
    fn an_evaluation_holds_the_true_accuracy_as_often_as_it_says() {
        let (worlds, inputs, seeds) = (300, 120, 4);
        let (mut both, mut images_alone) = (0, 0);
        for world in 0..worlds {
            let mut random = Random(1000 + world);
            let rates: Vec<f64> = (0..inputs).map(|_| 0.6 + 0.2 * random.uniform()).collect();
            let options = EvalOptions { resamples: 100, seed: world };
            let evaluations = (0..seeds).map(|_| {
                let skill = 0.04 * (2.0 * random.uniform() - 1.0) * 3f64.sqrt();
                let clean = TestGroup::clean(predictions(&mut random, &rates, skill), vec![0; inputs]);
                evaluate(&Groups(vec![clean]), &options).unwrap()
            });
            let evaluations: Vec<_> = evaluations.collect();
            let holds = |e: &Evaluation| {
                let [low, high] = e.interval(Headline::Accuracy).unwrap();
                u32::from(low <= 0.7 && 0.7 <= high)
            };
            images_alone += holds(&evaluations[0]);
            both += holds(&over_draw_seeds(evaluations).unwrap());
        }
        let share = |n: u32| f64::from(n) / worlds as f64;
        assert!(share(both) > 0.93, "{}", share(both));
        assert!(share(images_alone) < share(both), "{}", share(images_alone));
    }

    fn evaluation(seed: u64, resamples: usize) -> Evaluation {
        let mut random = Random(seed);
        let some = |random: &mut Random, n: usize| {
            let probs = (0..3 * n).flat_map(|_| {
                let p = random.uniform();
                [p, 1.0 - p]
            });
            Predictions::new(3, n, 2, probs.collect()).unwrap()
        };
        let clean = TestGroup::clean(some(&mut random, 40), (0..40).map(|i| i % 2).collect());
        let groups = Groups(vec![
            clean,
            TestGroup::ood(some(&mut random, 30)),
            TestGroup::ood(some(&mut random, 20)).named("near"),
        ]);
        evaluate(&groups, &EvalOptions { resamples, seed: 3 }).unwrap()
    }

    #[test]
    fn metrics_are_means_over_seeds() {
        let each: Vec<_> = (0..3).map(|seed| evaluation(seed, 50)).collect();
        let all = over_draw_seeds(each.clone()).unwrap();
        assert_eq!((all.draw_seeds(), each[0].draw_seeds()), (3, 1));
        for h in [Headline::Nll, Headline::Auroc(Score::Epistemic, Contrast::OodVsClean)] {
            let values: Vec<f64> = each.iter().map(|e| e.value(h).unwrap()).collect();
            assert!((all.value(h).unwrap() - mean(&values)).abs() < 1e-15);
            let ([low, high], [own_low, own_high]) = (all.interval(h).unwrap(), each[0].interval(h).unwrap());
            assert!(high - low > own_high - own_low, "{h:?}");
        }
        let near = Headline::Auroc(Score::Total, Contrast::OodVsClean);
        let values: Vec<f64> = each.iter().map(|e| e.value_of("near", near).unwrap()).collect();
        assert!((all.value_of("near", near).unwrap() - mean(&values)).abs() < 1e-15);
        assert!(all.mean_uncertainty().clean.unwrap().total != each[0].mean_uncertainty().clean.unwrap().total);
        // One seed is the evaluation itself; a model does not differ from itself under any number of seeds.
        let one = over_draw_seeds(vec![each[0].clone()]).unwrap();
        assert_eq!((one.interval(near), one.draw_seeds()), (each[0].interval(near), 1));
        let same = compare("a", &all, "b", &all).unwrap();
        assert_eq!(same.metrics.get(near).unwrap().ci95, Some([0.0, 0.0]));
        // Against a single seed, as of an analytic pass, which has no draws.
        let difference = compare("a", &all, "b", &each[0]).unwrap().metrics.get(near).unwrap();
        assert!((difference.value - (all.value(near).unwrap() - each[0].value(near).unwrap())).abs() < 1e-15);
        let two = over_draw_seeds(each[..2].to_vec()).unwrap();
        assert!(matches!(
            compare("a", &all, "b", &two),
            Err(EvalError::NotPaired { what: "the number of draw seeds" })
        ));
    }

    #[test]
    fn what_is_not_the_same_inputs_is_refused() {
        assert!(matches!(over_draw_seeds(Vec::new()), Err(EvalError::TooFew { .. })));
        let other = over_draw_seeds(vec![evaluation(0, 50), evaluation(1, 60)]);
        assert!(matches!(other, Err(EvalError::NotPaired { .. })));
    }
}
