//! What computes predictions here, as results store it.

use qbnn_bnn::predictor;
use qbnn_eval::Backend;

pub use qbnn_bnn::predictor::kernel;

/// The backend of a predictor.
pub fn of(backend: &predictor::Backend) -> Backend {
    match backend {
        predictor::Backend::Integer { kernel } => Backend::Integer { kernel: Some((*kernel).to_owned()) },
        predictor::Backend::Simulated { why } => Backend::Simulated { why: why.clone() },
        // Their draws are floats on a device too.
        predictor::Backend::Float => Backend::Float,
        predictor::Backend::Analytic { weights } => Backend::Analytic { weights: weights.name().to_owned() },
        predictor::Backend::Ensemble { members } => Backend::Ensemble { members: members.iter().map(of).collect() },
    }
}
