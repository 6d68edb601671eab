//! Reading the files of a set, checked against its descriptor and against each other.

use crate::dataset::{Ambiguous, Labelled};
use crate::descriptor::{Descriptor, Half, Holds, SetFiles};
use crate::error::DataError;
use crate::idx::Idx;
use crate::images::Images;
use crate::locations::Locations;
use std::path::Path;

/// How far a row of soft labels may sum from 1.
pub const SUM_TOLERANCE: f32 = 1e-3;

/// Reads images alone.
///
/// # Errors
/// [`DataError::MissingSet`], [`DataError::WrongShape`], and those of [`Idx::read`].
pub fn load_images(set: &Descriptor, half: Half, locations: &Locations) -> Result<Images, DataError> {
    images_of(set, &locations.file(set, half, Holds::Images)?)
}

/// Reads images with one label each.
///
/// # Errors
/// [`DataError::MissingSet`], [`DataError::Disagree`], [`DataError::Label`], and those of [`Idx::read`].
pub fn load_labelled(set: &Descriptor, half: Half, locations: &Locations) -> Result<Labelled, DataError> {
    let path = locations.file(set, half, Holds::Images)?;
    let images = images_of(set, &path)?;
    let labels_path = locations.file(set, half, Holds::Labels)?;
    let (_, labels) = Idx::read(&labels_path)?.into_u8(1, &labels_path)?;
    agree(&path, images.len(), &labels_path, labels.len())?;
    let labels = check_labels(&labels_path, &labels, classes(set))?;
    Ok(Labelled { images, labels })
}

/// Reads images with several labels each.
///
/// # Errors
/// [`DataError::MissingSet`], [`DataError::Disagree`], [`DataError::WrongShape`], [`DataError::Label`],
/// [`DataError::Probabilities`], and those of [`Idx::read`].
pub fn load_ambiguous(set: &Descriptor, half: Half, locations: &Locations) -> Result<Ambiguous, DataError> {
    let path = locations.file(set, half, Holds::Images)?;
    let images = images_of(set, &path)?;
    let labels_path = locations.file(set, half, Holds::DrawnLabels)?;
    let (dims, labels) = Idx::read(&labels_path)?.into_u8(2, &labels_path)?;
    agree(&path, images.len(), &labels_path, dims[0])?;
    let drawn = set.set.as_ref().and_then(|s| s.drawn).unwrap_or(dims[1]).max(1);
    check_columns(&labels_path, dims, drawn)?;
    let labels = check_labels(&labels_path, &labels, classes(set))?;
    let soft_path = locations.file(set, half, Holds::Probabilities)?;
    let (dims, soft_labels) = Idx::read(&soft_path)?.into_f32(2, &soft_path)?;
    agree(&path, images.len(), &soft_path, dims[0])?;
    check_columns(&soft_path, dims, classes(set))?;
    check_probabilities(&soft_path, &soft_labels, classes(set))?;
    Ok(Ambiguous { images, drawn, labels, soft_labels })
}

fn classes(set: &Descriptor) -> usize {
    set.set.as_ref().map_or(0, |s: &SetFiles| s.classes.len())
}

/// Images of an IDX file.
pub(crate) fn images(path: &Path) -> Result<Images, DataError> {
    crate::files::idx_images(Idx::read(path)?, path)
}

/// Images of a file of a set, rows down and columns to the right.
fn images_of(set: &Descriptor, path: &Path) -> Result<Images, DataError> {
    let images = images(path)?;
    Ok(if set.set.as_ref().is_some_and(|files| files.transposed) { images.transposed() } else { images })
}

pub(crate) fn agree(first: &Path, first_count: usize, second: &Path, second_count: usize) -> Result<(), DataError> {
    if first_count == second_count {
        return Ok(());
    }
    Err(DataError::Disagree { first: first.into(), first_count, second: second.into(), second_count })
}

fn check_columns(path: &Path, dims: Vec<usize>, columns: usize) -> Result<(), DataError> {
    if dims[1] == columns {
        return Ok(());
    }
    Err(DataError::WrongShape { path: path.into(), found: dims, wanted: format!("N x {columns}") })
}

fn check_labels(path: &Path, labels: &[u8], classes: usize) -> Result<Vec<u16>, DataError> {
    match labels.iter().position(|&l| usize::from(l) >= classes) {
        None => Ok(labels.iter().copied().map(u16::from).collect()),
        Some(index) => Err(DataError::Label { path: path.into(), index, found: labels[index].into(), classes }),
    }
}

/// Checks rows of soft labels.
pub(crate) fn check_probabilities(path: &Path, rows: &[f32], classes: usize) -> Result<(), DataError> {
    for (row, p) in rows.chunks(classes.max(1)).enumerate() {
        let sum: f32 = p.iter().sum();
        let reason = if let Some(bad) = p.iter().find(|p| !(0.0..=1.0 + SUM_TOLERANCE).contains(*p)) {
            format!("holds {bad}")
        } else if (sum - 1.0).abs() > SUM_TOLERANCE {
            format!("sums to {sum}")
        } else {
            continue;
        };
        return Err(DataError::Probabilities { path: path.into(), row, reason });
    }
    Ok(())
}
