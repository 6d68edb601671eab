//! One way to predict: whatever computes the class probabilities of images is a [`Predictor`].
//!
//! Five backends stand behind it. **Integer** is the runtime of a JQ model file, bit for bit what a device computes.
//! **Simulated** is a JQ network in float. **Float** draws weights in float (float, VPQ and SPQ networks). **Analytic**
//! is one probabilistic forward pass (PFP) instead of draws. **Ensemble** asks several predictors in turn. A model is
//! exported once, when it is opened ([`Export`], [`of_checkpoint`], [`of_file`]), and the backend says which of them gave
//! a figure.

mod analytic;
mod ensemble;
mod float;
mod integer;
mod simulated;

pub use crate::progress::{NoProgress, Progress};
pub use analytic::Analytic;
pub use ensemble::Ensemble;
pub use float::Float;
pub use integer::Integer;
pub use simulated::Simulated;

use crate::checkpoint::Checkpoint;
use crate::error::BnnError;
use crate::export::export;
use crate::import::{Imported, import};
use crate::pfp;
use crate::quant::settings::Strategy;
use qbnn_core::model::{Kind, Model};
use qbnn_core::{ImagesView, Shape};
use std::fmt;
use std::sync::Arc;

/// Which draws: so many networks, from a seed. Draw s is the same network for every image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// Networks drawn, at least 1. An analytic pass has its own number of points and ignores it.
    pub count: usize,
    /// Seed of their noise.
    pub seed: u64,
}

/// Class probabilities of images under draws.
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities {
    /// S: networks drawn, or the points of an analytic pass.
    pub draws: usize,
    /// N.
    pub images: usize,
    /// C.
    pub classes: usize,
    /// `[draw][image][class]`, flat; each row sums to 1.
    pub values: Vec<f64>,
}

impl Probabilities {
    /// The rows of one image, one for each draw.
    ///
    /// # Panics
    /// If there is no image `image`.
    pub fn of_image(&self, image: usize) -> impl Iterator<Item = &[f64]> {
        let (n, c) = (self.images, self.classes);
        (0..self.draws).map(move |s| &self.values[(s * n + image) * c..][..c])
    }
}

/// What computes a prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The integer runtime.
    Integer {
        /// The kernel that it runs on.
        kernel: &'static str,
    },
    /// A JQ network, simulated in float.
    Simulated {
        /// Why it is not the integer runtime.
        why: String,
    },
    /// Weights drawn in float.
    Float,
    /// One probabilistic forward pass.
    Analytic {
        /// Which means and variances the weights have.
        weights: pfp::Weights,
    },
    /// Several predictors.
    Ensemble {
        /// That of each member.
        members: Vec<Backend>,
    },
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Integer { kernel } => write!(f, "integer ({kernel})"),
            Backend::Simulated { why } => write!(f, "simulated ({why})"),
            Backend::Float => f.write_str("float"),
            Backend::Analytic { weights } => write!(f, "analytic ({})", weights.name()),
            Backend::Ensemble { members } => {
                let mut names: Vec<String> = members.iter().map(Backend::to_string).collect();
                names.dedup();
                write!(f, "ensemble of {} ({})", members.len(), names.join(", "))
            }
        }
    }
}

/// Anything that gives class probabilities of images.
pub trait Predictor: Send {
    /// Shape of the images that it reads.
    fn input(&self) -> Shape;

    /// Classes that it tells apart.
    fn classes(&self) -> usize;

    /// What computes its predictions.
    fn backend(&self) -> Backend;

    /// Class probabilities of every image under every draw. They depend on the model, the seed and the draw alone: not
    /// on threads, on the processor, or on the other images.
    ///
    /// # Errors
    /// [`BnnError::Data`] for images of another shape, or more numbers than fit into memory; [`BnnError::Setting`] for no
    /// draws; [`BnnError::Stopped`] once `progress` said stop.
    fn predict(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Probabilities, BnnError>;
}

/// A checkpoint and its model file, exported once, from which predictors of every kind are made.
pub struct Export<'a> {
    checkpoint: &'a Checkpoint,
    file: Result<Arc<[u8]>, BnnError>,
}

impl<'a> Export<'a> {
    /// Exports a checkpoint. What has no model file is no error here: it can still be drawn from in float.
    pub fn new(checkpoint: &'a Checkpoint) -> Self {
        Export { checkpoint, file: export(checkpoint).map(Into::into) }
    }

    /// The model file.
    ///
    /// # Errors
    /// Why there is none, as [`export`] says it.
    pub fn file(&self) -> Result<&[u8], &BnnError> {
        self.file.as_deref()
    }

    /// What predicts by draws: the integer runtime for a JQ network that has a model file, its simulation for one that
    /// has none, float draws for every other.
    ///
    /// # Errors
    /// As [`Integer::new`].
    pub fn predictor(&self) -> Result<Box<dyn Predictor>, BnnError> {
        if !is_jq(self.checkpoint) {
            return Ok(Box::new(Float::of(self.checkpoint)));
        }
        match &self.file {
            Ok(file) => Ok(Box::new(Integer::new(Arc::clone(file))?)),
            Err(e) => Ok(Box::new(Float::of(self.checkpoint).simulating(e.to_string()))),
        }
    }

    /// What predicts by one analytic pass; `None` without a model file.
    ///
    /// # Errors
    /// As [`Analytic::new`].
    pub fn analytic(&self, weights: pfp::Weights) -> Result<Option<Analytic>, BnnError> {
        self.file.as_ref().ok().map(|file| Analytic::new(Arc::clone(file), weights)).transpose()
    }

    /// The integer runtime, and beside it the simulation of the same file on the same drawn weights; `None` for what has
    /// no JQ file.
    ///
    /// # Errors
    /// As [`Integer::new`].
    pub fn both(&self) -> Result<Option<(Integer, Simulated)>, BnnError> {
        let Some(file) = self.file.as_ref().ok().filter(|_| is_jq(self.checkpoint)) else { return Ok(None) };
        let simulated = Simulated::new(self.checkpoint, Arc::clone(file))?;
        Ok(Some((Integer::new(Arc::clone(file))?, simulated)))
    }
}

/// Whether a checkpoint is of a JQ network, which is to run in integers.
fn is_jq(checkpoint: &Checkpoint) -> bool {
    checkpoint.quantize.as_ref().is_some_and(|q| q.strategy == Strategy::Jq && !q.is_float())
}

/// The predictor of a checkpoint, by draws: as [`Export::predictor`], but a network that draws in float is not exported.
///
/// # Errors
/// As [`Integer::new`].
pub fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Box<dyn Predictor>, BnnError> {
    if is_jq(checkpoint) { Export::new(checkpoint).predictor() } else { Ok(Box::new(Float::of(checkpoint))) }
}

/// The predictor of a model file, by draws: the integer runtime for JQ, float draws for every other kind.
///
/// # Errors
/// [`BnnError::Data`] for bytes that are no model file; as [`Integer::new`] and [`import`].
pub fn of_file(file: impl Into<Arc<[u8]>>) -> Result<Box<dyn Predictor>, BnnError> {
    let file = file.into();
    let model = checked(&file)?;
    if model.kind() == Kind::Jq {
        return Ok(Box::new(Integer::new(file)?));
    }
    let Imported { net, guide, normalisation } = import(&model)?;
    Ok(Box::new(Float::new(net, guide, normalisation)))
}

/// The model of a file's bytes.
fn checked(file: &[u8]) -> Result<Model<'_>, BnnError> {
    Model::new(file).map_err(|e| BnnError::Data(format!("the model file {e}")))
}
