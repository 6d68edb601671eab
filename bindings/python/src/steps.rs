//! The steps of an experiment: paths and settings in, files of a run folder out. What there is to show comes back as JSON.

use crate::asked::Asked;
use crate::errors::{exception, raised};
use crate::work::work;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use qbnn::calibrate::{Aim, Doubt, Part, SetScore, Settings};
use qbnn::import::{Given, Map, Told, assign::Taking};
use qbnn::predict::{Draws, pfp};
use qbnn::steps::{self, Caller, Evaluation, Importing, NewRun, Ran, Reporting, Start, Trained};
use qbnn::{Observer, run_folder::RunFolder};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

fn caller(observer: &dyn Observer, call: String) -> Caller<'_> {
    Caller { observer, command: call, began: Instant::now() }
}

fn trained(trained: &Trained) -> Value {
    json!({ "folder": trained.folder, "models": trained.models, "epochs": trained.epochs, "seed": trained.seed })
}

fn ran(ran: &Ran) -> Value {
    json!({ "folder": ran.folder, "metrics": ran.metrics, "report": ran.report, "note": ran.note })
}

/// A name as a value of the library.
fn named<T: FromStr>(py: Python<'_>, key: &str, name: Option<String>) -> PyResult<Option<T>>
where
    T::Err: std::fmt::Display,
{
    let parsed = name.map(|name| name.parse::<T>().map_err(|e| exception(py, "ArgumentError", format!("{key}: {e}"))));
    parsed.transpose()
}

fn choice<T: Copy>(py: Python<'_>, key: &str, name: &str, all: &[(&str, T)]) -> PyResult<T> {
    all.iter().find(|one| one.0 == name).map(|one| one.1).ok_or_else(|| {
        let known = all.iter().map(|one| one.0).collect::<Vec<_>>().join(", ");
        exception(py, "ArgumentError", format!("{key} is `{name}`, wanted one of {known}"))
    })
}

/// Moments of an analytic pass by name.
pub fn weights(py: Python<'_>, name: &str) -> PyResult<pfp::Weights> {
    choice(py, "weights", name, &[("stored", pfp::Weights::Stored), ("drawn", pfp::Weights::Drawn)])
}

/// Trains in float, or (`whole`) quantizes, evaluates and reports too.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn train(
    py: Python<'_>,
    asked: &Bound<'_, PyDict>,
    out: Option<PathBuf>,
    overwrite: bool,
    staged: Option<PathBuf>,
    whole: bool,
    tell: Py<PyAny>,
    call: String,
) -> PyResult<String> {
    let asked = Asked::of(asked)?;
    let found = work(py, &tell, |observer| {
        let start = Start::new(asked.layers(None)?, NewRun { out, overwrite, staged })?;
        let caller = caller(observer, call);
        Ok(if whole { ran(&steps::run(&caller, start)?) } else { trained(&steps::train(&caller, start)?) })
    });
    Ok(found?.to_string())
}

/// Goes on with a run folder.
#[pyfunction]
pub fn resume(py: Python<'_>, run: PathBuf, whole: bool, tell: Py<PyAny>, call: String) -> PyResult<String> {
    let found = work(py, &tell, |observer| {
        let (start, caller) = (Start::resume(&run)?, caller(observer, call));
        Ok(if whole { ran(&steps::run(&caller, start)?) } else { trained(&steps::train(&caller, start)?) })
    });
    Ok(found?.to_string())
}

/// Quantizes the float network of a run folder, or a float checkpoint.
#[pyfunction]
pub fn quantize(
    py: Python<'_>,
    from: PathBuf,
    asked: &Bound<'_, PyDict>,
    overwrite: bool,
    tell: Py<PyAny>,
    call: String,
) -> PyResult<String> {
    let asked = Asked::of(asked)?;
    let found = work(py, &tell, |observer| {
        let caller = caller(observer, call);
        Ok(trained(&steps::quantize(&caller, &from, &|run| asked.layers(run), overwrite)?))
    });
    Ok(found?.to_string())
}

