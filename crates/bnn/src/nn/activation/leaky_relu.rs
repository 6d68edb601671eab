//! x above zero, `slope * x` below (Maas, Hannun, Ng 2013).

pub const SIGNED: bool = true;

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
