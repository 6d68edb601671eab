//! Ensembles of model files: a short TOML file that names them, `NAME.ensemble.toml`.
//!
//! ```toml
//! models = ["a.qbnn", "b.qbnn"]
//! ```
//!
//! Paths are relative to the file. All members read the same images and tell the same classes apart, and no model is
//! named twice: a copy would agree with itself, and the epistemic uncertainty would come out too small.

use crate::{input, keys, model_file};
use anyhow::{Context, Result, bail};
use qbnn_bnn::identity::sha256;
use qbnn_bnn::import::import;
use qbnn_bnn::predictor::{self, Analytic, Predictor};
use qbnn_bnn::{BnnError, Shape, files, pfp};
use qbnn_core::Bits;
use qbnn_core::model::Kind;
use qbnn_eval::{ModelDescription, ParameterBytes, Strategy};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the names of such files end.
pub const ENDING: &str = ".ensemble.toml";

/// Most members.
const MEMBERS: usize = 64;

/// The file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The model files.
    models: Vec<PathBuf>,
}

/// A model file of an ensemble.
pub struct Member {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds, checked.
    pub bytes: Arc<[u8]>,
}

/// Model files that predict together.
pub struct Ensemble {
    /// Its name: that of the file, without the ending.
    pub name: String,
    /// The file that names them.
    pub path: PathBuf,
    /// The models, at least one.
    pub members: Vec<Member>,
    /// Shape of the images that all of them read.
    pub input: Shape,
    /// Classes that all of them tell apart.
    pub classes: usize,
}

/// Whether a path is named as ensembles are.
pub fn is_one(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING)) && !path.is_dir()
}

impl Ensemble {
    /// Reads an ensemble and all its models.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it, or with one of its models.
    pub fn read(path: &Path) -> Result<Self> {
        let text = input::text(path, input::TEXT).with_context(|| format!("cannot read {}", path.display()))?;
        let File { models } = toml::from_str(&text).map_err(|e| keys::located(&text, &path.to_string_lossy(), &e))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths: Vec<_> = models.iter().map(|model| folder.join(model)).collect();
        Self::of(path, &paths)
    }

    /// The ensemble of these models, as the file at `path` names them.
    fn of(path: &Path, models: &[PathBuf]) -> Result<Self> {
        let shown = path.display();
        if !is_one(path) {
            bail!("{shown} is no name of an ensemble; wanted NAME{ENDING}");
        }
        if models.is_empty() || models.len() > MEMBERS {
            bail!("{shown} names {} models, wanted 1 to {MEMBERS}; change the list `models`", models.len());
        }
        let mut members: Vec<Member> = Vec::with_capacity(models.len());
        let (mut left, mut same) = (input::MODEL, None);
        for model in models {
            if is_one(model) {
                bail!("{shown} names {}, an ensemble; name the model files of which it consists", model.display());
            }
            let bytes = model_file::read(model).with_context(|| format!("{shown}: a member cannot be used"))?;
            left = match left.checked_sub(bytes.len() as u64) {
                Some(left) => left,
                None => bail!("the models of {shown} have more than {} bytes together; name fewer", input::MODEL),
            };
            if let Some(twin) = members.iter().find(|m| *m.bytes == *bytes) {
                bail!("{shown} names one model twice, {} and {}; remove one", twin.path.display(), model.display());
            }
            let found = model_file::model(&bytes)?;
            let (input, classes) = (found.input(), found.classes());
            let (wanted, wanted_classes) = *same.get_or_insert((input, classes));
            if (input, classes) != (wanted, wanted_classes) {
                bail!(
                    "{shown}: {} reads {input} images of {classes} classes, the first model {wanted} images of \
                     {wanted_classes}; members must read the same",
                    model.display()
                );
            }
            members.push(Member { path: model.clone(), bytes: bytes.into() });
        }
        let (input, classes) = same.context("an ensemble has no models")?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.strip_suffix(ENDING).unwrap_or(&file).to_owned();
        Ok(Ensemble { name, path: path.to_owned(), members, input, classes })
    }

    /// Writes the file that names these models, with paths relative to its folder, and gives the ensemble.
    ///
    /// # Errors
    /// As [`Ensemble::read`]; a file that cannot be written.
    pub fn save(path: &Path, models: &[PathBuf]) -> Result<Self> {
        let ensemble = Self::of(path, models)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = parent.canonicalize().with_context(|| format!("cannot find {}", parent.display()))?;
        let place = |model: &PathBuf| -> Result<PathBuf> {
            let model = model.canonicalize().with_context(|| format!("cannot find {}", model.display()))?;
            Ok(relative(&model, &folder))
        };
        let file = File { models: models.iter().map(place).collect::<Result<_>>()? };
        let text = toml::to_string(&file).context("a path of a model is no text")?;
        files::replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(ensemble)
    }

