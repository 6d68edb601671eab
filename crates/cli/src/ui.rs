//! Everything that is shown: lines, progress, results.
//!
//! Results go to stdout, all else to stderr. Progress is a bar on a terminal and one plain line per epoch elsewhere.
//! A reader that goes away (`qbnn … | head`) ends the output, not the program.

use crate::layout::{Medium, Sheet, wrap};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qbnn::run_folder::EpochLine;
use qbnn_bnn::train::Event;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How to show things.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// Nothing on stderr but errors.
    pub quiet: bool,
    /// Results as JSON.
    pub json: bool,
}

impl Ui {
    /// One line about what goes on.
    pub fn say(self, line: &str) {
        if !self.quiet {
            note(line);
        }
    }

    /// One line about what the user should know, even with `--quiet`.
    pub fn warn(self, line: &str) {
        note(&format!("warning: {line}"));
    }

    /// Text of a result.
    pub fn result(self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        shown(writeln!(out, "{text}").and_then(|()| out.flush()))
    }

    /// A result as one line of JSON.
    pub fn json_line(self, value: &impl Serialize) -> Result<()> {
        self.result(&serde_json::to_string(value)?)
    }

    /// A table of a result.
    pub fn table(self, sheet: &Sheet<'_>) -> Result<()> {
        self.result(&sheet.text(self.medium()))
    }

    /// Text of a result, broken between words where the terminal ends.
    pub fn text(self, text: &str) -> Result<()> {
        match self.medium() {
            Medium::Terminal(columns) => self.result(&wrap(text, columns, 0)),
            Medium::Lines => self.result(text),
        }
    }

    /// Where results go.
    pub fn medium(self) -> Medium {
        medium(io::stdout().is_terminal(), &console::Term::stdout())
    }

    /// Where lines about what goes on go.
    pub fn notes_medium(self) -> Medium {
        medium(io::stderr().is_terminal(), &console::Term::stderr())
    }

    /// A progress bar on a terminal, hidden elsewhere.
    pub fn bar(self, total: u64, template: &str) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        bar
    }

    /// Progress of training one model.
    pub fn training(self, model: &str, batch: usize) -> TrainingProgress {
        TrainingProgress { ui: self, model: model.to_owned(), batch, bar: ProgressBar::hidden(), last: None }
    }

    /// Progress of predicting one group.
    pub fn predicting(self, what: &str) -> ProgressBar {
        let bar = self.bar(1, "{msg:<28} [{bar:30}] {percent:>3} %  ETA {eta}");
        bar.set_message(what.to_owned());
        bar
    }

    /// Progress of a download: bytes of a file.
    pub fn downloading(self, file: &str) -> ProgressBar {
        let bar = self.bar(1, "{msg:<28} [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}");
        bar.set_message(file.to_owned());
        bar
    }
}

/// Whether a result reached stdout. A reader that goes away has what it wanted.
fn shown(written: io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// What the parser of the command line tells: help, or the version.
pub fn told(told: &clap::Error) -> Result<()> {
    shown(told.print().and_then(|()| io::stdout().flush()))
}

/// Columns where the terminal does not tell its own.
const COLUMNS: usize = 80;

/// A terminal is as wide as it says, or less where the variable COLUMNS says less.
fn medium(is_terminal: bool, terminal: &console::Term) -> Medium {
    if !is_terminal {
        return Medium::Lines;
    }
    let told = terminal.size_checked().map(|(_, columns)| usize::from(columns));
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    Medium::Terminal([told, asked].into_iter().flatten().filter(|&columns| columns > 0).min().unwrap_or(COLUMNS))
}

/// One line on stderr; a stderr that is gone is no reason to stop.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Progress of training one model.
pub struct TrainingProgress {
    ui: Ui,
    model: String,
    batch: usize,
    bar: ProgressBar,
    /// Validation accuracy of the epoch before.
    last: Option<f64>,
}

const TRAINING: &str = "{prefix} [{bar:10}] ETA {eta}  {wide_msg}";

impl TrainingProgress {
    /// Shows one event.
    pub fn event(&mut self, event: &Event) {
        match *event {
            Event::Step { epoch, epochs, step, steps, nll, kl, .. } => {
                let done = (epoch as u64 - 1) * steps + step;
                if self.bar.length().is_none() && !self.ui.quiet && io::stderr().is_terminal() {
                    self.bar = self.ui.bar(epochs as u64 * steps, TRAINING);
                    // A resumed run starts in the middle; what came before says nothing about the time left.
                    self.bar.set_position(done.saturating_sub(1));
                    self.bar.reset_eta();
                }
                self.bar.set_position(done);
                self.bar.set_prefix(format!("{} epoch {epoch}/{epochs}", self.model));
                let rate = self.bar.per_sec() * self.batch as f64;
                let last = self.last.map_or(String::new(), |v| format!("  val acc {:.2} %", 100.0 * v));
                // What a narrow terminal cuts off stands last.
                self.bar.set_message(format!("NLL {nll:.3}  KL {kl:.2}{last}  {rate:.0} img/s"));
            }
            Event::Epoch { validation_accuracy, .. } => {
                self.last = Some(validation_accuracy);
                let Some(line) = EpochLine::new(&self.model, event) else { return };
                if !self.ui.quiet {
                    let text = plain(&line);
                    // Above the bar, where there is one.
                    self.bar.suspend(|| note(&text));
                }
            }
        }
    }

    /// Removes the bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn plain(line: &EpochLine) -> String {
    format!(
        "{:<8} epoch {:>2}/{}  NLL {:.4}  KL {:.4}  val acc {:.2} %  val NLL {:.4}  {:.0} img/s",
        line.model,
        line.epoch,
        line.epochs,
        line.nll,
        line.kl,
        100.0 * line.validation_accuracy,
        line.validation_nll,
        line.images_per_second
    )
}
