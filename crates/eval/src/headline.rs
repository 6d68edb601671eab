//! The headline metrics: the closed list of numbers that every evaluation reports with an interval.
//!
//! An AUROC, AUPR or FPR95 is a score ([`Score`]) that has to tell one group from stated others ([`Contrast`]): every score
//! meets every contrast, so that no two scores are ever compared on unequal negatives. Every score also has to tell the
//! wrong predictions of a labelled group from the right ones. A new score or contrast is one line
//! in its table; the metric, its name in files, its interval and its row in tables follow.
//!
//! What a model is worth after it was calibrated is measured too ([`Headline::needs_validation`]): temperature and conformal
//! sets are fitted on validation inputs, never on those that are measured.

mod about;
mod by;
mod contrast;
mod measure;
mod score;

pub use about::{About, Aim};
pub(crate) use by::present;
pub use by::{Absent, ByHeadline};
pub use contrast::Contrast;
pub use measure::{Measure, OfGroup};
pub use score::Score;

use crate::{ConformalScore, Role};
use std::sync::LazyLock;

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
    /// AUROC of a score over a contrast, in \[0, 1\].
    Auroc(Score, Contrast),
    /// Rank correlation of aleatoric and epistemic uncertainty over clean + ambiguous, in \[-1, 1\].
    SpearmanAleatoricEpistemic,
    /// Rank correlation of aleatoric uncertainty and the entropy of the true label distribution over ambiguous, in
    /// \[-1, 1\].
    SpearmanAleatoricSoftLabel,
    /// Average precision of a score over a contrast, in \[0, 1\], see [`crate::average_precision`].
    Aupr(Score, Contrast),
    /// False positive rate of a score over a contrast at a true positive rate of 95 %, in \[0, 1\], see [`crate::fpr95`].
    Fpr95(Score, Contrast),
    /// AUROC of a score for wrong predictions among right ones on clean inputs, in \[0, 1\].
    ErrorAuroc(Score),
    /// Area under the curve of risk and coverage on clean inputs, in \[0, 1\], see [`crate::Risk::aurc`].
    Aurc(Score),
    /// Area under the curve of generalized risk and coverage on clean inputs, in \[0, 1/2\], see [`crate::Risk::augrc`].
    Augrc(Score),
    /// NLL on clean inputs at the temperature of the [`crate::Calibrator`], nats, >= 0.
    NllAtTemperature,
    /// ECE on clean inputs at that temperature, in \[0, 1\].
    EceAtTemperature,
    /// Fraction of the conformal sets of clean inputs that hold the label, in \[0, 1\]; 1 - [`crate::ALPHA`] was aimed at.
    Coverage(ConformalScore),
    /// Mean number of classes of these sets, >= 0.
    SetSize(ConformalScore),
}

const BEFORE: [Headline; 4] = [Headline::Accuracy, Headline::Nll, Headline::Brier, Headline::Ece];
const AT_TEMPERATURE: [Headline; 2] = [Headline::NllAtTemperature, Headline::EceAtTemperature];
const AFTER: [Headline; 2] = [Headline::SpearmanAleatoricEpistemic, Headline::SpearmanAleatoricSoftLabel];

const SCORES: usize = Score::ALL.len();
/// Metrics of each score over each contrast.
const PAIRS: usize = SCORES * Contrast::ALL.len();
/// Where each family begins in [`Headline::ALL`].
const AUROCS: usize = BEFORE.len();
const SPEARMANS: usize = AUROCS + PAIRS;
const AUPRS: usize = SPEARMANS + AFTER.len();
const FPRS: usize = AUPRS + PAIRS;
const ERROR_AUROCS: usize = FPRS + PAIRS;
const AURCS: usize = ERROR_AUROCS + SCORES;
const AUGRCS: usize = AURCS + SCORES;
const CALIBRATED: usize = AUGRCS + SCORES;
const COVERAGES: usize = CALIBRATED + AT_TEMPERATURE.len();
const SETS: usize = ConformalScore::ALL.len();

impl Headline {
    /// How many there are.
    pub const COUNT: usize = COVERAGES + 2 * SETS;

