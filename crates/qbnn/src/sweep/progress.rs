//! What a sweep tells about its progress.

/// Progress of a sweep. Work is counted in estimated seconds of one thread.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// Work begins.
    Began {
        /// Estimated work in all.
        total: f64,
        /// Models to be made.
        models: usize,
        /// Tasks that run side by side.
        jobs: usize,
    },
    /// A task has come so far.
    Running {
        /// The task's number.
        task: usize,
        /// Its estimated work.
        cost: f64,
        /// The share that is done, 0 to 1.
        share: f64,
    },
    /// A task ended.
    Ended {
        /// The task's number.
        task: usize,
        /// Its estimated work.
        cost: f64,
        /// Whether it made a model (not a float network that models share).
        model: bool,
        /// What came out, in one line.
        line: &'a str,
    },
    /// All work ended, or was stopped.
    Closed,
}
