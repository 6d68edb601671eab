//! Several predictors as one.

use super::interface::{Backend, Draws, Predictor, Probabilities, Progress};
use crate::error::BnnError;
use qbnn_core::{ImagesView, Shape};

/// Several predictors as one. Draw s is draw s / M of member s mod M: all M members share the draws, the first of each
/// before the second of any.
pub struct Ensemble {
    members: Vec<Box<dyn Predictor>>,
    input: Shape,
    classes: usize,
}

impl Ensemble {
    /// Of members that read the same images and tell the same classes apart.
    ///
    /// # Errors
    /// [`BnnError::Data`] without members, or for one that differs from the first.
    pub fn new(members: Vec<Box<dyn Predictor>>) -> Result<Self, BnnError> {
        let Some(first) = members.first() else {
            return Err(BnnError::Data("an ensemble has no members; name at least one model".into()));
        };
        let (input, classes) = (first.input(), first.classes());
        for (i, member) in members.iter().enumerate() {
            if (member.input(), member.classes()) != (input, classes) {
                return Err(BnnError::Data(format!(
                    "member {} of an ensemble reads {} images of {} classes, the first one {input} images of {classes}",
                    i + 1,
                    member.input(),
                    member.classes()
                )));
            }
        }
        Ok(Ensemble { members, input, classes })
    }
}

impl Predictor for Ensemble {
    fn input(&self) -> Shape {
        self.input
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn backend(&self) -> Backend {
        Backend::Ensemble { members: self.members.iter().map(|m| m.backend()).collect() }
    }

    fn predict(
        &mut self,
        images: ImagesView<'_>,
        draws: Draws,
        progress: &mut dyn Progress,
    ) -> Result<Probabilities, BnnError> {
        let (n, of) = (images.len(), self.members.len());
        let (row, asked) = (n * self.classes, draws.count.div_ceil(of));
        let mut all = Probabilities::zeros(0, n, self.classes)?;
        let mut each = 0;
        for (i, member) in self.members.iter_mut().enumerate() {
            let mut step = |done: usize, steps: usize| progress.step(i * steps + done, of * steps);
            let found = member.predict(images, Draws { count: asked, ..draws }, &mut step)?;
            if i == 0 {
                each = found.draws;
                // Analytic passes have points of their own, which all count.
                let draws = if each == asked { draws.count } else { each * of };
                all = Probabilities::zeros(draws, n, self.classes)?;
            }
            if found.draws != each {
                let other = found.draws;
                return Err(BnnError::Data(format!(
                    "members of an ensemble give {each} and {other} draws; all want one"
                )));
            }
            for s in (i..all.draws).step_by(of) {
                all.values[s * row..][..row].copy_from_slice(&found.values[s / of * row..][..row]);
                all.energies[s * n..][..n].copy_from_slice(&found.energies[s / of * n..][..n]);
            }
        }
        Ok(all)
    }
}
