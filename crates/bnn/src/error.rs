//! The errors of this crate, each with its fix.

use crate::difference::Difference;
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
    /// Training that leads nowhere.
    #[error("training diverged in epoch {epoch}, step {step} of it: {found}; {cause} (the last checkpoint is intact)")]
    Diverged {
        /// What was found.
        found: String,
        /// The setting most likely at fault, its value, and what to do.
        cause: String,
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step of the epoch, counted from 1.
        step: u64,
    },
    /// A model file that does not compute what its checkpoint does.
    #[error(
        "the model file would not compute what its checkpoint does: logits differ by up to {:.3}, where their spread is \
         {:.3}, in {} of {} pairs of a draw and an image; this is a fault of the program, not of the network: report it \
         with the network's description",
        .0.largest, .0.spread, .0.apart, .0.pairs
    )]
    Apart(Difference),
    /// A prediction that was asked to stop before its end.
    #[error("stopped")]
    Stopped,
    /// A file that could not be read or written.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened, and the fix.
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
