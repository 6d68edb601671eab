//! One step of training: a draw, a batch forward and backward in blocks, and what is learned from it.

use crate::checkpoint::Checkpoint;
use crate::data::TrainData;
use crate::guide::{Drawn, GuideGradient};
use crate::likelihood::{negative_log_likelihood, smooth};
use crate::load::{LoadScratch, Loader};
use crate::mutual_information::mutual_information;
use crate::nn::batch::batch_gradient;
use crate::nn::pass::{BLOCK, Gradient, PassNoise, Workspace};
use crate::optim::{Rates, cosine};
use crate::prior::{Prior, WeightedPrior};
use crate::profile::{Part, Profile};
use crate::quant::settings::Start;
use crate::settings::Estimator;
use rayon::prelude::*;

/// Memory of one block of a step.
#[derive(Default)]
struct Block {
    workspace: Workspace,
    gradient: Gradient,
    /// Logits, then the gradient of the loss with respect to them.
    logits: Vec<f32>,
    targets: Vec<f32>,
    loading: LoadScratch,
    nll: f64,
    profile: Profile,
}

/// One of a step's draws, and the gradient of the blocks that met it.
#[derive(Default)]
struct DrawState {
    drawn: Drawn,
    batch: Gradient,
}

/// What a step says of its batch, before it learned from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Mean NLL of the batch's pairs, nats.
    pub nll: f64,
    /// KL divided by the number of training pairs, nats, not weighted.
    pub kl: f64,
    /// Weight of the KL at this step.
    pub kl_weight: f64,
}

/// Everything that the steps of a phase need besides the checkpoint.
pub struct Steps<'a> {
    data: TrainData<'a>,
    loader: Loader<'a>,
    blocks: Vec<Block>,
    /// The draws of a step; block i meets draw i modulo their number.
    states: Vec<DrawState>,
    /// Where each of the draws meets OOD images; none where nobody asks for that.
    ood: Vec<Block>,
    gradient: GuideGradient,
    /// Where the time of the steps so far went.
    pub profile: Profile,
}

impl<'a> Steps<'a> {
    /// For a checkpoint and the data that it learns from.
    pub fn new(checkpoint: &Checkpoint, data: TrainData<'a>) -> Self {
        Steps {
            loader: Loader::new(data, &checkpoint.train, checkpoint.normalisation, checkpoint.seed),
            data,
            blocks: Vec::new(),
            states: Vec::new(),
            ood: Vec::new(),
            gradient: GuideGradient::default(),
            profile: Profile::default(),
        }
    }

    /// Learns from `pairs` in step `step` of `total`.
    pub fn step(&mut self, checkpoint: &mut Checkpoint, pairs: &[u32], step: u64, total: u64) -> Loss {
        // Inside the pool from end to end: entering it once costs what entering it for each part would cost each time.
        rayon::scope(|_| {
            let nll = self.pass(checkpoint, pairs, step);
            let kl_weight = checkpoint.kl_weight(step, total);
            let kl = self.learn(checkpoint, kl_weight, step, total);
            Loss { nll, kl: kl / self.data.pairs.len() as f64, kl_weight: kl_weight as f64 }
        })
    }

