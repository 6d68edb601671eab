//! Checkpoints and model files as predictors.

use super::analytic::Analytic;
use super::float::Float;
use super::integer::Integer;
use super::interface::{Predictor, checked};
use super::simulated::Simulated;
use crate::checkpoint::Checkpoint;
use crate::error::BnnError;
use crate::export::export;
use crate::import::{Imported, import};
use crate::pfp;
use crate::quant::settings::Strategy;
use qbnn_core::model::Kind;
use std::sync::Arc;

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
