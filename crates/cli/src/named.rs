//! What a path that was named is, by its first bytes, so that a refusal can say what it found and what to name instead.

use crate::failure::usage;
use crate::run_folder::{CONFIG, RunFolder};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A folder.
    Folder,
    /// A model file.
    Model,
    /// A checkpoint, or another safetensors file.
    Safetensors,
    /// A PNG picture.
    Png,
    /// An IDX file, plain or gzip.
    Idx,
    /// A zip archive, such as `.npz`.
    Zip,
    /// One array of numpy.
    Npy,
    /// A page.
    Html,
    /// A pickle, as `torch.save` of old and `pickle.dump` write it.
    Pickle,
    /// HDF5.
    Hdf5,
    /// A file without a byte.
    Empty,
    /// Anything else, a pipe, or nothing at all.
    Other,
}

impl Found {
    /// What the path leads to. Only regular files are read, and of them a few bytes.
    pub fn at(path: &Path) -> Self {
        if path.is_dir() {
            return Found::Folder;
        }
        let head = || -> std::io::Result<Vec<u8>> {
            let mut head = Vec::new();
            File::open(path)?.take(16).read_to_end(&mut head)?;
            Ok(head)
        };
        if !path.is_file() {
            return Found::Other;
        }
        head().map_or(Found::Other, |head| Self::of(&head))
    }

    /// What begins with these bytes.
    pub fn of(head: &[u8]) -> Self {
        let begins = |with: &[u8]| head.starts_with(with);
        match head {
            [] => Found::Empty,
            _ if begins(b"QBNN\r\n") => Found::Model,
            _ if begins(b"\x89PNG") => Found::Png,
            _ if begins(b"\x89HDF") => Found::Hdf5,
            _ if begins(b"PK") => Found::Zip,
            _ if begins(b"\x93NUMPY") => Found::Npy,
            _ if begins(b"\x1f\x8b") || begins(b"\0\0\x08") || begins(b"\0\0\x0d") => Found::Idx,
            [0x80, 2..=5, ..] => Found::Pickle,
            // Eight bytes of length, the highest of them 0, and the header, which is JSON.
            [_, _, _, _, _, 0, 0, 0, b'{', ..] => Found::Safetensors,
            [b'<', ..] => Found::Html,
            _ => Found::Other,
        }
    }

    /// In words; `None` for what is not known.
    pub fn what(self) -> Option<&'static str> {
        Some(match self {
            Found::Folder => "a folder",
            Found::Model => "a model file",
            Found::Safetensors => "a checkpoint (safetensors)",
            Found::Png => "a PNG picture",
            Found::Idx => "an IDX or gzip file",
            Found::Zip => "a zip archive (.npz)",
            Found::Npy => "a single numpy array (.npy)",
            Found::Html => "an HTML or XML page",
            Found::Pickle => "a Python pickle",
            Found::Hdf5 => "an HDF5 file",
            Found::Empty => "an empty file",
            Found::Other => return None,
        })
    }
}

/// The model files of a folder, by name.
pub fn models(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "qbnn") && path.is_file());
    found.sort();
    Ok(found)
}

/// Paths, as words of a command line.
pub fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(shell::path).collect::<Vec<_>>().join(", ")
}

/// The model file that was named, or the only one of the folder that was.
///
/// # Errors
/// A folder of none or several; a file of another kind.
pub fn model(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let found = Found::at(path);
    match found {
        Found::Folder => {}
        Found::Model | Found::Other => return Ok(path.to_owned()),
        other => {
            bail!("{shown} is no qbnn model: it is {}; {}", other.what().unwrap_or_default(), instead(path, other))
        }
    }
    match &models(path)?[..] {
        [one] => Ok(one.clone()),
        [] => bail!("{shown} holds no model file (.qbnn); name one, or {}", how_to_make(path)),
        several => Err(usage(format!("{shown} holds {} model files; name one: {}", several.len(), listed(several)))),
    }
}

/// How a folder gets a model file.
pub fn how_to_make(folder: &Path) -> String {
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
    bail!("{} is no checkpoint: it is {what}; {instead}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        for (head, found) in [
            (&b""[..], Found::Empty),
            (b"QBNN\r\n\x1a\n", Found::Model),
            (b"\x89PNG\r\n", Found::Png),
            (b"PK\x03\x04", Found::Zip),
            (b"\x93NUMPY\x01", Found::Npy),
            (b"<!DOCTYPE html>", Found::Html),
            (b"\x80\x04\x95", Found::Pickle),
            (b"\x98\x01\0\0\0\0\0\0{\"a\":", Found::Safetensors),
            (b"\0\0\x08\x03\0\0", Found::Idx),
            (b"name = 1", Found::Other),
        ] {
            assert_eq!(Found::of(head), found, "{head:?}");
        }
    }
}
