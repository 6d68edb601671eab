//! A model file, or an ensemble of some, opened once to predict: [`Model::open`], then [`Model::predict`].

use crate::decided::{Decided, caveat, decide, pass_name, pass_of};
use crate::draws_file::KeptDraws;
use crate::error::{Error, Result};
use crate::model_source::ModelSource;
use crate::pass_check::{self, PassAgreement, first};
use qbnn_bnn::predictor::{Analytic, Backend, Integer, Predictor};
use qbnn_core::decide::Decisions;
use qbnn_core::model::write_section::Content;
use qbnn_core::uncertainty::{ClassesError, FRACTION_BITS, uncertainty};
use qbnn_eval::{Predictions, arg_max};
use std::path::{Path, PathBuf};

pub use qbnn_bnn::pfp;
pub use qbnn_bnn::predictor::{Draws, Progress};
pub use qbnn_core::{ImagesView, Shape};

/// Most images that are predicted together.
const TOGETHER: usize = 4096;
/// Most logits that are held for them.
const LOGITS: usize = 1 << 22;
/// Most pixels that are held for them.
const PIXELS: usize = 1 << 26;

/// Nats of fixed point.
const NAT: f64 = (1u32 << FRACTION_BITS) as f64;

/// The prediction of one image, whatever computed it.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Mean probability of each class.
    pub probabilities: Vec<f64>,
    /// The most probable class, the first of equals.
    pub class: usize,
    /// Total uncertainty in nats.
    pub total: f64,
    /// Aleatoric uncertainty in nats.
    pub aleatoric: f64,
    /// Epistemic uncertainty in nats; 0 for a single draw, which cannot disagree.
    pub epistemic: f64,
    /// What the model decides, where its file holds decisions for such predictions.
    pub decided: Option<Decided>,
}

impl Prediction {
    /// From the logits of every draw, with 16 fraction bits: in integers, as a device works it out.
    fn of_draws<'l>(draws: impl Iterator<Item = &'l [i32]>, classes: usize) -> Result<Self, ClassesError> {
        let mut mean = vec![0; classes];
        let u = uncertainty(draws, &mut mean)?;
        let class = (0..classes).rev().max_by_key(|&c| mean[c]).unwrap_or(0);
        let probabilities = mean.iter().map(|&p| p as f64 / 4_294_967_296.0).collect();
        let nats = |value: u32| value as f64 / NAT;
        let (total, aleatoric, epistemic) = (nats(u.total), nats(u.aleatoric), nats(u.epistemic));
        Ok(Prediction { probabilities, class, total, aleatoric, epistemic, decided: None })
    }

    /// From the probabilities of every draw, `[draw][image][class]`; a prediction for each image.
    fn of_probabilities(samples: usize, images: usize, classes: usize, draws: Vec<f64>) -> Result<Vec<Self>> {
        let found = qbnn_eval::uncertainty(&Predictions::new(samples, images, classes, draws)?);
        let prediction = |image: usize| {
            let probabilities = found.mean_probs[image * classes..][..classes].to_vec();
            let epistemic = found.epistemic.as_ref().map_or(0.0, |e| e[image]);
            let (total, aleatoric) = (found.total[image], found.aleatoric[image]);
            let class = arg_max(&probabilities).0;
            Prediction { class, probabilities, total, aleatoric, epistemic, decided: None }
        };
        Ok((0..images).map(prediction).collect())
    }

    /// From an analytic pass.
    fn of_pass(pass: pfp::Prediction) -> Self {
        let pfp::Prediction { probabilities, total, aleatoric, epistemic } = pass;
        let class = arg_max(&probabilities).0;
        Prediction { class, probabilities, total, aleatoric, epistemic, decided: None }
    }
}

/// A model that was opened.
pub struct Model {
    path: PathBuf,
    by: By,
    section: Content,
    /// Why decisions of the file are not given.
    without: Option<String>,
    check: Option<Check>,
}

/// Draws that analytic passes are held against, on the first images that are predicted.
struct Check {
    draws: Box<dyn Predictor>,
    found: PassAgreement,
}

/// The way in which a model predicts.
pub(crate) enum By {
    /// Logits and uncertainties in integers, as a device works them out.
    Integer(Integer),
    /// One analytic pass.
    Pass(Analytic),
    /// Probabilities in float: draws of the other kinds, and ensembles.
    Float(Box<dyn Predictor>),
}

