//! Running a model: latency, throughput and drawing by the integer runtime, beside float and beside this core's limit.
//!
//! Everything that is compared is measured in turn, round after round, and the fastest time of each counts: what else the
//! computer does can only make a time longer. Where one thread works, the time in which it was ready and had no core is
//! taken off, if the system tells it.

mod rig;
mod subject;
mod targets;

pub use subject::{BUILT_IN, Subject};

use crate::machine::Machine;
use crate::{Effort, Error, Target};
use qbnn_bnn::internals::nn::limit;
use qbnn_bnn::predictor::Progress;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::{Kind, Model};
use qbnn_core::run::{self, Program, Step, Weights};
use rayon::{ThreadPool, ThreadPoolBuilder};
use rig::{Best, Memory, Rig};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Networks drawn for each prediction.
pub const DRAWS: u32 = 32;
const SEED: u64 = 7;

/// What to measure of each model, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Images that run together.
    pub batches: Vec<usize>,
    /// Threads to measure with.
    pub threads: Vec<usize>,
    /// How long.
    pub effort: Effort,
}

/// The measurement of some models.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The computer.
    pub machine: Machine,
    /// Networks drawn for each prediction.
    pub draws: u32,
    /// The targets that these measurements can answer.
    #[serde(rename = "bars")]
    pub targets: Vec<Target>,
    /// The models.
    pub networks: Vec<Measured>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A loop of nothing but the kernel's multiply-adds.
    Limit,
    /// A loop that copies memory.
    Copy,
    /// Weights of all draws from codes.
    Drawing,
    /// Images through weights that were drawn before.
    Materialised,
    /// Images through weights that are drawn on the way.
    Streamed,
    /// The same draws in float, weights drawn on the way; works in blocks of 32 images.
    Float,
    /// One pass of one image with the mean weights, in float.
    Pass,
    /// One analytic pass (PFP) of one image with the same loops: mean and variance of the logits.
    Pfp,
}

impl What {
    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            What::Limit => "limit: dot products",
            What::Copy => "limit: copy",
            What::Drawing => "drawing",
            What::Materialised => "materialised",
            What::Streamed => "streamed",
            What::Float => "float",
            What::Pass => "one float pass",
            What::Pfp => "one PFP",
        }
    }
}

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
struct Case {
    what: What,
    batch: Option<usize>,
    threads: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What.
    pub what: What,
    /// Images, where there are any.
    pub batch: Option<usize>,
    /// Threads.
    pub threads: usize,
    /// Seconds of the fastest time; of one thread, without those in which it waited for a core.
    pub seconds: f64,
    /// The same in wall-clock time.
    pub wall_seconds: f64,
    /// Per second: multiply-adds (limit), bytes (copy), weights (drawing), images.
    pub rate: f64,
    /// Multiply-adds per second (of weights: weights) as a fraction of the limit on as many threads.
    pub of_limit: Option<f64>,
}

/// A network and its rows.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The network's name.
    pub name: String,
    /// The model file, or `None` for an untrained built-in network.
    pub file: Option<String>,
    /// Kernel.
    pub kernel: &'static str,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Bytes of working memory of each thread: all that streaming needs beside the file.
    pub scratch_bytes: usize,
    /// Bytes of the materialised weights of all draws.
    pub weights_bytes: usize,
    /// Multiply-adds of an image under one draw.
    pub multiply_adds: u64,
    /// Of the time of one-thread rows, the share in which the thread waited for a core: near 0 on an idle machine.
    pub waited: Option<f64>,
    /// The rows, in the order of the cases.
    pub rows: Vec<Row>,
}

impl Measured {
    /// A row.
    pub fn find(&self, what: What, batch: Option<usize>, threads: usize) -> Option<&Row> {
        self.rows.iter().find(|r| (r.what, r.batch, r.threads) == (what, batch, threads))
    }
}

impl Plan {
    /// All cases of a network.
    fn cases(&self, float: bool) -> Vec<Case> {
        let mut cases = Vec::new();
        for &threads in &self.threads {
            let mut push = |what, batch| cases.push(Case { what, batch, threads });
            push(What::Limit, None);
            push(What::Copy, None);
            push(What::Drawing, None);
            if threads == 1 {
                // One image is one thread's work.
                push(What::Pass, Some(1));
                push(What::Pfp, Some(1));
            }
            let predicting = [What::Materialised, What::Streamed, What::Float];
            for what in predicting.into_iter().filter(|w| float || *w != What::Float) {
                self.batches.iter().for_each(|&batch| push(what, Some(batch)));
            }
        }
        cases
    }
}

/// Measures models. `progress` is told after each measurement of each round.
///
/// # Errors
/// A model that the integer runtime does not run; a batch that is too large; threads that do not start;
/// [`Error::Stopped`] if `progress` asked to stop.
pub fn measure(subjects: &[Subject], plan: &Plan, progress: &mut dyn Progress) -> Result<Record, Error> {
    let lists: Vec<Vec<Case>> = subjects.iter().map(|s| plan.cases(s.float.is_some())).collect();
    let of = plan.effort.rounds * lists.iter().map(Vec::len).sum::<usize>();
    let mut done = 0;
    let mut networks = Vec::new();
    for (subject, cases) in subjects.iter().zip(&lists) {
        let mut tick = || {
            done += 1;
            progress.step(done, of)
        };
        let mut stopped = || tick().is_break();
        networks.push(measure_one(subject, cases, plan.effort, &mut stopped)?);
    }
    let targets = networks.iter().flat_map(targets::of).collect();
    Ok(Record { machine: Machine::here(), draws: DRAWS, targets, networks })
}

