//! What a calibrated model answers of one input: a set of classes, whether to abstain, whether the input is unknown.
//!
//! The rule is [`qbnn_core::decide`], in integers, for predictions of every kind: a prediction in float is rounded to the
//! units of the rule first, when it is measured and when it decides.

use crate::predict::Prediction;
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::Draws;
use qbnn_core::decide::{Decisions, ONE, Pass};
use qbnn_core::fixed::OCTAVE;
use qbnn_core::uncertainty::{FRACTION_BITS, Uncertainty};
use qbnn_eval::{EvalError, Selection, SetQuality, apply_temperature, selection, set_quality};
use serde::Serialize;

/// Decisions on one input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// Classes that may be right, in rising order; it can be empty.
    pub set: Vec<usize>,
    /// Whether the model had better give no class.
    pub abstain: bool,
    /// Whether the input is unlike those that the model knows.
    pub ood: bool,
    /// Probability of the most probable class at the model's temperature.
    pub calibrated_probability: f64,
}

/// A prediction in the units of [`Decisions`]: mean probabilities with 32 fraction bits, uncertainties with 16. Of the
/// integer runtime's predictions these are the very integers.
pub fn in_units(prediction: &Prediction) -> (Vec<u64>, Uncertainty) {
    // Casts to integers saturate.
    let mean = prediction.probabilities.iter().map(|p| (p * ONE as f64).round() as u64).collect();
    let nats = |value: f64| (value * f64::from(1u32 << FRACTION_BITS)).round() as u32;
    let (total, aleatoric) = (nats(prediction.total), nats(prediction.aleatoric));
    (mean, Uncertainty { total, aleatoric, epistemic: nats(prediction.epistemic) })
}

/// A fraction with 32 fraction bits, 1 as the largest number below it.
pub(crate) fn level(value: f64) -> u32 {
    (value * ONE as f64).round() as u32
}

/// The fraction that a level was given as: six digits, which 32 bits hold with room to spare.
pub fn of_level(level: u32) -> f64 {
    (f64::from(level) / ONE as f64 * 1e6).round() / 1e6
}

/// The temperature of some decisions.
pub fn temperature(decisions: &Decisions) -> f64 {
    (f64::from(decisions.log2_temperature) / f64::from(OCTAVE)).exp2()
}

/// What a model decides on an input.
pub fn decide(decisions: &Decisions, prediction: &Prediction) -> Decided {
    let (mean, uncertainty) = in_units(prediction);
    let mut scaled = prediction.probabilities.clone();
    // A temperature of a file is positive and finite; a model has two classes or more.
    let fine = apply_temperature(&mut scaled, prediction.probabilities.len(), temperature(decisions)).is_ok();
    let own = if fine { &scaled } else { &prediction.probabilities };
    Decided {
        set: decisions.sets.classes(&mean).collect(),
        abstain: decisions.abstain.refuses(&mean, &uncertainty),
        ood: decisions.ood.refuses(&mean, &uncertainty),
        calibrated_probability: own.get(prediction.class).copied().unwrap_or(0.0),
    }
}

/// The kind of prediction that decisions are about.
pub fn pass_of(pfp: Option<pfp::Weights>) -> Pass {
    match pfp {
        None => Pass::Draws,
        Some(pfp::Weights::Stored) => Pass::AnalyticStored,
        Some(pfp::Weights::Drawn) => Pass::AnalyticDrawn,
    }
}

/// A kind of prediction in words.
pub fn pass_name(pass: Pass) -> &'static str {
    match pass {
        Pass::Draws => "draws",
        Pass::AnalyticStored => "an analytic pass (--pfp=stored)",
        Pass::AnalyticDrawn => "an analytic pass (--pfp=drawn)",
    }
}

/// Why decisions do not hold as they were measured for such draws, if they do not.
pub fn caveat(decisions: &Decisions, draws: Draws) -> Option<String> {
    let same = decisions.samples as usize == draws.count && decisions.seed == draws.seed;
    (decisions.pass == Pass::Draws && !same).then(|| {
        format!(
            "decisions were measured with {} draws of seed {}, these are {} of seed {}: their rates may differ; \
             `qbnn calibrate` measures them again",
            decisions.samples, decisions.seed, draws.count, draws.seed
        )
    })
}

