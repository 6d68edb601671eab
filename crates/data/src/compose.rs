//! Datasets: sets put together to what a trainer and an evaluator need, as plain data.
//!
//! A [`Dataset`] has training pairs, a validation group, and up to three groups for tests: clean (one right label),
//! ambiguous (several) and out of distribution (none, "ood"). The compositions are those of the literature: Dirty-MNIST is MNIST
//! and Ambiguous-MNIST in equal parts, every ambiguous image ten times with its ten drawn labels, and Fashion-MNIST as
//! the OOD group. Pixels stay 8-bit: normalisation and noise are numbers here, applied by the trainer.

use crate::error::DataError;
use crate::set::{self, CLASSES, DRAWN, Half, Locations, Set};
use crate::strokes;

use crate::random::Random;
use qbnn_core::{ImagesView, Shape};

/// The last this many training images of MNIST (or Fashion-MNIST) are the validation group and are never trained on.
pub const VALIDATION: usize = 5_000;

/// Standard deviation of the noise added once to each training input after normalisation, as Dirty-MNIST is used.
pub const TRAIN_NOISE: f32 = 0.05;

/// Names that [`load`] takes.
pub const DATASETS: [&str; 5] = ["dirty-mnist", "dirty-fashion", "mnist", "fashion-mnist", "strokes"];

/// 8-bit images, row-major, one after the other; within an image height x width x channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Rows of an image, at least 1.
    pub height: usize,
    /// Columns of an image, at least 1.
    pub width: usize,
    /// Values per pixel; 1 is grey.
    pub channels: usize,
    /// All values; 0 is the background, 255 full ink.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Values of one image: height x width x channels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Shape of one image.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape { channels: self.channels, rows: self.height, columns: self.width }
    }

    /// All images, borrowed.
    #[must_use]
    pub fn view(&self) -> ImagesView<'_> {
        ImagesView { shape: self.shape(), pixels: &self.pixels }
    }

    /// Number of whole images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pixels.len().checked_div(self.size()).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of image `i`, counted from 0, or `None` beyond the last.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let size = self.size();
        self.pixels.get(i.checked_mul(size)?..i.checked_add(1)?.checked_mul(size)?)
    }

    /// The images at these places, in this order; places beyond the last are left out.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(places.len().saturating_mul(self.size()));
        places.iter().filter_map(|&i| self.get(i)).for_each(|image| pixels.extend_from_slice(image));
        Self { pixels, ..*self }
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self { pixels: self.pixels.split_off(at * self.size()), ..*self }
    }

    fn describe(&self) -> String {
        format!("{} x {} x {}", self.height, self.width, self.channels)
    }
}

/// What is trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSet {
    /// The distinct images.
    pub images: Images,
    /// (place of the image, label); one image may appear with several labels.
    pub pairs: Vec<(u32, u8)>,
    /// Images x classes probabilities, row-major: 1 for the label of an image that has one, the law from which its labels
    /// were drawn for one that has several. `None` where there are none of the latter.
    pub soft_labels: Option<Vec<f32>>,
}

/// Images with one right label each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// N images.
    pub images: Images,
    /// N labels, each below the number of classes.
    pub labels: Vec<u8>,
}

/// Images of one kind, with whatever is known about their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// N images.
    pub images: Images,
    /// One label per image, where there is one: of an ambiguous image the first of its drawn labels. `None` for
    /// OOD images, to which none of the dataset's classes belongs.
    pub labels: Option<Vec<u8>>,
    /// N x classes probabilities, row-major, where known; each row sums to 1.
    pub soft_labels: Option<Vec<f32>>,
}

/// Everything one experiment needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// One of [`DATASETS`].
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// Trained on.
    pub train: TrainSet,
    /// For choices during training; none of it is in `train`, and it is unambiguous.
    pub validation: Labelled,
    /// Test images with one right label.
    pub clean: Labelled,
    /// Test images with several right labels, where the dataset has them.
    pub ambiguous: Option<Group>,
    /// Test images of another distribution.
    pub ood: Group,
    /// Standard deviation of the Gaussian noise added once to each training input after normalisation, in normalised
    /// units; 0 for none.
    pub train_noise: f32,
    /// Mean of the pixels, in units of x/255: an input is (x/255 - mean) / std.
    pub pixel_mean: f32,
    /// Standard deviation of the pixels, in units of x/255.
    pub pixel_std: f32,
    /// One line to show beside every figure got from this dataset, where there is something to say.
    pub note: Option<String>,
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

const NOTE: &str = "results on Ambiguous-MNIST depend on which files lie there: the published set (ddu_dirty_mnist, \
                    data-v1.0.0) or a reconstruction; say which beside every figure";

