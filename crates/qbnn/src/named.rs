//! What a path that was named is, so that a refusal can say what it found and what to name instead.

use crate::error::{Error, Result};
use crate::keys::nearest;
use crate::run_folder::{CONFIG, RunFolder};
use crate::shell;
use qbnn_data::file_kind::Found;
use std::path::{Path, PathBuf};

/// The model files of a folder, by name.
///
/// # Errors
/// A folder that cannot be listed.
pub fn models(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "qbnn") && path.is_file());
    found.sort();
    Ok(found)
}

/// Paths, as words of a command line.
fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(shell::path).collect::<Vec<_>>().join(", ")
}

/// The model file that was named, or the only one of the folder that was.
///
/// # Errors
/// A folder of none or several; a file of another kind.
pub fn model(path: &Path) -> Result<PathBuf> {
    let found = Found::at(path);
    match found {
        Found::Folder => {}
        Found::Model | Found::Other => return Ok(path.to_owned()),
        other => {
            let what = other.what().unwrap_or_default();
            return Err(Error::contents(path, format!("is no qbnn model: it is {what}; {}", instead(path, other))));
        }
    }
    match &models(path)?[..] {
        [one] => Ok(one.clone()),
        [] => Err(Error::contents(path, format!("holds no model file (.qbnn); name one, or {}", how_to_make(path)))),
        several => {
            let problem = format!("{} model files are in this folder; name one: {}", several.len(), listed(several));
            Err(Error::settings(path.display().to_string(), problem))
        }
    }
}

/// The model file that a program means by a path: as [`model`], and of a checkpoint the model file beside it. `name` chooses among
/// those of a folder.
///
/// # Errors
/// As [`model`]; a name that no model file of the folder has, or that is given for a file.
pub fn model_of(path: &Path, name: Option<&str>) -> Result<PathBuf> {
    let Some(name) = name else {
        let beside = path.with_extension("qbnn");
        return if Found::at(path) == Found::Safetensors && beside.is_file() { Ok(beside) } else { model(path) };
    };
    if !path.is_dir() {
        let problem = format!("a name chooses among the models of a folder, and {} is none", path.display());
        return Err(Error::settings(format!("model {name}"), problem));
    }
    let files = models(path)?;
    if let Some(found) = files.iter().find(|file| file.file_stem().is_some_and(|stem| stem == name)) {
        return Ok(found.clone());
    }
    let known: Vec<_> = files.iter().filter_map(|file| Some(file.file_stem()?.to_string_lossy())).collect();
    let near = nearest(name, known.iter().map(AsRef::as_ref)).map(str::to_owned);
    let known = if known.is_empty() { format!("none in {}", path.display()) } else { known.join(", ") };
    Err(Error::UnknownName { what: "model", name: name.to_owned(), near, known })
}

/// How a folder gets a model file.
fn how_to_make(folder: &Path) -> String {
    if folder.join(CONFIG).is_file() {
        return format!("`qbnn train --resume {}` writes one for each finished checkpoint", shell::path(folder));
    }
    "make one with `qbnn run`".to_owned()
}

/// What to name where a model file is wanted.
fn instead(path: &Path, found: Found) -> String {
    let beside = path.with_extension("qbnn");
    match found {
        Found::Safetensors if beside.is_file() => format!("name the model file beside it, {}", shell::path(beside)),
        Found::Safetensors => {
            let folder = RunFolder::of_checkpoint(path);
            format!("name a model file (.qbnn); {}", how_to_make(folder.path()))
        }
        Found::Png | Found::Idx => {
            format!("`qbnn predict MODEL.qbnn {}` predicts it", shell::path(path))
        }
        _ => "name a model file (.qbnn), which `qbnn run` writes".to_owned(),
    }
}

/// Whether a model file lies at a path; a name that ends as theirs do says as much where there is nothing.
pub fn is_model(path: &Path) -> bool {
    Found::at(path) == Found::Model || (path.extension().is_some_and(|e| e == "qbnn") && !path.exists())
}

/// Refuses what is known to be no checkpoint where one is wanted.
///
/// # Errors
/// A file of another kind, with what to name instead.
pub fn checkpoint(path: &Path) -> Result<()> {
    // A name says as much where there is no file.
    let named = path.extension().is_some_and(|e| e == "qbnn") && !path.exists();
    let found = if named { Found::Model } else { Found::at(path) };
    let (Some(what), false) = (found.what(), matches!(found, Found::Safetensors | Found::Folder)) else {
        return Ok(());
    };
    let beside = path.with_extension("safetensors");
    let mut instead = if found == Found::Model && beside.is_file() {
        format!("name the checkpoint beside it, {}", shell::path(beside))
    } else {
        "name a run folder or a checkpoint (.safetensors), which `qbnn run` and `qbnn train` write".to_owned()
    };
    if found == Found::Model {
        instead.push_str("; `qbnn predict` reads model files");
    }
    Err(Error::contents(path, format!("is no checkpoint: it is {what}; {instead}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_chooses_among_the_models_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["float.qbnn", "jq-w4a4.qbnn", "jq-w4a4.safetensors"] {
            std::fs::write(path(name), [8, 0, 0, 0, 0, 0, 0, 0, b'{', b'"', b'a', b'"', b':', b'1', b'}', b' '])
                .unwrap();
        }
        assert_eq!(model_of(dir.path(), Some("float")).unwrap(), path("float.qbnn"));
        assert_eq!(model_of(&path("jq-w4a4.safetensors"), None).unwrap(), path("jq-w4a4.qbnn"));
        assert_eq!(model_of(&path("float.qbnn"), None).unwrap(), path("float.qbnn"));
        let error = |path: &Path, name| model_of(path, name).unwrap_err().one_line();
        assert_eq!(
            error(dir.path(), Some("jq-w4a5")),
            "unknown model `jq-w4a5`; did you mean `jq-w4a4`? known are float, jq-w4a4"
        );
        assert!(error(&path("float.qbnn"), Some("float")).contains("is none"));
        assert!(error(dir.path(), None).contains("2 model files are in this folder"));
    }
}
