//! Model files: written beside checkpoints, read with the file's name in every error.
//!
//! A model file and its checkpoint lie side by side under one name. The checkpoint keeps the SHA-256 of its file from the
//! moment at which its training is finished, and whoever reads one of the two compares it with the other.

use crate::calibrate::worth_naming;
use crate::error::{At, Error, Result};
use crate::observer::Observer;
use crate::preprocess::Prepared;
use crate::run_folder::{RunFolder, classes_beside};
use crate::{export, input, shell};
use qbnn_bnn::internals::files;
use qbnn_bnn::internals::identity::sha256;
use qbnn_bnn::internals::nn::limit::MAX_VALUES;
use qbnn_bnn::predictor::{self, Analytic, Predictor};
use qbnn_bnn::verify::network_of;
use qbnn_bnn::{Checkpoint, ImagesView, Shape, import, pfp};
use qbnn_core::Bits;
use qbnn_core::model::write_section::{Content, with_section};
use qbnn_core::model::{Kind, Model, ModelError};
use qbnn_eval::{ModelDescription, ParameterBytes, Strategy};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model file that was read and checked, to predict and to evaluate.
pub struct ModelFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Arc<[u8]>,
    /// Shape of the images that it reads.
    pub input: Shape,
    /// Classes that it tells apart.
    pub classes: usize,
    /// What it holds of each weight.
    pub kind: Kind,
}

impl ModelFile {
    /// Reads it.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::of_bytes(path, read(path)?)
    }

    /// Of its bytes; `path` is what messages call them.
    ///
    /// # Errors
    /// [`Error::Model`] or [`Error::Contents`] of bytes that are no model, or one that is too large.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let model = of_file(path, &bytes)?;
        check_size(path, &model)?;
        let (input, classes, kind) = (model.input(), model.classes(), model.kind());
        Ok(ModelFile { path: path.to_owned(), bytes: bytes.into(), input, classes, kind })
    }

    /// Its name: that of the file, without the ending.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What tells its network from any other, whatever it decides beside it.
    pub fn identity(&self) -> String {
        sha256(&network_of(&self.bytes))
    }

    /// What predicts by draws: the integer runtime, where it can.
    ///
    /// # Errors
    /// As [`predictor::of_file`].
    pub fn predictor(&self) -> Result<Box<dyn Predictor>> {
        predictor::of_file(Arc::clone(&self.bytes)).at(|| self.path.display().to_string())
    }

    /// What predicts by an analytic pass.
    ///
    /// # Errors
    /// As [`Analytic::new`].
    pub fn analytic(&self, weights: pfp::Weights) -> Result<Analytic> {
        Analytic::new(Arc::clone(&self.bytes), weights).at(|| self.path.display().to_string())
    }

    /// What an evaluation says of it beside its figures.
    ///
    /// # Errors
    /// [`Error::Bnn`] of a file whose network cannot be made again.
    pub fn describe(&self, name: &str) -> Result<ModelDescription> {
        let model = of_file(&self.path, &self.bytes)?;
        let network = import(&model).at(|| self.path.display().to_string())?;
        let bytes = network.guide.bytes(&network.net);
        // Widths of a file are at most 16.
        let width = |bits: Option<Bits>| bits.map_or(32, |b| b.get().try_into().unwrap_or(u8::MAX));
        Ok(ModelDescription {
            name: name.to_owned(),
            strategy: match model.kind() {
                Kind::Float => Strategy::Float,
                Kind::Vpq => Strategy::Vpq,
                Kind::Spq => Strategy::Spq,
                Kind::Jq => Strategy::Jq,
            },
            bits: qbnn_eval::Bits {
                mu: width(model.mu_bits()),
                sigma: width(model.sigma_code().map(|s| s.0)),
                weight: width(model.weight_code().map(qbnn_core::UniformCode::bits)),
                activation: width(model.activation_bits()),
            },
            parameter_bytes: bytes.total() as u64,
            parameters: Some(ParameterBytes {
                weights_bytes: bytes.weights as u64,
                biases_bytes: bytes.biases as u64,
                scales_bytes: bytes.scales as u64,
            }),
            file_bytes: Some(self.bytes.len() as u64),
        })
    }

    /// Names of its classes, in the order of their numbers: those that it holds, else those that lie beside it; none where
    /// neither names them.
    ///
    /// # Errors
    /// As [`classes_beside`].
    pub fn class_names(&self) -> Result<Vec<String>> {
        // What cannot be read of a section is told by who asks for its decisions.
        let own = Content::of(&of_file(&self.path, &self.bytes)?).map(|section| section.class_names);
        match own {
            Ok(names) if !names.is_empty() => Ok(names),
            _ => classes_beside(&self.path, self.classes),
        }
    }

    /// Refuses data of images or classes other than those of the model, whose classes are compared by name too.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check(&self, data: &Prepared<'_>) -> Result<()> {
        data.check(&self.path, self.input, self.classes)?;
        same_names(&self.path, &self.class_names()?, data)
    }
}

