//! The composed evaluation: every headline metric of one model on the three groups, with its bootstrap interval, and
//! the paired comparison of two models.
//!
//! The pairs of kind and group follow Mukhoti et al. (DDU, arXiv 2102.11582) and Mucsanyi et al. (arXiv 2402.19460):
//! epistemic uncertainty should find ood inputs and aleatoric ambiguous ones; the cross terms and the rank
//! correlation tell how far the two kinds are one and the same. Every score is measured against the same stated
//! negatives ([`Contrast`]): how well one finds a group means nothing beside how well another finds it among others.

use crate::calibration::Terms;
use crate::metrics::{Counts, Difference, DifferenceEntry, GroupMeans, MeanUncertainty};
use crate::sum::Sum;
use crate::{
    AmbiguousGroup, ByHeadline, Calibration, Contrast, EvalError, Group, Groups, Headline, Interval, PooledAuroc,
    Resampler, Score, Uncertainty, WeightedEce, WeightedMean, WeightedSpearman, logit_interval, parallel,
    percentile_interval, uncertainty,
};

/// Settings of the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalOptions {
    /// Number of resamples; 0 leaves all intervals out.
    pub resamples: usize,
    /// Seed of the resampling (not of the model's draws).
    pub seed: u64,
}

impl Default for EvalOptions {
    /// 1,000 resamples, seed 0.
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// One model, measured.
#[derive(Debug, Clone)]
pub struct Evaluation {
    samples: usize,
    classes: usize,
    counts: Counts,
    calibration: Calibration,
    mean_uncertainty: GroupMeans,
    values: ByHeadline<Option<f64>>,
    tied: ByHeadline<Option<f64>>,
    intervals: ByHeadline<Option<Interval>>,
    /// One value per resample and metric; what [`compare`] pairs.
    replicates: ByHeadline<Vec<Option<f64>>>,
    labels: Vec<usize>,
    options: EvalOptions,
    /// Of clean, ambiguous and ood.
    uncertainties: [Option<Uncertainty>; 3],
}

impl Evaluation {
    /// S, the number of draws.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// C, the number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Inputs per group.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Accuracy, NLL, Brier score and ECE on clean.
    pub fn calibration(&self) -> Calibration {
        self.calibration
    }

    /// Mean uncertainties per group, nats.
    pub fn mean_uncertainty(&self) -> &GroupMeans {
        &self.mean_uncertainty
    }

    /// One headline metric; `None` where its group or the epistemic part is absent, or a rank correlation undefined.
    pub fn value(&self, headline: Headline) -> Option<f64> {
        *self.values.get(headline)
    }

    /// Of an AUROC: the share of pairs of a positive and a negative whose scores tie; `None` for other metrics.
    pub fn tied(&self, headline: Headline) -> Option<f64> {
        *self.tied.get(headline)
    }

    /// Mean prediction and uncertainties of every input of a group; `None` for an absent group.
    pub fn uncertainty(&self, group: Group) -> Option<&Uncertainty> {
        self.uncertainties[group as usize].as_ref()
    }

    /// The label of every clean input.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Its 95 % interval; `None` too without resamples, or if one of them left the metric undefined.
    pub fn interval(&self, headline: Headline) -> Option<Interval> {
        *self.intervals.get(headline)
    }
}

/// Every metric made ready for any resample. Inputs are pooled in the order clean, ambiguous, ood.
struct Statistics {
    means: [(Headline, WeightedMean); 3],
    ece: WeightedEce,
    aurocs: Vec<(Score, PooledAuroc)>,
    spearmans: Vec<(Headline, WeightedSpearman)>,
}

impl Statistics {
    fn new(
        terms: Terms,
        groups: [Option<&Uncertainty>; 3],
        soft_label_entropy: Option<&[f64]>,
    ) -> Result<Self, EvalError> {
        let mut aurocs = Vec::new();
        for score in Score::ALL {
            let scores = groups.map(|u| u.and_then(|u| score.of(u)));
            // Without draws that could disagree no group has this score.
            if scores[0].is_some() {
                let of = |i: usize| scores[i].as_deref().unwrap_or_default();
                aurocs.push((score, PooledAuroc::new([of(0), of(1), of(2)])?));
            }
        }
        let mut spearmans = Vec::new();
        let pooled = |score: Score| -> Option<Vec<f64>> {
            let parts: Option<Vec<_>> = groups[..2].iter().flatten().map(|u| score.of(u)).collect();
            parts.map(|parts| parts.concat())
        };
        if let (Some(a), Some(e)) = (pooled(Score::Aleatoric), pooled(Score::Epistemic)) {
            spearmans.push((Headline::SpearmanAleatoricEpistemic, WeightedSpearman::new(0, &a, &e)?));
        }
        if let (Some(clean), Some(u), Some(soft)) = (groups[0], groups[1], soft_label_entropy) {
            let spearman = WeightedSpearman::new(clean.total.len(), &u.aleatoric, soft)?;
            spearmans.push((Headline::SpearmanAleatoricSoftLabel, spearman));
        }
        let mean = |values| WeightedMean::new(values, 0);
        let Terms { correct, nll, brier, bin, gap, .. } = terms;
        Ok(Self {
            means: [(Headline::Accuracy, mean(correct)), (Headline::Nll, mean(nll)), (Headline::Brier, mean(brier))],
            ece: WeightedEce::new(bin, gap, 0),
            aurocs,
            spearmans,
        })
    }

