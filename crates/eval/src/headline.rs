//! The headline metrics: the closed list of numbers that every evaluation reports with an interval.
//!
//! An AUROC is a score ([`Score`]) that has to tell one group from stated others ([`Contrast`]): every score meets
//! every contrast, so that no two scores are ever compared on unequal negatives. A new score or contrast is one line
//! in its table; the metric, its name in files, its interval and its row in tables follow.

mod by;
mod measure;

pub(crate) use by::present;
pub use by::{Absent, ByHeadline};
pub use measure::{Measure, OfGroup};

use crate::{Role, Uncertainty};
use std::sync::LazyLock;

/// A number per input that should be higher where something is wrong with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Score {
    /// H\[mean_s p_s\].
    Total,
    /// mean_s H\[p_s\].
    Aleatoric,
    /// Their difference.
    Epistemic,
    /// epistemic / total, see [`Uncertainty::epistemic_share`].
    Share,
    /// One less the greatest mean probability: the usual baseline, which needs no draws.
    MaxProbability,
}

/// What one score is called.
struct ScoreWords {
    score: Score,
    /// In files.
    name: &'static str,
    /// For people.
    title: &'static str,
}

const SCORES: [ScoreWords; 5] = [
    ScoreWords { score: Score::Total, name: "total", title: "total" },
    ScoreWords { score: Score::Aleatoric, name: "aleatoric", title: "aleatoric" },
    ScoreWords { score: Score::Epistemic, name: "epistemic", title: "epistemic" },
    ScoreWords { score: Score::Share, name: "share", title: "epistemic share" },
    ScoreWords { score: Score::MaxProbability, name: "max_probability", title: "max probability" },
];

impl Score {
    /// Every score, in the order of the schema.
    pub const ALL: [Score; SCORES.len()] = {
        let mut all = [Score::Total; SCORES.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = SCORES[i].score;
            i += 1;
        }
        all
    };

    fn words(self) -> &'static ScoreWords {
        &SCORES[self as usize]
    }

    /// Its name in files: `total`, `aleatoric`, `epistemic`, `share`, `max_probability`.
    pub fn name(self) -> &'static str {
        self.words().name
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        self.words().title
    }

    /// Its value for every input of a group; `None` for one that needs several draws and has a single one.
    #[must_use]
    pub fn of(self, uncertainty: &Uncertainty) -> Option<Vec<f64>> {
        match self {
            Score::Total => Some(uncertainty.total.clone()),
            Score::Aleatoric => Some(uncertainty.aleatoric.clone()),
            Score::Epistemic => uncertainty.epistemic.clone(),
            Score::Share => uncertainty.epistemic_share(),
            Score::MaxProbability => Some(uncertainty.rest.clone()),
        }
    }
}

/// Which group is to be found (the positives), and among which others (the negatives). An AUROC is `None` where one of
/// these groups is absent: it is never taken against fewer negatives than its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contrast {
    /// ood among clean.
    OodVsClean,
    /// ood among clean and ambiguous: all that is of the training distribution.
    OodVsCleanAmbiguous,
    /// ambiguous among clean.
    AmbiguousVsClean,
}

/// What one contrast is called, and its groups.
struct ContrastWords {
    contrast: Contrast,
    name: &'static str,
    title: &'static str,
    positives: Role,
    negatives: &'static [Role],
}

const CONTRASTS: [ContrastWords; 3] = [
    ContrastWords {
        contrast: Contrast::OodVsClean,
        name: "ood_vs_clean",
        title: "ood vs clean",
        positives: Role::Ood,
        negatives: &[Role::Clean],
    },
    ContrastWords {
        contrast: Contrast::OodVsCleanAmbiguous,
        name: "ood_vs_clean_ambiguous",
        title: "ood vs clean + ambiguous",
        positives: Role::Ood,
        negatives: &[Role::Clean, Role::Ambiguous],
    },
    ContrastWords {
        contrast: Contrast::AmbiguousVsClean,
        name: "ambiguous_vs_clean",
        title: "ambiguous vs clean",
        positives: Role::Ambiguous,
        negatives: &[Role::Clean],
    },
];

impl Contrast {
    /// Every contrast, in the order of the schema.
    pub const ALL: [Contrast; CONTRASTS.len()] = {
        let mut all = [Contrast::OodVsClean; CONTRASTS.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = CONTRASTS[i].contrast;
            i += 1;
        }
        all
    };

    fn words(self) -> &'static ContrastWords {
        &CONTRASTS[self as usize]
    }

    /// Its name in files: `ood_vs_clean`, `ood_vs_clean_ambiguous`, `ambiguous_vs_clean`.
    pub fn name(self) -> &'static str {
        self.words().name
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        self.words().title
    }

    /// The group to be found.
    pub fn positives(self) -> Role {
        self.words().positives
    }

    /// The groups among which it is to be found.
    pub fn negatives(self) -> &'static [Role] {
        self.words().negatives
    }
}

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
}

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// More.
    More,
    /// Less.
    Less,
    /// Near this value: farther from it is more entangled.
    Near(f64),
}

/// What a metric is called, and what it asks.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Its field in `metrics.json`.
    pub name: String,
    /// Its name for people, negatives included.
    pub title: String,
    /// Its heading in a table of text, lines parted by `\n`.
    pub heading: String,
    /// `%`, `nats` or nothing.
    pub unit: &'static str,
    /// What it asks: one line.
    pub asks: String,
    /// What is better.
    pub aim: Aim,
}

