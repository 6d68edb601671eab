//! One tensor out of a PyTorch `.pt` file, without PyTorch and without running a pickle.
//!
//! `torch.save(tensor)` writes a zip archive with stored entries: `<name>/data.pkl` describes the tensor, and
//! `<name>/data/<key>` holds its numbers. The description is a pickle, a program for a small stack machine. Here that
//! machine knows only the few instructions that such a file needs, and the only things it can make are a storage and a
//! tensor; anything else is refused by name. Every size is checked against the bytes that are really there, and the
//! checksum of each entry that is used is verified.

mod pickle;
mod zip;

use crate::error::DataError;
use crate::idx::MAX_CONTENT;
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

fn tensor(bytes: &[u8]) -> Result<Tensor, String> {
    if bytes.starts_with(&[0x80, 2, 0x8a, 10]) {
        return Err("the format of PyTorch before 1.6 (a bare pickle)".into());
    }
    let archive = zip::Archive::open(bytes)?;
    let root = archive.root_of("data.pkl")?;
    if let Some(order) = archive.find(&format!("{root}byteorder"))?
        && order != b"little"
    {
        return Err("numbers that are not little-endian".into());
    }
    let description = archive.find(&format!("{root}data.pkl"))?.ok_or("no data.pkl")?;
    let found = pickle::read(description)?;
    let key = &found.storage.key;
    let data = archive.find(&format!("{root}data/{key}"))?.ok_or_else(|| format!("no entry data/{key:?}"))?;
    let count = found.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or("sizes that overflow")?;
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
    Ok(Tensor { dims: found.dims, values })
}

fn contiguous(dims: &[usize], strides: &[usize], count: usize) -> Result<(), String> {
    if dims.len() != strides.len() {
        return Err(format!("{} sizes but {} strides", dims.len(), strides.len()));
    }
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
        assert_eq!(pickle::read(code).unwrap().dims, [2, 3, 4]);
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
        let deep: Vec<u8> = std::iter::once(b')').chain([0x85; 4094]).chain([b'.']).collect();
        assert!(pickle::read(&deep).is_err());
        assert!(pickle::read(&[b')'; 5000]).is_err());
    }
}
