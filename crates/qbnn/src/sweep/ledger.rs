//! The ledger: every finished run, one JSON line each, safe on disk before the next one counts.
//!
//! The first line names the plan. A line that a kill cut short is no line: it is dropped, and its run made again. A
//! sweep split into shards has a ledger for each; tables read all of them.

use super::derive;
use super::plan::{Plan, Point};
use crate::error::{Error, Result};
use crate::input;
use crate::lock::Lock;
use crate::output::write_whole;
use qbnn_bnn::internals::files::Writing;
use qbnn_eval::{Backend, ByHeadline, Headline, Measure, OfGroup};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Version of the lines.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    ledger: u32,
    sweep: String,
    plan: String,
}

/// An evaluated model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The run.
    pub run: String,
    /// Draws.
    pub samples: usize,
    /// Its seed.
    pub seed: u64,
    /// Dataset.
    pub data: String,
    /// Network.
    pub network: String,
    /// Model, as metrics call it.
    pub model: String,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was evaluated.
    Done(Box<Done>),
    /// It failed, for this reason.
    Failed(String),
}

/// Figures of an evaluated model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Headline metrics.
    pub metrics: ByHeadline<Option<f64>>,
    /// Mean total, aleatoric and epistemic uncertainty in nats: of clean, ambiguous and ood images.
    pub means: [Option<[Option<f64>; 3]>; 3],
    /// The metrics of each further group; absent where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<OfGroup<f64>>,
    /// Bytes of the stored parameters.
    pub bytes: u64,
    /// What computed the predictions; `None` in ledgers of before it was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// SHA-256 that tells the network from any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether the backend is not the ledger's, but derived from the spec.
    #[serde(skip)]
    pub derived: bool,
    /// Seconds that making the model took, its float network left out.
    pub train_seconds: f64,
    /// Seconds that prediction and metrics took, of all numbers of draws together.
    pub eval_seconds: f64,
}

impl Done {
    /// Whether another result is of the same network. Where no identity was written down, its figures decide.
    pub fn is_same_network(&self, other: &Self) -> bool {
        match (&self.identity, &other.identity) {
            (Some(own), Some(other)) => own == other,
            _ => self.same_figures(other),
        }
    }

    /// Whether every figure that both know is the same: one line may be of a version that measured fewer.
    fn same_figures(&self, other: &Self) -> bool {
        let named = |group: &OfGroup<f64>| other.groups.iter().find(|g| g.name == group.name);
        // A group may be there on one machine alone, as optional ones are.
        let groups = self.groups.iter().all(|group| named(group).is_none_or(|other| group.agrees(other)));
        groups && self.metrics.agrees(&other.metrics) && (self.means, self.bytes) == (other.means, other.bytes)
    }

    /// The backend as tables have it: a simulation with its reason, what is derived as such, `-` where nobody knows.
    pub fn backend_in_words(&self) -> String {
        let Some(backend) = &self.backend else { return "-".to_owned() };
        let words = if backend.is_simulated() { backend.to_string() } else { backend.name() };
        if self.derived { format!("{words}, derived") } else { words }
    }

    /// A metric.
    pub fn value(&self, headline: Headline) -> Option<f64> {
        *self.metrics.get(headline)
    }

    /// A metric of one of the groups.
    pub fn measured(&self, measure: &Measure) -> Option<f64> {
        match &measure.group {
            None => self.value(measure.headline),
            Some(name) => *self.groups.iter().find(|g| g.name == *name)?.metrics.get(measure.headline),
        }
    }
}

/// Results by run and draws.
#[derive(Clone, Debug, Default)]
pub struct Results {
    lines: HashMap<Point, Line>,
}

impl Results {
    /// The line of a point, if it is there.
    pub fn get(&self, point: &Point) -> Option<&Line> {
        self.lines.get(point)
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values()
    }

    /// Takes a line of a ledger in, with the backend that its spec tells where it has none.
    ///
    /// # Errors
    /// [`Error::Contents`]: another line has other figures of the same result.
    fn read(&mut self, path: &Path, plan: &Plan, mut line: Line) -> Result<()> {
        if let Outcome::Done(done) = &mut line.outcome {
            let point = Point { run: line.run.clone(), samples: line.samples };
            if let Some(Outcome::Done(other)) = self.get(&point).map(|l| &l.outcome)
                && !done.same_figures(other)
            {
                let problem = format!(
                    "holds figures of run {} with {} draws that differ from those of another line; remove one of them",
                    line.run, line.samples
                );
                return Err(Error::contents(path, problem));
            }
            if done.backend.is_none() {
                done.backend = plan.runs.iter().find(|r| r.id == line.run).and_then(derive::backend);
                done.derived = done.backend.is_some();
            }
        }
        self.take(line);
        Ok(())
    }

    /// Takes a line in; one that was evaluated stands above one that failed.
    pub fn take(&mut self, line: Line) {
        let point = Point { run: line.run.clone(), samples: line.samples };
        let old = self.lines.get(&point);
        if !old.is_some_and(|o| matches!((&o.outcome, &line.outcome), (Outcome::Done(_), Outcome::Failed(_)))) {
            self.lines.insert(point, line);
        }
    }
}