/// Evaluates run folders, checkpoints and ensembles.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn evaluate(
    py: Python<'_>,
    models: Vec<PathBuf>,
    asked: &Bound<'_, PyDict>,
    pass: Option<String>,
    out: Option<PathBuf>,
    update: bool,
    tell: Py<PyAny>,
    call: String,
) -> PyResult<String> {
    let asked = Asked::of(asked)?;
    let pfp = pass.map(|name| weights(py, &name)).transpose()?;
    let evaluation = Evaluation { models, pfp, out, update, read: Vec::new() };
    let found = work(py, &tell, |observer| {
        let found = steps::evaluate(&caller(observer, call), &evaluation, &|run| asked.layers(run))?;
        Ok(json!({
            "metrics": found.metrics, "folder": found.folder, "written": found.written, "report": found.report,
            "note": found.note,
        }))
    });
    Ok(found?.to_string())
}

/// Writes a page about runs, or about predictions of any program.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn report(
    py: Python<'_>,
    runs: Vec<PathBuf>,
    predictions: Vec<PathBuf>,
    out: Option<PathBuf>,
    title: Option<String>,
    show: Vec<String>,
    resamples: usize,
    tell: Py<PyAny>,
) -> PyResult<String> {
    let asked = Reporting { runs, ledger: None, predictions, out, show, title, resamples };
    let found = work(py, &tell, |observer| {
        let found = steps::report(observer, &asked)?;
        let left_out = found.page.left_out;
        Ok(json!({ "report": found.path, "card": found.card, "metrics": found.metrics, "left_out": left_out }))
    });
    Ok(found?.to_string())
}

/// Measures predictions of any program, and writes nothing.
#[pyfunction]
pub fn measure(py: Python<'_>, predictions: Vec<PathBuf>, resamples: usize, tell: Py<PyAny>) -> PyResult<String> {
    let found = work(py, &tell, |_| Ok(qbnn::external::page(&predictions, None, &[], resamples)?.1));
    serde_json::to_string(&found?).map_err(|e| exception(py, "Error", format!("the metrics cannot be encoded: {e}")))
}

/// What is told of a posterior besides its file.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ToldOfPosterior {
    family: Option<String>,
    sigma: Option<String>,
    layout: Option<String>,
    key: Option<String>,
    ignore: Vec<String>,
    map: Option<PathBuf>,
    no_bias: Vec<String>,
    bn: Vec<(String, String)>,
    bn_before: Vec<(String, String)>,
    bn_eps: Option<f64>,
    mean: Option<f64>,
    std: Option<f64>,
    prior_sigma: Option<f64>,
    kl_weight: Option<f64>,
    replace: Vec<String>,
    propose: bool,
    check: Option<PathBuf>,
    elbo: bool,
}

/// Makes a run folder of a posterior that another program trained.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn import_posterior(
    py: Python<'_>,
    file: PathBuf,
    of: ToldOfPosterior,
    asked: &Bound<'_, PyDict>,
    out: Option<PathBuf>,
    overwrite: bool,
    staged: Option<PathBuf>,
    dry_run: bool,
    tell: Py<PyAny>,
    call: String,
) -> PyResult<String> {
    let asked = Asked::of(asked)?;
    let family = named(py, "library", of.family)?;
    let sigma = named(py, "sigma", of.sigma)?;
    let layout = named(py, "layout", of.layout)?;
    let given = Given {
        pixels: [of.mean, of.std],
        prior_sigma: of.prior_sigma,
        kl_weight: of.kl_weight,
        proposed: of.propose,
        replace: of.replace,
    };
    let prior_told = of.prior_sigma.is_some();
    let taking = Taking { no_bias: of.no_bias, batch_norm_epsilon: of.bn_eps, prior_told };
    let place = (!dry_run).then_some(NewRun { out, overwrite, staged });
    let found = work(py, &tell, |observer| {
        let map = of.map.as_deref().map(Map::read).transpose()?;
        let told = Told {
            family,
            sigma,
            key: of.key,
            ignored: of.ignore,
            norms_behind: of.bn,
            norms_before: of.bn_before,
            map,
        };
        let importing = Importing { file, told, layout, given, taking, check: of.check, elbo: of.elbo };
        let layers = asked.layers(None)?;
        let found = steps::import(&caller(observer, call), &importing, layers, place.as_ref())?;
        Ok(json!({ "folder": found.folder, "record": found.record }))
    });
    Ok(found?.to_string())
}