    /// Draws, and works out the gradient of the batch's mean NLL. Returns that.
    fn pass(&mut self, checkpoint: &Checkpoint, pairs: &[u32], step: u64) -> f64 {
        let (net, guide) = (checkpoint.net(), checkpoint.guide());
        let estimator = checkpoint.estimator();
        let key = qbnn_core::noise::key(checkpoint.seed);
        let mut clock = self.profile.clock();
        let count = pairs.len().div_ceil(BLOCK);
        let draws = checkpoint.train.draws;
        // The last batch of an epoch may have fewer blocks than draws.
        self.states.resize_with(draws.min(count), DrawState::default);
        for (i, state) in self.states.iter_mut().enumerate() {
            // The fused path needs no stored posterior, but it serves one draw only.
            if draws > 1 && guide.is_fused(estimator) {
                guide.store(net, &mut state.drawn);
            }
            let draw = (step as u32).wrapping_mul(draws as u32).wrapping_add(i as u32);
            guide.draw_for(net, estimator, key, draw, &mut state.drawn);
        }
        clock.stop(Part::Draw);
        let activations = guide.activation_quantizer(checkpoint.normalisation);
        let (states, loader) = (&self.states, &self.loader);
        let second = estimator != Estimator::Reparameterization;
        if self.blocks.len() < count {
            self.blocks.resize_with(count, Block::default);
        }
        let (scale, smoothing) = (1.0 / pairs.len() as f32, checkpoint.train.label_smoothing);
        let blocks = &mut self.blocks[..count];
        blocks.par_iter_mut().zip(pairs.par_chunks(BLOCK)).enumerate().for_each(|(i, (block, pairs))| {
            let Block { workspace, gradient, logits, targets, loading, nll, profile } = block;
            let mut clock = profile.clock();
            loader.load(pairs, step, workspace.input(net), loading);
            targets.resize(BLOCK * net.classes(), 0.0);
            loader.targets(pairs, targets);
            if smoothing > 0.0 {
                smooth(smoothing, pairs.len(), BLOCK, targets);
            }
            clock.stop(Part::Data);
            let drawn = &states[i % states.len()].drawn;
            let weights = drawn.for_pass(estimator, PassNoise { key, step: step as u32, block: i as u32 });
            workspace.forward(net, weights, &*activations);
            clock.stop(Part::Forward);
            let out = workspace.logits(net);
            logits.resize(out.len(), 0.0);
            *nll = negative_log_likelihood(out, BLOCK, (&*targets, pairs.len()), scale, logits);
            gradient.reset(net.parameters(), second, activations.parameters());
            workspace.backward(net, weights, &*activations, logits, gradient);
            clock.stop(Part::Backward);
        });
        let draws = self.states.len();
        self.pass_ood(checkpoint, step);
        let mut clock = self.profile.clock();
        for (i, state) in self.states.iter_mut().enumerate() {
            state.batch.reset(net.parameters(), second, activations.parameters());
            let blocks = self.blocks[..count].iter().skip(i).step_by(draws).chain(self.ood.get(i));
            let done: Vec<_> = blocks.map(|block| (&block.workspace, &block.gradient)).collect();
            batch_gradient(net, &done, &mut state.batch);
        }
        clock.stop(Part::Weights);
        for block in self.blocks[..count].iter_mut().chain(&mut self.ood) {
            self.profile.add(&std::mem::take(&mut block.profile));
        }
        self.blocks[..count].iter().map(|block| block.nll).sum::<f64>() / pairs.len() as f64
    }

    /// Lets every draw of the step meet the same OOD images, and works out the gradient of their disagreement, where
    /// the settings ask for that. (That there are such images then is checked when a training begins.)
    fn pass_ood(&mut self, checkpoint: &Checkpoint, step: u64) {
        let weight = checkpoint.train.ood_weight;
        let Some(images) = self.data.ood.filter(|images| weight > 0.0 && !images.is_empty()) else { return };
        self.ood.resize_with(self.states.len(), Block::default);
        let (net, activations) = (checkpoint.net(), checkpoint.guide().activation_quantizer(checkpoint.normalisation));
        let (states, loader, estimator) = (&self.states, &self.loader, checkpoint.estimator());
        let noise = PassNoise { key: qbnn_core::noise::key(checkpoint.seed), step: step as u32, block: 0 };
        self.ood.par_iter_mut().zip(states).for_each(|(block, state)| {
            let Block { workspace, logits, profile, .. } = block;
            let mut clock = profile.clock();
            loader.load_ood(images, step, workspace.input(net));
            clock.stop(Part::Data);
            workspace.forward(net, state.drawn.for_pass(estimator, noise), &*activations);
            logits.clear();
            logits.extend_from_slice(workspace.logits(net));
            clock.stop(Part::Forward);
        });
        let mut gradients: Vec<_> = self.ood.iter_mut().map(|block| std::mem::take(&mut block.logits)).collect();
        mutual_information(&mut gradients, BLOCK, -weight / BLOCK as f32);
        self.ood.par_iter_mut().zip(states).zip(gradients).for_each(|((block, state), gradient_of_logits)| {
            let Block { workspace, gradient, logits, profile, .. } = block;
            let mut clock = profile.clock();
            *logits = gradient_of_logits;
            gradient.reset(net.parameters(), false, activations.parameters());
            workspace.backward(net, state.drawn.for_pass(estimator, noise), &*activations, logits, gradient);
            clock.stop(Part::Backward);
        });
    }

