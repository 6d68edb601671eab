//! Some groups in the places of clean, ambiguous and ood, and their metrics: the first ones of their roles, or a further group in
//! the place of the first of its role.

use super::{EvaluatedGroup, Measured};
use crate::bootstrap::interval_of_perfect_aupr;
use crate::calibration::Terms;
use crate::statistics::Statistics;
use crate::{
    ByHeadline, Calibration, Calibrator, Contrast, EvalError, Groups, Headline, Role, logit_interval,
    percentile_interval,
};
use std::ops::Range;

/// Which groups stand for clean, ambiguous and ood in a set of metrics.
pub(super) struct View {
    /// Their places among the groups.
    places: [Option<usize>; 3],
    /// The role of the further group that it is about; `None` of the headline metrics.
    of: Option<Role>,
    statistics: Statistics,
}

impl View {
    /// The headline metrics' where `further` is `None`, else those of the group at that place.
    pub(super) fn new(
        places: [Option<usize>; 3],
        further: Option<usize>,
        groups: &Groups,
        evaluated: &[EvaluatedGroup],
        calibrator: Option<&Calibrator>,
    ) -> Result<Self, EvalError> {
        let of = further.map(|place| groups.0[place].role);
        let [clean, ambiguous, _] = places;
        let places = match of {
            None => places,
            Some(Role::Ood) => [clean, ambiguous, further],
            Some(Role::Ambiguous) => [clean, further, None],
            Some(Role::Clean | Role::Shifted) => [further, None, None],
        };
        // A group that is measured against the clean one does not measure that again.
        let labelled = of.is_none_or(Role::is_labelled).then_some(places[0]).flatten();
        let terms = labelled.map(|place| {
            let EvaluatedGroup { uncertainty: u, labels, .. } = &evaluated[place];
            Terms::new(&u.mean_probs, groups.classes(), labels, u.precision)
        });
        let calibrated = calibrator.zip(labelled).map(|(calibrator, place)| {
            let EvaluatedGroup { uncertainty: u, labels, .. } = &evaluated[place];
            calibrator.terms(&u.mean_probs, groups.classes(), labels, u.precision)
        });
        let soft = places[1].and_then(|place| groups.0[place].soft_label_entropy());
        let uncertainties = places.map(|place| place.map(|place| &evaluated[place].uncertainty));
        let statistics = Statistics::new(terms.transpose()?, calibrated.transpose()?, uncertainties, soft.as_deref())?;
        Ok(Self { places, of, statistics })
    }

    /// Whether a metric is its own, and not that of the groups it is measured against.
    fn has(&self, headline: Headline) -> bool {
        self.of.is_none_or(|role| headline.is_of(role))
    }

    /// Every metric of a resample; `counts` are those of all groups, each in its range.
    pub(super) fn values(&self, counts: &[u8], ranges: &[Range<usize>]) -> ByHeadline<Option<f64>> {
        let own = self.places.iter().flatten().map(|&place| &counts[ranges[place].clone()]);
        let values = self.statistics.values(&own.collect::<Vec<_>>().concat());
        ByHeadline::from_fn(|h| values.get(h).filter(|_| self.has(h)))
    }

    /// Values, and what the resamples make of them.
    pub(super) fn measured(
        &self,
        evaluated: &[EvaluatedGroup],
        mut values: ByHeadline<Option<f64>>,
        resamples: &[ByHeadline<Option<f64>>],
    ) -> Measured {
        // Sums in one order, exactly rounded: not those of the bootstrap.
        let calibration = self.places[0].and_then(|place| evaluated[place].calibration);
        if let Some(Calibration { accuracy, nll, brier, ece, .. }) = calibration {
            for (headline, value) in
                [(Headline::Accuracy, accuracy), (Headline::Nll, nll), (Headline::Brier, brier), (Headline::Ece, ece)]
            {
                *values.get_mut(headline) = Some(value).filter(|_| self.has(headline));
            }
        }
        let replicates = ByHeadline::from_fn(|h| match values.get(h) {
            Some(_) => resamples.iter().map(|values| *values.get(h)).collect(),
            None => Vec::new(),
        });
        let place = |role: Role| Role::HEADLINE.iter().position(|r| *r == role);
        let size = |role| place(role).and_then(|i| self.places[i]).map_or(0, |place| evaluated[place].inputs());
        let negatives = |contrast: Contrast| contrast.negatives().iter().map(|&g| size(g)).sum::<usize>();
        let [wrong, right] = self.statistics.wrong_and_right();
        let intervals = ByHeadline::from_fn(|headline| {
            let (value, replicates) = ((*values.get(headline))?, replicates.get(headline));
            match headline {
                Headline::Auroc(_, contrast) => {
                    logit_interval(value, replicates, negatives(contrast).min(size(contrast.positives())))
                }
                Headline::ErrorAuroc(_) => logit_interval(value, replicates, wrong.min(right)),
                Headline::Aupr(score, contrast) => match *values.get(Headline::Auroc(score, contrast)) {
                    Some(1.0) if !replicates.is_empty() => {
                        interval_of_perfect_aupr(size(contrast.positives()), negatives(contrast))
                    }
                    // All positives lie below all negatives: the replicates are all the same, and nothing bounds it there.
                    Some(0.0) => None,
                    _ => logit_interval(value, replicates, 1),
                },
                // A proportion of the negatives: where it is 0 or 1 its exact interval.
                Headline::Fpr95(_, contrast) if value == 0.0 || value == 1.0 => {
                    logit_interval(value, replicates, negatives(contrast))
                }
                _ => percentile_interval(replicates),
            }
        });
        let tied = self.statistics.tied();
        let tied = ByHeadline::from_fn(|h| tied.get(h).filter(|_| self.has(h)));
        let by_seed = ByHeadline::from_fn(|h| values.get(h).iter().copied().collect());
        Measured { values, tied, intervals, replicates, by_seed }
    }
}
