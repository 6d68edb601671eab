//! What a model becomes by a few labelled inputs that it was not trained with: a temperature and conformal sets.
//!
//! They are fitted on validation inputs and measured on others, by the same predictor and the same number of draws: what a
//! quantized model is worth after calibration is measured after its quantization. Fitted once, they are part of the model; the
//! bootstrap over test inputs leaves them as they are, so that intervals do not hold the chance of the validation inputs. Of
//! n of them the coverage of conformal sets has a standard deviation of sqrt(alpha (1 - alpha) / n) by that chance: 0.4 % of
//! 5,000.

use crate::calibration::Terms;
use crate::conformal::fewest_inputs;
use crate::{
    ConformalRule, ConformalScore, EvalError, Precision, Predictions, apply_temperature, fit_temperature, uncertainty,
};
use serde::{Deserialize, Serialize};

/// The chosen fraction of conformal sets without the right class.
pub const ALPHA: f64 = 0.1;

/// A temperature and conformal sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrator {
    /// Validation inputs that it was fitted on.
    pub inputs: u64,
    /// Temperature of the mean prediction with the smallest NLL on them, see [`fit_temperature`].
    pub temperature: f64,
    /// Whether they fix no temperature: the best one lies at an end of the range.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temperature_at_end: bool,
    /// The chosen fraction of conformal sets without the right class.
    pub alpha: f64,
    /// The rule of each score; none of fewer inputs than alpha needs.
    pub rules: Vec<ConformalRule>,
}

impl Calibrator {
    /// Fits them on the predictions and labels of validation inputs.
    ///
    /// # Errors
    ///
    /// As [`fit_temperature`].
    pub fn fit(validation: &Predictions, labels: &[usize]) -> Result<Self, EvalError> {
        let (mean, classes) = (uncertainty(validation).mean_probs, validation.classes());
        let fit = fit_temperature(&mean, classes, labels)?;
        let enough = fewest_inputs(1.0 - ALPHA).is_some_and(|fewest| labels.len() >= fewest);
        let rule = |score| ConformalRule::fit(score, ALPHA, &mean, classes, labels);
        let rules = ConformalScore::ALL.into_iter().filter(|_| enough).map(rule).collect::<Result<_, _>>()?;
        Ok(Self {
            inputs: labels.len() as u64,
            temperature: fit.temperature,
            temperature_at_end: fit.at_end,
            alpha: ALPHA,
            rules,
        })
    }

    /// The mean of what several seeds of draws gave, for people to read; figures are means of those of each seed. `None` of
    /// none.
    pub(crate) fn mean(all: &[&Self]) -> Option<Self> {
        let (first, n) = (*all.first()?, all.len() as f64);
        let mean = |of: &dyn Fn(&Self) -> f64| all.iter().map(|c| of(c)).sum::<f64>() / n;
        let rule = |(i, rule): (usize, &ConformalRule)| {
            let quantile = mean(&|c| c.rules.get(i).map_or(f64::NAN, |rule| rule.quantile));
            ConformalRule { quantile, ..*rule }
        };
        Some(Self {
            temperature: mean(&|c| c.temperature),
            temperature_at_end: all.iter().any(|c| c.temperature_at_end),
            rules: first.rules.iter().enumerate().map(rule).collect(),
            ..first.clone()
        })
    }

    /// What it makes of labelled inputs, whose rows `[N][C]` and labels were checked.
    pub(crate) fn terms(
        &self,
        mean_probs: &[f64],
        classes: usize,
        labels: &[usize],
        precision: Precision,
    ) -> Result<CalibratedTerms, EvalError> {
        let mut scaled = mean_probs.to_vec();
        apply_temperature(&mut scaled, classes, self.temperature)?;
        let Terms { nll, bin, gap, .. } = Terms::new(&scaled, classes, labels, precision)?;
        let of = |rule: &ConformalRule| {
            let sets = mean_probs.chunks_exact(classes).zip(labels).map(|(row, label)| {
                let set = rule.set(row);
                (f64::from(u8::from(set.contains(label))), set.len() as f64)
            });
            let (covered, size) = sets.unzip();
            (rule.score, SetTerms { covered, size })
        };
        Ok(CalibratedTerms { nll, bin, gap, sets: self.rules.iter().map(of).collect() })
    }
}

/// What each input of a calibrated model contributes.
pub(crate) struct CalibratedTerms {
    /// -ln p(label) at the temperature.
    pub nll: Vec<f64>,
    /// Bin of the greatest probability at the temperature.
    pub bin: Vec<usize>,
    /// correct - that probability.
    pub gap: Vec<f64>,
    /// Of each score.
    pub sets: Vec<(ConformalScore, SetTerms)>,
}

/// What the set of each input contributes.
pub(crate) struct SetTerms {
    /// 1 where it holds the label, else 0.
    pub covered: Vec<f64>,
    /// Its number of classes.
    pub size: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_inputs_fix_a_temperature_and_no_sets() {
        let one = |n: usize| Predictions::new(1, n, 2, [0.9, 0.1].repeat(n)).unwrap();
        let labels: Vec<usize> = (0..8).map(|i| usize::from(i % 4 == 3)).collect();
        let few = Calibrator::fit(&one(8), &labels).unwrap();
        assert!((few.temperature - 2.0).abs() < 1e-9 && few.rules.is_empty(), "{few:?}");
        let enough = Calibrator::fit(&one(9), &[0; 9]).unwrap();
        assert_eq!((enough.rules.len(), enough.inputs, enough.temperature_at_end), (3, 9, true));
        assert!(Calibrator::fit(&one(9), &[0; 8]).is_err());
    }

    #[test]
    fn seeds_are_averaged() {
        let of = |temperature, quantile| Calibrator {
            inputs: 9,
            temperature,
            temperature_at_end: false,
            alpha: ALPHA,
            rules: vec![ConformalRule { score: ConformalScore::Lac, alpha: ALPHA, quantile }],
        };
        let mean = Calibrator::mean(&[&of(1.0, 0.25), &of(2.0, 0.75)]).unwrap();
        assert_eq!((mean.temperature, mean.rules[0].quantile), (1.5, 0.5));
        assert_eq!(Calibrator::mean(&[]), None);
    }
}
