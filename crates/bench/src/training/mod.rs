//! Training steps against their bare matrix products; runs side by side against runs one after the other; evaluation.

mod floor;
mod steps;
mod targets;
mod whole;

pub use whole::{Evaluation, Sharing};

use crate::machine::{Machine, peak_bytes, reset_peak};
use crate::made_up::MadeUp;
use crate::networks::{NAMES, network};
use crate::{Effort, Error, Target, median};
use floor::Floor;
use qbnn_bnn::internals::nn::limit;
use qbnn_bnn::internals::profile::{Part, Profile};
use qbnn_bnn::predictor::Progress;
use serde::Serialize;
use std::collections::BTreeMap;
use steps::{checkpoint, steps};

/// Batch of the rows that the targets are about.
pub const BATCH: usize = 128;

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names of networks, of those in [`NAMES`]; empty for all.
    pub networks: Vec<String>,
    /// Training pairs per step; empty for those that each network has by default.
    pub batches: Vec<usize>,
    /// Threads to measure with.
    pub threads: Vec<usize>,
    /// How long.
    pub effort: Effort,
}

/// The measurement of training.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The computer.
    pub machine: Machine,
    /// The targets that these rows can answer.
    #[serde(rename = "bars")]
    pub targets: Vec<Target>,
    /// A row for each network, kind of training, batch and number of threads.
    pub rows: Vec<Row>,
    /// Several runs at once, where lenet5 was measured with more than one thread.
    pub sharing: Option<Sharing>,
    /// Evaluation beside training, where lenet5 was measured.
    pub evaluation: Option<Evaluation>,
}

impl Record {
    /// The row of a network with batches of [`BATCH`].
    pub fn find(&self, network: &str, kind: Kind, threads: usize) -> Option<&Row> {
        find(&self.rows, network, kind, threads)
    }
}

fn find<'a>(rows: &'a [Row], network: &str, kind: Kind, threads: usize) -> Option<&'a Row> {
    rows.iter().find(|r| (r.network, r.kind, r.batch, r.threads) == (network, kind, BATCH, threads))
}

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
struct Case {
    network: &'static str,
    kind: Kind,
    /// Training pairs per step.
    batch: usize,
    threads: usize,
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

impl Plan {
    /// Everything by default: both built-in networks, float and QAT, three batches; the other estimators and the
    /// residual network at one.
    fn cases(&self, networks: &[&'static str]) -> Vec<Case> {
        let mut cases = Vec::new();
        for &network in networks {
            let all: &[(Kind, &[usize])] = match network {
                "residual" => &[(Kind::Float, &[BATCH])],
                _ => &[
                    (Kind::Float, &[32, BATCH, 512]),
                    (Kind::JqW4a4, &[32, BATCH, 512]),
                    (Kind::Local, &[BATCH]),
                    (Kind::Flipout, &[BATCH]),
                ],
            };
            for &threads in &self.threads {
                for &(kind, default) in all {
                    let batches = if self.batches.is_empty() { default } else { &self.batches };
                    cases.extend(batches.iter().map(|&batch| Case { network, kind, batch, threads }));
                }
            }
        }
        cases
    }

    /// The networks, in the order of [`NAMES`].
    fn networks(&self) -> Result<Vec<&'static str>, Error> {
        if let Some(unknown) = self.networks.iter().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(Error::Network { name: unknown.clone() });
        }
        let wanted = |name: &&str| self.networks.is_empty() || self.networks.iter().any(|n| n == name);
        Ok(NAMES.into_iter().filter(wanted).collect())
    }
}

/// Measures training. `progress` is told after each row.
///
/// # Errors
/// A network that is not in [`NAMES`]; a batch that is too large; threads that do not start; [`Error::Stopped`] if
/// `progress` asked to stop.
pub fn measure(plan: &Plan, progress: &mut dyn Progress) -> Result<Record, Error> {
    let networks = plan.networks()?;
    let cases = plan.cases(&networks);
    let mut rows = Vec::new();
    for &case in &cases {
        rows.push(measure_one(case, plan.effort)?);
        if progress.step(rows.len(), cases.len()).is_break() {
            return Err(Error::Stopped { what: format!("training of {}", case.network) });
        }
    }
    let threads = plan.threads.iter().copied().max().unwrap_or(1);
    let has_lenet5 = networks.contains(&"lenet5");
    let sharing = (has_lenet5 && threads > 1).then(|| whole::sharing(threads, plan.effort)).transpose()?;
    let evaluation = has_lenet5.then(|| whole::evaluation(threads, plan.effort)).transpose()?;
    Ok(Record { machine: Machine::here(), targets: targets::of(&rows), rows, sharing, evaluation })
}

/// Measures one case, step and floor in turn.
fn measure_one(case: Case, effort: Effort) -> Result<Row, Error> {
    let (_, shape) = network(case.network)?;
    let images = MadeUp::new(shape, case.batch.max(4096));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(case.threads).build()?;
    reset_peak();
    pool.install(|| {
        let start = checkpoint(case.network, case.kind, case.batch, &images)?;
        limit::training(start.net(), case.batch)?;
        let mut profile = Profile::default();
        let trial = median(steps(&start, images.data(), 3, &mut profile));
        let count = ((effort.seconds / trial) as usize).clamp(3, 60);
        let mut floor = Floor::new(start.net(), case.batch);
        profile = Profile::default();
        let (mut step_times, mut floor_times) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            step_times.push(median(steps(&start, images.data(), count, &mut profile)));
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
