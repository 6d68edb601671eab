//! IDX files, the format of MNIST and its relatives: read and written, plain or gzip.
//!
//! An IDX file is `00 00 TT NN`, NN big-endian `u32` sizes, then the values row-major. TT is 0x08 (unsigned byte) or
//! 0x0D (big-endian float32) here; other types are refused by name. Whether a file is gzip is read from its first two
//! bytes (1f 8b), never from its name. A file must hold exactly what its header announces: nothing less, nothing more.
//! Sizes are multiplied with a check and bounded by [`MAX_CONTENT`] before anything is allocated.

use crate::error::{DataError, hex, one_line};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The largest content (values, in bytes) that is read: 640 MiB, which a program may hold twice.
pub const MAX_CONTENT: u64 = 5 << 27;

/// No buffer is reserved beyond this before the bytes for it have really arrived.
const RESERVE: u64 = 1 << 20;

/// The values of an IDX file, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Type 0x08.
    U8(Vec<u8>),
    /// Type 0x0D; big-endian in the file.
    F32(Vec<f32>),
}

impl Values {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes values in until a reader ends, and gives its length in bytes; a part of a value at the end is left out.
    fn read(&mut self, mut reader: impl Read, reserve: usize) -> io::Result<u64> {
        match self {
            Self::U8(values) => {
                values.reserve_exact(reserve);
                reader.read_to_end(values).map(|length| length as u64)
            }
            Self::F32(values) => {
                // Part by part: the bytes of all of them would take as much memory again.
                let (mut part, mut length) = (Vec::with_capacity(reserve), 0);
                loop {
                    part.clear();
                    reader.by_ref().take(RESERVE).read_to_end(&mut part)?;
                    length += part.len() as u64;
                    let (numbers, _) = part.as_chunks();
                    values.try_reserve(numbers.len())?;
                    values.extend(numbers.iter().map(|b| f32::from_be_bytes(*b)));
                    if (part.len() as u64) < RESERVE {
                        return Ok(length);
                    }
                }
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::U8(_) => "unsigned byte",
            Self::F32(_) => "float32",
        }
    }

    fn type_byte(&self) -> u8 {
        match self {
            Self::U8(_) => 0x08,
            Self::F32(_) => 0x0D,
        }
    }
}

/// The content of an IDX file: at least one size, and values whose number is the product of the sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Idx {
    dims: Vec<usize>,
    values: Values,
}

/// How [`Idx::write`] stores the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// As they are.
    Plain,
    /// As one gzip member without name or time, so that equal content gives equal files.
    Gzip,
}

impl Idx {
    /// Joins sizes and values.
    ///
    /// # Errors
    /// [`DataError::Shape`] if there are no sizes or more than 255, a size does not fit in 32 bits, or their product
    /// is not the number of values.
    pub fn new(dims: Vec<usize>, values: Values) -> Result<Self, DataError> {
        let fits = !dims.is_empty()
            && dims.len() <= 255
            && dims.iter().all(|&d| u32::try_from(d).is_ok())
            && product(&dims) == Some(values.len());
        if fits { Ok(Self { dims, values }) } else { Err(DataError::Shape { values: values.len(), dims }) }
    }

    /// The sizes, outermost first; never empty.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The values, row-major.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Both parts.
    #[must_use]
    pub fn into_parts(self) -> (Vec<usize>, Values) {
        (self.dims, self.values)
    }

    /// Sizes and bytes of a file that must hold unsigned bytes in `rank` dimensions; `path` is for the message.
    ///
    /// # Errors
    /// [`DataError::IdxKind`] or [`DataError::IdxRank`].
    pub fn into_u8(self, rank: usize, path: &Path) -> Result<(Vec<usize>, Vec<u8>), DataError> {
        self.check_rank(rank, path)?;
        match self.values {
            Values::U8(v) => Ok((self.dims, v)),
            Values::F32(_) => {
                Err(DataError::IdxKind { path: path.into(), found: self.values.kind(), wanted: "unsigned byte" })
            }
        }
    }

    /// Sizes and numbers of a file that must hold float32 in `rank` dimensions; `path` is for the message.
    ///
    /// # Errors
    /// [`DataError::IdxKind`] or [`DataError::IdxRank`].
    pub fn into_f32(self, rank: usize, path: &Path) -> Result<(Vec<usize>, Vec<f32>), DataError> {
        self.check_rank(rank, path)?;
        match self.values {
            Values::F32(v) => Ok((self.dims, v)),
            Values::U8(_) => {
                Err(DataError::IdxKind { path: path.into(), found: self.values.kind(), wanted: "float32" })
            }
        }
    }

    fn check_rank(&self, wanted: usize, path: &Path) -> Result<(), DataError> {
        if self.dims.len() == wanted {
            return Ok(());
        }
        Err(DataError::IdxRank { path: path.into(), found: self.dims.len(), wanted })
    }

