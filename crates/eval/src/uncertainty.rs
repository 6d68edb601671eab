//! Total, aleatoric and epistemic uncertainty of every input, from the draws' class probabilities.
//!
//! The split is the information-theoretic one: total H\[mean_s p_s\], aleatoric mean_s H\[p_s\], epistemic their
//! difference, which is the mutual information between label and weights (Depeweg et al. 2018, arXiv 1710.07283;
//! Houlsby et al. 2011, arXiv 1112.5745). All in nats.
//!
//! The difference is not taken by subtraction, which leaves nothing but rounding of a confident network's 1e-20 nats. It
//! is the mean divergence of the draws from their mean, written as a sum of terms none of which is negative:
//! epistemic = mean_s sum_c m_c f(p_sc / m_c - 1), where f(d) = (1 + d) ln (1 + d) - d. Probabilities near 1 enter by the
//! sum of the other classes. So each of the three is right to a small multiple of its own rounding, however small it is,
//! and neither the order of classes nor that of draws changes it.
//!
//! Where the energy of each draw is known too, the logits are: logit_sc = ln p_sc - energy_s. They give two scores more, which
//! need no softmax: the mean energy, and how far the draws' logits lie apart.

use crate::parallel;
use crate::sum::{Sum, divergence, entropy_of, rest_of};
use crate::{Precision, Predictions};

/// Mean prediction and uncertainties of N inputs over C classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Uncertainty {
    /// mean_s p_s, `[N][C]` row-major. A draw's row whose sum is not 1 within rounding is first divided by it.
    pub mean_probs: Vec<f64>,
    /// One less the greatest mean probability, per input: the sum of all other classes.
    pub rest: Vec<f64>,
    /// H\[mean_s p_s\] per input, in \[0, ln C\] nats.
    pub total: Vec<f64>,
    /// mean_s H\[p_s\] per input, in \[0, total\] nats.
    pub aleatoric: Vec<f64>,
    /// total - aleatoric per input, in \[0, total\] nats. `None` with a single draw: there is nothing to disagree.
    pub epistemic: Option<Vec<f64>>,
    /// mean_s -ln sum_c exp(logit_sc) per input, nats: greater where the logits are small, as they are far from the training
    /// images (Liu et al. 2020, arXiv 2010.03759). `None` where energies are not known.
    pub energy: Option<Vec<f64>>,
    /// mean_c Var_s logit_sc per input, nats squared, the variance over draws divided by S: after Raina 2025 (arXiv 2502.15648),
    /// who measures how far draws disagree in their greatest logits; here in all. A probability of 0 counts as 5e-324. `None`
    /// where energies are not known, or with a single draw.
    pub logit_disagreement: Option<Vec<f64>>,
    /// To how many digits the probabilities were given.
    pub precision: Precision,
}

impl Uncertainty {
    /// epistemic / total per input, in \[0, 1\]: which part of the doubt more data could settle. 0 where there is no
    /// doubt; `None` with a single draw. It is the uncertainty coefficient of class and draw (Theil 1970).
    ///
    /// Mutual information is bounded by the entropy, so that an input about which nothing is doubted has little of
    /// either kind, and any doubt at all raises both: they rank inputs alike. The share takes that out.
    #[must_use]
    pub fn epistemic_share(&self) -> Option<Vec<f64>> {
        let share = |(&e, &t): (&f64, &f64)| if t > 0.0 { e / t } else { 0.0 };
        self.epistemic.as_ref().map(|epistemic| epistemic.iter().zip(&self.total).map(share).collect())
    }
}

/// The class of a prediction: the place of its first greatest value, and that value.
pub fn arg_max(probs: &[f64]) -> (usize, f64) {
    probs.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (c, &p)| if p > best.1 { (c, p) } else { best })
}

/// Shannon entropy -sum p ln p in nats, with 0 ln 0 = 0. The caller answers for `probs` being a distribution.
pub fn entropy(probs: &[f64]) -> f64 {
    let top = arg_max(probs).0;
    entropy_of(probs, top, rest_of(probs, top))
}

/// Steps of one squared logit in which disagreement is counted: logits of the runtime are exact to 2^-17.
const DISAGREEMENT_STEPS: f64 = 16_384.0;

/// The least number above 0: what a probability of 0 was before it underflowed, or more.
const LEAST: f64 = 5e-324;