/// How decisions fare on labelled inputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fared {
    /// Inputs.
    pub images: usize,
    /// Fraction whose most probable class is right.
    pub accuracy: f64,
    /// Sets: how often they hold the right class, how large they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sets: Option<SetQuality>,
    /// What is answered, and how much of that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<Selection>,
    /// Fraction of the right, and of the wrong predictions on which the model abstains; `None` where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstained_right_wrong: Option<[Option<f64>; 2]>,
    /// Fraction called unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood: Option<f64>,
}

impl Fared {
    /// Of predictions and their labels, one each; the parts on decisions where all predictions have some.
    ///
    /// # Errors
    /// No inputs, or as many labels as there are not predictions.
    pub fn of(predictions: &[(usize, Option<Decided>)], labels: &[usize]) -> crate::Result<Self> {
        let wrong: Vec<bool> = predictions.iter().zip(labels).map(|((class, _), label)| class != label).collect();
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        let right = wrong.iter().filter(|w| !**w).count();
        if predictions.len() != labels.len() {
            return Err(EvalError::LabelCount { found: labels.len(), wanted: predictions.len() }.into());
        }
        if labels.is_empty() {
            return Err(EvalError::TooFew { dimension: "inputs", found: 0, wanted: 1 }.into());
        }
        let fared = Fared {
            images: wrong.len(),
            accuracy: share(right, wrong.len()),
            sets: None,
            answered: None,
            abstained_right_wrong: None,
            ood: None,
        };
        let Some(decided) = predictions.iter().map(|p| p.1.as_ref()).collect::<Option<Vec<_>>>() else {
            return Ok(fared);
        };
        let refused: Vec<f64> = decided.iter().map(|d| f64::from(u8::from(d.abstain))).collect();
        let of = |kind: bool| {
            let all = wrong.iter().filter(|w| **w == kind).count();
            let some = decided.iter().zip(&wrong).filter(|(d, w)| d.abstain && **w == kind).count();
            (all > 0).then(|| share(some, all))
        };
        Ok(Fared {
            sets: Some(set_quality(decided.iter().map(|d| &d.set), labels)),
            answered: Some(selection(0.5, &refused, &wrong)?),
            abstained_right_wrong: Some([of(false), of(true)]),
            ood: Some(share(decided.iter().filter(|d| d.ood).count(), decided.len())),
            ..fared
        })
    }

    /// One line for people.
    pub fn in_words(&self) -> String {
        let mut text = format!("{} labelled images: accuracy {:.4}", self.images, self.accuracy);
        let share = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |v| format!("{v:.4}"));
        if let Some(SetQuality { coverage, size, empty, .. }) = self.sets {
            text.push_str(&format!("; sets hold the class {coverage:.4}, mean size {size:.3}, empty {empty:.4}"));
        }
        if let Some(Selection { coverage, error }) = self.answered {
            text.push_str(&format!("; answered {coverage:.4}, wrong among them {}", share(error)));
        }
        if let Some([right, wrong]) = self.abstained_right_wrong {
            text.push_str(&format!("; abstained on {} of the right and {} of the wrong", share(right), share(wrong)));
        }
        if let Some(ood) = self.ood {
            text.push_str(&format!("; called unknown {ood:.4}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(set: &[usize], abstain: bool, ood: bool) -> Option<Decided> {
        Some(Decided { set: set.to_vec(), abstain, ood, calibrated_probability: 0.5 })
    }

    #[test]
    fn levels_are_read_back_as_they_were_given() {
        for value in [0.000_001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.95, 0.99, 0.999_999] {
            assert_eq!(of_level(level(value)), value);
        }
    }

    #[test]
    fn counts_by_hand() {
        let all = [
            (0, decided(&[0], false, false)),
            (1, decided(&[], true, false)),
            (1, decided(&[0, 1], true, true)),
            (2, decided(&[2], false, false)),
        ];
        let fared = Fared::of(&all, &[0, 1, 0, 0]).unwrap();
        assert_eq!((fared.images, fared.accuracy, fared.ood), (4, 0.5, Some(0.25)));
        let sets = fared.sets.unwrap();
        assert_eq!((sets.coverage, sets.size, sets.empty), (0.5, 1.0, 0.25));
        let answered = fared.answered.unwrap();
        assert_eq!((answered.coverage, answered.error), (0.5, Some(0.5)));
        assert_eq!(fared.abstained_right_wrong, Some([Some(0.5), Some(0.5)]));
        let plain = Fared::of(&[(0, None)], &[0]).unwrap();
        assert_eq!((plain.accuracy, plain.sets, plain.ood), (1.0, None, None));
        assert!(Fared::of(&[(0, None)], &[0, 1]).is_err() && Fared::of(&[], &[]).is_err());
    }
}
