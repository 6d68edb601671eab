//! Do two programs that should compute the same network say the same? Their predictions of the same groups, held side by
//! side: classes, probabilities and every headline metric.

use crate::disentangle::{EvalOptions, EvaluatedGroup, evaluate};
use crate::error::EvalError;
use crate::groups::Groups;
use crate::headline::{ByHeadline, Headline, Measure, OfGroup};
use crate::uncertainty::arg_max;
use serde::Serialize;

/// How far two sets of predictions are apart.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// One entry for each group.
    pub groups: Vec<GroupAgreement>,
    /// Second less first, for each metric that is defined.
    pub differences: ByHeadline<Option<f64>>,
    /// The same of each further group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<OfGroup<f64>>,
}

/// How far they are apart on one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupAgreement {
    /// Its name.
    pub group: String,
    /// Its images.
    pub images: usize,
    /// Images to which the two give different classes (of the mean prediction).
    pub classes_differ: usize,
    /// Among those, the largest lead of the first's class over the second's in the first's mean prediction. 0 without any;
    /// close to 0 where both were undecided.
    pub largest_lead: f64,
    /// Largest difference of a mean probability.
    pub largest_difference: f64,
}

impl Agreement {
    /// Of two predictions of the same groups.
    ///
    /// # Errors
    /// [`EvalError`] if the groups or their sizes differ, or one of them cannot be evaluated.
    pub fn of(first: &Groups, second: &Groups) -> Result<Self, EvalError> {
        let options = EvalOptions { resamples: 0, ..EvalOptions::default() };
        let (a, b) = (evaluate(first, &options)?, evaluate(second, &options)?);
        let both = |h: Headline| a.value(h).zip(b.value(h)).map(|(a, b)| b - a);
        let mut groups = Vec::new();
        for place in 0..a.groups().len().max(b.groups().len()) {
            let (a, b) = (a.groups().get(place), b.groups().get(place));
            let of = |g: Option<&EvaluatedGroup>| g.map_or(0, |g| g.uncertainty.mean_probs.len());
            if of(a) != of(b) {
                let what = "two programs' predictions of a group";
                return Err(EvalError::LengthsDiffer { what, left: of(a), right: of(b) });
            }
            let probs = |g: &'_ EvaluatedGroup| g.uncertainty.mean_probs.clone();
            groups.extend(
                a.zip(b).map(|(a, b)| GroupAgreement::of(a.name.clone(), first.classes(), &probs(a), &probs(b))),
            );
        }
        let further = a.further().map(|group| OfGroup {
            name: group.name.to_owned(),
            shift: group.shift.cloned(),
            metrics: ByHeadline::from_fn(|h| {
                group.measured.value(h).zip(b.value_of(group.name, h)).map(|(a, b)| b - a)
            }),
        });
        Ok(Agreement { groups, differences: ByHeadline::from_fn(both), further: further.collect() })
    }

    /// Images whose class differs, in all groups.
    pub fn classes_differ(&self) -> usize {
        self.groups.iter().map(|g| g.classes_differ).sum()
    }

    /// The metric that differs most, and by how much (unsigned).
    pub fn largest_difference(&self) -> Option<(Measure, f64)> {
        let first = self.differences.iter().filter_map(|(h, d)| Some((Measure::from(h), (*d)?)));
        let further = self.further.iter().flat_map(|g| {
            let of = |h| Measure { group: Some(g.name.clone()), headline: h };
            g.metrics.iter().filter_map(move |(h, d)| Some((of(h), (*d)?)))
        });
        first.chain(further).map(|(m, d)| (m, d.abs())).max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl GroupAgreement {
    /// Of two mean predictions `[image][class]`.
    fn of(group: String, classes: usize, first: &[f64], second: &[f64]) -> Self {
        let images = first.len() / classes;
        let mut found = GroupAgreement { group, images, classes_differ: 0, largest_lead: 0.0, largest_difference: 0.0 };
        for (a, b) in first.chunks_exact(classes).zip(second.chunks_exact(classes)) {
            let (class, other) = (arg_max(a).0, arg_max(b).0);
            if class != other {
                found.classes_differ += 1;
                found.largest_lead = found.largest_lead.max(a[class] - a[other]);
            }
            let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            found.largest_difference = apart.fold(found.largest_difference, f64::max);
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::groups::TestGroup;
    use crate::predictions::Predictions;

    fn groups(probs: &[f64]) -> Groups {
        let predictions = Predictions::new(1, probs.len() / 2, 2, probs.to_vec()).unwrap();
        Groups(vec![TestGroup::clean(predictions, vec![0; probs.len() / 2])])
    }

    #[test]
    fn tells_classes_probabilities_and_metrics() {
        let first = groups(&[0.9, 0.1, 0.51, 0.49]);
        let second = groups(&[0.8, 0.2, 0.49, 0.51]);
        let found = Agreement::of(&first, &second).unwrap();
        let clean = &found.groups[0];
        assert_eq!((clean.images, clean.classes_differ, found.classes_differ()), (2, 1, 1));
        assert!((clean.largest_lead - 0.02).abs() < 1e-6 && (clean.largest_difference - 0.1).abs() < 1e-6);
        assert!((found.differences.get(Headline::Accuracy).unwrap() + 0.5).abs() < 1e-12);
        assert!(found.largest_difference().unwrap().1 >= 0.5);
        let same = Agreement::of(&first, &first).unwrap();
        assert_eq!((same.classes_differ(), same.largest_difference().unwrap().1), (0, 0.0));
    }

    #[test]
    fn other_images_are_refused() {
        let message = Agreement::of(&groups(&[0.9, 0.1]), &groups(&[0.9, 0.1, 0.5, 0.5])).unwrap_err().to_string();
        assert!(message.contains("lengths 2 and 4"), "{message}");
    }
}
