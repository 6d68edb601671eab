//! Sets as they lie on disk: which files a set has, where they are searched, and reading them checked.
//!
//! A set is a folder `<root>/<set>/` of IDX files, each plain or with `.gz` after its name. Roots are searched in
//! order and a set is read from one root only, the first that holds all its files: halves of two copies are never
//! mixed, because they need not belong together.

use crate::compose::{Images, Labelled};
use crate::error::DataError;
use crate::idx::{Idx, sibling};
use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variable that names a root.
pub const ROOT_VARIABLE: &str = "QBNN_DATA";

/// Classes of every set here.
pub const CLASSES: usize = 10;

/// Labels drawn per image of Ambiguous-MNIST.
pub const DRAWN: usize = 10;

/// How far a row of soft labels may sum from 1.
pub const SUM_TOLERANCE: f32 = 1e-3;

/// A set of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Set {
    /// Handwritten digits: 60,000 for training, 10,000 for tests, one label each.
    Mnist,
    /// Clothes in the format of MNIST.
    FashionMnist,
    /// Images between two or more digits: 6,000 for training, 6,000 for tests, ten drawn labels and a soft label each.
    AmbiguousMnist,
}

/// Which half of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// The training half.
    Train,
    /// The test half.
    Test,
}

impl Half {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

impl Set {
    /// All sets.
    pub const ALL: [Self; 3] = [Self::Mnist, Self::FashionMnist, Self::AmbiguousMnist];

    /// The name, also of its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::AmbiguousMnist => "ambiguous-mnist",
        }
    }

    /// The set of this name.
    ///
    /// # Errors
    /// [`DataError::UnknownName`] with the nearest known name.
    pub fn from_name(name: &str) -> Result<Self, DataError> {
        let known = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| unknown_name(name, &known))
    }

    /// The names of its files, without `.gz`.
    #[must_use]
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::Mnist | Self::FashionMnist => &[
                "train-images-idx3-ubyte",
                "train-labels-idx1-ubyte",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx1-ubyte",
            ],
            Self::AmbiguousMnist => &[
                "train-images-idx3-ubyte",
                "train-labels-idx2-ubyte",
                "train-probs-idx2-float",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx2-ubyte",
                "t10k-probs-idx2-float",
            ],
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a name that is not among `known`.
pub(crate) fn unknown_name(name: &str, known: &[&str]) -> DataError {
    let mut near: Vec<_> =
        known.iter().map(|k| (strsim::jaro_winkler(&name.to_lowercase(), k), *k)).filter(|n| n.0 > 0.7).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<_> = near.iter().take(2).map(|n| format!("`{}`", n.1)).collect();
    let near = if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) };
    DataError::UnknownName { name: name.into(), near, known: known.join(", ") }
}

/// Where a root comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Named by the caller.
    Explicit,
    /// From the environment variable [`ROOT_VARIABLE`].
    Environment,
    /// The user's cache folder.
    Cache,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit => "named folder",
            Self::Environment => ROOT_VARIABLE,
            Self::Cache => "user cache",
        })
    }
}

/// The roots under which sets are searched, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locations {
    roots: Vec<(Origin, PathBuf)>,
}

impl Locations {
    /// Searches the named folder, then the one of the environment, then the cache; each may be absent. An empty path
    /// counts as absent (an environment variable set to nothing).
    #[must_use]
    pub fn new(explicit: Option<PathBuf>, environment: Option<PathBuf>, cache: Option<PathBuf>) -> Self {
        let roots = [(Origin::Explicit, explicit), (Origin::Environment, environment), (Origin::Cache, cache)];
        let roots = roots.into_iter().filter_map(|(o, p)| Some((o, p.filter(|p| !p.as_os_str().is_empty())?)));
        Self { roots: roots.collect() }
    }

    /// [`Locations::new`] with the environment's folder read from [`ROOT_VARIABLE`].
    #[must_use]
    pub fn from_environment(explicit: Option<PathBuf>, cache: Option<PathBuf>) -> Self {
        Self::new(explicit, std::env::var_os(ROOT_VARIABLE).map(PathBuf::from), cache)
    }

