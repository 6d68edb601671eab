//! max(x, 0). Under quantization the learned step of its unsigned codes is a learned clip: PACT (Choi et al. 2018).

pub const NAME: &str = "relu";

pub const SIGNED: bool = false;

pub fn ceiling() -> Option<f32> {
    None
}

#[inline(always)]
pub fn value(x: f32) -> f32 {
    x.max(0.0)
}

#[inline(always)]
pub fn slope(x: f32) -> f32 {
    super::one_if(x > 0.0)
}
