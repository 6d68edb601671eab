//! A model file or an ensemble, read once: whatever is opened of it, draws or an analytic pass, is of the same bytes, also
//! where the file has been replaced since.

use crate::ensemble::{self, Ensemble};
use crate::error::{Error, Result};
use crate::inspect::ModelSummary;
use crate::model_file;
use crate::predict::{By, Model};
use crate::run_folder::classes_beside;
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::{Analytic, Integer, Predictor, of_file};
use qbnn_core::model::Kind;
use qbnn_core::model::write_section::Content;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a model is opened from.
pub struct ModelSource {
    path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    /// A model file, checked.
    File(Arc<[u8]>),
    /// Several.
    Ensemble(Ensemble),
}

impl ModelSource {
    /// Reads a model file or an ensemble.
    ///
    /// # Errors
    /// What is wrong with a file, as [`model_file::read`] and [`Ensemble::read`] say it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = match ensemble::is_one(path) {
            true => Bytes::Ensemble(Ensemble::read(path)?),
            false => Bytes::File(model_file::read(path)?.into()),
        };
        Ok(ModelSource { path: path.to_owned(), bytes })
    }

    /// Of the bytes of a model file; `path` is what messages call them.
    ///
    /// # Errors
    /// [`Error::Model`] or [`Error::Contents`] of bytes that are no model, or one that is too large.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        model_file::check(path, &bytes)?;
        Ok(ModelSource { path: path.to_owned(), bytes: Bytes::File(bytes.into()) })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a model file; of an ensemble, which has several, `None`.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.bytes {
            Bytes::File(bytes) => Some(bytes),
            Bytes::Ensemble(_) => None,
        }
    }

    /// The ensemble, if it is one.
    pub fn ensemble(&self) -> Option<&Ensemble> {
        match &self.bytes {
            Bytes::File(_) => None,
            Bytes::Ensemble(ensemble) => Some(ensemble),
        }
    }

    /// Opens it; with `pfp` for analytic passes instead of draws.
    ///
    /// # Errors
    /// [`Error::Bnn`] of a model that cannot run so.
    pub fn open(&self, pfp: Option<pfp::Weights>) -> Result<Model> {
        Model::of(self, pfp)
    }

    /// What a model file holds; `None` of an ensemble.
    ///
    /// # Errors
    /// None of what [`ModelSource::read`] gave.
    pub fn summary(&self) -> Result<Option<ModelSummary>> {
        let of = |bytes: &[u8]| Ok(ModelSummary::of(&model_file::of_file(&self.path, bytes)?, bytes.len()));
        self.bytes().map(of).transpose()
    }

    /// Names of the classes: those that the file holds, else those that lie beside it; none where they are their numbers.
    ///
    /// # Errors
    /// As [`classes_beside`].
    pub fn class_names(&self) -> Result<Vec<String>> {
        match self.section().0.class_names {
            own if !own.is_empty() => Ok(own),
            _ => classes_beside(&self.path, self.classes()?),
        }
    }

    fn classes(&self) -> Result<usize> {
        match &self.bytes {
            Bytes::File(bytes) => Ok(model_file::of_file(&self.path, bytes)?.classes()),
            Bytes::Ensemble(ensemble) => Ok(ensemble.classes),
        }
    }

    /// What the file holds beside its network, or nothing and why it cannot be read.
    pub(crate) fn section(&self) -> (Content, Option<String>) {
        let Bytes::File(bytes) = &self.bytes else { return (Content::default(), None) };
        let read = model_file::of_file(&self.path, bytes).map(|model| Content::of(&model).map_err(|e| e.to_string()));
        match read.unwrap_or_else(|e| Err(e.one_line())) {
            Ok(content) => (content, None),
            Err(error) => (Content::default(), Some(format!("no decisions: {error}"))),
        }
    }

    /// What predicts by draws.
    pub(crate) fn predictor(&self) -> Result<Box<dyn Predictor>> {
        match &self.bytes {
            Bytes::File(bytes) => Ok(of_file(Arc::clone(bytes))?),
            Bytes::Ensemble(ensemble) => ensemble.predictor(),
        }
    }

    pub(crate) fn by(&self, pfp: Option<pfp::Weights>) -> Result<By> {
        let file = match &self.bytes {
            Bytes::File(bytes) => Arc::clone(bytes),
            Bytes::Ensemble(ensemble) => {
                return Ok(By::Float(match pfp {
                    Some(weights) => ensemble.analytic(weights)?,
                    None => ensemble.predictor()?,
                }));
            }
        };
        let model = |error| Error::Model { path: self.path.clone(), error };
        Ok(match pfp {
            Some(weights) => By::Pass(Analytic::new(file, weights)?),
            None if model_file::model(&file).map_err(model)?.kind() == Kind::Jq => By::Integer(Integer::new(file)?),
            None => By::Float(of_file(file)?),
        })
    }
}
