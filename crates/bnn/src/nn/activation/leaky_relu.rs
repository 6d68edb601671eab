//! x above zero, `slope * x` below (Maas, Hannun, Ng 2013).

pub const NAME: &str = "leaky-relu";

pub const SIGNED: bool = true;

/// As PyTorch has it.
pub fn usual() -> f32 {
    0.01
}

pub fn check(slope: f32) -> Result<(), String> {
    let fits = (0.0..1.0).contains(&slope);
    if fits { Ok(()) } else { Err(format!("slope = {slope}; it must be in [0, 1)")) }
}

pub fn ceiling(_: f32) -> Option<f32> {
    None
}

#[inline(always)]
pub fn value(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

#[inline(always)]
pub fn slope(x: f32, slope: f32) -> f32 {
    if x > 0.0 { 1.0 } else { slope }
}
