//! Pictures in folders: a folder for each class, called as the class.

use super::{Own, ordered};
use crate::dataset::{CLASSES, Labelled};
use crate::error::DataError;
use crate::files::{self, Content};
use crate::images::Images;
use crate::picture::Picture;
use std::path::{Path, PathBuf};

/// The size that pictures are made to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows and columns; `None` takes the pictures as they are, which must then all have one size.
    pub side: Option<(usize, usize)>,
    /// Whether colour is kept; grey otherwise. `None` keeps it where some picture has it.
    pub colour: Option<bool>,
}

/// The most bytes of pixels that are gathered.
pub(super) const MOST_BYTES: usize = 1 << 30;

/// Reads `CLASS/*.png`, or `train/CLASS/*.png` with `val/` and `test/` beside it. Classes are those of the training folder, in
/// the order of their numbers where all are numbers, else of their names.
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
    let (mut train, mut validation, mut test) = (train, part(&["val", "validation"])?, part(&["test"])?);
    let mut parts = [Some(&mut train), validation.as_mut(), test.as_mut()];
    if parts.iter().flatten().any(|part| part.images.channels == 3) {
        parts.iter_mut().flatten().for_each(|part| part.images = part.images.with_colour());
    }
    Ok(Own { name: name.into(), class_names: classes, train, validation, test })
}

/// Names of the folders in a folder, hidden ones left out, in order.
pub(super) fn folders(path: &Path) -> Result<Vec<String>, DataError> {
    let fail = |e: std::io::Error| DataError::io("read", path, &e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    Ok(ordered(names))
}

/// All pictures of a folder and of the folders in it, without labels.
///
/// # Errors
/// As [`pictures`]; [`DataError::NoImages`].
pub(super) fn unlabelled(folder: &Path, size: Size) -> Result<Images, DataError> {
    let mut reader = Reader { size, first: None };
    let mut gathered = Gathered::new(size);
    let inside = folders(folder)?;
    match files::folder(folder) {
        Ok(found) => reader.gather(folder, found.files, &mut gathered).map(drop)?,
        Err(DataError::NoImages { .. }) if !inside.is_empty() => {}
        Err(error) => return Err(error),
    }
    for name in inside {
        let own = folder.join(name);
        reader.gather(&own, files::folder(&own)?.files, &mut gathered)?;
    }
    Ok(gathered.images)
}

/// Pictures of some classes in their folders; a class may have none.
///
/// # Errors
/// As [`pictures`].
pub(super) fn of_classes(folder: &Path, classes: &[String], size: Size) -> Result<Labelled, DataError> {
    let mut reader = Reader { size, first: None };
    reader.some(folder, classes, false)
}

struct Reader {
    size: Size,
    /// The first picture and its rows and columns, to which all others are compared.
    first: Option<(PathBuf, (usize, usize))>,
}

/// Pictures one after the other.
struct Gathered {
    images: Images,
    size: Size,
}

impl Gathered {
    fn new(size: Size) -> Self {
        let channels = if size.colour == Some(true) { 3 } else { 1 };
        Gathered { images: Images { height: 1, width: 1, channels, pixels: Vec::new() }, size }
    }

    /// Adds a picture; from the first one of colour on, all have it.
    fn push(&mut self, picture: Picture, (rows, columns): (usize, usize), folder: &Path) -> Result<(), DataError> {
        if self.images.channels == 1 && self.size.colour.is_none() && picture.has_colour() {
            self.images = self.images.with_colour();
        }
        let images = &mut self.images;
        (images.height, images.width) = (rows, columns);
        if images.pixels.len().saturating_add(images.size()) > MOST_BYTES {
            return Err(DataError::TooLong { path: folder.into(), limit: MOST_BYTES as u64 });
        }
        images.pixels.extend(picture.fit(rows, columns, images.channels));
        Ok(())
    }
}

impl Reader {
    fn labelled(&mut self, folder: &Path, classes: &[String]) -> Result<Labelled, DataError> {
        self.some(folder, classes, true)
    }

    /// The pictures of the classes; of each at least one where `all` must have some.
    fn some(&mut self, folder: &Path, classes: &[String], all: bool) -> Result<Labelled, DataError> {
        if let Some(other) = folders(folder)?.into_iter().find(|name| !classes.contains(name)) {
            let name = folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let reason =
                format!("has a folder {other}, but no class of the training is called so; rename or remove it");
            return Err(DataError::Group { name, reason });
        }
        let (mut gathered, mut labels) = (Gathered::new(self.size), Vec::new());
        for (label, class) in (0u16..).zip(classes) {
            let own = folder.join(class);
            let before = labels.len();
            if own.is_dir() {
                let found = self.gather(&own, files::folder(&own)?.files, &mut gathered)?;
                labels.extend(std::iter::repeat_n(label, found));
            }
            if all && labels.len() == before {
                return Err(DataError::Class { name: class.clone(), found: 0, wanted: 1 });
            }
        }
        Ok(Labelled { images: gathered.images, labels })
    }

    /// Adds the pictures among some files; gives their number.
    fn gather(&mut self, folder: &Path, paths: Vec<PathBuf>, to: &mut Gathered) -> Result<usize, DataError> {
        let mut count = 0;
        for file in paths {
            let Content::Picture(picture) = files::open(&file)? else {
                let problem =
                    "holds many images, among pictures; store each as a picture, or name the file itself".into();
                return Err(DataError::Own { path: file, problem });
            };
            let found = picture.size();
            let (first, wanted) = self.first.get_or_insert_with(|| (file.clone(), found));
            if self.size.side.is_none() && *wanted != found {
                let (first, second) = (first.clone(), file);
                return Err(DataError::Sizes { first, first_size: *wanted, second, second_size: found });
            }
            let side = self.size.side.unwrap_or(*wanted);
            to.push(picture, side, folder)?;
            count += 1;
        }
        Ok(count)
    }
}
