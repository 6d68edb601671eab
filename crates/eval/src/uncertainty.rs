//! Total, aleatoric and epistemic uncertainty of every input, from the draws' class probabilities.
//!
//! The split is the information-theoretic one: total H\[mean_s p_s\], aleatoric mean_s H\[p_s\], epistemic their
//! difference, which is the mutual information between label and weights (Depeweg et al. 2018, arXiv 1710.07283;
//! Houlsby et al. 2011, arXiv 1112.5745). All in nats.

use crate::Predictions;

/// Epistemic values below this many nats are rounding noise of the subtraction and become exactly 0, so that draws
/// that agree tie instead of being ranked by their last bit.
pub const EPISTEMIC_FLOOR: f64 = 1e-13;

/// Mean prediction and uncertainties of N inputs over C classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Uncertainty {
    /// mean_s p_s, `[N][C]` row-major. Each draw's row is first divided by its sum, so each row here sums to 1.
    pub mean_probs: Vec<f64>,
    /// H\[mean_s p_s\] per input, in \[0, ln C\] nats.
    pub total: Vec<f64>,
    /// mean_s H\[p_s\] per input, in \[0, total\] nats.
    pub aleatoric: Vec<f64>,
    /// total - aleatoric per input, in \[0, total\] nats. `None` with a single draw: there is nothing to disagree.
    pub epistemic: Option<Vec<f64>>,
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

/// Shannon entropy -sum p ln p in nats, with 0 ln 0 = 0. The caller answers for `probs` being a distribution.
pub fn entropy(probs: &[f64]) -> f64 {
    let sum: f64 = probs.iter().filter(|&&p| p > 0.0).map(|&p| -p * p.ln()).sum();
    sum.max(0.0)
}

/// Uncertainties of every input of `predictions`.
pub fn uncertainty(predictions: &Predictions) -> Uncertainty {
    let (samples, inputs, classes) = (predictions.samples(), predictions.inputs(), predictions.classes());
    let mut mean_probs = vec![0.0f64; inputs * classes];
    let mut aleatoric = vec![0.0f64; inputs];
    let mut row = vec![0.0f64; classes];
    // Walks memory in order: draws outermost.
    for draw in predictions.probs().chunks_exact(inputs * classes) {
        let rows = draw.chunks_exact(classes).zip(mean_probs.chunks_exact_mut(classes)).zip(&mut aleatoric);
        for ((probs, mean), entropy_sum) in rows {
            normalise_into(probs, &mut row);
            for (m, &p) in mean.iter_mut().zip(&row) {
                *m += p;
            }
            *entropy_sum += entropy(&row);
        }
    }
    let scale = 1.0 / samples as f64;
    mean_probs.iter_mut().for_each(|m| *m *= scale);
    aleatoric.iter_mut().for_each(|a| *a *= scale);
    let total: Vec<f64> = mean_probs.chunks_exact(classes).map(entropy).collect();
    let epistemic = (samples > 1).then(|| total.iter().zip(&aleatoric).map(|(t, a)| epistemic_of(*t, *a)).collect());
    Uncertainty { mean_probs, total, aleatoric, epistemic }
}

/// total - aleatoric, never negative, and 0 below the noise of the subtraction.
fn epistemic_of(total: f64, aleatoric: f64) -> f64 {
    let difference = total - aleatoric;
    if difference < EPISTEMIC_FLOOR { 0.0 } else { difference }
}

/// Divides a checked row by its sum, in f64.
pub(crate) fn normalise_into(probs: &[f32], row: &mut [f64]) {
    let sum: f64 = probs.iter().map(|&p| f64::from(p)).sum();
    for (r, &p) in row.iter_mut().zip(probs) {
        *r = f64::from(p) / sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreeing_draws_have_no_epistemic_part() {
        let row = [0.7f32, 0.2, 0.1];
        let u = uncertainty(&Predictions::new(7, 1, 3, row.repeat(7)).unwrap());
        assert_eq!(u.epistemic.unwrap(), [0.0]);
        assert!((u.total[0] - u.aleatoric[0]).abs() < 1e-13);
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
    fn one_draw_has_no_epistemic_at_all() {
        let u = uncertainty(&Predictions::new(1, 1, 2, vec![0.5, 0.5]).unwrap());
        assert!(u.epistemic.is_none() && u.epistemic_share().is_none());
        assert_eq!(u.total, u.aleatoric);
    }
}
