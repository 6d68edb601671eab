//! What a computation asks Python while it runs: is there a signal, and who wants to know how far it is.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often Python is asked: often enough for Ctrl-C, seldom enough to cost nothing.
pub const EVERY: Duration = Duration::from_millis(50);

/// The process in which threads were started, 0 for none yet.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Refuses to compute in a process that was forked off one that has computed: its threads do not exist there, and waiting for
/// them would never end.
pub fn check_process() -> PyResult<()> {
    let own = std::process::id();
    match STARTED.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
        Err(first) if first != own => Err(PyRuntimeError::new_err(
            "qbnn was used before this process was forked, and its threads do not survive that; start processes with \
             multiprocessing.get_context(\"spawn\")",
        )),
        _ => Ok(()),
    }
}

/// Looks at signals, and tells a callable how far a prediction is.
pub struct Watch {
    callable: Option<Py<PyAny>>,
    looked: Instant,
    /// What Python raised, once it did.
    pub raised: Option<PyErr>,
}

impl Watch {
    /// For a callable that takes the numbers of done and of all images, or none.
    pub fn new(callable: Option<Py<PyAny>>) -> Self {
        Watch { callable, looked: Instant::now(), raised: None }
    }

    /// So many of all are done. Whether to go on.
    pub fn step(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        if self.raised.is_some() {
            return ControlFlow::Break(());
        }
        if done < of && self.looked.elapsed() < EVERY {
            return ControlFlow::Continue(());
        }
        self.looked = Instant::now();
        let asked = Python::attach(|py| {
            py.check_signals()?;
            self.callable.as_ref().map_or(Ok(()), |callable| callable.call1(py, (done, of)).map(drop))
        });
        match asked {
            Ok(()) => ControlFlow::Continue(()),
            Err(raised) => {
                self.raised = Some(raised);
                ControlFlow::Break(())
            }
        }
    }
}
