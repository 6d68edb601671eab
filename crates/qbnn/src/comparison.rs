//! Pages that compare several runs, or show the results of sweeps.

use crate::error::{At, Error, Result};
use crate::observer::{Event, Observer};
use crate::run_folder::RunFolder;
use crate::sweep::plan::Plan;
use crate::sweep::spec::{COPY, Spec};
use crate::sweep::{ledger, rows};
use crate::{report, shell};
use qbnn_eval::report::{Page, SweepReport, SweepRow, sweep_page};
use qbnn_eval::{Metrics, ModelEntry};
use std::path::{Path, PathBuf};

/// The run folders that were named, or that lie in the folders that were named.
///
/// # Errors
/// A path that is no folder; a folder that is no run folder and holds none.
pub fn runs(named: &[PathBuf]) -> Result<Vec<RunFolder>> {
    let mut runs = Vec::new();
    for path in named {
        if let Ok(folder) = RunFolder::open(path) {
            runs.push(folder);
            continue;
        }
        if !path.is_dir() {
            let problem = "this is no folder; name a run folder, or predictions with --predictions";
            return Err(Error::settings(path.display().to_string(), problem));
        }
        let entries = std::fs::read_dir(path).map_err(Error::io("list", path))?;
        let mut inside: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        inside.sort();
        let found = runs.len();
        runs.extend(inside.iter().filter_map(|p| RunFolder::open(p).ok()));
        if runs.len() == found {
            return Err(Error::contents(path, "is no run folder and holds none; `qbnn run` makes one"));
        }
    }
    Ok(runs)
}

/// The page of several runs. A run without metrics is left out; the page and a warning say so.
///
/// # Errors
/// None of them has metrics.
pub fn of_runs(observer: &dyn Observer, runs: &[RunFolder], title: Option<&str>) -> Result<Page> {
    let mut report = SweepReport { title: title.unwrap_or_default().to_owned(), ..SweepReport::default() };
    let mut seen = Vec::new();
    for run in runs {
        match report::metrics(run) {
            Ok(mut metrics) => {
                let shown = run.path().display().to_string();
                let again = once(&mut metrics, &shown, &mut seen);
                for line in again {
                    observer.event(Event::Warning(&line));
                    report.left_out.push(line);
                }
                if metrics.models.is_empty() {
                    continue;
                }
                let network = report::network(run).unwrap_or_default();
                let experiment = format!("{} {network}", metrics.dataset);
                report.rows.extend(SweepRow::of(experiment.trim(), &metrics));
                report.provenance.push(("run folder".to_owned(), run.path().display().to_string()));
            }
            Err(e) => {
                let why = e.one_line();
                observer.event(Event::Warning(&format!("left out: {why}")));
                report.left_out.push(format!("{why}."));
            }
        }
    }
    if report.rows.is_empty() {
        let first = runs.first().map_or(Path::new("."), RunFolder::path);
        let problem = "none of these run folders has whole metrics; `qbnn eval` on each makes them";
        return Err(Error::mismatch(first, problem));
    }
    if report.title.is_empty() {
        report.title = format!("{} runs compared", report.provenance.len());
    }
    Ok(sweep_page(&report))
}

/// Removes from metrics what an earlier run has told of the same network already, and says so: it is not another seed.
fn once(metrics: &mut Metrics, run: &str, seen: &mut Vec<(String, ModelEntry)>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut own = Vec::new();
    metrics.models.retain(|model| {
        // The analytic pass of a network has its name and its own figures.
        let same = |(_, other): &&(String, ModelEntry)| other.name == model.name && model.is_same_network(other);
        match seen.iter().find(same) {
            Some((first, _)) => {
                lines.push(format!(
                    "{} of {run} is the same network as that of {first}: it is counted once.",
                    model.name
                ));
                false
            }
            None => {
                own.push((run.to_owned(), model.clone()));
                true
            }
        }
    });
    seen.extend(own);
    lines
}

/// The page of sweeps, from their specs (or folders of sweeps) and ledgers.
///
/// # Errors
/// A spec or a ledger that cannot be read; a sweep without results.
pub fn of_sweeps(specs: &[PathBuf], ledger: Option<&Path>, title: Option<&str>) -> Result<Page> {
    let mut report = SweepReport::default();
    let mut names = Vec::new();
    for given in specs {
        let of_folder = given.join(COPY);
        let is_folder = of_folder.is_file();
        let path = if is_folder { &of_folder } else { given };
        let plan = Plan::new(&Spec::read(path)?).at(|| path.display().to_string())?;
        let usual = PathBuf::from(format!("runs/sweep-{}", plan.name));
        let folder = if is_folder { given.clone() } else { usual };
        let kept = path.with_file_name("ledgers").join(format!("{}.jsonl", plan.name));
        let asked =
            ledger.map(Path::to_owned).unwrap_or_else(|| if folder.is_dir() { folder.clone() } else { kept.clone() });
        let results = ledger::read(&asked, &plan)?;
        if results.lines().next().is_none() {
            return Err(Error::contents(
                path,
                format!(
                    "has no results in {} or {}; `qbnn sweep {}` makes them, --ledger names another place",
                    folder.display(),
                    kept.display(),
                    shell::path(path)
                ),
            ));
        }
        let (rows, left_out) = rows::rows(&plan, &results);
        let same = |a: &SweepRow, b: &SweepRow| {
            (&a.experiment, &a.configuration, a.seed) == (&b.experiment, &b.configuration, b.seed)
        };
        let (again, new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| report.rows.iter().any(|o| same(o, r)));
        if !again.is_empty() {
            let count = again.len();
            report
                .left_out
                .push(format!("{count} rows of {} are there already: they are counted once.", path.display()));
        }
        report.rows.extend(new);
        report.left_out.extend(left_out);
        report.provenance.push(("spec".to_owned(), path.display().to_string()));
        report.provenance.push(("ledger".to_owned(), asked.display().to_string()));
        names.push(plan.name);
    }
    report.title = title.map(str::to_owned).unwrap_or_else(|| format!("Sweep: {}", names.join(", ")));
    Ok(sweep_page(&report))
}
