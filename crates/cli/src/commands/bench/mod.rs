//! `qbnn bench`: how fast, as multiples or fractions of what the machine could do at best.

mod run;
mod train;

use crate::bench::args::{BenchAction, BenchCommand, EffortArgs};
use crate::failure::usage;
use crate::layout::Sheet;
use crate::session::Session;
use crate::ui::Ui;
use anyhow::{Context, Result};
use qbnn::output::write_whole;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Measures.
pub fn bench(session: &Session, args: &BenchCommand) -> Result<()> {
    match &args.action {
        Some(BenchAction::Train(args)) => train::train(session, args),
        None => run::run(session, &args.run),
    }
}

/// One judgement.
#[derive(Clone, Debug, Serialize)]
struct Bar {
    what: String,
    bar: f64,
    measured: f64,
    met: bool,
}

impl Bar {
    fn at_most(what: String, bar: f64, measured: f64) -> Self {
        Bar { what: format!("{what}, at most"), bar, measured, met: measured <= bar }
    }

    fn at_least(what: String, bar: f64, measured: f64) -> Self {
        Bar { what: format!("{what}, at least"), bar, measured, met: measured >= bar }
    }
}

fn show_bars(ui: Ui, bars: &[Bar]) -> Result<()> {
    let mut rows: Vec<Vec<String>> = vec![["bar", "wanted", "measured", ""].map(str::to_owned).to_vec()];
    rows.extend(bars.iter().map(|b| {
        // Three digits of whatever size.
        let number = |v: f64| if v < 0.1 { format!("1/{:.1}", 1.0 / v) } else { format!("{v:.2}") };
        let verdict = if b.met { "met" } else { "missed" };
        vec![b.what.clone(), number(b.bar), number(b.measured), verdict.to_owned()]
    }));
    if bars.is_empty() { Ok(()) } else { ui.table(&Sheet::plain(1, &rows)) }
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

/// Writes a report into the folder of records, if there is one, under its date and kind.
fn record(session: &Session, args: &EffortArgs, kind: &str, report: &impl Serialize) -> Result<()> {
    let Some(folder) = &args.record else { return Ok(()) };
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let path = free(folder, &format!("{date}-{kind}"));
    let mut bytes = serde_json::to_vec_pretty(report)?;
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
