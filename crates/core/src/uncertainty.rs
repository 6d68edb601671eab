//! The uncertainty of one input from its logits under several draws, in fixed point.
//!
//! With p_s the softmax of draw s: total = H\[mean p_s\], aleatoric = mean H\[p_s\], epistemic = total - aleatoric (the
//! mutual information of prediction and weights; Depeweg et al. 2018), all in nats. Up to 1,000 classes, uncertainties are
//! within 1e-4 of the same in float and mean probabilities within 1e-6, whatever the logits; tests say so.
//! `docs/file-format.md` gives the rule, so that another program can find the same integers.

use core::fmt;

/// An entropy of 65,536 is one nat.
pub const FRACTION_BITS: u32 = 16;
/// log2(e) with 30 fraction bits.
const LOG2_E: u64 = 1_549_082_005;
/// ln(2) with 24 fraction bits.
const LN_2: u64 = 11_629_080;
/// Fraction bits of an exponent of 2: so many square roots of 1/2 are multiplied.
const EXPONENT_BITS: u32 = 20;

/// `ROOTS[i]` = 2^(-2^-(i+1)) with 32 fraction bits, to the nearest.
const ROOTS: [u64; EXPONENT_BITS as usize] = {
    let mut roots = [0; EXPONENT_BITS as usize];
    // With 62 fraction bits.
    let mut square = 1u64 << 61;
    let mut i = 0;
    while i < roots.len() {
        square = ((square as u128) << 62).isqrt() as u64;
        roots[i] = (square + (1 << 29)) >> 30;
        i += 1;
    }
    roots
};

/// Total, aleatoric and epistemic uncertainty, in nats with [`FRACTION_BITS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uncertainty {
    /// Entropy of the mean prediction.
    pub total: u32,
    /// Mean entropy of the predictions.
    pub aleatoric: u32,
    /// What the draws disagree about, at least 0.
    pub epistemic: u32,
}

/// A draw that has not as many logits as there are classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassesError {
    /// Logits of the draw.
    pub found: usize,
    /// Room for mean probabilities.
    pub wanted: usize,
}

impl fmt::Display for ClassesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a draw has {} logits, {} was wanted: one for each class", self.found, self.wanted)
    }
}

impl core::error::Error for ClassesError {}

/// Uncertainty of an input whose draws have the logits `draws` (16 fraction bits, one number a class each), and its mean
/// probabilities with 32 fraction bits, into `mean`.
///
/// Without any draw everything is 0.
///
/// # Errors
/// [`ClassesError`] if a draw has more or fewer logits than `mean` has room for.
pub fn uncertainty<'l>(draws: impl Iterator<Item = &'l [i32]>, mean: &mut [u64]) -> Result<Uncertainty, ClassesError> {
    let wanted = mean.len();
    let mut all = Accumulator::new(mean);
    for logits in draws {
        if logits.len() != wanted {
            return Err(ClassesError { found: logits.len(), wanted });
        }
        all.add(logits.iter().copied());
    }
    Ok(all.finish())
}

/// The same from one draw after the other, without memory for their logits.
#[derive(Debug)]
pub struct Accumulator<'m> {
    mean: &'m mut [u64],
    count: u64,
    entropies: u128,
}

impl<'m> Accumulator<'m> {
    /// Of no draws yet. `mean` has room for each class's mean probability, and holds it after [`Accumulator::finish`].
    pub fn new(mean: &'m mut [u64]) -> Self {
        mean.fill(0);
        Accumulator { mean, count: 0, entropies: 0 }
    }

    /// Takes in the logits of a draw, one for each class.
    pub fn add(&mut self, logits: impl Iterator<Item = i32> + Clone) {
        let top = logits.clone().max().unwrap_or(0);
        let sum: u64 = logits.clone().map(|l| power(top, l)).sum();
        let mut entropy = 0;
        for (slot, logit) in self.mean.iter_mut().zip(logits) {
            // At most 2^63 + 2^61: the largest power, 2^32, is one term of the sum.
            let p = ((power(top, logit) << 31) + (sum >> 2)) / (sum >> 1);
            *slot += p;
            entropy += entropy_term(p);
        }
        self.entropies += entropy as u128;
        self.count += 1;
    }

