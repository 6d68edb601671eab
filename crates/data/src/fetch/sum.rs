//! Checksums of files.

use crate::idx::ungzip;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// SHA-256 of the decompressed content of a file, in hexadecimal.
pub(super) fn sha256(path: &Path) -> std::io::Result<String> {
    let (_, content) = ungzip(BufReader::new(File::open(path)?))?;
    digest::<Sha256>(content)
}

/// MD5 of a file as it is, in hexadecimal.
pub(super) fn md5(path: &Path) -> std::io::Result<String> {
    digest::<Md5>(File::open(path)?)
}

fn digest<D: Digest>(mut content: impl Read) -> std::io::Result<String> {
    let (mut hash, mut buffer) = (D::new(), vec![0; 1 << 16]);
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
    }
}
