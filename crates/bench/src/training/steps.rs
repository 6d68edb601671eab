//! Steps of a training, timed.

use super::Kind;
use crate::made_up::MadeUp;
use crate::{Error, networks};
use qbnn_bnn::internals::profile::Profile;
use qbnn_bnn::internals::step::Steps;
use qbnn_bnn::{Checkpoint, Estimator, Normalisation, QuantizeSettings, TrainData, TrainSettings};
use std::time::Instant;

/// A checkpoint at the start of its training.
pub fn checkpoint(network: &str, kind: Kind, batch: usize, images: &MadeUp) -> Result<Checkpoint, Error> {
    let (spec, shape) = networks::network(network)?;
    let estimator = match kind {
        Kind::Local => Estimator::LocalReparameterization,
        Kind::Flipout => Estimator::Flipout,
        Kind::Float | Kind::JqW4a4 => Estimator::Reparameterization,
    };
    let train = TrainSettings { epochs: 1, batch, estimator, ..TrainSettings::default() };
    let float = Checkpoint::new(&spec, shape, 10, Normalisation { mean: 0.13, std: 0.31 }, 1, train)?;
    if kind != Kind::JqW4a4 {
        return Ok(float);
    }
    let settings = QuantizeSettings { epochs: 1, calibration: 128, ..QuantizeSettings::default() };
    Ok(Checkpoint::quantized(float, settings, &images.data())?)
}

/// Seconds of each of `count` steps, after two that warm up.
pub fn steps(start: &Checkpoint, data: TrainData<'_>, count: usize, profile: &mut Profile) -> Vec<f64> {
    let mut checkpoint = start.clone();
    let batch = checkpoint.train.batch;
    let mut steps = Steps::new(&checkpoint, data);
    let order: Vec<u32> = (0..data.pairs.len() as u32).collect();
    let mut times = Vec::with_capacity(count);
    for i in 0..count + 2 {
        if i == 2 {
            steps.profile = Profile::default();
            times.clear();
        }
        let first = i * batch % (order.len() - batch + 1);
        let begin = Instant::now();
        steps.step(&mut checkpoint, &order[first..first + batch], i as u64, (count + 2) as u64);
        times.push(begin.elapsed().as_secs_f64());
    }
    profile.add(&steps.profile);
    times
}
