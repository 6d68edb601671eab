//! The three groups of every evaluation: clean, ambiguous and out-of-distribution inputs.
//!
//! Uncertainty can only be judged against inputs whose kind is known: clean inputs deserve little of either kind,
//! ambiguous ones (several labels are right) aleatoric, OOD ones epistemic.

use crate::predictions::check_row;
use crate::uncertainty::normalise;
use crate::{EvalError, Precision, Predictions, entropy};

/// Which of the three groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// One right label each.
    Clean,
    /// Several right labels.
    Ambiguous,
    /// No right label: another distribution.
    Ood,
}

impl Group {
    /// All groups, in the order in which inputs are pooled.
    pub const ALL: [Group; 3] = [Group::Clean, Group::Ambiguous, Group::Ood];

    /// `clean`, `ambiguous` or `ood`.
    pub fn name(self) -> &'static str {
        match self {
            Group::Clean => "clean",
            Group::Ambiguous => "ambiguous",
            Group::Ood => "ood",
        }
    }
}

/// Inputs with one right label each: the group on which accuracy and calibration are measured.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledGroup {
    /// The model's probabilities, `[S][N][C]`.
    pub predictions: Predictions,
    /// The right class of each input, N values in `0..C`.
    pub labels: Vec<usize>,
}

/// Inputs for which several labels are right.
#[derive(Debug, Clone, PartialEq)]
pub struct AmbiguousGroup {
    /// The model's probabilities, `[S][N][C]`.
    pub predictions: Predictions,
    /// Where known, the true label distribution of each input, `[N][C]` row-major, each row summing to 1 within 1e-3.
    pub soft_labels: Option<Vec<f32>>,
}

/// Foreign inputs, for which no label is right.
#[derive(Debug, Clone, PartialEq)]
pub struct OodGroup {
    /// The model's probabilities, `[S][N][C]`.
    pub predictions: Predictions,
}

/// One model's predictions on all groups. Groups that are absent leave their metrics `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    /// Inputs of the training distribution with one right label.
    pub clean: LabelledGroup,
    /// Inputs of the training distribution with several right labels.
    pub ambiguous: Option<AmbiguousGroup>,
    /// Inputs of another distribution.
    pub ood: Option<OodGroup>,
}

impl Groups {
    /// One group's predictions; `None` where it is absent.
    pub fn predictions(&self, group: Group) -> Option<&Predictions> {
        match group {
            Group::Clean => Some(&self.clean.predictions),
            Group::Ambiguous => self.ambiguous.as_ref().map(|g| &g.predictions),
            Group::Ood => self.ood.as_ref().map(|g| &g.predictions),
        }
    }

    /// The same inputs under some of the draws alone; `None` unless every group has these draws.
    pub fn draws(&self, draws: std::ops::Range<usize>) -> Option<Groups> {
        let ambiguous = match &self.ambiguous {
            None => None,
            Some(g) => Some(AmbiguousGroup {
                predictions: g.predictions.draws(draws.clone())?,
                soft_labels: g.soft_labels.clone(),
            }),
        };
        let ood = match &self.ood {
            None => None,
            Some(g) => Some(OodGroup { predictions: g.predictions.draws(draws.clone())? }),
        };
        let predictions = self.clean.predictions.draws(draws)?;
        Some(Groups { clean: LabelledGroup { predictions, labels: self.clean.labels.clone() }, ambiguous, ood })
    }

    /// Checks labels, soft labels, and that all groups come from the same settings (S and C equal).
    ///
    /// # Errors
    ///
    /// [`EvalError::LabelCount`], [`EvalError::LabelRange`], [`EvalError::GroupsDisagree`],
    /// [`EvalError::LengthsDiffer`] for soft labels of another shape, [`EvalError::NotAProbability`] and
    /// [`EvalError::RowSum`] for soft labels that are no distributions, [`EvalError::TooManyInputs`].
    pub fn check(&self) -> Result<(), EvalError> {
        let clean = &self.clean.predictions;
        check_labels(&self.clean.labels, clean.inputs(), clean.classes())?;
        let mut inputs = clean.inputs();
        for (group, other) in [
            ("ambiguous", self.ambiguous.as_ref().map(|g| &g.predictions)),
            ("ood", self.ood.as_ref().map(|g| &g.predictions)),
        ] {
            let Some(other) = other else { continue };
            inputs = inputs.saturating_add(other.inputs());
            for (dimension, found, wanted) in
                [("samples", other.samples(), clean.samples()), ("classes", other.classes(), clean.classes())]
            {
                if found != wanted {
                    return Err(EvalError::GroupsDisagree { group, dimension, found, wanted });
                }
            }
        }
        if inputs >= 1 << 31 {
            return Err(EvalError::TooManyInputs { found: inputs });
        }
        if let Some(AmbiguousGroup { predictions, soft_labels: Some(soft) }) = &self.ambiguous {
            let right = predictions.inputs() * predictions.classes();
            if soft.len() != right {
                return Err(EvalError::LengthsDiffer {
                    what: "soft labels and ambiguous inputs x classes",
                    left: soft.len(),
                    right,
                });
            }
            for (input, row) in soft.chunks_exact(predictions.classes()).enumerate() {
                check_row(&mut wide(row), 0, input)?;
            }
        }
        Ok(())
    }
}

impl AmbiguousGroup {
    /// Entropy of each input's true label distribution in nats, N values in \[0, ln C\], where soft labels are known.
    /// Meaningful after [`Groups::check`].
    pub fn soft_label_entropy(&self) -> Option<Vec<f64>> {
        let one = |probs: &[f32]| {
            let mut row = wide(probs);
            row.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0));
            normalise(&mut row, Precision::Single);
            entropy(&row)
        };
        self.soft_labels.as_ref().map(|soft| soft.chunks_exact(self.predictions.classes()).map(one).collect())
    }
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&p| p.into()).collect()
}

/// One label per input, each naming a class.
pub(crate) fn check_labels(labels: &[usize], inputs: usize, classes: usize) -> Result<(), EvalError> {
    if labels.len() != inputs {
        return Err(EvalError::LabelCount { found: labels.len(), wanted: inputs });
    }
    match labels.iter().position(|&label| label >= classes) {
        Some(input) => Err(EvalError::LabelRange { label: labels[input], input, classes }),
        None => Ok(()),
    }
}
