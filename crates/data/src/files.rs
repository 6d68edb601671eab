//! Files of images that a user names: one picture (PNG, JPEG), many images (IDX, npz), or a folder of both.
//!
//! What a file is say its first bytes, never its name.

use crate::error::DataError;
use crate::idx::{Idx, MAX_CONTENT, ungzip};
use crate::images::Images;
use crate::jpeg;
use crate::own::npz;
use crate::picture::{Picture, SIGNATURE, png_length};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A picture.
    Png,
    /// A picture too.
    Jpeg,
    /// Images in an IDX file, plain or gzip: unsigned bytes in three or four dimensions, this many.
    Idx {
        /// The first size: N.
        images: u32,
    },
    /// An IDX file of something else: labels, probabilities.
    OtherIdx,
    /// A zip archive, such as `.npz`.
    Zip,
}

impl FileKind {
    /// The kind of a file whose content begins like this; `None` for any other. Damage shows when the file is read.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn of(mut reader: impl Read) -> io::Result<Option<Self>> {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let mut head = Vec::with_capacity(8);
        let (is_gzip, mut reader) = ungzip(&mut reader)?;
        match reader.by_ref().take(8).read_to_end(&mut head) {
            // A gzip stream that is damaged is no failure here: what has come out of it so far may do.
            Err(e) if !(is_gzip && [InvalidInput, InvalidData, UnexpectedEof].contains(&e.kind())) => return Err(e),
            _ => {}
        }
        Ok(match head[..] {
            _ if head.starts_with(&SIGNATURE) => Some(Self::Png),
            _ if head.starts_with(&jpeg::SIGNATURE) => Some(Self::Jpeg),
            _ if head.starts_with(&ZIP) => Some(Self::Zip),
            [0, 0, 0x08, 3 | 4, a, b, c, d] => Some(Self::Idx { images: u32::from_be_bytes([a, b, c, d]) }),
            [0, 0, 0x08 | 0x0D, rank, ..] if rank > 0 => Some(Self::OtherIdx),
            _ => None,
        })
    }

    /// Images that the file announces; an archive, whose arrays say it, counts as one.
    #[must_use]
    pub fn images(self) -> u64 {
        match self {
            Self::Png | Self::Jpeg | Self::Zip => 1,
            Self::Idx { images } => images.into(),
            Self::OtherIdx => 0,
        }
    }
}

/// First bytes of a zip archive.
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// What a file of images holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One picture, of any size.
    Picture(Picture),
    /// Images of one size.
    Images(Images),
}

/// Reads a file of images: PNG, JPEG, npz, or IDX of three or four dimensions, plain or gzip.
///
/// # Errors
/// [`DataError::Io`], and those of [`read`].
pub fn open(path: &Path) -> Result<Content, DataError> {
    let fail = |e: io::Error| DataError::io("read", path, &e);
    let file = File::open(path).map_err(fail)?;
    read_from(BufReader::new(file), path)
}

/// Reads images from anywhere; `path` is for the messages.
///
/// # Errors
/// As [`open`].
pub fn read_from(reader: impl Read, path: &Path) -> Result<Content, DataError> {
    read(&bytes(reader, path)?, path)
}

/// All bytes of a file or a stream of images; `path` is for the message.
///
/// # Errors
/// [`DataError::Io`], [`DataError::TooLong`]; for what begins unlike any image, as [`read`].
pub fn bytes(mut reader: impl Read, path: &Path) -> Result<Vec<u8>, DataError> {
    let fail = |e: io::Error| DataError::io("read", path, &e);
    let mut bytes = Vec::new();
    reader.by_ref().take(8).read_to_end(&mut bytes).map_err(fail)?;
    let is_image = match bytes[..] {
        [0x1f, 0x8b, ..] => true,
        [0, 0, 0x08 | 0x0D, rank, ..] => rank > 0,
        _ => [&SIGNATURE[..], &jpeg::SIGNATURE, &ZIP].iter().any(|begin| bytes.starts_with(begin)),
    };
    if !is_image {
        // It may go on without end.
        return match read(&bytes, path) {
            Err(error) => Err(error),
            Ok(_) => Err(DataError::not_images(&bytes, path)),
        };
    }
    // No image file that is taken is longer.
    let limit = MAX_CONTENT + (1 << 20);
    reader.take(limit).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit { Err(DataError::TooLong { path: path.into(), limit }) } else { Ok(bytes) }
}