    /// The roots in the order of the search.
    #[must_use]
    pub fn roots(&self) -> &[(Origin, PathBuf)] {
        &self.roots
    }

    /// The first root: where a download belongs, since it is searched first.
    #[must_use]
    pub fn download_root(&self) -> Option<&Path> {
        self.roots.first().map(|(_, path)| path.as_path())
    }

    /// The files of a set in the first root that has them all, in the order of [`Set::files`].
    ///
    /// # Errors
    /// [`DataError::MissingSet`], which says where was searched and what is missing there.
    pub fn find(&self, set: Set) -> Result<Vec<PathBuf>, DataError> {
        let places = self.places(set);
        if let Some(place) = places.iter().find(|p| p.is_complete()) {
            return Ok(place.files.iter().filter_map(|f| f.path.clone()).collect());
        }
        let looked: Vec<_> = places.iter().map(SetLocation::describe).collect();
        let looked = if looked.is_empty() { "no folder was given".into() } else { looked.join("; ") };
        Err(DataError::MissingSet { set: set.name(), looked })
    }

    fn places(&self, set: Set) -> Vec<SetLocation> {
        let place = |(origin, root): &(Origin, PathBuf)| {
            let folder = root.join(set.name());
            let files = set.files().iter().map(|name| FileReport::look(&folder, name)).collect();
            SetLocation { origin: *origin, folder, files }
        };
        self.roots.iter().map(place).collect()
    }

    fn path(&self, set: Set, half: Half, what: &str) -> Result<PathBuf, DataError> {
        let start = format!("{}-{what}", half.prefix());
        let paths = self.find(set)?;
        let found = set.files().iter().zip(paths).find(|(name, _)| name.starts_with(&start));
        found
            .map(|(_, path)| path)
            .ok_or_else(|| DataError::MissingSet { set: set.name(), looked: format!("the set has no {start}") })
    }
}

/// One file of a set in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its name without `.gz`.
    pub name: &'static str,
    /// Where it lies (plain before `.gz`), or `None`.
    pub path: Option<PathBuf>,
    /// Its size on disk in bytes, 0 if it is missing.
    pub bytes: u64,
}

impl FileReport {
    pub(crate) fn look(folder: &Path, name: &'static str) -> Self {
        let plain = folder.join(name);
        for path in [plain.clone(), sibling(&plain, ".gz")] {
            if let Ok(meta) = std::fs::metadata(&path)
                && meta.is_file()
            {
                return Self { name, path: Some(path), bytes: meta.len() };
            }
        }
        Self { name, path: None, bytes: 0 }
    }
}

/// A set in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLocation {
    /// Where the root comes from.
    pub origin: Origin,
    /// The folder of the set.
    pub folder: PathBuf,
    /// Its files, in the order of [`Set::files`].
    pub files: Vec<FileReport>,
}

impl SetLocation {
    /// Whether every file is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|f| f.path.is_some())
    }

    /// Sum of the sizes on disk, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    fn describe(&self) -> String {
        let missing: Vec<_> = self.files.iter().filter(|f| f.path.is_none()).map(|f| f.name).collect();
        let what = if missing.len() == self.files.len() {
            "nothing there".to_string()
        } else {
            format!("missing {}", missing.join(", "))
        };
        format!("{} [{}]: {what}", self.folder.display(), self.origin)
    }
}

/// A set in all places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetReport {
    /// The set.
    pub set: Set,
    /// Every place searched, in order.
    pub places: Vec<SetLocation>,
}

impl SetReport {
    /// The place the set is read from: the first complete one.
    #[must_use]
    pub fn used(&self) -> Option<&SetLocation> {
        self.places.iter().find(|p| p.is_complete())
    }
}

/// What is where, for every set; looks at names and sizes only.
#[must_use]
pub fn list(locations: &Locations) -> Vec<SetReport> {
    Set::ALL.map(|set| SetReport { set, places: locations.places(set) }).into()
}

/// One half of Ambiguous-MNIST.
#[derive(Debug, Clone, PartialEq)]
pub struct Ambiguous {
    /// The N images.
    pub images: Images,
    /// N x [`DRAWN`] labels drawn from the soft labels, row-major.
    pub drawn: Vec<u8>,
    /// N x [`CLASSES`] probabilities, each row summing to 1 within [`SUM_TOLERANCE`].
    pub soft_labels: Vec<f32>,
}

