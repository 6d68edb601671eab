//! Pictures in folders: a folder for each class, called as the class.

use super::Own;
use crate::dataset::{CLASSES, Labelled};
use crate::error::DataError;
use crate::files::{self, Content};
use crate::images::Images;
use std::path::{Path, PathBuf};

/// The size that pictures are made to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows and columns; `None` takes the pictures as they are, which must then all have one size.
    pub side: Option<(usize, usize)>,
    /// Whether colour is kept; grey otherwise.
    pub colour: bool,
}

/// The most bytes of pixels that are gathered.
const MOST_BYTES: usize = 1 << 30;

/// Reads `CLASS/*.png`, or `train/CLASS/*.png` with `val/` and `test/` beside it. Classes are in the order of their names and
/// are those of the training folder.
///
/// # Errors
/// [`DataError::Classes`] for too few or too many folders; [`DataError::Group`] for a class that training does not have;
/// [`DataError::Class`] for one without pictures; [`DataError::Sizes`] for pictures of several sizes without
/// [`Size::side`]; and those of [`files::open`].
pub fn pictures(folder: &Path, name: &str, size: Size) -> Result<Own, DataError> {
    let divided = folder.join("train").is_dir();
    let train_folder = if divided { folder.join("train") } else { folder.to_owned() };
    let classes = folders(&train_folder)?;
    if !CLASSES.contains(&classes.len()) {
        return Err(DataError::Classes { path: train_folder, found: classes.len() });
    }
    let mut reader = Reader { size, first: None };
    let train = reader.labelled(&train_folder, &classes)?;
    let mut part = |names: &[&str]| {
        let found = names.iter().map(|n| folder.join(n)).find(|path| divided && path.is_dir());
        found.map(|path| reader.labelled(&path, &classes)).transpose()
    };
    let (validation, test) = (part(&["val", "validation"])?, part(&["test"])?);
    Ok(Own { name: name.into(), class_names: classes, train, validation, test })
}

/// Names of the folders in a folder, hidden ones left out, in order.
fn folders(path: &Path) -> Result<Vec<String>, DataError> {
    let fail = |e: std::io::Error| DataError::io("read", path, &e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

struct Reader {
    size: Size,
    /// The first picture and its rows and columns, to which all others are compared.
    first: Option<(PathBuf, (usize, usize))>,
}

impl Reader {
    fn labelled(&mut self, folder: &Path, classes: &[String]) -> Result<Labelled, DataError> {
        if let Some(other) = folders(folder)?.into_iter().find(|name| !classes.contains(name)) {
            let name = folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let reason =
                format!("has a folder {other}, but no class of the training is called so; rename or remove it");
            return Err(DataError::Group { name, reason });
        }
        let channels = if self.size.colour { 3 } else { 1 };
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let mut shape = (0, 0);
        for (label, class) in (0u16..).zip(classes) {
            let own = folder.join(class);
            if !own.is_dir() {
                return Err(DataError::Class { name: class.clone(), found: 0, wanted: 1 });
            }
            for file in files::folder(&own)?.files {
                let Content::Picture(picture) = files::open(&file)? else { continue };
                let found = picture.size();
                let (first, wanted) = self.first.get_or_insert_with(|| (file.clone(), found));
                if self.size.side.is_none() && *wanted != found {
                    let (first, second) = (first.clone(), file);
                    return Err(DataError::Sizes { first, first_size: *wanted, second, second_size: found });
                }
                shape = self.size.side.unwrap_or(*wanted);
                if pixels.len().saturating_add(shape.0.saturating_mul(shape.1).saturating_mul(channels)) > MOST_BYTES {
                    return Err(DataError::TooLong { path: folder.into(), limit: MOST_BYTES as u64 });
                }
                pixels.extend(picture.fit(shape.0, shape.1, channels));
                labels.push(label);
            }
            if labels.last() != Some(&label) {
                return Err(DataError::Class { name: class.clone(), found: 0, wanted: 1 });
            }
        }
        Ok(Labelled { images: Images { height: shape.0, width: shape.1, channels, pixels }, labels })
    }
}
