//! The integer runtime as a predictor.

use super::interface::{Backend, Draws, Predictor, Probabilities, Progress, checked};
use crate::error::BnnError;
use crate::integer;
use qbnn_core::model::Kind;
use qbnn_core::{ImagesView, Shape};
use std::sync::Arc;

/// The integer runtime over a JQ model file.
pub struct Integer {
    file: Arc<[u8]>,
    input: Shape,
    classes: usize,
    kernel: &'static str,
}

impl Integer {
    /// Of a model file.
    ///
    /// # Errors
    /// [`BnnError::Data`] for bytes that are no model file, [`BnnError::Setting`] for one that is not JQ or a
    /// `QBNN_KERNEL` that this processor does not have.
    pub fn new(file: impl Into<Arc<[u8]>>) -> Result<Self, BnnError> {
        let file = file.into();
        let model = checked(&file)?;
        if model.kind() != Kind::Jq {
            let kind = model.kind().name();
            return Err(BnnError::setting("strategy", kind, "the integer runtime runs JQ networks; quantize it first"));
        }
        let (input, classes) = (model.input(), model.classes());
        Ok(Integer { kernel: integer::kernel()?.name(), file, input, classes })
    }

    /// Logits of every image under every draw, `[draw][image][class]`, with 16 fraction bits: what a device computes.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn logits(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Vec<i32>, BnnError> {
        integer::logits(checked(&self.file)?, images, draws.count, draws.seed, progress)
    }
}

impl Predictor for Integer {
    fn input(&self) -> Shape {
        self.input
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn backend(&self) -> Backend {
        Backend::Integer { kernel: self.kernel }
    }

    fn predict(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Probabilities, BnnError> {
        let logits = self.logits(images, draws, progress)?;
        let (values, energies) = integer::probabilities(&logits, self.classes);
        Ok(Probabilities { draws: draws.count, images: images.len(), classes: self.classes, values, energies })
    }
}
