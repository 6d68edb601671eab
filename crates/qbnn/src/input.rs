//! Reading files that a user names: never more of them than their kind can need.
//!
//! A path may lead to a device without end, to a pipe, or to a file of many gigabytes. Each kind of file has a limit, and
//! what is longer is refused with what was found and the limit, before memory ends.

use crate::error::{Error, Result};
use qbnn_bnn::internals::files;
use std::fs::File;
use std::io;
use std::path::Path;

/// Settings, networks and sweeps, which people write.
pub const TEXT: u64 = 1 << 20;
/// Files of JSON that the program writes: metrics, provenance, epochs.
pub const JSON: u64 = 1 << 26;
/// Ledgers.
pub const LEDGER: u64 = 1 << 28;
/// Model files.
pub const MODEL: u64 = 1 << 28;
/// Arrays of images.
pub const ARRAYS: u64 = 1 << 30;
/// Files of predictions.
pub const PREDICTIONS: u64 = 1 << 29;
/// Most that the header of a safetensors file takes.
const HEADER: u64 = 1 << 24;

/// The bytes of a file of at most `limit`.
///
/// # Errors
/// [`Error::Io`]: a file that cannot be read, or is longer.
pub fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    files::read(path, limit).map_err(Error::io("read", path))
}

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// What the system said, without the file's name.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    let wrong = |e: std::string::FromUtf8Error| {
        let place = e.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("its byte {place} is no UTF-8 text"))
    };
    String::from_utf8(files::read(path, limit)?).map_err(wrong)
}

/// The bytes of a file that is open; `path` is for the message.
///
/// # Errors
/// As [`bytes`].
pub fn of_open(file: &mut File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    files::read_open(file, limit).map_err(Error::io("read", path))
}

/// The bytes of a safetensors file, whose header has a sensible length.
///
/// # Errors
/// As [`bytes`], and [`Error::Contents`] of such a header.
pub fn tensors(path: &Path) -> Result<Vec<u8>> {
    let bytes = bytes(path, PREDICTIONS)?;
    match bytes.first_chunk().map(|b| u64::from_le_bytes(*b)).filter(|&n| n > HEADER && n < bytes.len() as u64) {
        Some(n) => {
            Err(Error::contents(path, format!("has a header of {n} bytes, wanted at most {HEADER}; write it again")))
        }
        None => Ok(bytes),
    }
}

/// The whole lines of a file that is written line by line: what a kill left behind the last line feed is no line, also
/// where it ends within a character.
pub fn whole_lines(bytes: &[u8]) -> &[u8] {
    bytes.iter().rposition(|&b| b == b'\n').map_or(&[], |end| &bytes[..=end])
}

/// The lines of such a file, each with its number from 1, without their ends.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let whole = whole_lines(bytes);
    let rows = whole.split(|&b| b == b'\n').enumerate().map(|(i, row)| (i + 1, row));
    // Behind the last line feed is nothing.
    rows.take(whole.iter().filter(|&&b| b == b'\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_lines_are_no_lines() {
        let all = |bytes: &'static [u8]| lines(bytes).map(|(i, row)| (i, row.to_vec())).collect::<Vec<_>>();
        assert_eq!(all(b""), []);
        assert_eq!(all(b"torn"), []);
        assert_eq!(all(b"a\n\nb\ntorn \xe2\x88"), [(1, b"a".to_vec()), (2, Vec::new()), (3, b"b".to_vec())]);
    }
}