/// What is read of a ledger.
struct Contents<'a> {
    header: Header,
    lines: Vec<Line>,
    /// The lines behind the header as they stand there, up to the end of the last whole one.
    rest: &'a [u8],
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Contents<'a>> {
    let mut rows = input::lines(bytes);
    let Some((_, first)) = rows.next() else {
        return Err(Error::contents(path, "is no ledger of a sweep: it is empty"));
    };
    let header: Header = serde_json::from_slice(first)
        .map_err(|_| Error::contents(path, "is no ledger of a sweep; name another folder with --out"))?;
    if header.ledger != VERSION {
        let problem = format!("has version {}; this program reads version {VERSION}: update qbnn", header.ledger);
        return Err(Error::contents(path, problem));
    }
    let parse = |(line, row): (usize, &[u8])| {
        serde_json::from_slice(row).map_err(|error| Error::LedgerLine { path: path.to_owned(), line, error })
    };
    let lines = rows.map(parse).collect::<Result<Vec<Line>>>()?;
    Ok(Contents { header, lines, rest: &input::whole_lines(bytes)[first.len() + 1..] })
}

/// Reads the ledgers of a folder (of all its shards), or one file. Nothing there is an empty result.
///
/// # Errors
/// [`Error::Io`]; [`Error::Contents`] or [`Error::LedgerLine`] of a file that is no ledger; [`Error::OtherSweep`].
pub fn read(path: &Path, plan: &Plan) -> Result<Results> {
    let mut results = Results::default();
    for file in files(path)? {
        let bytes = input::bytes(&file, input::LEDGER)?;
        if bytes.contains(&b'\n') {
            let contents = parse(&file, &bytes)?;
            same_plan(&file, &contents.header, plan)?;
            contents.lines.into_iter().try_for_each(|l| results.read(&file, plan, l))?;
        }
    }
    Ok(results)
}

/// What the ledgers of other sweeps hold of a plan's results: a run's name tells what it is, whoever made it.
///
/// # Errors
/// [`Error::Contents`] of a path without a ledger, or a file that is none; [`Error::LedgerLine`]; [`Error::Io`].
pub fn known(paths: &[PathBuf], plan: &Plan, results: &Results) -> Result<Vec<Line>> {
    let mut found = Results::default();
    for path in paths {
        let files = files(path)?;
        if files.is_empty() {
            return Err(Error::contents(path, "holds no ledger of a sweep; check the path given to --known"));
        }
        for file in files {
            let bytes = input::bytes(&file, input::LEDGER)?;
            parse(&file, &bytes)?.lines.into_iter().for_each(|l| found.take(l));
        }
    }
    let points =
        plan.runs.iter().flat_map(|run| run.samples.iter().map(|&samples| Point { run: run.id.clone(), samples }));
    let wanted = points.filter(|p| results.get(p).is_none()).filter_map(|p| found.get(&p).cloned());
    Ok(wanted.filter(|l| matches!(l.outcome, Outcome::Done(_))).collect())
}

/// Whether a folder holds a ledger.
///
/// # Errors
/// [`Error::Io`]: a folder that cannot be listed.
pub fn is_begun(folder: &Path) -> Result<bool> {
    Ok(!files(folder)?.is_empty())
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    // A pipe is one too.
    if path.exists() && !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(Vec::new()) };
    let entries = entries.collect::<std::io::Result<Vec<_>>>();
    let entries = entries.map_err(Error::io("list", path))?;
    let is_ledger = |p: &PathBuf| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with("ledger") && name.ends_with(".jsonl")
    };
    let mut files: Vec<_> = entries.into_iter().map(|e| e.path()).filter(is_ledger).collect();
    files.sort();
    Ok(files)
}

fn same_plan(path: &Path, header: &Header, plan: &Plan) -> Result<()> {
    if header.plan == plan.hash {
        return Ok(());
    }
    Err(Error::OtherSweep {
        path: path.to_owned(),
        found: format!("`{}`, plan {}", header.sweep, header.plan),
        wanted: format!("`{}`, plan {}", plan.name, plan.hash),
    })
}

/// A ledger that is written to, by this process alone.
pub struct Ledger {
    _lock: Lock,
    file: File,
    path: PathBuf,
}

impl Ledger {
    /// Opens or begins a ledger; with `adopt` also one that another spec began.
    ///
    /// # Errors
    /// [`Error::OtherSweep`]; [`Error::Locked`] by another running sweep; [`Error::Io`]; those of [`read`].
    pub fn open(path: &Path, plan: &Plan, adopt: bool) -> Result<Self> {
        let open = || OpenOptions::new().read(true).append(true).create(true).open(path);
        let lock = Lock::take(&path.with_extension("lock"), &path.display().to_string())?;
        let cannot = || Error::io_fix("write", path, "name another folder with --out");
        let mut file = open().map_err(cannot())?;
        if !file.metadata().map_err(cannot())?.is_file() {
            let problem = "is no plain file, as a ledger must be; name another folder with --out";
            return Err(Error::contents(path, problem));
        }
        let bytes = input::of_open(&mut file, path, input::LEDGER)?;
        let header = Header { ledger: VERSION, sweep: plan.name.clone(), plan: plan.hash.clone() };
        let first = format!("{}\n", serde_json::to_string(&header).map_err(Error::encode("a ledger"))?);
        let wanted = if bytes.contains(&b'\n') {
            let contents = parse(path, &bytes)?;
            if !adopt {
                same_plan(path, &contents.header, plan)?;
            }
            [first.as_bytes(), contents.rest].concat()
        } else {
            first.into_bytes()
        };
        if wanted != bytes {
            write_whole(path, &wanted)?;
            file = open().map_err(cannot())?;
        }
        Ok(Ledger { _lock: lock, file, path: path.to_owned() })
    }

    /// Appends a line and waits until it is on disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, line: &Line) -> Result<()> {
        let text = format!("{}\n", serde_json::to_string(line).map_err(Error::encode("a line of a ledger"))?);
        let _writing = Writing::begin();
        let mut write = || {
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()
        };
        write().map_err(Error::io_fix("write", &self.path, "free some space and start again"))
    }
}
