//! How a gradient is estimated through random weights.

use serde::{Deserialize, Serialize};

/// The gradient estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// One drawn network per step (Blundell et al. 2015).
    #[serde(rename = "weight-draw")]
    Reparameterization,
    /// Drawn activations (Kingma, Salimans, Welling 2015).
    LocalReparameterization,
    /// One drawn deviation, its sign flipped per image (Wen et al. 2018).
    Flipout,
}
