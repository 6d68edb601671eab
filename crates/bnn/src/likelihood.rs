//! The categorical likelihood: softmax of the logits, and its negative logarithm with gradient.

use crate::math::{exp, vectorized};

/// Softmax of the first images of a block of `batch`, as many as `energies` has room for: logits `[class][image]`
/// to probabilities `[image][class]`, in double precision: of a confident network single precision keeps only 1 and 0,
/// and with them no uncertainty. `energies` are -ln sum_c exp(logit_c), in nats, which the probabilities do not tell.
pub fn softmax(logits: &[f32], batch: usize, probabilities: &mut [f64], energies: &mut [f64]) {
    let classes = logits.len() / batch;
    for (image, (row, energy)) in probabilities.chunks_exact_mut(classes).zip(energies).enumerate() {
        let logit = |c: usize| f64::from(logits[c * batch + image]);
        let top = (0..classes).map(logit).fold(f64::NEG_INFINITY, f64::max);
        for (c, p) in row.iter_mut().enumerate() {
            *p = (logit(c) - top).exp();
        }
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= sum);
        *energy = -(top + sum.ln());
    }
}

/// Softmax of every image of a block of `batch` where it stands: logits to probabilities, both `[class][image]`.
pub fn softmax_in_place(logits: &mut [f32], batch: usize) {
    let mut row = vec![0.0; logits.len() / batch];
    for image in 0..batch {
        let top = (0..row.len()).map(|c| logits[c * batch + image]).fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (c, p) in row.iter_mut().enumerate() {
            *p = (logits[c * batch + image] - top).exp();
            sum += *p;
        }
        row.iter().enumerate().for_each(|(class, &p)| logits[class * batch + image] = p / sum);
    }
}

/// Takes `smoothing` of every image's target away and shares it out among all classes (Szegedy et al. 2016, section 7):
/// t (1 - smoothing) + smoothing / classes, for the first `images` of a block of `batch`.
pub fn smooth(smoothing: f32, images: usize, batch: usize, targets: &mut [f32]) {
    let share = smoothing / (targets.len() / batch) as f32;
    for row in targets.chunks_exact_mut(batch) {
        row[..images].iter_mut().for_each(|t| *t = *t * (1.0 - smoothing) + share);
    }
}

/// Negative log-likelihood of targets, the probability of each class as `[class][image]`, of the first `images` of a
/// block of `batch`: the sum of -t ln p in nats. `gradient` (`[class][image]`, overwritten) is that of the sum times
/// `scale`, zero for the other images.
pub fn negative_log_likelihood(
    logits: &[f32],
    batch: usize,
    (targets, images): (&[f32], usize),
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    let classes = logits.len() / batch;
    let (mut top, mut sum) = (vec![f32::NEG_INFINITY; batch], vec![0.0f32; batch]);
    let mut right = vec![0.0f32; batch];
    vectorized(
        #[inline(always)]
        || {
            for row in logits.chunks_exact(batch) {
                top.iter_mut().zip(row).for_each(|(top, &x)| *top = if x > *top { x } else { *top });
            }
            for (row, e) in logits.chunks_exact(batch).zip(gradient.chunks_exact_mut(batch)) {
                for ((e, &x), (top, sum)) in e.iter_mut().zip(row).zip(top.iter().zip(&mut sum)) {
                    *e = exp(x - top);
                    *sum += *e;
                }
            }
            for (e, t) in gradient.chunks_exact_mut(batch).zip(targets.chunks_exact(batch)) {
                e.iter_mut().zip(&sum).zip(t).for_each(|((e, sum), t)| *e = *e * (scale / sum) - scale * t);
            }
            for (row, t) in logits.chunks_exact(batch).zip(targets.chunks_exact(batch)) {
                right.iter_mut().zip(row).zip(t).for_each(|((right, x), t)| *right += x * t);
            }
        },
    );
    let total = (0..images).map(|i| (sum[i].ln() + top[i] - right[i]) as f64).sum();
    for class in 0..classes {
        gradient[class * batch + images..(class + 1) * batch].fill(0.0);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_worked_by_hand() {
        // Logits (0, ln 3): probabilities 1/4 and 3/4.
        let logits = [0.0, 3f32.ln()];
        let (mut p, mut energy) = ([0.0; 2], [0.0; 1]);
        softmax(&logits, 1, &mut p, &mut energy);
        assert!((p[0] - 0.25).abs() < 1e-6 && (p[1] - 0.75).abs() < 1e-6);
        // -ln (1 + 3).
        assert!((energy[0] + 4f64.ln()).abs() < 1e-6);
        // A hundred nats apart: single precision would say 0.
        softmax(&[0.0, 100.0], 1, &mut p, &mut energy);
        assert_eq!(energy, [-100.0]);
        assert!((p[0] / (-100f64).exp() - 1.0).abs() < 1e-14 && p[1] == 1.0);
        let mut g = [0.0; 2];
        let mut targets = [1.0, 0.0];
        let nll = negative_log_likelihood(&logits, 1, (&targets, 1), 2.0, &mut g);
        assert!((nll - 4f64.ln()).abs() < 1e-6);
        assert!((g[0] + 1.5).abs() < 1e-6 && (g[1] - 1.5).abs() < 1e-6);
        // Half of the label is shared out: targets 3/4 and 1/4.
        smooth(0.5, 1, 1, &mut targets);
        assert_eq!(targets, [0.75, 0.25]);
        let nll = negative_log_likelihood(&logits, 1, (&targets, 1), 2.0, &mut g);
        assert!((nll - (0.75 * 4f64.ln() + 0.25 * (4f64 / 3.0).ln())).abs() < 1e-6);
        assert!((g[0] + 1.0).abs() < 1e-6 && (g[1] - 1.0).abs() < 1e-6);
    }
}
