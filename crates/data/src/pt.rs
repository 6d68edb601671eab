//! One tensor out of a PyTorch `.pt` file, without PyTorch and without running a pickle.
//!
//! `torch.save(tensor)` writes a zip archive with stored entries: `<name>/data.pkl` describes the tensor, and
//! `<name>/data/<key>` holds its numbers. The description is a pickle, a program for a small stack machine. Here that
//! machine knows only the few instructions that such a file needs, and calls nothing (`pickle`). Every size is checked
//! against the bytes that are really there, and the checksum of each entry that is used is verified.
//!
//! Files of more than one tensor are read by [`crate::tensor_file`], which uses the same machine.

mod pickle;
mod tree;
mod zip;

use crate::error::DataError;
use crate::idx::MAX_CONTENT;
use crate::npy::read_npz;
use crate::tensor_file::Content;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A tensor: sizes (outermost first, none for a single number) and values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The sizes.
    pub dims: Vec<usize>,
    /// As many values as the product of the sizes.
    pub values: TensorValues,
}

/// The numbers of a [`Tensor`].
#[derive(Debug, Clone, PartialEq)]
pub enum TensorValues {
    /// `torch.float32`.
    F32(Vec<f32>),
    /// `torch.float64`.
    F64(Vec<f64>),
    /// `torch.int64`.
    I64(Vec<i64>),
}

/// Reads the tensor in a file of at most [`MAX_CONTENT`] bytes.
///
/// # Errors
/// [`DataError::Io`], and [`DataError::Pt`] for everything that is not such a file.
pub fn read(path: &Path) -> Result<Tensor, DataError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| DataError::io("read", path, &e))?;
    file.take(MAX_CONTENT + 1).read_to_end(&mut bytes).map_err(|e| DataError::io("read", path, &e))?;
    if bytes.len() as u64 > MAX_CONTENT {
        return Err(DataError::Pt { path: path.into(), found: format!("more than {MAX_CONTENT} bytes") });
    }
    from_bytes(&bytes, path)
}

/// Reads the tensor from the bytes of a file; `path` is for the messages.
///
/// # Errors
/// [`DataError::Pt`].
pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Tensor, DataError> {
    tensor(bytes).map_err(|found| DataError::Pt { path: path.into(), found })
}

/// Whether a zip archive is one of `torch.save`.
pub(crate) fn is_torch(bytes: &[u8]) -> bool {
    let is = |name: &String| name.rsplit('/').next() == Some("data.pkl");
    // The directory alone, so that a damaged archive is refused as what it was.
    read_npz(bytes, &[]).is_ok_and(|archive| archive.names.iter().any(is))
}

/// Everything in such an archive, as a tree.
pub(crate) fn content(bytes: &[u8]) -> Result<Content, String> {
    let archive = zip::Archive::open(bytes)?;
    let (root, made) = description(&archive)?;
    tree::read(&archive, &root, &made)
}

/// What comes before the names of the entries, and what the description makes.
fn description(archive: &zip::Archive<'_>) -> Result<(String, pickle::Made), String> {
    let root = archive.root_of("data.pkl")?;
    if let Some(order) = archive.find(&format!("{root}byteorder"))?
        && order != b"little"
    {
        return Err("numbers that are not little-endian".into());
    }
    let code = archive.find(&format!("{root}data.pkl"))?.ok_or("no data.pkl")?;
    Ok((root, pickle::read(code)?))
}

