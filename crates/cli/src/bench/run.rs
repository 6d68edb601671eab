//! Running a model: latency, throughput and drawing by the integer runtime, beside float and beside this core's limit.
//!
//! Everything that is compared is measured in turn, round after round, and the fastest time of each counts: what else the
//! machine does can only make a time longer. Where one thread works, the time in which it was ready and had no core is
//! taken off, if the system tells it.

use super::machine::waited;
use super::subject::Subject;
use super::train::Effort;
use anyhow::{Context, Result, bail};
use qbnn::model_file;
use qbnn_bnn::internals::nn::limit;
use qbnn_bnn::pfp::Pfp;
use qbnn_bnn::predictor::{Draws, NoProgress, Predictor, of_checkpoint};
use qbnn_bnn::{ImagesView, pfp};
use qbnn_core::kernel::Kernel;
use qbnn_core::kernel::limit::multiply_adds;
use qbnn_core::model::Kind;
use qbnn_core::run::{Plan, Program, Scratch, Size, Source, Step, Weights};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Instant;

/// Networks drawn for each prediction.
pub const DRAWS: u32 = 32;
const SEED: u64 = 7;
/// Turns of the limit's loop in one go, about a millisecond.
const TURNS: usize = 100_000;
/// Bytes that the copy loop copies: beyond the caches.
const COPY: usize = 64 << 20;

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
pub struct Case {
    /// What.
    pub what: What,
    /// Images, where there are any.
    pub batch: Option<usize>,
    /// Threads.
    pub threads: usize,
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

/// All cases of a network.
pub fn cases(batches: &[usize], threads: &[usize], float: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for &threads in threads {
        let mut push = |what, batch| cases.push(Case { what, batch, threads });
        push(What::Limit, None);
        push(What::Copy, None);
        push(What::Drawing, None);
        if threads == 1 {
            // One image is one thread's work.
            push(What::Pass, Some(1));
            push(What::Pfp, Some(1));
        }
        for what in [What::Materialised, What::Streamed, What::Float].into_iter().filter(|w| float || *w != What::Float)
        {
            batches.iter().for_each(|&batch| push(what, Some(batch)));
        }
    }
    cases
}

/// Measures the cases of one network; `tick` is told after each of them in each round, and says whether to go on.
///
/// # Errors
/// The model is not one that the integer runtime runs; `tick` said stop.
pub fn measure(
    subject: &Subject,
    cases: &[Case],
    effort: Effort,
    tick: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Measured> {
    let model = model_file::model(&subject.file)?;
    if model.kind() != Kind::Jq {
        let path = subject.path.as_deref().unwrap_or("");
        bail!(
            "{path}: holds a {} model, the integer runtime runs jq; quantize with --strategy jq",
            model.kind().name()
        );
    }
    let kernel = Kernel::chosen()?;
    let mut steps = vec![Step::default(); model.layers()];
    let plan = Plan::new(model, &mut steps)?;
    let mut constants = vec![0; plan.constants()];
    let program = plan.prepare(kernel, &mut constants)?;
    let most = cases.iter().map(|c| c.threads).max().unwrap_or(1);
    let batch = cases.iter().filter_map(|c| c.batch).max().unwrap_or(1);
    // Logits of every draw, and as many bytes of images.
    limit::probabilities(DRAWS as usize, batch, model.classes())?;
    let bytes = batch as u128 * model.input().len() as u128;
    if bytes > limit::MAX_PROBABILITIES as u128 {
        bail!("{batch} images of {} are {bytes} bytes, wanted at most {}", model.name(), limit::MAX_PROBABILITIES);
    }
    let mut first = Memory::new(plan.scratch());
    let mut drawn = Memory::new(plan.weights(DRAWS as usize));
    let Memory { signed, words, .. } = &mut drawn;
    let weights = Weights::draw(&program, SEED, 0..DRAWS, signed, words, &mut first.scratch())?;
    let rig = Rig {
        float: subject.float.as_ref().map(of_checkpoint).transpose()?.map(Mutex::new),
        kernel,
        program,
        weights,
        pixels: (0..batch * model.input().len()).map(|i| ((i as u64 * 2_654_435_761) >> 16) as u8).collect(),
        memory: (0..most)
            .map(|_| Mutex::new([Memory::new(plan.scratch()), Memory::new(plan.weights(DRAWS as usize))]))
            .collect(),
        copies: (0..most).map(|_| Mutex::new([vec![1; COPY], vec![0; COPY]])).collect(),
        logits: Mutex::new(vec![0; batch * DRAWS as usize * model.classes()]),
        pfp: Pfp::new(model, pfp::Weights::default())?,
        pass: Mutex::default(),
    };
    let mut pools = BTreeMap::new();
    for case in cases {
        if let Entry::Vacant(place) = pools.entry(case.threads) {
            place.insert(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(case.threads)
                    .build()
                    .context("cannot start the threads; give fewer --bench-threads")?,
            );
        }
    }
    let mut best = vec![Best::default(); cases.len()];
    for _ in 0..effort.rounds {
        for (case, best) in cases.iter().zip(&mut best) {
            let mut slot = || rig.slot(case, effort.seconds, best);
            // One thread is this one: no other has to be woken. Float wants a pool in any case.
            match case.threads {
                1 if case.what != What::Float => slot()?,
                n => pools[&n].install(slot)?,
            }
            if tick().is_break() {
                bail!("stopped while {} was measured; nothing was written", model.name());
            }
        }
    }
    let mut rows: Vec<Row> = cases.iter().zip(&best).map(|(case, best)| rig.row(case, best)).collect();
    let limits: Vec<(usize, f64)> =
        rows.iter().filter(|r| r.what == What::Limit).map(|r| (r.threads, r.rate)).collect();
    for row in &mut rows {
        let work = match row.what {
            // Passes in float have another limit.
            What::Limit | What::Copy | What::Pass | What::Pfp => None,
            What::Drawing => Some(1.0),
            What::Materialised | What::Streamed | What::Float => Some((model.multiply_adds() * DRAWS as u64) as f64),
        };
        let limit = limits.iter().find(|(threads, _)| *threads == row.threads);
        row.of_limit = work.zip(limit).map(|(work, (_, limit))| row.rate * work / limit);
    }
    let alone = || cases.iter().zip(&best).filter(|(case, _)| case.threads == 1).map(|(_, best)| best);
    let waited = alone().map(|b| b.waited).sum::<Option<f64>>().map(|w| w / alone().map(|b| b.spent).sum::<f64>());
    Ok(Measured {
        name: model.name().to_owned(),
        file: subject.path.clone(),
        kernel: kernel.name(),
        file_bytes: subject.file.len(),
        scratch_bytes: plan.scratch().total() + 4 * plan.constants(),
        weights_bytes: plan.weights(DRAWS as usize).total(),
        multiply_adds: model.multiply_adds(),
        waited: waited.filter(|w| w.is_finite()),
        rows,
    })
}

/// The fastest times of a case so far, and where its time went.
#[derive(Clone)]
struct Best {
    seconds: f64,
    wall: f64,
    spent: f64,
    waited: Option<f64>,
}

impl Default for Best {
    fn default() -> Self {
        Best { seconds: f64::INFINITY, wall: f64::INFINITY, spent: 0.0, waited: Some(0.0) }
    }
}

/// Some memory of the machine.
struct Memory {
    signed: Vec<i8>,
    bytes: Vec<u8>,
    words: Vec<i32>,
}

impl Memory {
    fn new(need: Size) -> Self {
        Memory { signed: vec![0; need.signed], bytes: vec![0; need.bytes], words: vec![0; need.words] }
    }

    fn scratch(&mut self) -> Scratch<'_> {
        Scratch::new(&mut self.signed, &mut self.bytes, &mut self.words)
    }
}

/// All that measuring needs, made once.
struct Rig<'a> {
    float: Option<Mutex<Box<dyn Predictor>>>,
    kernel: Kernel,
    program: Program<'a>,
    weights: Weights<'a>,
    pixels: Vec<u8>,
    /// Of each thread: scratch, and weights to draw.
    memory: Vec<Mutex<[Memory; 2]>>,
    copies: Vec<Mutex<[Vec<u8>; 2]>>,
    logits: Mutex<Vec<i32>>,
    pfp: Pfp,
    pass: Mutex<pfp::Workspace>,
}

