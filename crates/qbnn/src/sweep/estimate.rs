//! How long runs take, before any has: multiply-adds and draws counted, times what one thread does per second.
//!
//! Good to a factor of two on an AVX-512 machine of 2024. Once a ledger holds figures of this machine, estimates are
//! scaled by them.

use super::ledger::{Outcome, Results};
use super::plan::{Float, Plan, Run};
use super::spec::Model;
use crate::config::{Config, SHIFT_IMAGES, shifted};
use crate::recipe::DEFAULT_DATA;
use qbnn_bnn::{Network, Shape, Strategy};
use qbnn_data::Extent;

/// Multiply-adds of one thread per second, training and prediction.
const RATE: f64 = 36e9;
/// Seconds per parameter and step, in float: draw, divergence, optimizer.
const FLOAT_PARAMETER: f64 = 4e-9;
/// The same through quantizers.
const QUANTIZED_PARAMETER: f64 = 15e-9;
/// Seconds of one image's metrics per number of draws.
const METRICS: f64 = 20e-6;

/// What the data of an experiment holds; of data without a descriptor as much as of the default.
fn extent(config: &Config) -> Option<Extent> {
    Extent::of(&config.data.name).or_else(|| Extent::of(DEFAULT_DATA))
}

/// Training pairs, and images of all test groups.
fn sizes(config: &Config) -> (f64, f64) {
    let Some(extent) = extent(config) else { return (0.0, 0.0) };
    let pairs = config.data.train_limit.map_or(extent.pairs, |l| l.min(extent.pairs));
    let group = |n: &usize| config.data.group_limit.map_or(*n, |l| l.min(*n));
    let of_a_shift = group(extent.groups.first().unwrap_or(&0)).min(config.eval.shift_images.unwrap_or(SHIFT_IMAGES));
    let shifted = shifted(config.eval.shifts, config.eval.severities).count() * of_a_shift;
    (pairs as f64, (extent.groups.iter().map(group).sum::<usize>() + shifted) as f64)
}

/// (multiply-adds of an image, parameters); of nothing if the network cannot be built, which its run will say.
fn network(config: &Config) -> (f64, f64) {
    let built = extent(config).and_then(|Extent { shape: [rows, columns, channels], classes, .. }| {
        Network::new(&config.network.spec(classes).ok()?, Shape { channels, rows, columns }, classes).ok()
    });
    built.map_or((0.0, 0.0), |net| (net.multiply_adds() as f64, net.parameters() as f64))
}

fn training(config: &Config, epochs: usize, per_parameter: f64) -> f64 {
    let ((macs, parameters), (pairs, _)) = (network(config), sizes(config));
    let steps = (pairs / config.train.batch as f64).ceil();
    epochs as f64 * (3.0 * pairs * macs / RATE + steps * parameters * per_parameter)
}

/// Seconds of training a float network on one thread.
pub fn float(float: &Float) -> f64 {
    training(&float.config, float.config.train.epochs, FLOAT_PARAMETER)
}

/// Seconds of making and evaluating a model on one thread, its float network left out.
pub fn run(run: &Run) -> f64 {
    let (train, eval) = parts(run);
    train + eval
}

fn parts(run: &Run) -> (f64, f64) {
    let config = &run.config;
    let quantized = || training(config, config.quantize.epochs, QUANTIZED_PARAMETER) + calibration(config);
    let train = match run.model {
        Model::Quantized | Model::Pfp => quantized(),
        Model::QuantizedEnsemble => quantized() * run.floats.len() as f64,
        Model::Float | Model::Ensemble => 0.0,
    };
    let ((macs, _), (_, images)) = (network(config), sizes(config));
    let eval = images * (run.most_samples() as f64 * macs / RATE + METRICS * run.samples.len() as f64);
    (train, eval + 0.1)
}

fn calibration(config: &Config) -> f64 {
    let (_, parameters) = network(config);
    let drawn = if config.quantize.strategy == Strategy::Vpq { 1.0 } else { 10.0 };
    parameters * drawn * 80.0 * 2e-9 + 0.3
}

/// How much slower than estimated this machine was, by what a ledger holds of it; 1 without any.
pub fn scale(plan: &Plan, results: &Results) -> f64 {
    let (mut estimated, mut measured) = (0.0, 0.0);
    for run in &plan.runs {
        let lines =
            run.samples.iter().filter_map(|&samples| results.get(&super::plan::Point { run: run.id.clone(), samples }));
        let mut done = lines.filter_map(|l| match &l.outcome {
            Outcome::Done(done) => Some(done.train_seconds + done.eval_seconds),
            Outcome::Failed(_) => None,
        });
        if let Some(seconds) = done.next() {
            estimated += self::run(run);
            measured += seconds;
        }
    }
    if estimated > 0.0 && measured > 0.0 { measured / estimated } else { 1.0 }
}

/// Seconds as people say them.
pub fn shown(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..=99 => format!("{s} s"),
        100..=5399 => format!("{} min", (s + 30) / 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}
