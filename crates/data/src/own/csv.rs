//! CSV of pixels: a line for each image, its label and then its values from 0 to 255, `[row][column][channel]`.

use super::Own;
use crate::dataset::{CLASSES, Labelled};
use crate::error::DataError;
use crate::idx::{MAX_CONTENT, ungzip};
use crate::images::Images;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The longest line, in bytes: more than 2^21 values of three digits.
const LONGEST: u64 = 1 << 24;

/// Reads a CSV file, plain or gzip. A first line whose second cell is no number is a header. Labels are any text; classes
/// are in the order of their numbers where all are numbers, else of their names. `shape` is rows, columns and channels;
/// without it images are square and grey.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::TooLong`]; [`DataError::Csv`] for a line of another length, a cell that is no value, a
/// shape that does not fit, or too few or too many classes.
pub fn csv(path: &Path, name: &str, shape: Option<[usize; 3]>) -> Result<Own, DataError> {
    let fail = |e: std::io::Error| DataError::io("read", path, &e);
    let wrong = |line: usize, found: String| DataError::Csv { path: path.into(), line, found };
    let (_, content) = ungzip(BufReader::new(File::open(path).map_err(fail)?)).map_err(fail)?;
    let mut lines = BufReader::new(content.take(4 * MAX_CONTENT));
    let (mut pixels, mut names, mut width) = (Vec::new(), Vec::new(), None);
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
    }
    let values = width.ok_or_else(|| wrong(1, "holds no image".into()))?;
    let side = values.isqrt();
    let [height, width, channels] = shape.unwrap_or([side, side, 1]);
    if height.checked_mul(width).and_then(|n| n.checked_mul(channels)) != Some(values) {
        return Err(wrong(
            1,
            format!("has {values} values, which are no {height} x {width} x {channels} image; give its shape"),
        ));
    }
    let class_names = classes(&names);
    if !CLASSES.contains(&class_names.len()) {
        return Err(wrong(1, format!("begins a file of {} labels, wanted 2 to 1000", class_names.len())));
    }
    // At most 1,000 of them.
    let label = |name: &String| class_names.iter().position(|class| class == name).unwrap_or(0) as u16;
    let labels = names.iter().map(label).collect();
    let train = Labelled { images: Images { height, width, channels, pixels }, labels };
    Ok(Own { name: name.into(), class_names, train, validation: None, test: None })
}

fn classes(names: &[String]) -> Vec<String> {
    let distinct: BTreeSet<&String> = names.iter().collect();
    let mut classes: Vec<String> = distinct.into_iter().cloned().collect();
    if let Some(numbers) = classes.iter().map(|c| c.parse::<i64>().ok()).collect::<Option<Vec<_>>>() {
        let mut numbered: Vec<_> = numbers.into_iter().zip(classes).collect();
        numbered.sort();
        classes = numbered.into_iter().map(|(_, name)| name).collect();
    }
    classes
}
