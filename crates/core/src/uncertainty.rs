//! The uncertainty of one input from its logits under several draws, in fixed point.
//!
//! With p_s the softmax of draw s: total = H\[mean p_s\], aleatoric = mean H\[p_s\], epistemic = total - aleatoric (the
//! mutual information of prediction and weights; Depeweg et al. 2018), all in nats. Within 1e-3 of the same in float,
//! which a test says.

use crate::fixed::exp2;

/// An entropy of 65,536 is one nat.
pub const FRACTION_BITS: u32 = 16;
/// log2(e) with 16 fraction bits.
const LOG2_E: i64 = 94_548;
/// ln(2) with 16 fraction bits.
const LN_2: i64 = 45_426;

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

/// Uncertainty of an input whose draws have the logits `draws` (16 fraction bits, one number a class each), and its mean
/// probabilities with 32 fraction bits, into `mean`.
///
/// Without any draw everything is 0.
pub fn uncertainty<'l>(draws: impl Iterator<Item = &'l [i32]>, mean: &mut [u64]) -> Uncertainty {
    mean.fill(0);
    let (mut count, mut entropies) = (0u64, 0u64);
    for logits in draws {
        let top = logits.iter().copied().max().unwrap_or(0) as i64;
        // e^(logit - top) with 32 fraction bits; differences beyond 2^-32 are nothing.
        let power = |logit: i32| exp2(((logit as i64 - top).max(-1 << 21) * LOG2_E >> 21) as i32, 32) as u64;
        let sum: u64 = logits.iter().map(|&l| power(l)).sum();
        let (mut entropy, mut all) = (0i64, 0);
        for (slot, &logit) in mean.iter_mut().zip(logits) {
            let p = (power(logit) << 24) / (sum >> 8);
            *slot += p;
            all += p;
            entropy += surprise(p);
        }
        debug_assert!(all <= (1 << 32) + 4096);
        entropies += entropy.max(0) as u64;
        count += 1;
    }
    if count == 0 {
        return Uncertainty::default();
    }
    mean.iter_mut().for_each(|p| *p /= count);
    let total = mean.iter().map(|&p| surprise(p)).sum::<i64>().max(0) as u32;
    let aleatoric = ((entropies / count) as u32).min(total);
    Uncertainty { total, aleatoric, epistemic: total - aleatoric }
}

/// -p ln p with 16 fraction bits, p with 32.
fn surprise(p: u64) -> i64 {
    if p == 0 { 0 } else { (p as i64 * ((-log2(p) * LN_2) >> 16)) >> 32 }
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

    #[test]
    fn worked_by_hand() {
        let mut mean = [0; 2];
        // Two draws that are sure of different classes: ln 2, all of it epistemic.
        let draws = [[20 << 16, 0], [0, 20 << 16]];
        let u = uncertainty(draws.iter().map(|d| &d[..]), &mut mean);
        assert!((u.total as i64 - LN_2).abs() < 4 && u.aleatoric < 4, "{u:?}");
        // Two draws that are both undecided: ln 2, all of it aleatoric.
        let u = uncertainty([[5, 5], [-9, -9]].iter().map(|d| &d[..]), &mut mean);
        assert!((u.total as i64 - LN_2).abs() < 4 && u.epistemic < 4, "{u:?}");
        assert_eq!(uncertainty([].into_iter(), &mut mean), Uncertainty::default());
    }

    proptest! {
        #[test]
        fn close_to_float(logits in proptest::collection::vec(proptest::collection::vec(-600_000i32..600_000, 5), 1..20)) {
            let mut mean = vec![0; 5];
            let found = uncertainty(logits.iter().map(|d| &d[..]), &mut mean);
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
            let average: Vec<f64> = (0..5).map(|c| probabilities.iter().map(|p| p[c]).sum::<f64>() / n).collect();
            let aleatoric = probabilities.iter().map(|p| entropy(p)).sum::<f64>() / n;
            prop_assert!((found.total as f64 / 65_536.0 - entropy(&average)).abs() < 1e-3);
            prop_assert!((found.aleatoric as f64 / 65_536.0 - aleatoric).abs() < 1e-3);
            for (m, a) in mean.iter().zip(&average) {
                prop_assert!((*m as f64 / 4_294_967_296.0 - a).abs() < 1e-3);
            }
        }
    }
}
