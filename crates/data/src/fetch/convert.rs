//! A set of ambiguous images from the tensors its authors publish to IDX files.
//!
//! Ambiguous-MNIST: 12,000 images with ten labels each; the first 6,000 are the training half. Everything is checked before
//! the first file is written.

use crate::descriptor::{Half, Holds, SetFiles};
use crate::error::DataError;
use crate::idx::{Idx, Storage, Values};
use crate::locations::FileReport;
use crate::pt::{Tensor, TensorValues};
use crate::read::check_probabilities;
use std::path::Path;

/// A tensor and the file it comes from.
type Source<'a> = (&'a Path, Tensor);

/// Writes the files of a set into `folder`.
pub(super) fn convert(
    set: &SetFiles,
    folder: &Path,
    samples: (&Path, Tensor),
    labels: (&Path, Tensor),
    predictions: (&Path, Tensor),
) -> Result<(), DataError> {
    let [rows, columns, channels] = set.shape;
    let (images, classes) = (set.train + set.test, set.classes.len());
    let drawn = set.drawn.unwrap_or(1);
    let pixels = to_pixels(samples, &[images, channels, rows, columns])?;
    let labels = to_labels(labels, &[images, drawn], classes)?;
    let soft = to_probabilities(predictions, &[images, classes])?;
    for (half, range) in [(Half::Train, 0..set.train), (Half::Test, set.train..images)] {
        let n = range.len();
        let part = |width: usize| range.start * width..range.end * width;
        let write = |holds, dims, values| write(set, folder, (half, holds), Idx::new(dims, values)?);
        write(Holds::Images, vec![n, rows, columns], Values::U8(pixels[part(rows * columns)].to_vec()))?;
        write(Holds::DrawnLabels, vec![n, drawn], Values::U8(labels[part(drawn)].to_vec()))?;
        write(Holds::Probabilities, vec![n, classes], Values::F32(soft[part(classes)].to_vec()))?;
    }
    Ok(())
}

fn write(set: &SetFiles, folder: &Path, what: (Half, Holds), idx: Idx) -> Result<(), DataError> {
    let Some(file) = set.files.iter().find(|f| (f.half, f.holds) == what) else { return Ok(()) };
    // A plain file of an incomplete set is written over: beside a `.gz` it would be the one that is read.
    let plain = folder.join(&file.name);
    match FileReport::look(folder, &file.name).path {
        Some(path) if path == plain => idx.write(&path, Storage::Plain),
        _ => idx.write(&folder.join(format!("{}.gz", file.name)), Storage::Gzip),
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

fn to_pixels(source: Source<'_>, dims: &[usize]) -> Result<Vec<u8>, DataError> {
    let path = source.0;
    check_shape(path, &source.1.dims, dims)?;
    let pixel = |(index, x): (usize, f64)| {
        if (0.0..=1.0).contains(&x) {
            Ok((x * 255.0).round() as u8)
        } else {
            Err(DataError::Intensity { path: path.into(), index, found: x })
        }
    };
    floats(source)?.into_iter().enumerate().map(pixel).collect()
}

fn to_labels((path, tensor): Source<'_>, dims: &[usize], classes: usize) -> Result<Vec<u8>, DataError> {
    check_shape(path, &tensor.dims, dims)?;
    let TensorValues::I64(values) = tensor.values else { return Err(kind(path, "float", "int64")) };
    let label = |(index, found): (usize, i64)| match u8::try_from(found) {
        Ok(label) if usize::from(label) < classes => Ok(label),
        _ => Err(DataError::Label { path: path.into(), index, found, classes }),
    };
    values.into_iter().enumerate().map(label).collect()
}

fn to_probabilities(source: Source<'_>, dims: &[usize]) -> Result<Vec<f32>, DataError> {
    let path = source.0;
    check_shape(path, &source.1.dims, dims)?;
    let rows: Vec<f32> = floats(source)?.into_iter().map(|p| p as f32).collect();
    check_probabilities(path, &rows, dims[1])?;
    Ok(rows)
}
