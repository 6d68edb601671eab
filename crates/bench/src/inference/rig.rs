//! The loops that are measured, with all memory made once.

use super::{Case, DRAWS, Row, SEED, What};
use crate::error::Error;
use crate::machine::waited;
use qbnn_bnn::pfp::{self, Pfp};
use qbnn_bnn::predictor::{Draws, NoProgress, Predictor, of_checkpoint};
use qbnn_bnn::{Checkpoint, ImagesView};
use qbnn_core::kernel::Kernel;
use qbnn_core::kernel::limit::multiply_adds;
use qbnn_core::run::{Program, Scratch, Size, Source, Weights};
use rayon::prelude::*;
use std::hint::black_box;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// Turns of the limit's loop in one go, about a millisecond.
const TURNS: usize = 100_000;
/// Bytes that the copy loop copies: beyond the caches.
const COPY: usize = 64 << 20;

/// The fastest times of a case so far, and where its time went.
#[derive(Clone)]
pub struct Best {
    /// Fastest time, without waiting where one thread worked.
    pub seconds: f64,
    /// Fastest wall-clock time.
    pub wall: f64,
    /// All time.
    pub spent: f64,
    /// The part of it in which the thread waited for a core.
    pub waited: Option<f64>,
}

impl Default for Best {
    fn default() -> Self {
        Best { seconds: f64::INFINITY, wall: f64::INFINITY, spent: 0.0, waited: Some(0.0) }
    }
}

/// Memory of the integer runtime.
pub struct Memory {
    /// Drawn weights.
    pub signed: Vec<i8>,
    /// Activations and packed values.
    pub bytes: Vec<u8>,
    /// Sums and constants.
    pub words: Vec<i32>,
}

impl Memory {
    pub fn new(need: Size) -> Self {
        Memory { signed: vec![0; need.signed], bytes: vec![0; need.bytes], words: vec![0; need.words] }
    }

    pub fn scratch(&mut self) -> Scratch<'_> {
        Scratch::new(&mut self.signed, &mut self.bytes, &mut self.words)
    }
}

/// All that measuring needs, made once.
pub struct Rig<'a> {
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
fn own<T>(of: &[Mutex<T>]) -> Result<MutexGuard<'_, T>, Error> {
    locked(&of[rayon::current_thread_index().unwrap_or(0)])
}

fn locked<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Error> {
    mutex.lock().map_err(|_| Error::Poisoned)
}

impl<'a> Rig<'a> {
    /// Memory for batches of up to `batch` images on up to `threads` threads.
    pub fn new(
        kernel: Kernel,
        program: Program<'a>,
        weights: Weights<'a>,
        float: Option<&Checkpoint>,
        (batch, threads): (usize, usize),
    ) -> Result<Self, Error> {
        let plan = program.plan();
        let model = plan.model();
        let memory = || [Memory::new(plan.scratch()), Memory::new(plan.weights(DRAWS as usize))];
        Ok(Rig {
            float: float.map(of_checkpoint).transpose()?.map(Mutex::new),
            kernel,
            weights,
            pixels: (0..batch * model.input().len()).map(|i| ((i as u64 * 2_654_435_761) >> 16) as u8).collect(),
            memory: (0..threads).map(|_| Mutex::new(memory())).collect(),
            copies: (0..threads).map(|_| Mutex::new([vec![1; COPY], vec![0; COPY]])).collect(),
            logits: Mutex::new(vec![0; batch * DRAWS as usize * model.classes()]),
            pfp: Pfp::new(model, pfp::Weights::default())?,
            pass: Mutex::default(),
            program,
        })
    }
}

impl Rig<'_> {
    /// Does a case several times.
    pub fn slot(&self, case: &Case, seconds: f64, best: &mut Best) -> Result<(), Error> {
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

    fn once(&self, case: &Case) -> Result<(), Error> {
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
                let mut memory = locked(&self.pass)?;
                black_box(self.pfp.mean_pass(black_box(self.image()), &mut memory));
                Ok(())
            }
            (What::Pfp, _) => {
                let mut memory = locked(&self.pass)?;
                black_box(self.pfp.logits(black_box(self.image()), &mut memory));
                Ok(())
            }
            (What::Float, n) => {
                let Some(float) = &self.float else { return Ok(()) };
                let mut float = locked(float)?;
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
    fn each(&self, threads: usize, f: impl Fn(u32) -> Result<(), Error> + Send + Sync) -> Result<(), Error> {
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
    fn run(&self, source: Source<'_>, images: usize, threads: usize, draws: Range<u32>) -> Result<(), Error> {
        let (plan, model) = (self.program.plan(), self.program.plan().model());
        let (len, classes, block) = (model.input().len(), model.classes(), plan.images_together());
        let pixels = &self.pixels[..images * len];
        let mut logits = locked(&self.logits)?;
        let logits = &mut logits[..images * classes * DRAWS as usize];
        let go = |pixels: &[u8], draws, logits: &mut [i32]| -> Result<(), Error> {
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

    /// What was measured of a case.
    pub fn row(&self, case: &Case, best: &Best) -> Row {
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
