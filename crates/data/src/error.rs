//! The one error type of the crate.
//!
//! Every message is a single line that names the file or key, what was found there, what was wanted, and what to do
//! about it, so that a program can show it as it is.

use std::path::PathBuf;

/// Everything that can go wrong while sets are read, composed, made or downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {reason}; check that the path exists and may be used", path.display())]
    Io {
        /// What was attempted, as a verb ("read", "write", …).
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system answered, on one line.
        reason: String,
    },

    /// The gzip stream inside a file is damaged.
    #[error("{}: the gzip stream is damaged ({reason}); wanted an intact .gz, fetch or copy the file again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decoder found, on one line.
        reason: String,
    },

    /// The file does not begin like an IDX file.
    #[error("{}: not an IDX file (begins with {found}, wanted 00 00, a type and a number of dimensions); check that it is the right file", path.display())]
    NotIdx {
        /// The file.
        path: PathBuf,
        /// The first bytes in hexadecimal, or "nothing".
        found: String,
    },

    /// An IDX file of a number type that is not read here.
    #[error("{}: IDX number type 0x{found:02x}, wanted 0x08 (unsigned byte) or 0x0d (big-endian float32); convert the file", path.display())]
    IdxType {
        /// The file.
        path: PathBuf,
        /// The type byte found.
        found: u8,
    },

    /// An IDX file of a type that is readable but is not the one wanted here.
    #[error("{}: holds {found} values, wanted {wanted}; check that the right file lies under this name", path.display())]
    IdxKind {
        /// The file.
        path: PathBuf,
        /// Name of the type found.
        found: &'static str,
        /// Name of the type wanted.
        wanted: &'static str,
    },

    /// An IDX file with another number of dimensions than wanted.
    #[error("{}: has {found} dimensions, wanted {wanted}; check that the right file lies under this name", path.display())]
    IdxRank {
        /// The file.
        path: PathBuf,
        /// Number of dimensions found.
        found: usize,
        /// Number of dimensions wanted.
        wanted: usize,
    },

    /// The content ends before what the header announces.
    #[error("{}: truncated, {found} bytes of content where {wanted} are wanted; fetch or copy the file again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Bytes wanted.
        wanted: u64,
    },

    /// The content goes on after what the header announces.
    #[error("{}: more content than the {wanted} bytes its header announces; fetch or copy the file again", path.display())]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Bytes the header announces, header included.
        wanted: u64,
    },

    /// The sizes multiply to more than can be held.
    #[error("{}: sizes {dims:?} make more than {limit} bytes; the file is damaged or not meant for this program", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The sizes found.
        dims: Vec<usize>,
        /// The largest content taken, in bytes.
        limit: u64,
    },

    /// The file goes on for longer than is read.
    #[error("{}: goes on after {limit} bytes, wanted at most so many; split it, or name the right file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },

    /// Sizes and number of values given to [`crate::idx::Idx::new`] do not agree.
    #[error(
        "sizes {dims:?} do not fit {values} values; wanted 1 to 255 sizes below 2^32 whose product is the number of values"
    )]
    Shape {
        /// The sizes given.
        dims: Vec<usize>,
        /// The number of values given.
        values: usize,
    },

    /// The file does not begin like a picture or a file of images.
    #[error("{}: neither a PNG or JPEG picture nor an IDX file of images (begins with {found}); save it as PNG", path.display())]
    NotImages {
        /// The file.
        path: PathBuf,
        /// The first bytes in hexadecimal, or "nothing".
        found: String,
    },

    /// A folder without images.
    #[error("{}: holds no PNG or JPEG picture and no IDX file of images ({files} other files); name another folder, or the files", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// Files in it, hidden ones left out.
        files: usize,
    },

    /// A PNG file that cannot be decoded.
    #[error("{}: the PNG is damaged ({reason}); save or copy it again", path.display())]
    Png {
        /// The file.
        path: PathBuf,
        /// What the decoder found, on one line.
        reason: String,
    },

    /// A JPEG file that cannot be decoded.
    #[error("{}: the JPEG cannot be read ({reason}); save or copy it again", path.display())]
    Jpeg {
        /// The file.
        path: PathBuf,
        /// What the decoder found, on one line.
        reason: String,
    },

    /// A picture whose header announces more pixels than it can hold, or than are taken.
    #[error("{}: announces {columns} x {rows} pixels (width x height), wanted {wanted}; save it smaller, or copy it again", path.display())]
    Pixels {
        /// The file.
        path: PathBuf,
        /// Columns announced.
        columns: u32,
        /// Rows announced.
        rows: u32,
        /// What would be taken.
        wanted: String,
    },

    /// A set lies in none of the places searched.
    #[error("set {set} is not complete in any place searched ({looked}); {how}, or name its folder")]
    MissingSet {
        /// The set.
        set: String,
        /// The places, with what is missing in each, on one line.
        looked: String,
        /// How its files are had.
        how: String,
    },

    /// Two files of one set disagree about the number of inputs.
    #[error("{} holds {first_count} inputs but {} holds {second_count}, wanted the same number; fetch or copy both again", first.display(), second.display())]
    Disagree {
        /// One file.
        first: PathBuf,
        /// Inputs in it.
        first_count: usize,
        /// The other file.
        second: PathBuf,
        /// Inputs in it.
        second_count: usize,
    },

    /// A size of a file is not what the set needs.
    #[error("{}: sizes are {found:?}, wanted {wanted}; check that the right file lies under this name", path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The sizes found.
        found: Vec<usize>,
        /// What was wanted, in words.
        wanted: String,
    },

    /// A label outside the classes.
    #[error("{}: label {found} at position {index}, wanted 0 to {}; fetch or copy the file again", path.display(), classes.saturating_sub(1))]
    Label {
        /// The file.
        path: PathBuf,
        /// Position in the file, counted from 0.
        index: usize,
        /// The label found.
        found: i64,
        /// Number of classes.
        classes: usize,
    },

    /// A row of probabilities that is none.
    #[error("{}: row {row} of probabilities {reason}, wanted values in 0..=1 that sum to 1; fetch or copy the file again", path.display())]
    Probabilities {
        /// The file.
        path: PathBuf,
        /// Row, counted from 0.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },

    /// A pixel that is no intensity.
    #[error("{}: value {found} at position {index}, wanted an intensity in 0..=1; fetch or copy the file again", path.display())]
    Intensity {
        /// The file.
        path: PathBuf,
        /// Position in the file, counted from 0.
        index: usize,
        /// The value found.
        found: f64,
    },

    /// Two sets of one dataset have images of different sizes.
    #[error(
        "set {first} has {first_size} images but {second} has {second_size}, wanted the same size; check the files of both"
    )]
    ImageSize {
        /// One set.
        first: String,
        /// Its image size, "height x width x channels".
        first_size: String,
        /// The other set.
        second: String,
        /// Its image size.
        second_size: String,
    },

    /// A set holds fewer inputs than the composition needs.
    #[error(
        "set {set} holds {found} training images, wanted more than {wanted} (the last {wanted} are the validation group); fetch it again"
    )]
    TooFew {
        /// The set.
        set: String,
        /// Images found.
        found: usize,
        /// Images needed.
        wanted: usize,
    },

    /// No dataset or set of this name.
    #[error("unknown set `{name}`; {near}known are {known}")]
    UnknownName {
        /// The name asked for.
        name: String,
        /// "did you mean …? " or nothing.
        near: String,
        /// All names, separated by commas.
        known: String,
    },

    /// A part of a dataset that does not fit the others.
    #[error("group {name} {reason}")]
    Group {
        /// Its name.
        name: String,
        /// What is wrong with it, and the fix.
        reason: String,
    },

    /// A line of CSV that is no image.
    #[error("{}, line {line}: {found}; wanted a label and its pixels, separated by commas, on each line", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What was found, and what was wanted.
        found: String,
    },

    /// Data of one's own, or an array in it, that is not as it is wanted.
    #[error("{}: {problem}", path.display())]
    Own {
        /// The file or folder.
        path: PathBuf,
        /// What was found, what was wanted, and the fix: goes on after the path.
        problem: String,
    },

    /// A class with too few images.
    #[error("class {name} has {found} images, wanted at least {wanted}; add some, or remove its folder")]
    Class {
        /// Its name.
        name: String,
        /// Images found.
        found: usize,
        /// Images wanted.
        wanted: usize,
    },

    /// A folder that has not a folder for each of 2 to 1,000 classes.
    #[error("{}: holds {found} folders, wanted one for each of 2 to 1000 classes (or train/ with these); name the folder above the classes", path.display())]
    Classes {
        /// The folder.
        path: PathBuf,
        /// Folders found in it.
        found: usize,
    },

    /// Pictures of several sizes where one is wanted.
    #[error("{} is {} x {} pixels (rows x columns) but {} is {} x {}, wanted one size; give data.resize (--resize ROWSxCOLUMNS), to which all are scaled", first.display(), first_size.0, first_size.1, second.display(), second_size.0, second_size.1)]
    Sizes {
        /// The first picture.
        first: PathBuf,
        /// Its rows and columns.
        first_size: (usize, usize),
        /// Another one.
        second: PathBuf,
        /// Its rows and columns.
        second_size: (usize, usize),
    },

    /// A descriptor of a set that cannot be used.
    #[error("{file}: {reason}; docs/adding-a-dataset.md says what a descriptor holds")]
    Descriptor {
        /// The descriptor's file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A limit or size that leaves nothing.
    #[error("{key} is {found}, wanted {wanted}; leave it out for the default")]
    Limit {
        /// Name of the option.
        key: &'static str,
        /// The value found.
        found: usize,
        /// What was wanted.
        wanted: &'static str,
    },

    /// A `.pt` file that is not a tensor as it is read here.
    #[error("{}: {found}; wanted one contiguous float32, float64 or int64 tensor as torch.save writes it since 1.6 (zip, stored), save it so again", path.display())]
    Pt {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },

    /// A file of named arrays that cannot be read.
    #[error("{}: {problem}", path.display())]
    TensorFile {
        /// The file.
        path: PathBuf,
        /// What was found, what was wanted, and the fix.
        problem: String,
    },

    /// The content of a file is not what it must be.
    #[error("{}: {kind} is {found}, wanted {wanted}; delete the file if it is still there and fetch it again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Name of the checksum.
        kind: &'static str,
        /// Checksum found, in hexadecimal.
        found: String,
        /// Checksum wanted, in hexadecimal.
        wanted: String,
    },

    /// No mirror delivered a file.
    #[error("cannot download {file}: {tried}; check the connection and try again (what has arrived is kept), or put the file at {}", path.display())]
    Download {
        /// The file as the mirrors name it.
        file: String,
        /// Each address tried, with what happened.
        tried: String,
        /// Where the file belongs.
        path: PathBuf,
    },

    /// The caller asked to stop.
    #[error("download of {file} was stopped on request; run it again to go on where it stopped")]
    Stopped {
        /// The file being downloaded.
        file: String,
    },
}

impl DataError {
    pub(crate) fn io(action: &'static str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), reason: one_line(error) }
    }

    pub(crate) fn not_images(bytes: &[u8], path: &std::path::Path) -> Self {
        Self::NotImages { path: path.into(), found: hex(&bytes[..bytes.len().min(4)]) }
    }
}

/// Bytes as a message shows them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".into();
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

/// Any display text on one line.
pub(crate) fn one_line(text: &impl std::fmt::Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns a text as an error unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($problem:tt)+) => {
        if !$condition {
            return Err(format!($($problem)+));
        }
    };
}

/// The same without a condition.
macro_rules! bail {
    ($($problem:tt)+) => {
        return Err(format!($($problem)+))
    };
}
pub(crate) use {bail, ensure};
