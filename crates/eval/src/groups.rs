//! The groups of every evaluation: predictions on inputs whose kind is known, each group with a name and a role.
//!
//! Uncertainty can only be judged against inputs whose kind is known: clean inputs deserve little of either kind,
//! ambiguous ones (several labels are right) aleatoric, OOD ones epistemic. There may be several groups of a role, such as
//! near and far OOD. The first of a role is the one that the headline metrics are about; each further one has the same
//! metrics with itself in the place of the first.

use crate::predictions::check_row;
use crate::uncertainty::normalise;
use crate::{EvalError, Precision, Predictions, entropy};
use serde::{Deserialize, Serialize};

/// What the inputs of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Of the training distribution, one right label each.
    Clean,
    /// Of the training distribution, several right labels each.
    Ambiguous,
    /// Of another distribution: no label is right.
    Ood,
    /// Of the training distribution but for a change, one right label each.
    Shifted,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 4] = [Role::Clean, Role::Ambiguous, Role::Ood, Role::Shifted];

    /// The roles whose first groups the headline metrics are about, in the order in which inputs are pooled.
    pub const HEADLINE: [Role; 3] = [Role::Clean, Role::Ambiguous, Role::Ood];

    /// `clean`, `ambiguous`, `ood` or `shifted`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Clean => "clean",
            Role::Ambiguous => "ambiguous",
            Role::Ood => "ood",
            Role::Shifted => "shifted",
        }
    }

    /// Whether each input has one right label, so that accuracy and calibration are measured.
    pub fn is_labelled(self) -> bool {
        matches!(self, Role::Clean | Role::Shifted)
    }
}

/// What the mean over all groups made by a shift is called, beside those of each kind (`rotation@mean`). No group has such a
/// name.
pub const SHIFTS_MEAN: &str = "shifts@mean";

/// What ends the name of a mean over groups.
pub(crate) const MEAN: &str = "@mean";

/// Whether tables show a further group where nobody asks for it by name: not the many that a program names after their
/// shift, nor the means over each kind. Their mean over all stands for them.
pub fn is_shown(name: &str, shift: Option<&Shift>) -> bool {
    name == SHIFTS_MEAN || !(name.ends_with(MEAN) || shift.is_some_and(|shift| shift.group() == name))
}

/// One model's predictions on one group.
#[derive(Debug, Clone, PartialEq)]
pub struct TestGroup {
    /// Its name, which no other group has.
    pub name: String,
    /// What its inputs have in common.
    pub role: Role,
    /// The model's probabilities, `[S][N][C]`.
    pub predictions: Predictions,
    /// The right class of each input, N values in `0..C`: of clean and shifted groups; of others it is not looked at.
    pub labels: Vec<usize>,
    /// Where known, the true label distribution of each input of an ambiguous group, `[N][C]` row-major, each row summing to
    /// 1 within 1e-3.
    pub soft_labels: Option<Vec<f32>>,
    /// Of a shifted group that a program made of the clean one: by which change.
    pub shift: Option<Shift>,
}

/// The change by which a shifted group was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shift {
    /// What was changed, such as `rotation`.
    pub kind: String,
    /// By how much: a higher severity is a greater change.
    pub severity: u8,
}

impl Shift {
    /// The name of the group that a program makes by it where nobody names one: `rotation-3`.
    pub fn group(&self) -> String {
        format!("{}-{}", self.kind, self.severity)
    }
}

impl TestGroup {
    /// Inputs of the training distribution with one right label each; the group is called `clean`.
    pub fn clean(predictions: Predictions, labels: Vec<usize>) -> Self {
        Self { name: Role::Clean.name().into(), role: Role::Clean, predictions, labels, soft_labels: None, shift: None }
    }

    /// Inputs of the training distribution with several right labels each; the group is called `ambiguous`.
    pub fn ambiguous(predictions: Predictions, soft_labels: Option<Vec<f32>>) -> Self {
        Self {
            name: Role::Ambiguous.name().into(),
            role: Role::Ambiguous,
            predictions,
            labels: Vec::new(),
            soft_labels,
            shift: None,
        }
    }

