//! What is known of a set without looking at its files: one descriptor each, a TOML file in `sets/`.
//!
//! A descriptor has a part `[set]` (files on disk: their names, checksums and mirrors, classes, pixel statistics), a part
//! `[dataset]` (what is trained on, which test groups there are), or both. This program reads names, wording, sizes and
//! statistics of the built-in sets from there and from nowhere else; `docs/adding-a-dataset.md` adds one.

use crate::dataset::{CLASSES, PixelStatistics, Role};
use crate::error::{DataError, one_line};
use serde::Deserialize;
use std::fmt;
use std::sync::LazyLock;

/// The text of every descriptor, by file name.
const TEXTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sets.rs"));

/// A set, or a dataset put together from sets, or both.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// Its name: of its folder, and on the command line.
    pub name: String,
    /// Its name in sentences.
    pub title: String,
    /// What it is, in a few words.
    pub about: String,
    /// Where it is published.
    pub source: Option<String>,
    /// Under which licence.
    pub licence: Option<String>,
    /// Its files, where it has some.
    pub set: Option<SetFiles>,
    /// How it is trained and tested on, where it is.
    pub dataset: Option<Composition>,
}

impl Descriptor {
    /// Its files; none for a dataset of other sets.
    #[must_use]
    pub fn files(&self) -> &[SetFile] {
        self.set.as_ref().map_or(&[], |set| &set.files)
    }

    /// How its files come to where they are searched: a clause.
    #[must_use]
    pub fn how_to_get(&self) -> String {
        let Self { name, source, set, .. } = self;
        match (set, source) {
            (Some(SetFiles { mirrors, files, .. }), Some(source)) if mirrors.is_empty() => {
                let files: Vec<_> = files.iter().map(|file| format!("{}.gz", file.name)).collect();
                format!("put {} of {source} into a folder {name} of those searched", files.join(", "))
            }
            _ => format!("`qbnn data fetch {name}`"),
        }
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Files of IDX values, and what they hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFiles {
    /// Rows, columns and channels of an image.
    pub shape: [usize; 3],
    /// Name of each class, in the order of the labels.
    pub classes: Vec<String>,
    /// Of the training images; needed where it is the first set of a dataset.
    pub pixels: Option<PixelStatistics>,
    /// Images of the training half.
    #[serde(default)]
    pub train: usize,
    /// Images of the test half.
    #[serde(default)]
    pub test: usize,
    /// Labels drawn per image, where an image has several.
    pub drawn: Option<usize>,
    /// Whether its files hold images column by column: they are read the other way round.
    #[serde(default)]
    pub transposed: bool,
    /// Why its files have no checksums, where they have none and are not made of [`Tensors`]: a remark beside every figure.
    pub unverified: Option<String>,
    /// Addresses of folders to download from, tried in order; none where the files are not to be had that way.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// What the mirrors have where it is not the files themselves with `.gz` after their names.
    pub tensors: Option<Tensors>,
    /// The files.
    #[serde(rename = "file")]
    pub files: Vec<SetFile>,
}

/// A file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFile {
    /// Its name without `.gz`.
    pub name: String,
    /// Which half it belongs to.
    pub half: Half,
    /// What it holds.
    pub holds: Holds,
    /// SHA-256 of its decompressed content, in hexadecimal.
    pub sha256: Option<String>,
}

/// Which half of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// The training half.
    Train,
    /// The test half.
    Test,
}

/// What a file of a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// N x rows x columns (x channels) bytes.
    Images,
    /// N bytes.
    Labels,
    /// N x drawn bytes.
    DrawnLabels,
    /// N x classes float32.
    Probabilities,
}

/// PyTorch tensors of both halves, from which the files are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensors {
    /// The images, as intensities in 0..=1.
    pub samples: Download,
    /// The drawn labels.
    pub labels: Download,
    /// The soft labels.
    pub probabilities: Download,
}

