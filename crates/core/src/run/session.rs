//! A model with all the memory that it needs to run, for those who have a heap.
//!
//! A [`Session`] owns what [`Plan`], [`Program`], [`Weights`] and [`Scratch`] borrow. What it worked out when it was made
//! is kept, so that a prediction only puts references together, and gives the same bytes as the plan by hand.

use super::error::RunError;
use super::execute::Source;
use super::plan::Plan;
use super::step::Step;
use super::weights::{Layout, Weights};
use super::{Program, Scratch};
use crate::ImagesView;
use crate::kernel::Kernel;
use crate::model::{Model, ModelError, Shape};
use crate::uncertainty::{ClassesError, uncertainty};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// A model that is ready to predict.
///
/// ```
/// # fn demo(file: Vec<u8>, image: &[u8]) -> Result<(), qbnn_core::SessionError> {
/// let mut session = qbnn_core::Session::new(file)?;
/// let answer = session.classify(image, 32, 7)?;
/// assert!(answer.class < session.classes());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Session<'m> {
    /// The model file. It was checked.
    bytes: Cow<'m, [u8]>,
    steps: Vec<Step>,
    constants: Vec<i32>,
    kernel: Kernel,
    /// The plan without the model and the steps, which lie above.
    plan: Plan<'static>,
    workspace: Workspace,
    kept: Option<Kept>,
    /// Logits of [`Session::classify`].
    logits: Vec<i32>,
}

/// What lies behind a [`Scratch`].
#[derive(Clone, Debug)]
struct Workspace {
    signed: Vec<i8>,
    bytes: Vec<u8>,
    words: Vec<i32>,
}

/// Drawn weights.
#[derive(Clone, Debug)]
struct Kept {
    seed: u64,
    draws: Range<u32>,
    signed: Vec<i8>,
    /// Where the weights begin in `signed`.
    first: usize,
    words: Vec<i32>,
    layout: Layout,
}

/// What a model says about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The most probable class; of equal ones the first.
    pub class: usize,
    /// Mean probability of every class, with 32 fraction bits.
    pub probabilities: Vec<u64>,
    /// Entropy of the mean prediction, in nats with [`crate::uncertainty::FRACTION_BITS`].
    pub total: u32,
    /// Mean entropy of the predictions, in the same unit.
    pub aleatoric: u32,
    /// Mutual information of prediction and weights, in the same unit.
    pub epistemic: u32,
}

