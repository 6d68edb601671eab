//! What every command shares: how to show things, and whether to stop.

use crate::failure::STOPPED;
use crate::summary;
use crate::sweep::progress::SweepProgress;
use crate::ui::{TrainingProgress, Ui, note};
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use qbnn::steps::{Beginning, Caller};
use qbnn::wording::thousands;
use qbnn::{Event, Observer, shell, sweep};
use qbnn_bnn::internals::files::Writing;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether the user asked to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// How long a command has to come to its own end after it was asked to stop.
const GRACE: Duration = Duration::from_millis(700);
/// How often it is looked whether nothing is being written.
const LOOK: Duration = Duration::from_millis(20);

/// Whether the user asked to stop.
pub fn is_stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The session of one command: it shows what the library tells, and says whether to stop.
pub struct Session {
    /// How to show things.
    pub ui: Ui,
    began: Instant,
    shown: Mutex<Shown>,
}

/// What is on the screen.
#[derive(Default)]
struct Shown {
    training: Option<(String, TrainingProgress)>,
    predicting: Option<(String, ProgressBar)>,
    sweep: Option<SweepProgress>,
}

impl Session {
    /// Begins: from here on the first Ctrl-C (or SIGTERM, or a closed terminal) asks to stop, the second one ends the
    /// program at once.
    ///
    /// A command that looks at [`Session::stopped`] says where it is and how to go on. One that cannot, because it waits
    /// for a pipe or is in the middle of a long computation, is ended for it after [`GRACE`], but never while a file is
    /// being written: what lies on the disk is then what a kill would leave, and every command goes on from that.
    pub fn new(ui: Ui) -> Result<Self> {
        let handler = || {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(STOPPED.into());
            }
            // Apart from the handler, which must hear the second signal.
            if std::thread::Builder::new().spawn(end).is_err() {
                end();
            }
        };
        ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
        Ok(Session { ui, began: Instant::now(), shown: Mutex::default() })
    }

    /// Time since the command began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the user asked to stop.
    pub fn stopped(&self) -> bool {
        is_stopped()
    }

    /// This command as one that takes a step.
    pub fn caller(&self) -> Caller<'_> {
        Caller { observer: self, command: shell::command(), began: self.began }
    }
}

impl Observer for Session {
    fn event(&self, event: Event<'_>) {
        // A panic elsewhere leaves bars as they were.
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Note(line) => self.ui.say(line),
            Event::Warning(line) => self.ui.warn(line),
            Event::Begins(begins) => {
                self.ui.say(&headline(begins));
                if begins.trains {
                    self.ui.say(&summary::table(begins.network, self.ui.notes_medium()));
                }
            }
            Event::Training { model, batch, event } => {
                let other = shown.training.take().filter(|(name, _)| name == model);
                let (_, progress) =
                    shown.training.insert(other.unwrap_or_else(|| (model.to_owned(), self.ui.training(model, batch))));
                progress.event(event);
            }
            Event::TrainingEnded => {
                if let Some((_, progress)) = shown.training.take() {
                    progress.end();
                }
            }
            Event::Predicting { what, done, of } => {
                let bar = match shown.predicting.take().filter(|(name, _)| name == what) {
                    Some((_, bar)) => bar,
                    None => {
                        let bar = self.ui.predicting(what);
                        // The draws before this event say nothing about the time left.
                        bar.set_position(done as u64);
                        bar.reset_eta();
                        bar
                    }
                };
                bar.set_length(of as u64);
                bar.set_position(done as u64);
                shown.predicting = Some((what.to_owned(), bar));
            }
            Event::PredictingEnded => {
                if let Some((_, bar)) = shown.predicting.take() {
                    bar.finish_and_clear();
                }
            }
            Event::Sweep(sweep::Progress::Began { total, models, jobs }) => {
                shown.sweep = Some(SweepProgress::new(self.ui, total, models, jobs));
            }
            Event::Sweep(progress) => {
                if let Some(sweep) = &mut shown.sweep {
                    sweep.show(progress);
                }
            }
        }
    }

    fn stopped(&self) -> bool {
        is_stopped()
    }
}

/// Ends the program that was asked to stop and has not done so.
fn end() {
    std::thread::sleep(GRACE);
    while Writing::is_on() {
        std::thread::sleep(LOOK);
    }
    // A stderr that nobody reads must not keep it.
    let say = || note("error: stopped; what was written before is whole, the same command begins again");
    let _ = std::thread::Builder::new().spawn(say);
    std::thread::sleep(2 * LOOK);
    std::process::exit(STOPPED.into());
}

/// One line on what is about to happen.
fn headline(begins: Beginning<'_>) -> String {
    let Beginning { config, data, network: net, .. } = begins;
    let d = data.dataset;
    let group = |g: &qbnn_data::TestGroup| format!("{} {}", thousands(g.images.len() as u64), g.name);
    format!(
        "{}: {} training pairs, {}; {}: {} parameters; seed {}; {} threads",
        d.name,
        thousands(d.train.pairs.len() as u64),
        d.groups.iter().map(group).collect::<Vec<_>>().join(", "),
        net.spec.name,
        thousands(net.parameters() as u64),
        config.seed,
        rayon::current_num_threads(),
    )
}
