//! Training beside other work: several runs on one computer, and the evaluation that follows a training.

use super::steps::{checkpoint, steps};
use super::{BATCH, Kind};
use crate::made_up::{IMAGES, MadeUp};
use crate::{Effort, Error, median, networks};
use qbnn_bnn::internals::profile::Profile;
use qbnn_bnn::predictor::{Draws, NoProgress, of_checkpoint};
use serde::Serialize;
use std::time::Instant;

/// How the cores of a machine are best shared among several runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sharing {
    /// Runs, and threads in all.
    pub runs: usize,
    /// Pairs per second of all runs, each with all threads, one after the other.
    pub in_turn: f64,
    /// Pairs per second of all runs, side by side with one thread each.
    pub side_by_side: f64,
}

/// Measures `runs` trainings of lenet5, batch 128: one after the other with `runs` threads each, and side by side with
/// one thread each.
pub(super) fn sharing(runs: usize, effort: Effort) -> Result<Sharing, Error> {
    let images = MadeUp::new(networks::network("lenet5")?.1, 4096);
    let start = checkpoint("lenet5", Kind::Float, BATCH, &images)?;
    let together = rayon::ThreadPoolBuilder::new().num_threads(runs).build()?;
    let alone: Vec<_> =
        (0..runs).map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build()).collect::<Result<_, _>>()?;
    let count = (effort.seconds * 300.0) as usize + 10;
    let (mut in_turn, mut side_by_side) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let train = || steps(&start, images.data(), count, &mut Profile::default());
        let begin = Instant::now();
        for _ in 0..runs {
            together.install(train);
        }
        in_turn.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for pool in &alone {
                scope.spawn(|| pool.install(train));
            }
        });
        side_by_side.push(begin.elapsed().as_secs_f64());
    }
    let rate = |seconds| (runs * (count + 2) * BATCH) as f64 / seconds;
    Ok(Sharing { runs, in_turn: rate(median(in_turn)), side_by_side: rate(median(side_by_side)) })
}

/// Evaluation against training.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Evaluation {
    /// Threads.
    pub threads: usize,
    /// Images times draws per second.
    pub draws_per_second: f64,
    /// Seconds of 32 draws over 80,000 images.
    pub seconds: f64,
    /// Seconds of two epochs of 120,000 pairs.
    pub two_epochs_seconds: f64,
}

/// Measures evaluation with lenet5 in float against training with batch 128.
pub(super) fn evaluation(threads: usize, effort: Effort) -> Result<Evaluation, Error> {
    const DRAWS: usize = 8;
    let images = MadeUp::new(networks::network("lenet5")?.1, 4096);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| {
        let start = checkpoint("lenet5", Kind::Float, BATCH, &images)?;
        let mut predictor = of_checkpoint(&start)?;
        let count = (effort.seconds * 200.0) as usize + 10;
        let (mut trained, mut drawn) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            trained.push(median(steps(&start, images.data(), count, &mut Profile::default())));
            let begin = Instant::now();
            predictor.predict(images.images(), Draws { count: DRAWS, seed: 1 }, &mut NoProgress)?;
            drawn.push(begin.elapsed().as_secs_f64());
        }
        let draws_per_second = (IMAGES as usize * DRAWS) as f64 / median(drawn);
        Ok(Evaluation {
            threads,
            draws_per_second,
            seconds: 32.0 * 80_000.0 / draws_per_second,
            two_epochs_seconds: 240_000.0 / BATCH as f64 * median(trained),
        })
    })
}
