//! Writes a dataset, or one of its test groups, in the formats that are read here: as examples of them, and for other
//! programs.

use crate::dataset::{Dataset, Labelled, TestGroup};
use crate::error::DataError;
use crate::idx::{Idx, Storage, Values, replace};
use crate::images::Images;
use crate::npz_write::{Entry, archive, array, text};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder `train/CLASS/*.png`, with `val` and `test` beside it.
    Png,
    /// A file with arrays `x_train`, `y_train`, and so on.
    Npz,
    /// A folder of IDX files under the names of MNIST.
    Idx,
    /// A folder of `train.csv`, `val.csv`, `test.csv`.
    Csv,
}

/// Writes the training images that have one label each, the validation images and the clean test images of a dataset, class
/// by class, so that what is read again is the same in every format. Of each part at most `limit` images are taken, evenly.
/// Gives the number of images of each part.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::Own`] where something lies there already; [`DataError::Class`] of a class that would be
/// empty.
pub fn whole(dataset: &Dataset, format: Format, to: &Path, limit: usize) -> Result<[usize; 3], DataError> {
    let mut times = vec![0u32; dataset.train.images.len()];
    dataset.train.pairs.iter().for_each(|&(image, _)| times[image as usize] += 1);
    let single = dataset.train.pairs.iter().filter(|&&(image, _)| times[image as usize] == 1);
    let (places, labels): (Vec<usize>, Vec<u16>) = single.map(|&(image, label)| (image as usize, label)).unzip();
    let train = Labelled { images: dataset.train.images.select(&places), labels };
    let clean = dataset.groups.iter().find(|g| g.role == crate::Role::Clean);
    let test = clean.map(|g| Labelled { images: g.images.clone(), labels: g.labels.clone().unwrap_or_default() });
    let test = test.unwrap_or_else(|| Labelled { images: train.images.select(&[]), labels: Vec::new() });
    let parts = [&train, &dataset.validation, &test].map(|part| by_class(part, dataset.classes(), limit));
    for (class, name) in dataset.class_names.iter().enumerate() {
        let least = parts.iter().map(|part| part.labels.iter().filter(|&&l| usize::from(l) == class).count()).min();
        if least == Some(0) {
            return Err(DataError::Class { name: name.clone(), found: 0, wanted: 1 });
        }
    }
    free(to)?;
    let names = folder_names(&dataset.class_names);
    match format {
        Format::Png => {
            for (part, name) in parts.iter().zip(["train", "val", "test"]) {
                pictures(part, &names, &to.join(name))?;
            }
        }
        Format::Idx => {
            make(to)?;
            for (part, name) in parts.iter().zip(["train", "val", "t10k"]) {
                idx(&part.images, Some(&part.labels), to, name)?;
            }
        }
        Format::Csv => {
            make(to)?;
            for (part, name) in parts.iter().zip(["train", "val", "test"]) {
                csv(&part.images, Some((&part.labels, &names)), &to.join(format!("{name}.csv")))?;
            }
        }
        Format::Npz => {
            let mut arrays = Vec::new();
            for (part, name) in parts.iter().zip(["train", "val", "test"]) {
                arrays.push(images_array(&format!("x_{name}"), &part.images));
                arrays.push(labels_array(&format!("y_{name}"), &part.labels));
            }
            arrays.push(text("class_names", &dataset.class_names));
            npz(&arrays, to)?;
        }
    }
    Ok(parts.map(|part| part.labels.len()))
}

/// Writes one test group, as a group is read: with labels where they are known, with soft labels in an `.npz` file. Gives the
/// number of images.
///
/// # Errors
/// As [`whole`].
pub fn group(
    group: &TestGroup,
    classes: &[String],
    format: Format,
    to: &Path,
    limit: usize,
) -> Result<usize, DataError> {
    let places = spaced(group.images.len(), limit);
    let images = group.images.select(&places);
    let labels = group.labels.as_ref().filter(|_| group.role.is_labelled());
    let labels: Option<Vec<u16>> = labels.map(|labels| places.iter().map(|&i| labels[i]).collect());
    let names = folder_names(classes);
    free(to)?;
    match (format, &labels) {
        (Format::Png, Some(labels)) => pictures(&Labelled { images, labels: labels.clone() }, &names, to)?,
        (Format::Png, None) => {
            make(to)?;
            (0..images.len()).try_for_each(|i| images.write_png(i, &to.join(format!("{i:05}.png"))))?;
        }
        (Format::Idx, labels) => {
            make(to)?;
            idx(&images, labels.as_deref(), to, "test")?;
        }
        (Format::Csv, labels) => csv(&images, labels.as_deref().map(|labels| (labels, &names[..])), to)?,
        (Format::Npz, labels) => {
            let mut arrays = vec![images_array("x_test", &images)];
            arrays.extend(labels.as_deref().map(|labels| labels_array("y_test", labels)));
            if let (None, Some(soft)) = (labels, &group.soft_labels) {
                let n = classes.len();
                let rows = places.iter().flat_map(|&i| &soft[i * n..(i + 1) * n]);
                let bytes = rows.flat_map(|p| p.to_le_bytes()).collect();
                arrays.push(array("y_test", "<f4", &[places.len(), n], bytes));
            }
            npz(&arrays, to)?;
        }
    }
    Ok(places.len())
}

