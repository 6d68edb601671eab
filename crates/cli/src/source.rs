//! What answers `qbnn predict`: a model file or an ensemble of some, opened once.

use crate::answer::Answer;
use anyhow::Result;
use qbnn::ensemble::{self, Ensemble};
use qbnn::model_file;
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::{Analytic, Draws, Integer, Predictor, Progress, of_file};
use qbnn_core::model::Kind;
use qbnn_core::{ImagesView, Shape};
use std::path::Path;

/// An opened model, by the way in which its answers are worked out.
pub enum Source {
    /// Logits and uncertainties in integers, as a device works them out.
    Integer(Integer),
    /// One analytic pass.
    Pass(Analytic),
    /// Probabilities in float: draws of the other kinds, and ensembles.
    Float(Box<dyn Predictor>),
}

impl Source {
    /// Opens a model file or an ensemble; with `pfp` for analytic passes instead of draws.
    ///
    /// # Errors
    /// One line on what is wrong with a file.
    pub fn open(path: &Path, pfp: Option<pfp::Weights>) -> Result<Self> {
        if ensemble::is_one(path) {
            let ensemble = Ensemble::read(path)?;
            return Ok(Source::Float(match pfp {
                Some(weights) => ensemble.analytic(weights)?,
                None => ensemble.predictor()?,
            }));
        }
        let file = model_file::read(path)?;
        Ok(match pfp {
            Some(weights) => Source::Pass(Analytic::new(file, weights)?),
            None if model_file::model(&file)?.kind() == Kind::Jq => Source::Integer(Integer::new(file)?),
            None => Source::Float(of_file(file)?),
        })
    }

    /// Shape of the images that it reads.
    pub fn input(&self) -> Shape {
        self.predictor().input()
    }

    /// Classes that it tells apart.
    pub fn classes(&self) -> usize {
        self.predictor().classes()
    }

    fn predictor(&self) -> &dyn Predictor {
        match self {
            Source::Integer(integer) => integer,
            Source::Pass(pass) => pass,
            Source::Float(float) => &**float,
        }
    }

    /// An answer for each image.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn answers(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Answer>> {
        let (n, classes) = (images.len(), self.classes());
        match self {
            Source::Integer(integer) => {
                let logits = integer.logits(images, draws, progress)?;
                let of = |image: usize| (0..draws.count).map(move |s| (s * n + image) * classes);
                let answer = |image: usize| Answer::of_draws(of(image).map(|at| &logits[at..at + classes]), classes);
                (0..n).map(answer).collect()
            }
            Source::Pass(pass) => Ok(pass.answers(images, progress)?.into_iter().map(Answer::of_pass).collect()),
            Source::Float(float) => {
                let found = float.predict(images, draws, progress)?;
                Answer::of_probabilities(found.draws, n, classes, found.values)
            }
        }
    }
}
