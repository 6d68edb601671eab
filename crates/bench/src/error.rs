//! The errors of a measurement, each with its fix.

use crate::networks::NAMES;
use qbnn_bnn::BnnError;
use qbnn_bnn::internals::nn::limit::MAX_PROBABILITIES;
use qbnn_core::kernel::UnknownKernel;
use qbnn_core::model::ModelError;
use qbnn_core::run::RunError;

/// Why something was not measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name of no network.
    #[error("no network `{name}` to measure; there are {}", NAMES.join(", "))]
    Network {
        /// The name.
        name: String,
    },
    /// A model that the integer runtime does not run.
    #[error("{file}: holds a {kind} model, the integer runtime runs jq; quantize with --strategy jq")]
    Kind {
        /// Where the model comes from.
        file: String,
        /// Its kind.
        kind: &'static str,
    },
    /// More images than are held at once.
    #[error("{batch} images of {model} are {bytes} bytes, wanted at most {MAX_PROBABILITIES}; give a smaller batch")]
    Images {
        /// Images of the batch.
        batch: usize,
        /// The model's name.
        model: String,
        /// Their bytes.
        bytes: u128,
    },
    /// Threads that the system does not start.
    #[error("cannot start the threads; measure with fewer")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Another thread failed before.
    #[error("a thread that measured has failed")]
    Poisoned,
    /// The observer asked to stop.
    #[error("stopped while {what} was measured; nothing was written")]
    Stopped {
        /// What was measured at that moment.
        what: String,
    },
    /// A network that cannot be built, trained or exported.
    #[error(transparent)]
    Bnn(#[from] BnnError),
    /// Bytes that are no model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model that does not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A kernel that this processor does not have.
    #[error(transparent)]
    Kernel(#[from] UnknownKernel),
}