/// The files that bytes hold one behind the other, as `cat a.png b.png` writes them: pictures, the last of them perhaps an
/// IDX or npz file. Bytes behind a picture that begin neither are no part; their number is given.
#[must_use]
pub fn parts(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut parts, mut rest) = (Vec::new(), bytes);
    loop {
        let length = match () {
            () if rest.starts_with(&SIGNATURE) => png_length(rest),
            () if rest.starts_with(&jpeg::SIGNATURE) => jpeg::length(rest),
            () => break,
        };
        let (part, behind) = rest.split_at(length);
        parts.push(part);
        rest = behind;
    }
    if parts.is_empty()
        || [&[0, 0, 0x08, 3][..], &[0, 0, 0x08, 4], &[0x1f, 0x8b], &ZIP].iter().any(|begin| rest.starts_with(begin))
    {
        parts.push(rest);
        rest = &[];
    }
    (parts, rest.len())
}

/// Reads a file of images that is in memory; `path` is for the messages.
///
/// # Errors
/// As [`read_rows`].
pub fn read(bytes: &[u8], path: &Path) -> Result<Content, DataError> {
    read_rows(bytes, path, None)
}

/// The same; `shape` is rows, columns and channels of images that an npz file stores as rows of values. Of such a file the
/// array of test images is read (`x_test`, `x` or `images`), or its only array.
///
/// # Errors
/// [`DataError::NotImages`], those of [`Picture::from_png`] and [`Picture::from_jpeg`], those of [`Idx::from_bytes`] and
/// [`Idx::into_u8`]; [`DataError::Own`] says what is wrong with an npz file.
pub fn read_rows(bytes: &[u8], path: &Path, shape: Option<[usize; 3]>) -> Result<Content, DataError> {
    match bytes {
        [0x89, ..] => Picture::from_png(bytes, path).map(Content::Picture),
        [0xff, ..] => Picture::from_jpeg(bytes, path).map(Content::Picture),
        [0, 0, ..] | [0x1f, 0x8b, ..] => idx_images(Idx::from_bytes(bytes, path)?, path).map(Content::Images),
        _ if bytes.starts_with(&ZIP) => npz::images_of(bytes, path, shape).map(Content::Images),
        _ => Err(DataError::not_images(bytes, path)),
    }
}

/// The images of an IDX file: grey in three dimensions, with 1 or 3 channels last in four.
pub(crate) fn idx_images(idx: Idx, path: &Path) -> Result<Images, DataError> {
    let wrong =
        |found: Vec<usize>, wanted: &str| DataError::WrongShape { path: path.into(), found, wanted: wanted.into() };
    match *idx.dims() {
        [_, height, width, channels @ (1 | 3)] if height > 0 && width > 0 => {
            let (_, pixels) = idx.into_u8(4, path)?;
            Ok(Images { height, width, channels, pixels })
        }
        [_, _, _, _] => Err(wrong(idx.dims().to_vec(), "images of at least 1 x 1 with 1 or 3 channels last")),
        _ => {
            let (dims, pixels) = idx.into_u8(3, path)?;
            if dims[1] == 0 || dims[2] == 0 {
                return Err(wrong(dims, "images of at least 1 x 1"));
            }
            Ok(Images { height: dims[1], width: dims[2], channels: 1, pixels })
        }
    }
}

/// The files of images in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// In the order of their names. A file that cannot be opened, or is called `.png`, `.jpg` or `.npz` without being one, is among them:
    /// whoever reads it is told why.
    pub files: Vec<PathBuf>,
    /// Other files in it, hidden ones not counted.
    pub others: usize,
}

/// Looks for files of images in a folder, not in folders inside it. Hidden files are passed over.
///
/// # Errors
/// [`DataError::Io`], [`DataError::NoImages`].
pub fn folder(path: &Path) -> Result<Folder, DataError> {
    let fail = |e: io::Error| DataError::io("read", path, &e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        names.push(entry.map_err(fail)?.file_name());
    }
    names.sort();
    let mut found = Folder { files: Vec::new(), others: 0 };
    for name in names.iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
        let file = path.join(name);
        // Folders, and pipes and devices, which may keep whoever opens them waiting, are passed over.
        if std::fs::metadata(&file).is_ok_and(|meta| !meta.is_file()) {
            continue;
        }
        let named = |end: &str| file.extension().is_some_and(|e| e.eq_ignore_ascii_case(end));
        let (archive, named) = (named("npz"), ["png", "jpg", "jpeg", "npz"].into_iter().any(named));
        match File::open(&file).and_then(FileKind::of) {
            Ok(None | Some(FileKind::OtherIdx)) if !named => found.others += 1,
            // Many a file is a zip archive.
            Ok(Some(FileKind::Zip)) if !archive => found.others += 1,
            _ => found.files.push(file),
        }
    }
    if found.files.is_empty() {
        return Err(DataError::NoImages { path: path.into(), files: found.others });
    }
    Ok(found)
}
