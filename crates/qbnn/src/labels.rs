//! Labels that a user names: an IDX file of bytes, plain or gzip, an `.npz` file, or text with one class a line.

use crate::error::{Error, Result};
use crate::input;
use qbnn_data::idx::Idx;
use qbnn_data::own;
use std::path::Path;

/// First bytes of an IDX file, of a gzip file, and of a zip archive.
const IDX: [u8; 2] = [0, 0];
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZIP: [u8; 2] = *b"PK";

/// The labels of a file, each the number of a class. In text and in `.npz` files they may be names of classes, where the classes
/// have some: `names` are those of all of them, or none.
///
/// # Errors
/// A file that cannot be read, is none of these, or holds a label that is no class.
pub fn read(path: &Path, classes: usize, names: &[String]) -> Result<Vec<usize>> {
    let bytes = input::bytes(path, input::PREDICTIONS)?;
    let labels: Vec<usize> = if bytes.starts_with(&IDX) || bytes.starts_with(&GZIP) {
        let (_, labels) = Idx::read(path)?.into_u8(1, path)?;
        labels.into_iter().map(usize::from).collect()
    } else if bytes.starts_with(&ZIP) {
        let numbers = || (0..classes).map(|class| class.to_string()).collect();
        let names = if names.is_empty() { numbers() } else { names.to_vec() };
        own::labels(&bytes, path, &names)?.into_iter().map(usize::from).collect()
    } else {
        of_text(path, &bytes, names)?
    };
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(labels),
        Some(i) => {
            let found = labels[i];
            Err(Error::contents(
                path,
                format!("has label {found} at place {i}, the model has classes 0 to {}", classes - 1),
            ))
        }
    }
}

fn of_text(path: &Path, bytes: &[u8], names: &[String]) -> Result<Vec<usize>> {
    let wrong = |line: usize| {
        let problem =
            "has no class there, wanted labels as IDX or npz, or text with one class a line: its number, or its name";
        Error::contents(path, format!("(line {line}) {problem}"))
    };
    let text = str::from_utf8(bytes).map_err(|_| wrong(1))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let class = |line: &str| names.iter().position(|name| name == line).or_else(|| line.parse().ok());
    lines.map(|(i, line)| class(line.trim()).ok_or_else(|| wrong(i + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_data::idx::{Storage, Values};

    #[test]
    fn all_kinds_are_read_and_other_labels_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (text, idx) = (dir.path().join("labels.txt"), dir.path().join("labels"));
        std::fs::write(&text, "1\n 0\n\n2\n").unwrap();
        Idx::new(vec![3], Values::U8(vec![1, 0, 2])).unwrap().write(&idx, Storage::Plain).unwrap();
        let plain = |path: &Path, classes| read(path, classes, &[]);
        assert_eq!((plain(&text, 3).unwrap(), plain(&idx, 3).unwrap()), (vec![1, 0, 2], vec![1, 0, 2]));
        assert!(plain(&text, 2).unwrap_err().one_line().contains("label 2 at place 2"));
        std::fs::write(&text, "1\ncat\n").unwrap();
        assert!(plain(&text, 3).unwrap_err().one_line().contains("(line 2) has no class there"));
        // By their names, where the classes have some; a name that is a number is meant.
        let names = ["dog", "cat", "0"].map(str::to_owned);
        assert_eq!(read(&text, 3, &names).unwrap(), [1, 1]);
        std::fs::write(&text, "0\ndog\n").unwrap();
        assert_eq!(read(&text, 3, &names).unwrap(), [2, 0]);
        std::fs::write(&text, "PK\x03\x04").unwrap();
        assert!(plain(&text, 3).unwrap_err().one_line().contains("cut off"));
    }
}
