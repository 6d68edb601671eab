//! Means over the groups that were made by shifts: over all of them, and over the severities of each kind.
//!
//! A benchmark of corruptions is one number, the mean over its kinds and severities (Hendrycks and Dietterich 2019, arXiv
//! 1903.12261, without its division by the errors of a reference network). Every group counts alike. The intervals are those
//! of the mean: each resample gives the mean of its groups.

use super::{EvaluatedGroup, Further, Measured};
use crate::groups::MEAN;
use crate::metrics::MeanUncertainty;
use crate::sum::Sum;
use crate::{ByHeadline, Role, SHIFTS_MEAN, percentile_interval};

/// Means over several groups.
#[derive(Debug, Clone)]
pub(super) struct MeanOfShifts {
    /// `shifts@mean`, `rotation@mean`.
    pub name: String,
    /// Means of the metrics.
    pub measured: Measured,
    inputs: usize,
    /// Means of the uncertainties.
    pub means: MeanUncertainty,
}

impl MeanOfShifts {
    /// Every mean over at least two groups: over all first.
    pub fn all(groups: &[EvaluatedGroup], further: &[(usize, Measured)]) -> Vec<Self> {
        let made: Vec<_> = further
            .iter()
            .filter_map(|(place, measured)| Some((groups[*place].shift.as_ref()?, &groups[*place], measured)))
            .collect();
        let mut kinds: Vec<&str> = Vec::new();
        for (shift, ..) in &made {
            if !kinds.contains(&shift.kind.as_str()) {
                kinds.push(&shift.kind);
            }
        }
        let of = |name: String, kind: Option<&str>| {
            let of_kind = made.iter().filter(|(shift, ..)| kind.is_none_or(|kind| shift.kind == kind));
            Self::new(name, &of_kind.map(|(_, group, measured)| (*group, *measured)).collect::<Vec<_>>())
        };
        let of_kinds = kinds.iter().map(|kind| of(format!("{kind}{MEAN}"), Some(kind)));
        std::iter::once(of(SHIFTS_MEAN.to_owned(), None)).chain(of_kinds).flatten().collect()
    }

    fn new(name: String, groups: &[(&EvaluatedGroup, &Measured)]) -> Option<Self> {
        let n = groups.len();
        if n < 2 {
            return None;
        }
        let over = |values: Option<Vec<f64>>| values.map(|v| Sum::of(v.iter().copied()).over(n));
        let values = ByHeadline::from_fn(|h| over(groups.iter().map(|g| g.1.value(h)).collect()));
        let replicates = ByHeadline::from_fn(|h| {
            let all: Vec<&Vec<Option<f64>>> = groups.iter().map(|g| g.1.replicates.get(h)).collect();
            let resamples = all.iter().map(|r| r.len()).min().unwrap_or(0);
            (0..resamples).map(|i| over(all.iter().map(|r| r[i]).collect())).collect::<Vec<_>>()
        });
        let intervals =
            ByHeadline::from_fn(|h| values.get(h).and_then(|_: f64| percentile_interval(replicates.get(h))));
        let mean = |of: &dyn Fn(&MeanUncertainty) -> Option<f64>| over(groups.iter().map(|g| of(&g.0.means)).collect());
        let means = MeanUncertainty {
            total: mean(&|m| Some(m.total)).unwrap_or_default(),
            aleatoric: mean(&|m| Some(m.aleatoric)).unwrap_or_default(),
            epistemic: mean(&|m| m.epistemic),
        };
        let inputs = groups.iter().map(|g| g.0.inputs()).sum();
        Some(Self {
            name,
            measured: Measured {
                by_seed: ByHeadline::from_fn(|h| values.get(h).iter().copied().collect()),
                values,
                tied: ByHeadline::default(),
                intervals,
                replicates,
            },
            inputs,
            means,
        })
    }

    /// As an evaluation lists it.
    pub fn further(&self) -> Further<'_> {
        let Self { name, measured, inputs, means } = self;
        Further { name, role: Role::Shifted, shift: None, inputs: *inputs, means: *means, measured }
    }
}
