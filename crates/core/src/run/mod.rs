//! Running a model: memory from the caller, integers only, the same bytes on every path.
//!
//! A [`Plan`] works out once what runs and how much memory it takes; a [`Program`] adds the constants that the stored
//! scales stand for. Both are read only and can be shared by threads, each with a [`Scratch`] of its own. Weights are
//! drawn either all at once into [`Weights`] (*materialised*: the S networks serve every image), or tile by tile as the
//! products need them (*streamed*: memory stays near that of the codes). Both give the same logits, which depend on the
//! model, the seed and the draw alone. With a heap (feature `alloc`), a `Session` owns all of these.
//!
//! ```
//! # fn demo(file: &[u8], pixels: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! use qbnn_core::{kernel::Kernel, model::Model, run::{Plan, Scratch, Source, Step, Weights}};
//! let model = Model::new(file)?;
//! let mut steps = vec![Step::default(); model.layers()];
//! let plan = Plan::new(model, &mut steps)?;
//! let mut constants = vec![0; plan.constants()];
//! let program = plan.prepare(Kernel::best(), &mut constants)?;
//! let (draws, seed) = (0..32, 7);
//! let need = plan.scratch();
//! let (mut signed, mut bytes, mut words) = (vec![0; need.signed], vec![0; need.bytes], vec![0; need.words]);
//! let mut scratch = Scratch::new(&mut signed, &mut bytes, &mut words);
//! let need = plan.weights(32);
//! let (mut signed, mut words) = (vec![0; need.signed], vec![0; need.words]);
//! let weights = Weights::draw(&program, seed, draws.clone(), &mut signed, &mut words, &mut scratch)?;
//! let mut logits = vec![0; 32 * pixels.len() / model.input().len() * model.classes()];
//! program.run(Source::Drawn(&weights), pixels, draws, &mut scratch, &mut logits)?;
//! # Ok(()) }
//! ```

pub(crate) mod constants;
mod error;
pub(crate) mod execute;
pub(crate) mod ops;
pub(crate) mod plan;
#[cfg(feature = "alloc")]
mod session;
mod step;
mod weights;

pub use constants::Program;
pub use error::RunError;
pub use execute::Source;
pub use plan::Plan;
#[cfg(feature = "alloc")]
pub use session::{Prediction, Session, SessionError};
pub use step::Step;
pub use weights::Weights;

use plan::SLACK;

/// Numbers of each kind that some memory must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Signed bytes: drawn weights.
    pub signed: usize,
    /// Bytes: activations, noise.
    pub bytes: usize,
    /// 32-bit words: sums, biases.
    pub words: usize,
}

impl Size {
    /// All of it in bytes; `usize::MAX` if it is more than can be counted.
    pub const fn total(self) -> usize {
        self.signed.saturating_add(self.bytes).saturating_add(self.words.saturating_mul(4))
    }
}

/// Working memory of one thread; how much, says [`Plan::scratch`]. Its content does not matter.
#[derive(Debug)]
pub struct Scratch<'m> {
    pub(crate) signed: &'m mut [i8],
    pub(crate) bytes: &'m mut [u8],
    pub(crate) words: &'m mut [i32],
}

impl<'m> Scratch<'m> {
    /// Memory lent by the caller.
    pub fn new(signed: &'m mut [i8], bytes: &'m mut [u8], words: &'m mut [i32]) -> Self {
        // Vectors that begin at multiples of their size are read faster.
        let at = (signed.as_ptr().align_offset(64), bytes.as_ptr().align_offset(64), words.as_ptr().align_offset(64));
        let (a, b, c) = (at.0.min(signed.len()), at.1.min(bytes.len()), at.2.min(words.len()));
        Scratch { signed: &mut signed[a..], bytes: &mut bytes[b..], words: &mut words[c..] }
    }

    /// Whether it is as large as `size` says.
    fn holds(&self, size: Size) -> Result<(), RunError> {
        for (what, found, wanted) in [
            ("signed bytes of the scratch memory (Plan::scratch)", self.signed.len(), size.signed),
            ("bytes of the scratch memory (Plan::scratch)", self.bytes.len(), size.bytes),
            ("words of the scratch memory (Plan::scratch)", self.words.len(), size.words),
        ] {
            // What was cut off to begin at a multiple of 64 bytes is not missed.
            if found + SLACK < wanted {
                return Err(RunError::Memory { what, found, wanted });
            }
        }
        Ok(())
    }
}
