//! Training steps against their bare matrix products; runs side by side against runs one after the other; evaluation.

use super::floor::Floor;
use super::machine::{peak_bytes, reset_peak};
use super::{median, networks};
use anyhow::Result;
use qbnn_bnn::internals::nn::limit;
use qbnn_bnn::internals::profile::{Part, Profile};
use qbnn_bnn::internals::step::Steps;
use qbnn_bnn::predictor::{Draws, NoProgress, of_checkpoint};
use qbnn_bnn::{Checkpoint, Estimator, ImagesView, Normalisation, QuantizeSettings, Shape, TrainData, TrainSettings};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Float, one weight draw a step.
    Float,
    /// Float, local reparameterization.
    Local,
    /// Float, flipout.
    Flipout,
    /// JQ W4A4 through the quantizers.
    JqW4a4,
}

impl Kind {
    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Float => "float",
            Kind::Local => "float, local reparameterization",
            Kind::Flipout => "float, flipout",
            Kind::JqW4a4 => "jq-w4a4 qat",
        }
    }

    /// Products of a step, in those of a plain one.
    fn products(self) -> f64 {
        match self {
            Kind::Local | Kind::Flipout => 2.0,
            Kind::Float | Kind::JqW4a4 => 1.0,
        }
    }
}

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Name of the network.
    pub network: &'static str,
    /// What is trained.
    pub kind: Kind,
    /// Training pairs per step.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Network.
    pub network: &'static str,
    /// What was trained.
    pub kind: Kind,
    /// Pairs per step.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Steps per second, the median step.
    pub steps_per_second: f64,
    /// Pairs per second.
    pub images_per_second: f64,
    /// Milliseconds of the bare matrix products, in the same run.
    pub floor_ms: f64,
    /// Step over floor.
    pub ratio: f64,
    /// Largest amount of memory of the process while it was measured.
    pub peak_bytes: Option<u64>,
    /// Milliseconds of each part of a step, summed over threads.
    pub parts_ms: BTreeMap<&'static str, f64>,
}

/// Made-up images and labels, as many pairs as steps will want.
pub struct Material {
    shape: Shape,
    pixels: Vec<u8>,
    pairs: Vec<(u32, u16)>,
}

/// Images of the made-up data.
const IMAGES: u32 = 1024;

impl Material {
    /// Of a shape.
    pub fn new(shape: Shape, pairs: usize) -> Self {
        let bytes = IMAGES * shape.len() as u32;
        let pixels = (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        Material { shape, pixels, pairs: (0..pairs as u32).map(|i| (i % IMAGES, (i % 10) as u16)).collect() }
    }

    fn images(&self) -> ImagesView<'_> {
        ImagesView { shape: self.shape, pixels: &self.pixels }
    }

    /// As training wants it.
    pub fn data(&self) -> TrainData<'_> {
        let none = ImagesView { shape: self.shape, pixels: &[] };
        TrainData { noise: 0.05, ..TrainData::of_pairs(self.images(), &self.pairs, none, &[]) }
    }
}

/// A checkpoint at the start of its training.
fn checkpoint(network: &str, kind: Kind, batch: usize, material: &Material) -> Result<Checkpoint> {
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
    Ok(Checkpoint::quantized(float, settings, &material.data())?)
}

/// Seconds of each of `count` steps, after two that warm up.
fn steps(start: &Checkpoint, data: TrainData<'_>, count: usize, profile: &mut Profile) -> Vec<f64> {
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

/// Rounds of a measurement, and steps of each.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds; medians over them are reported.
    pub rounds: usize,
    /// Seconds that the steps of a round should take.
    pub seconds: f64,
}

/// Measures one case, step and floor in turn.
pub fn measure(case: Case, effort: Effort) -> Result<Row> {
    let (_, shape) = networks::network(case.network)?;
    let material = Material::new(shape, case.batch.max(4096));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(case.threads).build()?;
    reset_peak();
    pool.install(|| {
        let start = checkpoint(case.network, case.kind, case.batch, &material)?;
        limit::training(start.net(), case.batch)?;
        let mut profile = Profile::default();
        let trial = median(steps(&start, material.data(), 3, &mut profile));
        let count = ((effort.seconds / trial) as usize).clamp(3, 60);
        let mut floor = Floor::new(start.net(), case.batch);
        profile = Profile::default();
        let (mut step_times, mut floor_times) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            step_times.push(median(steps(&start, material.data(), count, &mut profile)));
            floor_times.push(floor.seconds());
        }
        let (step, floor) = (median(step_times), median(floor_times) * case.kind.products());
        let share = 1e3 / (effort.rounds * count) as f64;
        Ok(Row {
            network: case.network,
            kind: case.kind,
            batch: case.batch,
            threads: case.threads,
            steps_per_second: 1.0 / step,
            images_per_second: case.batch as f64 / step,
            floor_ms: floor * 1e3,
            ratio: step / floor,
            peak_bytes: peak_bytes(),
            parts_ms: Part::ALL.map(|(part, name)| (name, profile.seconds(part) * share)).into(),
        })
    })
}

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
pub fn sharing(runs: usize, effort: Effort) -> Result<Sharing> {
    const BATCH: usize = 128;
    let material = Material::new(networks::network("lenet5")?.1, 4096);
    let start = checkpoint("lenet5", Kind::Float, BATCH, &material)?;
    let together = rayon::ThreadPoolBuilder::new().num_threads(runs).build()?;
    let alone: Vec<_> =
        (0..runs).map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build()).collect::<Result<_, _>>()?;
    let count = (effort.seconds * 300.0) as usize + 10;
    let (mut in_turn, mut side_by_side) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let train = || steps(&start, material.data(), count, &mut Profile::default());
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
pub fn evaluation(threads: usize, effort: Effort) -> Result<Evaluation> {
    const BATCH: usize = 128;
    const DRAWS: usize = 8;
    let material = Material::new(networks::network("lenet5")?.1, 4096);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| {
        let start = checkpoint("lenet5", Kind::Float, BATCH, &material)?;
        let mut predictor = of_checkpoint(&start)?;
        let count = (effort.seconds * 200.0) as usize + 10;
        let (mut trained, mut drawn) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            trained.push(median(steps(&start, material.data(), count, &mut Profile::default())));
            let begin = Instant::now();
            predictor.predict(material.images(), Draws { count: DRAWS, seed: 1 }, &mut NoProgress)?;
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
