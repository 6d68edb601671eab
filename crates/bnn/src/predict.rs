//! Prediction by S drawn networks.

use crate::checkpoint::Checkpoint;
use crate::data::Normalisation;
use crate::error::BnnError;
use crate::guide::{Drawn, Guide};
use crate::likelihood::softmax;
use crate::load::fill;
use crate::nn::Network;
use crate::nn::pass::{BLOCK, WeightSample, Workspace};
use crate::noise::purpose;
use crate::predictor::Probabilities;
use crate::progress::{Progress, step};
use qbnn_core::ImagesView;
use rayon::prelude::*;

/// Class probabilities of every image under `samples` draws. `progress` is told (draws done, draws in all).
///
/// Draw s is the same network for every image, and depends on (guide, seed, s) alone.
///
/// # Errors
/// [`BnnError::Data`] if the images are not of the network's shape, [`BnnError::Setting`] for zero samples,
/// [`BnnError::Stopped`] once `progress` said stop.
pub fn predict(
    net: &Network,
    guide: &Guide,
    normalisation: Normalisation,
    images: ImagesView<'_>,
    samples: usize,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Probabilities, BnnError> {
    if images.shape != net.input {
        return Err(BnnError::Data(format!("images are {}, the network reads {}", images.shape, net.input)));
    }
    if samples == 0 {
        return Err(BnnError::setting("samples", 0, "it must be at least 1"));
    }
    let key = qbnn_core::noise::key(seed);
    let classes = net.classes();
    let activations = guide.activation_quantizer(normalisation);
    let mut drawn = Drawn::default();
    guide.store(net, &mut drawn);
    let mut probabilities = Probabilities::zeros(samples, images.len(), classes)?;
    if images.is_empty() {
        return Ok(probabilities);
    }
    let Probabilities { values, energies, .. } = &mut probabilities;
    let draws = values.chunks_exact_mut(images.len() * classes).zip(energies.chunks_exact_mut(images.len()));
    for (s, (out, energies)) in draws.enumerate() {
        guide.draw(net, key, purpose::PREDICTION, s as u32, &mut drawn);
        let weights = WeightSample::Drawn(drawn.weights());
        let blocks = out.par_chunks_mut(BLOCK * classes).zip(energies.par_chunks_mut(BLOCK)).enumerate();
        blocks.for_each_init(Workspace::default, |workspace, (block, (out, energies))| {
            let members: Vec<&[u8]> = (0..energies.len()).map(|i| images.get(block * BLOCK + i)).collect();
            // Always a whole block: a narrower product sums in another order, and an image's last bits would depend on
            // how many others came with it. What the columns past the last image hold is computed and dropped.
            fill(workspace.input(net), &members, net.input.channels, normalisation);
            workspace.forward(net, weights, &*activations);
            softmax(workspace.logits(net), BLOCK, out, energies);
        });
        step(progress, s + 1, samples)?;
    }
    Ok(probabilities)
}

impl Checkpoint {
    /// The means as they are stored, flat over all tensors in their order: of a quantized network on their grids.
    pub fn stored_means(&self) -> Vec<f32> {
        let mut drawn = Drawn::default();
        self.guide().store(self.net(), &mut drawn);
        drawn.mu
    }

    /// The weights of draw `draw`, as [`predict`] has them.
    pub fn drawn_weights(&self, seed: u64, draw: u32) -> Vec<f32> {
        let mut drawn = Drawn::default();
        self.guide().store(self.net(), &mut drawn);
        self.guide().draw(self.net(), qbnn_core::noise::key(seed), purpose::PREDICTION, draw, &mut drawn);
        drawn.weights().to_vec()
    }
}
