//! The simulation of a JQ model file as a predictor.

use super::interface::{Backend, Draws, Predictor, Probabilities, Progress, checked};
use crate::checkpoint::Checkpoint;
use crate::data::Normalisation;
use crate::drawn::drawn;
use crate::error::BnnError;
use crate::export::{normalisation, snap_scales};
use crate::guide::Guide;
use crate::likelihood::softmax;
use crate::load::fill;
use crate::nn::Network;
use crate::nn::pass::{BLOCK, WeightSample, Workspace};
use crate::progress::step;
use qbnn_core::{ImagesView, Shape};
use rayon::prelude::*;
use std::sync::Arc;

/// The float network on the grids of its JQ model file, with the weights that the integer runtime draws: what training
/// simulates, to be held against what [`Integer`](super::Integer) computes.
pub struct Simulated {
    net: Network,
    guide: Guide,
    normalisation: Normalisation,
    file: Arc<[u8]>,
}

impl Simulated {
    /// Of a checkpoint and its model file.
    ///
    /// # Errors
    /// [`BnnError::Data`] for bytes that are no model file.
    pub fn new(checkpoint: &Checkpoint, file: impl Into<Arc<[u8]>>) -> Result<Self, BnnError> {
        let (file, net) = (file.into(), checkpoint.net().clone());
        let guide = snap_scales(checkpoint.guide());
        Ok(Simulated { net, guide, normalisation: normalisation(&checked(&file)?), file })
    }
}

impl Predictor for Simulated {
    fn input(&self) -> Shape {
        self.net.input
    }

    fn classes(&self) -> usize {
        self.net.classes()
    }

    fn backend(&self) -> Backend {
        Backend::Simulated { why: "to be compared with the integer runtime".into() }
    }

    fn predict(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Probabilities, BnnError> {
        let (net, model) = (&self.net, checked(&self.file)?);
        if images.shape != net.input {
            return Err(BnnError::Data(format!("images are {}, the network reads {}", images.shape, net.input)));
        }
        if draws.count == 0 {
            return Err(BnnError::setting("samples", 0, "it must be at least 1"));
        }
        let (activations, classes, n) =
            (self.guide.activation_quantizer(self.normalisation), net.classes(), images.len());
        let mut all = Probabilities::zeros(draws.count, n, classes)?;
        let energies = all.energies.chunks_exact_mut(n.max(1));
        for (draw, (out, energies)) in all.values.chunks_exact_mut((n * classes).max(1)).zip(energies).enumerate() {
            let weights = drawn(&model, net, draws.seed, draw as u32)?;
            let blocks = out.par_chunks_mut(BLOCK * classes).zip(energies.par_chunks_mut(BLOCK)).enumerate();
            blocks.for_each_init(Workspace::default, |workspace, (block, (out, energies))| {
                let members: Vec<&[u8]> = (0..energies.len()).map(|i| images.get(block * BLOCK + i)).collect();
                fill(workspace.input(net), &members, net.input.channels, self.normalisation);
                workspace.forward(net, WeightSample::Drawn(&weights), &*activations);
                softmax(workspace.logits(net), BLOCK, out, energies);
            });
            step(progress, draw + 1, draws.count)?;
        }
        Ok(all)
    }
}
