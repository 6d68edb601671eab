//! Data of one's own by its path alone: which kind it is, all of it, its number of images, or one test group.

use super::csv::file;
use super::npz::{self, Labels};
use super::pictures::{folders, of_classes, unlabelled};
use super::{Arrays, Own, Size, cifar, csv, idx, npz as read_npz, pair, pictures};
use crate::dataset::{Dataset, Labelled, Role, TestGroup};
use crate::descriptor::{Catalogue, Half};
use crate::error::DataError;
use crate::file_kind::Found;
use crate::idx::{Idx, MAX_CONTENT, ungzip};
use crate::images::Images;
use crate::locations::Locations;
use crate::{read, strokes};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// What data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Pictures in folders.
    Pictures,
    /// Arrays of numpy.
    Npz,
    /// IDX files.
    Idx,
    /// Lines of labels and pixels.
    Csv,
    /// The binary archives of CIFAR.
    Cifar,
}

impl Kind {
    /// In words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Kind::Pictures => "pictures in folders",
            Kind::Npz => "npz",
            Kind::Idx => "IDX",
            Kind::Csv => "CSV",
            Kind::Cifar => "CIFAR archive",
        }
    }

    /// What lies at a path: of a file its first bytes say it, of a folder the names of its files.
    ///
    /// # Errors
    /// [`DataError::Io`]; [`DataError::Own`] for what is none of them.
    pub fn at(path: &Path) -> Result<Self, DataError> {
        let fail = |e: std::io::Error| DataError::io("read", path, &e);
        let meta = std::fs::metadata(path).map_err(fail)?;
        if meta.is_dir() {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(path).map_err(fail)? {
                names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
            }
            let has = |begins: &[&str], ends: &str| {
                names
                    .iter()
                    .any(|n| begins.iter().any(|b| n.starts_with(b)) && n.trim_end_matches(".gz").ends_with(ends))
            };
            return Ok(match () {
                () if has(&["data_batch_", "test_batch", "train.", "test."], ".bin") => Kind::Cifar,
                () if has(&["train-images", "t10k-images", "test-images"], "") => Kind::Idx,
                () if has(&["train.csv", "test.csv"], "") => Kind::Csv,
                () => Kind::Pictures,
            });
        }
        if !meta.is_file() {
            // It is read more than once.
            let problem = "is no plain file and no folder; store its content in a file".into();
            return Err(DataError::Own { path: path.into(), problem });
        }
        let (is_gzip, content) = ungzip(BufReader::new(File::open(path).map_err(fail)?)).map_err(fail)?;
        let mut head = Vec::new();
        // What is damaged is told by its reader.
        match content.take(64).read_to_end(&mut head) {
            Err(e) if !is_gzip => return Err(fail(e)),
            _ => {}
        }
        let text = !head.is_empty() && head.iter().all(|&b| b >= 0x20 || b"\t\r\n".contains(&b));
        match Found::of(&head) {
            Found::Zip => Ok(Kind::Npz),
            Found::Idx => Ok(Kind::Idx),
            Found::Other if text && head.contains(&b',') => Ok(Kind::Csv),
            found => {
                let what = found.what().map_or(String::new(), |what| format!(" but {what}"));
                let problem = format!(
                    "is no images with labels{what}; wanted a folder of pictures for each class, .npz, IDX, CSV or a CIFAR \
                     archive"
                );
                Err(DataError::Own { path: path.into(), problem })
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

/// How data is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Rows, columns and channels of images that are stored as rows of values.
    pub shape: Option<[usize; 3]>,
    /// The size that images are made to have.
    pub size: Size,
    /// Names of arrays.
    pub arrays: Arrays,
}

/// Reads whatever lies at a path.
///
/// # Errors
/// Those of [`Kind::at`] and of the readers; [`DataError::Limit`] for a size that images cannot be scaled to.
pub fn open(path: &Path, name: &str, options: &Options) -> Result<Own, DataError> {
    let mut own = match Kind::at(path)? {
        Kind::Pictures => return pictures(path, name, options.size),
        Kind::Npz => read_npz(path, name, &options.arrays, options.shape)?,
        Kind::Idx => pair(path, name)?,
        Kind::Csv => csv(path, name, options.shape)?,
        Kind::Cifar => cifar(path, name)?,
    };
    for part in [Some(&mut own.train), own.validation.as_mut(), own.test.as_mut()].into_iter().flatten() {
        let none = part.images.select(&[]);
        part.images = sized(std::mem::replace(&mut part.images, none), options.size)?;
    }
    Ok(own)
}

/// Images of a size.
fn sized(images: Images, size: Size) -> Result<Images, DataError> {
    let (rows, columns) = size.side.unwrap_or((images.height, images.width));
    let channels = size.colour.map_or(images.channels, |colour| if colour { 3 } else { 1 });
    images.fitted(rows, columns, channels)
}

/// About how many images there are to learn from, without reading them; `None` where that cannot be told.
#[must_use]
pub fn count(path: &Path, options: &Options) -> Option<usize> {
    let names =
        |folder: &Path| Some(std::fs::read_dir(folder).ok()?.filter_map(|e| Some(e.ok()?.path())).collect::<Vec<_>>());
    match Kind::at(path).ok()? {
        Kind::Pictures => {
            let train = Some(path.join("train")).filter(|p| p.is_dir()).unwrap_or_else(|| path.into());
            let classes = folders(&train).ok()?;
            Some(classes.iter().filter_map(|class| names(&train.join(class))).map(|files| files.len()).sum())
        }
        Kind::Npz => npz::count(path, &options.arrays),
        Kind::Idx => idx::count(path),
        Kind::Csv => {
            let path = if path.is_dir() { file(path, "train")? } else { path.into() };
            let (_, content) = ungzip(BufReader::new(File::open(path).ok()?)).ok()?;
            let mut lines = BufReader::new(content.take(4 * MAX_CONTENT));
            let mut count = 0;
            while lines.skip_until(b'\n').ok()? > 0 {
                count += 1;
            }
            Some(count)
        }
        Kind::Cifar => {
            let sizes = names(path)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "bin"));
            Some((sizes.filter_map(|p| p.metadata().ok()).map(|m| m.len()).sum::<u64>() / 3073) as usize)
        }
    }
}

