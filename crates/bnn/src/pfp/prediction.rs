//! From means and variances of the logits to class probabilities and uncertainties.
//!
//! The mean of a softmax over Gaussian logits has no closed form, nor has its mean entropy. Both are taken over 256 fixed
//! points instead: every logit runs once through core's 256 Gaussian numbers, each class in an order of its own (a
//! Latin hypercube: McKay, Beckman, Conover 1979). Each logit by itself is met exactly, mean and variance; what is left
//! is the error of their joint effects, a fraction of what as many random draws would leave. The points are the same for
//! every image, so that a prediction depends on (model, image) alone.

use crate::noise;
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS, NoiseCounter};

/// Points over which probabilities and entropies are taken.
pub const POINTS: usize = 256;

/// The key of the classes' orders: any will do, but always the same.
const KEY: [u32; 2] = [0, 0];

/// What a pass says of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Probability of each class.
    pub probabilities: Vec<f64>,
    /// Entropy of the probabilities, in nats.
    pub total: f64,
    /// Mean entropy over the points, in nats.
    pub aleatoric: f64,
    /// total - aleatoric, at least 0.
    pub epistemic: f64,
}

/// The points: standard normal numbers, `[class][point]`.
#[derive(Clone, Debug)]
pub struct Points {
    values: Vec<[f32; POINTS]>,
}

/// Working memory of a prediction.
#[derive(Clone, Debug)]
pub struct Scratch {
    /// e^(logit - largest), then probabilities, `[class][point]`.
    powers: Vec<[f64; POINTS]>,
    /// -ln sum_c e^logit, `[point]`.
    energies: [f64; POINTS],
}

impl Points {
    /// For so many classes.
    pub fn new(classes: usize) -> Self {
        let one = (1u32 << GAUSSIAN_FRACTION_BITS) as f32;
        let column = |class: usize| {
            let place = NoiseCounter { purpose: noise::purpose::POINTS, tensor: class as u32, draw: 0 };
            let order = noise::permutation(KEY, place, POINTS);
            std::array::from_fn(|i| GAUSSIAN[order[i] as usize] as f32 / one)
        };
        Points { values: (0..classes).map(column).collect() }
    }

    /// Scratch for answers.
    pub fn scratch(&self) -> Scratch {
        Scratch { powers: vec![[0.0; POINTS]; self.values.len()], energies: [0.0; POINTS] }
    }

    /// Fills the memory with every point's probabilities and energy and returns their mean entropy. From the softmax on in double
    /// precision, like the softmax of draws.
    fn fill(&self, mean: &[f32], variance: &[f32], scratch: &mut Scratch) -> f64 {
        let Scratch { powers, energies } = scratch;
        let (mut top, mut sum, mut weighted) = ([f64::NEG_INFINITY; POINTS], [0.0; POINTS], [0.0; POINTS]);
        for ((x, points), (&m, &v)) in powers.iter_mut().zip(&self.values).zip(mean.iter().zip(variance)) {
            let s = v.sqrt();
            for i in 0..POINTS {
                x[i] = f64::from(m + s * points[i]);
                top[i] = if x[i] > top[i] { x[i] } else { top[i] };
            }
        }
        for x in powers.iter_mut() {
            for i in 0..POINTS {
                let below = x[i] - top[i];
                x[i] = below.exp();
                sum[i] += x[i];
                weighted[i] += x[i] * below;
            }
        }
        let entropy = (0..POINTS).map(|i| sum[i].ln() - weighted[i] / sum[i]).sum::<f64>();
        for x in powers.iter_mut() {
            x.iter_mut().zip(&sum).for_each(|(x, sum)| *x /= sum);
        }
        (0..POINTS).for_each(|i| energies[i] = -(top[i] + sum[i].ln()));
        entropy / POINTS as f64
    }

    /// The prediction of logits of these means and variances.
    pub fn prediction(&self, mean: &[f32], variance: &[f32], scratch: &mut Scratch) -> Prediction {
        let aleatoric = self.fill(mean, variance, scratch);
        let share = |p: &[f64; POINTS]| p.iter().sum::<f64>() / POINTS as f64;
        let probabilities: Vec<f64> = scratch.powers.iter().map(share).collect();
        let entropy_term = |&p: &f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        let total = probabilities.iter().map(entropy_term).sum::<f64>().max(0.0);
        let aleatoric = aleatoric.clamp(0.0, total);
        Prediction { probabilities, total, aleatoric, epistemic: total - aleatoric }
    }

    /// Every point's probabilities, `[point][class]`, and energies, `[point]`.
    pub fn probabilities(&self, mean: &[f32], variance: &[f32], scratch: &mut Scratch) -> (Vec<f64>, Vec<f64>) {
        self.fill(mean, variance, scratch);
        let probabilities = (0..POINTS).flat_map(|i| scratch.powers.iter().map(move |p| p[i])).collect();
        (probabilities, scratch.energies.to_vec())
    }
}
