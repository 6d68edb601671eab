//! The composed evaluation: every headline metric of one model on the three groups, with its bootstrap interval, and
//! the paired comparison of two models.
//!
//! The pairs of kind and group follow Mukhoti et al. (DDU, arXiv 2102.11582) and Mucsanyi et al. (arXiv 2402.19460):
//! epistemic uncertainty should find ood inputs and aleatoric ambiguous ones; the cross terms and the rank
//! correlation tell how far the two kinds are one and the same.

use crate::calibration::Terms;
use crate::metrics::{Counts, Difference, DifferenceEntry, GroupMeans, MeanUncertainty};
use crate::{
    AmbiguousGroup, ByHeadline, Calibration, EvalError, Group, Groups, Headline, Interval, Predictions, Resampler,
    Uncertainty, WeightedAuroc, WeightedEce, WeightedMean, WeightedSpearman, percentile_interval, uncertainty,
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

/// A metric made ready for any resample.
enum Statistic {
    Mean(WeightedMean),
    Ece(WeightedEce),
    Auroc(WeightedAuroc),
    Spearman(WeightedSpearman),
}

impl Statistic {
    fn value(&self, counts: &[u32]) -> Option<f64> {
        match self {
            Statistic::Mean(s) => s.value(counts),
            Statistic::Ece(s) => s.value(counts),
            Statistic::Auroc(s) => s.value(counts),
            Statistic::Spearman(s) => s.value(counts),
        }
    }
}

/// Measures one model on its groups.
///
/// Accuracy, NLL, Brier and ECE are taken on clean alone. AUROCs of epistemic uncertainty and of its share set ood
/// against clean + ambiguous (against clean where ambiguous is absent); all other AUROCs set a group against clean. The rank
/// correlation of the two kinds is taken in-distribution, over clean + ambiguous pooled; the one with the entropy of
/// the soft labels over ambiguous.
///
/// # Errors
///
/// Those of [`Groups::check`].
pub fn evaluate(groups: &Groups, options: &EvalOptions) -> Result<Evaluation, EvalError> {
    groups.check()?;
    let clean = uncertainty(&groups.clean.predictions);
    let ambiguous = groups.ambiguous.as_ref().map(|g| uncertainty(&g.predictions));
    let ood = groups.ood.as_ref().map(|g| uncertainty(&g.predictions));
    let classes = groups.clean.predictions.classes();
    let terms = Terms::new(&clean.mean_probs, classes, &groups.clean.labels)?;
    let calibration = terms.calibration();
    let mean_uncertainty = GroupMeans {
        clean: Some(means(&clean)),
        ambiguous: ambiguous.as_ref().map(means),
        ood: ood.as_ref().map(means),
    };
    let soft = groups.ambiguous.as_ref().and_then(AmbiguousGroup::soft_label_entropy);
    let statistics = statistics(terms, &clean, ambiguous.as_ref(), ood.as_ref(), soft.as_deref())?;

    let size = |predictions: Option<&Predictions>| predictions.map_or(0, Predictions::inputs);
    let sizes = [
        groups.clean.predictions.inputs(),
        size(groups.ambiguous.as_ref().map(|g| &g.predictions)),
        size(groups.ood.as_ref().map(|g| &g.predictions)),
    ];
    let mut counts = vec![1; sizes.iter().sum()];
    let values = ByHeadline::from_fn(|h| statistics.get(h).as_ref().and_then(|s| s.value(&counts)));

    let resampler = Resampler::new(options.seed, &sizes);
    let mut replicates = ByHeadline::from_fn(|_| Vec::new());
    for resample in 0..options.resamples {
        resampler.fill(resample as u64, &mut counts);
        for headline in Headline::ALL {
            if let Some(statistic) = statistics.get(headline) {
                replicates.get_mut(headline).push(statistic.value(&counts));
            }
        }
    }
    Ok(Evaluation {
        samples: groups.clean.predictions.samples(),
        classes,
        counts: Counts { clean: sizes[0] as u64, ambiguous: sizes[1] as u64, ood: sizes[2] as u64 },
        calibration,
        mean_uncertainty,
        values,
        intervals: ByHeadline::from_fn(|h| percentile_interval(replicates.get(h))),
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

/// Prepares every metric that the groups allow. Inputs are pooled in the order clean, ambiguous, ood.
fn statistics(
    terms: Terms,
    clean: &Uncertainty,
    ambiguous: Option<&Uncertainty>,
    ood: Option<&Uncertainty>,
    soft_label_entropy: Option<&[f64]>,
) -> Result<ByHeadline<Option<Statistic>>, EvalError> {
    let first_ambiguous = clean.total.len();
    let first_ood = first_ambiguous + ambiguous.map_or(0, |u| u.total.len());
    // (place of the group's first input, score per input)
    let aleatoric = |first, u: Option<&'_ Uncertainty>| u.map(|u| (first, u.aleatoric.clone()));
    let epistemic = |first, u: Option<&'_ Uncertainty>| u.and_then(|u| u.epistemic.clone()).map(|e| (first, e));
    let share = |first, u: Option<&'_ Uncertainty>| u.and_then(Uncertainty::epistemic_share).map(|s| (first, s));
    let a_clean = aleatoric(0, Some(clean));
    let a_ambiguous = aleatoric(first_ambiguous, ambiguous);
    let a_ood = aleatoric(first_ood, ood);
    let e_clean = epistemic(0, Some(clean));
    let e_ambiguous = epistemic(first_ambiguous, ambiguous);
    let e_ood = epistemic(first_ood, ood);
    let (s_clean, s_ambiguous, s_ood) =
        (share(0, Some(clean)), share(first_ambiguous, ambiguous), share(first_ood, ood));
    let both = |clean: &Scores, ambiguous: &Scores| -> Option<Vec<f64>> {
        let mut pooled = clean.as_ref()?.1.clone();
        pooled.extend(ambiguous.iter().flat_map(|(_, scores)| scores));
        Some(pooled)
    };
    let spearman_kinds = match (both(&a_clean, &a_ambiguous), both(&e_clean, &e_ambiguous)) {
        (Some(a), Some(e)) => Some(Statistic::Spearman(WeightedSpearman::new(0, &a, &e)?)),
        _ => None,
    };
    let spearman_soft = match (&a_ambiguous, soft_label_entropy) {
        (Some((first, a)), Some(soft)) => Some(Statistic::Spearman(WeightedSpearman::new(*first, a, soft)?)),
        _ => None,
    };
    let mean = |values| Some(Statistic::Mean(WeightedMean::new(values, 0)));
    Ok(ByHeadline {
        accuracy: mean(terms.correct),
        nll: mean(terms.nll),
        brier: mean(terms.brier),
        ece: Some(Statistic::Ece(WeightedEce::new(terms.bin, terms.gap, 0))),
        auroc_epistemic_ood: auroc_of(&e_ood, &[&e_clean, &e_ambiguous])?,
        auroc_aleatoric_ambiguous: auroc_of(&a_ambiguous, &[&a_clean])?,
        auroc_epistemic_ambiguous: auroc_of(&e_ambiguous, &[&e_clean])?,
        auroc_aleatoric_ood: auroc_of(&a_ood, &[&a_clean])?,
        auroc_share_ood: auroc_of(&s_ood, &[&s_clean, &s_ambiguous])?,
        auroc_share_ambiguous: auroc_of(&s_ambiguous, &[&s_clean])?,
        spearman_aleatoric_epistemic: spearman_kinds,
        spearman_aleatoric_soft_label: spearman_soft,
    })
}

/// One group's scores and the place of its first input among all; `None` if absent.
type Scores = Option<(usize, Vec<f64>)>;

/// AUROC of a group against others, absent ones left out; `None` if the positives are absent.
fn auroc_of(positives: &Scores, negatives: &[&Scores]) -> Result<Option<Statistic>, EvalError> {
    let Some((first, positives)) = positives else { return Ok(None) };
    let negatives: Vec<_> =
        negatives.iter().filter_map(|scores| scores.as_ref().map(|(first, s)| (*first, s.as_slice()))).collect();
    Ok(Some(Statistic::Auroc(WeightedAuroc::new((*first, positives), &negatives)?)))
}

/// Mean uncertainties of one group.
fn means(u: &Uncertainty) -> MeanUncertainty {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    MeanUncertainty {
        total: mean(&u.total),
        aleatoric: mean(&u.aleatoric),
        epistemic: u.epistemic.as_deref().map(mean),
    }
}
