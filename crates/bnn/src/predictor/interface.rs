//! What every predictor offers: its input, and class probabilities under draws.

pub use crate::progress::Progress;

use crate::error::BnnError;
use crate::nn::limit;
use crate::pfp;
use qbnn_core::model::Model;
use qbnn_core::{ImagesView, Shape};
use std::fmt;

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
    /// Energies -ln sum_c exp(logit_c) in nats, `[draw][image]`, flat (Liu et al. 2020, arXiv 2010.03759): with them the
    /// probabilities tell the logits, logit_c = ln p_c - energy.
    pub energies: Vec<f64>,
}

impl Probabilities {
    /// Room for so many draws, images and classes, all 0.
    ///
    /// # Errors
    /// [`BnnError::Data`] for more than fit into memory.
    pub(crate) fn zeros(draws: usize, images: usize, classes: usize) -> Result<Self, BnnError> {
        let values = vec![0.0; limit::probabilities(draws, images, classes)?];
        Ok(Probabilities { draws, images, classes, values, energies: vec![0.0; draws * images] })
    }

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

/// The model of a file's bytes.
pub(super) fn checked(file: &[u8]) -> Result<Model<'_>, BnnError> {
    Model::new(file).map_err(|e| BnnError::Data(format!("the model file {e}")))
}
