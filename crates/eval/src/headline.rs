//! The headline metrics by name: the closed list of numbers that every evaluation reports with an interval.

use serde::{Deserialize, Serialize};

/// One headline metric. Its [`name`](Headline::name) is its field in `metrics.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Headline {
    /// Fraction of clean inputs whose most probable class is the label, in \[0, 1\].
    Accuracy,
    /// Mean negative log likelihood of the mean prediction on clean inputs, nats, >= 0.
    Nll,
    /// Brier score on clean inputs, sum over classes, in \[0, 2\].
    Brier,
    /// Expected calibration error on clean inputs, 15 bins, in \[0, 1\].
    Ece,
    /// AUROC of epistemic uncertainty, ood (positive) against clean + ambiguous.
    AurocEpistemicOod,
    /// AUROC of aleatoric uncertainty, ambiguous (positive) against clean.
    AurocAleatoricAmbiguous,
    /// Cross term: AUROC of epistemic uncertainty, ambiguous (positive) against clean; 0.5 is disentangled.
    AurocEpistemicAmbiguous,
    /// Cross term: AUROC of aleatoric uncertainty, ood (positive) against clean; 0.5 is disentangled.
    AurocAleatoricOod,
    /// AUROC of the epistemic *share*, epistemic over total, ood (positive) against clean + ambiguous: how well the
    /// share alone tells that an input is foreign.
    AurocShareOod,
    /// AUROC of the epistemic share, ambiguous (positive) against clean; 0.5 is disentangled.
    AurocShareAmbiguous,
    /// Rank correlation of aleatoric and epistemic uncertainty over clean + ambiguous, in \[-1, 1\].
    SpearmanAleatoricEpistemic,
    /// Rank correlation of aleatoric uncertainty and the entropy of the true label distribution over ambiguous, in
    /// \[-1, 1\].
    SpearmanAleatoricSoftLabel,
}

/// One value per headline metric; as JSON an object with a field for each name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ByHeadline<T> {
    /// See [`Headline::Accuracy`].
    pub accuracy: T,
    /// See [`Headline::Nll`].
    pub nll: T,
    /// See [`Headline::Brier`].
    pub brier: T,
    /// See [`Headline::Ece`].
    pub ece: T,
    /// See [`Headline::AurocEpistemicOod`].
    pub auroc_epistemic_ood: T,
    /// See [`Headline::AurocAleatoricAmbiguous`].
    pub auroc_aleatoric_ambiguous: T,
    /// See [`Headline::AurocEpistemicAmbiguous`].
    pub auroc_epistemic_ambiguous: T,
    /// See [`Headline::AurocAleatoricOod`].
    pub auroc_aleatoric_ood: T,
    /// See [`Headline::AurocShareOod`].
    pub auroc_share_ood: T,
    /// See [`Headline::AurocShareAmbiguous`].
    pub auroc_share_ambiguous: T,
    /// See [`Headline::SpearmanAleatoricEpistemic`].
    pub spearman_aleatoric_epistemic: T,
    /// See [`Headline::SpearmanAleatoricSoftLabel`].
    pub spearman_aleatoric_soft_label: T,
}

impl Headline {
    /// Every headline metric, in the order of the schema.
    pub const ALL: [Headline; 12] = [
        Headline::Accuracy,
        Headline::Nll,
        Headline::Brier,
        Headline::Ece,
        Headline::AurocEpistemicOod,
        Headline::AurocAleatoricAmbiguous,
        Headline::AurocEpistemicAmbiguous,
        Headline::AurocAleatoricOod,
        Headline::AurocShareOod,
        Headline::AurocShareAmbiguous,
        Headline::SpearmanAleatoricEpistemic,
        Headline::SpearmanAleatoricSoftLabel,
    ];

