//! From the data room's images to what networks read, and to what the evaluation reads.
//!
//! Data stores an image pixel by pixel, a network reads it channel by channel: with one channel the bytes are the same
//! and are borrowed.

use anyhow::Result;
use qbnn_bnn::TrainSettings;
use qbnn_bnn::nn::Shape;
use qbnn_bnn::sets::{Images, Normalisation, TrainData};
use qbnn_data::Dataset;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Made-up foreign images that a training goes through again and again.
const FOREIGN: usize = 20_000;

/// A dataset as networks read it.
pub struct Prepared<'a> {
    /// Where it comes from.
    pub dataset: &'a Dataset,
    train: Planes<'a>,
    foreign: OnceCell<Vec<u8>>,
    fingerprints: OnceCell<BTreeMap<String, String>>,
    validation: Planes<'a>,
    /// Test images of each kind.
    pub clean: Planes<'a>,
    /// Where the dataset has them.
    pub ambiguous: Option<Planes<'a>>,
    /// Foreign images.
    pub ood: Planes<'a>,
}

/// Images, channel by channel.
pub struct Planes<'a> {
    shape: Shape,
    pixels: Cow<'a, [u8]>,
}

impl<'a> Planes<'a> {
    /// Of images as data stores them.
    pub fn new(images: &'a qbnn_data::Images) -> Self {
        let &qbnn_data::Images { height, width, channels, ref pixels } = images;
        let shape = Shape { channels, rows: height, columns: width };
        let pixels = if channels == 1 {
            Cow::Borrowed(pixels.as_slice())
        } else {
            let plane = height * width;
            let value = |image: &'a [u8], i: usize| image[(i % plane) * channels + i / plane];
            let images = pixels.chunks_exact(images.size());
            Cow::Owned(images.flat_map(|image| (0..image.len()).map(move |i| value(image, i))).collect())
        };
        Planes { shape, pixels }
    }

    /// Borrowed, for the network.
    pub fn images(&self) -> Images<'_> {
        Images { shape: self.shape, pixels: &self.pixels }
    }
}

impl<'a> Prepared<'a> {
    /// Prepares every group.
    pub fn new(dataset: &'a Dataset) -> Self {
        Prepared {
            dataset,
            train: Planes::new(&dataset.train.images),
            foreign: OnceCell::new(),
            fingerprints: OnceCell::new(),
            validation: Planes::new(&dataset.validation.images),
            clean: Planes::new(&dataset.clean.images),
            ambiguous: dataset.ambiguous.as_ref().map(|g| Planes::new(&g.images)),
            ood: Planes::new(&dataset.ood.images),
        }
    }

    /// Shape of one image.
    pub fn shape(&self) -> Shape {
        self.train.shape
    }

    /// The images that are learned from.
    pub fn train_images(&self) -> Images<'_> {
        self.train.images()
    }

    /// How pixels become inputs.
    pub fn normalisation(&self) -> Normalisation {
        Normalisation { mean: self.dataset.pixel_mean, std: self.dataset.pixel_std }
    }

    /// What is learned from. Foreign images are made up where the settings want some, by the network's seed;
    /// they are made once, since what is trained on one preparation has one seed.
    pub fn train_data(&self, settings: &TrainSettings, seed: u64) -> TrainData<'_> {
        let make = || {
            let made = qbnn_data::foreign::made_of(&self.dataset.train.images, FOREIGN, seed);
            Planes::new(&made).pixels.into_owned()
        };
        let wanted = settings.foreign_weight > 0.0;
        TrainData {
            images: self.train.images(),
            pairs: &self.dataset.train.pairs,
            soft_labels: self.dataset.train.soft_labels.as_deref(),
            foreign: wanted.then(|| Images { shape: self.train.shape, pixels: self.foreign.get_or_init(make) }),
            noise: self.dataset.train_noise,
            validation: self.validation.images(),
            validation_labels: &self.dataset.validation.labels,
        }
    }

    /// SHA-256 of each part of the data: images with their labels. Soft labels are left out: they are computed in floating
    /// point, and their last bits may differ between machines.
    pub fn fingerprints(&self) -> &BTreeMap<String, String> {
        self.fingerprints.get_or_init(|| {
            let d = self.dataset;
            let pairs = d.train.pairs.iter().flat_map(|(image, label)| [&image.to_le_bytes()[..], &[*label]].concat());
            let noise = d.train_noise.to_le_bytes().to_vec();
            let training = [pairs.collect(), noise];
            let of = |planes: &Planes<'_>, more: &[Vec<u8>]| {
                let mut sha = Sha256::new();
                sha.update(planes.shape.to_string());
                sha.update(&planes.pixels);
                more.iter().for_each(|bytes| sha.update(bytes));
                sha.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>()
            };
            let mut all = BTreeMap::from([
                ("training".to_owned(), of(&self.train, &training)),
                ("validation".to_owned(), of(&self.validation, std::slice::from_ref(&d.validation.labels))),
                ("clean".to_owned(), of(&self.clean, std::slice::from_ref(&d.clean.labels))),
                ("ood".to_owned(), of(&self.ood, &[])),
            ]);
            if let Some(planes) = &self.ambiguous {
                all.insert("ambiguous".to_owned(), of(planes, &[]));
            }
            all
        })
    }

    /// Checks that a checkpoint reads images and gives classes like these.
    pub fn check(&self, path: &std::path::Path, input: Shape, classes: usize) -> Result<()> {
        let shape = self.shape();
        if input == shape && classes == self.dataset.classes {
            return Ok(());
        }
        anyhow::bail!(
            "{}: the network reads {input} images of {classes} classes, {} has {shape} images of {}; name the data it \
             was trained on with --data",
            path.display(),
            self.dataset.name,
            self.dataset.classes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_planes() {
        let images = qbnn_data::Images { height: 1, width: 2, channels: 3, pixels: vec![1, 2, 3, 4, 5, 6] };
        let planes = Planes::new(&images);
        assert_eq!(planes.images().pixels, [1, 4, 2, 5, 3, 6]);
    }
}
