//! Progress over a whole grid, with the time that is left.

use super::estimate::shown;
use crate::ui::{Ui, note};
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Progress of a sweep. Work is counted in estimated seconds of one thread.
pub struct Progress {
    ui: Ui,
    bar: ProgressBar,
    started: Instant,
    total: f64,
    /// Tasks that run side by side, for an estimate before anything is done.
    jobs: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: f64,
    /// By task: estimated seconds and the share done.
    running: BTreeMap<usize, (f64, f64)>,
    finished: usize,
    of: usize,
    shown: Option<Instant>,
}

impl Progress {
    /// Begins: so much work in so many models.
    pub fn new(ui: Ui, total: f64, models: usize, jobs: usize) -> Self {
        let bar = ui.bar(1000, "{prefix} [{bar:20}] {wide_msg}");
        let state = State { of: models, ..State::default() };
        Progress { ui, bar, started: Instant::now(), total, jobs, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task has come so far.
    pub fn tell(&self, task: usize, estimated: f64, share: f64) {
        let mut state = self.state();
        state.running.insert(task, (estimated, share.min(1.0)));
        if state.shown.is_none_or(|at| at.elapsed() > Duration::from_millis(200)) {
            state.shown = Some(Instant::now());
            self.draw(&state);
        }
    }

    /// A task is done; a model, where `line` says what came out.
    pub fn end(&self, task: usize, estimated: f64, model: bool, line: &str) {
        let mut state = self.state();
        state.running.remove(&task);
        state.done += estimated;
        state.finished += usize::from(model);
        self.draw(&state);
        if !self.ui.quiet {
            let text = format!("[{}/{}] {line}; ETA {}", state.finished, state.of, self.left(&state));
            self.bar.suspend(|| note(&text));
        }
    }

    /// Removes the bar.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }

    fn worked(&self, state: &State) -> f64 {
        state.done + state.running.values().map(|(seconds, share)| seconds * share).sum::<f64>()
    }

    fn left(&self, state: &State) -> String {
        let (worked, elapsed) = (self.worked(state), self.started.elapsed().as_secs_f64());
        let left = (self.total - worked).max(0.0);
        // What was measured counts once there is enough of it.
        let speed = if worked > 2.0 && elapsed > 2.0 { worked / elapsed } else { self.jobs as f64 };
        shown(left / speed)
    }

    fn draw(&self, state: &State) {
        let share = self.worked(state) / self.total.max(1e-9);
        self.bar.set_position((1000.0 * share.min(1.0)) as u64);
        self.bar.set_prefix(format!("{}/{} models", state.finished, state.of));
        self.bar.set_message(format!("ETA {}  {} running", self.left(state), state.running.len()));
    }
}