    /// The uncertainty of all draws; everything is 0 without any.
    pub fn finish(self) -> Uncertainty {
        if self.count == 0 {
            return Uncertainty::default();
        }
        self.mean.iter_mut().for_each(|p| *p /= self.count);
        let total = nats(self.mean.iter().map(|&p| entropy_term(p)).sum());
        let aleatoric = nats((self.entropies / self.count as u128) as u64).min(total);
        Uncertainty { total, aleatoric, epistemic: total - aleatoric }
    }
}

/// e^((`logit` - `top`) / 65536) with 32 fraction bits.
fn power(top: i32, logit: i32) -> u64 {
    // Octaves below 1, with 46 fraction bits: at most 2^32 * 2^30.6.
    let below = top.abs_diff(logit) as u64 * LOG2_E;
    let part = below >> (46 - EXPONENT_BITS) & ((1 << EXPONENT_BITS) - 1);
    let mut power = 1u64 << 32;
    for (i, root) in ROOTS.iter().enumerate() {
        if part >> (EXPONENT_BITS as usize - 1 - i) & 1 == 1 {
            power = (power * root + (1 << 31)) >> 32;
        }
    }
    power.checked_shr((below >> 46) as u32).unwrap_or(0)
}

/// Bits with 48 fraction bits as nats with [`FRACTION_BITS`], to the nearest.
fn nats(bits: u64) -> u32 {
    // An entropy of at most 32 bits, with 32 fraction bits, times ln(2) with 24.
    (((bits >> 16) * LN_2 + (1 << 39)) >> 40) as u32
}

/// -p log2 p with 48 fraction bits, p with 32. Over all classes their sum is below 2^54.
fn entropy_term(p: u64) -> u64 {
    if p == 0 { 0 } else { p * (-log2(p)).max(0) as u64 }
}