/// Reads a test group for a dataset: of a built-in set by its name, of a dataset that the program draws (`strokes`), or of whatever lies at a path. Of data that is divided
/// its test part is read, else all of it. Labels are read where the role has some; images are scaled to those of the dataset
/// where [`Size::side`] is given.
///
/// # Errors
/// Those of [`open`]; [`DataError::UnknownName`] for what is neither; [`DataError::Group`] for labels that are missing.
pub fn group(
    path: &Path,
    name: &str,
    role: Role,
    dataset: &Dataset,
    options: &Options,
    locations: &Locations,
) -> Result<TestGroup, DataError> {
    let classes = &dataset.class_names;
    let shape = dataset.shape();
    let missing = |reason: &str| DataError::Group { name: name.into(), reason: reason.into() };
    let found = match path.to_str().map(|name| Catalogue::built_in()?.set(name)) {
        Some(_) if is_drawn(path) => drawn(name, role, classes)?,
        Some(Ok((set, _))) => match role {
            Role::Clean => TestGroup::clean(name, read::load_labelled(set, Half::Test, locations)?),
            Role::Shifted => TestGroup::shifted(name, read::load_labelled(set, Half::Test, locations)?),
            Role::Ambiguous => TestGroup::ambiguous(name, read::load_ambiguous(set, Half::Test, locations)?),
            Role::Ood => TestGroup::ood(name, read::load_images(set, Half::Test, locations)?),
        },
        Some(Err(error)) if !path.exists() => return Err(error),
        _ => {
            let (images, labels) = test_part(path, classes, role, options)?;
            let mut group = TestGroup { role, ..TestGroup::ood(name, images) };
            match labels {
                Some(Labels::Soft(soft)) if role == Role::Ambiguous => group.soft_labels = Some(soft),
                Some(labels) if role.is_labelled() => group.labels = Some(labels.places(classes, path, "y")?),
                Some(_) | None if role == Role::Ambiguous => {
                    return Err(missing("is ambiguous and needs soft labels: an .npz file with x and y, N x classes"));
                }
                _ => {}
            }
            group
        }
    };
    let colour = options.size.colour.or((shape.channels == 3).then_some(true));
    let side = options.size.side.map(|_| (shape.rows, shape.columns));
    let images = sized(found.images, Size { side, colour })?;
    Ok(TestGroup { images, ..found })
}

