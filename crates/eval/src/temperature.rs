//! Temperature scaling: one number that makes the probabilities of a finished model as honest as it can.
//!
//! p_T is proportional to p^(1/T). For a softmax this is the division of the logits by T (Guo et al. 2017, arXiv
//! 1706.04599), whose order of the classes stays as it was. A Bayesian network averages the softmax of several draws, and
//! the mean has no logits of its own. Here its logarithm stands for them: draws are averaged first and scaled afterwards.
//! Rahaman and Thiery (2021, arXiv 2007.08792) show that scaling belongs after the average, and Ashukha et al. (2020, arXiv
//! 2002.06470) that log-likelihoods of two models compare only at the best temperature of each. It also needs nothing
//! but the mean prediction, which every way of predicting gives: draws, ensembles and analytic passes.
//!
//! The mean NLL is convex in 1/T: each input contributes a log-sum-exp of linear functions less a linear one. Its slope is
//! therefore monotone, and bisection finds the only minimum, without a start or a step to choose.

use crate::calibration::{NLL_EPS, Terms};
use crate::sum::Sum;
use crate::{EvalError, Precision};

/// Temperatures that are looked at, from the smallest to the largest. A model that is right on every input would take
/// T = 0, one that is worse than a guess T = infinity: the ends stand for both.
pub const TEMPERATURES: [f64; 2] = [1.0 / 64.0, 64.0];
/// Halvings of the range of 1/T on a logarithmic scale: beyond double precision.
const STEPS: usize = 64;

/// What temperature scaling found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemperatureFit {
    /// T, within [`TEMPERATURES`]; above 1 the model was too sure of itself.
    pub temperature: f64,
    /// Mean -ln p(label) before, nats.
    pub nll_before: f64,
    /// The same at T, nats; never more than before.
    pub nll_after: f64,
    /// Whether the best T lies beyond the range that is looked at: these inputs do not fix a temperature.
    pub at_end: bool,
}

/// Finds the temperature with the smallest NLL on labelled inputs that the model was not trained with.
///
/// `mean_probs` is `[N][C]` row-major, rows sum to 1. Probabilities below [`NLL_EPS`] are counted as that.
///
/// # Errors
///
/// As [`crate::calibration()`].
pub fn fit_temperature(mean_probs: &[f64], classes: usize, labels: &[usize]) -> Result<TemperatureFit, EvalError> {
    Terms::new(mean_probs, classes, labels, Precision::Double)?;
    let logs: Vec<f64> = mean_probs.iter().map(|p| p.max(NLL_EPS).ln()).collect();
    let [coldest, hottest] = TEMPERATURES;
    let slope = |t: f64| slope(&logs, classes, labels, 1.0 / t);
    let nll = |t: f64| nll(&logs, classes, labels, 1.0 / t);
    let nll_before = nll(1.0);
    // The slope in 1/T grows with 1/T. Where no label ever differs from the rest, every T is as good: 1 is kept.
    let (at_cold, at_hot) = (slope(coldest), slope(hottest));
    let (mut temperature, at_end) = match () {
        () if at_cold == 0.0 && at_hot == 0.0 => (1.0, true),
        () if at_cold <= 0.0 => (coldest, true),
        () if at_hot >= 0.0 => (hottest, true),
        () => (bisect(slope), false),
    };
    let mut nll_after = nll(temperature);
    if nll_after > nll_before {
        // By a rounding, where 1 is the minimum itself.
        (temperature, nll_after) = (1.0, nll_before);
    }
    Ok(TemperatureFit { temperature, nll_before, nll_after, at_end })
}

/// Where the slope changes its sign, between a cold end at which it is above 0 and a hot one at which it is below.
fn bisect(slope: impl Fn(f64) -> f64) -> f64 {
    let [mut cold, mut hot] = TEMPERATURES;
    for _ in 0..STEPS {
        let middle = (cold * hot).sqrt();
        if slope(middle) > 0.0 { cold = middle } else { hot = middle }
    }
    (cold * hot).sqrt()
}

