//! The binary version of CIFAR-10 and CIFAR-100: records of one or two label bytes and 3,072 of pixels, channels first.

use super::Own;
use crate::dataset::Labelled;
use crate::error::DataError;
use crate::idx::MAX_CONTENT;
use crate::images::Images;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Rows and columns of an image.
const SIDE: usize = 32;

/// Values of an image.
const SIZE: usize = 3 * SIDE * SIDE;

/// Reads a folder as the archive of CIFAR-10 (`data_batch_1.bin`, …, `test_batch.bin`, `batches.meta.txt`) or of CIFAR-100
/// (`train.bin`, `test.bin`, `fine_label_names.txt`; the fine labels) unpacks to.
///
/// # Errors
/// [`DataError::MissingSet`] without training files; [`DataError::Io`]; [`DataError::TooLong`]; [`DataError::Truncated`] for
/// a file that is not whole records; [`DataError::Label`].
pub fn cifar(folder: &Path, name: &str) -> Result<Own, DataError> {
    let fine = folder.join("train.bin").is_file();
    let (train, test, names) = if fine {
        (vec![folder.join("train.bin")], folder.join("test.bin"), folder.join("fine_label_names.txt"))
    } else {
        let batches = (1..=5).map(|i| folder.join(format!("data_batch_{i}.bin"))).filter(|p| p.is_file());
        (batches.collect(), folder.join("test_batch.bin"), folder.join("batches.meta.txt"))
    };
    if train.is_empty() {
        let looked = format!("{}: neither data_batch_1.bin nor train.bin there", folder.display());
        return Err(DataError::MissingSet { set: name.into(), looked, how: "put them there".into() });
    }
    let names = std::fs::read_to_string(&names).map_err(|e| DataError::io("read", &names, &e))?;
    let class_names: Vec<String> = names.lines().map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    let before = usize::from(fine);
    let train = records(&train, before, class_names.len())?;
    let test = if test.is_file() { Some(records(&[test], before, class_names.len())?) } else { None };
    Ok(Own { name: name.into(), class_names, train, validation: None, test })
}

/// The records of some files; `before` bytes stand in front of the label of each.
fn records(paths: &[PathBuf], before: usize, classes: usize) -> Result<Labelled, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let size = before + 1 + SIZE;
    for path in paths {
        let fail = |e: std::io::Error| DataError::io("read", path, &e);
        let mut bytes = Vec::new();
        File::open(path).map_err(fail)?.take(MAX_CONTENT + 1).read_to_end(&mut bytes).map_err(fail)?;
        if (bytes.len() + pixels.len()) as u64 > MAX_CONTENT {
            return Err(DataError::TooLong { path: path.clone(), limit: MAX_CONTENT });
        }
        if bytes.is_empty() || !bytes.len().is_multiple_of(size) {
            let wanted = bytes.len().next_multiple_of(size).max(size) as u64;
            return Err(DataError::Truncated { path: path.clone(), found: bytes.len() as u64, wanted });
        }
        for (index, record) in bytes.chunks_exact(size).enumerate() {
            let (head, planes) = record.split_at(before + 1);
            let found = head[before];
            if usize::from(found) >= classes {
                return Err(DataError::Label { path: path.clone(), index, found: found.into(), classes });
            }
            labels.push(found.into());
            pixels.extend((0..SIZE).map(|i| planes[i % 3 * SIDE * SIDE + i / 3]));
        }
    }
    Ok(Labelled { images: Images { height: SIDE, width: SIDE, channels: 3, pixels }, labels })
}
