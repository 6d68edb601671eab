//! The scores: numbers per input that say how doubtful it is.

use crate::Uncertainty;

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
    /// Mean energy of the draws, see [`Uncertainty::energy`]. Needs logits, as the next one does.
    Energy,
    /// How far the draws' logits lie apart, see [`Uncertainty::logit_disagreement`].
    LogitDisagreement,
}

/// What one score is called.
struct ScoreWords {
    score: Score,
    /// In files.
    name: &'static str,
    /// For people.
    title: &'static str,
}

const SCORES: [ScoreWords; 7] = [
    ScoreWords { score: Score::Total, name: "total", title: "total" },
    ScoreWords { score: Score::Aleatoric, name: "aleatoric", title: "aleatoric" },
    ScoreWords { score: Score::Epistemic, name: "epistemic", title: "epistemic" },
    ScoreWords { score: Score::Share, name: "share", title: "epistemic share" },
    ScoreWords { score: Score::MaxProbability, name: "max_probability", title: "max probability" },
    ScoreWords { score: Score::Energy, name: "energy", title: "energy" },
    ScoreWords { score: Score::LogitDisagreement, name: "logit_disagreement", title: "logit disagreement" },
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

    /// Its name in files: `total`, `aleatoric`, `epistemic`, `share`, `max_probability`, `energy`, `logit_disagreement`.
    pub fn name(self) -> &'static str {
        self.words().name
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        self.words().title
    }

    /// Whether it is of the logits, which probabilities alone do not tell.
    pub fn needs_energies(self) -> bool {
        matches!(self, Score::Energy | Score::LogitDisagreement)
    }

    /// Its value for every input of a group; `None` for one that needs several draws and has a single one, or energies and has
    /// none.
    #[must_use]
    pub fn of(self, uncertainty: &Uncertainty) -> Option<Vec<f64>> {
        match self {
            Score::Total => Some(uncertainty.total.clone()),
            Score::Aleatoric => Some(uncertainty.aleatoric.clone()),
            Score::Epistemic => uncertainty.epistemic.clone(),
            Score::Share => uncertainty.epistemic_share(),
            Score::MaxProbability => Some(uncertainty.rest.clone()),
            Score::Energy => uncertainty.energy.clone(),
            Score::LogitDisagreement => uncertainty.logit_disagreement.clone(),
        }
    }
}
