//! Activation functions of a Gaussian: mean and variance of what comes out, exact when what goes in is Gaussian.
//!
//! Everything here is made of one thing, the larger of two independent Gaussians (Clark 1961, "The greatest of a finite
//! set of random variables", eq. 2 to 4): a ReLU is the larger of a Gaussian and zero, a pool takes it pair by pair. The
//! variance is written in deviations from the means, not as E\[y²\] - E\[y\]²: a narrow Gaussian far from zero would lose
//! all its digits in that difference.

use crate::math::{exp, vectorized};

/// Least variance that is told from zero: its root and the inverse of that root must be normal numbers.
const LEAST: f32 = 1e-30;
/// Below this power of e a tail is nothing: a mass of 1e-19 is lost on every sum here, and the subnormal numbers that
/// products of smaller ones end in are slow on every processor.
const FARTHEST: f32 = -40.0;
/// 1 / sqrt(2 pi).
const DENSITY: f32 = 0.398_942_3;

/// An activation function, with the ends of its codes where its values lie on a grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// max(x, 0)
    Relu,
    /// x, or slope * x below zero
    Leaky {
        /// Slope below zero.
        slope: f32,
    },
    /// min(max(x, low), high)
    Clip {
        /// Smallest value.
        low: f32,
        /// Largest value.
        high: f32,
    },
}

/// A Gaussian N(m, v) about zero.
#[derive(Clone, Copy)]
struct Sides {
    /// Its mass above zero.
    above: f32,
    /// Its mass below zero.
    below: f32,
    /// s phi(m / s): its standard deviation times the standard density at zero.
    edge: f32,
}

/// The masses to either side of zero, within 2e-7 (Abramowitz and Stegun 1964, 26.2.17). One root, one division and one
/// exponential serve all that is asked of a Gaussian.
#[inline(always)]
fn sides(m: f32, v: f32) -> Sides {
    let v = if v > LEAST { v } else { LEAST };
    let s = v.sqrt();
    let reach = s + 0.231_641_9 * m.abs();
    let inverse = 1.0 / (s * reach);
    let (ratio, t) = (m * reach * inverse, v * inverse);
    let power = -0.5 * ratio * ratio;
    let density = if power > FARTHEST { DENSITY * exp(power) } else { 0.0 };
    let mut p = 1.330_274_4;
    for c in [-1.821_256, 1.781_477_9, -0.356_563_78, 0.319_381_53] {
        p = p * t + c;
    }
    let tail = density * p * t;
    let (above, below) = if m >= 0.0 { (1.0 - tail, tail) } else { (tail, 1.0 - tail) };
    Sides { above, below, edge: s * density }
}

/// Mean and variance of the larger of N(`m1`, `v1`) and N(`m2`, `v2`), independent.
///
/// With d = m1 - m2, a² = v1 + v2, P the mass of N(d, a²) above zero, Q that below, and e = a phi(d / a):
/// mean = m2 + d P + e, variance = v1 P + v2 Q + d² P Q + d e (Q - P) - e².
#[inline(always)]
pub fn larger(m1: f32, v1: f32, m2: f32, v2: f32) -> (f32, f32) {
    let d = m1 - m2;
    let Sides { above, below, edge } = sides(d, v1 + v2);
    let variance = v1 * above + v2 * below + d * (d * above * below + edge * (below - above)) - edge * edge;
    (m2 + d * above + edge, if variance > 0.0 { variance } else { 0.0 })
}

/// Mean and variance of min(max(x, `low`), `high`), x from N(`m`, `v`).
///
/// Moments are taken about the point c between the ends that is nearest to the mean.
#[inline(always)]
fn clip(m: f32, v: f32, low: f32, high: f32) -> (f32, f32) {
    let v = if v > LEAST { v } else { LEAST };
    let (at_low, at_high) = (sides(m - low, v), sides(m - high, v));
    let (under, over) = (at_low.below, at_high.above);
    // What lies between the ends, from the two masses that are far from 1.
    let between = if m > high { at_high.below - under } else { at_low.above - over };
    let c = m.max(low).min(high);
    let (low, high, d) = (low - c, high - c, m - c);
    let mean = low * under + high * over + d * between + at_low.edge - at_high.edge;
    let square = low * low * under + high * high * over + (d * d + v) * between + (low + d) * at_low.edge
        - (high + d) * at_high.edge;
    let variance = square - mean * mean;
    (c + mean, if variance > 0.0 { variance } else { 0.0 })
}

impl Function {
    /// Mean and variance of its value for x from N(`m`, `v`).
    #[inline(always)]
    pub fn moments(self, m: f32, v: f32) -> (f32, f32) {
        match self {
            Function::Relu => larger(m, v, 0.0, 0.0),
            // slope * x + (1 - slope) * relu(x); the covariance of x and relu(x) is v P (Stein).
            Function::Leaky { slope } => {
                let (mean, variance) = larger(m, v, 0.0, 0.0);
                let (rest, shared) = (1.0 - slope, v * sides(m, v).above);
                (slope * m + rest * mean, slope * slope * v + rest * (rest * variance + 2.0 * slope * shared))
            }
            Function::Clip { low, high } => clip(m, v, low, high),
        }
    }

    /// Its value.
    #[inline(always)]
    pub fn value(self, x: f32) -> f32 {
        match self {
            Function::Relu => x.max(0.0),
            Function::Leaky { slope } => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Function::Clip { low, high } => x.max(low).min(high),
        }
    }

    /// Runs a loop with the choice of function made outside it.
    #[inline(always)]
    fn specialised(self, body: impl FnOnce(Function)) {
        vectorized(
            #[inline(always)]
            || match self {
                Function::Relu => body(Function::Relu),
                Function::Leaky { slope } => body(Function::Leaky { slope }),
                Function::Clip { low, high } => body(Function::Clip { low, high }),
            },
        );
    }

    /// Means and variances of values, each from its own Gaussian.
    pub fn forward(self, x: [&[f32]; 2], y: [&mut [f32]; 2]) {
        let ([m, v], [mean, variance]) = (x, y);
        self.specialised(
            #[inline(always)]
            |f| {
                for ((mean, variance), (&m, &v)) in mean.iter_mut().zip(variance).zip(m.iter().zip(v)) {
                    (*mean, *variance) = f.moments(m, v);
                }
            },
        );
    }

    /// Values of numbers that no weight took part in.
    pub fn forward_deterministic(self, x: &[f32], y: &mut [f32]) {
        self.specialised(
            #[inline(always)]
            |f| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f.value(x)),
        );
    }
}
