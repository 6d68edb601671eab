//! One analytic pass as a predictor.

use super::interface::{Backend, Draws, Predictor, Probabilities, Progress, checked};
use crate::error::BnnError;
use crate::pfp;
use qbnn_core::{ImagesView, Shape};
use std::sync::Arc;

/// One probabilistic forward pass over a model file of any kind. The "draws" that it gives are the fixed points over
/// which the pass reads its logits out ([`pfp::POINTS`]).
pub struct Analytic {
    file: Arc<[u8]>,
    weights: pfp::Weights,
    input: Shape,
    classes: usize,
}

impl Analytic {
    /// Of a model file.
    ///
    /// # Errors
    /// [`BnnError::Data`] for bytes that are no model file.
    pub fn new(file: impl Into<Arc<[u8]>>, weights: pfp::Weights) -> Result<Self, BnnError> {
        let file = file.into();
        let model = checked(&file)?;
        let (input, classes) = (model.input(), model.classes());
        Ok(Analytic { file, weights, input, classes })
    }

    /// Mean probabilities and uncertainties of every image.
    ///
    /// # Errors
    /// As [`pfp::predict`].
    pub fn answers(
        &mut self,
        images: ImagesView<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<pfp::Prediction>, BnnError> {
        pfp::predict(checked(&self.file)?, self.weights, images, progress)
    }
}

impl Predictor for Analytic {
    fn input(&self) -> Shape {
        self.input
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn backend(&self) -> Backend {
        Backend::Analytic { weights: self.weights }
    }

    fn predict(
        &mut self,
        images: ImagesView<'_>,
        _: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Probabilities, BnnError> {
        pfp::probabilities(checked(&self.file)?, self.weights, images, progress)
    }
}
