//! A dataset: what is trained on, what validates, and any number of named test groups, as plain data.
//!
//! Built-in sets ([`fn@crate::load`]), and whatever a program puts together by itself, are this one type. Pixels stay
//! 8-bit: normalisation and noise are numbers here, applied by the trainer.

use crate::descriptor::Catalogue;
use crate::error::DataError;
use crate::images::Images;
use crate::random::Random;
use crate::shift::Shifted;
use qbnn_core::Shape;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The fewest and the most classes of a dataset.
pub const CLASSES: std::ops::RangeInclusive<usize> = 2..=1000;

/// The longest name of a test group, in bytes.
const LONGEST_NAME: usize = 64;

/// What the images of a test group have in common, and so what can be measured on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Of the training distribution, with one right label each.
    Clean,
    /// Of the training distribution, with several right labels each.
    Ambiguous,
    /// Of another distribution: no label is right.
    Ood,
    /// Of the training distribution but for a change (noise, rotation, …), with one right label each.
    Shifted,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Clean, Self::Ambiguous, Self::Ood, Self::Shifted];

    /// `clean`, `ambiguous`, `ood` or `shifted`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Ambiguous => "ambiguous",
            Self::Ood => "ood",
            Self::Shifted => "shifted",
        }
    }

    /// Whether each image has one right label.
    #[must_use]
    pub fn is_labelled(self) -> bool {
        matches!(self, Self::Clean | Self::Shifted)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Mean and standard deviation of the training pixels in units of x/255: an input is (x/255 - mean) / std. One pair for
/// all channels together: networks and model files hold one, so statistics of each channel are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelStatistics {
    /// Mean of all values of all training images.
    pub mean: f32,
    /// Their standard deviation, above 0.
    pub std: f32,
}

/// What is trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSet {
    /// The distinct images.
    pub images: Images,
    /// (place of the image, label); one image may appear with several labels.
    pub pairs: Vec<(u32, u16)>,
    /// Images x classes probabilities, row-major: 1 for the label of an image that has one, the law from which its labels
    /// were drawn for one that has several. `None` where there are none of the latter.
    pub soft_labels: Option<Vec<f32>>,
}

impl TrainSet {
    /// Images with one label each.
    #[must_use]
    pub fn of(labelled: Labelled) -> Self {
        // No set has 2^32 images: an IDX size is 32-bit, and a drawn group holds a million.
        Self { pairs: (0..).zip(labelled.labels).collect(), images: labelled.images, soft_labels: None }
    }

    /// Appends images, each with its drawn labels as as many pairs, and with its soft label; what was there before has one
    /// label an image.
    pub(crate) fn append(&mut self, more: &Ambiguous, classes: usize) {
        let mut soft = self.soft_labels.take().unwrap_or_else(|| {
            let mut certain = vec![0.0; self.images.len() * classes];
            self.pairs.iter().for_each(|&(i, label)| certain[i as usize * classes + usize::from(label)] = 1.0);
            certain
        });
        soft.extend_from_slice(&more.soft_labels);
        self.soft_labels = Some(soft);
        let places = (self.images.len() as u32..).flat_map(|i| std::iter::repeat_n(i, more.drawn));
        self.pairs.extend(places.zip(more.labels.iter().copied()));
        self.images.pixels.extend_from_slice(&more.images.pixels);
    }
}

/// Images with one right label each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// N images.
    pub images: Images,
    /// N labels, each below the number of classes.
    pub labels: Vec<u16>,
}

/// Images with several right labels each.
#[derive(Debug, Clone, PartialEq)]
pub struct Ambiguous {
    /// The N images.
    pub images: Images,
    /// Labels drawn per image, at least 1.
    pub drawn: usize,
    /// N x `drawn` labels drawn from the soft labels, row-major.
    pub labels: Vec<u16>,
    /// N x classes probabilities, each row summing to 1.
    pub soft_labels: Vec<f32>,
}

/// Test images of one kind, with whatever is known about their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct TestGroup {
    /// Its name, which no other group of the dataset has: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What its images have in common.
    pub role: Role,
    /// N images, of the shape of the training images.
    pub images: Images,
    /// One label per image, where there is one: of an ambiguous image the first of its drawn labels. `None` for
    /// OOD images, to which none of the dataset's classes belongs.
    pub labels: Option<Vec<u16>>,
    /// N x classes probabilities, row-major, where known; each row sums to 1.
    pub soft_labels: Option<Vec<f32>>,
    /// Of a group that this program made of the clean one: by which change.
    pub shift: Option<Shifted>,
}

impl TestGroup {
    /// Images with one right label each, of the training distribution.
    #[must_use]
    pub fn clean(name: impl Into<String>, labelled: Labelled) -> Self {
        let Labelled { images, labels } = labelled;
        Self { name: name.into(), role: Role::Clean, images, labels: Some(labels), soft_labels: None, shift: None }
    }

    /// Changed images with one right label each.
    #[must_use]
    pub fn shifted(name: impl Into<String>, labelled: Labelled) -> Self {
        Self { role: Role::Shifted, ..Self::clean(name, labelled) }
    }

