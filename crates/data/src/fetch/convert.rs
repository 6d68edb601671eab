//! Ambiguous-MNIST from the tensors its authors publish to IDX files.
//!
//! 12,000 images with ten labels each; the first 6,000 are the training half. Everything is checked before the first
//! file is written.

use crate::error::DataError;
use crate::idx::{Idx, Storage, Values};
use crate::pt::{Tensor, TensorValues};
use crate::set::{CLASSES, DRAWN, FileReport, Half, Set, check_probabilities};
use std::path::Path;

/// Images in each half.
const HALF: usize = 6_000;
/// Height and width of an image.
const SIDE: usize = 28;

/// A tensor and the file it comes from.
type Source<'a> = (&'a Path, Tensor);

/// Writes the six files of the set into `folder`.
pub(super) fn convert(
    folder: &Path,
    samples: (&std::path::PathBuf, Tensor),
    labels: (&std::path::PathBuf, Tensor),
    predictions: (&std::path::PathBuf, Tensor),
) -> Result<(), DataError> {
    let pixels = to_pixels((samples.0, samples.1))?;
    let drawn = to_labels((labels.0, labels.1))?;
    let soft = to_probabilities((predictions.0, predictions.1))?;
    for (half, range) in [(Half::Train, 0..HALF), (Half::Test, HALF..2 * HALF)] {
        let part = |width: usize| range.start * width..range.end * width;
        write(folder, half, "images", vec![HALF, SIDE, SIDE], Values::U8(pixels[part(SIDE * SIDE)].to_vec()))?;
        write(folder, half, "labels", vec![HALF, DRAWN], Values::U8(drawn[part(DRAWN)].to_vec()))?;
        write(folder, half, "probs", vec![HALF, CLASSES], Values::F32(soft[part(CLASSES)].to_vec()))?;
    }
    Ok(())
}

fn write(folder: &Path, half: Half, what: &str, dims: Vec<usize>, values: Values) -> Result<(), DataError> {
    let start = format!("{}-{what}", half.prefix());
    let Some(name) = Set::AmbiguousMnist.files().iter().find(|name| name.starts_with(&start)) else { return Ok(()) };
    let idx = Idx::new(dims, values)?;
    // A plain file of an incomplete set is written over: beside a `.gz` it would be the one that is read.
    let plain = folder.join(name);
    match FileReport::look(folder, name).path {
        Some(path) if path == plain => idx.write(&path, Storage::Plain),
        _ => idx.write(&folder.join(format!("{name}.gz")), Storage::Gzip),
    }
}

fn check_shape(path: &Path, dims: &[usize], wanted: &[usize]) -> Result<(), DataError> {
    // Sizes of 1 say nothing: images come with one channel or without that size.
    let plain = |dims: &[usize]| dims.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    if plain(dims) == plain(wanted) {
        return Ok(());
    }
    Err(DataError::WrongShape { path: path.into(), found: dims.to_vec(), wanted: format!("{wanted:?}") })
}

fn kind(path: &Path, found: &'static str, wanted: &'static str) -> DataError {
    DataError::IdxKind { path: path.into(), found, wanted }
}

fn floats((path, tensor): Source<'_>) -> Result<Vec<f64>, DataError> {
    match tensor.values {
        TensorValues::F32(v) => Ok(v.into_iter().map(f64::from).collect()),
        TensorValues::F64(v) => Ok(v),
        TensorValues::I64(_) => Err(kind(path, "int64", "float32 or float64")),
    }
}

fn to_pixels(source: Source<'_>) -> Result<Vec<u8>, DataError> {
    let path = source.0;
    check_shape(path, &source.1.dims, &[2 * HALF, 1, SIDE, SIDE])?;
    let pixel = |(index, x): (usize, f64)| {
        if (0.0..=1.0).contains(&x) {
            Ok((x * 255.0).round() as u8)
        } else {
            Err(DataError::Intensity { path: path.into(), index, found: x })
        }
    };
    floats(source)?.into_iter().enumerate().map(pixel).collect()
}

fn to_labels((path, tensor): Source<'_>) -> Result<Vec<u8>, DataError> {
    check_shape(path, &tensor.dims, &[2 * HALF, DRAWN])?;
    let TensorValues::I64(values) = tensor.values else { return Err(kind(path, "float", "int64")) };
    let label = |(index, found): (usize, i64)| match u8::try_from(found) {
        Ok(label) if usize::from(label) < CLASSES => Ok(label),
        _ => Err(DataError::Label { path: path.into(), index, found, classes: CLASSES }),
    };
    values.into_iter().enumerate().map(label).collect()
}

fn to_probabilities(source: Source<'_>) -> Result<Vec<f32>, DataError> {
    let path = source.0;
    check_shape(path, &source.1.dims, &[2 * HALF, CLASSES])?;
    let rows: Vec<f32> = floats(source)?.into_iter().map(|p| p as f32).collect();
    check_probabilities(path, &rows)?;
    Ok(rows)
}
