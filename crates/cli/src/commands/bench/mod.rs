//! `qbnn bench`: how fast, as multiples or fractions of what the machine could do at best.

pub mod args;
mod run;
mod train;

use crate::failure::usage;
use crate::layout::Sheet;
use crate::session::Session;
use crate::ui::Ui;
use anyhow::{Context, Result};
use args::{BenchAction, BenchCommand, EffortArgs};
use indicatif::ProgressBar;
use qbnn::output::write_whole;
use qbnn_bench::{Error, Machine, Target};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Measures.
pub fn bench(session: &Session, args: &BenchCommand) -> Result<()> {
    match &args.action {
        Some(BenchAction::Train(args)) => train::train(session, args),
        None => run::run(session, &args.run),
    }
}

fn show_targets(ui: Ui, targets: &[Target]) -> Result<()> {
    let mut rows: Vec<Vec<String>> = vec![["target", "wanted", "measured", ""].map(str::to_owned).to_vec()];
    rows.extend(targets.iter().map(|t| {
        // Three digits of whatever size.
        let number = |v: f64| if v < 0.1 { format!("1/{:.1}", 1.0 / v) } else { format!("{v:.2}") };
        let verdict = if t.met { "met" } else { "missed" };
        vec![t.what.clone(), number(t.wanted), number(t.measured), verdict.to_owned()]
    }));
    if targets.is_empty() { Ok(()) } else { ui.table(&Sheet::plain(1, &rows)) }
}

/// The computer of a record.
fn computer(machine: &Machine) -> String {
    format!("{}, {} cores", machine.cpu.as_deref().unwrap_or("unknown processor"), machine.cores)
}

/// Progress that moves a bar, and stops when the user asked to.
fn progress<'a>(session: &'a Session, bar: &'a ProgressBar) -> impl FnMut(usize, usize) -> ControlFlow<()> + 'a {
    move |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        if session.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// An error of the benchmark; one of `bnn` as itself, so that a mistake in what was asked for is known as one.
fn failed(error: Error) -> anyhow::Error {
    match error {
        Error::Bnn(error) => error.into(),
        Error::Network { .. } => usage(error.to_string()),
        other => other.into(),
    }
}

/// Threads that may be measured with on any machine.
const FEW: usize = 8;

/// Threads to measure with: those that were named, else one and two.
///
/// # Errors
/// So many that their memory (each copies 64 MiB to know the limit) says nothing about this machine.
fn threads(session: &Session, named: &[u16]) -> Result<Vec<usize>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<usize> = match named {
        [] => [1, 2].into_iter().filter(|&n| n <= cores).collect(),
        given => given.iter().map(|&n| usize::from(n)).collect(),
    };
    if let Some(found) = threads.iter().max().filter(|&&n| n > cores.max(FEW)) {
        return Err(usage(format!("--bench-threads {found}: wanted at most {} on {cores} cores", cores.max(FEW))));
    }
    if let Some(most) = threads.iter().max().filter(|&&n| n > cores) {
        session.ui.warn(&format!("{most} threads on {cores} cores measure the scheduler, not the program"));
    }
    Ok(threads)
}

/// Makes the folder of records, before minutes are spent on what could not be written.
fn record_folder(args: &EffortArgs) -> Result<()> {
    let Some(folder) = &args.record else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Writes a record into the folder of records, if there is one, under its date and kind.
fn save(session: &Session, args: &EffortArgs, kind: &str, record: &impl Serialize) -> Result<()> {
    let Some(folder) = &args.record else { return Ok(()) };
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let path = free(folder, &format!("{date}-{kind}"));
    let mut bytes = serde_json::to_vec_pretty(record)?;
    bytes.push(b'\n');
    write_whole(&path, &bytes)?;
    session.ui.say(&format!("record: {}", path.display()));
    Ok(())
}

/// The first name that no record has yet.
fn free(folder: &Path, name: &str) -> PathBuf {
    let path = |suffix: String| folder.join(format!("{name}{suffix}.json"));
    let names = std::iter::once(String::new()).chain((2..).map(|n| format!("-{n}")));
    names.map(path).find(|p| !p.exists()).unwrap_or_else(|| path(String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for wanted in ["a.json", "a-2.json", "a-3.json"] {
            let path = free(folder.path(), "a");
            assert!(path.ends_with(wanted));
            std::fs::write(path, "").unwrap();
        }
    }
}
