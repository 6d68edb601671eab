//! Everything that can go wrong in this room, each with its mend.

use std::path::PathBuf;

/// An error of building, training, quantizing, storing or running a network.
#[derive(Debug, thiserror::Error)]
pub enum BnnError {
    /// A layer description that cannot be built.
    #[error("network `{network}`, layer {layer}: {problem}")]
    Network {
        /// The network's name.
        network: String,
        /// The layer's name or number.
        layer: String,
        /// What was found and what was wanted.
        problem: String,
    },
    /// A setting outside its range.
    #[error("{key} = {found}: {wanted}")]
    Setting {
        /// The setting's key.
        key: &'static str,
        /// The value found.
        found: String,
        /// What is accepted.
        wanted: String,
    },
    /// Data that does not fit the network.
    #[error("{0}")]
    Data(String),
    /// The loss is no longer a number.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step}: lower `learning_rate`, or train in float first \
         (the last checkpoint is intact)"
    )]
    Diverged {
        /// The loss found.
        loss: f64,
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within training, counted from 0.
        step: u64,
    },
    /// A file that could not be read or written.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened, and the mend.
        problem: String,
    },
}

impl BnnError {
    pub(crate) fn setting(key: &'static str, found: impl ToString, wanted: impl Into<String>) -> Self {
        BnnError::Setting { key, found: found.to_string(), wanted: wanted.into() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        BnnError::File { path: path.into(), problem: problem.into() }
    }
}
