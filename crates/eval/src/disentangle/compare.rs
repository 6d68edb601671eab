//! The paired comparison of two models on the same inputs.

use super::{Evaluation, Further};
use crate::metrics::DifferenceEntry;
use crate::{EvalError, OfGroup};

/// Paired differences `model - reference` of every metric, with paired bootstrap intervals: both models meet
/// the same resamples of the same inputs, so what the inputs have in common cancels.
///
/// The caller answers for the inputs being the same; what can be told is checked (groups, their sizes, classes, labels). The
/// number of draws may differ, and one of them may have a single draw seed.
///
/// # Errors
///
/// [`EvalError::NotPaired`] if groups, their sizes, classes, labels or bootstrap options differ.
pub fn compare(
    name: impl Into<String>,
    model: &Evaluation,
    against: impl Into<String>,
    reference: &Evaluation,
) -> Result<DifferenceEntry, EvalError> {
    paired(model, reference)?;
    let metrics = model.headline.less(&reference.headline);
    let further = model.further().zip(reference.further());
    let of = |(group, reference): (Further<'_>, Further<'_>)| OfGroup {
        name: group.name.to_owned(),
        shift: group.shift.cloned(),
        metrics: group.measured.less(reference.measured),
    };
    Ok(DifferenceEntry { name: name.into(), against: against.into(), metrics, groups: further.map(of).collect() })
}

/// Whether two evaluations are of the same inputs with the same options, as far as can be told.
pub(super) fn paired(model: &Evaluation, reference: &Evaluation) -> Result<(), EvalError> {
    let groups = |e: &'_ Evaluation| e.groups.iter().map(|g| (g.name.clone(), g.role, g.inputs())).collect::<Vec<_>>();
    let labels = |e: &'_ Evaluation| e.groups.iter().map(|g| g.labels.clone()).collect::<Vec<_>>();
    let seeds = model.draw_seeds == reference.draw_seeds || [model.draw_seeds, reference.draw_seeds].contains(&1);
    for (what, same) in [
        ("the number of inputs per group", groups(model) == groups(reference)),
        ("the number of classes", model.classes == reference.classes),
        ("the labels of clean", labels(model) == labels(reference)),
        ("the bootstrap's seed or number of resamples", model.options == reference.options),
        ("the number of draw seeds", seeds),
    ] {
        if !same {
            return Err(EvalError::NotPaired { what });
        }
    }
    Ok(())
}