/// A file as mirrors have it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Its name.
    pub name: String,
    /// Its MD5 in hexadecimal, where one is published.
    pub md5: Option<String>,
}

/// A dataset put together from sets, or drawn by this program.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Composition {
    /// Its test groups in words, for model cards.
    pub groups: String,
    /// One line to show beside every figure, where there is something to say.
    pub note: Option<String>,
    /// Sets whose training halves are trained on: the first with one label an image, others with several.
    #[serde(default)]
    pub train: Vec<String>,
    /// So many images at the end of the first set's training half are for validation, and never trained on.
    #[serde(default)]
    pub validation: usize,
    /// Standard deviation of the noise added once to each training input after normalisation.
    #[serde(default)]
    pub train_noise: f32,
    /// Test groups, in order.
    #[serde(default)]
    pub test: Vec<TestDescriptor>,
    /// What draws it, in place of sets.
    pub drawn: Option<Drawn>,
}

/// A test group of a dataset: the test half of a set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestDescriptor {
    /// Its name; the role's where it is left out.
    name: Option<String>,
    /// Its role.
    pub role: Role,
    /// The set.
    pub set: String,
    /// Whether the dataset goes without it where its files are not there.
    #[serde(default)]
    pub optional: bool,
}

impl TestDescriptor {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.role.name())
    }
}

/// A dataset that is drawn from a seed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// By what.
    pub by: Generator,
    /// Rows, columns and channels of an image.
    pub shape: [usize; 3],
    /// Name of each class, in the order of the labels.
    pub classes: Vec<String>,
    /// Of the training images.
    pub pixels: PixelStatistics,
}

/// What draws images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    /// [`crate::strokes`].
    Strokes,
}

/// Descriptors that belong together: a dataset of one may name sets of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    descriptors: Vec<Descriptor>,
}