/// Writes means and standard deviations of a network as arrays; gives its name and its number of parameters.
#[pyfunction]
pub fn export_posterior(py: Python<'_>, from: PathBuf, out: PathBuf) -> PyResult<(String, usize)> {
    let found = py.detach(|| steps::export(&from, None, &out)).map_err(|e| raised(py, &e))?;
    Ok((found.model, found.parameters))
}

/// What is to be decided, and how.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ToDecide {
    error: Option<f64>,
    coverage: Option<f64>,
    abstain_by: String,
    false_alarms: f64,
    ood_by: String,
    alpha: f64,
    conformal: String,
    samples: usize,
    seed: u64,
    pass: Option<String>,
    on_test: bool,
}

/// Measures what a model decides, and stores it in its file.
#[pyfunction]
pub fn calibrate(
    py: Python<'_>,
    model: PathBuf,
    out: Option<PathBuf>,
    of: ToDecide,
    asked: &Bound<'_, PyDict>,
    tell: Py<PyAny>,
) -> PyResult<String> {
    let asked = Asked::of(asked)?;
    let doubts = [
        ("confidence", Doubt::Confidence),
        ("total", Doubt::Total),
        ("aleatoric", Doubt::Aleatoric),
        ("epistemic", Doubt::Epistemic),
    ];
    let (aim, abstain_level) = match (of.error, of.coverage) {
        (Some(error), _) => (Aim::Error, error),
        (None, coverage) => (Aim::Coverage, coverage.unwrap_or(Settings::default().abstain_level)),
    };
    let settings = Settings {
        aim,
        abstain_level,
        abstain_by: choice(py, "abstain_by", &of.abstain_by, &doubts)?,
        false_alarms: of.false_alarms,
        ood_by: choice(py, "ood_by", &of.ood_by, &doubts)?,
        alpha: of.alpha,
        conformal: choice(py, "conformal", &of.conformal, &[("lac", SetScore::Lac), ("aps", SetScore::Aps)])?,
        draws: Draws { count: of.samples, seed: of.seed },
        pfp: of.pass.map(|name| weights(py, &name)).transpose()?,
        part: if of.on_test { Part::Test } else { Part::Validation },
    };
    let found = work(py, &tell, |observer| {
        let layers = |run: Option<&std::path::Path>| asked.layers(run);
        let (found, file) = steps::calibrate(observer, &model, out.as_deref(), &settings, &layers)?;
        Ok(json!({ "file": file, "found": found }))
    });
    Ok(found?.to_string())
}

/// Names of the models of a run folder.
#[pyfunction]
pub fn models(py: Python<'_>, run: PathBuf) -> PyResult<Vec<String>> {
    let read = || RunFolder::open(&run)?.models();
    py.detach(read).map_err(|e| raised(py, &e))
}

/// The settings of a run folder, or those that a run would have, as JSON.
#[pyfunction]
pub fn config(py: Python<'_>, run: Option<PathBuf>, asked: &Bound<'_, PyDict>) -> PyResult<String> {
    let asked = Asked::of(asked)?;
    let read = || -> qbnn::Result<String> {
        let file = run.as_deref().map(|run| RunFolder::open(run).map(|folder| folder.config())).transpose()?.flatten();
        asked.layers(file.as_deref())?.finish()?.to_json()
    };
    py.detach(read).map_err(|e| raised(py, &e))
}
