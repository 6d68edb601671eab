//! What can keep a model from running, one line each.

use crate::model::Kind;
use core::fmt;

/// Why a model does not run, or not with the memory and the numbers that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The model is of another kind than JQ.
    Kind(Kind),
    /// It needs more memory in one piece than this processor, or the machine, can address.
    TooLarge {
        /// Bytes that it needs.
        bytes: u64,
        /// Bytes that there can be.
        limit: u64,
    },
    /// Some memory is smaller than was said.
    Memory {
        /// Which, and what says how much it must be.
        what: &'static str,
        /// Numbers that it holds.
        found: usize,
        /// Numbers that it must hold.
        wanted: usize,
    },
    /// The bytes are no whole number of images.
    Images {
        /// Bytes there are.
        found: usize,
        /// Bytes of an image.
        each: usize,
    },
    /// The room for logits is not one number for every draw, image and class.
    Logits {
        /// Numbers there is room for.
        found: usize,
        /// Numbers there must be room for; `None` if they are more than can be counted.
        wanted: Option<usize>,
    },
    /// Draws that are not among those that were drawn.
    Draws {
        /// First and one behind the last that were asked for.
        found: (u32, u32),
        /// First and one behind the last that were drawn.
        drawn: (u32, u32),
    },
    /// Of drawn weights, draws must begin with the first or so many behind it, or a multiple of that.
    Group {
        /// Draws between the first that was drawn and the first that was asked for.
        found: u32,
        /// Draws that share strips.
        together: usize,
    },
    /// The weights were drawn for another plan.
    OtherWeights,
    /// The model has more layers than a run of one image takes.
    Layers {
        /// Layers of the model.
        found: usize,
        /// Most layers.
        limit: usize,
    },
    /// There is no answer from no draws.
    NoDraws,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RunError::Kind(kind) => {
                write!(
                    f,
                    "the integer runtime runs jq models, this one is {}; quantize it with strategy jq",
                    kind.name()
                )
            }
            RunError::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "the model needs {bytes} bytes of memory in one piece, {limit} is the most; use smaller layers"
                )
            }
            RunError::Memory { what, found, wanted } => write!(f, "{what}: it holds {found}, {wanted} was wanted"),
            RunError::Images { found, each } => {
                write!(f, "{found} bytes are no whole number of images of {each}; give whole images")
            }
            RunError::Logits { found, wanted: Some(wanted) } => {
                write!(f, "room for {found} logits, {wanted} was wanted: one for every draw, image and class")
            }
            RunError::Logits { found, wanted: None } => {
                write!(
                    f,
                    "room for {found} logits; so many draws of so many images cannot be held, ask for fewer at a time"
                )
            }
            RunError::Draws { found: (first, end), drawn: (from, to) } => {
                write!(f, "draws {first}..{end} were asked for, {from}..{to} were drawn; draw them first")
            }
            RunError::Group { found, together } => write!(
                f,
                "draws begin {found} behind the first that was drawn, a multiple of {together} was wanted: they share memory"
            ),
            RunError::Layers { found, limit } => {
                write!(f, "the model has {found} layers, one image at a time takes {limit} at most; run it in blocks")
            }
            RunError::NoDraws => f.write_str("no draws were asked for; ask for at least one"),
            RunError::OtherWeights => f.write_str("the weights were drawn for another model; draw them for this one"),
        }
    }
}

impl core::error::Error for RunError {}