/// Measures one model; `stopped` is asked after each measurement.
fn measure_one(
    subject: &Subject,
    cases: &[Case],
    effort: Effort,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Measured, Error> {
    let model = Model::new(&subject.file)?;
    if model.kind() != Kind::Jq {
        let file = subject.name.clone().unwrap_or_default();
        return Err(Error::Kind { file, kind: model.kind().name() });
    }
    let kernel = Kernel::chosen()?;
    let mut steps = vec![Step::default(); model.layers()];
    let plan = run::Plan::new(model, &mut steps)?;
    let mut constants = vec![0; plan.constants()];
    let program: Program<'_> = plan.prepare(kernel, &mut constants)?;
    let threads = cases.iter().map(|c| c.threads).max().unwrap_or(1);
    let batch = cases.iter().filter_map(|c| c.batch).max().unwrap_or(1);
    check_batch(&model, batch)?;
    let mut scratch = Memory::new(plan.scratch());
    let mut drawn = Memory::new(plan.weights(DRAWS as usize));
    let Memory { signed, words, .. } = &mut drawn;
    let weights = Weights::draw(&program, SEED, 0..DRAWS, signed, words, &mut scratch.scratch())?;
    let rig = Rig::new(kernel, program, weights, subject.float.as_ref(), (batch, threads))?;
    let pools = pools(cases)?;
    let mut best = vec![Best::default(); cases.len()];
    for _ in 0..effort.rounds {
        for (case, best) in cases.iter().zip(&mut best) {
            let mut slot = || rig.slot(case, effort.seconds, best);
            // One thread is this one: no other has to be woken. Float wants a pool in any case.
            match case.threads {
                1 if case.what != What::Float => slot()?,
                n => pools[&n].install(slot)?,
            }
            if stopped() {
                return Err(Error::Stopped { what: model.name().to_owned() });
            }
        }
    }
    let mut rows: Vec<Row> = cases.iter().zip(&best).map(|(case, best)| rig.row(case, best)).collect();
    set_fractions(&mut rows, model.multiply_adds());
    Ok(Measured {
        name: model.name().to_owned(),
        file: subject.name.clone(),
        kernel: kernel.name(),
        file_bytes: subject.file.len(),
        scratch_bytes: plan.scratch().total() + 4 * plan.constants(),
        weights_bytes: plan.weights(DRAWS as usize).total(),
        multiply_adds: model.multiply_adds(),
        waited: waited(cases, &best),
        rows,
    })
}

/// Refuses a batch whose images, or the logits of all draws of them, are more than a prediction may hold.
fn check_batch(model: &Model<'_>, batch: usize) -> Result<(), Error> {
    limit::probabilities(DRAWS as usize, batch, model.classes())?;
    let bytes = batch as u128 * model.input().len() as u128;
    if bytes > limit::MAX_PROBABILITIES as u128 {
        return Err(Error::Images { batch, model: model.name().to_owned(), bytes });
    }
    Ok(())
}

/// A pool for each number of threads.
fn pools(cases: &[Case]) -> Result<BTreeMap<usize, ThreadPool>, Error> {
    let mut pools = BTreeMap::new();
    for case in cases {
        if let Entry::Vacant(place) = pools.entry(case.threads) {
            place.insert(ThreadPoolBuilder::new().num_threads(case.threads).build()?);
        }
    }
    Ok(pools)
}

/// Sets each row's fraction of the limit on as many threads.
fn set_fractions(rows: &mut [Row], multiply_adds: u64) {
    let limits: Vec<(usize, f64)> =
        rows.iter().filter(|r| r.what == What::Limit).map(|r| (r.threads, r.rate)).collect();
    for row in rows {
        let work = match row.what {
            // Passes in float have another limit.
            What::Limit | What::Copy | What::Pass | What::Pfp => None,
            What::Drawing => Some(1.0),
            What::Materialised | What::Streamed | What::Float => Some((multiply_adds * DRAWS as u64) as f64),
        };
        let limit = limits.iter().find(|(threads, _)| *threads == row.threads);
        row.of_limit = work.zip(limit).map(|(work, (_, limit))| row.rate * work / limit);
    }
}

/// The share of the time of one-thread cases in which the thread waited for a core.
fn waited(cases: &[Case], best: &[Best]) -> Option<f64> {
    let alone = || cases.iter().zip(best).filter(|(case, _)| case.threads == 1).map(|(_, best)| best);
    let waited = alone().map(|b| b.waited).sum::<Option<f64>>()?;
    Some(waited / alone().map(|b| b.spent).sum::<f64>()).filter(|share| share.is_finite())
}
