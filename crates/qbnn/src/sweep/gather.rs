//! A sweep whose tasks other processes do, on whatever machines: the plan that all of them work out alike from one text, the ledger
//! that one of them keeps, and one task at a time for the others.

use super::ledger::{self, Ledger, Line, Results};
use super::plan::Plan;
use super::schedule::{self, Task};
use super::spec::{COPY, Spec};
use super::tables;
use super::work::Runner;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::output::write_whole;
use std::fs;
use std::path::{Path, PathBuf};

/// The ledger of a sweep, and what is left to do.
pub struct Gathering {
    plan: Plan,
    folder: PathBuf,
    ledger: Ledger,
    results: Results,
}

impl Gathering {
    /// Begins or goes on with a sweep in a folder: `runs/sweep-NAME` where none is named.
    ///
    /// # Errors
    /// Those of [`Plan::new`] and [`Ledger::open`]; a folder that cannot be made.
    pub fn begin(spec: &Spec, folder: Option<&Path>) -> Result<Self> {
        let plan = Plan::new(spec)?;
        let folder = folder.map_or_else(|| PathBuf::from(format!("runs/sweep-{}", plan.name)), Path::to_owned);
        fs::create_dir_all(&folder).map_err(Error::io_fix("make", &folder, "name another folder"))?;
        let ledger = Ledger::open(&folder.join("ledger.jsonl"), &plan, false)?;
        let results = ledger::read(&folder, &plan)?;
        write_whole(&folder.join(COPY), spec.text.as_bytes())?;
        Ok(Gathering { plan, folder, ledger, results })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Results that are there.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// What is left to do: each float network before the runs that need it. A run that failed is done, unless `retry`.
    pub fn tasks(&self, retry: bool) -> Vec<Task> {
        let all: Vec<usize> = (0..self.plan.runs.len()).collect();
        schedule::tasks(&self.plan, &all, &self.results, retry, |_| false)
    }

    /// Writes a result down.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Contents`] of a line that is none of this plan.
    pub fn take(&mut self, line: Line) -> Result<()> {
        if !self.plan.runs.iter().any(|run| run.id == line.run && run.samples.contains(&line.samples)) {
            let problem = format!("cannot take run {} with {} draws, which the sweep has not", line.run, line.samples);
            return Err(Error::contents(&self.folder, problem));
        }
        self.ledger.append(&line)?;
        self.results.take(line);
        Ok(())
    }

    /// Writes `results.jsonl` and `tables.md` beside the ledger.
    ///
    /// # Errors
    /// As [`write_answers`].
    pub fn write_answers(&self) -> Result<()> {
        write_answers(&self.plan, &self.results, &self.folder)
    }
}

/// The plan of a sweep's text, which must be that of whoever gave the task.
///
/// # Errors
/// [`Error::OtherSweep`] where this program works out another plan than that one did, as another version may.
pub fn same_plan(text: &str, hash: &str) -> Result<Plan> {
    let plan = Plan::new(&Spec::parse(text, "the sweep")?)?;
    if plan.hash == hash {
        return Ok(plan);
    }
    let problem =
        format!("its plan is {} here and {hash} where it began: all machines need one version of qbnn", plan.hash);
    Err(Error::settings("the sweep", problem))
}

/// Trains a float network of a plan, in a folder, and gives its checkpoint.
///
/// # Errors
/// As [`Runner::float`]; [`Error::UnknownName`] of an id that the plan has not.
pub fn float(observer: &dyn Observer, plan: &Plan, id: &str, folder: &Path) -> Result<PathBuf> {
    let float = plan.floats.get(id).ok_or_else(|| unknown("float network", id))?;
    let runner = Runner::new(observer, folder.to_owned(), 1);
    runner.float(id, float, &|_| ())?;
    Ok(runner.checkpoint(id))
}

/// Makes and evaluates a model of a plan, whose float networks lie in a folder: a line for each number of draws. `failed_float` is
/// why one of them is not there.
///
/// # Errors
/// As [`schedule::results`]; [`Error::UnknownName`] of an id that the plan has not.
pub fn run(
    observer: &dyn Observer,
    plan: &Plan,
    id: &str,
    samples: &[usize],
    folder: &Path,
    failed_float: Option<String>,
) -> Result<Vec<Line>> {
    let run = plan.runs.iter().find(|run| run.id == id).ok_or_else(|| unknown("run", id))?;
    let runner = Runner::new(observer, folder.to_owned(), 1);
    Ok(schedule::results(&runner, run, samples, failed_float, &|_| ())?.0)
}

fn unknown(what: &'static str, id: &str) -> Error {
    Error::UnknownName { what, name: id.to_owned(), near: None, known: "those of the plan".to_owned() }
}

/// Writes `results.jsonl` and `tables.md` into the folder of a sweep.
///
/// # Errors
/// [`Error::Encode`]; [`Error::Io`].
pub fn write_answers(plan: &Plan, results: &Results, folder: &Path) -> Result<()> {
    let mut lines = String::new();
    for row in tables::rows(plan, results) {
        lines += &format!("{}\n", serde_json::to_string(&row).map_err(Error::encode("a row of a table"))?);
    }
    write_whole(&folder.join("results.jsonl"), lines.as_bytes())?;
    let mut page = String::new();
    for question in &plan.questions {
        page += &format!("# {}\n\n{}\n", question.title, question.ask);
        for table in tables::render(question, results) {
            page += &format!("\n{}\n\n{}", table.heading, table.markdown());
        }
        page.push('\n');
    }
    write_whole(&folder.join("tables.md"), page.as_bytes())
}