    /// Bytes of all model files.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|m| m.bytes.len() as u64).sum()
    }

    /// What tells it from any other.
    pub fn identity(&self) -> String {
        sha256(self.members.iter().map(|m| sha256(&m.bytes)).collect::<String>().as_bytes())
    }

    /// What predicts by draws that the members share.
    ///
    /// # Errors
    /// As [`predictor::of_file`], for the member that it names.
    pub fn predictor(&self) -> Result<Box<dyn Predictor>> {
        self.each(predictor::of_file)
    }

    /// What predicts by an analytic pass of each member.
    ///
    /// # Errors
    /// As [`Analytic::new`], for the member that it names.
    pub fn analytic(&self, weights: pfp::Weights) -> Result<Box<dyn Predictor>> {
        self.each(|file| Ok(Box::new(Analytic::new(file, weights)?)))
    }

    fn each(&self, open: impl Fn(Arc<[u8]>) -> Result<Box<dyn Predictor>, BnnError>) -> Result<Box<dyn Predictor>> {
        let open = |m: &Member| open(Arc::clone(&m.bytes)).with_context(|| m.path.display().to_string());
        let members = self.members.iter().map(open).collect::<Result<_>>()?;
        Ok(Box::new(predictor::Ensemble::new(members)?))
    }

    /// What an evaluation says of it beside its figures; bytes are those of all members.
    ///
    /// # Errors
    /// Members of several strategies or widths, of which a table could name only one.
    pub fn describe(&self, name: &str) -> Result<ModelDescription> {
        let width = |bits: Option<Bits>| bits.map_or(Ok(32), |b| u8::try_from(b.get()));
        let mut all: Option<ModelDescription> = None;
        for member in &self.members {
            let model = model_file::model(&member.bytes)?;
            let network = import(&model).with_context(|| member.path.display().to_string())?;
            let bytes = network.guide.bytes(&network.net);
            let one = ModelDescription {
                name: name.to_owned(),
                strategy: match model.kind() {
                    Kind::Float => Strategy::Float,
                    Kind::Vpq => Strategy::Vpq,
                    Kind::Spq => Strategy::Spq,
                    Kind::Jq => Strategy::Jq,
                },
                bits: qbnn_eval::Bits {
                    mu: width(model.mu_bits())?,
                    sigma: width(model.sigma_code().map(|s| s.0))?,
                    weight: width(model.weight_code().map(qbnn_core::UniformCode::bits))?,
                    activation: width(model.activation_bits())?,
                },
                parameter_bytes: bytes.total() as u64,
                parameters: Some(ParameterBytes {
                    weights_bytes: bytes.weights as u64,
                    biases_bytes: bytes.biases as u64,
                    scales_bytes: bytes.scales as u64,
                }),
                file_bytes: Some(self.bytes()),
            };
            let Some(sum) = &mut all else {
                all = Some(one);
                continue;
            };
            if (sum.strategy, sum.bits) != (one.strategy, one.bits) {
                bail!(
                    "{}: {} has another strategy or other widths than the first model; a table names one of both, so \
                     evaluate members of a kind",
                    self.path.display(),
                    member.path.display()
                );
            }
            sum.parameter_bytes += one.parameter_bytes;
            if let (Some(sum), Some(one)) = (&mut sum.parameters, one.parameters) {
                sum.weights_bytes += one.weights_bytes;
                sum.biases_bytes += one.biases_bytes;
                sum.scales_bytes += one.scales_bytes;
            }
        }
        all.context("an ensemble has no models")
    }
}

/// A path as seen from a folder, both without links or dots.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let shared = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return path.to_owned();
    }
    let up = folder.components().skip(shared).map(|_| std::path::Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opened::tests::network;
    use qbnn_bnn::export::export;

    #[test]
    fn what_is_saved_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        let [a, b] = [1, 2].map(|seed| export(&network(seed)).unwrap());
        std::fs::write(at("a.qbnn"), &a).unwrap();
        std::fs::write(at("sub/b.qbnn"), &b).unwrap();
        let (path, models) = (at("sub/pair.ensemble.toml"), [at("a.qbnn"), at("sub/b.qbnn")]);
        let saved = Ensemble::save(&path, &models).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim_end(), "models = [\"../a.qbnn\", \"b.qbnn\"]");
        // Wherever the folder goes, the ensemble goes along.
        std::fs::create_dir(at("away")).unwrap();
        for name in ["a.qbnn", "sub"] {
            std::fs::rename(at(name), at("away").join(name)).unwrap();
        }
        let read = Ensemble::read(&at("away/sub/pair.ensemble.toml")).unwrap();
        assert_eq!((read.name.as_str(), read.identity()), ("pair", saved.identity()));
        assert_eq!(read.bytes(), (a.len() + b.len()) as u64);
        assert_eq!(read.members.iter().map(|m| &m.bytes[..]).collect::<Vec<_>>(), [&a[..], &b[..]]);
        // What could not be read is not written.
        let models = [at("away/a.qbnn"), at("away/a.qbnn")];
        assert!(Ensemble::save(&at("twice.ensemble.toml"), &models).is_err());
        assert!(Ensemble::save(&at("pair.toml"), &models[..1]).is_err());
        assert!(!at("twice.ensemble.toml").exists() && !at("pair.toml").exists());
    }
}