const BEFORE: [Headline; 4] = [Headline::Accuracy, Headline::Nll, Headline::Brier, Headline::Ece];
const AFTER: [Headline; 2] = [Headline::SpearmanAleatoricEpistemic, Headline::SpearmanAleatoricSoftLabel];

impl Headline {
    /// How many there are.
    pub const COUNT: usize = BEFORE.len() + Score::ALL.len() * Contrast::ALL.len() + AFTER.len();

    /// Every headline metric, in the order of the schema.
    pub const ALL: [Headline; Self::COUNT] = {
        let mut all = [Headline::Accuracy; Self::COUNT];
        let mut i = 0;
        while i < Self::COUNT {
            let auroc = i.wrapping_sub(BEFORE.len());
            let aurocs = Score::ALL.len() * Contrast::ALL.len();
            all[i] = if i < BEFORE.len() {
                BEFORE[i]
            } else if auroc < aurocs {
                Headline::Auroc(Score::ALL[auroc % Score::ALL.len()], Contrast::ALL[auroc / Score::ALL.len()])
            } else {
                AFTER[auroc - aurocs]
            };
            i += 1;
        }
        all
    };

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

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        let aurocs = BEFORE.len() + Score::ALL.len() * Contrast::ALL.len();
        match self {
            Headline::Accuracy => 0,
            Headline::Nll => 1,
            Headline::Brier => 2,
            Headline::Ece => 3,
            Headline::Auroc(score, contrast) => BEFORE.len() + contrast as usize * Score::ALL.len() + score as usize,
            Headline::SpearmanAleatoricEpistemic => aurocs,
            Headline::SpearmanAleatoricSoftLabel => aurocs + 1,
        }
    }

    /// Whether it is measured on a group of this role that stands in the place of the first of its role.
    pub fn is_of(self, role: Role) -> bool {
        match self {
            Headline::Accuracy | Headline::Nll | Headline::Brier | Headline::Ece => role.is_labelled(),
            Headline::Auroc(_, contrast) => contrast.positives() == role,
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

    fn describe(self) -> About {
        let plain = |name: &str, title: &str, heading: &str, unit, asks: &str, aim| About {
            name: name.into(),
            title: title.into(),
            heading: heading.into(),
            unit,
            asks: asks.into(),
            aim,
        };
        match self {
            Headline::Accuracy => {
                plain("accuracy", "accuracy", "accuracy\n%", "%", "share of clean images decided rightly", Aim::More)
            }
            Headline::Nll => plain(
                "nll",
                "NLL",
                "NLL\nnats",
                "nats",
                "surprise at the true label of clean images; less is better",
                Aim::Less,
            ),
            Headline::Brier => plain(
                "brier",
                "Brier score",
                "Brier",
                "",
                "squared error of the probabilities, 0 to 2; less is better",
                Aim::Less,
            ),
            Headline::Ece => {
                plain("ece", "ECE", "ECE", "", "gap between confidence and accuracy; less is better", Aim::Less)
            }
            Headline::Auroc(score, contrast) => auroc(score, contrast),
            Headline::SpearmanAleatoricEpistemic => plain(
                "spearman_aleatoric_epistemic",
                "Spearman aleatoric, epistemic",
                "Spearman\naleatoric\nepistemic",
                "",
                "how far both rank images alike; 0 is disentangled",
                Aim::Near(0.0),
            ),
            Headline::SpearmanAleatoricSoftLabel => plain(
                "spearman_aleatoric_soft_label",
                "Spearman aleatoric, soft label",
                "Spearman\naleatoric\nsoft label",
                "",
                "does it follow the true ambiguity? 1 is best",
                Aim::More,
            ),
        }
    }
}

/// Whether a score is not meant for a group: it should then leave it alone.
fn is_cross(score: Score, contrast: Contrast) -> bool {
    match contrast.positives() {
        Role::Ood => score == Score::Aleatoric,
        Role::Ambiguous => matches!(score, Score::Epistemic | Score::Share),
        Role::Clean | Role::Shifted => false,
    }
}

fn auroc(score: Score, contrast: Contrast) -> About {
    let cross = is_cross(score, contrast);
    let mark = if cross { "cross: " } else { "" };
    let what = if contrast.positives() == Role::Ood { "OOD" } else { "ambiguous" };
    let others = match contrast.negatives() {
        [Role::Clean] => "clean ones",
        _ => "clean and ambiguous ones",
    };
    About {
        name: format!("auroc_{}_{}", score.name(), contrast.name()),
        title: format!("{mark}AUROC {}, {}", score.title(), contrast.title()),
        heading: format!("{mark}AUROC\n{}\n{}", score.title(), contrast.title()),
        unit: "",
        asks: if cross {
            format!("the wrong score for {what} images among {others}; 0.5 is disentangled")
        } else {
            format!("does it find {what} images among {others}?")
        },
        aim: if cross { Aim::Near(0.5) } else { Aim::More },
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
    }

    #[test]
    fn every_name_says_the_negatives() {
        for contrast in Contrast::ALL {
            for score in Score::ALL {
                let about = Headline::Auroc(score, contrast).about();
                assert!(about.name.contains("_vs_clean") && about.title.contains(" vs clean"), "{about:?}");
                assert!(about.heading.ends_with(contrast.title()), "{about:?}");
            }
        }
        let names: std::collections::BTreeSet<_> = Headline::ALL.iter().map(|h| h.name()).collect();
        assert_eq!(names.len(), Headline::COUNT);
    }
}
