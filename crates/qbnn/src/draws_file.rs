//! The draws of a prediction, kept for other programs: an `.npz` file of probabilities and, of the integer runtime, logits.
//!
//! Its arrays are those that `qbnn report --predictions` reads: `probs` \[S\]\[N\]\[C\], and `labels` \[N\] where they are known. `logits`
//! has the shape of `probs`; an integer logit has 16 fraction bits, of which `f32` holds the leading 24 bits. Of each image, in
//! double precision: `total`, `aleatoric`, `epistemic` and `energy` \[N\] in nats, `logit_disagreement` \[N\] in nats squared; of a
//! single draw neither `epistemic` nor `logit_disagreement`.

use crate::error::{Error, Result};
use crate::output::write_whole;
use qbnn_bnn::internals::nn::limit;
use qbnn_data::npz_write::{archive, array};
use qbnn_eval::{Predictions, uncertainty};
use std::path::Path;

/// Probabilities and logits, draw by draw, of all images so far.
#[derive(Clone, Debug, Default)]
pub struct KeptDraws {
    images: usize,
    classes: usize,
    probabilities: Vec<Vec<f32>>,
    logits: Vec<Vec<f32>>,
    /// Of each image, by the names of the arrays.
    scores: Vec<(&'static str, Vec<f64>)>,
}

impl KeptDraws {
    /// Refuses draws of so many images that would not have room, before any is predicted.
    ///
    /// # Errors
    /// [`Error::Bnn`] names the numbers and the limit.
    pub fn check_room(draws: usize, images: usize, classes: usize) -> Result<()> {
        Ok(limit::probabilities(draws, images, classes).map(drop)?)
    }

    /// Adds probabilities `[draw][image][class]` and energies `[draw][image]` of some more images.
    ///
    /// # Errors
    /// [`Error::Bnn`] where they are more than memory is taken for; [`Error::Eval`] of numbers that are no probabilities.
    pub(crate) fn add(
        &mut self,
        draws: usize,
        images: usize,
        classes: usize,
        probabilities: &[f64],
        energies: Vec<f64>,
    ) -> Result<()> {
        if images == 0 {
            return Ok(());
        }
        limit::probabilities(draws, self.images + images, classes)?;
        let predictions = Predictions::new(draws, images, classes, probabilities.to_vec())?.with_energies(energies)?;
        let found = uncertainty(&predictions);
        for (name, values) in [
            ("total", Some(found.total)),
            ("aleatoric", Some(found.aleatoric)),
            ("epistemic", found.epistemic),
            ("energy", found.energy),
            ("logit_disagreement", found.logit_disagreement),
        ] {
            let Some(values) = values else { continue };
            match self.scores.iter_mut().find(|score| score.0 == name) {
                Some((_, all)) => all.extend(values),
                None => self.scores.push((name, values)),
            }
        }
        (self.images, self.classes) = (self.images + images, classes);
        self.probabilities.resize(draws, Vec::new());
        let rows = probabilities.chunks(images * classes);
        self.probabilities.iter_mut().zip(rows).for_each(|(kept, row)| kept.extend(row.iter().map(|&p| p as f32)));
        Ok(())
    }

    /// Adds logits `[draw][image][class]` with 16 fraction bits, and their softmax, which is taken in double precision.
    ///
    /// # Errors
    /// As [`KeptDraws::add`].
    pub(crate) fn add_logits(&mut self, draws: usize, images: usize, classes: usize, logits: &[i32]) -> Result<()> {
        let mut probabilities = Vec::with_capacity(logits.len());
        let mut energies = Vec::with_capacity(draws * images);
        for row in logits.chunks(classes) {
            let top = row.iter().copied().max().unwrap_or(0);
            let powers = row.iter().map(|&l| ((f64::from(l) - f64::from(top)) / 65_536.0).exp());
            let sum: f64 = powers.clone().sum();
            probabilities.extend(powers.map(|p| p / sum));
            energies.push(-(f64::from(top) / 65_536.0 + sum.ln()));
        }
        self.add(draws, images, classes, &probabilities, energies)?;
        self.logits.resize(draws, Vec::new());
        let rows = logits.chunks(images * classes);
        let value = |&l: &i32| (f64::from(l) / 65_536.0) as f32;
        self.logits.iter_mut().zip(rows).for_each(|(kept, row)| kept.extend(row.iter().map(value)));
        Ok(())
    }

    /// N: the images so far.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Probabilities: for each draw those of all images, `[image][class]`, flat.
    pub fn probabilities(&self) -> &[Vec<f32>] {
        &self.probabilities
    }

    /// Logits in the same order; none of a model that does not run in integers.
    pub fn logits(&self) -> &[Vec<f32>] {
        &self.logits
    }

    /// Writes them, with the labels of the images where there are some.
    ///
    /// # Errors
    /// A file that cannot be written; no images; as many labels as there are not images.
    pub fn write(&self, path: &Path, labels: Option<&[usize]>) -> Result<()> {
        if self.images == 0 {
            return Err(Error::contents(path, "would hold no image; name images that can be read"));
        }
        let shape = [self.probabilities.len(), self.images, self.classes];
        let bytes = |rows: &[Vec<f32>]| rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut arrays = vec![array("probs", "<f4", &shape, bytes(&self.probabilities))];
        if !self.logits.is_empty() {
            arrays.push(array("logits", "<f4", &shape, bytes(&self.logits)));
        }
        let wide = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        arrays.extend(self.scores.iter().map(|(name, values)| array(name, "<f8", &[self.images], wide(values))));
        if let Some(labels) = labels {
            if labels.len() != self.images {
                let (found, wanted) = (labels.len(), self.images);
                return Err(Error::contents(
                    path,
                    format!("would hold {found} labels of {wanted} images; give one each"),
                ));
            }
            let labels: Vec<u8> = labels.iter().flat_map(|&l| (l as u64).to_le_bytes()).collect();
            arrays.push(array("labels", "<i8", &[self.images], labels));
        }
        let file =
            archive(&arrays).ok_or_else(|| Error::contents(path, "would be 2^32 bytes or more; take fewer draws"))?;
        write_whole(path, &file)
    }
}
