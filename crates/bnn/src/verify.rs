//! A model file held against the checkpoint that it was made of, before anybody relies on it; and what has no model file,
//! found before anything is trained.
//!
//! A JQ file runs in the integer runtime, its checkpoint in float with the weights that the runtime draws. Files of the
//! other kinds are imported, and both run in float. Where activations are rounded, the two may fall on different sides of a
//! code's edge now and then: a sum that float and integers round apart moves by a step, and where padding alone is read,
//! it does so for every image of a draw. The other pairs of a draw and an image differ by the last bits of what the runtime
//! holds (2^-17), whereas a file of another network is wrong about nearly all of them. So the median decides.
//!
//! Measured on 10,000 random networks of every layer and kind (`tests/export`): every median was below 1e-4, and at most
//! 18 % of a network's pairs were apart. Weights in another order move the median by about the spread of the logits.

use crate::checkpoint::Checkpoint;
use crate::data::Normalisation;
pub use crate::difference::Difference;
use crate::drawn::drawn;
use crate::error::BnnError;
use crate::export::{self, normalisation, snap_scales};
use crate::guide::{Drawn, Guide};
use crate::identity::sha256;
use crate::import::import;
use crate::integer;
use crate::load::fill;
use crate::nn::pass::{BLOCK, WeightSample, Workspace};
use crate::nn::{Network, NetworkSpec, Shape};
use crate::noise::purpose;
use crate::progress::NoProgress;
use crate::quant::settings::QuantizeSettings;
use crate::settings::TrainSettings;
use qbnn_core::ImagesView;
use qbnn_core::model::write_section::without_section;
use qbnn_core::model::{Kind, Model};

/// Images that a file is checked on, and draws of each.
const IMAGES: usize = BLOCK;
const DRAWS: u32 = 4;

/// The model file of a checkpoint, checked on a few of the images that it was trained on.
///
/// # Errors
/// As [`export::export`]; [`BnnError::Apart`] if the file does not compute what the checkpoint does.
pub fn export(checkpoint: &Checkpoint, images: ImagesView<'_>) -> Result<Vec<u8>, BnnError> {
    let file = export::export(checkpoint)?;
    let difference = compare(checkpoint, &file, images)?;
    if difference.is_rounding() { Ok(file) } else { Err(BnnError::Apart(difference)) }
}

/// A model file without its section: what a checkpoint knows of its file. What is no model file is left as it is.
pub fn network_of(file: &[u8]) -> Vec<u8> {
    Model::new(file).map_or_else(|_| file.to_vec(), |model| without_section(&model))
}

/// How far a checkpoint's model file is from it, on the first few of some images.
///
/// # Errors
/// A file that cannot be read or run, or images of another shape.
pub fn compare(checkpoint: &Checkpoint, file: &[u8], images: ImagesView<'_>) -> Result<Difference, BnnError> {
    let net = checkpoint.net();
    if images.shape != net.input {
        return Err(BnnError::Data(format!("images are {}, the network reads {}", images.shape, net.input)));
    }
    let images = ImagesView { pixels: &images.pixels[..images.len().min(IMAGES) * images.shape.len()], ..images };
    let model = Model::new(file).map_err(|e| BnnError::Data(format!("the model file {e}")))?;
    let guide = snap_scales(checkpoint.guide());
    let (seed, pixels, mut memory) = (checkpoint.seed, normalisation(&model), Workspace::default());
    let mut of_draw = |net: &Network, guide: &Guide, pixels: Normalisation, weights: &[f32]| {
        logits(net, guide, pixels, weights, images, &mut memory)
    };
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    if model.kind() == Kind::Jq {
        let all = integer::logits(model, images, DRAWS as usize, seed, &mut NoProgress)?;
        found.extend(all.iter().map(|&x| x as f32 / 65_536.0));
        for draw in 0..DRAWS {
            wanted.extend(of_draw(net, &guide, pixels, &drawn(&model, net, seed, draw)?));
        }
    } else {
        let imported = import(&model)?;
        let both = [(&imported.net, &imported.guide, &mut found), (net, &guide, &mut wanted)];
        for (net, guide, into) in both {
            let (key, mut drawn) = (qbnn_core::noise::key(seed), Drawn::default());
            guide.store(net, &mut drawn);
            for draw in 0..DRAWS {
                guide.draw(net, key, purpose::PREDICTION, draw, &mut drawn);
                into.extend(of_draw(net, guide, pixels, drawn.weights()));
            }
        }
    }
    Ok(Difference::of(&found, &wanted, net.classes()))
}

/// Logits `[image][class]` of at most a block of images under one draw.
fn logits(
    net: &Network,
    guide: &Guide,
    pixels: Normalisation,
    weights: &[f32],
    images: ImagesView<'_>,
    workspace: &mut Workspace,
) -> Vec<f32> {
    let members: Vec<&[u8]> = (0..images.len()).map(|i| images.get(i)).collect();
    fill(workspace.input(net), &members, net.input.channels, pixels);
    workspace.forward(net, WeightSample::Drawn(weights), &*guide.activation_quantizer(pixels));
    let logits = workspace.logits(net);
    (0..images.len() * net.classes()).map(|i| logits[i % net.classes() * BLOCK + i / net.classes()]).collect()
}

/// Checks, without training, that a network under such settings will have a model file: of its float training, or, with
/// `quantize`, of its quantization. What only trained numbers can show (a scale that no file holds) is left.
///
/// # Errors
/// [`BnnError::Network`] or [`BnnError::Setting`] says what has no model file, and what to do instead.
pub fn check(
    network: &NetworkSpec,
    input: Shape,
    classes: usize,
    pixels: Normalisation,
    train: &TrainSettings,
    quantize: Option<&QuantizeSettings>,
) -> Result<(), BnnError> {
    let mut checkpoint = Checkpoint::new(network, input, classes, pixels, 0, train.clone())?;
    if let Some(settings) = quantize {
        settings.check()?;
        settings.check_posterior(train.posterior)?;
        let mut quantizers = checkpoint.quantizers(settings)?;
        if let Some(quantizers) = &mut quantizers {
            quantizers.calibrate(checkpoint.net(), &checkpoint.guide().posterior, None);
        }
        checkpoint = Checkpoint::with_quantizers(checkpoint, settings.clone(), quantizers);
    }
    export::export(&checkpoint).map(|_| ())
}

impl Checkpoint {
    /// Whether some bytes are the model file of this checkpoint.
    ///
    /// A checkpoint of version 1 does not know its file: it is exported anew. The section of a file is no matter of its
    /// checkpoint: names and decisions can be added to it and taken away.
    ///
    /// # Errors
    /// Why they are not, as the end of a sentence that begins with the file.
    pub fn owns(&self, file: &[u8]) -> Result<(), String> {
        let file = &network_of(file)[..];
        if !self.finished() {
            let (epoch, epochs) = (self.epoch, self.epochs());
            return Err(format!(
                "is older than its checkpoint, which has {epoch} of {epochs} epochs and no model file"
            ));
        }
        if self.knows_file() {
            return match &self.model_file {
                Some(hash) if *hash == sha256(file) => Ok(()),
                Some(_) => Err("is another model file than the one that was made of its checkpoint".into()),
                None => Err("was not made of its checkpoint, which has no model file yet".into()),
            };
        }
        match export::export(self) {
            Ok(made) if made == file => Ok(()),
            Ok(_) => Err("is not what its checkpoint (of an earlier version) gives when it is exported".into()),
            Err(e) => Err(format!("cannot be of its checkpoint, which has no model file ({e})")),
        }
    }
}
