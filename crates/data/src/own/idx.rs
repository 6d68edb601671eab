//! IDX files of one's own: images of any shape and their labels, under the names of MNIST.

use super::Own;
use crate::dataset::Labelled;
use crate::error::DataError;
use crate::idx::Idx;
use crate::images::Images;
use crate::read::{agree, images};
use std::path::{Path, PathBuf};

/// Reads a folder of IDX files: `train-images…` and `train-labels…`, and `val-…` and `t10k-…` (or `test-…`) where they are
/// there; whatever follows these beginnings, plain or `.gz`. Classes are called by their numbers.
///
/// # Errors
/// [`DataError::MissingSet`] without training files, [`DataError::Disagree`], and those of [`Idx::read`].
pub fn pair(folder: &Path, name: &str) -> Result<Own, DataError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io("read", folder, &e))? {
        names.push(entry.map_err(|e| DataError::io("read", folder, &e))?.path());
    }
    names.sort();
    let half = |beginnings: &[&str]| -> Result<Option<Labelled>, DataError> {
        let found =
            beginnings.iter().find_map(|half| Some((find(&names, half, "images")?, find(&names, half, "labels")?)));
        found.map(|(images, labels)| labelled(images, labels)).transpose()
    };
    let missing = || DataError::MissingSet {
        set: name.into(),
        looked: format!("{}: no train-images and train-labels there", folder.display()),
    };
    let train = half(&["train"])?.ok_or_else(missing)?;
    let (validation, test) = (half(&["val"])?, half(&["t10k", "test"])?);
    let all = [Some(&train), validation.as_ref(), test.as_ref()];
    let most = all.into_iter().flatten().flat_map(|part| &part.labels).max().copied().unwrap_or(0);
    let class_names = (0..=most).map(|class| class.to_string()).collect();
    Ok(Own { name: name.into(), class_names, train, validation, test })
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
