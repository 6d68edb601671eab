//! Prediction by core's integer runtime: what [`crate::predict`] simulates in float, computed as a device computes it.

use crate::error::BnnError;
use crate::nn::limit;
use crate::progress::{Progress, step};
use qbnn_core::ImagesView;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::{Kind, Model};
use qbnn_core::run::{Plan, Program, RunError, Scratch, Source, Step, Weights};
use rayon::prelude::*;

/// Draws whose weights are held at a time.
const DRAWS: u32 = 32;

/// The kernel that runs here.
///
/// # Errors
/// [`BnnError::Setting`] for a `QBNN_KERNEL` that this processor does not have.
pub fn kernel() -> Result<Kernel, BnnError> {
    Kernel::chosen().map_err(|e| {
        let found = std::env::var_os("QBNN_KERNEL").unwrap_or_default();
        BnnError::setting("QBNN_KERNEL", found.display(), format!("{e}: name one of them, or leave it unset"))
    })
}

/// Logits of every image under `samples` draws, with 16 fraction bits: `[draw][image][class]`, flat. `progress` is told
/// (draws done, draws in all).
///
/// They depend on (model, seed, draw) alone: not on threads, processor or the other images.
///
/// # Errors
/// [`BnnError::Data`] if the images are not of the network's shape, or the model needs more memory than there can be;
/// [`BnnError::Setting`] for a model that is not JQ, for zero samples or a `QBNN_KERNEL` that this processor does not have;
/// [`BnnError::Stopped`] once `progress` said stop.
pub(crate) fn logits(
    model: Model<'_>,
    images: ImagesView<'_>,
    samples: usize,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<i32>, BnnError> {
    let wanted = model.input();
    if images.shape != wanted {
        return Err(BnnError::Data(format!("images are {}, the network reads {wanted}", images.shape)));
    }
    let Some(samples) = u32::try_from(samples).ok().filter(|&s| s > 0) else {
        return Err(BnnError::setting("samples", samples, "it must be at least 1, and below 2^32"));
    };
    if model.kind() != Kind::Jq {
        let kind = model.kind().name();
        return Err(BnnError::setting("strategy", kind, "the integer runtime runs JQ networks; quantize it first"));
    }
    let kernel = kernel()?;
    let mut steps = vec![Step::default(); model.layers()];
    let plan = Plan::new(model, &mut steps).map_err(refused)?;
    let mut constants = vec![0; plan.constants()];
    let program = plan.prepare(kernel, &mut constants).map_err(refused)?;
    let (n, classes) = (images.len(), model.classes());
    let mut all = vec![0; limit::probabilities(samples as usize, n, classes)?];
    if n == 0 {
        return Ok(all);
    }
    for first in (0..samples).step_by(DRAWS as usize) {
        let draws = first..samples.min(first.saturating_add(DRAWS));
        let need = plan.weights(draws.len());
        let (mut signed, mut words) = (vec![0; need.signed], vec![0; need.words]);
        let mut workspace = Workspace::new(&program);
        let mut scratch = workspace.scratch();
        let weights = Weights::draw(&program, seed, draws.clone(), &mut signed, &mut words, &mut scratch);
        let weights = weights.map_err(refused)?;
        let each = plan.images_together();
        let parts: Result<Vec<Vec<i32>>, BnnError> = images
            .pixels
            .par_chunks(each * images.shape.len())
            .map_init(
                || Workspace::new(&program),
                |workspace, pixels| {
                    let mut logits = vec![0; draws.len() * pixels.len() / images.shape.len() * classes];
                    let source = Source::Drawn(&weights);
                    program
                        .run(source, pixels, draws.clone(), &mut workspace.scratch(), &mut logits)
                        .map_err(refused)?;
                    Ok(logits)
                },
            )
            .collect();
        for (part, logits) in parts?.iter().enumerate() {
            let run = logits.len() / draws.len();
            for (draw, logits) in draws.clone().zip(logits.chunks_exact(run)) {
                let at = (draw as usize * n + part * each) * classes;
                all[at..at + run].copy_from_slice(logits);
            }
        }
        step(progress, draws.end as usize, samples as usize)?;
    }
    Ok(all)
}

/// What keeps the runtime from running a model, as an error of this crate.
fn refused(e: RunError) -> BnnError {
    BnnError::Data(e.to_string())
}

/// One thread's memory.
struct Workspace {
    signed: Vec<i8>,
    bytes: Vec<u8>,
    words: Vec<i32>,
}

impl Workspace {
    fn new(program: &Program<'_>) -> Self {
        let need = program.plan().scratch();
        Workspace { signed: vec![0; need.signed], bytes: vec![0; need.bytes], words: vec![0; need.words] }
    }

    fn scratch(&mut self) -> Scratch<'_> {
        Scratch::new(&mut self.signed, &mut self.bytes, &mut self.words)
    }
}

/// Class probabilities of rows of logits, and the energy -ln sum_c exp(logit_c) of each row in nats.
pub(crate) fn probabilities(logits: &[i32], classes: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut probabilities, mut energies) = (vec![0.0; logits.len()], vec![0.0; logits.len() / classes]);
    let rows = probabilities.par_chunks_exact_mut(classes).zip(logits.par_chunks_exact(classes));
    rows.zip(&mut energies).for_each(|((p, logits), energy)| *energy = softmax(logits, p));
    (probabilities, energies)
}

/// Probabilities of logits with 16 fraction bits, and their energy.
fn softmax(logits: &[i32], out: &mut [f64]) -> f64 {
    let top = logits.iter().copied().max().unwrap_or(0);
    for (p, &logit) in out.iter_mut().zip(logits) {
        // Exact: the difference of two 32-bit integers.
        *p = ((logit as i64 - top as i64) as f64 / 65_536.0).exp();
    }
    let sum: f64 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= sum);
    -(f64::from(top) / 65_536.0 + sum.ln())
}