    /// Every headline metric, in the order of the schema.
    pub const ALL: [Headline; Self::COUNT] = {
        let mut all = [Headline::Accuracy; Self::COUNT];
        let mut i = 0;
        while i < BEFORE.len() {
            all[i] = BEFORE[i];
            i += 1;
        }
        i = 0;
        while i < AFTER.len() {
            all[SPEARMANS + i] = AFTER[i];
            i += 1;
        }
        i = 0;
        while i < PAIRS {
            let (score, contrast) = (Score::ALL[i % SCORES], Contrast::ALL[i / SCORES]);
            all[AUROCS + i] = Headline::Auroc(score, contrast);
            all[AUPRS + i] = Headline::Aupr(score, contrast);
            all[FPRS + i] = Headline::Fpr95(score, contrast);
            i += 1;
        }
        i = 0;
        while i < SCORES {
            let score = Score::ALL[i];
            all[ERROR_AUROCS + i] = Headline::ErrorAuroc(score);
            all[AURCS + i] = Headline::Aurc(score);
            all[AUGRCS + i] = Headline::Augrc(score);
            i += 1;
        }
        i = 0;
        while i < Self::CALIBRATED.len() {
            all[CALIBRATED + i] = Self::CALIBRATED[i];
            i += 1;
        }
        all
    };

    /// What a calibrated model is worth: the rows of a table of their own.
    pub const CALIBRATED: [Headline; AT_TEMPERATURE.len() + 2 * SETS] = {
        let mut all = [Headline::NllAtTemperature; AT_TEMPERATURE.len() + 2 * SETS];
        all[1] = AT_TEMPERATURE[1];
        let mut i = 0;
        while i < SETS {
            let score = ConformalScore::ALL[i];
            all[AT_TEMPERATURE.len() + i] = Headline::Coverage(score);
            all[AT_TEMPERATURE.len() + SETS + i] = Headline::SetSize(score);
            i += 1;
        }
        all
    };

    /// Whether it is of [`Headline::CALIBRATED`], and exists only where validation inputs were given.
    pub fn needs_validation(self) -> bool {
        self.index() >= CALIBRATED
    }

    /// The rows of tables for people. The others are in `metrics.json`, `--json` and the report.
    pub const FRONT: [Headline; 13] = [
        Headline::Accuracy,
        Headline::Nll,
        Headline::Brier,
        Headline::Ece,
        Headline::Auroc(Score::Epistemic, Contrast::OodVsClean),
        Headline::Auroc(Score::Aleatoric, Contrast::OodVsClean),
        Headline::Auroc(Score::Epistemic, Contrast::OodVsCleanAmbiguous),
        Headline::Auroc(Score::Aleatoric, Contrast::OodVsCleanAmbiguous),
        Headline::Auroc(Score::Share, Contrast::OodVsCleanAmbiguous),
        Headline::Auroc(Score::Aleatoric, Contrast::AmbiguousVsClean),
        Headline::Auroc(Score::Epistemic, Contrast::AmbiguousVsClean),
        Headline::Auroc(Score::Share, Contrast::AmbiguousVsClean),
        Headline::SpearmanAleatoricEpistemic,
    ];

    /// Does aleatoric uncertainty find ambiguous images?
    pub const AMBIGUOUS: Headline = Headline::Auroc(Score::Aleatoric, Contrast::AmbiguousVsClean);

    /// Does a score find OOD images? Among all of the training distribution where `defined` says that this is
    /// known, else (the data has no ambiguous images) among the clean ones. The metric's own name says which.
    pub fn ood(score: Score, defined: impl Fn(Headline) -> bool) -> Headline {
        let all = Headline::Auroc(score, Contrast::OodVsCleanAmbiguous);
        if defined(all) { all } else { Headline::Auroc(score, Contrast::OodVsClean) }
    }

