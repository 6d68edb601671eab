//! Sweeps whose tasks other processes do: one keeps the ledger, the others do a task each.

use crate::errors::{exception, raised};
use crate::work::work;
use pyo3::prelude::*;
use qbnn::sweep::gather::{self, Gathering};
use qbnn::sweep::ledger::Outcome;
use qbnn::sweep::schedule::{Task, cost};
use qbnn::sweep::spec::Spec;
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A sweep, its ledger, and what is left to do. No other process writes in its ledger while this lives.
#[pyclass(module = "qbnn._native", frozen)]
pub struct Sweep {
    text: String,
    gathering: Mutex<Option<Gathering>>,
}

impl Sweep {
    fn lock(&self) -> MutexGuard<'_, Option<Gathering>> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T: Send>(&self, py: Python<'_>, f: impl FnOnce(&mut Gathering) -> qbnn::Result<T> + Send) -> PyResult<T> {
        let found = py.detach(|| self.lock().as_mut().map(f));
        let found = found.ok_or_else(|| exception(py, "Error", "the sweep was closed".to_owned()))?;
        found.map_err(|e| raised(py, &e))
    }
}

#[pymethods]
impl Sweep {
    /// Begins or goes on with the sweep of a spec.
    #[new]
    #[pyo3(signature = (spec, out=None))]
    fn new(py: Python<'_>, spec: PathBuf, out: Option<PathBuf>) -> PyResult<Self> {
        let begin = || {
            let spec = Spec::read(&spec)?;
            let gathering = Gathering::begin(&spec, out.as_deref())?;
            Ok(Sweep { text: spec.text, gathering: Mutex::new(Some(gathering)) })
        };
        py.detach(begin).map_err(|e| raised(py, &e))
    }

    /// The text of the spec, from which every process works out the same plan.
    #[getter]
    fn text(&self) -> String {
        self.text.clone()
    }

    /// The hash of the plan.
    #[getter]
    fn plan(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |own| Ok(own.plan().hash.clone()))
    }

    #[getter]
    fn folder(&self, py: Python<'_>) -> PyResult<PathBuf> {
        self.with(py, |own| Ok(own.folder().to_owned()))
    }

    /// What is left to do, as JSON: float networks (`id`, `cost`) and runs (`id`, `title`, `samples`, `floats`, `cost`), costs in
    /// estimated seconds of one thread.
    fn tasks(&self, py: Python<'_>, retry: bool) -> PyResult<String> {
        self.with(py, |own| {
            let plan = own.plan();
            let shown = |task: &Task| match task {
                Task::Float(id) => json!({ "kind": "float", "id": id, "cost": cost(plan, task) }),
                Task::Run(at, samples) => {
                    let run = &plan.runs[*at];
                    let config = &run.config;
                    let title =
                        format!("{} {} {} seed {}", run.title(), config.data.name, config.network.title(), config.seed);
                    json!({
                        "kind": "run", "id": run.id, "title": title, "samples": samples, "floats": run.floats,
                        "cost": cost(plan, task),
                    })
                }
            };
            Ok(serde_json::Value::from(own.tasks(retry).iter().map(shown).collect::<Vec<_>>()).to_string())
        })
    }

    /// Writes results down, each a line of the ledger.
    fn take(&self, py: Python<'_>, lines: Vec<String>) -> PyResult<()> {
        for line in lines {
            let line =
                serde_json::from_str(&line).map_err(|e| exception(py, "Error", format!("no line of a ledger: {e}")))?;
            self.with(py, |own| own.take(line))?;
        }
        Ok(())
    }

    /// Reasons of the results that failed.
    fn failures(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |own| {
            let failed = own.results().lines().filter_map(|line| match &line.outcome {
                Outcome::Failed(reason) => Some(format!("{} {} seed {}: {reason}", line.model, line.data, line.seed)),
                Outcome::Done(_) => None,
            });
            let mut failed: Vec<String> = failed.collect();
            failed.sort();
            Ok(failed)
        })
    }

    /// Writes the tables, and gives the ledger free.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let found = py.detach(|| self.lock().take().map_or(Ok(()), |own| own.write_answers()));
        found.map_err(|e| raised(py, &e))
    }
}

/// Trains a float network of a sweep, in a folder, and gives the path of its checkpoint.
#[pyfunction]
pub fn sweep_float(
    py: Python<'_>,
    text: String,
    plan: String,
    id: String,
    folder: PathBuf,
    tell: Py<PyAny>,
) -> PyResult<PathBuf> {
    work(py, &tell, |observer| gather::float(observer, &gather::same_plan(&text, &plan)?, &id, &folder))
}

/// Makes and evaluates a model of a sweep, whose float networks lie in a folder: lines of the ledger.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn sweep_run(
    py: Python<'_>,
    text: String,
    plan: String,
    id: String,
    samples: Vec<usize>,
    folder: PathBuf,
    failed_float: Option<String>,
    tell: Py<PyAny>,
) -> PyResult<Vec<String>> {
    let lines = work(py, &tell, |observer| {
        gather::run(observer, &gather::same_plan(&text, &plan)?, &id, &samples, &folder, failed_float)
    })?;
    let encoded = lines.iter().map(serde_json::to_string).collect::<Result<_, _>>();
    encoded.map_err(|e| exception(py, "Error", format!("a line of the ledger cannot be encoded: {e}")))
}
