//! Long work on a thread of its own: the thread that called hears what happens, hands it to Python, and looks at signals. Python
//! is called on that thread alone, and the work never waits for the global interpreter lock.

use crate::errors::raised;
use crate::watch::{EVERY, check_process};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use qbnn::observer::TrainingEvent as Training;
use qbnn::sweep::Progress;
use qbnn::{Event, Observer};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Something that happened, in plain values: the fields of `qbnn.Event`.
#[derive(Debug, Default)]
struct Message {
    kind: &'static str,
    text: String,
    counts: [(&'static str, usize); 4],
    counted: usize,
    numbers: Vec<(&'static str, f64)>,
}

impl Message {
    fn of(kind: &'static str, text: &str) -> Self {
        Message { kind, text: text.to_owned(), ..Self::default() }
    }

    fn count(mut self, name: &'static str, value: usize) -> Self {
        if let Some(place) = self.counts.get_mut(self.counted) {
            *place = (name, value);
            self.counted += 1;
        }
        self
    }

    fn number(mut self, name: &'static str, value: f64) -> Self {
        self.numbers.push((name, value));
        self
    }

    fn into_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("kind", self.kind)?;
        dict.set_item("text", self.text)?;
        for (name, value) in self.counts.into_iter().take(self.counted) {
            dict.set_item(name, value)?;
        }
        for (name, value) in self.numbers {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }
}

/// Sends what happens to the thread that called.
struct Channel<'a> {
    stop: &'a AtomicBool,
    state: Mutex<State>,
}

struct State {
    sender: Sender<Message>,
    /// When a step was last sent.
    sent: Option<Instant>,
    /// Work of a sweep: in all, and of each running task.
    total: f64,
    ended: f64,
    running: HashMap<usize, f64>,
}

impl Channel<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&self, message: Message) {
        // Whoever called hears until the work ends.
        let _ = self.sender.send(message);
    }

    /// Whether it is time for another step to be sent; the last one always is.
    fn is_due(&mut self, is_last: bool) -> bool {
        let due = is_last || self.sent.is_none_or(|sent| sent.elapsed() >= EVERY);
        if due {
            self.sent = Some(Instant::now());
        }
        due
    }

    fn sweep(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Began { total, .. } => self.total = total,
            Progress::Running { task, cost, share } => {
                self.running.insert(task, cost * share);
            }
            Progress::Ended { task, cost, line, .. } => {
                self.running.remove(&task);
                self.ended += cost;
                self.send(Message::of("note", line));
            }
            Progress::Closed => {}
        }
        if self.total > 0.0 {
            let share = ((self.ended + self.running.values().sum::<f64>()) / self.total).min(1.0);
            if self.is_due(share >= 1.0) {
                self.send(Message::of("sweep", "sweep").count("done", (100.0 * share) as usize).count("of", 100));
            }
        }
    }
}

impl Observer for Channel<'_> {
    fn event(&self, event: Event<'_>) {
        let mut state = self.state();
        match event {
            Event::Note(line) => state.send(Message::of("note", line)),
            Event::Warning(line) => state.send(Message::of("warning", line)),
            Event::Training { model, event, .. } => match *event {
                Training::Step { epoch, epochs, step, steps, nll, kl, .. } => {
                    let done = (epoch as u64 - 1) * steps + step;
                    if state.is_due(step == steps) {
                        let message = Message::of("step", model).count("done", done as usize);
                        let message = message.count("of", (epochs as u64 * steps) as usize).count("epoch", epoch);
                        state.send(message.count("epochs", epochs).number("nll", nll).number("kl", kl));
                    }
                }
                Training::Epoch { epoch, epochs, nll, kl, validation_accuracy, validation_nll, .. } => {
                    let message = Message::of("epoch", model).count("epoch", epoch).count("epochs", epochs);
                    let message = message.number("nll", nll).number("kl", kl);
                    let message = message.number("validation_accuracy", validation_accuracy);
                    state.send(message.number("validation_nll", validation_nll));
                }
            },
            Event::Predicting { what, done, of } => {
                if state.is_due(done >= of) {
                    state.send(Message::of("predict", what).count("done", done).count("of", of));
                }
            }
            Event::Sweep(progress) => state.sweep(progress),
            Event::Begins(_) | Event::TrainingEnded | Event::PredictingEnded => {}
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Does some work, and calls `tell` with a dictionary for everything that happens. A signal, or what `tell` raises, asks the work
/// to stop, and is raised when it has.
pub fn work<T: Send>(
    py: Python<'_>,
    tell: &Py<PyAny>,
    work: impl FnOnce(&dyn Observer) -> qbnn::Result<T> + Send,
) -> PyResult<T> {
    check_process()?;
    let stop = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let receiver = Mutex::new(receiver);
    let state = State { sender, sent: None, total: 0.0, ended: 0.0, running: HashMap::new() };
    let channel = Channel { stop: &stop, state: Mutex::new(state) };
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let channel = channel;
            qbnn::backend::kernel().map_err(qbnn::Error::from)?;
            work(&channel)
        });
        let told = hear(py, tell, &receiver, &stop);
        // Nobody waits for the lock: what still happens is not told.
        let done = py.detach(|| worker.join()).unwrap_or_else(|panic| resume_unwind(panic));
        told?;
        done.map_err(|e| raised(py, &e))
    })
}

/// Hands on what happens until the work ends.
fn hear(py: Python<'_>, tell: &Py<PyAny>, receiver: &Mutex<Receiver<Message>>, stop: &AtomicBool) -> PyResult<()> {
    let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(EVERY);
    loop {
        let heard = match py.detach(next) {
            Ok(message) => message.into_dict(py).and_then(|dict| tell.call1(py, (dict,)).map(drop)),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        if let Err(raised) = heard.and_then(|()| py.check_signals()) {
            stop.store(true, Ordering::Relaxed);
            return Err(raised);
        }
    }
}