impl Catalogue {
    /// The sets that this program knows, in the order of their names.
    ///
    /// # Errors
    /// [`DataError::Descriptor`]; none that a release could have, since a test reads all of them.
    pub fn built_in() -> Result<&'static Self, DataError> {
        static ALL: LazyLock<Result<Catalogue, (String, String)>> = LazyLock::new(|| Catalogue::read(TEXTS));
        ALL.as_ref().map_err(|(file, reason)| DataError::Descriptor { file: file.clone(), reason: reason.clone() })
    }

    /// Reads descriptors: (file, text).
    ///
    /// # Errors
    /// [`DataError::Descriptor`] for a text that is none, a name that is there twice, and a dataset of sets that are not
    /// there or lack what it needs of them.
    pub fn parse(texts: &[(&str, &str)]) -> Result<Self, DataError> {
        Self::read(texts).map_err(|(file, reason)| DataError::Descriptor { file, reason })
    }

    fn read(texts: &[(&str, &str)]) -> Result<Self, (String, String)> {
        let mut all = Self { descriptors: Vec::new() };
        for (file, text) in texts {
            let fail = |reason: String| ((*file).to_owned(), reason);
            let descriptor: Descriptor = toml::from_str(text).map_err(|e| fail(one_line(&e)))?;
            if all.descriptors.iter().any(|d| d.name == descriptor.name) {
                return Err(fail(format!("another set is called {} too; rename one", descriptor.name)));
            }
            all.descriptors.push(descriptor);
        }
        for ((file, _), descriptor) in texts.iter().zip(&all.descriptors) {
            all.check(descriptor).map_err(|reason| ((*file).to_owned(), reason))?;
        }
        Ok(all)
    }

    /// All of them.
    #[must_use]
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    /// Those that have files.
    pub fn sets(&self) -> impl Iterator<Item = (&Descriptor, &SetFiles)> + Clone {
        self.descriptors.iter().filter_map(|d| Some((d, d.set.as_ref()?)))
    }

    /// Those that can be trained on.
    pub fn datasets(&self) -> impl Iterator<Item = (&Descriptor, &Composition)> + Clone {
        self.descriptors.iter().filter_map(|d| Some((d, d.dataset.as_ref()?)))
    }

    /// The set of this name, and its files.
    ///
    /// # Errors
    /// [`DataError::UnknownName`] with the nearest names of sets that have files.
    pub fn set(&self, name: &str) -> Result<(&Descriptor, &SetFiles), DataError> {
        self.sets().find(|s| s.0.name == name).ok_or_else(|| unknown_name(name, self.sets().map(|s| &s.0.name)))
    }

    /// The dataset of this name, and how it is put together.
    ///
    /// # Errors
    /// [`DataError::UnknownName`] with the nearest names of datasets.
    pub fn dataset(&self, name: &str) -> Result<(&Descriptor, &Composition), DataError> {
        let all = || self.datasets().map(|s| &s.0.name);
        self.datasets().find(|d| d.0.name == name).ok_or_else(|| unknown_name(name, all()))
    }

    fn check(&self, descriptor: &Descriptor) -> Result<(), String> {
        let classes = |classes: &[String]| match classes.len() {
            n if CLASSES.contains(&n) => Ok(()),
            n => Err(format!("classes has {n} names, wanted {} to {}", CLASSES.start(), CLASSES.end())),
        };
        if let Some(set) = &descriptor.set {
            classes(&set.classes)?;
        }
        let Some(dataset) = &descriptor.dataset else { return Ok(()) };
        if let Some(drawn) = &dataset.drawn {
            return classes(&drawn.classes);
        }
        let has = |name: &str, half: Half, holds: &[Holds]| {
            let set =
                self.sets().find(|s| s.0.name == name).ok_or_else(|| format!("no set with files is called {name}"))?;
            let missing = holds.iter().find(|&&h| !set.1.files.iter().any(|f| (f.half, f.holds) == (half, h)));
            missing.map_or(Ok(set.1), |what| Err(format!("{name} has no file of {half:?} {what:?}").to_lowercase()))
        };
        let several = [Holds::Images, Holds::DrawnLabels, Holds::Probabilities];
        let Some((first, more)) = dataset.train.split_first() else {
            return Err("dataset.train names no set; name one that has training images".into());
        };
        let first = has(first, Half::Train, &[Holds::Images, Holds::Labels])?;
        if first.pixels.is_none() || dataset.validation == 0 {
            return Err("training needs dataset.validation of at least 1, and pixels of the first set".into());
        }
        for name in more {
            has(name, Half::Train, &several)?;
        }
        for (i, test) in dataset.test.iter().enumerate() {
            match test.role {
                Role::Clean | Role::Shifted => has(&test.set, Half::Test, &[Holds::Images, Holds::Labels])?,
                Role::Ambiguous => has(&test.set, Half::Test, &several)?,
                Role::Ood => has(&test.set, Half::Test, &[Holds::Images])?,
            };
            if test.optional && !dataset.test[..i].iter().any(|t| t.role == test.role && !t.optional) {
                return Err(format!(
                    "the test group {} is optional and may be the first {} one; put one before it that is always there",
                    test.name(),
                    test.role
                ));
            }
            if dataset.test[..i].iter().any(|t| t.name() == test.name()) {
                return Err(format!("two test groups are called {}; give one another name", test.name()));
            }
        }
        if dataset.test.iter().any(|t| t.role == Role::Clean) {
            Ok(())
        } else {
            Err("dataset.test has no group with role = \"clean\"; accuracy needs one".into())
        }
    }
}

/// The error for a name that is not among those known.
fn unknown_name<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> DataError {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let mut near: Vec<_> =
        known.iter().map(|k| (strsim::jaro_winkler(&name.to_lowercase(), k), *k)).filter(|n| n.0 > 0.7).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<_> = near.iter().take(2).map(|n| format!("`{}`", n.1)).collect();
    let near = if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) };
    DataError::UnknownName { name: name.into(), near, known: known.join(", ") }
}
