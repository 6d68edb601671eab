//! How far a prediction has come, and whether it goes on.

use crate::error::BnnError;
use std::ops::ControlFlow;

/// Is told how far a prediction has come, and says whether to go on.
pub trait Progress {
    /// `done` of `of` steps are done.
    fn step(&mut self, done: usize, of: usize) -> ControlFlow<()>;
}

impl<F: FnMut(usize, usize) -> ControlFlow<()>> Progress for F {
    fn step(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        self(done, of)
    }
}

/// Shows nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn step(&mut self, _: usize, _: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Tells of a step; asked to stop, it is the error.
pub(crate) fn step(progress: &mut dyn Progress, done: usize, of: usize) -> Result<(), BnnError> {
    if progress.step(done, of).is_break() { Err(BnnError::Stopped) } else { Ok(()) }
}