/// Reads images alone.
///
/// # Errors
/// [`DataError::MissingSet`], and those of [`Idx::read`].
pub fn load_images(set: Set, half: Half, locations: &Locations) -> Result<Images, DataError> {
    read_images(&locations.path(set, half, "images")?)
}

/// Reads images with one label each (MNIST and Fashion-MNIST).
///
/// # Errors
/// [`DataError::MissingSet`], [`DataError::Disagree`], [`DataError::Label`], and those of [`Idx::read`].
pub fn load_labelled(set: Set, half: Half, locations: &Locations) -> Result<Labelled, DataError> {
    let path = locations.path(set, half, "images")?;
    let images = read_images(&path)?;
    let labels_path = locations.path(set, half, "labels")?;
    let (_, labels) = Idx::read(&labels_path)?.into_u8(1, &labels_path)?;
    agree(&path, images.len(), &labels_path, labels.len())?;
    check_labels(&labels_path, &labels)?;
    Ok(Labelled { images, labels })
}

/// Reads one half of Ambiguous-MNIST.
///
/// # Errors
/// [`DataError::MissingSet`], [`DataError::Disagree`], [`DataError::WrongShape`], [`DataError::Label`],
/// [`DataError::Probabilities`], and those of [`Idx::read`].
pub fn load_ambiguous(half: Half, locations: &Locations) -> Result<Ambiguous, DataError> {
    let set = Set::AmbiguousMnist;
    let path = locations.path(set, half, "images")?;
    let images = read_images(&path)?;
    let labels_path = locations.path(set, half, "labels")?;
    let (dims, drawn) = Idx::read(&labels_path)?.into_u8(2, &labels_path)?;
    agree(&path, images.len(), &labels_path, dims[0])?;
    check_columns(&labels_path, dims, DRAWN)?;
    check_labels(&labels_path, &drawn)?;
    let soft_path = locations.path(set, half, "probs")?;
    let (dims, soft_labels) = Idx::read(&soft_path)?.into_f32(2, &soft_path)?;
    agree(&path, images.len(), &soft_path, dims[0])?;
    check_columns(&soft_path, dims, CLASSES)?;
    check_probabilities(&soft_path, &soft_labels)?;
    Ok(Ambiguous { images, drawn, soft_labels })
}

fn read_images(path: &Path) -> Result<Images, DataError> {
    crate::files::idx_images(Idx::read(path)?, path)
}

fn agree(first: &Path, first_count: usize, second: &Path, second_count: usize) -> Result<(), DataError> {
    if first_count == second_count {
        return Ok(());
    }
    Err(DataError::Disagree { first: first.into(), first_count, second: second.into(), second_count })
}

fn check_columns(path: &Path, dims: Vec<usize>, columns: usize) -> Result<(), DataError> {
    if dims[1] == columns {
        return Ok(());
    }
    Err(DataError::WrongShape { path: path.into(), found: dims, wanted: format!("N x {columns}") })
}

fn check_labels(path: &Path, labels: &[u8]) -> Result<(), DataError> {
    match labels.iter().position(|&l| usize::from(l) >= CLASSES) {
        None => Ok(()),
        Some(index) => {
            Err(DataError::Label { path: path.into(), index, found: labels[index].into(), classes: CLASSES })
        }
    }
}

pub(crate) fn check_probabilities(path: &Path, rows: &[f32]) -> Result<(), DataError> {
    for (row, p) in rows.chunks(CLASSES).enumerate() {
        let sum: f32 = p.iter().sum();
        let reason = if let Some(bad) = p.iter().find(|p| !(0.0..=1.0 + SUM_TOLERANCE).contains(*p)) {
            format!("holds {bad}")
        } else if (sum - 1.0).abs() > SUM_TOLERANCE {
            format!("sums to {sum}")
        } else {
            continue;
        };
        return Err(DataError::Probabilities { path: path.into(), row, reason });
    }
    Ok(())
}
