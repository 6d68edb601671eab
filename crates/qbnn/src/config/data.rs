//! `[data]`: which data, how it is read, and which test groups it has besides its own.

use crate::error::{Error, Result};
use crate::recipe::DEFAULT_DATA;
use qbnn_data::own::{Arrays, Options, Size, is_drawn};
use qbnn_data::shift::Shifted;
use qbnn_data::{Catalogue, Role};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Which data, and how much of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A built-in dataset; of data at a path what it is called, by default as its file or folder.
    pub name: String,
    /// Data of one's own: a folder or a file. Stored as an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Rows and columns to which images of one's own are scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<[usize; 2]>,
    /// 1 reads images of one's own in grey, 3 in colour; without it they are read as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Rows, columns and channels of images that are stored as rows of values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// Seed by which images for validation and for tests are taken away where the data does not say which; apart from
    /// `seed`, so that runs of several seeds have the same test images. Of a built-in dataset with files the images for
    /// validation are drawn by it, which are the last of the training images otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<u64>,
    /// Test groups besides those of the data: `ROLE:NAME=PATH`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<TestSource>,
    /// A folder searched before `$QBNN_DATA` and the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Training pairs kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Images kept in the validation group and in each test group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_limit: Option<usize>,
    /// With `std`: how pixels become inputs, (pixel / 255 - mean) / std, in the place of the data's own statistics. What a
    /// posterior that is imported was trained with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f32>,
    /// With `mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<f32>,
    /// Names of the arrays of an `.npz` file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrays: Option<Arrays>,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            name: DEFAULT_DATA.into(),
            path: None,
            resize: None,
            channels: None,
            shape: None,
            split: None,
            test: Vec::new(),
            dir: None,
            train_limit: None,
            group_limit: None,
            mean: None,
            std: None,
            arrays: None,
        }
    }
}

/// Keys that belong to the data that they are written with: naming other data leaves them behind.
pub(super) const OF_DATA: [&str; 5] = ["name", "path", "shape", "test", "arrays"];

impl DataConfig {
    /// How data at a path is read.
    pub fn options(&self) -> Options {
        let size = Size {
            side: self.resize.map(|[rows, columns]| (rows, columns)),
            colour: self.channels.map(|channels| channels == 3),
        };
        Options { shape: self.shape, size, arrays: self.arrays.clone().unwrap_or_default() }
    }

    /// Gives every optional key a value.
    pub(super) fn fill(&mut self) {
        self.path = Some(PathBuf::new());
        self.resize = Some([1, 1]);
        self.channels = Some(1);
        self.shape = Some([1, 1, 1]);
        self.split = Some(1);
        self.mean = Some(0.5);
        self.std = Some(0.5);
        self.test = vec![TestSource { role: Role::Ood, name: "ood".into(), path: PathBuf::new() }];
        self.arrays = Some(Arrays::default());
    }

    /// Makes paths absolute, which are relative to the folder in which the command runs, and sees to the name.
    pub(super) fn resolve(&mut self, named: bool) -> Result<()> {
        for test in &mut self.test {
            if !test.is_built_in() {
                test.path = absolute(&test.path)?;
            }
        }
        let Some(path) = &self.path else { return Ok(()) };
        let path = absolute(path)?;
        if !named {
            let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
            let stem = stem.map_or_else(|| "data".to_owned(), |s| s.to_string_lossy().into_owned());
            self.name = if is_built_in(&stem) { format!("{stem}-own") } else { stem };
        }
        self.path = Some(path);
        Ok(())
    }

