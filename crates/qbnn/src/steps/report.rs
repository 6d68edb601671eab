//! Pages: from run folders, sweeps or anyone's predictions to one HTML file. Nothing is trained, predicted or measured again;
//! only anyone's predictions are measured here, because nobody has yet.

use crate::error::{Error, Result};
use crate::lock::check_writable;
use crate::observer::Observer;
use crate::output::{self, write_whole};
use crate::run_folder::{CARD, PREDICTIONS, REPORT};
use crate::sweep::spec::COPY;
use crate::{comparison, external, report as pages, shell};
use qbnn_eval::Metrics;
use qbnn_eval::report::Page;
use std::path::{Path, PathBuf};

/// What a page is to be made of.
#[derive(Clone, Debug, Default)]
pub struct Reporting {
    /// A run folder; several, or a folder of run folders; or folders or specs of sweeps.
    pub runs: Vec<PathBuf>,
    /// Ledger of a sweep, or the folder of it.
    pub ledger: Option<PathBuf>,
    /// Predictions of any program instead of runs.
    pub predictions: Vec<PathBuf>,
    /// The page; in the run folder, or here, where nothing is said.
    pub out: Option<PathBuf>,
    /// Models that the figures show; all, or of many the first and three by size.
    pub show: Vec<String>,
    /// Heading of the page.
    pub title: Option<String>,
    /// Resamples for the intervals of predictions; 0 for none.
    pub resamples: usize,
}

/// What was written.
pub struct Reported {
    /// The page.
    pub page: Page,
    /// Where it is.
    pub path: PathBuf,
    /// The model card, of a run whose page lies in its folder.
    pub card: Option<PathBuf>,
    /// Of predictions: the figures that were measured for the page, and stand nowhere else.
    pub metrics: Option<Metrics>,
}

/// Writes a page.
///
/// # Errors
/// [`Error::WouldOverwrite`]; those of [`external::page`], [`comparison::of_sweeps`], [`comparison::of_runs`] and
/// [`pages::of_run`].
pub fn report(observer: &dyn Observer, asked: &Reporting) -> Result<Reported> {
    if let Some(out) = asked.out.as_deref().filter(|out| !out.is_dir()) {
        check_writable(out)?;
    }
    if let Some(out) = &asked.out {
        let out = if out.is_dir() { out.join(REPORT) } else { out.clone() };
        output::refuse_inputs("--out", &out, asked.read())?;
    }
    let title = asked.title.as_deref();
    if !asked.predictions.is_empty() {
        let (page, metrics) = external::page(&asked.predictions, title, &asked.show, asked.resamples)?;
        let out = asked.out.clone().map_or_else(usual, Ok)?;
        return finish(page, &out, None, Some(metrics));
    }
    if asked.runs.iter().all(|p| p.extension().is_some_and(|e| e == "toml") || p.join(COPY).is_file()) {
        let page = comparison::of_sweeps(&asked.runs, asked.ledger.as_deref(), title)?;
        let out = asked.out.clone().map_or_else(usual, Ok)?;
        return finish(page, &out, None, None);
    }
    let runs = comparison::runs(&asked.runs)?;
    if let ([folder], [given]) = (&runs[..], &asked.runs[..])
        && folder.path() == given
    {
        let (page, card) = pages::of_run(folder, title, &asked.show)?;
        // The card belongs to the run. Elsewhere a file of its name is anyone's.
        let card_path = asked.out.is_none().then(|| folder.path().join(CARD));
        card_path.as_ref().map_or(Ok(()), |path| write_whole(path, card.as_bytes()))?;
        let out = asked.out.clone().unwrap_or_else(|| folder.path().join(REPORT));
        if !folder.path().join(PREDICTIONS).is_file() {
            observer.warn(&format!(
                "{} holds no {PREDICTIONS}: the page has numbers and no curves; `qbnn eval {}` stores them",
                folder.path().display(),
                shell::path(folder.path())
            ));
        }
        return finish(page, &out, card_path, None);
    }
    if let Some(model) = asked.show.first() {
        return Err(Error::asked(format!("--show {model}: a page of several runs shows all models; leave it out")));
    }
    let page = comparison::of_runs(observer, &runs, title)?;
    let out = match &asked.runs[..] {
        _ if asked.out.is_some() => asked.out.clone().unwrap_or_default(),
        [one] => one.join(REPORT),
        _ => usual()?,
    };
    finish(page, &out, None, None)
}

/// The page where no file is named for it: here, unless somebody else's lies here under this name.
fn usual() -> Result<PathBuf> {
    output::refuse_others(Path::new(REPORT), "name=\"generator\" content=\"qbnn")?;
    Ok(PathBuf::from(REPORT))
}

fn finish(page: Page, out: &Path, card: Option<PathBuf>, metrics: Option<Metrics>) -> Result<Reported> {
    let path = if out.is_dir() { out.join(REPORT) } else { out.to_owned() };
    write_whole(&path, page.html.as_bytes())?;
    Ok(Reported { page, path, card, metrics })
}

/// Endings of the files of runs and sweeps that pages are made from.
const READ: [&str; 5] = ["toml", "json", "jsonl", "safetensors", "qbnn"];

impl Reporting {
    /// The files that the page is made from, which nothing may replace.
    pub fn read(&self) -> Vec<PathBuf> {
        let mut read = Vec::new();
        for path in self.runs.iter().chain(&self.ledger) {
            let inside = output::inside(path);
            // A folder of run folders.
            read.extend(inside.iter().flat_map(|path| output::inside(path)));
            read.extend(inside);
            read.extend([path.clone()]);
            read.extend(output::inside(&path.with_file_name("ledgers")));
        }
        // What else lies in these folders, pages of before among it, is not read.
        read.retain(|path| path.extension().and_then(|e| e.to_str()).is_some_and(|e| READ.contains(&e)));
        read.extend(self.predictions.iter().cloned());
        read
    }
}