/// What is found for one input.
#[derive(Clone, Copy, Default)]
struct Found {
    rest: f64,
    total: f64,
    aleatoric: f64,
    epistemic: f64,
    energy: f64,
    logit_disagreement: f64,
}

/// Uncertainties of every input of `predictions`.
pub fn uncertainty(predictions: &Predictions) -> Uncertainty {
    let (inputs, classes) = (predictions.inputs(), predictions.classes());
    let mut mean_probs = vec![0.0f64; inputs * classes];
    let mut found = vec![Found::default(); inputs];
    parallel::rows(&mut mean_probs, classes, &mut found, |first, means, found| {
        let mut memory = Memory::default();
        for (i, (mean, found)) in means.chunks_exact_mut(classes).zip(found).enumerate() {
            *found = memory.one(predictions, first + i, mean);
        }
    });
    let column = |of: fn(&Found) -> f64| found.iter().map(of).collect::<Vec<f64>>();
    let (several, energies) = (predictions.samples() > 1, predictions.energies().is_some());
    Uncertainty {
        mean_probs,
        rest: column(|f| f.rest),
        total: column(|f| f.total),
        aleatoric: column(|f| f.aleatoric),
        epistemic: several.then(|| column(|f| f.epistemic)),
        energy: energies.then(|| column(|f| f.energy)),
        logit_disagreement: (several && energies).then(|| column(|f| f.logit_disagreement)),
        precision: predictions.precision(),
    }
}

/// The rows of one input.
#[derive(Default)]
struct Memory {
    /// `[draw][class]`.
    rows: Vec<f64>,
}

impl Memory {
    /// Fills in the mean prediction of one input and returns its uncertainties.
    fn one(&mut self, predictions: &Predictions, input: usize, mean: &mut [f64]) -> Found {
        let (samples, classes) = (predictions.samples(), predictions.classes());
        self.rows.clear();
        let mut entropies = Sum::default();
        for row in predictions.rows_of(input) {
            let start = self.rows.len();
            self.rows.extend_from_slice(row);
            let row = &mut self.rows[start..];
            normalise(row, predictions.precision());
            let top = arg_max(row).0;
            entropies.add(entropy_of(row, top, rest_of(row, top)));
        }
        for (class, mean) in mean.iter_mut().enumerate() {
            *mean = Sum::of(self.rows.iter().skip(class).step_by(classes).copied()).over(samples);
        }
        let (top, most) = arg_max(mean);
        let rest = rest_of(mean, top);
        let total = entropy_of(mean, top, rest);
        // What rounding of the probabilities alone can do to a ratio.
        let same = 2.0 * predictions.precision().epsilon();
        let mut all = Sum::default();
        for row in self.rows.chunks_exact(classes) {
            for (class, (&p, &m)) in row.iter().zip(&*mean).enumerate() {
                if m > 0.0 {
                    let d = if class == top && most > 0.5 { (rest - rest_of(row, top)) / m } else { (p - m) / m };
                    if d.abs() > same {
                        all.add(m * divergence(d));
                    }
                }
            }
        }
        let (energy, logit_disagreement) = self.of_logits(predictions, input);
        let (aleatoric, epistemic) = (entropies.over(samples).min(total), all.over(samples).min(total));
        Found { rest, total, aleatoric, epistemic, energy, logit_disagreement }
    }

    /// Mean energy and disagreement of the logits of the input whose rows these are; 0 where energies are not known.
    fn of_logits(&mut self, predictions: &Predictions, input: usize) -> (f64, f64) {
        if predictions.energies().is_none() {
            return (0.0, 0.0);
        }
        let (samples, classes) = (predictions.samples(), predictions.classes());
        for (row, energy) in self.rows.chunks_exact_mut(classes).zip(predictions.energies_of(input)) {
            row.iter_mut().for_each(|p| *p = p.max(LEAST).ln() - energy);
        }
        let variance = |class: usize| {
            let logits = || self.rows.iter().skip(class).step_by(classes).copied();
            let mean = Sum::of(logits()).over(samples);
            Sum::of(logits().map(|l| (l - mean).powi(2))).over(samples)
        };
        let energy = Sum::of(predictions.energies_of(input)).over(samples);
        let disagreement = Sum::of((0..classes).map(variance)).over(classes);
        // Draws of few levels give many inputs the same disagreement. Below this step rounding alone would rank them.
        (energy, (disagreement * DISAGREEMENT_STEPS).round() / DISAGREEMENT_STEPS)
    }
}

