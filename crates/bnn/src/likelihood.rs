//! The categorical likelihood: softmax of the logits, and its negative logarithm with gradient.

/// Softmax of the first images of a block of `batch`, as many as `probabilities` has room for: logits `[class][image]`
/// to probabilities `[image][class]`.
pub fn softmax(logits: &[f32], batch: usize, probabilities: &mut [f32]) {
    let classes = logits.len() / batch;
    for (image, row) in probabilities.chunks_exact_mut(classes).enumerate() {
        let top = (0..classes).map(|c| logits[c * batch + image]).fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (c, p) in row.iter_mut().enumerate() {
            *p = (logits[c * batch + image] - top).exp();
            sum += *p;
        }
        row.iter_mut().for_each(|p| *p /= sum);
    }
}

/// Negative log-likelihood of `labels` summed over a block (nats); `gradient` (`[class][image]`, overwritten) is that
/// of the sum times `scale`.
pub fn negative_log_likelihood(logits: &[f32], labels: &[u8], scale: f32, gradient: &mut [f32]) -> f64 {
    let batch = labels.len();
    let classes = logits.len() / batch;
    let mut total = 0.0f64;
    for (image, &label) in labels.iter().enumerate() {
        let top = (0..classes).map(|c| logits[c * batch + image]).fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for c in 0..classes {
            let e = (logits[c * batch + image] - top).exp();
            gradient[c * batch + image] = e;
            sum += e;
        }
        for c in 0..classes {
            let target = if c == label as usize { 1.0 } else { 0.0 };
            let g = &mut gradient[c * batch + image];
            *g = scale * (*g / sum - target);
        }
        total += (sum.ln() + top - logits[label as usize * batch + image]) as f64;
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
        let mut p = [0.0; 2];
        softmax(&logits, 1, &mut p);
        assert!((p[0] - 0.25).abs() < 1e-6 && (p[1] - 0.75).abs() < 1e-6);
        let mut g = [0.0; 2];
        let nll = negative_log_likelihood(&logits, &[0], 2.0, &mut g);
        assert!((nll - 4f64.ln()).abs() < 1e-6);
        assert!((g[0] + 1.5).abs() < 1e-6 && (g[1] - 1.5).abs() < 1e-6);
    }
}
