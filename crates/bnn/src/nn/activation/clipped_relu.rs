//! min(max(x, 0), max): a ReLU whose range is known before any calibration.

pub const NAME: &str = "clipped-relu";

pub const SIGNED: bool = false;

/// As ReLU6 has it.
pub fn usual() -> f32 {
    6.0
}

pub fn check(max: f32) -> Result<(), String> {
    let fits = max > 0.0 && max.is_finite();
    if fits { Ok(()) } else { Err(format!("max = {max}; it must be above 0")) }
}

pub fn ceiling(max: f32) -> Option<f32> {
    Some(max)
}

#[inline(always)]
pub fn value(x: f32, max: f32) -> f32 {
    x.max(0.0).min(max)
}

#[inline(always)]
pub fn slope(x: f32, max: f32) -> f32 {
    super::one_if(x > 0.0 && x <= max)
}
