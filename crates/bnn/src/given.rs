//! A checkpoint out of a posterior that another program trained: finished, without a state of an optimizer.

use crate::checkpoint::Checkpoint;
use crate::data::Normalisation;
use crate::error::BnnError;
use crate::import::logarithm;
use crate::load::fill;
use crate::nn::pass::{BLOCK, FloatActivations, WeightSample, Workspace};
use crate::nn::{NetworkSpec, Shape};
use crate::posterior::{Gaussian, Posterior};
use crate::settings::{PosteriorKind, TrainSettings};
use qbnn_core::ImagesView;

/// What another program learned, flat over all tensors of a network in their order.
#[derive(Clone, Copy, Debug)]
pub struct GivenPosterior<'a> {
    /// Means.
    pub mu: &'a [f32],
    /// Standard deviations, above 0.
    pub sigma: &'a [f32],
}

impl Checkpoint {
    /// A float network with this posterior, as after the end of its training.
    ///
    /// # Errors
    /// Those of [`Checkpoint::new`]; settings of another posterior than one Gaussian per weight; means and standard
    /// deviations that are not as many as the network's parameters, not finite, or not above 0.
    pub fn given(
        network: &NetworkSpec,
        input: Shape,
        classes: usize,
        normalisation: Normalisation,
        seed: u64,
        train: TrainSettings,
        posterior: GivenPosterior<'_>,
    ) -> Result<Self, BnnError> {
        if train.posterior != PosteriorKind::Gaussian {
            let wanted = "a posterior from elsewhere has a mean and a standard deviation per weight: gaussian";
            return Err(BnnError::setting("posterior", train.posterior.name(), wanted));
        }
        let mut checkpoint = Checkpoint::new(network, input, classes, normalisation, seed, train)?;
        let GivenPosterior { mu, sigma } = posterior;
        let parameters = checkpoint.net().parameters();
        if mu.len() != parameters || sigma.len() != parameters {
            let (means, sigmas) = (mu.len(), sigma.len());
            return Err(BnnError::Data(format!(
                "{means} means and {sigmas} standard deviations found; the network has {parameters} parameters"
            )));
        }
        let mean = mu.iter().find(|m| !m.is_finite()).map(|m| format!("{m} found as a mean"));
        let wrong = |s: &&f32| !(s.is_finite() && **s > 0.0);
        let sigma_wrong = sigma.iter().find(wrong).map(|s| format!("{s} found as a standard deviation"));
        if let Some(found) = mean.or(sigma_wrong) {
            return Err(BnnError::Data(format!("{found}; wanted finite means and standard deviations above 0")));
        }
        let log_sigma = sigma.iter().map(|&s| logarithm(s)).collect();
        checkpoint.guide.posterior = Posterior::Gaussian(Gaussian { mu: mu.to_vec(), log_sigma });
        checkpoint.epoch = checkpoint.train.epochs;
        checkpoint.forget_optimizer();
        Ok(checkpoint)
    }

    /// The same with a prior N(0, sigma^2) for each parameter, flat over all tensors in their order, in the place of
    /// `train.prior_sigma`: training through quantizers keeps near to it.
    ///
    /// # Errors
    /// Standard deviations that are not as many as the network's parameters, not finite, or not above 0.
    pub fn with_prior(mut self, sigma: Vec<f32>) -> Result<Self, BnnError> {
        let parameters = self.net().parameters();
        if sigma.len() != parameters {
            return Err(BnnError::Data(format!(
                "{} standard deviations of the prior found; the network has {parameters} parameters",
                sigma.len()
            )));
        }
        if let Some(wrong) = sigma.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(BnnError::Data(format!("{wrong} found as the prior's standard deviation; wanted one above 0")));
        }
        self.prior = Some(sigma);
        Ok(self)
    }

    /// Standard deviations of the prior of each parameter, where they are not all `train.prior_sigma`.
    #[must_use]
    pub fn prior_sigmas(&self) -> Option<&[f32]> {
        self.prior.as_deref()
    }

    /// Logits `[image][class]` of the network whose weights are the means, in float. Quantizers are passed over.
    ///
    /// # Errors
    /// [`BnnError::Data`] for images of another shape.
    pub fn mean_logits(&self, images: ImagesView<'_>) -> Result<Vec<f32>, BnnError> {
        let net = self.net();
        if images.shape != net.input {
            return Err(BnnError::Data(format!("images are {}, the network reads {}", images.shape, net.input)));
        }
        let (mut workspace, classes) = (Workspace::default(), net.classes());
        let mut all = Vec::with_capacity(images.len() * classes);
        for first in (0..images.len()).step_by(BLOCK) {
            let members: Vec<&[u8]> = (first..images.len().min(first + BLOCK)).map(|i| images.get(i)).collect();
            fill(workspace.input(net), &members, net.input.channels, self.normalisation);
            workspace.forward(net, WeightSample::Drawn(self.guide().posterior.mu()), &FloatActivations);
            let logits = workspace.logits(net);
            all.extend((0..members.len()).flat_map(|i| (0..classes).map(move |c| c * BLOCK + i)).map(|at| logits[at]));
        }
        Ok(all)
    }
}