    /// Every metric of a resample.
    fn values(&self, counts: &[u8]) -> ByHeadline<Option<f64>> {
        let mut values = ByHeadline::default();
        for (headline, mean) in &self.means {
            *values.get_mut(*headline) = mean.value(counts);
        }
        *values.get_mut(Headline::Ece) = self.ece.value(counts);
        self.fill_aurocs(&mut values, |auroc| auroc.value(counts));
        for (headline, spearman) in &self.spearmans {
            *values.get_mut(*headline) = spearman.value(counts);
        }
        values
    }

    /// The share of tied pairs of every AUROC.
    fn tied(&self) -> ByHeadline<Option<f64>> {
        let mut values = ByHeadline::default();
        self.fill_aurocs(&mut values, PooledAuroc::tied);
        values
    }

    fn fill_aurocs(
        &self,
        values: &mut ByHeadline<Option<f64>>,
        of: impl Fn(&PooledAuroc) -> [Option<f64>; Contrast::ALL.len()],
    ) {
        for (score, auroc) in &self.aurocs {
            for (contrast, value) in Contrast::ALL.into_iter().zip(of(auroc)) {
                *values.get_mut(Headline::Auroc(*score, contrast)) = value;
            }
        }
    }
}

/// Measures one model on its groups.
///
/// Accuracy, NLL, Brier and ECE are taken on clean alone. The AUROC of every [`Score`] is taken over every [`Contrast`]. The
/// rank correlation of the two kinds is taken in-distribution, over clean + ambiguous pooled; the one with the entropy of
/// the soft labels over ambiguous. Resamples are shared out among the processor's threads; results do not depend on how
/// many there are.
///
/// # Errors
///
/// Those of [`Groups::check`].
pub fn evaluate(groups: &Groups, options: &EvalOptions) -> Result<Evaluation, EvalError> {
    measure(groups, options, usize::MAX)
}

/// The same by at most so many threads.
fn measure(groups: &Groups, options: &EvalOptions, threads: usize) -> Result<Evaluation, EvalError> {
    groups.check()?;
    let clean = uncertainty(&groups.clean.predictions);
    let ambiguous = groups.ambiguous.as_ref().map(|g| uncertainty(&g.predictions));
    let ood = groups.ood.as_ref().map(|g| uncertainty(&g.predictions));
    let classes = groups.clean.predictions.classes();
    let terms = Terms::new(&clean.mean_probs, classes, &groups.clean.labels, clean.precision)?;
    let calibration = terms.calibration();
    let mean_uncertainty = GroupMeans {
        clean: Some(means(&clean)),
        ambiguous: ambiguous.as_ref().map(means),
        ood: ood.as_ref().map(means),
    };
    let soft = groups.ambiguous.as_ref().and_then(AmbiguousGroup::soft_label_entropy);
    let statistics = Statistics::new(terms, [Some(&clean), ambiguous.as_ref(), ood.as_ref()], soft.as_deref())?;

    let size = |group| groups.predictions(group).map_or(0, crate::Predictions::inputs);
    let sizes = Group::ALL.map(size);
    let mut values = statistics.values(&vec![1; sizes.iter().sum()]);
    let exact = [calibration.accuracy, calibration.nll, calibration.brier, calibration.ece];
    for (headline, value) in [Headline::Accuracy, Headline::Nll, Headline::Brier, Headline::Ece].into_iter().zip(exact)
    {
        *values.get_mut(headline) = Some(value);
    }

    let resampler = Resampler::new(options.seed, &sizes);
    let resamples = parallel::each(options.resamples, threads, |resample| {
        let mut counts = Vec::new();
        resampler.fill(resample as u64, &mut counts);
        statistics.values(&counts)
    });
    let replicates = ByHeadline::from_fn(|h| match values.get(h) {
        Some(_) => resamples.iter().map(|values| *values.get(h)).collect(),
        None => Vec::new(),
    });
    let interval = |headline| {
        let replicates: &Vec<_> = replicates.get(headline);
        match headline {
            Headline::Auroc(_, contrast) => {
                let negatives: usize = contrast.negatives().iter().map(|&g| size(g)).sum();
                let pairs = negatives.min(size(contrast.positives()));
                logit_interval((*values.get(headline))?, replicates, pairs)
            }
            _ => percentile_interval(replicates),
        }
    };
    let intervals = ByHeadline::from_fn(interval);
    Ok(Evaluation {
        samples: groups.clean.predictions.samples(),
        classes,
        counts: Counts { clean: sizes[0] as u64, ambiguous: sizes[1] as u64, ood: sizes[2] as u64 },
        calibration,
        mean_uncertainty,
        values,
        tied: statistics.tied(),
        intervals,
        replicates,
        labels: groups.clean.labels.clone(),
        options: *options,
        uncertainties: [Some(clean), ambiguous, ood],
    })
}

/// Paired differences `model - reference` of every headline metric, with paired bootstrap intervals: both models meet
/// the same resamples of the same inputs, so what the inputs have in common cancels.
///
/// The caller answers for the inputs being the same; what can be told is checked (group sizes, classes, labels). The
/// number of draws may differ.
///
/// # Errors
///
/// [`EvalError::NotPaired`] if group sizes, classes, clean labels or bootstrap options differ.
pub fn compare(
    name: impl Into<String>,
    model: &Evaluation,
    against: impl Into<String>,
    reference: &Evaluation,
) -> Result<DifferenceEntry, EvalError> {
    for (what, same) in [
        ("the number of inputs per group", model.counts == reference.counts),
        ("the number of classes", model.classes == reference.classes),
        ("the labels of clean", model.labels == reference.labels),
        ("the bootstrap's seed or number of resamples", model.options == reference.options),
    ] {
        if !same {
            return Err(EvalError::NotPaired { what });
        }
    }
    let metrics = ByHeadline::from_fn(|headline| {
        let value = model.value(headline)? - reference.value(headline)?;
        let pairs = model.replicates.get(headline).iter().zip(reference.replicates.get(headline));
        let replicates: Vec<_> = pairs.map(|(m, r)| Some((*m)? - (*r)?)).collect();
        Some(Difference { value, ci95: percentile_interval(&replicates) })
    });
    Ok(DifferenceEntry { name: name.into(), against: against.into(), metrics })
}

/// Mean uncertainties of one group.
fn means(u: &Uncertainty) -> MeanUncertainty {
    let mean = |values: &[f64]| Sum::of(values.iter().copied()).over(values.len());
    MeanUncertainty {
        total: mean(&u.total),
        aleatoric: mean(&u.aleatoric),
        epistemic: u.epistemic.as_deref().map(mean),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{LabelledGroup, OodGroup, Predictions};

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let some = |n: usize, salt: usize| {
            let p = |s: usize, i: usize| 0.5 + 0.49 * ((s * 7 + i * 13 + salt) as f64).sin();
            let probs = (0..3).flat_map(|s| (0..n).flat_map(move |i| [p(s, i), 1.0 - p(s, i)])).collect();
            Predictions::new(3, n, 2, probs).unwrap()
        };
        let groups = Groups {
            clean: LabelledGroup { predictions: some(600, 0), labels: (0..600).map(|i| i % 2).collect() },
            ambiguous: Some(AmbiguousGroup { predictions: some(40, 1), soft_labels: None }),
            ood: Some(OodGroup { predictions: some(50, 2) }),
        };
        let options = EvalOptions { resamples: 33, seed: 4 };
        let [one, two, many] = [1, 2, 5].map(|threads| measure(&groups, &options, threads).unwrap());
        assert_eq!((&one.replicates, &one.intervals), (&two.replicates, &two.intervals));
        assert_eq!((&one.replicates, &one.intervals), (&many.replicates, &many.intervals));
        assert_eq!(one.replicates.get(Headline::AMBIGUOUS).len(), 33);
    }
}