    /// Reads a file, plain or gzip.
    ///
    /// # Errors
    /// [`DataError::Io`], [`DataError::Gzip`], [`DataError::NotIdx`], [`DataError::IdxType`],
    /// [`DataError::Truncated`], [`DataError::Trailing`], [`DataError::TooLarge`].
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|e| DataError::io("read", path, &e))?;
        Self::read_from(BufReader::new(file), path)
    }

    /// Reads from bytes in memory, plain or gzip; `path` is for the messages.
    ///
    /// # Errors
    /// As [`Idx::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        Self::read_from(bytes, path)
    }

    fn read_from(reader: impl Read, path: &Path) -> Result<Self, DataError> {
        let (is_gzip, mut reader) = ungzip(reader).map_err(|e| DataError::io("read", path, &e))?;
        let fail = |e: io::Error| {
            if is_gzip {
                DataError::Gzip { path: path.into(), reason: one_line(&e) }
            } else {
                DataError::io("read", path, &e)
            }
        };
        let mut head = Vec::with_capacity(4);
        reader.by_ref().take(4).read_to_end(&mut head).map_err(fail)?;
        let (kind, rank) = match head[..] {
            [0, 0, kind, rank] if rank > 0 => (kind, usize::from(rank)),
            _ => return Err(DataError::NotIdx { path: path.into(), found: hex(&head) }),
        };
        let width: usize = match kind {
            0x08 => 1,
            0x0D => 4,
            found => return Err(DataError::IdxType { path: path.into(), found }),
        };
        let header = 4 + 4 * rank;
        let mut sizes = Vec::with_capacity(4 * rank);
        reader.by_ref().take(4 * rank as u64).read_to_end(&mut sizes).map_err(fail)?;
        if sizes.len() < 4 * rank {
            let found = (4 + sizes.len()) as u64;
            return Err(DataError::Truncated { path: path.into(), found, wanted: header as u64 });
        }
        let mut dims = Vec::with_capacity(rank);
        for bytes in sizes.chunks_exact(4) {
            let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            dims.push(usize::try_from(size).unwrap_or(usize::MAX));
        }
        let content = product(&dims).and_then(|n| n.checked_mul(width)).map(|n| n as u64);
        let Some(content) = content.filter(|&n| n <= MAX_CONTENT) else {
            return Err(DataError::TooLarge { path: path.into(), dims, limit: MAX_CONTENT });
        };
        let mut values = if width == 1 { Values::U8(Vec::new()) } else { Values::F32(Vec::new()) };
        // One byte more than announced: enough to see that the file goes on, and makes gzip check its sum.
        let length = values.read(reader.take(content + 1), content.min(RESERVE) as usize).map_err(fail)?;
        let (found, wanted) = (header as u64 + length, header as u64 + content);
        if found < wanted {
            return Err(DataError::Truncated { path: path.into(), found, wanted });
        }
        if found > wanted {
            return Err(DataError::Trailing { path: path.into(), wanted });
        }
        Ok(Self { dims, values })
    }

    /// Writes the file under another name in the same folder, then renames it: a reader never sees half a file.
    ///
    /// # Errors
    /// [`DataError::Io`]; the other name is removed again.
    pub fn write(&self, path: &Path, storage: Storage) -> Result<(), DataError> {
        replace(path, |file| match storage {
            Storage::Plain => self.write_to(file),
            Storage::Gzip => {
                let mut gzip = GzEncoder::new(file, Compression::default());
                self.write_to(&mut gzip)?;
                gzip.finish().map(drop)
            }
        })
    }

    fn write_to(&self, to: &mut impl Write) -> io::Result<()> {
        // `new` and `read_from` keep at most 255 sizes below 2^32.
        to.write_all(&[0, 0, self.values.type_byte(), self.dims.len() as u8])?;
        for &size in &self.dims {
            to.write_all(&(size as u32).to_be_bytes())?;
        }
        match &self.values {
            Values::U8(v) => to.write_all(v),
            Values::F32(v) => {
                for block in v.chunks(4096) {
                    let bytes: Vec<u8> = block.iter().flat_map(|x| x.to_be_bytes()).collect();
                    to.write_all(&bytes)?;
                }
                Ok(())
            }
        }
    }
}

/// The decompressed bytes of a reader that may be gzip (told by its first two bytes), and whether it was.
pub(crate) fn ungzip<'a>(mut reader: impl Read + 'a) -> io::Result<(bool, Box<dyn Read + 'a>)> {
    let mut start = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut start)?;
    let is_gzip = start == [0x1f, 0x8b];
    let whole = io::Cursor::new(start).chain(reader);
    Ok(if is_gzip { (true, Box::new(MultiGzDecoder::new(whole))) } else { (false, Box::new(whole)) })
}

/// Calls `fill` with a file of another name in the folder of `path`, then renames it to `path`; of a symbolic link, to
/// what it leads to.
pub(crate) fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), DataError> {
    let led = path.is_symlink().then(|| path.canonicalize().ok()).flatten();
    let path = led.as_deref().unwrap_or(path);
    if path.exists() && !path.is_file() {
        // Renaming would put a plain file in the place of a device or a pipe.
        return Err(DataError::io("write", path, &io::Error::other("it is no plain file")));
    }
    let temporary = sibling(path, &format!(".{}.tmp", std::process::id()));
    let result = File::create(&temporary).and_then(|file| {
        let mut file = BufWriter::new(file);
        fill(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    result.map_err(|e| {
        // The first error is the one to tell; a leftover of ours is only untidy.
        let _ = std::fs::remove_file(&temporary);
        DataError::io("write", path, &e)
    })
}

/// `path` with `suffix` after its file name.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn product(dims: &[usize]) -> Option<usize> {
    // A size of 0 makes the product 0 whatever the others are, but an overflow before it still counts as one.
    dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}