impl Model {
    /// Opens a model file or an ensemble; with `pfp` for analytic passes instead of draws.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn open(path: &Path, pfp: Option<pfp::Weights>) -> Result<Self> {
        ModelSource::read(path)?.open(pfp)
    }

    /// Of what was read; with `pfp` for analytic passes instead of draws.
    pub(crate) fn of(source: &ModelSource, pfp: Option<pfp::Weights>) -> Result<Self> {
        let draws = || -> Result<Check> { Ok(Check { draws: source.predictor()?, found: PassAgreement::default() }) };
        let check = pfp.map(|_| draws()).transpose()?;
        let (mut section, mut without) = source.section();
        let pass = pass_of(pfp);
        if let Some(own) = section.decisions.take_if(|own| own.pass != pass) {
            let (measured, found) = (pass_name(own.pass), pass_name(pass));
            without = Some(format!("no decisions: those of the file were measured on {measured}, not on {found}"));
        }
        Ok(Model { path: source.path().to_owned(), by: source.by(pfp)?, section, without, check })
    }

    /// What the model decides for predictions of this kind, where it was calibrated.
    pub fn decisions(&self) -> Option<&Decisions> {
        self.section.decisions.as_ref()
    }

    /// What there is to say about its decisions for such draws: why there are none although the file holds some, or why their
    /// rates may be others than those that were measured.
    pub fn about_decisions(&self, draws: Draws) -> Option<String> {
        let caveat = || self.decisions().and_then(|own| caveat(own, draws));
        self.without.clone().or_else(caveat)
    }

    /// Names of the classes that the file holds; none where they are their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.section.class_names
    }

    /// Shape of the images that it reads.
    pub fn input(&self) -> Shape {
        self.by.predictor().input()
    }

    /// What computes its predictions.
    pub fn backend(&self) -> Backend {
        self.by.predictor().backend()
    }

    /// Most images that [`Model::predict`] is to be given at once, for so many draws: more take memory without saving time.
    pub fn at_once(&self, draws: usize) -> usize {
        let of_draws = (LOGITS / draws.saturating_mul(self.classes()).max(1)).clamp(1, TOGETHER);
        of_draws.min(PIXELS / self.input().len().max(1)).max(1)
    }

    /// Number of classes that it distinguishes.
    pub fn classes(&self) -> usize {
        self.by.predictor().classes()
    }

    /// Of analytic passes: how far they are from draws of the same model, on the first [`pass_check::IMAGES`] images that were
    /// predicted so far. A bare file has no other images at hand, and these are the ones that the passes are trusted for.
    pub fn pass_agreement(&self) -> Option<&PassAgreement> {
        self.check.as_ref().map(|check| &check.found)
    }

    /// A prediction for each image. Analytic passes are held against draws on the first of them.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn predict(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Prediction>> {
        self.predict_keeping(images, draws, progress, None)
    }

    /// The same, and keeps every draw.
    ///
    /// # Errors
    /// As [`Predictor::predict`]; an analytic pass, which has no draws; more draws than memory is taken for.
    pub fn predict_keeping(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
        keep: Option<&mut KeptDraws>,
    ) -> Result<Vec<Prediction>> {
        let mut all = self.undecided(images, draws, progress, keep)?;
        if let Some(Check { draws, found }) = &mut self.check {
            let images = first(images, pass_check::IMAGES.saturating_sub(found.images));
            let of_pass: Vec<_> = all.iter().take(images.len()).map(|p| p.probabilities.clone()).collect();
            if !of_pass.is_empty() {
                found.add(&of_pass, &mut **draws, images, 0)?;
            }
        }
        if let Some(own) = self.decisions() {
            all.iter_mut().for_each(|prediction| prediction.decided = Some(decide(own, prediction)));
        }
        Ok(all)
    }

    fn undecided(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
        keep: Option<&mut KeptDraws>,
    ) -> Result<Vec<Prediction>> {
        let (n, classes) = (images.len(), self.classes());
        match &mut self.by {
            By::Integer(integer) => {
                let logits = integer.logits(images, draws, progress)?;
                keep.map_or(Ok(()), |keep| keep.add_logits(draws.count, n, classes, &logits))?;
                let of = |image: usize| (0..draws.count).map(move |s| (s * n + image) * classes);
                let prediction =
                    |image: usize| Prediction::of_draws(of(image).map(|at| &logits[at..at + classes]), classes);
                let all: Result<Vec<_>, ClassesError> = (0..n).map(prediction).collect();
                all.map_err(|e| Error::contents(&self.path, format!("gives no probabilities: {e}")))
            }
            By::Pass(_) if keep.is_some() => {
                Err(Error::contents(&self.path, "has no draws in an analytic pass; leave out --pfp to keep some"))
            }
            By::Pass(pass) => Ok(pass.answers(images, progress)?.into_iter().map(Prediction::of_pass).collect()),
            By::Float(float) => {
                let found = float.predict(images, draws, progress)?;
                keep.map_or(Ok(()), |keep| keep.add(found.draws, n, classes, &found.values, found.energies.clone()))?;
                Prediction::of_probabilities(found.draws, n, classes, found.values)
            }
        }
    }
}

impl By {
    fn predictor(&self) -> &dyn Predictor {
        match self {
            By::Integer(integer) => integer,
            By::Pass(pass) => pass,
            By::Float(float) => &**float,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_probabilities_give_the_first_class() {
        let draws = [[0, 0, 0], [0, 0, 0]];
        let p = Prediction::of_draws(draws.iter().map(|d| &d[..]), 3).unwrap();
        assert_eq!(p.class, 0);
        assert!((p.total - 3f64.ln()).abs() < 1e-3 && p.epistemic < 1e-3);
    }
}