    /// Of a metric that asks whether a score finds a group: that group, and the others.
    pub fn contrast(self) -> Option<Contrast> {
        match self {
            Headline::Auroc(_, contrast) | Headline::Aupr(_, contrast) | Headline::Fpr95(_, contrast) => Some(contrast),
            _ => None,
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        let pair = |score: Score, contrast: Contrast| contrast as usize * SCORES + score as usize;
        match self {
            Headline::Accuracy => 0,
            Headline::Nll => 1,
            Headline::Brier => 2,
            Headline::Ece => 3,
            Headline::Auroc(score, contrast) => AUROCS + pair(score, contrast),
            Headline::SpearmanAleatoricEpistemic => SPEARMANS,
            Headline::SpearmanAleatoricSoftLabel => SPEARMANS + 1,
            Headline::Aupr(score, contrast) => AUPRS + pair(score, contrast),
            Headline::Fpr95(score, contrast) => FPRS + pair(score, contrast),
            Headline::ErrorAuroc(score) => ERROR_AUROCS + score as usize,
            Headline::Aurc(score) => AURCS + score as usize,
            Headline::Augrc(score) => AUGRCS + score as usize,
            Headline::NllAtTemperature => CALIBRATED,
            Headline::EceAtTemperature => CALIBRATED + 1,
            Headline::Coverage(score) => COVERAGES + score as usize,
            Headline::SetSize(score) => COVERAGES + SETS + score as usize,
        }
    }

    /// The least and the greatest value that it may have.
    pub fn range(self) -> (f64, f64) {
        match self {
            Headline::Nll | Headline::NllAtTemperature | Headline::SetSize(_) => (0.0, f64::INFINITY),
            Headline::Brier => (0.0, 2.0),
            Headline::SpearmanAleatoricEpistemic | Headline::SpearmanAleatoricSoftLabel => (-1.0, 1.0),
            Headline::Augrc(_) => (0.0, 0.5),
            _ => (0.0, 1.0),
        }
    }

    /// Whether it is measured on a group of this role that stands in the place of the first of its role.
    pub fn is_of(self, role: Role) -> bool {
        match self {
            Headline::Accuracy | Headline::Nll | Headline::Brier | Headline::Ece => role.is_labelled(),
            Headline::ErrorAuroc(_) | Headline::Aurc(_) | Headline::Augrc(_) => role.is_labelled(),
            Headline::NllAtTemperature | Headline::EceAtTemperature => role.is_labelled(),
            Headline::Coverage(_) | Headline::SetSize(_) => role.is_labelled(),
            Headline::Auroc(_, contrast) | Headline::Aupr(_, contrast) | Headline::Fpr95(_, contrast) => {
                contrast.positives() == role
            }
            Headline::SpearmanAleatoricSoftLabel => role == Role::Ambiguous,
            Headline::SpearmanAleatoricEpistemic => false,
        }
    }

    /// What it is called and asks.
    pub fn about(self) -> &'static About {
        static ALL: LazyLock<Vec<About>> = LazyLock::new(|| Headline::ALL.iter().map(|h| h.describe()).collect());
        &ALL[self.index()]
    }

    /// The field's name in `metrics.json`.
    pub fn name(self) -> &'static str {
        &self.about().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_the_order_of_their_enums() {
        for (i, h) in Headline::ALL.into_iter().enumerate() {
            assert_eq!(h.index(), i, "{h:?}");
        }
        assert!(Score::ALL.iter().enumerate().all(|(i, s)| *s as usize == i));
        assert!(Contrast::ALL.iter().enumerate().all(|(i, c)| *c as usize == i));
        assert!(ConformalScore::ALL.iter().enumerate().all(|(i, s)| *s as usize == i));
        assert!(Headline::ALL.into_iter().filter(|h| h.needs_validation()).eq(Headline::CALIBRATED));
    }

    #[test]
    fn every_name_says_the_negatives() {
        for contrast in Contrast::ALL {
            for score in Score::ALL {
                for of in [Headline::Auroc, Headline::Aupr, Headline::Fpr95] {
                    let about = of(score, contrast).about();
                    assert!(about.name.contains("_vs_clean") && about.title.contains(" vs clean"), "{about:?}");
                    assert!(about.heading.ends_with(contrast.title()), "{about:?}");
                }
            }
        }
        let names: std::collections::BTreeSet<_> = Headline::ALL.iter().map(|h| h.name()).collect();
        assert_eq!(names.len(), Headline::COUNT);
    }
}
