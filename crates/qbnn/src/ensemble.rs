//! Ensembles of model files: a short TOML file that names them, `NAME.ensemble.toml`.
//!
//! ```toml
//! models = ["a.qbnn", "b.qbnn"]
//! ```
//!
//! Paths are relative to the file. All members read the same images and tell the same classes apart, and no model is
//! named twice: a copy would agree with itself, and the epistemic uncertainty would come out too small.

use crate::error::{At, Error, Result};
use crate::model_file::ModelFile;
use crate::{input, keys};
use qbnn_bnn::internals::files;
use qbnn_bnn::internals::identity::sha256;
use qbnn_bnn::predictor::Predictor;
use qbnn_bnn::{Shape, pfp, predictor};
use qbnn_eval::ModelDescription;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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

/// Model files that predict together.
pub struct Ensemble {
    /// Its name: that of the file, without the ending.
    pub name: String,
    /// The file that names them.
    pub path: PathBuf,
    /// The models, at least one.
    pub members: Vec<ModelFile>,
    /// Shape of the images that all of them read.
    pub input: Shape,
    /// Classes that all of them tell apart.
    pub classes: usize,
    /// Their names, of the members that name them; none where none does.
    pub class_names: Vec<String>,
}

/// Whether a path is named as ensembles are.
pub fn is_one(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING)) && !path.is_dir()
}

impl Ensemble {
    /// Reads an ensemble and all its models.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Settings`] or [`Error::Contents`] of the file; what is wrong with one of its models.
    pub fn read(path: &Path) -> Result<Self> {
        let text = input::text(path, input::TEXT).map_err(Error::io("read", path))?;
        let File { models } = toml::from_str(&text).map_err(|e| keys::located(&text, &path.to_string_lossy(), &e))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths: Vec<_> = models.iter().map(|model| folder.join(model)).collect();
        Self::of(path, &paths)
    }

    /// The ensemble of these models, as the file at `path` names them.
    fn of(path: &Path, models: &[PathBuf]) -> Result<Self> {
        let wrong = |problem: String| Err(Error::contents(path, problem));
        if !is_one(path) {
            return wrong(format!("is no name of an ensemble; wanted NAME{ENDING}"));
        }
        let count = || format!("names {} models, wanted 1 to {MEMBERS}; change the list `models`", models.len());
        if models.len() > MEMBERS {
            return wrong(count());
        }
        let mut members: Vec<ModelFile> = Vec::with_capacity(models.len());
        let (mut left, mut same, mut class_names) = (input::MODEL, None, Vec::new());
        for model in models {
            if is_one(model) {
                return wrong(format!(
                    "names {}, an ensemble; name the model files of which it consists",
                    model.display()
                ));
            }
            let member = ModelFile::read(model).at(|| format!("{}: a member cannot be used", path.display()))?;
            left = match left.checked_sub(member.bytes.len() as u64) {
                Some(left) => left,
                None => return wrong(format!("names models of more than {} bytes together; name fewer", input::MODEL)),
            };
            if let Some(twin) = members.iter().find(|m| m.bytes == member.bytes) {
                let (twin, model) = (twin.path.display(), model.display());
                return wrong(format!("names one model twice, {twin} and {model}; remove one"));
            }
            let (input, classes) = (member.input, member.classes);
            let (wanted, wanted_classes) = *same.get_or_insert((input, classes));
            if (input, classes) != (wanted, wanted_classes) {
                return wrong(format!(
                    "names {}, which reads {input} images of {classes} classes, the first model {wanted} images of \
                     {wanted_classes}; members must read the same",
                    model.display()
                ));
            }
            let names = member.class_names()?;
            if class_names.is_empty() {
                class_names = names;
            } else if let Some((own, other)) = class_names.iter().zip(&names).find(|(own, other)| own != other) {
                return wrong(format!(
                    "names {}, which calls a class `{other}`, a model before it `{own}`; members must know the same classes, \
                     in one order",
                    model.display()
                ));
            }
            members.push(member);
        }
        let Some((input, classes)) = same else { return wrong(count()) };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.strip_suffix(ENDING).unwrap_or(&file).to_owned();
        Ok(Ensemble { name, path: path.to_owned(), members, input, classes, class_names })
    }

    /// Writes the file that names these models, with paths relative to its folder, and gives the ensemble.
    ///
    /// # Errors
    /// As [`Ensemble::read`]; a file that cannot be written.
    pub fn save(path: &Path, models: &[PathBuf]) -> Result<Self> {
        let ensemble = Self::of(path, models)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = parent.canonicalize().map_err(Error::io("find", parent))?;
        let place = |model: &PathBuf| -> Result<PathBuf> {
            let model = model.canonicalize().map_err(Error::io("find", model))?;
            Ok(relative(&model, &folder))
        };
        let file = File { models: models.iter().map(place).collect::<Result<_>>()? };
        let text = toml::to_string(&file).map_err(|e| Error::Encode { what: "a path of a model", source: e.into() })?;
        files::replace(path, text.as_bytes()).map_err(Error::io("write", path))?;
        Ok(ensemble)
    }

    /// Bytes of all model files.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|m| m.bytes.len() as u64).sum()
    }

    /// What tells it from any other.
    pub fn identity(&self) -> String {
        sha256(self.members.iter().map(ModelFile::identity).collect::<String>().as_bytes())
    }

    /// What predicts by draws that the members share.
    ///
    /// # Errors
    /// As [`predictor::of_file`], for the member that it names.
    pub fn predictor(&self) -> Result<Box<dyn Predictor>> {
        self.each(ModelFile::predictor)
    }

    /// What predicts by an analytic pass of each member.
    ///
    /// # Errors
    /// As [`qbnn_bnn::predictor::Analytic::new`], for the member that it names.
    pub fn analytic(&self, weights: pfp::Weights) -> Result<Box<dyn Predictor>> {
        self.each(|member| Ok(Box::new(member.analytic(weights)?)))
    }

    fn each(&self, open: impl Fn(&ModelFile) -> Result<Box<dyn Predictor>>) -> Result<Box<dyn Predictor>> {
        let members = self.members.iter().map(open).collect::<Result<_>>()?;
        Ok(Box::new(predictor::Ensemble::new(members)?))
    }

    /// What an evaluation says of it beside its figures; bytes are those of all members.
    ///
    /// # Errors
    /// [`Error::Contents`] of members of several strategies or widths, of which a table could name only one.
    pub fn describe(&self, name: &str) -> Result<ModelDescription> {
        let mut all: Option<ModelDescription> = None;
        for member in &self.members {
            let one = ModelDescription { file_bytes: Some(self.bytes()), ..member.describe(name)? };
            let Some(sum) = &mut all else {
                all = Some(one);
                continue;
            };
            if (sum.strategy, sum.bits) != (one.strategy, one.bits) {
                let problem = format!(
                    "names {}, which has another strategy or other widths than the first model; a table names one of \
                     both, so evaluate members of a kind",
                    member.path.display()
                );
                return Err(Error::contents(&self.path, problem));
            }
            sum.parameter_bytes += one.parameter_bytes;
            if let (Some(sum), Some(one)) = (&mut sum.parameters, one.parameters) {
                sum.weights_bytes += one.weights_bytes;
                sum.biases_bytes += one.biases_bytes;
                sum.scales_bytes += one.scales_bytes;
            }
        }
        all.ok_or_else(|| Error::contents(&self.path, "names no models"))
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
    use qbnn_bnn::export;

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