    /// At most so many images of a clean group, evenly spaced over it, changed: the same ones whatever the seed, and each
    /// as it is in the whole group. An image's change depends on its place there.
    #[must_use]
    pub fn made(name: impl Into<String>, shift: Shifted, clean: &TestGroup, at_most: usize) -> Self {
        let places = spaced(clean.images.len(), at_most).unwrap_or_else(|| (0..clean.images.len()).collect());
        let labels = clean.labels.as_deref().unwrap_or_default();
        let labels = places.iter().filter_map(|&i| labels.get(i).copied()).collect();
        let images = shift.of_places(&clean.images, &places);
        Self { shift: Some(shift), ..Self::shifted(name, Labelled { images, labels }) }
    }

    /// Images with several right labels each.
    #[must_use]
    pub fn ambiguous(name: impl Into<String>, ambiguous: Ambiguous) -> Self {
        let Ambiguous { images, drawn, labels, soft_labels } = ambiguous;
        let first = labels.into_iter().step_by(drawn.max(1)).collect();
        let (labels, soft_labels) = (Some(first), Some(soft_labels));
        Self { name: name.into(), role: Role::Ambiguous, images, labels, soft_labels, shift: None }
    }

    /// Images to which no class belongs.
    #[must_use]
    pub fn ood(name: impl Into<String>, images: Images) -> Self {
        Self { name: name.into(), role: Role::Ood, images, labels: None, soft_labels: None, shift: None }
    }

    /// Checks it against the dataset that it is a group of.
    fn check(&self, shape: Shape, classes: usize) -> Result<(), DataError> {
        let fail = |reason: String| Err(DataError::Group { name: self.name.clone(), reason });
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        if self.name.is_empty() || self.name.len() > LONGEST_NAME || !self.name.bytes().all(plain) {
            return fail(format!("has no usable name; take 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`"));
        }
        if self.images.is_empty() {
            return fail("holds no image; leave it out, or check its files".into());
        }
        if self.images.shape() != shape {
            return fail(format!(
                "has {} images, those of the training are {shape}; resize them (data.resize, data.channels)",
                self.images.shape()
            ));
        }
        let n = self.images.len();
        match &self.labels {
            Some(labels) if labels.len() != n => return fail(format!("has {} labels for {n} images", labels.len())),
            Some(labels) => {
                if let Some(label) = labels.iter().find(|l| usize::from(**l) >= classes) {
                    return fail(format!("has label {label}, wanted 0 to {}", classes - 1));
                }
            }
            None if self.role.is_labelled() => {
                return fail(format!("is {} and needs a label for each image", self.role));
            }
            None => {}
        }
        match &self.soft_labels {
            Some(soft) if soft.len() != n * classes => {
                fail(format!("has {} soft labels, wanted {n} images x {classes} classes", soft.len()))
            }
            _ => Ok(()),
        }
    }
}

/// Everything one experiment needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its name: of a built-in one, what [`fn@crate::load`] was asked for.
    pub name: String,
    /// Name of each class, in the order of the labels: [`CLASSES`] of them.
    pub class_names: Vec<String>,
    /// Trained on.
    pub train: TrainSet,
    /// For choices during training; none of it is in `train`, and it is unambiguous.
    pub validation: Labelled,
    /// Test groups, each by its own name, at least one of them clean. The first of a role is the one that the headline
    /// metrics are about.
    pub groups: Vec<TestGroup>,
    /// Standard deviation of the Gaussian noise added once to each training input after normalisation, in normalised
    /// units; 0 for none.
    pub train_noise: f32,
    /// How pixels become inputs.
    pub pixels: PixelStatistics,
    /// One line to show beside every figure got from this dataset, where there is something to say.
    pub note: Option<String>,
    /// Test groups that it would have, were their files there.
    pub left_out: Vec<LeftOut>,
}

/// An optional test group of a built-in dataset whose files are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The set whose files it needs.
    pub set: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, role, set } = self;
        let how =
            Catalogue::built_in().and_then(|all| all.set(set)).map_or_else(|e| e.to_string(), |s| s.0.how_to_get());
        write!(f, "the {role} group {name} is left out, its files are not there ({how})")
    }
}