fn tensor(bytes: &[u8]) -> Result<Tensor, String> {
    if bytes.starts_with(&[0x80, 2, 0x8a, 10]) {
        return Err("the format of PyTorch before 1.6 (a bare pickle)".into());
    }
    let archive = zip::Archive::open(bytes)?;
    let (root, made) = description(&archive)?;
    let Some(pickle::Node::Tensor(found)) = made.node(made.root) else {
        return Err("an object that is not a single tensor".into());
    };
    let key = &found.storage.key;
    let data = archive.find(&format!("{root}data/{key}"))?.ok_or_else(|| format!("no entry data/{key:?}"))?;
    let count = tree::check(&found.dims, &found.strides)?;
    contiguous(&found.dims, &found.strides, count)?;
    let width = match found.storage.kind.as_str() {
        "FloatStorage" => 4,
        "DoubleStorage" | "LongStorage" => 8,
        other => return Err(format!("numbers of type {other:?}")),
    };
    let range = found.offset.checked_mul(width).zip(count.checked_mul(width));
    let range = range.and_then(|(start, size)| Some(start..start.checked_add(size)?));
    let numbers = range.and_then(|range| data.get(range));
    let numbers = numbers.ok_or_else(|| {
        format!("sizes {:?} from number {} on, but only {} bytes", found.dims, found.offset, data.len())
    })?;
    let eight = |b: &[u8]| [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]];
    let values = match found.storage.kind.as_str() {
        "FloatStorage" => {
            TensorValues::F32(numbers.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        "DoubleStorage" => TensorValues::F64(numbers.chunks_exact(8).map(|b| f64::from_le_bytes(eight(b))).collect()),
        _ => TensorValues::I64(numbers.chunks_exact(8).map(|b| i64::from_le_bytes(eight(b))).collect()),
    };
    Ok(Tensor { dims: found.dims.clone(), values })
}

fn contiguous(dims: &[usize], strides: &[usize], count: usize) -> Result<(), String> {
    let mut wanted = 1usize;
    for (&size, &stride) in dims.iter().zip(strides).rev() {
        // The stride of a size of 1, or in an empty tensor, is never used.
        if size != 1 && count != 0 && stride != wanted {
            return Err(format!("strides {strides:?} for sizes {dims:?}, which is not contiguous"));
        }
        wanted = wanted.saturating_mul(size);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksums of zip keep damage away from the pickle; here it meets the machine itself.
    #[test]
    fn a_damaged_description_never_panics() {
        let bytes = include_bytes!("../tests/fixtures/float32.pt");
        let archive = zip::Archive::open(bytes).unwrap();
        let code = archive.find("float32/data.pkl").unwrap().unwrap();
        let made = pickle::read(code).unwrap();
        assert!(matches!(made.node(made.root), Some(pickle::Node::Tensor(view)) if view.dims == [2, 3, 4]));
        for size in 0..code.len() {
            assert!(pickle::read(&code[..size]).is_err());
        }
        for at in 0..code.len() {
            for byte in 0..=255 {
                let mut damaged = code.to_vec();
                damaged[at] = byte;
                let _ = pickle::read(&damaged);
            }
        }
        // Depth and repetition cost no more than their own length: neither stack nor memory.
        let deep = |open: u8, n: usize| [vec![b')'], vec![open; n], vec![b'.']].concat();
        let made = pickle::read(&deep(0x85, 1 << 19)).unwrap();
        assert!(tree::read(&archive, "", &made).unwrap_err().contains("deep"));
        assert!(pickle::read(&[b')'; 5000]).is_err());
        assert!(pickle::read(&deep(0x85, 1 << 20)).is_err());
        // A list that holds itself; lists that double with every level.
        assert!(tree::read(&archive, "", &pickle::read(b"]q\0h\0a.").unwrap()).unwrap_err().contains("deep"));
        let doubling = [&b"]"[..], &b"q\0]q\x01h\0ah\0a".repeat(20), b"."].concat();
        assert!(pickle::read(&doubling).is_err());
        let doubling = [&b"]q\0"[..], &b"](h\0h\0eq\0".repeat(25), b"(1."].concat();
        let made = pickle::read(&doubling);
        assert!(made.is_err() || tree::read(&archive, "", &made.unwrap()).is_err());
    }

    #[test]
    fn damaged_descriptions_of_every_kind_never_panic() {
        let fixtures: [(&[u8], &str); 3] = [
            (include_bytes!("../tests/fixtures/posteriors/pyro_autonormal.pt"), "archive/"),
            (include_bytes!("../tests/fixtures/posteriors/ivon.pt"), "ivon/"),
            (include_bytes!("../tests/fixtures/posteriors/bayesian_torch_bn.pt"), "bayesian_torch_bn/"),
        ];
        for (bytes, root) in fixtures {
            let archive = zip::Archive::open(bytes).unwrap();
            let code = archive.find(&format!("{root}data.pkl")).unwrap().unwrap();
            let run = |code: &[u8]| pickle::read(code).and_then(|made| tree::read(&archive, root, &made));
            assert!(run(code).is_ok());
            for size in 0..code.len() {
                assert!(run(&code[..size]).is_err());
            }
            for at in 0..code.len() {
                for byte in b"\0(.K0]}RQbuseah\x85\xff".iter().copied().chain([code[at] ^ 1, code[at] ^ 0x80]) {
                    let mut damaged = code.to_vec();
                    damaged[at] = byte;
                    let _ = run(&damaged);
                }
            }
        }
        // One long text, again and again.
        let long = [&b"]X\0\0\x04\0"[..], &[b'x'; 1 << 18], b"q\0a", &b"h\0a".repeat(100), b"."].concat();
        let archive = zip::Archive::open(fixtures[0].0).unwrap();
        assert!(tree::read(&archive, "", &pickle::read(&long).unwrap()).unwrap_err().contains("texts"));
    }
}
