//! A dataset as training and evaluation read it.

use crate::error::{Error, Result};
use crate::ood;
use qbnn_bnn::TrainSettings;
use qbnn_bnn::{Normalisation, TrainData};
use qbnn_core::{ImagesView, Shape};
use qbnn_data::{Dataset, Images, synthetic_ood};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Synthetic OOD images that a training goes through again and again.
const OOD_IMAGES: usize = 20_000;

/// A dataset as networks read it.
pub struct Prepared<'a> {
    /// Where it comes from.
    pub dataset: &'a Dataset,
    synthetic_ood: OnceCell<Images>,
    fingerprints: OnceCell<BTreeMap<String, String>>,
}

impl<'a> Prepared<'a> {
    /// Prepares a dataset.
    pub fn new(dataset: &'a Dataset) -> Self {
        Prepared { dataset, synthetic_ood: OnceCell::new(), fingerprints: OnceCell::new() }
    }

    /// Shape of one image.
    pub fn shape(&self) -> Shape {
        self.dataset.shape()
    }

    /// The images that are learned from.
    pub fn train_images(&self) -> ImagesView<'_> {
        self.dataset.train.images.view()
    }

    /// How pixels become inputs.
    pub fn normalisation(&self) -> Normalisation {
        Normalisation { mean: self.dataset.pixels.mean, std: self.dataset.pixels.std }
    }

    /// What is learned from. OOD images are made up where the settings want some, by the network's seed;
    /// they are made once, since what is trained on one preparation has one seed and one choice of kinds.
    ///
    /// # Errors
    /// [`Error::Setting`] of a kind of OOD images that is none, as a checkpoint of a later version may name.
    pub fn train_data(&self, settings: &TrainSettings, seed: u64) -> Result<TrainData<'_>> {
        let wanted = settings.ood_weight > 0.0;
        let kinds = if wanted { ood::kinds(settings)? } else { Vec::new() };
        let make = || synthetic_ood::from_images(&self.dataset.train.images, OOD_IMAGES, seed, &kinds);
        Ok(TrainData {
            images: self.train_images(),
            pairs: &self.dataset.train.pairs,
            soft_labels: self.dataset.train.soft_labels.as_deref(),
            ood: wanted.then(|| self.synthetic_ood.get_or_init(make).view()),
            noise: self.dataset.train_noise,
            validation: self.dataset.validation.images.view(),
            validation_labels: &self.dataset.validation.labels,
        })
    }

    /// SHA-256 of each part of the data, test groups by their names: images with the labels of those that have one right
    /// label. Soft labels are left out: they are computed in floating point, and their last bits may differ between machines.
    pub fn fingerprints(&self) -> &BTreeMap<String, String> {
        self.fingerprints.get_or_init(|| {
            let d = self.dataset;
            // One byte for a label where it has room, as checkpoints always had it.
            let width = if d.classes() <= 256 { 1 } else { 2 };
            let bytes = |label: u16| label.to_le_bytes().into_iter().take(width);
            let labels = |labels: &[u16]| labels.iter().flat_map(|&l| bytes(l)).collect::<Vec<u8>>();
            let pairs = d.train.pairs.iter().flat_map(|&(image, l)| image.to_le_bytes().into_iter().chain(bytes(l)));
            let noise = d.train_noise.to_le_bytes().to_vec();
            let training = [pairs.collect(), noise];
            let of = |images: ImagesView<'_>, more: &[Vec<u8>]| {
                let mut sha = Sha256::new();
                sha.update(images.shape.to_string());
                sha.update(images.pixels);
                more.iter().for_each(|bytes| sha.update(bytes));
                sha.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>()
            };
            let mut all = BTreeMap::from([
                ("training".to_owned(), of(self.train_images(), &training)),
                ("validation".to_owned(), of(d.validation.images.view(), &[labels(&d.validation.labels)])),
            ]);
            // A group that the program made follows from the clean one.
            for group in d.groups.iter().filter(|g| g.shift.is_none()) {
                let right = group.labels.as_deref().filter(|_| group.role.is_labelled());
                let right: Vec<_> = right.map(labels).into_iter().collect();
                all.insert(group.name.clone(), of(group.images.view(), &right));
            }
            all
        })
    }

    /// Checks that a checkpoint reads images and gives classes like these.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check(&self, path: &std::path::Path, input: Shape, classes: usize) -> Result<()> {
        let shape = self.shape();
        if input == shape && classes == self.dataset.classes() {
            return Ok(());
        }
        let (name, own) = (&self.dataset.name, self.dataset.classes());
        let problem = format!(
            "the network reads {input} images of {classes} classes, {name} has {shape} images of {own}; name the data it \
             was trained on with --data"
        );
        Err(Error::mismatch(path, problem))
    }
}
