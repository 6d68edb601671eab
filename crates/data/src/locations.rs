//! Sets as they lie on disk: where they are searched, and which of their files are there.
//!
//! A set is a folder `<root>/<set>/` of IDX files, each plain or with `.gz` after its name. Roots are searched in
//! order and a set is read from one root only, the first that holds all its files: halves of two copies are never
//! mixed, because they need not belong together.

use crate::descriptor::{Catalogue, Descriptor, Half, Holds};
use crate::error::DataError;
use crate::idx::sibling;
use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variable that names a root.
pub const ROOT_VARIABLE: &str = "QBNN_DATA";

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

    /// The files of a set in the first root that has them all, in the order of its descriptor.
    ///
    /// # Errors
    /// [`DataError::MissingSet`], which says where was searched and what is missing there.
    pub fn find(&self, set: &Descriptor) -> Result<Vec<PathBuf>, DataError> {
        let places = self.places(set);
        if let Some(place) = places.iter().find(|p| p.is_complete()) {
            return Ok(place.files.iter().filter_map(|f| f.path.clone()).collect());
        }
        let looked: Vec<_> = places.iter().map(SetLocation::describe).collect();
        let looked = if looked.is_empty() { "no folder was given".into() } else { looked.join("; ") };
        Err(DataError::MissingSet { set: set.name.clone(), looked, how: set.how_to_get() })
    }

    /// The file of a set that holds this of this half.
    ///
    /// # Errors
    /// As [`Locations::find`]; a set that has no such file.
    pub(crate) fn file(&self, set: &Descriptor, half: Half, holds: Holds) -> Result<PathBuf, DataError> {
        let paths = self.find(set)?;
        let found = set.files().iter().zip(paths).find(|(f, _)| (f.half, f.holds) == (half, holds));
        found.map(|(_, path)| path).ok_or_else(|| DataError::MissingSet {
            set: set.name.clone(),
            looked: format!("the set has no file of {half:?} {holds:?}").to_lowercase(),
            how: "name another set".into(),
        })
    }

    fn places(&self, set: &Descriptor) -> Vec<SetLocation> {
        let place = |(origin, root): &(Origin, PathBuf)| {
            let folder = root.join(&set.name);
            let files = set.files().iter().map(|file| FileReport::look(&folder, &file.name)).collect();
            SetLocation { origin: *origin, folder, files }
        };
        self.roots.iter().map(place).collect()
    }
}

/// One file of a set in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its name without `.gz`.
    pub name: String,
    /// Where it lies (plain before `.gz`), or `None`.
    pub path: Option<PathBuf>,
    /// Its size on disk in bytes, 0 if it is missing.
    pub bytes: u64,
}

impl FileReport {
    pub(crate) fn look(folder: &Path, name: &str) -> Self {
        let name = name.to_owned();
        let plain = folder.join(&name);
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
    /// Its files, in the order of its descriptor.
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
        let missing: Vec<_> = self.files.iter().filter(|f| f.path.is_none()).map(|f| f.name.as_str()).collect();
        let what = if missing.len() == self.files.len() {
            "nothing there".to_string()
        } else {
            format!("missing {}", missing.join(", "))
        };
        format!("{} [{}]: {what}", self.folder.display(), self.origin)
    }
}

/// A set in all places.
#[derive(Debug, Clone, PartialEq)]
pub struct SetReport {
    /// The set.
    pub set: &'static Descriptor,
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

/// What is where, for every built-in set that has files; looks at names and sizes only.
///
/// # Errors
/// [`DataError::Descriptor`].
pub fn list(locations: &Locations) -> Result<Vec<SetReport>, DataError> {
    let sets = Catalogue::built_in()?.sets();
    Ok(sets.map(|(set, _)| SetReport { set, places: locations.places(set) }).collect())
}
