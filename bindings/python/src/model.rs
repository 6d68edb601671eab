//! A model file, opened once: pixels in, probabilities and uncertainties out, as bytes that Python makes arrays of.

use crate::errors::raised;
use crate::watch::{Watch, check_process};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyDict};
use qbnn::draws_file::KeptDraws;
use qbnn::model_source::ModelSource;
use qbnn::named;
use qbnn::predict::{self, Draws, ImagesView, Prediction, Shape, pfp};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A model that was read.
#[pyclass(module = "qbnn._native", frozen)]
pub struct Model {
    source: ModelSource,
    class_names: Vec<String>,
    draws: Mutex<predict::Model>,
}

/// What is asked of a prediction.
struct Asked {
    draws: Draws,
    keep: bool,
}

/// What it gives.
#[derive(Default)]
struct Answer {
    all: Vec<Prediction>,
    kept: Option<KeptDraws>,
    backend: String,
    decides: bool,
    warnings: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left is opened anew or was not changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    fn of(source: ModelSource, class_names: Option<Vec<String>>) -> qbnn::Result<Self> {
        let class_names = class_names.map_or_else(|| source.class_names(), Ok)?;
        let draws = Mutex::new(source.open(None)?);
        Ok(Model { source, class_names, draws })
    }

    fn shape(&self) -> Shape {
        lock(&self.draws).input()
    }
}

/// Predicts all images, a part at a time.
fn predict_all(
    model: &mut predict::Model,
    pixels: &[u8],
    asked: &Asked,
    watch: &mut Watch,
) -> qbnn::Result<(Vec<Prediction>, Option<KeptDraws>)> {
    let shape = model.input();
    let images = pixels.len() / shape.len().max(1);
    if asked.keep {
        KeptDraws::check_room(asked.draws.count, images, model.classes())?;
    }
    let (mut all, mut kept) = (Vec::with_capacity(images), asked.keep.then(KeptDraws::default));
    for part in pixels.chunks(model.at_once(asked.draws.count) * shape.len().max(1)) {
        let view = ImagesView { shape, pixels: part };
        let (before, now) = (all.len(), view.len());
        let mut progress = |done: usize, of: usize| {
            let share = (now as u128 * done as u128 / of.max(1) as u128) as usize;
            watch.step((before + share).min(images.saturating_sub(1)), images)
        };
        all.extend(model.predict_keeping(view, asked.draws, &mut progress, kept.as_mut())?);
    }
    Ok((all, kept))
}

#[pymethods]
impl Model {
    /// Reads a model file, an ensemble, the model file of a checkpoint, or one of a folder.
    #[staticmethod]
    #[pyo3(signature = (path, name=None))]
    fn load(py: Python<'_>, path: PathBuf, name: Option<String>) -> PyResult<Self> {
        let read = || Self::of(ModelSource::read(&named::model_of(&path, name.as_deref())?)?, None);
        py.detach(read).map_err(|e| raised(py, &e))
    }

    /// Of the bytes of a model file.
    #[staticmethod]
    fn of_bytes(py: Python<'_>, path: PathBuf, content: Vec<u8>, class_names: Option<Vec<String>>) -> PyResult<Self> {
        let read = || Self::of(ModelSource::of_bytes(&path, content)?, class_names);
        py.detach(read).map_err(|e| raised(py, &e))
    }

    /// The bytes of the model file; `None` of an ensemble.
    fn content<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.source.bytes().map(|bytes| PyBytes::new(py, bytes))
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.source.path().to_owned()
    }

    /// Rows, columns and channels of its images.
    #[getter]
    fn shape_of_images(&self, py: Python<'_>) -> (usize, usize, usize) {
        py.detach(|| {
            let Shape { rows, columns, channels } = self.shape();
            (rows, columns, channels)
        })
    }

    #[getter]
    fn classes(&self, py: Python<'_>) -> usize {
        py.detach(|| lock(&self.draws).classes())
    }

    #[getter]
    fn class_names(&self) -> Vec<String> {
        self.class_names.clone()
    }

    #[getter]
    fn backend(&self, py: Python<'_>) -> String {
        py.detach(|| lock(&self.draws).backend().to_string())
    }

    /// What the file holds, as JSON: the members of an ensemble by their paths.
    fn summary(&self, py: Python<'_>) -> PyResult<String> {
        let text = || -> qbnn::Result<serde_json::Value> {
            if let Some(ensemble) = self.source.ensemble() {
                let members: Vec<_> = ensemble.members.iter().map(|m| m.path.display().to_string()).collect();
                return Ok(serde_json::json!({
                    "name": ensemble.name, "kind": "ensemble", "bytes": ensemble.bytes(),
                    "input": ensemble.input.to_string(), "classes": ensemble.classes, "members": members,
                }));
            }
            // Numbers, texts and lists of these: nothing that JSON has no word for.
            Ok(self.source.summary()?.and_then(|own| serde_json::to_value(own).ok()).unwrap_or_default())
        };
        text().map(|value| value.to_string()).map_err(|e| raised(py, &e))
    }

    /// Predicts images, whose pixels are rows x columns x channels bytes each. With `weights` by an analytic pass.
    #[pyo3(signature = (pixels, samples, seed, keep=false, weights=None, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        pixels: PyBackedBytes,
        samples: usize,
        seed: u64,
        keep: bool,
        weights: Option<&str>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        check_process()?;
        let by = weights.map(|name| crate::steps::weights(py, name)).transpose()?;
        let asked = Asked { draws: Draws { count: samples, seed }, keep };
        let mut watch = Watch::new(progress);
        let answer = py.detach(|| self.answer(&pixels, by, &asked, &mut watch));
        if let Some(raised) = watch.raised {
            return Err(raised);
        }
        answer.map_err(|e| raised(py, &e))?.into_dict(py, self.classes(py))
    }
}

