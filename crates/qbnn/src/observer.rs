//! What the library tells while it works, and how it is told to stop.
//!
//! A front end implements [`Observer`]: it draws progress bars, writes a log, or does nothing. The library never
//! prints, and asks [`Observer::stopped`] often enough that a stop takes effect within about a second.

use qbnn_bnn::train;

pub use qbnn_bnn::train::Event as TrainingEvent;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// What goes on, in one line.
    Note(&'a str),
    /// What the user should know even when everything else is quiet, in one line.
    Warning(&'a str),
    /// What is about to happen.
    Begins(crate::steps::Beginning<'a>),
    /// A step or an epoch of training.
    Training {
        /// The model's name.
        model: &'a str,
        /// Images of a step.
        batch: usize,
        /// What happened.
        event: &'a train::Event,
    },
    /// The training of a model ended, was stopped, or failed.
    TrainingEnded,
    /// A prediction has come so far.
    Predicting {
        /// Model and group.
        what: &'a str,
        /// Draws done.
        done: usize,
        /// Draws in all.
        of: usize,
    },
    /// The prediction ended, was stopped, or failed.
    PredictingEnded,
    /// A sweep begins or goes on.
    Sweep(crate::sweep::Progress<'a>),
}

/// Hears what happens. Sweeps call it from several threads.
pub trait Observer: Sync {
    /// Hears one event.
    fn event(&self, event: Event<'_>);

    /// Whether to stop. What was written by then is whole.
    fn stopped(&self) -> bool {
        false
    }
}

/// Hears nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}

impl dyn Observer + '_ {
    /// Tells one line about what goes on.
    pub(crate) fn note(&self, line: &str) {
        self.event(Event::Note(line));
    }

    /// Tells one line that the user should know.
    pub(crate) fn warn(&self, line: &str) {
        self.event(Event::Warning(line));
    }
}