/// Divides a checked row by its sum, where that is not 1 within the rounding of its numbers: a row that is right is
/// left alone to the last bit.
pub(crate) fn normalise(row: &mut [f64], precision: Precision) {
    let sum = Sum::of(row.iter().copied()).value();
    if (sum - 1.0).abs() > row.len() as f64 * precision.epsilon() {
        row.iter_mut().for_each(|p| *p /= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreeing_draws_have_no_epistemic_part() {
        let row = [0.7, 0.2, 0.1];
        let u = uncertainty(&Predictions::new(7, 1, 3, row.repeat(7)).unwrap());
        assert_eq!(u.epistemic.unwrap(), [0.0]);
        assert!((u.total[0] - u.aleatoric[0]).abs() < 1e-15);
    }

    #[test]
    fn certain_draws_that_contradict_are_all_epistemic() {
        let u = uncertainty(&Predictions::new(2, 1, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap());
        assert_eq!(u.aleatoric, [0.0]);
        assert_eq!(u.epistemic_share(), Some(vec![1.0]));
        assert!((u.epistemic.unwrap()[0] - std::f64::consts::LN_2).abs() < 1e-15);
    }

    #[test]
    fn rows_are_normalised_first() {
        // Sums of 1.0005 and 0.9995, as a coarse integer softmax leaves them.
        let u = uncertainty(&Predictions::new(2, 1, 2, vec![0.50025, 0.50025, 0.49975, 0.49975]).unwrap());
        assert_eq!((u.mean_probs, u.epistemic.unwrap()), (vec![0.5, 0.5], vec![0.0]));
        assert!(u.total[0] <= std::f64::consts::LN_2);
    }

    #[test]
    fn the_share_needs_some_doubt() {
        // Sure draws that agree, and draws of 1/4 and 3/4: total ln 2, aleatoric 0.5623, worked out by hand.
        let u = uncertainty(&Predictions::new(2, 2, 2, vec![1.0, 0.0, 0.25, 0.75, 1.0, 0.0, 0.75, 0.25]).unwrap());
        let share = u.epistemic_share().unwrap();
        assert_eq!(share[0], 0.0);
        assert!((share[1] - 0.188_722).abs() < 1e-6, "{share:?}");
    }

    #[test]
    fn probabilities_and_energies_tell_the_logits() {
        // Logits (1, 2) and (3, -2): energies are their negative logarithms of sums of exponentials.
        let logits = [[1.0f64, 2.0], [3.0, -2.0]];
        let energies: Vec<f64> = logits.iter().map(|l| -(l[0].exp() + l[1].exp()).ln()).collect();
        let probs = logits.iter().zip(&energies).flat_map(|(l, e)| l.map(|l| (l + e).exp())).collect();
        let p = Predictions::new(2, 1, 2, probs).unwrap().with_energies(energies.clone()).unwrap();
        let u = uncertainty(&p);
        assert!((u.energy.unwrap()[0] - (energies[0] + energies[1]) / 2.0).abs() < 1e-12);
        // Variances 1 and 4.
        assert!((u.logit_disagreement.unwrap()[0] - 2.5).abs() < 1e-12);
        // Draws that agree do so to the last bit; one draw has nothing to disagree with.
        let same = Predictions::new(3, 1, 2, [0.7, 0.3].repeat(3)).unwrap().with_energies(vec![-1.7; 3]).unwrap();
        assert_eq!(uncertainty(&same).logit_disagreement, Some(vec![0.0]));
        let one = uncertainty(&same.draws(0..1).unwrap());
        assert_eq!((one.energy, one.logit_disagreement), (Some(vec![-1.7]), None));
        // Without energies there is neither; an underflow is no infinity.
        let bare = uncertainty(&Predictions::new(2, 1, 2, vec![1.0, 0.0, 0.5, 0.5]).unwrap());
        assert_eq!((bare.energy, bare.logit_disagreement), (None, None));
        let sure = Predictions::new(2, 1, 2, vec![1.0, 0.0, 0.5, 0.5]).unwrap().with_energies(vec![0.0; 2]).unwrap();
        assert!(uncertainty(&sure).logit_disagreement.unwrap()[0].is_finite());
    }

    #[test]
    fn one_draw_has_no_epistemic_at_all() {
        let u = uncertainty(&Predictions::new(1, 1, 2, vec![0.5, 0.5]).unwrap());
        assert!(u.epistemic.is_none() && u.epistemic_share().is_none());
        assert_eq!(u.total, u.aleatoric);
    }
}