impl Model {
    fn answer(
        &self,
        pixels: &[u8],
        by: Option<pfp::Weights>,
        asked: &Asked,
        watch: &mut Watch,
    ) -> qbnn::Result<Answer> {
        let images = pixels.len() / self.shape().len().max(1);
        let mut answer = match by {
            None => self.by_draws(pixels, asked, watch)?,
            Some(weights) => self.by_pass(pixels, weights, asked, watch)?,
        };
        if images > 0 && watch.step(images, images).is_break() {
            // Python raised, and says so itself.
            answer.all.clear();
        }
        Ok(answer)
    }

    fn by_draws(&self, pixels: &[u8], asked: &Asked, watch: &mut Watch) -> qbnn::Result<Answer> {
        let mut model = lock(&self.draws);
        let (all, kept) = predict_all(&mut model, pixels, asked, watch)?;
        Ok(Answer {
            all,
            kept,
            backend: model.backend().to_string(),
            decides: model.decisions().is_some(),
            warnings: model.about_decisions(asked.draws).into_iter().collect(),
        })
    }

    fn by_pass(&self, pixels: &[u8], weights: pfp::Weights, asked: &Asked, watch: &mut Watch) -> qbnn::Result<Answer> {
        // Opened for each call, whose first images are held against draws.
        let mut model = self.source.open(Some(weights))?;
        let (all, kept) = predict_all(&mut model, pixels, asked, watch)?;
        let name = self.source.path().display().to_string();
        let apart = model.pass_agreement().and_then(|found| found.warning(&name));
        Ok(Answer {
            all,
            kept,
            backend: model.backend().to_string(),
            decides: model.decisions().is_some(),
            warnings: model.about_decisions(asked.draws).into_iter().chain(apart).collect(),
        })
    }
}

/// Numbers as the bytes of an array of theirs.
fn bytes<'py, const N: usize>(py: Python<'py>, numbers: impl Iterator<Item = [u8; N]>) -> Bound<'py, PyByteArray> {
    PyByteArray::new(py, &numbers.flatten().collect::<Vec<u8>>())
}

impl Answer {
    fn into_dict(self, py: Python<'_>, classes: usize) -> PyResult<Bound<'_, PyDict>> {
        let Answer { all, kept, backend, decides, warnings } = self;
        let dict = PyDict::new(py);
        dict.set_item("backend", backend)?;
        dict.set_item("warnings", warnings)?;
        dict.set_item("probs", bytes(py, all.iter().flat_map(|p| &p.probabilities).map(|v| v.to_le_bytes())))?;
        dict.set_item("label", bytes(py, all.iter().map(|p| (p.class as i64).to_le_bytes())))?;
        let of = |value: fn(&Prediction) -> f64| bytes(py, all.iter().map(move |p| value(p).to_le_bytes()));
        dict.set_item("total", of(|p| p.total))?;
        dict.set_item("aleatoric", of(|p| p.aleatoric))?;
        dict.set_item("epistemic", of(|p| p.epistemic))?;
        if decides {
            let decided = || all.iter().filter_map(|p| p.decided.as_ref());
            let sets = decided().flat_map(|d| (0..classes).map(|class| [u8::from(d.set.contains(&class))]));
            dict.set_item("sets", bytes(py, sets))?;
            dict.set_item("abstain", bytes(py, decided().map(|d| [u8::from(d.abstain)])))?;
            dict.set_item("ood", bytes(py, decided().map(|d| [u8::from(d.ood)])))?;
            dict.set_item("calibrated", bytes(py, decided().map(|d| d.calibrated_probability.to_le_bytes())))?;
        }
        if let Some(kept) = kept {
            let rows = |rows: &[Vec<f32>]| bytes(py, rows.iter().flatten().map(|v| v.to_le_bytes()));
            dict.set_item("draws", rows(kept.probabilities()))?;
            if !kept.logits().is_empty() {
                dict.set_item("logits", rows(kept.logits()))?;
            }
        }
        Ok(dict)
    }
}