/// At most `limit` places, evenly.
fn spaced(len: usize, limit: usize) -> Vec<usize> {
    let kept = len.min(limit);
    (0..kept).map(|i| (i as u128 * len as u128 / kept.max(1) as u128) as usize).collect()
}

/// At most `limit` images, class by class.
fn by_class(part: &Labelled, classes: usize, limit: usize) -> Labelled {
    let kept = spaced(part.labels.len(), limit);
    let of = |class: usize| kept.iter().copied().filter(move |&i| usize::from(part.labels[i]) == class);
    let places: Vec<usize> = (0..classes).flat_map(of).collect();
    Labelled { images: part.images.select(&places), labels: places.iter().map(|&i| part.labels[i]).collect() }
}

/// Names of classes as folders and cells have them, in an order that is that of the classes: their own where that is so,
/// else their numbers.
fn folder_names(classes: &[String]) -> Vec<String> {
    let plain = |name: &String| {
        !name.is_empty() && !name.starts_with('.') && name.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c))
    };
    if classes.iter().all(plain) && super::ordered(classes.to_vec()) == classes {
        return classes.to_vec();
    }
    (0..classes.len()).map(|class| class.to_string()).collect()
}

/// Refuses a place where something is.
fn free(to: &Path) -> Result<(), DataError> {
    let is_empty = std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    if to.exists() && !is_empty {
        return Err(DataError::Own { path: to.into(), problem: "is there already; name another place".into() });
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), DataError> {
    std::fs::create_dir_all(folder).map_err(|e| DataError::io("make", folder, &e))
}

fn pictures(part: &Labelled, names: &[String], to: &Path) -> Result<(), DataError> {
    for (i, &label) in part.labels.iter().enumerate() {
        let folder = to.join(&names[usize::from(label)]);
        make(&folder)?;
        part.images.write_png(i, &folder.join(format!("{i:05}.png")))?;
    }
    Ok(())
}

fn idx(images: &Images, labels: Option<&[u16]>, to: &Path, name: &str) -> Result<(), DataError> {
    let mut dims = vec![images.len(), images.height, images.width];
    if images.channels > 1 {
        dims.push(images.channels);
    }
    let path = to.join(format!("{name}-images-idx{}-ubyte", dims.len()));
    Idx::new(dims, Values::U8(images.pixels.clone()))?.write(&path, Storage::Plain)?;
    let Some(labels) = labels else { return Ok(()) };
    let path = to.join(format!("{name}-labels-idx1-ubyte"));
    let too_many =
        |_| DataError::Own { path: path.clone(), problem: "has one byte for a label: too many classes".into() };
    let bytes = labels.iter().map(|&l| u8::try_from(l)).collect::<Result<Vec<u8>, _>>().map_err(too_many)?;
    Idx::new(vec![bytes.len()], Values::U8(bytes))?.write(&path, Storage::Plain)
}

fn csv(images: &Images, labels: Option<(&[u16], &[String])>, to: &Path) -> Result<(), DataError> {
    replace(to, |file| {
        let pixels: Vec<String> = (0..images.size()).map(|i| format!("pixel{i}")).collect();
        writeln!(file, "label,{}", pixels.join(","))?;
        for (i, image) in images.pixels.chunks_exact(images.size()).enumerate() {
            let label = labels.map_or("none", |(labels, names)| &names[usize::from(labels[i])]);
            let values: Vec<String> = image.iter().map(u8::to_string).collect();
            writeln!(file, "{label},{}", values.join(","))?;
        }
        Ok(())
    })
}

fn images_array(name: &str, images: &Images) -> Entry {
    let mut shape = vec![images.len(), images.height, images.width];
    if images.channels > 1 {
        shape.push(images.channels);
    }
    array(name, "|u1", &shape, images.pixels.clone())
}

fn labels_array(name: &str, labels: &[u16]) -> Entry {
    array(name, "<u2", &[labels.len()], labels.iter().flat_map(|l| l.to_le_bytes()).collect())
}

fn npz(entries: &[Entry], to: &Path) -> Result<(), DataError> {
    let too_large = || DataError::Own { path: PathBuf::from(to), problem: "would be 2^32 bytes or more".into() };
    let file = archive(entries).ok_or_else(too_large)?;
    replace(to, |out| out.write_all(&file))
}