/// Puts a dataset together. `seed` draws the training pairs kept under [`Limits::train_limit`], and is the seed of
/// `strokes`, which needs no file.
///
/// # Errors
/// [`DataError::UnknownName`], [`DataError::Limit`] for a limit of 0, [`DataError::MissingSet`],
/// [`DataError::ImageSize`], [`DataError::TooFew`], and those of reading the files.
pub fn load(name: &str, locations: &Locations, seed: u64, limits: Limits) -> Result<Dataset, DataError> {
    for (key, limit) in [("train_limit", limits.train_limit), ("group_limit", limits.group_limit)] {
        if limit == Some(0) {
            return Err(DataError::Limit { key, found: 0, wanted: "at least 1" });
        }
    }
    let mut dataset = match name {
        "dirty-mnist" => {
            let mut dataset = plain(name, Set::Mnist, Set::FashionMnist, locations)?;
            add_ambiguous(&mut dataset, locations)?;
            Dataset { train_noise: TRAIN_NOISE, note: Some(NOTE.into()), ..dataset }
        }
        "dirty-fashion" => {
            Dataset { train_noise: TRAIN_NOISE, ..plain(name, Set::FashionMnist, Set::Mnist, locations)? }
        }
        "mnist" => plain(name, Set::Mnist, Set::FashionMnist, locations)?,
        "fashion-mnist" => plain(name, Set::FashionMnist, Set::Mnist, locations)?,
        "strokes" => strokes::dataset(seed, &strokes::Sizes::default())?,
        _ => return Err(set::unknown_name(name, &DATASETS)),
    };
    limit_train(&mut dataset.train, limits.train_limit, seed);
    if let Some(limit) = limits.group_limit {
        limit_labelled(&mut dataset.validation, limit);
        limit_labelled(&mut dataset.clean, limit);
        dataset.ambiguous.iter_mut().for_each(|g| limit_group(g, limit, dataset.classes));
        limit_group(&mut dataset.ood, limit, dataset.classes);
    }
    Ok(dataset)
}

fn plain(name: &str, set: Set, foreign: Set, locations: &Locations) -> Result<Dataset, DataError> {
    // Both are looked for before anything large is read.
    locations.find(set)?;
    locations.find(foreign)?;
    let Labelled { mut images, mut labels } = set::load_labelled(set, Half::Train, locations)?;
    if images.len() <= VALIDATION {
        return Err(DataError::TooFew { set: set.name(), found: images.len(), wanted: VALIDATION });
    }
    let kept = images.len() - VALIDATION;
    let validation = Labelled { images: images.split_off(kept), labels: labels.split_off(kept) };
    let clean = set::load_labelled(set, Half::Test, locations)?;
    same_size(set, &images, set, &clean.images)?;
    let ood = set::load_images(foreign, Half::Test, locations)?;
    same_size(set, &images, foreign, &ood)?;
    let (pixel_mean, pixel_std) = match set {
        Set::FashionMnist => (0.2860, 0.3530),
        Set::Mnist | Set::AmbiguousMnist => (0.1307, 0.3081),
    };
    Ok(Dataset {
        name: name.into(),
        classes: CLASSES,
        // An IDX size is 32-bit, so every place fits.
        train: TrainSet { pairs: (0..).zip(labels).collect(), images, soft_labels: None },
        validation,
        clean,
        ambiguous: None,
        ood: Group { images: ood, labels: None, soft_labels: None },
        train_noise: 0.0,
        pixel_mean,
        pixel_std,
        note: None,
    })
}

fn add_ambiguous(dataset: &mut Dataset, locations: &Locations) -> Result<(), DataError> {
    let train = set::load_ambiguous(Half::Train, locations)?;
    same_size(Set::Mnist, &dataset.train.images, Set::AmbiguousMnist, &train.images)?;
    let test = set::load_ambiguous(Half::Test, locations)?;
    same_size(Set::Mnist, &dataset.train.images, Set::AmbiguousMnist, &test.images)?;
    append_drawn(&mut dataset.train, &train.images, &train.drawn, &train.soft_labels);
    dataset.ambiguous = Some(Group {
        labels: Some(first_drawn(&test.drawn)),
        images: test.images,
        soft_labels: Some(test.soft_labels),
    });
    Ok(())
}

/// Appends images, each with its [`DRAWN`] labels as as many pairs, and with its soft label; what was there before has
/// one label an image, in order.
pub(crate) fn append_drawn(train: &mut TrainSet, images: &Images, drawn: &[u8], soft_labels: &[f32]) {
    let mut all = vec![0.0; train.images.len() * CLASSES];
    train.pairs.iter().for_each(|&(image, label)| all[image as usize * CLASSES + usize::from(label)] = 1.0);
    all.extend_from_slice(soft_labels);
    train.soft_labels = Some(all);
    let places = (train.images.len() as u32..).flat_map(|i| [i; DRAWN]);
    train.pairs.extend(places.zip(drawn.iter().copied()));
    train.images.pixels.extend_from_slice(&images.pixels);
}

/// The first of the drawn labels of each image.
pub(crate) fn first_drawn(drawn: &[u8]) -> Vec<u8> {
    drawn.iter().copied().step_by(DRAWN).collect()
}

fn same_size(first: Set, a: &Images, second: Set, b: &Images) -> Result<(), DataError> {
    if (a.height, a.width, a.channels) == (b.height, b.width, b.channels) {
        return Ok(());
    }
    Err(DataError::ImageSize {
        first: first.name(),
        first_size: a.describe(),
        second: second.name(),
        second_size: b.describe(),
    })
}

fn limit_train(train: &mut TrainSet, limit: Option<usize>, seed: u64) {
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
        *soft = kept.iter().flat_map(|&i| soft[i * CLASSES..][..CLASSES].to_vec()).collect();
    }
}

fn spaced(len: usize, limit: usize) -> Option<Vec<usize>> {
    (limit < len).then(|| (0..limit).map(|i| (i as u128 * len as u128 / limit as u128) as usize).collect())
}

fn limit_labelled(group: &mut Labelled, limit: usize) {
    if let Some(places) = spaced(group.images.len(), limit) {
        group.images = group.images.select(&places);
        group.labels = places.iter().map(|&i| group.labels[i]).collect();
    }
}

fn limit_group(group: &mut Group, limit: usize, classes: usize) {
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
