//! min(max(x, -1), 1): symmetric, so that a Gaussian about zero keeps its shape until it clips.

pub const NAME: &str = "hardtanh";

pub const SIGNED: bool = true;

pub fn ceiling() -> Option<f32> {
    Some(1.0)
}

#[inline(always)]
pub fn value(x: f32) -> f32 {
    x.clamp(-1.0, 1.0)
}

#[inline(always)]
pub fn slope(x: f32) -> f32 {
    super::one_if(x > -1.0 && x <= 1.0)
}
