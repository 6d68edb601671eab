//! One draw of every weight, and what its gradient asks for again.

/// One draw's working memory: everything that the backward pass asks for again.
#[derive(Clone, Debug, Default)]
pub struct Draw {
    /// Drawn weights, flat.
    pub weights: Vec<f32>,
    /// Standard normal noise, flat.
    pub noise: Vec<f32>,
    /// Random bytes of one tensor.
    pub(crate) bytes: Vec<u8>,
    /// Weights before their own grid, flat; empty where they have none.
    pub(crate) raw: Vec<f32>,
}
