//! `qbnn predict`: images through a model file, each with its class and its uncertainty.

use crate::answer::{AnswerFormat, Writer};
use crate::commands::eval::{PfpWeights, ScoreArg, pass};
use crate::failure::usage;
use crate::layout::Medium;
use crate::session::Session;
use anyhow::{Result, bail};
use clap::Args;
use indicatif::ProgressBar;
use qbnn::decided::{Decided, Fared};
use qbnn::draws_file::KeptDraws;
use qbnn::labels;
use qbnn::lock::check_writable;
use qbnn::model_source::ModelSource;
use qbnn::named;
use qbnn::output;
use qbnn::pictures::{Name, Read, ReadOptions, Sources, read, shown};
use qbnn::predict::{Model, Prediction};
use qbnn_bnn::predictor::Draws;
use qbnn_core::{ImagesView, Shape};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// `predict`.
#[derive(Debug, Args)]
pub struct PredictCommand {
    /// The model file (.qbnn), an ensemble of some (NAME.ensemble.toml), or a folder that holds one model file.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// PNG, JPEG, IDX or npz files, folders of them, or - for stdin.
    #[arg(required = true, value_name = "IMAGE|IDX|NPZ|FOLDER|-")]
    pub images: Vec<PathBuf>,
    /// One analytic pass (PFP) instead of draws. Means over many images are near those of draws; of a single image the
    /// epistemic uncertainty may be off by a factor of up to 3.
    #[arg(long, value_enum, value_name = "WEIGHTS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "stored", conflicts_with_all = ["samples", "seed"])]
    pub pfp: Option<PfpWeights>,
    /// What gives the uncertainties; `pfp` is --pfp.
    #[arg(long, value_enum, conflicts_with = "pfp")]
    pub score: Option<ScoreArg>,
    /// Networks drawn for each prediction [default: 32].
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub samples: Option<u32>,
    /// Seed of the draws [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Give no class where the total uncertainty exceeds so many nats.
    #[arg(long, value_name = "NATS")]
    pub abstain_above: Option<f64>,
    /// Labels of the images, in their order: IDX, npz (perhaps that of the images), or text with one class a line, its number or
    /// its name. What is right is counted.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Keep every draw in an .npz file: probs [S][N][C], logits of JQ networks, and the labels that are given.
    #[arg(long, value_name = "FILE", conflicts_with = "pfp")]
    pub save: Option<PathBuf>,
    /// How answers are written; --json is JSON lines.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,
    /// How images are read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// How images are read.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Reading images")]
pub struct ReadArgs {
    /// Exchange dark and bright first: for figures drawn dark on bright, where a model knows bright on dark (MNIST).
    #[arg(long)]
    pub invert: bool,
    /// Read coloured images in grey.
    #[arg(long)]
    pub grey: bool,
    /// Scale images of IDX and npz files to the size that the model reads, as pictures are scaled.
    #[arg(long)]
    pub resize: bool,
}

impl PredictCommand {
    /// The draws of a prediction.
    fn draws(&self) -> Draws {
        Draws { count: self.samples.unwrap_or(32) as usize, seed: self.seed.unwrap_or(0) }
    }
}

impl From<ReadArgs> for ReadOptions {
    fn from(args: ReadArgs) -> Self {
        ReadOptions { invert: args.invert, grey: args.grey, resize: args.resize }
    }
}

/// What an image argument may be, for `--help`.
pub const HOW: &str = "Images are told apart by their first bytes: PNG of any depth, JPEG, IDX (idx3 or idx4, plain or gzip), or \
    npz (its array x_test, x or images, or the only one; N x rows x columns, with 1 or 3 channels last or first; bytes, or floats \
    from 0 to 1) of the size that the model reads, or of any with --resize. A picture is scaled to that size with its proportions kept, each pixel \
    the mean of what it covers, in the middle of a background of 0; it is turned as its camera noted (EXIF). Transparent parts become white where what is visible is dark, else black, so \
    that black ink on nothing is dark on bright. Values are not inverted unless --invert says so, which comes after that. \
    A picture with colour is refused by a model of grey images unless --grey is given. Several pictures one behind the \
    other, as `cat *.png` writes them, are all read. Of a folder, all pictures, IDX and npz files are read, by name.";

/// Time without a sign of life.
const PATIENCE: Duration = Duration::from_secs(2);

/// Predicts every image of every file. A file that cannot be read is told and passed over; the end is then a failure.
pub fn predict(session: &Session, args: &PredictCommand) -> Result<()> {
    if args.abstain_above.is_some_and(|limit| limit.is_nan() || limit < 0.0) {
        return Err(usage("--abstain-above wants nats, 0 or more"));
    }
    let pfp = pass(args.pfp, args.score);
    for (key, given) in
        [("--samples", args.samples.is_some()), ("--seed", args.seed.is_some()), ("--save", args.save.is_some())]
    {
        if given && pfp.is_some() {
            return Err(usage(format!("{key} is of draws, and --score pfp takes none; leave one of them out")));
        }
    }
    let path = named::model(&args.model)?;
    if path != args.model {
        session.ui.say(&format!("model file: {}", path.display()));
    }
    let source = ModelSource::read(&path)?;
    let mut model = source.open(pfp.map(Into::into))?;
    let shape = model.input();
    let format = if session.ui.json { AnswerFormat::Json } else { args.format };
    let sources = Sources::new(&args.images)?;
    if let Some(save) = &args.save {
        let read = args.images.iter().chain(&args.labels).chain([&path]);
        output::refuse_inputs("--save", save, read)?;
        check_writable(save)?;
    }
    if sources.others > 0 {
        session.ui.say(&format!("files that are no images, passed over: {}", sources.others));
    }
    let (count, images) = (sources.count, sources.images);
    let columns = match session.ui.medium() {
        Medium::Terminal(columns) => Some(columns),
        Medium::Lines => None,
    };
    let classes = source.class_names()?;
    let labels = args.labels.as_ref().map(|file| labels::read(file, model.classes(), &classes)).transpose()?;
    if let Some(about) = model.about_decisions(args.draws()) {
        session.ui.warn(&about);
    }
    let decides = model.decisions().is_some();
    let writer = Writer { format, abstain_above: args.abstain_above, columns, classes: &classes, decides };
    let (bar, answers) = (None, Vec::new());
    let kept = args.save.as_ref().map(|_| KeptDraws::default());
    let mut work = Work { session, args, shape, writer, bar, images, done: 0, labels, answers, kept };
    let together = model.at_once(args.draws().count);
    let (mut pixels, mut names) = (Vec::new(), Vec::new());
    // Pictures or files of images; a file may hold several one behind the other.
    let (mut parts, mut failed) = (0, 0);
    let (mut bright, mut blank) = (0, Vec::new());
    for path in sources {
        let read = read(&path, shape, args.read.into()).unwrap_or_else(|e| Read {
            parts: 1,
            failed: vec![e],
            ..Read::default()
        });
        parts += read.parts;
        for e in read.failed {
            if count == 1 && read.parts == 1 {
                return Err(e.into());
            }
            work.aside(|| session.ui.warn(&e.one_line()));
            failed += 1;
        }
        if read.left > 0 {
            let (path, left) = (shown(&path), read.left);
            work.aside(|| {
                session.ui.warn(&format!("{path}: {left} bytes behind the picture begin no image, passed over"))
            });
        }
        if read.blank > 0 {
            blank.push((path, read.blank));
        }
        bright += read.bright;
        // The images of a large file are not copied.
        if pixels.is_empty() {
            pixels = read.pixels;
        } else {
            pixels.extend(read.pixels);
        }
        names.extend(read.names);
        while names.len() >= together {
            let later = names.split_off(together);
            work.predict(&mut model, &pixels[..together * shape.len()], &names)?;
            pixels.drain(..together * shape.len());
            names = later;
        }
    }
    work.predict(&mut model, &pixels, &names)?;
    work.aside(|| ());
    if let Some(warning) = model.pass_agreement().and_then(|found| found.warning(&shown(&path))) {
        session.ui.warn(&warning);
    }
    if bright > 0 && !args.read.invert {
        session.ui.say(&format!(
            "note: {bright} of the pictures seem to be dark on bright; where the model knows bright on dark, --invert"
        ));
    }
    if let [(first, _), ..] = &blank[..] {
        let all: usize = blank.iter().map(|b| b.1).sum();
        let first = shown(first);
        session
            .ui
            .warn(&format!("blank pictures, all pixels the same: {all}, such as {first}; there is nothing to see"));
    }
    if failed > 0 {
        let what = if parts == count { "files" } else { "pictures" };
        bail!("{failed} of {parts} {what} could not be read; the lines above say why");
    }
    work.count_right()?;
    match (&work.kept, &args.save) {
        (Some(kept), Some(save)) => Ok(kept.write(save, work.labels.as_deref())?),
        _ => Ok(()),
    }
}

/// A prediction on its way.
struct Work<'a> {
    session: &'a Session,
    args: &'a PredictCommand,
    shape: Shape,
    writer: Writer<'a>,
    bar: Option<ProgressBar>,
    /// Images that the files announce, and those that are done.
    images: u64,
    done: u64,
    /// Labels of all images, and what was answered, if they were given.
    labels: Option<Vec<usize>>,
    answers: Vec<(usize, Option<Decided>)>,
    /// Every draw, if they are to be kept.
    kept: Option<KeptDraws>,
}