/// log2 of a number with 32 fraction bits (at most 1), with 16: the whole part by its leading bit, the rest bit by bit,
/// as squaring doubles a logarithm.
fn log2(p: u64) -> i64 {
    let whole = p.ilog2();
    // In [1, 2) with 31 fraction bits.
    let mut x = if whole >= 31 { p >> (whole - 31) } else { p << (31 - whole) };
    let mut log = (whole as i64 - 32) << 16;
    for bit in (0..16).rev() {
        x = (x * x) >> 31;
        if x >= 1 << 32 {
            log += 1 << bit;
            x >>= 1;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const LN_2_16: i64 = 45_426;

    fn of(draws: &[&[i32]], mean: &mut [u64]) -> Uncertainty {
        uncertainty(draws.iter().copied(), mean).unwrap()
    }

    #[test]
    fn worked_by_hand() {
        let mut mean = [0; 2];
        // Two draws that are sure of different classes: ln 2, all of it epistemic.
        let u = of(&[&[20 << 16, 0], &[0, 20 << 16]], &mut mean);
        assert!((u.total as i64 - LN_2_16).abs() < 2 && u.aleatoric < 4, "{u:?}");
        // Two draws that are both undecided: ln 2, all of it aleatoric.
        let u = of(&[&[5, 5], &[-9, -9]], &mut mean);
        assert!((u.total as i64 - LN_2_16).abs() < 2 && u.epistemic < 2, "{u:?}");
        assert_eq!(of(&[], &mut mean), Uncertainty::default());
    }

    /// A draw of another length is an error: what has no class would be left out without a word.
    #[test]
    fn every_draw_has_a_logit_for_every_class() {
        for (found, wanted) in [(3, 2), (1, 2), (0, 1)] {
            let (draw, mut mean) = (vec![1; found], vec![0; wanted]);
            assert_eq!(uncertainty([&draw[..]].into_iter(), &mut mean), Err(ClassesError { found, wanted }));
        }
        assert_eq!(uncertainty([&[][..]].into_iter(), &mut []), Ok(Uncertainty::default()));
    }

    #[test]
    fn roots_are_rounded_powers() {
        for (i, &root) in ROOTS.iter().enumerate() {
            let exact = (32.0 - 0.5f64.powi(i as i32 + 1)).exp2();
            assert!((root as f64 - exact).abs() <= 0.5 + 1e-6, "{i}");
        }
        assert_eq!((ROOTS[0], power(0, 0), power(i32::MAX, i32::MIN)), (3_037_000_500, 1 << 32, 0));
    }

    /// Largest error of an uncertainty in nats and of a mean probability, against f64.
    fn errors(logits: &[Vec<i32>]) -> (f64, f64) {
        let classes = logits[0].len();
        let mut mean = vec![0; classes];
        let found = uncertainty(logits.iter().map(|d| &d[..]), &mut mean).unwrap();
        let entropy = |p: &[f64]| p.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum::<f64>();
        let probabilities: Vec<Vec<f64>> = logits
            .iter()
            .map(|d| {
                let top = *d.iter().max().unwrap() as f64;
                let e: Vec<f64> = d.iter().map(|&l| ((l as f64 - top) / 65_536.0).exp()).collect();
                let sum: f64 = e.iter().sum();
                e.into_iter().map(|e| e / sum).collect()
            })
            .collect();
        let n = logits.len() as f64;
        let average: Vec<f64> = (0..classes).map(|c| probabilities.iter().map(|p| p[c]).sum::<f64>() / n).collect();
        let (total, aleatoric) = (entropy(&average), probabilities.iter().map(|p| entropy(p)).sum::<f64>() / n);
        let of = |found: u32, exact: f64| (found as f64 / 65_536.0 - exact).abs();
        let worst =
            of(found.total, total).max(of(found.aleatoric, aleatoric)).max(of(found.epistemic, total - aleatoric));
        let p = mean.iter().zip(&average).map(|(&m, a)| (m as f64 / 4_294_967_296.0 - a).abs()).fold(0.0, f64::max);
        (worst, p)
    }

    /// Logits of one kind: spread over so many units of the first fraction bit, or at the ends of their range.
    fn logits(random: &mut u64, draws: usize, classes: usize, spread: i64) -> Vec<Vec<i32>> {
        let mut next = || {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*random >> 33) as i64
        };
        let one = |n: i64| match spread {
            0 => [i32::MIN, i32::MAX, 0, 1][n as usize % 4],
            spread => (n % (2 * spread + 1) - spread) as i32,
        };
        (0..draws).map(|_| (0..classes).map(|_| one(next())).collect()).collect()
    }

    #[test]
    fn close_to_float_up_to_a_thousand_classes() {
        let mut random = 7;
        for classes in [2, 10, 100, 1000] {
            for spread in [0, 1, 3_000, 65_536, 300_000, 600_000, 2_000_000, 1 << 30] {
                for draws in [1, 2, 7, 32] {
                    let (nats, p) = errors(&logits(&mut random, draws, classes, spread));
                    assert!(nats < 1e-4 && p < 1e-6, "{classes} classes, {spread}, {draws} draws: {nats:e}, {p:e}");
                }
            }
            // One class a little or far above many equals; one far below.
            for top in [0, 1, 65_536, 7 << 16, 11 << 16, 14 << 16, 22 << 16, i32::MAX, -(9 << 16), i32::MIN] {
                let mut draw = vec![0; classes];
                draw[classes / 2] = top;
                let (nats, p) = errors(&[draw]);
                assert!(nats < 1e-4 && p < 1e-6, "{classes} classes, {top}: {nats:e}, {p:e}");
            }
        }
    }

    proptest! {
        #[test]
        fn close_to_float(draws in proptest::collection::vec(proptest::collection::vec(-600_000i32..600_000, 5), 1..20)) {
            let (nats, p) = errors(&draws);
            prop_assert!(nats < 1e-4 && p < 1e-6, "{nats:e}, {p:e}");
        }
    }
}