    /// Checks everything that can be told without data.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |key, found: String, wanted: &str| Err(Error::Setting { key, found, wanted: wanted.to_owned() });
        if self.path.is_some() && is_built_in(&self.name) {
            let wanted = "a built-in dataset is called so; give data at a path a name of its own";
            return wrong("data.name", self.name.clone(), wanted);
        }
        if let Some(size) = self.resize.filter(|size| size.iter().any(|side| !(1..=MOST_SIDE).contains(side))) {
            return wrong("data.resize", format!("{size:?}"), "wanted [rows, columns], each from 1 to 4096");
        }
        if let Some(channels) = self.channels.filter(|channels| ![1, 3].contains(channels)) {
            return wrong("data.channels", channels.to_string(), "wanted 1 (grey) or 3 (colour)");
        }
        match (self.mean, self.std) {
            (None, None) => {}
            (Some(mean), Some(std)) => {
                if !(0.0..=1.0).contains(&mean) {
                    return wrong(
                        "data.mean",
                        mean.to_string(),
                        "wanted a mean of pixels in units of 255, from 0 to 1",
                    );
                }
                if !(std > 0.0 && std.is_finite()) {
                    return wrong("data.std", std.to_string(), "wanted a number above 0, in units of 255");
                }
            }
            (mean, std) => {
                let found = format!("{}, data.std = {}", shown(mean), shown(std));
                return wrong("data.mean", found, "wanted both, as in --mean 0.1307 --std 0.3081");
            }
        }
        let sizes =
            |shape: &[usize; 3]| shape[..2].iter().all(|n| (1..=MOST_SIDE).contains(n)) && [1, 3].contains(&shape[2]);
        if let Some(shape) = self.shape.filter(|shape| !sizes(shape)) {
            return wrong("data.shape", format!("{shape:?}"), "wanted [rows, columns, channels], with 1 or 3 channels");
        }
        Ok(())
    }
}

fn shown(value: Option<f32>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// The longest side that images are scaled to.
const MOST_SIDE: usize = 4096;

/// Whether a built-in dataset has this name.
pub(super) fn is_built_in(name: &str) -> bool {
    Catalogue::built_in().is_ok_and(|all| all.dataset(name).is_ok())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("find", path))
}

/// A test group: `ROLE:NAME=PATH`, or `ROLE=PATH` for one that is called as its role. Groups of predictions of other
/// programs are called in the same way (`ood:near`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TestSource {
    /// What its images have in common.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// A built-in set by name, or `strokes`, which the program draws; of role shifted also a change of the clean images (`rotation@3`); or a folder or a file.
    /// Stored as an absolute path.
    pub path: PathBuf,
}

impl TestSource {
    /// Whether it is a built-in set, or made by the program.
    pub fn is_built_in(&self) -> bool {
        let set = |name: &str| Catalogue::built_in().is_ok_and(|all| all.set(name).is_ok());
        self.path.to_str().is_some_and(set) || is_drawn(&self.path) || self.shift().is_some()
    }

    /// The change by which the program makes this group of the clean one, as `rotation@3` for PATH.
    pub fn shift(&self) -> Option<Shifted> {
        self.path.to_str().filter(|_| self.role == Role::Shifted)?.parse().ok()
    }
}

impl std::str::FromStr for TestSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "wanted ROLE:NAME=PATH with role clean, ambiguous, ood or shifted, as in ood:near=PATH; found {text:?}"
            )
        };
        let (group, path) = text.split_once('=').ok_or_else(wrong)?;
        let (role, name) = group.split_once(':').unwrap_or((group, group));
        let role = Role::ALL.into_iter().find(|r| r.name() == role).ok_or_else(wrong)?;
        if name.is_empty() || path.is_empty() {
            return Err(wrong());
        }
        Ok(TestSource { role, name: name.to_owned(), path: path.into() })
    }
}

impl fmt::Display for TestSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", self.role, self.name, self.path.display())
    }
}

impl TryFrom<String> for TestSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TestSource> for String {
    fn from(test: TestSource) -> Self {
        test.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_group_is_role_name_and_path() {
        let parse = |text: &str| text.parse::<TestSource>();
        let test = parse("ood:near=a/b=c").unwrap();
        assert_eq!((test.role, test.name.as_str(), test.path.as_path()), (Role::Ood, "near", Path::new("a/b=c")));
        assert_eq!(test.to_string(), "ood:near=a/b=c");
        let test = parse("shifted=kmnist").unwrap();
        assert_eq!((test.name.as_str(), test.is_built_in()), ("shifted", true));
        let shift = |text: &str| parse(text).unwrap().shift().map(|s| s.to_string());
        assert_eq!(shift("shifted:turned=rotation@3"), Some("rotation@3".to_owned()));
        assert_eq!((shift("ood:turned=rotation@3"), shift("shifted:turned=rotation@9")), (None, None));
        for wrong in ["", "ood", "near=x", "ood:=x", "ood:near=", "near:ood=x"] {
            assert!(parse(wrong).unwrap_err().contains("ood:near=PATH"), "{wrong}");
        }
    }
}
