//! What draws say of images that belong to no class: each should be sure of something, and all of different things.
//!
//! That is mutual information of class and draw, H\[mean p_s\] - mean H\[p_s\], the epistemic uncertainty itself, and here it
//! is a thing to be learned, on images made up for it: made-up inputs as in noise contrastive priors (Hafner et al. 2018,
//! arXiv 1807.09289), diversity as in ensembles that maximise it (Jain, Liu, Mueller, Gifford 2020, arXiv 1906.07380).

use crate::likelihood::softmax_in_place;

/// Probabilities up to this one count as nothing: their logarithm may be anything, a mean of them zero.
const NOTHING: f32 = 1e-30;

/// Mutual information of class and draw, summed over the images of a block of `batch` (nats), from the logits of every
/// draw, `[draw][class][image]`. They are overwritten by the gradient of the sum times `scale` with respect to them.
pub fn mutual_information(draws: &mut [Vec<f32>], batch: usize, scale: f32) -> f64 {
    let share = 1.0 / draws.len().max(1) as f32;
    draws.iter_mut().for_each(|logits| softmax_in_place(logits, batch));
    let mut mean = vec![0.0f32; draws.first().map_or(0, Vec::len)];
    draws.iter().for_each(|p| mean.iter_mut().zip(p).for_each(|(m, p)| *m += p * share));
    let mut total = 0.0;
    for p in draws {
        // Of each image: E_p[ln(p / mean)], the divergence of this draw from the mean of all.
        let mut divergence = vec![0.0f32; batch];
        let ratio = |p: f32, mean: f32| if p > NOTHING { (p / mean).ln() } else { 0.0 };
        for (p, mean) in p.chunks_exact(batch).zip(mean.chunks_exact(batch)) {
            divergence.iter_mut().zip(p.iter().zip(mean)).for_each(|(d, (&p, &m))| *d += p * ratio(p, m));
        }
        total += divergence.iter().map(|&d| (d * share) as f64).sum::<f64>();
        for (p, mean) in p.chunks_exact_mut(batch).zip(mean.chunks_exact(batch)) {
            for ((p, &mean), divergence) in p.iter_mut().zip(mean).zip(&divergence) {
                *p *= scale * share * (ratio(*p, mean) - divergence);
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: usize = 2;

    #[test]
    fn sure_draws_of_different_classes_share_ln_2_and_equal_ones_nothing() {
        // Image 0: sure of one class and of the other. Image 1: the same said twice.
        let mut draws = [vec![90.0, 0.3, 0.0, 0.7], vec![0.0, 1.3, 90.0, 1.7]];
        let information = mutual_information(&mut draws, BATCH, 1.0);
        assert!((information - 2f64.ln()).abs() < 1e-6, "{information}");
        assert!(draws.iter().flatten().all(|g| g.abs() < 1e-6), "{draws:?}");
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let logits = vec![vec![0.3, -1.0, 0.9, 0.2, -0.4, 1.1], vec![1.3, 0.4, -0.6, 0.8, 0.1, -0.2], vec![0.0; 6]];
        let mut gradient = logits.clone();
        mutual_information(&mut gradient, BATCH, 2.0);
        for draw in 0..3 {
            for at in 0..6 {
                let moved = |by: f32| {
                    let mut z = logits.clone();
                    z[draw][at] += by;
                    mutual_information(&mut z, BATCH, 1.0)
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let found = gradient[draw][at] as f64 / 2.0;
                assert!((slope - found).abs() < 1e-4, "draw {draw}, logit {at}: {found} against {slope}");
            }
        }
    }
}
