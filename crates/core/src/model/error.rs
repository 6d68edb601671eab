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
    /// A sigma grid whose step is not positive.
    SigmaStep {
        /// The step, in 2048ths of an octave.
        found: i16,
    },
    /// The smallest and largest code of an activation are not codes of its width on both sides of 0.
    Codes {
        /// Smallest and largest code.
        found: (i16, i16),
        /// Smallest and largest code of its width.
        wanted: (i32, i32),
    },
    /// An add reads codes whose step is too large for wide values.
    Operand {
        /// The step's logarithm, in 2048ths of an octave.
        log2_step: i32,
    },
    /// An activation whose step is so large beside the sums that it reads that every code would be 0.
    Vanishing {
        /// The step's logarithm, in 2048ths of an octave.
        log2_step: i16,
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
            Problem::SigmaStep { found } => {
                write!(f, "the step of a sigma grid is {found}, 1 or more was wanted; write it again")
            }
            Problem::Codes { found: (low, high), wanted: (least, most) } => write!(
                f,
                "its codes go from {low} to {high}; {least} to 0 was wanted for the smallest, 1 to {most} for the largest"
            ),
            Problem::Operand { log2_step } => write!(
                f,
                "it adds codes of step 2^({log2_step}/2048), below 2^14 was wanted; calibrate or train it again"
            ),
            Problem::Vanishing { log2_step } => write!(
                f,
                "its step of 2^({log2_step}/2048) is so large beside the sums that every code would be 0;                  calibrate or train it again"
            ),
            Problem::Scales { channel } => write!(
                f,
                "the scales of channel {channel} are too far apart for fixed point; calibrate or train it again"
            ),
        }
    }
}

impl core::error::Error for ModelError {}
