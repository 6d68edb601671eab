//! Arrays of numpy: images and labels in one `.npz` file.

use super::{Own, ordered};
use crate::dataset::{CLASSES, Labelled};
use crate::error::{DataError, bail, ensure};
use crate::images::Images;
use crate::npy::{Archive, Array, Values, read_npz};
use crate::read::SUM_TOLERANCE;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The longest file that is read, in bytes.
const MOST: u64 = 1 << 30;

/// Names of the arrays of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Arrays {
    /// Training images: `N x rows x columns`, with 1 or 3 channels last or first, or `N x values`.
    pub x_train: String,
    /// Their labels: N integers from 0, or N names.
    pub y_train: String,
    /// Images for validation, where there are some.
    pub x_val: String,
    /// Their labels.
    pub y_val: String,
    /// Test images, where there are some.
    pub x_test: String,
    /// Their labels; of a test group perhaps `N x classes` probabilities.
    pub y_test: String,
    /// Names of the classes, where they are there.
    pub class_names: String,
}

impl Default for Arrays {
    fn default() -> Self {
        let [x_train, y_train, x_val, y_val, x_test, y_test, class_names] =
            ["x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "class_names"].map(str::to_owned);
        Arrays { x_train, y_train, x_val, y_val, x_test, y_test, class_names }
    }
}

/// Reads `x_train` and `y_train`, and `x_val`, `y_val`, `x_test`, `y_test` where they are there; `arrays` names them. Values of
/// images are bytes, integers from 0 to 255, or floating-point numbers from 0 to 1, which become bytes. `shape` is rows,
/// columns and channels, for images that are stored as rows of values.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::TooLong`]; [`DataError::Own`] says which array is wrong, and how to store it;
/// [`DataError::Label`]; [`DataError::Disagree`] is told by [`DataError::Own`] too.
pub fn npz(path: &Path, name: &str, arrays: &Arrays, shape: Option<[usize; 3]>) -> Result<Own, DataError> {
    let a = arrays;
    let wanted = [&a.x_train, &a.y_train, &a.x_val, &a.y_val, &a.x_test, &a.y_test, &a.class_names];
    let mut archive = open(path, &wanted.map(String::as_str))?;
    let fail = |problem: String| DataError::Own { path: path.into(), problem };
    let [train, validation, test] = [(&a.x_train, &a.y_train), (&a.x_val, &a.y_val), (&a.x_test, &a.y_test)]
        .map(|(x, y)| pair(&mut archive, x, y, shape).map_err(fail));
    let (train, validation, test) = (train?, validation?, test?);
    let (images, labels) = train.ok_or_else(|| {
        fail(format!("{}, wanted arrays {} and {}; name them in [data.arrays]", found(&archive), a.x_train, a.y_train))
    })?;
    let names = archive.arrays.remove(&a.class_names).map(|array| names(array, &a.class_names)).transpose();
    let class_names = match names.map_err(fail)? {
        Some(names) => names,
        None => labels.classes(path)?,
    };
    if !CLASSES.contains(&class_names.len()) {
        return Err(fail(format!("{} has {} classes, wanted 2 to 1000", a.y_train, class_names.len())));
    }
    let labelled = |(images, labels): (Images, Labels), y: &str| {
        Ok(Labelled { images, labels: labels.places(&class_names, path, y)? })
    };
    Ok(Own {
        name: name.into(),
        train: labelled((images, labels), &a.y_train)?,
        validation: validation.map(|part| labelled(part, &a.y_val)).transpose()?,
        test: test.map(|part| labelled(part, &a.y_test)).transpose()?,
        class_names,
    })
}

/// Test images of a file with whatever labels it has: `x_test` and `y_test`, else `x` and `y`.
pub(super) fn test(
    path: &Path,
    arrays: &Arrays,
    shape: Option<[usize; 3]>,
) -> Result<(Images, Option<Labels>), DataError> {
    let pairs = [(arrays.x_test.as_str(), arrays.y_test.as_str()), ("x", "y")];
    let mut archive = open(path, &[pairs[0].0, pairs[0].1, "x", "y"])?;
    let fail = |problem: String| DataError::Own { path: path.into(), problem };
    let (x, y) = *pairs
        .iter()
        .find(|(x, _)| archive.arrays.contains_key(*x))
        .ok_or_else(|| fail(format!("{}, wanted an array {} or x of test images", found(&archive), arrays.x_test)))?;
    let of = |array: Option<Array>, name: &str| array.ok_or_else(|| fail(format!("has no array {name}")));
    let images = images(of(archive.arrays.remove(x), x)?, x, shape).map_err(fail)?;
    let labels = archive.arrays.remove(y).map(|array| Labels::of(array, y, images.len())).transpose().map_err(fail)?;
    Ok((images, labels))
}

/// Arrays of test images, the first that is there, each with those of their labels.
const TEST: [(&str, &[&str]); 3] = [("x_test", &["y_test"]), ("x", &["y"]), ("images", &["labels", "y"])];

/// Images alone, of a file in memory: those of an array that holds test images, or of its only array.
pub(crate) fn images_of(bytes: &[u8], path: &Path, shape: Option<[usize; 3]>) -> Result<Images, DataError> {
    let fail = |problem: String| DataError::Own { path: path.into(), problem };
    let names = read_npz(bytes, &[]).map_err(fail)?.names;
    let name = match &names[..] {
        [one] => one.as_str(),
        _ => TEST.iter().map(|t| t.0).find(|name| names.iter().any(|n| n == name)).ok_or_else(|| {
            fail(format!("holds {}, wanted an array x_test, x or images, or a single one", names.join(", ")))
        })?,
    };
    let array = read_npz(bytes, &[name]).map_err(fail)?.arrays.remove(name);
    images(array.ok_or_else(|| fail(format!("has no array {name}")))?, name, shape).map_err(fail)
}

/// Labels alone, as places among classes: those of test images, or of the only array. A file of numbers or of names.
///
/// # Errors
/// [`DataError::Own`] says which array is wrong; [`DataError::Label`] of a number that is no class.
pub fn labels(bytes: &[u8], path: &Path, classes: &[String]) -> Result<Vec<u16>, DataError> {
    let fail = |problem: String| DataError::Own { path: path.into(), problem };
    let names = read_npz(bytes, &[]).map_err(fail)?.names;
    let has = |name: &str| names.iter().any(|n| n == name);
    // Beside images those of their name; of a file without images any.
    let beside = TEST.iter().find(|t| has(t.0)).and_then(|t| t.1.iter().find(|y| has(y)));
    let any = || TEST.iter().flat_map(|t| t.1).find(|y| has(y));
    let name = match (beside.or_else(any), &names[..]) {
        (Some(name), _) => name,
        (None, [one]) => one.as_str(),
        _ => {
            return Err(fail(format!(
                "holds {}, wanted an array y_test, y or labels, or a single one",
                names.join(", ")
            )));
        }
    };
    let array = read_npz(bytes, &[name]).map_err(fail)?.arrays.remove(name);
    let array = array.ok_or_else(|| fail(format!("has no array {name}")))?;
    let n = array.shape.first().copied().unwrap_or(0);
    Labels::of(array, name, n).map_err(fail)?.places(classes, path, name)
}

fn found(archive: &Archive) -> String {
    if archive.names.is_empty() { "holds nothing".into() } else { format!("holds {}", archive.names.join(", ")) }
}

fn open(path: &Path, wanted: &[&str]) -> Result<Archive, DataError> {
    let fail = |e: std::io::Error| DataError::io("read", path, &e);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(MOST + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MOST {
        return Err(DataError::TooLong { path: path.into(), limit: MOST });
    }
    read_npz(&bytes, wanted).map_err(|problem| DataError::Own { path: path.into(), problem })
}

/// The number of training labels of a file; `None` where it has none.
pub(super) fn count(path: &Path, arrays: &Arrays) -> Option<usize> {
    open(path, &[&arrays.y_train]).ok()?.arrays.get(&arrays.y_train)?.shape.first().copied()
}

/// Images and their labels, where both are there.
fn pair(
    archive: &mut Archive,
    x: &str,
    y: &str,
    shape: Option<[usize; 3]>,
) -> Result<Option<(Images, Labels)>, String> {
    match (archive.arrays.remove(x), archive.arrays.remove(y)) {
        (None, None) => Ok(None),
        (Some(_), None) => bail!("has an array {x} but no {y}; store the labels too"),
        (None, Some(_)) => bail!("has an array {y} but no {x}; store the images too"),
        (Some(images_of), Some(labels)) => {
            let images = images(images_of, x, shape)?;
            let labels = Labels::of(labels, y, images.len())?;
            Ok(Some((images, labels)))
        }
    }
}

/// Images of any of the layouts that are read.
fn images(array: Array, name: &str, shape: Option<[usize; 3]>) -> Result<Images, String> {
    let Array { shape: sizes, values } = array;
    let pixels = bytes(values, name)?;
    ensure!(!pixels.is_empty(), "{name} has shape {sizes:?}: no image");
    match (&sizes[..], shape) {
        (&[_, height, width], _) => Ok(Images { height, width, channels: 1, pixels }),
        (&[_, height, width, channels @ (1 | 3)], _) => Ok(Images { height, width, channels, pixels }),
        (&[_, channels @ (1 | 3), height, width], _) => {
            let plane = height * width;
            let last = |image: &[u8]| (0..image.len()).map(|i| image[i % channels * plane + i / channels]).collect();
            let pixels = pixels.chunks_exact(channels * plane).flat_map(|image| -> Vec<u8> { last(image) }).collect();
            Ok(Images { height, width, channels, pixels })
        }
        (&[_, values], Some([height, width, channels @ (1 | 3)]))
            if height.checked_mul(width).and_then(|n| n.checked_mul(channels)) == Some(values) =>
        {
            Ok(Images { height, width, channels, pixels })
        }
        (&[_, _], _) => bail!("{name} has shape {sizes:?}: rows of values; give their shape (data.shape)"),
        _ => bail!("{name} has shape {sizes:?}, wanted N x rows x columns, with 1 or 3 channels first or last"),
    }
}

fn bytes(values: Values, name: &str) -> Result<Vec<u8>, String> {
    match values {
        Values::Byte(bytes) => Ok(bytes),
        Values::Integer(all) => {
            let byte = |v: i64| {
                u8::try_from(v)
                    .map_err(|_| format!("{name} holds {v}, wanted integers from 0 to 255, or 0 to 1 as float"))
            };
            all.into_iter().map(byte).collect()
        }
        Values::Float(all) => {
            let byte = |v: f64| {
                ensure!(
                    (0.0..=1.0).contains(&v),
                    "{name} holds {v}, wanted floating-point values from 0 to 1; store 8-bit images: \
                     images.astype(np.uint8)"
                );
                // In 0 to 255, and whole.
                Ok((v * 255.0).round() as u8)
            };
            all.into_iter().map(byte).collect()
        }
        other => bail!("{name} holds {}, wanted 8-bit images: images.astype(np.uint8)", other.what()),
    }
}

fn names(array: Array, name: &str) -> Result<Vec<String>, String> {
    let Values::Text(names) = array.values else {
        bail!("{name} holds {}, wanted text: a name for each class", array.values.what())
    };
    let distinct: BTreeSet<&String> = names.iter().collect();
    ensure!(distinct.len() == names.len(), "{name} holds a name twice; give each class its own");
    Ok(names)
}

/// Labels as they are stored.
pub(super) enum Labels {
    Numbers(Vec<i64>),
    Names(Vec<String>),
    /// `N x classes` probabilities.
    Soft(Vec<f32>),
}

impl Labels {
    fn of(array: Array, name: &str, images: usize) -> Result<Self, String> {
        let Array { shape, values } = array;
        let n = shape.first().copied().unwrap_or(0);
        ensure!(n == images, "{name} has shape {shape:?}, wanted one label for each of {images} images");
        match (values.widened().map_err(|e| format!("{name} {e}"))?, &shape[..]) {
            (Values::Integer(labels), [_] | [_, 1]) => Ok(Labels::Numbers(labels)),
            (Values::Text(labels), [_] | [_, 1]) => Ok(Labels::Names(labels)),
            (Values::Boolean(labels), [_] | [_, 1]) => Ok(Labels::Numbers(labels.into_iter().map(i64::from).collect())),
            (Values::Float(rows), &[_, classes]) if CLASSES.contains(&classes) => {
                for (row, p) in rows.chunks_exact(classes).enumerate() {
                    let sum: f64 = p.iter().sum();
                    let range = 0.0..=1.0 + f64::from(SUM_TOLERANCE);
                    ensure!(
                        p.iter().all(|p| range.contains(p)) && (sum - 1.0).abs() <= f64::from(SUM_TOLERANCE),
                        "{name}: row {row} sums to {sum}, wanted probabilities that sum to 1"
                    );
                }
                Ok(Labels::Soft(rows.into_iter().map(|p| p as f32).collect()))
            }
            (values, _) => bail!(
                "{name} has shape {shape:?} and holds {}, wanted N integers or names (one-hot rows: y.argmax(axis=1))",
                values.what()
            ),
        }
    }

    /// Names of the classes that these labels need.
    fn classes(&self, path: &Path) -> Result<Vec<String>, DataError> {
        match self {
            Labels::Names(names) => Ok(ordered(names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect())),
            Labels::Numbers(numbers) => {
                let most = *CLASSES.end();
                let range = 0..most as i64;
                if let Some(index) = numbers.iter().position(|n| !range.contains(n)) {
                    return Err(DataError::Label { path: path.into(), index, found: numbers[index], classes: most });
                }
                Ok((0..=numbers.iter().max().copied().unwrap_or(0)).map(|class| class.to_string()).collect())
            }
            Labels::Soft(_) => Ok(Vec::new()),
        }
    }

    /// As places among classes.
    pub(super) fn places(self, classes: &[String], path: &Path, name: &str) -> Result<Vec<u16>, DataError> {
        let fail = |problem: String| DataError::Own { path: path.into(), problem };
        match self {
            Labels::Numbers(numbers) => {
                let place = |(index, &found): (usize, &i64)| {
                    let label = u16::try_from(found).ok().filter(|&l| usize::from(l) < classes.len());
                    let classes = classes.len();
                    label.ok_or_else(|| DataError::Label { path: path.into(), index, found, classes })
                };
                numbers.iter().enumerate().map(place).collect()
            }
            Labels::Names(names) => {
                let places: HashMap<&str, u16> = classes.iter().map(String::as_str).zip(0..).collect();
                let place = |found: &String| {
                    let unknown = || fail(format!("{name} holds {found:?}, which is no class of the training"));
                    places.get(found.as_str()).copied().ok_or_else(unknown)
                };
                names.iter().map(place).collect()
            }
            Labels::Soft(_) => Err(fail(format!(
                "{name} holds probabilities, wanted one label for each image: y.argmax(axis=1); several right labels make \
                 a test group of role ambiguous"
            ))),
        }
    }
}
