//! 1 / (1 + e^-x): bounded from both sides, never negative.

use crate::math::exp;

pub const NAME: &str = "sigmoid";

pub const SIGNED: bool = false;

pub fn ceiling() -> Option<f32> {
    Some(1.0)
}

#[inline(always)]
pub fn value(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
pub fn slope(x: f32) -> f32 {
    let y = value(x);
    y * (1.0 - y)
}
