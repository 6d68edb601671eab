//! What training and prediction see of images: borrowed bytes and numbers, from wherever they come.

use crate::error::BnnError;
use crate::nn::Shape;
use qbnn_core::ImagesView;
use serde::{Deserialize, Serialize};

/// How an 8-bit pixel becomes an input: (pixel / 255 - mean) / std.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean, in units of a full pixel.
    pub mean: f32,
    /// Standard deviation, in units of a full pixel.
    pub std: f32,
}

impl Normalisation {
    /// The input of a pixel value.
    #[inline(always)]
    pub fn value(self, pixel: u8) -> f32 {
        (pixel as f32 * (1.0 / 255.0) - self.mean) * (1.0 / self.std)
    }
}

/// What a network learns from.
#[derive(Clone, Copy, Debug)]
pub struct TrainData<'a> {
    /// Training images.
    pub images: ImagesView<'a>,
    /// (image, label) pairs: an ambiguous image appears once with each of its labels.
    pub pairs: &'a [(u32, u16)],
    /// Probabilities of every label of each image, `[image][class]`, where they are known; only read where the settings
    /// ask for them.
    pub soft_labels: Option<&'a [f32]>,
    /// Images of no class, on which draws shall disagree; only read where the settings ask for that.
    pub ood: Option<ImagesView<'a>>,
    /// Standard deviation of the Gaussian noise that each pair's input carries, the same in every epoch (in units of
    /// the normalised input).
    pub noise: f32,
    /// Validation images.
    pub validation: ImagesView<'a>,
    /// Their labels.
    pub validation_labels: &'a [u16],
}

impl<'a> TrainData<'a> {
    /// Pairs alone: no noise, no soft labels, no OOD images.
    pub fn of_pairs(
        images: ImagesView<'a>,
        pairs: &'a [(u32, u16)],
        validation: ImagesView<'a>,
        validation_labels: &'a [u16],
    ) -> Self {
        TrainData { images, pairs, soft_labels: None, ood: None, noise: 0.0, validation, validation_labels }
    }

    /// Checks that everything fits together and to a network.
    ///
    /// # Errors
    /// [`BnnError::Data`] says what does not.
    pub fn check(&self, shape: Shape, classes: usize) -> Result<(), BnnError> {
        let fail = |message: String| Err(BnnError::Data(message));
        for images in [self.images, self.validation] {
            if images.shape != shape {
                return fail(format!("images are {}, the network reads {shape}", images.shape));
            }
        }
        if self.pairs.is_empty() {
            return fail("there are no training pairs; name a set that has some".into());
        }
        let images = self.images.len();
        if let Some(&(image, _)) = self.pairs.iter().find(|p| p.0 as usize >= images) {
            return fail(format!("a training pair names image {image} of {images}"));
        }
        let labels = self.pairs.iter().map(|p| p.1).chain(self.validation_labels.iter().copied());
        if let Some(label) = labels.into_iter().find(|&l| l as usize >= classes) {
            return fail(format!("label {label} found; the network has {classes} classes"));
        }
        if let Some(soft) = self.soft_labels
            && soft.len() != images * classes
        {
            return fail(format!("{} soft labels found; {images} images of {classes} classes were wanted", soft.len()));
        }
        if let Some(ood) = self.ood
            && ood.shape != shape
        {
            return fail(format!("synthetic OOD images are {}, the network reads {shape}", ood.shape));
        }
        if self.validation.len() != self.validation_labels.len() {
            let (images, labels) = (self.validation.len(), self.validation_labels.len());
            return fail(format!("validation has {images} images and {labels} labels"));
        }
        Ok(())
    }
}
