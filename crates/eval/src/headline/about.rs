//! What a headline metric is called, what it asks, and what is better.

use super::{Contrast, Headline, Score};
use crate::{ALPHA, ConformalScore, Role};

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// More.
    More,
    /// Less.
    Less,
    /// Near this value: farther from it is more entangled.
    Near(f64),
    /// Neither is better by itself.
    Open,
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

impl Headline {
    /// What it is called and asks, made anew.
    pub(super) fn describe(self) -> About {
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
            Headline::Auroc(score, contrast) | Headline::Aupr(score, contrast) | Headline::Fpr95(score, contrast) => {
                detection(self, score, contrast)
            }
            Headline::ErrorAuroc(score) => of_errors("error AUROC", "error_auroc", score, Aim::More),
            Headline::Aurc(score) => of_errors("AURC", "aurc", score, Aim::Less),
            Headline::Augrc(score) => of_errors("AUGRC", "augrc", score, Aim::Less),
            Headline::NllAtTemperature => plain(
                "nll_at_temperature",
                "NLL at temperature",
                "NLL at T\nnats",
                "nats",
                "the same after temperature scaling on validation images; less is better",
                Aim::Less,
            ),
            Headline::EceAtTemperature => plain(
                "ece_at_temperature",
                "ECE at temperature",
                "ECE\nat T",
                "",
                "the same after temperature scaling on validation images; less is better",
                Aim::Less,
            ),
            Headline::Coverage(score) => of_sets("coverage", "coverage", score, "%", Aim::Near(1.0 - ALPHA)),
            Headline::SetSize(score) => of_sets("set size", "set_size", score, "", Aim::Open),
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
        Role::Ambiguous => matches!(score, Score::Epistemic | Score::Share | Score::LogitDisagreement),
        Role::Clean | Role::Shifted => false,
    }
}

/// A metric of how well a score finds a group.
fn detection(headline: Headline, score: Score, contrast: Contrast) -> About {
    let cross = is_cross(score, contrast);
    let mark = if cross { "cross: " } else { "" };
    let what = if contrast.positives() == Role::Ood { "OOD" } else { "ambiguous" };
    let others = match contrast.negatives() {
        [Role::Clean] => "clean ones",
        _ => "clean and ambiguous ones",
    };
    let wrong = format!("the wrong score for {what} images among {others}");
    let (name, title, asks, aim) = match (headline, cross) {
        (Headline::Aupr(..), false) => {
            ("aupr", "AUPR", format!("how many of those it picks are {what}, among {others}?"), Aim::More)
        }
        // What chance gives depends on how many there are of each.
        (Headline::Aupr(..), true) => ("aupr", "AUPR", format!("{wrong}; their share is disentangled"), Aim::Open),
        (Headline::Fpr95(..), false) => (
            "fpr95",
            "FPR95",
            format!("share of {others} it picks too where it picks 95 % of {what} images"),
            Aim::Less,
        ),
        (Headline::Fpr95(..), true) => ("fpr95", "FPR95", format!("{wrong}; 0.95 is disentangled"), Aim::Near(0.95)),
        (_, false) => ("auroc", "AUROC", format!("does it find {what} images among {others}?"), Aim::More),
        (_, true) => ("auroc", "AUROC", format!("{wrong}; 0.5 is disentangled"), Aim::Near(0.5)),
    };
    About {
        name: format!("{name}_{}_{}", score.name(), contrast.name()),
        title: format!("{mark}{title} {}, {}", score.title(), contrast.title()),
        heading: format!("{mark}{title}\n{}\n{}", score.title(), contrast.title()),
        unit: "",
        asks,
        aim,
    }
}

/// A metric of conformal sets, fitted on validation images.
fn of_sets(title: &str, name: &str, score: ConformalScore, unit: &'static str, aim: Aim) -> About {
    let short = match score {
        ConformalScore::Lac => "LAC",
        ConformalScore::Aps => "APS",
        ConformalScore::ApsRandomised => "randomised APS",
    };
    let asks = match aim {
        Aim::Open => "mean number of classes of a conformal set; 0 where a model is surer than it has to be".to_owned(),
        _ => format!("share of conformal sets that hold the right class; {:.2} was aimed at", 1.0 - ALPHA),
    };
    About {
        name: format!("{name}_{}", score.name().replace('-', "_")),
        title: format!("{title} {short}"),
        heading: format!("{title}\n{short}{}{unit}", if unit.is_empty() { "" } else { "\n" }),
        unit,
        asks,
        aim,
    }
}

/// A metric of how well a score tells wrong predictions from right ones.
fn of_errors(title: &str, name: &str, score: Score, aim: Aim) -> About {
    let asks = match name {
        "error_auroc" => "does it find wrong predictions among right ones?",
        "aurc" => "mean error rate of the images kept, over all shares kept; less is better",
        _ => "mean share of images kept and wrong, over all shares kept; less is better",
    };
    About {
        name: format!("{name}_{}", score.name()),
        title: format!("{title} {}", score.title()),
        heading: format!("{title}\n{}", score.title()),
        unit: "",
        asks: asks.into(),
        aim,
    }
}
