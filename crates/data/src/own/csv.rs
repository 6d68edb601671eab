//! CSV of pixels: a line for each image, its label and then its values from 0 to 255, `[row][column][channel]`.

use super::{Own, ordered};
use crate::dataset::{CLASSES, Labelled};
use crate::error::DataError;
use crate::idx::{MAX_CONTENT, ungzip};
use crate::images::Images;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line, in bytes: more than 2^21 values of three digits.
const LONGEST: u64 = 1 << 24;

/// Reads a CSV file, plain or gzip, or a folder with `train.csv`, and `val.csv` and `test.csv` where they are there. A first
/// line whose second cell is no number is a header. Labels are any text; classes are those of the training lines, in the
/// order of their numbers where all are numbers, else of their names. `shape` is rows, columns and channels; without it
/// images are square and grey.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::TooLong`]; [`DataError::Csv`] for a line of another length, a cell that is no value, a
/// shape that does not fit, too few or too many classes, or a class that training does not have.
pub fn csv(path: &Path, name: &str, shape: Option<[usize; 3]>) -> Result<Own, DataError> {
    let divided = path.is_dir();
    let part = |names: &[&str]| {
        let found = names.iter().find_map(|name| file(path, name));
        found.map(|path| Ok((read(&path, shape)?, path))).transpose()
    };
    let train_path = if divided { file(path, "train").unwrap_or_else(|| path.join("train.csv")) } else { path.into() };
    let train = read(&train_path, shape)?;
    let class_names = classes(&train.names);
    if !CLASSES.contains(&class_names.len()) {
        let found = format!("begins a file of {} labels, wanted 2 to 1000", class_names.len());
        return Err(DataError::Csv { path: train_path, line: 1, found });
    }
    let (validation, test) = if divided { (part(&["val", "validation"])?, part(&["test"])?) } else { (None, None) };
    let labelled = |(lines, path): (Lines, PathBuf)| lines.labelled(&class_names, &path);
    let train = labelled((train, train_path))?;
    let (validation, test) = (validation.map(labelled).transpose()?, test.map(labelled).transpose()?);
    Ok(Own { name: name.into(), class_names, train, validation, test })
}

/// `NAME.csv` or `NAME.csv.gz` in a folder.
pub(super) fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    ["csv", "csv.gz"].iter().map(|end| folder.join(format!("{name}.{end}"))).find(|path| path.is_file())
}

/// What the lines of a file hold.
pub(super) struct Lines {
    pub(super) images: Images,
    /// The label of each, as it stands there.
    names: Vec<String>,
    /// The line of each.
    numbers: Vec<usize>,
}

impl Lines {
    /// With their labels as places among classes.
    pub(super) fn labelled(self, classes: &[String], path: &Path) -> Result<Labelled, DataError> {
        let place: HashMap<&str, u16> = classes.iter().map(String::as_str).zip(0..).collect();
        let label = |(name, &line): (&String, &usize)| {
            let unknown = || DataError::Csv {
                path: path.into(),
                line,
                found: format!("has label {name:?}, which no training image has; correct it, or remove the line"),
            };
            place.get(name.as_str()).copied().ok_or_else(unknown)
        };
        let labels = self.names.iter().zip(&self.numbers).map(label).collect::<Result<_, _>>()?;
        Ok(Labelled { images: self.images, labels })
    }
}

/// Reads the lines of one file.
pub(super) fn read(path: &Path, shape: Option<[usize; 3]>) -> Result<Lines, DataError> {
    let fail = |e: std::io::Error| DataError::io("read", path, &e);
    let wrong = |line: usize, found: String| DataError::Csv { path: path.into(), line, found };
    let (_, content) = ungzip(BufReader::new(File::open(path).map_err(fail)?)).map_err(fail)?;
    let mut lines = BufReader::new(content.take(4 * MAX_CONTENT));
    let (mut pixels, mut names, mut numbers, mut width) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let length = lines.by_ref().take(LONGEST).read_line(&mut line).map_err(fail)?;
        if length == 0 {
            break;
        }
        if length as u64 == LONGEST {
            return Err(wrong(number, format!("is longer than {LONGEST} bytes")));
        }
        let mut cells = line.trim_end().split(',').map(|cell| cell.trim().trim_matches('"'));
        let Some(label) = cells.next().filter(|label| !label.is_empty()) else { continue };
        let before = pixels.len();
        let mut bad = None;
        for cell in cells {
            match cell.parse::<u8>() {
                Ok(value) => pixels.push(value),
                Err(_) => bad = bad.or(Some(cell)),
            }
        }
        if let Some(cell) = bad {
            if number == 1 && pixels.is_empty() {
                continue;
            }
            return Err(wrong(number, format!("holds {cell:?}, wanted whole numbers from 0 to 255 behind the label")));
        }
        let found = pixels.len() - before;
        let wanted = *width.get_or_insert(found);
        if found != wanted || found == 0 {
            return Err(wrong(number, format!("has {found} values, wanted {wanted} as in the first image")));
        }
        if pixels.len() as u64 > MAX_CONTENT {
            return Err(DataError::TooLong { path: path.into(), limit: MAX_CONTENT });
        }
        names.push(label.to_owned());
        numbers.push(number);
    }
    let values = width.ok_or_else(|| wrong(1, "holds no image".into()))?;
    let side = values.isqrt();
    let [height, width, channels] = shape.unwrap_or([side, side, 1]);
    if height.checked_mul(width).and_then(|n| n.checked_mul(channels)) != Some(values) {
        return Err(wrong(
            1,
            format!(
                "has {values} values, which are no {height} x {width} x {channels} image; give its shape (data.shape)"
            ),
        ));
    }
    Ok(Lines { images: Images { height, width, channels, pixels }, names, numbers })
}

fn classes(names: &[String]) -> Vec<String> {
    let distinct: BTreeSet<&String> = names.iter().collect();
    ordered(distinct.into_iter().cloned().collect())
}