/// Whether this is the name of a dataset that the program draws.
pub fn is_drawn(path: &Path) -> bool {
    let drawn = |name: &str| Catalogue::built_in().ok()?.dataset(name).ok()?.1.drawn.as_ref().map(|_| ());
    path.to_str().and_then(drawn).is_some()
}

/// The test group of a role that the program draws: the same images for every seed of an experiment. Shifted images are its clean
/// ones.
fn drawn(name: &str, role: Role, classes: &[String]) -> Result<TestGroup, DataError> {
    /// The seed of the images.
    const SEED: u64 = 0;
    let wrong = |reason: String| DataError::Group { name: name.into(), reason };
    let set = strokes::dataset(SEED, &strokes::Sizes::default())?;
    if role != Role::Ood && set.class_names != classes {
        let reason = format!("is of the classes {}, the data of {}", set.class_names.join(", "), classes.join(", "));
        return Err(wrong(reason));
    }
    let of = if role == Role::Shifted { Role::Clean } else { role };
    let group = set.groups.into_iter().find(|group| group.role == of);
    let group = group.ok_or_else(|| wrong(format!("has no images of role {of}")))?;
    Ok(TestGroup { name: name.to_owned(), role, ..group })
}

/// Test images with the labels that they have.
fn test_part(
    path: &Path,
    classes: &[String],
    role: Role,
    options: &Options,
) -> Result<(Images, Option<Labels>), DataError> {
    let with = |labelled: Labelled| {
        let numbers = labelled.labels.into_iter().map(i64::from).collect();
        (labelled.images, Some(Labels::Numbers(numbers)))
    };
    match Kind::at(path)? {
        Kind::Npz => npz::test(path, &options.arrays, options.shape),
        Kind::Pictures => {
            let test = Some(path.join("test")).filter(|p| p.is_dir()).unwrap_or_else(|| path.into());
            if role.is_labelled() {
                of_classes(&test, classes, options.size).map(with)
            } else {
                Ok((unlabelled(&test, options.size)?, None))
            }
        }
        Kind::Csv => {
            let path =
                if path.is_dir() { file(path, "test").unwrap_or_else(|| path.join("test.csv")) } else { path.into() };
            let lines = csv::read(&path, options.shape)?;
            if role.is_labelled() { lines.labelled(classes, &path).map(with) } else { Ok((lines.images, None)) }
        }
        Kind::Idx => {
            let (images, labels) = idx::test(path)?;
            let Some(labels) = labels.filter(|_| role.is_labelled()) else { return Ok((read::images(&images)?, None)) };
            let (_, found) = Idx::read(&labels)?.into_u8(1, &labels)?;
            let images_of = read::images(&images)?;
            read::agree(&images, images_of.len(), &labels, found.len())?;
            Ok((images_of, Some(Labels::Numbers(found.into_iter().map(i64::from).collect()))))
        }
        Kind::Cifar => {
            let own = cifar(path, "test")?;
            Ok(with(own.test.unwrap_or(own.train)))
        }
    }
}