/// What a thread of the current pool has for itself.
fn own<T>(of: &[Mutex<T>]) -> Result<std::sync::MutexGuard<'_, T>> {
    let mine = &of[rayon::current_thread_index().unwrap_or(0)];
    mine.lock().ok().context("a thread that measured has failed")
}

impl Rig<'_> {
    /// Does a case several times.
    fn slot(&self, case: &Case, seconds: f64, best: &mut Best) -> Result<()> {
        let begin = Instant::now();
        loop {
            let around = Instant::now();
            let before = waited();
            let start = Instant::now();
            self.once(case)?;
            let wall = start.elapsed().as_secs_f64();
            let waited = before.zip(waited()).map(|(before, after)| after - before);
            let around = around.elapsed().as_secs_f64();
            // Several threads wait in ways of their own: only wall-clock time is fair to them. What one waited lies
            // somewhere between the two looks at it, so it is taken off all the time between them.
            let own = match waited {
                Some(waited) if case.threads == 1 && waited > 0.0 => wall.min(around - waited),
                _ => wall,
            };
            (best.seconds, best.wall) = (best.seconds.min(own), best.wall.min(wall));
            (best.spent, best.waited) = (best.spent + around, best.waited.zip(waited).map(|(sum, w)| sum + w));
            if begin.elapsed().as_secs_f64() >= seconds {
                return Ok(());
            }
        }
    }

    fn once(&self, case: &Case) -> Result<()> {
        let all = 0..DRAWS;
        match (case.what, case.batch.unwrap_or(1)) {
            (What::Limit, _) => self.each(case.threads, |_| {
                multiply_adds(self.kernel, TURNS);
                Ok(())
            }),
            (What::Copy, _) => self.each(case.threads, |_| {
                let [from, to] = &mut *own(&self.copies)?;
                black_box(to).copy_from_slice(black_box(from));
                Ok(())
            }),
            (What::Drawing, _) => {
                let share = self.share(case.threads);
                self.each(case.threads, |thread| {
                    let draws = (thread * share).min(DRAWS)..((thread + 1) * share).min(DRAWS);
                    let [scratch, drawn] = &mut *own(&self.memory)?;
                    let Memory { signed, words, .. } = drawn;
                    black_box(Weights::draw(&self.program, SEED, draws, signed, words, &mut scratch.scratch())?);
                    Ok(())
                })
            }
            (What::Materialised, n) => self.run(Source::Drawn(&self.weights), n, case.threads, all),
            (What::Streamed, n) => self.run(Source::Streamed { seed: SEED }, n, case.threads, all),
            (What::Pass, _) => {
                let mut memory = self.pass.lock().ok().context("a thread that measured has failed")?;
                black_box(self.pfp.mean_pass(black_box(self.image()), &mut memory));
                Ok(())
            }
            (What::Pfp, _) => {
                let mut memory = self.pass.lock().ok().context("a thread that measured has failed")?;
                black_box(self.pfp.logits(black_box(self.image()), &mut memory));
                Ok(())
            }
            (What::Float, n) => {
                let Some(float) = &self.float else { return Ok(()) };
                let mut float = float.lock().ok().context("a thread that measured has failed")?;
                let shape = float.input();
                let images = ImagesView { shape, pixels: &self.pixels[..n * shape.len()] };
                let draws = Draws { count: DRAWS as usize, seed: SEED };
                black_box(float.predict(images, draws, &mut NoProgress)?);
                Ok(())
            }
        }
    }

    /// The first image.
    fn image(&self) -> &[u8] {
        &self.pixels[..self.program.plan().model().input().len()]
    }

    /// Does something on every thread, or here if there is one.
    fn each(&self, threads: usize, f: impl Fn(u32) -> Result<()> + Send + Sync) -> Result<()> {
        match threads {
            1 => f(0),
            n => (0..n as u32).into_par_iter().with_max_len(1).try_for_each(f),
        }
    }

    /// Draws that each thread takes: whole groups of those that share strips.
    fn share(&self, threads: usize) -> u32 {
        (DRAWS as usize).div_ceil(threads).next_multiple_of(self.program.plan().draws_together()) as u32
    }

    /// Images through the network: threads share blocks of images, or draws where there are fewer blocks than threads.
    fn run(&self, source: Source<'_>, images: usize, threads: usize, draws: std::ops::Range<u32>) -> Result<()> {
        let (plan, model) = (self.program.plan(), self.program.plan().model());
        let (len, classes, block) = (model.input().len(), model.classes(), plan.images_together());
        let pixels = &self.pixels[..images * len];
        let mut logits = self.logits.lock().ok().context("a thread that measured has failed")?;
        let logits = &mut logits[..images * classes * DRAWS as usize];
        let go = |pixels: &[u8], draws, logits: &mut [i32]| -> Result<()> {
            let [scratch, _] = &mut *own(&self.memory)?;
            Ok(self.program.run(source, black_box(pixels), draws, &mut scratch.scratch(), logits)?)
        };
        if threads == 1 {
            go(pixels, draws, logits)
        } else if images.div_ceil(block) >= threads {
            let parts = pixels.par_chunks(block * len).zip(logits.par_chunks_mut(block * classes * DRAWS as usize));
            parts.try_for_each(|(pixels, logits)| go(pixels, draws.clone(), logits))
        } else {
            let share = self.share(threads);
            let parts = logits.par_chunks_mut(share as usize * images * classes).enumerate();
            parts.with_max_len(1).try_for_each(|(part, logits)| {
                let first = part as u32 * share;
                go(pixels, first..(first + share).min(DRAWS), logits)
            })
        }
    }

    fn row(&self, case: &Case, best: &Best) -> Row {
        let threads = case.threads as f64;
        let work = match case.what {
            // As many as one go does.
            What::Limit => multiply_adds(self.kernel, 1) as f64 * TURNS as f64 * threads,
            What::Copy => COPY as f64 * threads,
            What::Drawing => (self.program.plan().model().parameters() * DRAWS as u64) as f64,
            What::Materialised | What::Streamed | What::Float | What::Pass | What::Pfp => {
                case.batch.unwrap_or(1) as f64
            }
        };
        let Case { what, batch, threads } = *case;
        let (seconds, wall_seconds) = (best.seconds, best.wall);
        Row { what, batch, threads, seconds, wall_seconds, rate: work / seconds, of_limit: None }
    }
}