    /// Moves every parameter by one step of Adam, against the gradient of NLL and weighted KL. Returns the KL in
    /// nats, before the move.
    fn learn(&mut self, checkpoint: &mut Checkpoint, kl_weight: f32, step: u64, total: u64) -> f64 {
        let estimator = checkpoint.estimator();
        let rate = checkpoint.learning_rate() * cosine(step, total);
        let prior = Prior::same(checkpoint.train.prior_sigma);
        let kl = WeightedPrior { prior, scale: kl_weight / self.data.pairs.len() as f32 };
        let mut clock = self.profile.clock();
        if let [DrawState { drawn, batch }] = &self.states[..]
            && checkpoint.guide().is_fused(estimator)
            && checkpoint.train.draws == 1
            && checkpoint.prior.is_none()
        {
            let (d_weights, noise) = (&batch.first, drawn.noise());
            let Checkpoint { guide, posterior_adams, .. } = checkpoint;
            let posterior = guide.posterior.family_mut();
            if let Some(kl) = posterior.update_fused(posterior_adams, d_weights, noise, kl, Rates::new(rate, step)) {
                clock.stop(Part::Update);
                return kl;
            }
        }
        let (net, guide) = (checkpoint.net(), checkpoint.guide());
        let gradient = &mut self.gradient;
        // Every draw takes its share of the divergence; their gradients add up.
        let prior = Prior { each: checkpoint.prior.as_deref(), ..prior };
        let share = WeightedPrior { prior, scale: kl.scale / self.states.len() as f32 };
        let mut kl = 0.0;
        for (i, DrawState { drawn, batch }) in self.states.iter_mut().enumerate() {
            let mut one = GuideGradient::default();
            let into = if i == 0 { &mut *gradient } else { &mut one };
            kl = guide.backward(net, estimator, drawn, batch, share, into);
            if i > 0 {
                gradient.add(&one);
            }
        }
        clock.stop(Part::Guide);
        let Checkpoint { guide, posterior_adams, quantizer_adam, .. } = checkpoint;
        let parameters = guide.posterior.family_mut().parameters_mut();
        for (((_, values), adam), gradient) in parameters.into_iter().zip(posterior_adams).zip(gradient.of_posterior())
        {
            adam.update(0, values, gradient, rate, step);
        }
        if let Some(quantizers) = &mut guide.quantizers {
            let mut first = 0;
            for id in quantizers.ids() {
                let params = quantizers.params_mut(id);
                quantizer_adam.update(first, params, gradient.quantizers.of(id), rate, step);
                first += params.len();
            }
            quantizers.limit();
        }
        clock.stop(Part::Update);
        kl
    }
}

impl Checkpoint {
    /// The estimator of this phase: a quantized draw is not Gaussian and has only one.
    pub(crate) fn estimator(&self) -> Estimator {
        if self.quantize.is_some() { Estimator::Reparameterization } else { self.train.estimator }
    }

    /// Step size at the start of this phase.
    fn learning_rate(&self) -> f32 {
        self.quantize.as_ref().map_or(self.train.learning_rate, |q| q.learning_rate)
    }

    /// KL weight of a step: risen linearly over the warm-up; fine-tuning has none.
    fn kl_weight(&self, step: u64, total: u64) -> f32 {
        let warmup = self.train.kl_warmup as f64 * total as f64;
        // Fine-tuning starts from weights that have met the whole divergence already.
        let settled = self.quantize.as_ref().is_some_and(|q| q.start == Start::Float);
        let share = if settled || warmup <= 0.0 { 1.0 } else { ((step + 1) as f64 / warmup).min(1.0) };
        let weight = self.quantize.as_ref().and_then(|q| q.kl_weight).unwrap_or(self.train.kl_weight);
        weight * share as f32
    }
}
