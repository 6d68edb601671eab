//! Files of named arrays by other programs: what `torch.save` writes (a zip archive with a pickle), safetensors, `.npz`.
//!
//! All three become one tree of [`Content`]. A torch file is a tree by itself (dictionaries, lists, objects of any class);
//! the other two are one dictionary of arrays. No code of a pickle is run: a class or a function that it names is kept as
//! an inert [`Content::Object`]. A file is read as if it were hostile: sizes, depth and number of values are bounded before
//! memory is asked for.

mod numpy;
mod safetensors;

use crate::error::{DataError, one_line};
use crate::file_kind::Found;
use crate::npy::read_npz;
use crate::pt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Most bytes of a file.
pub const LONGEST: u64 = 1 << 30;
/// Most numbers of all arrays together.
pub const NUMBERS: usize = 1 << 26;

/// An array, row-major, in double precision whatever it was stored in.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first; none for a single number.
    pub shape: Vec<usize>,
    /// As many numbers as the product of the sizes.
    pub values: Vec<f64>,
    /// Whether it was stored as whole numbers or truth values.
    pub whole: bool,
}

/// Something with a name: an item of a dictionary, an attribute of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name. Keys that are numbers are their digits.
    pub name: String,
    /// What it is.
    pub content: Content,
}

/// What lies in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// An array.
    Array(Array),
    /// A single number.
    Number(f64),
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
    /// Python's `None`.
    Nothing,
    /// A list or a tuple.
    List(Vec<Content>),
    /// A dictionary, in its own order.
    Dict(Vec<Entry>),
    /// An object that was not made: the class (or the function that would make it), and its attributes.
    Object {
        /// Module and name.
        class: String,
        /// Attributes and, of a kind of dictionary, items.
        fields: Vec<Entry>,
    },
    /// Anything else, in a few words: why it is no array.
    Other(String),
}

/// What kind a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `torch.save` since PyTorch 1.6.
    Torch,
    /// safetensors.
    Safetensors,
    /// `np.savez`.
    Npz,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFile {
    /// Its kind.
    pub format: Format,
    /// What lies in it.
    pub root: Content,
    /// Texts that describe it, by key: the metadata of safetensors.
    pub metadata: Vec<(String, String)>,
}

impl Content {
    /// Its items, if it is a dictionary.
    #[must_use]
    pub fn dict(&self) -> Option<&[Entry]> {
        match self {
            Content::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// Its numbers, if it is an array.
    #[must_use]
    pub fn array(&self) -> Option<&Array> {
        match self {
            Content::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The item of a dictionary, or attribute of an object, of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Content> {
        let (Content::Dict(entries) | Content::Object { fields: entries, .. }) = self else { return None };
        entries.iter().find(|entry| entry.name == name).map(|entry| &entry.content)
    }

    /// A single number, also one that is stored as an array of one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Content::Number(x) => Some(*x),
            Content::Array(Array { values, .. }) => values.first().copied().filter(|_| values.len() == 1),
            _ => None,
        }
    }
}

/// How many numbers may still be read.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Budget(NUMBERS)
    }
}

impl Budget {
    pub(crate) fn take(&mut self, count: usize) -> Result<(), String> {
        let left = self.0.checked_sub(count);
        self.0 = left.ok_or_else(|| format!("more than {NUMBERS} numbers in all; store the posterior alone"))?;
        Ok(())
    }
}

/// Reads a file of at most [`LONGEST`] bytes.
///
/// # Errors
/// [`DataError::Io`], and [`DataError::TensorFile`] for everything that is not such a file.
pub fn read(path: &Path) -> Result<TensorFile, DataError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| DataError::io("read", path, &e))?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|e| DataError::io("read", path, &e))?;
    if bytes.len() as u64 > LONGEST {
        let problem = format!("it has more than {LONGEST} bytes; store the posterior alone");
        return Err(DataError::TensorFile { path: path.into(), problem });
    }
    from_bytes(&bytes, path)
}

/// Reads the bytes of a file; `path` is for the messages.
///
/// # Errors
/// [`DataError::TensorFile`].
pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<TensorFile, DataError> {
    parse(bytes).map_err(|problem| DataError::TensorFile { path: path.into(), problem: one_line(&problem) })
}

/// Why a zip archive is refused that is neither `torch.save`'s nor an `.npz`.
fn other_archive(bytes: &[u8]) -> Option<String> {
    let Ok(archive) = read_npz(bytes, &[]) else {
        // Damaged: the first entry's name, behind its head of 30 bytes, says what it was.
        let start = bytes.get(30..bytes.len().min(330))?;
        let is_torch = start.windows(8).any(|name| name == b"data.pkl");
        return is_torch.then(|| {
            "it is a file of torch.save that is cut off or damaged: its directory is missing; copy it or save it again".into()
        });
    };
    let has = |end: &str| archive.names.iter().any(|name| name.ends_with(end));
    if has("/constants.pkl") || has("/constants") {
        return Some(
            "it is a TorchScript module (torch.jit.save), whose code is not run; save its tensors: \
             torch.save(net.state_dict(), FILE)"
                .into(),
        );
    }
    has(".weights.h5").then(|| {
        "it is a Keras archive, which keeps its weights in HDF5: write the arrays with np.savez(FILE, **{w.name: w.numpy() for \
         w in model.weights})"
            .into()
    })
}

fn parse(bytes: &[u8]) -> Result<TensorFile, String> {
    let plain = |format, root| Ok(TensorFile { format, root, metadata: Vec::new() });
    let found = Found::of(bytes);
    if let (Found::Zip, Some(problem)) = (found, other_archive(bytes)) {
        return Err(problem);
    }
    match found {
        Found::Zip if pt::is_torch(bytes) => {
            let root = pt::content(bytes).map_err(|found| {
                format!("it holds {found}; wanted what torch.save writes since 1.6: save the state_dict so again")
            })?;
            plain(Format::Torch, root)
        }
        Found::Zip => plain(Format::Npz, numpy::read(bytes)?),
        Found::Safetensors => safetensors::read(bytes),
        Found::Pickle => {
            Err("it is a bare pickle (pickle.dump, or torch.save before 1.6), which is not read: torch.save the state_dict \
                 with a newer PyTorch, or write the arrays with np.savez"
                .into())
        }
        Found::Hdf5 => Err("it is an HDF5 file, which keeps no names of layers: write the arrays with \
                            np.savez(FILE, **{w.name: w.numpy() for w in model.weights})"
            .into()),
        found => Err(format!(
            "it is {}; wanted a file of torch.save (.pt, .ckpt), safetensors, or .npz",
            found.what().unwrap_or("of no known kind")
        )),
    }
}
