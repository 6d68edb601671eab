//! Draws in float as a predictor.

use super::interface::{Backend, Draws, Predictor, Probabilities, Progress};
use crate::checkpoint::Checkpoint;
use crate::data::Normalisation;
use crate::error::BnnError;
use crate::guide::Guide;
use crate::nn::Network;
use crate::predict;
use qbnn_core::{ImagesView, Shape};

/// Draws in float, with the noise of training: of a float network, or of one whose grids are simulated.
pub struct Float {
    net: Network,
    guide: Guide,
    normalisation: Normalisation,
    backend: Backend,
}

impl Float {
    /// Of a network, its posterior and how it reads pixels.
    pub fn new(net: Network, guide: Guide, normalisation: Normalisation) -> Self {
        Float { net, guide, normalisation, backend: Backend::Float }
    }

    /// Of a checkpoint, whatever its grids are.
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        Float::new(checkpoint.net().clone(), checkpoint.guide().clone(), checkpoint.normalisation)
    }

    /// The same as the simulation of a network that should run in integers.
    pub(super) fn simulating(self, why: String) -> Self {
        Float { backend: Backend::Simulated { why }, ..self }
    }
}

impl Predictor for Float {
    fn input(&self) -> Shape {
        self.net.input
    }

    fn classes(&self) -> usize {
        self.net.classes()
    }

    fn backend(&self) -> Backend {
        self.backend.clone()
    }

    fn predict(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Probabilities, BnnError> {
        let Draws { count, seed } = draws;
        predict::predict(&self.net, &self.guide, self.normalisation, images, count, seed, progress)
    }
}