    /// The field's name in `metrics.json`.
    pub fn name(self) -> &'static str {
        match self {
            Headline::Accuracy => "accuracy",
            Headline::Nll => "nll",
            Headline::Brier => "brier",
            Headline::Ece => "ece",
            Headline::AurocEpistemicOod => "auroc_epistemic_ood",
            Headline::AurocAleatoricAmbiguous => "auroc_aleatoric_ambiguous",
            Headline::AurocEpistemicAmbiguous => "auroc_epistemic_ambiguous",
            Headline::AurocAleatoricOod => "auroc_aleatoric_ood",
            Headline::AurocShareOod => "auroc_share_ood",
            Headline::AurocShareAmbiguous => "auroc_share_ambiguous",
            Headline::SpearmanAleatoricEpistemic => "spearman_aleatoric_epistemic",
            Headline::SpearmanAleatoricSoftLabel => "spearman_aleatoric_soft_label",
        }
    }
}

impl<T> ByHeadline<T> {
    /// Builds every value from its metric.
    pub fn from_fn(mut make: impl FnMut(Headline) -> T) -> Self {
        Self {
            accuracy: make(Headline::Accuracy),
            nll: make(Headline::Nll),
            brier: make(Headline::Brier),
            ece: make(Headline::Ece),
            auroc_epistemic_ood: make(Headline::AurocEpistemicOod),
            auroc_aleatoric_ambiguous: make(Headline::AurocAleatoricAmbiguous),
            auroc_epistemic_ambiguous: make(Headline::AurocEpistemicAmbiguous),
            auroc_aleatoric_ood: make(Headline::AurocAleatoricOod),
            auroc_share_ood: make(Headline::AurocShareOod),
            auroc_share_ambiguous: make(Headline::AurocShareAmbiguous),
            spearman_aleatoric_epistemic: make(Headline::SpearmanAleatoricEpistemic),
            spearman_aleatoric_soft_label: make(Headline::SpearmanAleatoricSoftLabel),
        }
    }

    /// The value of one metric.
    pub fn get(&self, headline: Headline) -> &T {
        match headline {
            Headline::Accuracy => &self.accuracy,
            Headline::Nll => &self.nll,
            Headline::Brier => &self.brier,
            Headline::Ece => &self.ece,
            Headline::AurocEpistemicOod => &self.auroc_epistemic_ood,
            Headline::AurocAleatoricAmbiguous => &self.auroc_aleatoric_ambiguous,
            Headline::AurocEpistemicAmbiguous => &self.auroc_epistemic_ambiguous,
            Headline::AurocAleatoricOod => &self.auroc_aleatoric_ood,
            Headline::AurocShareOod => &self.auroc_share_ood,
            Headline::AurocShareAmbiguous => &self.auroc_share_ambiguous,
            Headline::SpearmanAleatoricEpistemic => &self.spearman_aleatoric_epistemic,
            Headline::SpearmanAleatoricSoftLabel => &self.spearman_aleatoric_soft_label,
        }
    }

    /// The value of one metric, to be changed.
    pub fn get_mut(&mut self, headline: Headline) -> &mut T {
        match headline {
            Headline::Accuracy => &mut self.accuracy,
            Headline::Nll => &mut self.nll,
            Headline::Brier => &mut self.brier,
            Headline::Ece => &mut self.ece,
            Headline::AurocEpistemicOod => &mut self.auroc_epistemic_ood,
            Headline::AurocAleatoricAmbiguous => &mut self.auroc_aleatoric_ambiguous,
            Headline::AurocEpistemicAmbiguous => &mut self.auroc_epistemic_ambiguous,
            Headline::AurocAleatoricOod => &mut self.auroc_aleatoric_ood,
            Headline::AurocShareOod => &mut self.auroc_share_ood,
            Headline::AurocShareAmbiguous => &mut self.auroc_share_ambiguous,
            Headline::SpearmanAleatoricEpistemic => &mut self.spearman_aleatoric_epistemic,
            Headline::SpearmanAleatoricSoftLabel => &mut self.spearman_aleatoric_soft_label,
        }
    }
}
