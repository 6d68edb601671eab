//! Progress over a whole grid, with the time that is left.

use crate::ui::{Ui, note};
use indicatif::ProgressBar;
use qbnn::sweep;
use qbnn::sweep::estimate::shown;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Progress of a sweep. Work is counted in estimated seconds of one thread.
pub struct SweepProgress {
    ui: Ui,
    bar: ProgressBar,
    started: Instant,
    total: f64,
    /// Tasks that run side by side, for an estimate before anything is done.
    jobs: usize,
    state: State,
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

impl SweepProgress {
    /// Begins: so much work in so many models.
    pub fn new(ui: Ui, total: f64, models: usize, jobs: usize) -> Self {
        let bar = ui.bar(1000, "{prefix} [{bar:20}] {wide_msg}");
        let state = State { of: models, ..State::default() };
        SweepProgress { ui, bar, started: Instant::now(), total, jobs, state }
    }

    /// Shows what a sweep tells.
    pub fn show(&mut self, progress: sweep::Progress<'_>) {
        match progress {
            sweep::Progress::Began { .. } => {}
            sweep::Progress::Running { task, cost, share } => self.tell(task, cost, share),
            sweep::Progress::Ended { task, cost, model, line } => self.end(task, cost, model, line),
            sweep::Progress::Closed => self.bar.finish_and_clear(),
        }
    }

    fn tell(&mut self, task: usize, estimated: f64, share: f64) {
        self.state.running.insert(task, (estimated, share.min(1.0)));
        if self.state.shown.is_none_or(|at| at.elapsed() > Duration::from_millis(200)) {
            self.state.shown = Some(Instant::now());
            self.draw();
        }
    }

    fn end(&mut self, task: usize, estimated: f64, model: bool, line: &str) {
        self.state.running.remove(&task);
        self.state.done += estimated;
        self.state.finished += usize::from(model);
        self.draw();
        if !self.ui.quiet {
            let text = format!("[{}/{}] {line}; ETA {}", self.state.finished, self.state.of, self.left());
            self.bar.suspend(|| note(&text));
        }
    }

    fn worked(&self) -> f64 {
        self.state.done + self.state.running.values().map(|(seconds, share)| seconds * share).sum::<f64>()
    }

    fn left(&self) -> String {
        let (worked, elapsed) = (self.worked(), self.started.elapsed().as_secs_f64());
        let left = (self.total - worked).max(0.0);
        // What was measured counts once there is enough of it.
        let speed = if worked > 2.0 && elapsed > 2.0 { worked / elapsed } else { self.jobs as f64 };
        shown(left / speed)
    }

    fn draw(&self) {
        let share = self.worked() / self.total.max(1e-9);
        self.bar.set_position((1000.0 * share.min(1.0)) as u64);
        self.bar.set_prefix(format!("{}/{} models", self.state.finished, self.state.of));
        self.bar.set_message(format!("ETA {}  {} running", self.left(), self.state.running.len()));
    }
}
