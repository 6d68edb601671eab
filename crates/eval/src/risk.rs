//! Whether a score knows where the network errs: AUROC of wrong predictions among right ones, and the areas under the curves
//! of risk and coverage.
//!
//! A network that decides only the inputs it is least uncertain about, a share c of all (the coverage), is wrong in a part
//! r(c) of those (the risk). The area under r over c is the AURC; it weighs the first, most certain inputs far more than
//! others. The generalized risk c r(c) is the share of all inputs that are decided and wrong; the area under it is the AUGRC
//! (Traub et al. 2024, arXiv 2407.01032). Both depend on the accuracy, as the error AUROC does not.

use crate::EvalError;
use crate::rank::{ascending, check_no_nan, rises};

/// How well one score ranks one group's wrong predictions above its right ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Risk {
    /// AUROC with wrong predictions as positives, in \[0, 1\]; `None` where none is wrong, or none right.
    pub error_auroc: Option<f64>,
    /// Mean over k = 1..n of the error rate of the k least uncertain inputs, in \[0, 1\] (Geifman et al. 2019,
    /// arXiv 1805.08206). Of inputs that tie any may come first: the mean over their orders is taken.
    pub aurc: f64,
    /// Area under the generalized risk k' -> (wrong among the k least uncertain) / n over k / n in \[0, 1\], by trapezoids
    /// from tie to tie, in \[0, 1/2\]. With e the error rate it is (1 - error AUROC) e (1 - e) + e^2 / 2 (Traub et al. 2024).
    pub augrc: f64,
}

/// Those of a score, higher where the prediction is less sure, and of whether each prediction is wrong.
///
/// # Errors
///
/// [`EvalError::TooFew`] without inputs, [`EvalError::LengthsDiffer`], [`EvalError::NanScore`].
pub fn risk(scores: &[f64], wrong: &[bool]) -> Result<Risk, EvalError> {
    let weighted = WeightedRisk::new(scores, wrong)?;
    weighted.value(&vec![1; scores.len()]).ok_or(EvalError::TooFew { dimension: "inputs", found: 0, wanted: 1 })
}

/// The same over inputs that count several times or not at all: sorted once, then O(n) per set of counts.
#[derive(Debug, Clone)]
pub struct WeightedRisk {
    /// In ascending order of score.
    steps: Vec<Step>,
}

/// One input.
#[derive(Debug, Clone, Copy)]
struct Step {
    input: u32,
    wrong: bool,
    /// Its score exceeds the one before.
    rises: bool,
}

impl WeightedRisk {
    /// Sorts the scores; input `i` belongs to `counts[i]`.
    ///
    /// # Errors
    ///
    /// [`EvalError::LengthsDiffer`], [`EvalError::NanScore`], [`EvalError::TooManyInputs`] from 2^31 on.
    pub fn new(scores: &[f64], wrong: &[bool]) -> Result<Self, EvalError> {
        if scores.len() != wrong.len() {
            let what = "scores and predictions that are right or wrong";
            return Err(EvalError::LengthsDiffer { what, left: scores.len(), right: wrong.len() });
        }
        check_no_nan("scores", scores)?;
        let found = scores.len();
        if found >= 1 << 31 {
            return Err(EvalError::TooManyInputs { found });
        }
        let mut last = f64::NAN;
        let step = |i: usize| {
            let rises = rises(last, scores[i]);
            last = scores[i];
            Step { input: i as u32, wrong: wrong[i], rises }
        };
        Ok(Self { steps: ascending(scores).into_iter().map(step).collect() })
    }

    /// `None` if all counts are 0 or some are missing.
    pub fn value(&self, counts: &[u8]) -> Option<Risk> {
        let counts = counts.get(..self.steps.len())?;
        // Sums of whole numbers but for the AURC: below 2 (2^31)^2.
        let (mut below, mut errors) = (0u64, 0u64);
        let (mut wins, mut area, mut risks) = (0u64, 0u64, 0.0f64);
        for ties in self.steps.chunk_by(|_, next| !next.rises) {
            let (mut tied, mut wrong) = (0u64, 0u64);
            for step in ties {
                let count = u64::from(counts[step.input as usize]);
                tied += count;
                wrong += count * u64::from(step.wrong);
            }
            // Twice the right ones below and half of those that tie.
            wins += wrong * (2 * (below - errors) + tied - wrong);
            // Twice the trapezoid.
            area += tied * (2 * errors + wrong);
            let rate = wrong as f64 / tied as f64;
            for k in 1..=tied {
                risks += (errors as f64 + rate * k as f64) / (below + k) as f64;
            }
            below += tied;
            errors += wrong;
        }
        let (n, pairs) = (below as f64, errors as f64 * (below - errors) as f64);
        (below > 0).then(|| Risk {
            error_auroc: (pairs > 0.0).then(|| wins as f64 / (2.0 * pairs)),
            aurc: risks / n,
            augrc: area as f64 / (2.0 * n * n),
        })
    }

    /// Wrong predictions and right ones.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        let wrong = self.steps.iter().filter(|s| s.wrong).count();
        [wrong, self.steps.len() - wrong]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_plain_cases() {
        // The one error comes last of four.
        let found = risk(&[0.1, 0.2, 0.3, 0.4], &[false, false, false, true]).unwrap();
        assert_eq!(found, Risk { error_auroc: Some(1.0), aurc: 0.25 / 4.0, augrc: 0.5 / 16.0 });
        // It comes first: risks 1, 1/2, 1/3, 1/4.
        let found = risk(&[0.1, 0.2, 0.3, 0.4], &[true, false, false, false]).unwrap();
        assert_eq!((found.error_auroc, found.augrc), (Some(0.0), 3.5 / 16.0));
        assert!((found.aurc - (1.0 + 0.5 + 1.0 / 3.0 + 0.25) / 4.0).abs() < 1e-15);
        // All tie: any order is as likely, and the expected risk is the error rate everywhere.
        let found = risk(&[0.5; 4], &[true, false, false, false]).unwrap();
        assert_eq!(found, Risk { error_auroc: Some(0.5), aurc: 0.25, augrc: 0.125 });
        // Nothing is wrong, or all is.
        assert_eq!(risk(&[1.0, 2.0], &[false; 2]).unwrap(), Risk { error_auroc: None, aurc: 0.0, augrc: 0.0 });
        assert_eq!(risk(&[1.0, 2.0], &[true; 2]).unwrap(), Risk { error_auroc: None, aurc: 1.0, augrc: 0.5 });
    }

    #[test]
    fn what_cannot_be_ranked_is_refused() {
        assert!(matches!(risk(&[], &[]), Err(EvalError::TooFew { dimension: "inputs", .. })));
        assert!(matches!(risk(&[1.0], &[]), Err(EvalError::LengthsDiffer { .. })));
        assert!(matches!(risk(&[f64::NAN], &[true]), Err(EvalError::NanScore { .. })));
        assert_eq!(WeightedRisk::new(&[1.0], &[true]).unwrap().value(&[0]), None);
        assert_eq!(WeightedRisk::new(&[1.0], &[true]).unwrap().value(&[]), None);
    }
}