impl Work<'_> {
    /// Does something beside the bar.
    fn aside<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }

    /// Shows how far it is, once it takes long.
    fn progress(&mut self, done: u64) {
        if self.bar.is_none() && self.session.elapsed() > PATIENCE {
            let bar = self.session.ui.predicting("images");
            bar.set_length(self.images);
            bar.reset_eta();
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(self.images.max(done));
            bar.set_position(done);
        }
    }

    /// Predicts images and writes their answers.
    fn predict(&mut self, model: &mut Model, pixels: &[u8], names: &[Name]) -> Result<()> {
        let images = ImagesView { shape: self.shape, pixels };
        if let Some(labels) = self.labels.as_ref().filter(|labels| labels.len() < self.answers.len() + names.len()) {
            bail!("--labels has {} labels, more images were found; give one label for each image", labels.len());
        }
        let answers = match self.answers(model, images) {
            Err(e) if e.is_stopped() => {
                bail!("stopped after {} images", self.done)
            }
            answers => answers?,
        };
        let ui = self.session.ui;
        if let Some(header) = self.writer.header(model.classes()).filter(|_| self.done == 0 && !names.is_empty()) {
            self.aside(|| ui.result(&header))?;
        }
        for (answer, name) in answers.iter().zip(names) {
            let line = self.writer.line(answer, name)?;
            self.aside(|| ui.result(&line))?;
        }
        if self.labels.is_some() {
            self.answers.extend(answers.iter().map(|a| (a.class, a.decided.clone())));
        }
        self.done += names.len() as u64;
        self.progress(self.done);
        Ok(())
    }

    /// Says how many answers were right, if labels were given.
    fn count_right(&self) -> Result<()> {
        let Some(labels) = &self.labels else { return Ok(()) };
        if labels.len() != self.answers.len() {
            let (found, wanted) = (labels.len(), self.answers.len());
            bail!("--labels has {found} labels, {wanted} images were predicted; give one label for each image");
        }
        let fared = Fared::of(&self.answers, labels)?;
        let ui = self.session.ui;
        match self.writer.format {
            AnswerFormat::Json => ui.json_line(&serde_json::json!({ "summary": fared })),
            AnswerFormat::Table => ui.result(&fared.in_words()),
            // Lines of a table of another kind would be in the way.
            AnswerFormat::Csv => {
                ui.say(&fared.in_words());
                Ok(())
            }
        }
    }

    /// The one place where a model meets images.
    fn answers(&mut self, model: &mut Model, images: ImagesView<'_>) -> qbnn::Result<Vec<Prediction>> {
        let draws = self.args.draws();
        let (n, before, session) = (images.len(), self.done, self.session);
        let mut kept = self.kept.take();
        let mut progress = |done: usize, of: usize| {
            self.progress(before + (n as u128 * done as u128 / of.max(1) as u128) as u64);
            if session.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = model.predict_keeping(images, draws, &mut progress, kept.as_mut());
        self.kept = kept;
        found
    }
}
