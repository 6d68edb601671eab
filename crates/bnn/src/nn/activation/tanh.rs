//! tanh(x): hardtanh without corners.

use super::sigmoid;

pub const NAME: &str = "tanh";

pub const SIGNED: bool = true;

pub fn ceiling() -> Option<f32> {
    Some(1.0)
}

#[inline(always)]
pub fn value(x: f32) -> f32 {
    2.0 * sigmoid::value(2.0 * x) - 1.0
}

#[inline(always)]
pub fn slope(x: f32) -> f32 {
    let y = value(x);
    1.0 - y * y
}
