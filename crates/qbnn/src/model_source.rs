//! A model file or an ensemble, read once: whatever is opened of it, draws or an analytic pass, is of the same bytes, also
//! where the file has been replaced since.

use crate::ensemble::{self, Ensemble};
use crate::error::{At, Result};
use crate::inspect::ModelSummary;
use crate::model_file::{self, ModelFile};
use crate::predict::{By, Model};
use crate::run_folder::classes_beside;
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::{Integer, Predictor};
use qbnn_core::model::Kind;
use qbnn_core::model::write_section::Content;
use std::path::Path;
use std::sync::Arc;

/// What a model is opened from.
pub enum ModelSource {
    /// A model file.
    File(ModelFile),
    /// Several.
    Ensemble(Ensemble),
}

impl ModelSource {
    /// Reads a model file or an ensemble.
    ///
    /// # Errors
    /// What is wrong with a file, as [`model_file::read`] and [`Ensemble::read`] say it.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(match ensemble::is_one(path) {
            true => ModelSource::Ensemble(Ensemble::read(path)?),
            false => ModelSource::File(ModelFile::read(path)?),
        })
    }

    /// Of the bytes of a model file; `path` is what messages call them.
    ///
    /// # Errors
    /// As [`ModelFile::of_bytes`].
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        ModelFile::of_bytes(path, bytes).map(ModelSource::File)
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        match self {
            ModelSource::File(file) => &file.path,
            ModelSource::Ensemble(ensemble) => &ensemble.path,
        }
    }

    /// The bytes of a model file; of an ensemble, which has several, `None`.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            ModelSource::File(file) => Some(&file.bytes),
            ModelSource::Ensemble(_) => None,
        }
    }

    /// The ensemble, if it is one.
    pub fn ensemble(&self) -> Option<&Ensemble> {
        match self {
            ModelSource::File(_) => None,
            ModelSource::Ensemble(ensemble) => Some(ensemble),
        }
    }

    /// Opens it; with `pfp` for analytic passes instead of draws.
    ///
    /// # Errors
    /// [`crate::Error::Bnn`] of a model that cannot run so.
    pub fn open(&self, pfp: Option<pfp::Weights>) -> Result<Model> {
        Model::of(self, pfp)
    }

    /// What a model file holds; `None` of an ensemble.
    ///
    /// # Errors
    /// None of what [`ModelSource::read`] gave.
    pub fn summary(&self) -> Result<Option<ModelSummary>> {
        let of = |bytes: &[u8]| Ok(ModelSummary::of(&model_file::of_file(self.path(), bytes)?, bytes.len()));
        self.bytes().map(of).transpose()
    }

    /// Names of the classes: those that the file holds, else those that lie beside it; none where they are their numbers.
    ///
    /// # Errors
    /// As [`classes_beside`].
    pub fn class_names(&self) -> Result<Vec<String>> {
        match self {
            ModelSource::File(file) => file.class_names(),
            ModelSource::Ensemble(ensemble) if !ensemble.class_names.is_empty() => Ok(ensemble.class_names.clone()),
            ModelSource::Ensemble(ensemble) => classes_beside(&ensemble.path, ensemble.classes),
        }
    }

    /// What the file holds beside its network, or nothing and why it cannot be read.
    pub(crate) fn section(&self) -> (Content, Option<String>) {
        let file = match self {
            ModelSource::File(file) => file,
            ModelSource::Ensemble(ensemble) => {
                let class_names = ensemble.class_names.clone();
                return (Content { class_names, ..Content::default() }, None);
            }
        };
        let read =
            model_file::of_file(&file.path, &file.bytes).map(|model| Content::of(&model).map_err(|e| e.to_string()));
        match read.unwrap_or_else(|e| Err(e.one_line())) {
            Ok(content) => (content, None),
            Err(error) => (Content::default(), Some(format!("no decisions: {error}"))),
        }
    }

    /// What predicts by draws.
    pub(crate) fn predictor(&self) -> Result<Box<dyn Predictor>> {
        match self {
            ModelSource::File(file) => file.predictor(),
            ModelSource::Ensemble(ensemble) => ensemble.predictor(),
        }
    }

    /// The way in which it predicts; with `pfp` by analytic passes.
    pub(crate) fn by(&self, pfp: Option<pfp::Weights>) -> Result<By> {
        Ok(match (self, pfp) {
            (ModelSource::Ensemble(ensemble), Some(weights)) => By::Float(ensemble.analytic(weights)?),
            (ModelSource::File(file), Some(weights)) => By::Pass(file.analytic(weights)?),
            (ModelSource::File(file), None) if file.kind == Kind::Jq => {
                By::Integer(Integer::new(Arc::clone(&file.bytes)).at(|| file.path.display().to_string())?)
            }
            (_, None) => By::Float(self.predictor()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opened::tests::network;
    use qbnn_bnn::export;
    use qbnn_core::model::write_section::with_section;

    #[test]
    fn the_names_of_its_classes_are_those_of_an_ensembles_members_too() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.qbnn", "b.qbnn"].map(|name| dir.path().join(name));
        let mut names = Vec::new();
        for (seed, path) in (1..).zip(&paths) {
            let file = export(&network(seed)).unwrap();
            let model = model_file::of_file(path, &file).unwrap();
            names = (0..model.classes()).map(|class| format!("class-{class}")).collect();
            let content = Content { class_names: names.clone(), ..Content::default() };
            std::fs::write(path, with_section(&model, &content).unwrap()).unwrap();
        }
        let pair = dir.path().join("pair.ensemble.toml");
        Ensemble::save(&pair, &paths).unwrap();
        for path in [&paths[0], &pair] {
            let source = ModelSource::read(path).unwrap();
            assert_eq!(source.class_names().unwrap(), names);
            assert_eq!(source.open(None).unwrap().class_names(), names, "{}", path.display());
        }
    }
}