/// Refuses data whose classes have other names than those of a model, where it has some.
///
/// # Errors
/// [`Error::Mismatch`].
pub fn same_names(path: &Path, own: &[String], data: &Prepared<'_>) -> Result<()> {
    let other = own.iter().zip(&data.dataset.class_names).enumerate().find(|(_, (own, found))| own != found);
    let Some((class, (own, found))) = other else { return Ok(()) };
    let name = &data.dataset.name;
    let problem = format!("class {class} of the model is `{own}`, of {name} `{found}`; name data of the same classes");
    Err(Error::mismatch(path, problem))
}

/// Sees to it that the model file of a finished checkpoint, checked on training images, lies beside it, and that the
/// checkpoint knows it; `None` for a float network that no file can hold, which is said, or whose file is there already.
///
/// # Errors
/// As [`export::file`]; [`Error::Io`]; a checkpoint that cannot be written.
pub fn settle(
    observer: &dyn Observer,
    folder: &RunFolder,
    name: &str,
    checkpoint: &mut Checkpoint,
    images: ImagesView<'_>,
) -> Result<Option<PathBuf>> {
    let file = export::file(observer, name, checkpoint, images);
    let Ok(Some(file)) = file else {
        remove(folder, name)?;
        return file.map(|_| None);
    };
    let path = folder.model_file(name);
    let hash = sha256(&file);
    if checkpoint.model_file.as_ref() != Some(&hash) {
        // A file that is there is not of this checkpoint: it goes before the checkpoint says what is.
        remove(folder, name)?;
        checkpoint.model_file = Some(hash);
        checkpoint.save(&folder.checkpoint(name))?;
    } else if files::read(&path, input::MODEL).is_ok_and(|there| network_of(&there) == file) {
        // With whatever it decides.
        return Ok(None);
    }
    let file = named(&path, file)?;
    files::replace(&path, &file).map_err(Error::io("write", &path))?;
    Ok(Some(path))
}

/// A new model file with the names of its classes, which lie beside it where they are more than their numbers.
fn named(path: &Path, file: Vec<u8>) -> Result<Vec<u8>> {
    let model = of_file(path, &file)?;
    let class_names = worth_naming(&classes_beside(path, model.classes())?);
    if class_names.is_empty() {
        return Ok(file);
    }
    let content = Content { class_names, ..Content::default() };
    with_section(&model, &content)
        .map_err(|e| Error::contents(path, format!("cannot hold the names of its classes: {e}")))
}

/// Removes the model file of a checkpoint that is about to change.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(folder: &RunFolder, name: &str) -> Result<()> {
    let path = folder.model_file(name);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(e)),
        _ => Ok(()),
    }
}

/// Refuses a checkpoint beside whose file lies a model file that is not of it.
///
/// # Errors
/// [`Error::Stale`]; a model file that cannot be read.
pub fn check_beside(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let beside = path.with_extension("qbnn");
    if !beside.is_file() {
        return Ok(());
    }
    let file = input::bytes(&beside, input::MODEL)?;
    checkpoint.owns(&file).map_err(|why| stale(&beside, path, why))
}

fn stale(file: &Path, checkpoint: &Path, why: String) -> Error {
    let folder = RunFolder::of_checkpoint(checkpoint);
    let fix = match folder.config() {
        Some(_) => {
            format!("`qbnn train --resume {}` writes it again, or move it elsewhere", shell::path(folder.path()))
        }
        None => "move one of them elsewhere".to_owned(),
    };
    Error::Stale { file: file.to_owned(), checkpoint: checkpoint.to_owned(), why, fix }
}

/// The bytes of a model file, checked; [`Model::new`] cannot fail on them.
///
/// # Errors
/// [`Error::Io`]; [`Error::Model`] or [`Error::Contents`] of a file that is no model or too large; [`Error::Stale`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = input::bytes(path, input::MODEL)?;
    check_size(path, &of_file(path, &bytes)?)?;
    check_checkpoint(path, &bytes)?;
    Ok(bytes)
}

/// The model of bytes that [`read`] gave.
///
/// # Errors
/// None of such bytes; what is wrong with others.
pub fn model(bytes: &[u8]) -> Result<Model<'_>, ModelError> {
    Model::new(bytes)
}

/// The model of a file's bytes.
pub(crate) fn of_file<'a>(path: &Path, bytes: &'a [u8]) -> Result<Model<'a>> {
    Model::new(bytes).map_err(|error| Error::Model { path: path.to_owned(), error })
}

/// Refuses a model whose layers would take more memory than any network that this program makes.
fn check_size(path: &Path, model: &Model<'_>) -> Result<()> {
    let numbers = |shape: qbnn_core::model::Shape| shape.len() as u128;
    let found = model.iter().map(|layer| numbers(layer.shape)).sum::<u128>() + numbers(model.input());
    if found > MAX_VALUES as u128 {
        let problem = format!("has {found} numbers an image, wanted at most {MAX_VALUES}; write the model file again");
        return Err(Error::contents(path, problem));
    }
    Ok(())
}

/// Refuses a model file that is not of the checkpoint beside it.
fn check_checkpoint(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("safetensors");
    if path.extension().is_none_or(|e| e != "qbnn") || !beside.is_file() || !Checkpoint::is_one(&beside)? {
        return Ok(());
    }
    let checkpoint = Checkpoint::load(&beside)
        .at(|| format!("cannot tell whether {} is of the checkpoint beside it", path.display()))?;
    checkpoint.owns(bytes).map_err(|why| stale(path, &beside, why))
}
