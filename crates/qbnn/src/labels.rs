//! Labels that a user names: an IDX file of bytes, plain or gzip, or text with one class number a line.

use crate::error::{Error, Result};
use crate::input;
use qbnn_data::idx::Idx;
use std::path::Path;

/// First bytes of an IDX file, and of a gzip file.
const IDX: [u8; 2] = [0, 0];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The labels of a file, each the number of one of so many classes.
///
/// # Errors
/// A file that cannot be read, is neither, or holds a label that is no class.
pub fn read(path: &Path, classes: usize) -> Result<Vec<usize>> {
    let bytes = input::bytes(path, input::PREDICTIONS)?;
    let labels = if bytes.starts_with(&IDX) || bytes.starts_with(&GZIP) {
        let (_, labels) = Idx::read(path)?.into_u8(1, path)?;
        labels.into_iter().map(usize::from).collect()
    } else {
        of_text(path, &bytes)?
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

fn of_text(path: &Path, bytes: &[u8]) -> Result<Vec<usize>> {
    let wrong = |line: usize| {
        let problem = "has no class number there, wanted IDX labels, or text with one class number a line";
        Error::contents(path, format!("(line {line}) {problem}"))
    };
    let text = str::from_utf8(bytes).map_err(|_| wrong(1))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(i, line)| line.trim().parse().map_err(|_| wrong(i + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_data::idx::{Storage, Values};

    #[test]
    fn both_kinds_are_read_and_other_labels_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (text, idx) = (dir.path().join("labels.txt"), dir.path().join("labels"));
        std::fs::write(&text, "1\n 0\n\n2\n").unwrap();
        Idx::new(vec![3], Values::U8(vec![1, 0, 2])).unwrap().write(&idx, Storage::Plain).unwrap();
        assert_eq!((read(&text, 3).unwrap(), read(&idx, 3).unwrap()), (vec![1, 0, 2], vec![1, 0, 2]));
        assert!(read(&text, 2).unwrap_err().one_line().contains("label 2 at place 2"));
        std::fs::write(&text, "1\ncat\n").unwrap();
        assert!(read(&text, 3).unwrap_err().one_line().contains("(line 2) has no class number"));
    }
}