impl Dataset {
    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// Shape of one image, the same in all parts.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.train.images.shape()
    }

    /// The test group of this name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&TestGroup> {
        self.groups.iter().find(|g| g.name == name)
    }

    /// The first test group of a role.
    #[must_use]
    pub fn first(&self, role: Role) -> Option<&TestGroup> {
        self.groups.iter().find(|g| g.role == role)
    }

    /// Adds a test group.
    ///
    /// # Errors
    /// [`DataError::Group`] for a name that is there already, images of another shape, labels that are missing, too many
    /// or out of range.
    pub fn add_group(&mut self, group: TestGroup) -> Result<(), DataError> {
        group.check(self.shape(), self.classes())?;
        if self.group(&group.name).is_some() {
            let reason = "is there already; give each group a name of its own".into();
            return Err(DataError::Group { name: group.name, reason });
        }
        self.groups.push(group);
        Ok(())
    }

    /// Checks that everything fits together.
    ///
    /// # Errors
    /// [`DataError::Limit`] for a number of classes that is none; [`DataError::Group`], for the training and the validation
    /// images too, by these names.
    pub fn check(&self) -> Result<(), DataError> {
        let classes = self.classes();
        if !CLASSES.contains(&classes) {
            return Err(DataError::Limit { key: "classes", found: classes, wanted: "2 to 1000" });
        }
        let validation = TestGroup::clean("validation", self.validation.clone());
        validation.check(self.shape(), classes)?;
        let fail = |name: &str, reason: &str| Err(DataError::Group { name: name.into(), reason: reason.into() });
        let images = self.train.images.len();
        if self.train.pairs.is_empty() || images == 0 {
            return fail("training", "holds no image; name a set that has some");
        }
        if self.train.pairs.iter().any(|&(i, label)| i as usize >= images || usize::from(label) >= classes) {
            return fail("training", "names an image or a class that is not there");
        }
        if self.train.soft_labels.as_ref().is_some_and(|soft| soft.len() != images * classes) {
            return fail("training", "has not one soft label per image and class");
        }
        for (i, group) in self.groups.iter().enumerate() {
            group.check(self.shape(), classes)?;
            if self.groups[..i].iter().any(|g| g.name == group.name) {
                return fail(&group.name, "is there twice; give each group a name of its own");
            }
        }
        if self.first(Role::Clean).is_none() {
            return fail("clean", "is missing: accuracy needs test images with one right label each");
        }
        Ok(())
    }

    /// Keeps no more than so many pairs and images; `seed` draws the pairs.
    ///
    /// # Errors
    /// [`DataError::Limit`] for a limit of 0.
    pub fn limit(&mut self, limits: Limits, seed: u64) -> Result<(), DataError> {
        limits.check()?;
        let classes = self.classes();
        limit_train(&mut self.train, limits.train_limit, classes, seed);
        let Some(limit) = limits.group_limit else { return Ok(()) };
        if let Some(places) = spaced(self.validation.images.len(), limit) {
            self.validation.images = self.validation.images.select(&places);
            self.validation.labels = places.iter().map(|&i| self.validation.labels[i]).collect();
        }
        self.groups.iter_mut().for_each(|group| limit_group(group, limit, classes));
        Ok(())
    }
}

/// Upper bounds for quick runs. `Default` is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// At most this many training pairs, drawn at random by the seed from all of them; their order is kept.
    pub train_limit: Option<usize>,
    /// At most this many images in the validation group and in each test group, evenly spaced over the whole group:
    /// the same ones whatever the seed.
    pub group_limit: Option<usize>,
}

impl Limits {
    /// # Errors
    /// [`DataError::Limit`] for a limit of 0.
    pub(crate) fn check(self) -> Result<(), DataError> {
        for (key, limit) in [("train_limit", self.train_limit), ("group_limit", self.group_limit)] {
            if limit == Some(0) {
                return Err(DataError::Limit { key, found: 0, wanted: "at least 1" });
            }
        }
        Ok(())
    }
}

fn limit_train(train: &mut TrainSet, limit: Option<usize>, classes: usize, seed: u64) {
    let Some(limit) = limit.filter(|&l| l < train.pairs.len()) else { return };
    // Selection sampling: each pair is kept with the chance (still wanted) / (still to come).
    let mut random = Random::new(seed, 0x7261_696e);
    let (total, mut wanted, mut seen) = (train.pairs.len(), limit, 0);
    train.pairs.retain(|_| {
        let keep = random.below((total - seen) as u64) < wanted as u64;
        seen += 1;
        wanted -= usize::from(keep);
        keep
    });
    // Images that no pair names any more are dropped.
    let mut place = vec![u32::MAX; train.images.len()];
    let mut kept = Vec::new();
    for (image, _) in &mut train.pairs {
        let new = &mut place[*image as usize];
        if *new == u32::MAX {
            *new = kept.len() as u32;
            kept.push(*image as usize);
        }
        *image = *new;
    }
    train.images = train.images.select(&kept);
    if let Some(soft) = &mut train.soft_labels {
        *soft = kept.iter().flat_map(|&i| soft[i * classes..][..classes].to_vec()).collect();
    }
}

fn spaced(len: usize, limit: usize) -> Option<Vec<usize>> {
    (limit < len).then(|| (0..limit).map(|i| (i as u128 * len as u128 / limit as u128) as usize).collect())
}

fn limit_group(group: &mut TestGroup, limit: usize, classes: usize) {
    if let Some(places) = spaced(group.images.len(), limit) {
        group.images = group.images.select(&places);
        if let Some(labels) = &mut group.labels {
            *labels = places.iter().map(|&i| labels[i]).collect();
        }
        if let Some(soft) = &mut group.soft_labels {
            *soft = places.iter().flat_map(|&i| soft[i * classes..][..classes].to_vec()).collect();
        }
    }
}
