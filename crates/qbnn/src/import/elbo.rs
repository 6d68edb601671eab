//! By which rule is sigma stored? A posterior that was trained by SVI minimises the negative ELBO, so every other reading of
//! the same file has a larger one. The NLL of the mean prediction cannot tell: a sigma that is too small often looks better.
//!
//! -ELBO / N = mean over pairs and draws of -ln p(label) + KL(q || prior) / N. Not valid for a posterior that is no optimum of
//! it: Laplace, SWAG, MOPED, a KL with another weight than 1.

use super::assign::{self, Taking};
use super::found::{Found, FoundSigma};
use super::rules::SigmaRule;
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::preprocess::Prepared;
use qbnn_bnn::internals::prior::Prior;
use qbnn_bnn::predictor::{Draws, NoProgress, of_checkpoint};
use qbnn_bnn::{Checkpoint, GivenPosterior, ImagesView};
use serde::Serialize;

/// Training pairs and draws of each.
const PAIRS: usize = 1000;
const DRAWS: usize = 8;

/// Readings whose negative ELBO differs by less than this share cannot be told apart, and their networks do not differ.
pub const ALIKE: f64 = 1e-3;

/// A reading that is better by more than this share is the right one.
pub const DECISIVE: f64 = 0.1;

/// One reading of a file's standard deviations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadingScore {
    /// The rule.
    pub rule: SigmaRule,
    /// Whether it is the one that the import uses.
    pub is_used: bool,
    /// -ELBO / N in nats; infinite where draws give no numbers.
    pub negative_elbo: f64,
    /// Of it, the mean negative log likelihood of draws.
    pub nll: f64,
    /// Of it, KL / N.
    pub kl: f64,
    /// The middle standard deviation.
    pub sigma: f64,
}

/// Scores every reading that gives standard deviations at all, best first. Empty where sigma is not stored by a rule.
///
/// # Errors
/// Those of a network that cannot predict; [`Error::Posterior`] is none: such a reading is left out.
pub fn rank(
    observer: &dyn Observer,
    found: &Found,
    checkpoint: &Checkpoint,
    data: &Prepared<'_>,
    taking: &Taking,
) -> Result<Vec<ReadingScore>> {
    let used = found.tensors().find_map(|(_, tensor)| match tensor.sigma {
        FoundSigma::Stored { rule, .. } => Some(rule),
        _ => None,
    });
    let Some(used) = used else { return Ok(Vec::new()) };
    let pairs = &data.dataset.train.pairs;
    let step = pairs.len().div_ceil(PAIRS).max(1);
    let chosen: Vec<(u32, u16)> = pairs.iter().copied().step_by(step).collect();
    let all = data.train_images();
    let pixels: Vec<u8> = chosen.iter().flat_map(|&(image, _)| all.get(image as usize).iter().copied()).collect();
    let images = ImagesView { shape: all.shape, pixels: &pixels };
    let others = SigmaRule::ALL.into_iter().map(|named| named.1).filter(|rule| *rule != used);
    let mut scores = Vec::new();
    let count = SigmaRule::ALL.len() + 1;
    for (index, rule) in std::iter::once(used).chain(others).enumerate() {
        if observer.stopped() {
            observer.event(Event::PredictingEnded);
            let go_on = "the same command begins again".to_owned();
            return Err(Error::Stopped { place: "comparing readings of sigma".to_owned(), go_on });
        }
        observer.event(Event::Predicting { what: "readings of sigma", done: index, of: count });
        let mut read = found.clone();
        read.with_rule(rule);
        let Ok(posterior) = assign::assign(&read, checkpoint.net(), taking) else { continue };
        let given = GivenPosterior { mu: &posterior.mu, sigma: &posterior.sigma };
        let Checkpoint { network, input, classes, normalisation, seed, train, .. } = checkpoint;
        let other = Checkpoint::given(network, *input, *classes, *normalisation, *seed, train.clone(), given)?;
        let draws = Draws { count: DRAWS, seed: *seed };
        let probabilities = of_checkpoint(&other)?.predict(images, draws, &mut NoProgress)?;
        let mut sum = 0.0;
        for (i, &(_, label)) in chosen.iter().enumerate() {
            // The least probability that a double tells from 0.
            let of_draw = |row: &[f64]| -row[usize::from(label)].max(f64::MIN_POSITIVE).ln();
            sum += probabilities.of_image(i).map(of_draw).sum::<f64>();
        }
        let nll = sum / (chosen.len() * DRAWS) as f64;
        let mut unused = (vec![0.0; posterior.mu.len()], vec![0.0; posterior.mu.len()]);
        let prior = Prior { sigma: train.prior_sigma, each: checkpoint.prior_sigmas() };
        let kl = prior.kl(&posterior.mu, &posterior.sigma, 0.0, &mut unused.0, &mut unused.1) / pairs.len() as f64;
        let total = nll + kl;
        let mut sigma = posterior.sigma;
        sigma.sort_by(f32::total_cmp);
        scores.push(ReadingScore {
            rule,
            is_used: rule == used,
            negative_elbo: if total.is_finite() { total } else { f64::INFINITY },
            nll,
            kl,
            sigma: sigma[sigma.len() / 2].into(),
        });
    }
    observer.event(Event::PredictingEnded);
    scores.sort_by(|a, b| a.negative_elbo.total_cmp(&b.negative_elbo));
    Ok(scores)
}

/// What the scores say of the rule in use, if it is not the best. Wrong readings were worse by half at the least; a training that
/// was stopped early leaves a per cent, and then a larger sigma looks better.
#[must_use]
pub fn verdict(scores: &[ReadingScore]) -> Option<String> {
    let (best, used) = (scores.first()?, scores.iter().find(|score| score.is_used)?);
    let apart = (used.negative_elbo - best.negative_elbo) / best.negative_elbo.abs().max(f64::MIN_POSITIVE);
    let found = format!(
        "sigma read as {} has -ELBO / N = {:.4} on training images, read as {} it has {:.4}",
        used.rule, used.negative_elbo, best.rule, best.negative_elbo
    );
    if apart > DECISIVE || apart.is_nan() {
        return Some(format!(
            "{found}: if the source was trained by SVI with a KL weight of 1 and this prior, it is stored as {}; give --sigma {}",
            best.rule, best.rule
        ));
    }
    (apart > ALIKE).then(|| {
        format!(
            "{found}: too near to tell, and a training that was stopped early leaves as much; only a reading that is better by \
             over {:.0} % says that another one is right",
            100.0 * DECISIVE
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_much_better_reading_says_that_another_one_is_right() {
        let score = |name: &str, is_used, negative_elbo| {
            let rule = name.parse().unwrap_or(SigmaRule::Std);
            ReadingScore { rule, is_used, negative_elbo, nll: 0.0, kl: 0.0, sigma: 0.1 }
        };
        let of = |used: f64| verdict(&[score("log-std", false, 3.2), score("softplus", true, used)]);
        assert_eq!(of(3.201), None);
        assert!(of(3.233).is_some_and(|said| said.contains("too near to tell") && !said.contains("give --sigma")));
        assert!(of(6.0).is_some_and(|said| said.contains("give --sigma log-std")));
        assert!(of(f64::INFINITY).is_some_and(|said| said.contains("give --sigma log-std")));
        assert_eq!(verdict(&[score("softplus", true, 3.2), score("std", false, 9.0)]), None);
    }
}