/// Why a session cannot be made, or cannot predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The bytes are no model.
    Model(ModelError),
    /// The model does not run, or not with these images, draws or this room for logits.
    Run(RunError),
    /// The images have another shape than the model reads.
    Shape {
        /// Of the images.
        found: Shape,
        /// That the model reads.
        wanted: Shape,
    },
    /// The bytes are not one image.
    Image {
        /// Bytes there are.
        found: usize,
        /// Bytes of an image.
        wanted: usize,
    },
    /// There is no answer from no draws.
    NoDraws,
    /// The heap does not have so much memory in one piece.
    Heap {
        /// Numbers that were asked for.
        numbers: usize,
        /// Bytes of each.
        each: usize,
    },
    /// A draw has not as many logits as there are classes.
    Classes(ClassesError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Model(e) => e.fmt(f),
            SessionError::Run(e) => e.fmt(f),
            SessionError::Shape { found, wanted } => write!(f, "images are {found}, the model reads {wanted}"),
            SessionError::Image { found, wanted } => {
                write!(f, "the image has {found} bytes, {wanted} was wanted: one for every row, column and channel")
            }
            SessionError::NoDraws => f.write_str("0 draws were asked for, at least 1 was wanted"),
            SessionError::Heap { numbers, each } => {
                write!(f, "no memory for {numbers} numbers of {each} bytes; use a smaller model or fewer draws")
            }
            SessionError::Classes(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for SessionError {}

impl From<ModelError> for SessionError {
    fn from(e: ModelError) -> Self {
        SessionError::Model(e)
    }
}

impl From<RunError> for SessionError {
    fn from(e: RunError) -> Self {
        SessionError::Run(e)
    }
}

impl From<ClassesError> for SessionError {
    fn from(e: ClassesError) -> Self {
        SessionError::Classes(e)
    }
}

impl<'m> Session<'m> {
    /// A session of a model file, owned (`Vec<u8>`) or borrowed (`&[u8]`, say of `include_bytes!`), with the fastest kernel
    /// of this processor.
    ///
    /// # Errors
    /// [`SessionError::Model`] for bytes that are no model, [`SessionError::Run`] for a model of another kind than JQ,
    /// [`SessionError::Heap`] if there is not enough memory.
    pub fn new(bytes: impl Into<Cow<'m, [u8]>>) -> Result<Self, SessionError> {
        Session::with_kernel(bytes, Kernel::best())
    }

    /// The same with another kernel. The predictions are the same.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_kernel(bytes: impl Into<Cow<'m, [u8]>>, kernel: Kernel) -> Result<Self, SessionError> {
        let bytes = bytes.into();
        let model = Model::new(&bytes)?;
        let mut steps = allocate::<Step>(model.layers())?;
        let plan = Plan::new(model, &mut steps)?;
        let mut constants = allocate(plan.constants())?;
        plan.prepare(kernel, &mut constants)?;
        let need = plan.scratch();
        let workspace =
            Workspace { signed: allocate(need.signed)?, bytes: allocate(need.bytes)?, words: allocate(need.words)? };
        let Plan { block, group, constants: words, shared, own, scratch: need, at, .. } = plan;
        let (model, none) = (Model::of_checked(&[]), &[]);
        let plan = Plan { model, steps: none, block, group, constants: words, shared, own, scratch: need, at };
        Ok(Session { bytes, steps, constants, kernel, plan, workspace, kept: None, logits: Vec::new() })
    }

    /// The model.
    pub fn model(&self) -> Model<'_> {
        Model::of_checked(&self.bytes)
    }

    /// Shape of an image.
    pub fn input(&self) -> Shape {
        self.model().input()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.model().classes()
    }

    /// Draws the weights of some draws under a seed and keeps them in place of those that were kept before.
    ///
    /// Predictions of these draws under this seed are faster from now on, and are the same. All other predictions draw
    /// their weights while they run, once for every block of images.
    ///
    /// # Errors
    /// [`SessionError::Heap`] if there is not enough memory; nothing is kept then.
    pub fn keep(&mut self, draws: Range<u32>, seed: u64) -> Result<(), SessionError> {
        self.kept = None;
        let need = self.plan.weights(draws.len());
        let (mut signed, mut words) = (allocate(need.signed)?, allocate(need.words)?);
        let (program, mut scratch) =
            parts(&self.bytes, &self.steps, &self.constants, self.kernel, &self.plan, &mut self.workspace);
        let weights = Weights::draw(&program, seed, draws.clone(), &mut signed, &mut words, &mut scratch)?;
        let (held, layout) = (weights.signed.len(), weights.layout);
        let first = signed.len() - held;
        self.kept = Some(Kept { seed, draws, signed, first, words, layout });
        Ok(())
    }

    /// Logits of every image under every draw, `[draw][image][class]`, with 16 fraction bits.
    ///
    /// They depend on the model, the seed and the draw alone.
    ///
    /// # Errors
    /// [`SessionError::Shape`] for images of another shape; [`SessionError::Run`] if `images` are no whole number of images
    /// or `out` is not one number for every draw, image and class.
    pub fn predict(
        &mut self,
        images: ImagesView<'_>,
        draws: Range<u32>,
        seed: u64,
        out: &mut [i32],
    ) -> Result<(), SessionError> {
        let wanted = self.input();
        if images.shape != wanted {
            return Err(SessionError::Shape { found: images.shape, wanted });
        }
        let together = self.plan.draws_together() as u32;
        let kept = self.kept.as_ref().filter(|kept| {
            kept.seed == seed
                && kept.draws.start <= draws.start
                && draws.end <= kept.draws.end
                && (draws.start - kept.draws.start).is_multiple_of(together)
        });
        let weights = kept.map(|kept| Weights {
            signed: &kept.signed[kept.first..],
            words: &kept.words,
            draws: (kept.draws.start, kept.draws.end),
            layout: kept.layout,
        });
        let source = weights.as_ref().map_or(Source::Streamed { seed }, Source::Drawn);
        let (program, mut scratch) =
            parts(&self.bytes, &self.steps, &self.constants, self.kernel, &self.plan, &mut self.workspace);
        Ok(program.run(source, images.pixels, draws, &mut scratch, out)?)
    }

    /// Class and uncertainty of one image, `[row][column][channel]` with 8 bits each, from the draws 0 to `draws`.
    ///
    /// # Errors
    /// [`SessionError::Image`] if the bytes are not one image, [`SessionError::NoDraws`] for 0 draws,
    /// [`SessionError::Heap`] if there is not enough memory for the logits of all draws.
    pub fn classify(&mut self, image: &[u8], draws: u32, seed: u64) -> Result<Prediction, SessionError> {
        let (shape, classes) = (self.input(), self.classes());
        if image.len() != shape.len() {
            return Err(SessionError::Image { found: image.len(), wanted: shape.len() });
        }
        if draws == 0 {
            return Err(SessionError::NoDraws);
        }
        let mut probabilities = allocate(classes)?;
        let mut logits = core::mem::take(&mut self.logits);
        resize(&mut logits, (draws as usize).saturating_mul(classes))?;
        self.predict(ImagesView { shape, pixels: image }, 0..draws, seed, &mut logits)?;
        let found = uncertainty(logits.chunks_exact(classes), &mut probabilities)?;
        self.logits = logits;
        let mut class = 0;
        for (i, p) in probabilities.iter().enumerate() {
            if *p > probabilities[class] {
                class = i;
            }
        }
        let (total, aleatoric, epistemic) = (found.total, found.aleatoric, found.epistemic);
        Ok(Prediction { class, probabilities, total, aleatoric, epistemic })
    }
}

/// The parts of a session as what runs: references, nothing is worked out.
fn parts<'s>(
    bytes: &'s [u8],
    steps: &'s [Step],
    constants: &'s [i32],
    kernel: Kernel,
    plan: &Plan<'static>,
    workspace: &'s mut Workspace,
) -> (Program<'s>, Scratch<'s>) {
    let plan = Plan { model: Model::of_checked(bytes), steps, ..*plan };
    let scratch = Scratch::new(&mut workspace.signed, &mut workspace.bytes, &mut workspace.words);
    (Program { plan, kernel, constants }, scratch)
}

/// Memory for so many numbers.
fn allocate<T: Clone + Default>(numbers: usize) -> Result<Vec<T>, SessionError> {
    let mut memory = Vec::new();
    resize(&mut memory, numbers)?;
    Ok(memory)
}

/// Makes the memory as long as that.
fn resize<T: Clone + Default>(memory: &mut Vec<T>, numbers: usize) -> Result<(), SessionError> {
    let heap = |_| SessionError::Heap { numbers, each: size_of::<T>() };
    memory.try_reserve_exact(numbers.saturating_sub(memory.len())).map_err(heap)?;
    memory.resize(numbers, T::default());
    Ok(())
}