    /// Inputs of another distribution; the group is called `ood`.
    pub fn ood(predictions: Predictions) -> Self {
        Self { name: Role::Ood.name().into(), role: Role::Ood, ..Self::ambiguous(predictions, None) }
    }

    /// Changed inputs with one right label each; the group is called `shifted`.
    pub fn shifted(predictions: Predictions, labels: Vec<usize>) -> Self {
        Self { name: Role::Shifted.name().into(), role: Role::Shifted, ..Self::clean(predictions, labels) }
    }

    /// The same group under another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

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

/// One model's predictions on all groups, one of them clean. Roles without a group leave their metrics `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups(pub Vec<TestGroup>);

impl Groups {
    /// The groups.
    pub fn iter(&self) -> std::slice::Iter<'_, TestGroup> {
        self.0.iter()
    }

    /// The first group of a role.
    pub fn first(&self, role: Role) -> Option<&TestGroup> {
        self.iter().find(|g| g.role == role)
    }

    /// The group of a name.
    pub fn named(&self, name: &str) -> Option<&TestGroup> {
        self.iter().find(|g| g.name == name)
    }

    /// S, the number of draws.
    pub fn samples(&self) -> usize {
        self.0.first().map_or(0, |g| g.predictions.samples())
    }

    /// C, the number of classes.
    pub fn classes(&self) -> usize {
        self.0.first().map_or(0, |g| g.predictions.classes())
    }

    /// The same inputs under some of the draws alone; `None` unless every group has these draws.
    pub fn draws(&self, draws: std::ops::Range<usize>) -> Option<Groups> {
        let one = |g: &TestGroup| {
            let predictions = g.predictions.draws(draws.clone())?;
            let (labels, soft_labels) = (g.labels.clone(), g.soft_labels.clone());
            let (name, shift) = (g.name.clone(), g.shift.clone());
            Some(TestGroup { name, role: g.role, predictions, labels, soft_labels, shift })
        };
        self.iter().map(one).collect::<Option<_>>().map(Groups)
    }

    /// Checks names, labels, soft labels, and that all groups come from the same settings (S and C equal).
    ///
    /// # Errors
    ///
    /// [`EvalError::NoClean`], [`EvalError::GroupTwice`], [`EvalError::LabelCount`], [`EvalError::LabelRange`],
    /// [`EvalError::GroupsDisagree`], [`EvalError::LengthsDiffer`] for soft labels of another shape,
    /// [`EvalError::NotAProbability`] and [`EvalError::RowSum`] for soft labels that are no distributions,
    /// [`EvalError::TooManyInputs`].
    pub fn check(&self) -> Result<(), EvalError> {
        let Some(clean) = self.first(Role::Clean) else { return Err(EvalError::NoClean) };
        let mut inputs = 0usize;
        for (i, group) in self.iter().enumerate() {
            let (found, wanted) = (&group.predictions, &clean.predictions);
            if self.0[..i].iter().any(|g| g.name == group.name) {
                return Err(EvalError::GroupTwice { name: group.name.clone() });
            }
            if group.role.is_labelled() {
                check_labels(&group.labels, found.inputs(), found.classes())?;
            }
            inputs = inputs.saturating_add(found.inputs());
            for (dimension, found, wanted) in
                [("samples", found.samples(), wanted.samples()), ("classes", found.classes(), wanted.classes())]
            {
                if found != wanted {
                    return Err(EvalError::GroupsDisagree { group: group.name.clone(), dimension, found, wanted });
                }
            }
        }
        if inputs >= 1 << 31 {
            return Err(EvalError::TooManyInputs { found: inputs });
        }
        for TestGroup { predictions, soft_labels, .. } in self.iter() {
            let Some(soft) = soft_labels else { continue };
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
