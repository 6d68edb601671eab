//! IDX files of one's own: images of any shape and their labels, under the names of MNIST.

use super::Own;
use crate::dataset::Labelled;
use crate::error::DataError;
use crate::idx::{Idx, ungzip};
use crate::images::Images;
use crate::read::{agree, images};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Reads a folder of IDX files: `train-images…` and `train-labels…`, and `val-…` and `t10k-…` (or `test-…`) where they are
/// there; whatever follows these beginnings, plain or `.gz`. Or reads one file of images, with `images` in its name, whose
/// labels lie beside it with `labels` in its place. Classes are called by their numbers.
///
/// # Errors
/// [`DataError::MissingSet`] without training files, [`DataError::Disagree`], and those of [`Idx::read`].
pub fn pair(folder: &Path, name: &str) -> Result<Own, DataError> {
    if !folder.is_dir() {
        let labels = beside(folder).ok_or_else(|| DataError::Own {
            path: folder.into(),
            problem:
                "has no labels; wanted a file of images with `images` in its name, and beside it one with `labels` in \
                      its place"
                    .into(),
        })?;
        return Ok(own(name, labelled(folder, &labels)?, None, None));
    }
    let names = names(folder)?;
    let half = |beginnings: &[&str]| -> Result<Option<Labelled>, DataError> {
        let found =
            beginnings.iter().find_map(|half| Some((find(&names, half, "images")?, find(&names, half, "labels")?)));
        found.map(|(images, labels)| labelled(images, labels)).transpose()
    };
    let missing = || DataError::MissingSet {
        set: name.into(),
        looked: format!("{}: no train-images and train-labels there", folder.display()),
        how: "put both there".into(),
    };
    let train = half(&["train"])?.ok_or_else(missing)?;
    let (validation, test) = (half(&["val"])?, half(&["t10k", "test"])?);
    Ok(own(name, train, validation, test))
}

/// With a class for every number up to the greatest.
fn own(name: &str, train: Labelled, validation: Option<Labelled>, test: Option<Labelled>) -> Own {
    let all = [Some(&train), validation.as_ref(), test.as_ref()];
    let most = all.into_iter().flatten().flat_map(|part| &part.labels).max().copied().unwrap_or(0);
    let class_names = (0..=most).map(|class| class.to_string()).collect();
    Own { name: name.into(), class_names, train, validation, test }
}

/// The files of a folder, in the order of their names.
fn names(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io("read", folder, &e))? {
        names.push(entry.map_err(|e| DataError::io("read", folder, &e))?.path());
    }
    names.sort();
    Ok(names)
}

/// The file of labels that lies beside one of images; its name goes on as it likes.
fn beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let begin = format!("{}labels", &name[..name.rfind("images")?]);
    let folder = images.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&begin));
    names(folder).ok()?.into_iter().find(is)
}

/// The file of test images at a path, and that of their labels where there is one.
pub(super) fn test(path: &Path) -> Result<(PathBuf, Option<PathBuf>), DataError> {
    if !path.is_dir() {
        return Ok((path.into(), beside(path)));
    }
    let names = names(path)?;
    let images = ["t10k", "test"].iter().find_map(|half| find(&names, half, "images"));
    let missing = || DataError::Own { path: path.into(), problem: "has no file t10k-images or test-images".into() };
    let images = images.ok_or_else(missing)?;
    Ok((images.into(), beside(images)))
}

/// The number of training images by the header of their file.
pub(super) fn count(path: &Path) -> Option<usize> {
    let names = if path.is_dir() { names(path).ok()? } else { vec![path.into()] };
    let images = if path.is_dir() { find(&names, "train", "images")? } else { path };
    let (_, content) = ungzip(BufReader::new(File::open(images).ok()?)).ok()?;
    let mut head = [0; 8];
    BufReader::new(content).read_exact(&mut head).ok()?;
    Some(u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize)
}

/// The file that begins like this; a plain one before a `.gz`, since names are sorted.
fn find<'a>(names: &'a [PathBuf], half: &str, what: &str) -> Option<&'a Path> {
    let begin = format!("{half}-{what}");
    let is = |path: &&PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&begin));
    names.iter().find(is).map(PathBuf::as_path)
}

fn labelled(path: &Path, labels_path: &Path) -> Result<Labelled, DataError> {
    let images: Images = images(path)?;
    let (_, labels) = Idx::read(labels_path)?.into_u8(1, labels_path)?;
    agree(path, images.len(), labels_path, labels.len())?;
    Ok(Labelled { images, labels: labels.into_iter().map(u16::from).collect() })
}
