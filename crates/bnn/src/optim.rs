//! Adam (Kingma, Ba 2015, algorithm 1) with a cosine schedule.

use crate::math::vectorized;

/// State of Adam over one flat buffer: running means of the gradient and of its square.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adam {
    /// First moments.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
}

const BETA: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

impl Adam {
    /// Zeros for `len` parameters.
    pub fn new(len: usize) -> Self {
        Adam { first: vec![0.0; len], second: vec![0.0; len] }
    }

    /// Moves `parameters`, of the buffer those from `first` on, against `gradient`; `step` counts from 0.
    pub fn update(&mut self, first: usize, parameters: &mut [f32], gradient: &[f32], rate: f32, step: u64) {
        let rates = Rates::new(rate, step);
        let moments = self.first[first..].iter_mut().zip(&mut self.second[first..]);
        vectorized(
            #[inline(always)]
            || {
                for ((p, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
                    rates.apply(p, g, m, v);
                }
            },
        );
    }
}

/// Adam's constants at one step, its corrections for the moments' start at zero worked in.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    rate: f32,
    epsilon: f32,
}

impl Rates {
    /// Of a step that counts from 0.
    pub fn new(rate: f32, step: u64) -> Self {
        let t = (step + 1).min(i32::MAX as u64) as i32;
        let correction = (1.0 - (BETA.1 as f64).powi(t)).sqrt() as f32;
        Rates { rate: rate * correction / (1.0 - (BETA.0 as f64).powi(t)) as f32, epsilon: EPSILON * correction }
    }

    /// Moves one parameter `p` with moments `m` and `v` against its gradient `g`.
    #[inline(always)]
    pub fn apply(self, p: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
        *m = BETA.0 * *m + (1.0 - BETA.0) * g;
        *v = BETA.1 * *v + (1.0 - BETA.1) * g * g;
        *p -= self.rate * *m / (v.sqrt() + self.epsilon);
    }
}

/// Half a cosine from 1 at the first of `steps` steps towards 0 after the last.
pub fn cosine(step: u64, steps: u64) -> f32 {
    let share = step as f64 / steps.max(1) as f64;
    (0.5 * (1.0 + (std::f64::consts::PI * share).cos())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_rate_against_the_sign() {
        let mut adam = Adam::new(2);
        let mut p = [1.0, 1.0];
        adam.update(0, &mut p, &[0.3, -20.0], 0.01, 0);
        assert!((p[0] - 0.99).abs() < 1e-5 && (p[1] - 1.01).abs() < 1e-5, "{p:?}");
        assert_eq!((cosine(0, 10), cosine(10, 10)), (1.0, 0.0));
    }
}
