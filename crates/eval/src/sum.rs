//! Sums whose order does not matter, and what is computed from probabilities without cancellation.
//!
//! A plain sum of the same terms in another order differs in its last bit, and a rank sees the last bit. Here a sum
//! carries what rounding takes from it in a second number (Neumaier 1974): about 106 bits, so that the rounded result
//! is that of the exact sum.

/// A sum in two numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    /// Adds a term.
    pub(crate) fn add(&mut self, x: f64) {
        let sum = self.high + x;
        // Knuth's two-sum: what rounding took, exactly.
        let part = sum - self.high;
        self.low += (self.high - (sum - part)) + (x - part);
        self.high = sum;
    }

    /// The sum of some terms.
    pub(crate) fn of(terms: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|x| sum.add(x));
        sum
    }

    /// The sum, rounded once.
    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }

    /// The sum divided by a count, rounded as if once: twelve of twenty are 0.6, and not the number after it.
    pub(crate) fn over(self, count: usize) -> f64 {
        let n = count as f64;
        let quotient = self.value() / n;
        let rest = (-quotient).mul_add(n, self.high) + self.low;
        quotient + rest / n
    }
}

/// (1 + d) ln (1 + d) - d for d >= -1, to a relative error of a few roundings: the share of one class in a
/// Kullback-Leibler divergence, never negative. Zero at d = 0.
pub(crate) fn divergence(d: f64) -> f64 {
    /// 1 / ((k + 1)(k + 2)) for k = 17 down to 0, signs alternating: d^2 (1/2 - d/6 + d^2/12 - ...).
    const TERMS: usize = 18;
    if d <= -1.0 {
        1.0
    } else if d.abs() < 0.1 {
        let mut sum = 0.0f64;
        for k in (0..TERMS).rev() {
            let term = 1.0 / ((k + 1) * (k + 2)) as f64;
            sum = (-d).mul_add(sum, term);
        }
        d * d * sum
    } else {
        (1.0 + d) * d.ln_1p() - d
    }
}

/// Shannon entropy -sum p ln p in nats, with 0 ln 0 = 0, where `top` is the place of a greatest probability and `rest`
/// the sum of the others. The logarithm of a probability near 1 is taken from the rest, which keeps its digits where
/// 1 - p has lost them.
pub(crate) fn entropy_of(probs: &[f64], top: usize, rest: f64) -> f64 {
    let term = |(class, &p): (usize, &f64)| {
        let near_one = class == top && p > 0.5;
        -p * if near_one { (-rest).ln_1p() } else { p.ln() }
    };
    Sum::of(probs.iter().enumerate().filter(|(_, p)| **p > 0.0).map(term)).value().max(0.0)
}

/// The sum of all classes but one.
pub(crate) fn rest_of(probs: &[f64], top: usize) -> f64 {
    Sum::of(probs.iter().enumerate().filter(|p| p.0 != top).map(|p| *p.1)).value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_that_of_the_exact_terms() {
        let terms = [1.0, 1e-17, 1e100, -1e100, 3e-17, 0.1];
        let mut turned = terms;
        turned.reverse();
        assert_eq!(Sum::of([1.0, 1e-16, 1e-16]).value(), 1.0 + 2.0 * 1e-16);
        assert_eq!(Sum::of([1e100, 1.0, -1e100]).value(), 1.0);
        assert_eq!(Sum::of(turned[2..].iter().copied()).value(), Sum::of(terms[..4].iter().copied()).value());
    }

    #[test]
    fn a_mean_of_votes_is_the_nearest_number() {
        for count in 1..200usize {
            for votes in 0..=count {
                let sum = Sum::of(std::iter::repeat_n(1.0, votes));
                assert_eq!(sum.over(count), votes as f64 / count as f64);
            }
        }
        for p in [0.6, 0.1, 1.0 / 3.0, 14.0 / 15.0] {
            assert_eq!(Sum::of(std::iter::repeat_n(p, 20)).over(20), p);
        }
    }

    #[test]
    fn the_divergence_is_smooth_where_its_two_forms_meet() {
        for d in [-0.1f64, 0.1] {
            let (series, direct) = (divergence(d.signum() * d.abs().next_down()), divergence(d));
            assert!((series / direct - 1.0).abs() < 1e-13, "{series} {direct}");
        }
        assert_eq!((divergence(0.0), divergence(-1.0)), (0.0, 1.0));
        assert!((divergence(1e-9) / 5e-19 - 1.0).abs() < 1e-8);
    }
}
