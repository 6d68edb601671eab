//! What kind of file lies at a path, by its first bytes, so that a refusal can say what it found.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A folder.
    Folder,
    /// A model file.
    Model,
    /// A checkpoint, or another safetensors file.
    Safetensors,
    /// A PNG picture.
    Png,
    /// A JPEG picture.
    Jpeg,
    /// An IDX file, plain or gzip.
    Idx,
    /// A zip archive, such as `.npz`.
    Zip,
    /// One array of numpy.
    Npy,
    /// A page.
    Html,
    /// A pickle, as `torch.save` of old and `pickle.dump` write it.
    Pickle,
    /// HDF5.
    Hdf5,
    /// A file without a byte.
    Empty,
    /// Anything else, a pipe, or nothing at all.
    Other,
}

impl Found {
    /// What the path leads to. Only regular files are read, and of them a few bytes.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        if path.is_dir() {
            return Found::Folder;
        }
        let head = || -> std::io::Result<Vec<u8>> {
            let mut head = Vec::new();
            File::open(path)?.take(16).read_to_end(&mut head)?;
            Ok(head)
        };
        if !path.is_file() {
            return Found::Other;
        }
        head().map_or(Found::Other, |head| Self::of(&head))
    }

    /// What begins with these bytes.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let begins = |with: &[u8]| head.starts_with(with);
        match head {
            [] => Found::Empty,
            _ if begins(b"QBNN\r\n") => Found::Model,
            _ if begins(b"\x89PNG") => Found::Png,
            _ if begins(b"\xff\xd8\xff") => Found::Jpeg,
            _ if begins(b"\x89HDF") => Found::Hdf5,
            _ if begins(b"PK") => Found::Zip,
            _ if begins(b"\x93NUMPY") => Found::Npy,
            // Eight bytes of length, the highest of them 0, and the header, which is JSON. Before what two bytes tell: those are
            // a length as well.
            [_, _, _, _, _, 0, 0, 0, b'{', ..] => Found::Safetensors,
            _ if begins(b"\x1f\x8b") || begins(b"\0\0\x08") || begins(b"\0\0\x0d") => Found::Idx,
            [0x80, 2..=5, ..] => Found::Pickle,
            [b'<', ..] => Found::Html,
            _ => Found::Other,
        }
    }

    /// In words; `None` for what is not known.
    #[must_use]
    pub fn what(self) -> Option<&'static str> {
        Some(match self {
            Found::Folder => "a folder",
            Found::Model => "a model file",
            Found::Safetensors => "a checkpoint (safetensors)",
            Found::Png => "a PNG picture",
            Found::Jpeg => "a JPEG picture",
            Found::Idx => "an IDX or gzip file",
            Found::Zip => "a zip archive (.npz)",
            Found::Npy => "a single numpy array (.npy)",
            Found::Html => "an HTML or XML page",
            Found::Pickle => "a Python pickle",
            Found::Hdf5 => "an HDF5 file",
            Found::Empty => "an empty file",
            Found::Other => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        for (head, found) in [
            (&b""[..], Found::Empty),
            (b"QBNN\r\n\x1a\n", Found::Model),
            (b"\x89PNG\r\n", Found::Png),
            (b"\xff\xd8\xff\xe0", Found::Jpeg),
            (b"PK\x03\x04", Found::Zip),
            (b"\x93NUMPY\x01", Found::Npy),
            (b"<!DOCTYPE html>", Found::Html),
            (b"\x80\x04\x95", Found::Pickle),
            (b"\x98\x01\0\0\0\0\0\0{\"a\":", Found::Safetensors),
            // Lengths of the header that begin as a pickle, and as gzip.
            (b"\x80\x04\0\0\0\0\0\0{\"a\":", Found::Safetensors),
            (b"\x1f\x8b\0\0\0\0\0\0{\"a\":", Found::Safetensors),
            (b"\0\0\x08\x03\0\0", Found::Idx),
            (b"name = 1", Found::Other),
        ] {
            assert_eq!(Found::of(head), found, "{head:?}");
        }
    }
}