/// Divides by a temperature: probabilities proportional to p^(1/T), in place, each row on its own.
///
/// `probs` is `[N][C]` row-major. Probabilities below [`NLL_EPS`] are counted as that, as [`fit_temperature`] does. T = 1
/// leaves them as they are.
///
/// # Errors
///
/// [`EvalError::Temperature`] for a temperature that is not a positive finite number; [`EvalError::TooFew`] for no classes,
/// [`EvalError::LengthsDiffer`] for a last row that is not whole.
pub fn apply_temperature(probs: &mut [f64], classes: usize, temperature: f64) -> Result<(), EvalError> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(EvalError::Temperature { found: temperature });
    }
    if classes < 2 {
        return Err(EvalError::TooFew { dimension: "classes", found: classes, wanted: 2 });
    }
    if !probs.len().is_multiple_of(classes) {
        let right = probs.len().next_multiple_of(classes);
        return Err(EvalError::LengthsDiffer { what: "probabilities and rows x classes", left: probs.len(), right });
    }
    if temperature == 1.0 {
        return Ok(());
    }
    for row in probs.chunks_exact_mut(classes) {
        row.iter_mut().for_each(|p| *p = p.max(NLL_EPS).ln());
        soften(row, 1.0 / temperature);
    }
    Ok(())
}

/// Turns logits into the softmax of `beta` times them.
fn soften(row: &mut [f64], beta: f64) {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|z| *z = (beta * (*z - top)).exp());
    let sum = Sum::of(row.iter().copied()).value();
    row.iter_mut().for_each(|p| *p /= sum);
}

/// Mean over inputs of log sum exp(beta z) - beta z\[label\].
fn nll(logs: &[f64], classes: usize, labels: &[usize], beta: f64) -> f64 {
    let of = |(row, &label): (&[f64], &usize)| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum = Sum::of(row.iter().map(|z| (beta * (z - top)).exp())).value();
        sum.ln() - beta * (row[label] - top)
    };
    Sum::of(logs.chunks_exact(classes).zip(labels).map(of)).over(labels.len())
}

/// Its derivative in beta: the mean of (expected z under the scaled probabilities) - z\[label\].
fn slope(logs: &[f64], classes: usize, labels: &[usize], beta: f64) -> f64 {
    let of = |(row, &label): (&[f64], &usize)| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for z in row {
            let w = (beta * (z - top)).exp();
            sum += w;
            weighted += w * (z - top);
        }
        weighted / sum - (row[label] - top)
    };
    Sum::of(logs.chunks_exact(classes).zip(labels).map(of)).over(labels.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three of four right at a claimed 9/10: the honest probability is 3/4, and T = ln 9 / ln 3 = 2.
    #[test]
    fn worked_by_hand() {
        let probs = [0.9, 0.1].repeat(4);
        let fit = fit_temperature(&probs, 2, &[0, 0, 0, 1]).unwrap();
        assert!((fit.temperature - 2.0).abs() < 1e-12 && !fit.at_end, "{fit:?}");
        let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((fit.nll_after - entropy).abs() < 1e-14 && fit.nll_before > fit.nll_after);
        let mut scaled = probs;
        apply_temperature(&mut scaled, 2, 2.0).unwrap();
        assert!((scaled[0] - 0.75).abs() < 1e-15 && (scaled[1] - 0.25).abs() < 1e-15);
    }

    #[test]
    fn what_fixes_no_temperature_says_so() {
        let [coldest, hottest] = TEMPERATURES;
        let fit = |probs: &[f64], labels: &[usize]| fit_temperature(probs, 2, labels).unwrap();
        let right = fit(&[0.9, 0.1, 0.2, 0.8], &[0, 1]);
        assert_eq!((right.temperature, right.at_end), (coldest, true));
        let wrong = fit(&[0.9, 0.1, 0.2, 0.8], &[1, 0]);
        assert_eq!((wrong.temperature, wrong.at_end), (hottest, true));
        let flat = fit(&[0.5, 0.5], &[1]);
        assert_eq!((flat.temperature, flat.at_end, flat.nll_after), (1.0, true, flat.nll_before));
    }

    #[test]
    fn certain_and_wrong_is_finite() {
        let fit = fit_temperature(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], 2, &[0, 0, 1]).unwrap();
        // ln(1 / 1e-12) / ln 2: two right for one wrong.
        assert!((fit.temperature - 12.0 * 10f64.ln() / 2f64.ln()).abs() < 1e-9 && fit.nll_after.is_finite(), "{fit:?}");
    }

    #[test]
    fn bad_arguments_are_refused() {
        for t in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(apply_temperature(&mut [0.5, 0.5], 2, t), Err(EvalError::Temperature { .. })));
        }
        assert!(matches!(apply_temperature(&mut [0.5; 3], 2, 2.0), Err(EvalError::LengthsDiffer { .. })));
        assert!(matches!(apply_temperature(&mut [0.5], 1, 2.0), Err(EvalError::TooFew { .. })));
        assert!(matches!(fit_temperature(&[], 2, &[]), Err(EvalError::TooFew { .. })));
        assert!(matches!(fit_temperature(&[0.5, 0.5], 2, &[2]), Err(EvalError::LabelRange { .. })));
    }
}
