//! A user's own data: images with labels, read from what people have, and put together to a [`Dataset`].
//!
//! [`open`] reads whatever lies at a path, by the reader of its [`Kind`] ([`pictures`](fn@pictures), [`npz`](fn@npz),
//! [`pair`], [`csv`](fn@csv), [`cifar`](fn@cifar)). It gives [`Own`]: training images, and validation and test images where
//! the source has them. [`group`] reads a test group. [`Own::dataset`] divides the training images where it has not, computes the pixel statistics, and checks the whole.

mod cifar;
mod csv;
pub mod export;
mod idx;
pub(crate) mod npz;
mod open;
mod pictures;

pub use cifar::cifar;
pub use csv::csv;
pub use idx::pair;
pub use npz::{Arrays, labels, npz};
pub use open::{Kind, Options, count, group, is_drawn, open};
pub use pictures::{Size, pictures};

use crate::dataset::{Dataset, Labelled, PixelStatistics, TestGroup, TrainSet};
use crate::error::DataError;
use crate::images::Images;
use crate::random::Random;
use std::collections::HashSet;

/// The stream of random numbers that divides images.
const STREAM: u64 = 0x0073_706c_6974;

/// One image in so many of a class is for validation, and one for tests, where the source does not say which.
const PART: usize = 10;

/// Images with labels, as a reader found them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The name of the dataset.
    pub name: String,
    /// Name of each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// Trained on; divided where one of the others is missing.
    pub train: Labelled,
    /// For choices during training.
    pub validation: Option<Labelled>,
    /// The clean test group.
    pub test: Option<Labelled>,
}

impl Own {
    /// The dataset, with one clean test group called `clean`. `seed` divides the training images where there are none for
    /// validation or for tests: of every class one in ten, at least one.
    ///
    /// # Errors
    /// [`DataError::Class`] for a class with too few images to be divided, or none to learn from; those of
    /// [`Dataset::check`].
    pub fn dataset(mut self, seed: u64) -> Result<Dataset, DataError> {
        let classes = self.class_names.len();
        let mut random = Random::new(seed, STREAM);
        for part in [&mut self.validation, &mut self.test] {
            if part.is_none() {
                *part = Some(divide(&mut self.train, &self.class_names, &mut random)?);
            }
        }
        let mut counts = vec![0usize; classes];
        for &label in &self.train.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        if let Some(class) = counts.iter().position(|&n| n == 0) {
            let name = self.class_names[class].clone();
            return Err(DataError::Class { name, found: 0, wanted: 1 });
        }
        let none = || Labelled { images: self.train.images.select(&[]), labels: Vec::new() };
        let (validation, test) = (self.validation.unwrap_or_else(none), self.test.unwrap_or_else(none));
        let pixels = statistics(&self.train.images);
        let dataset = Dataset {
            name: self.name,
            class_names: self.class_names,
            train: TrainSet::of(self.train),
            validation,
            groups: vec![TestGroup::clean("clean", test)],
            train_noise: 0.0,
            pixels,
            note: None,
            left_out: Vec::new(),
        };
        dataset.check()?;
        Ok(dataset)
    }
}

/// Takes one image in [`PART`] of every class away, at least one, chosen at random; their order is kept.
fn divide(from: &mut Labelled, names: &[String], random: &mut Random) -> Result<Labelled, DataError> {
    let mut taken = vec![false; from.labels.len()];
    for (class, name) in names.iter().enumerate() {
        let mut own: Vec<usize> = (0..from.labels.len()).filter(|&i| usize::from(from.labels[i]) == class).collect();
        if own.len() < 2 {
            return Err(DataError::Class { name: name.clone(), found: own.len(), wanted: 3 });
        }
        for i in 0..(own.len() / PART).max(1) {
            let other = i + random.below((own.len() - i) as u64) as usize;
            own.swap(i, other);
            taken[own[i]] = true;
        }
    }
    let part = |wanted: bool| {
        let places: Vec<usize> = (0..taken.len()).filter(|&i| taken[i] == wanted).collect();
        let labels = places.iter().map(|&i| from.labels[i]).collect();
        Labelled { images: from.images.select(&places), labels }
    };
    let (away, rest) = (part(true), part(false));
    *from = rest;
    Ok(away)
}

/// Mean and standard deviation of all values, in units of x/255; a standard deviation of 1 where all are the same.
fn statistics(images: &Images) -> PixelStatistics {
    let n = images.pixels.len().max(1) as f64;
    // Exact: at most 2^30 values of at most 255^2.
    let sum: u64 = images.pixels.iter().map(|&p| u64::from(p)).sum();
    let squares: u64 = images.pixels.iter().map(|&p| u64::from(p) * u64::from(p)).sum();
    let mean = sum as f64 / n / 255.0;
    let variance = squares as f64 / n / (255.0 * 255.0) - mean * mean;
    let std = if variance > 1e-9 { variance.sqrt() } else { 1.0 };
    PixelStatistics { mean: mean as f32, std: std as f32 }
}

/// Test images that are trained on too, byte for byte, over all test groups: figures on them say nothing of new images.
#[must_use]
pub fn leaked(dataset: &Dataset) -> usize {
    leaked_by_group(dataset).into_iter().sum()
}

/// The same for each test group, in their order.
#[must_use]
pub fn leaked_by_group(dataset: &Dataset) -> Vec<usize> {
    let train = &dataset.train.images;
    let known: HashSet<&[u8]> = (0..train.len()).filter_map(|i| train.get(i)).collect();
    let of = |images: &Images| (0..images.len()).filter_map(|i| images.get(i)).filter(|i| known.contains(i)).count();
    dataset.groups.iter().map(|group| of(&group.images)).collect()
}

/// Names of classes in order: of their numbers where all are numbers, else of their letters.
fn ordered(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    if let Some(numbers) = names.iter().map(|name| name.parse::<i64>().ok()).collect::<Option<Vec<_>>>() {
        let mut numbered: Vec<_> = numbers.into_iter().zip(names).collect();
        numbered.sort();
        names = numbered.into_iter().map(|(_, name)| name).collect();
    }
    names
}
