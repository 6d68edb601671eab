//! What can be wrong with a model file, one line each.

use super::VERSION;
use core::fmt;

/// A file that is not a model that this program can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// The first bytes are others.
    NotAModel,
    /// Written by a newer program.
    Version(u16),
    /// Fewer or more bytes than the header or the layers say.
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        wanted: u64,
    },
    /// The checksum differs.
    Checksum {
        /// Of the bytes.
        found: u32,
        /// In the header.
        wanted: u32,
    },
    /// A number of the header that has no meaning.
    Header {
        /// Which.
        what: &'static str,
        /// Its value.
        found: u64,
    },
    /// A layer that cannot be.
    Layer {
        /// Which, counted from 1.
        layer: usize,
        /// Why.
        problem: Problem,
    },
}

/// What is wrong with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A number that does not fit what precedes it.
    Number {
        /// Which.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The value that fits, or the largest that does.
        wanted: u64,
    },
    /// It reads wide values where codes are wanted, or the other way round.
    Values {
        /// What it wants.
        wanted: &'static str,
    },
    /// The accumulator of the sums could overflow.
    Accumulator {
        /// Largest magnitude of a sum of products.
        largest: u64,
    },
    /// Scales too far apart for fixed point.
    Scales {
        /// Which output channel, counted from 0.
        channel: usize,
    },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ModelError::NotAModel => {
                f.write_str("is no qbnn model (its first bytes are not `QBNN`); give a .qbnn file")
            }
            ModelError::Version(found) => {
                write!(f, "is of format version {found}, this program reads up to {VERSION}: update qbnn")
            }
            ModelError::Length { found, wanted } => {
                write!(f, "has {found} bytes, its header speaks of {wanted}: copy or write it again")
            }
            ModelError::Checksum { found, wanted } => {
                write!(f, "is damaged (checksum {found:08x}, {wanted:08x} was written): copy or write it again")
            }
            ModelError::Header { what, found } => {
                write!(f, "has {what} = {found} in its header, which means nothing: write it again")
            }
            ModelError::Layer { layer, problem } => write!(f, "layer {layer}: {problem}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Problem::Number { what, found, wanted } => write!(f, "{what} is {found}, {wanted} was wanted"),
            Problem::Values { wanted } => write!(f, "it needs {wanted}"),
            Problem::Accumulator { largest } => write!(
                f,
                "a sum of products could reach {largest}, its accumulator holds {}: use fewer inputs or bits",
                super::check::SUM_LIMIT - 1
            ),
            Problem::Scales { channel } => write!(
                f,
                "the scales of channel {channel} are too far apart for fixed point; calibrate or train it again"
            ),
        }
    }
}

impl core::error::Error for ModelError {}
