//! Evaluation: models predict the groups of a dataset, the predictions are measured, the table is shown.

use crate::backend;
use crate::config::EvalConfig;
use crate::convert::Prepared;
use crate::model_file;
use crate::session::Session;
use crate::stored::Stored;
use crate::table;
use anyhow::{Context, Result, anyhow};
use qbnn_bnn::checkpoint::Checkpoint;
use qbnn_bnn::lower::lower;
use qbnn_bnn::machine;
use qbnn_bnn::nn::limit;
use qbnn_bnn::pfp;
use qbnn_bnn::predict::predict;
use qbnn_core::ImagesView;
use qbnn_eval::report::{Chosen, GalleryImage, ModelPredictions, choose};
use qbnn_eval::{
    AmbiguousGroup, Backend, Bits, EvalOptions, Group, Groups, LabelledGroup, Metrics, ModelDescription, ModelEntry,
    OodGroup, ParameterBytes, Predictions, Strategy, by_samples, compare, evaluate,
};
use std::ops::ControlFlow;

/// What an evaluation leaves: its numbers, and what its page is drawn from.
pub struct Judged {
    /// The numbers.
    pub metrics: Metrics,
    /// Mean predictions, uncertainties and images.
    pub stored: Stored,
}

/// Measures models by name on one dataset, and every other one against the first that is float. `go_on` is the command
/// that does it again after a stop.
///
/// All models draw with the same seed and meet the same resamples, so that differences are paired. With `pfp` each has a
/// twin, judged by one analytic pass and compared with the model's own draws.
pub fn judge(
    session: &Session,
    models: &[(String, Checkpoint)],
    data: &Prepared<'_>,
    settings: EvalConfig,
    pfp: Option<pfp::Weights>,
    seed: u64,
    go_on: &str,
) -> Result<Judged> {
    let options = EvalOptions { resamples: settings.bootstrap, ..EvalOptions::default() };
    let mut metrics = Metrics::new(data.dataset.name.clone(), seed);
    let (mut evaluations, mut twins) = (Vec::new(), Vec::new());
    let stopped =
        |name: &str| anyhow!("stopped while {name} was evaluated; all checkpoints are whole, go on with `{go_on}`");
    for (i, (name, checkpoint)) in models.iter().enumerate() {
        match pfp.map(|weights| (weights, lower(checkpoint))) {
            Some((weights, Ok(file))) => {
                let twin = format!("{name}-{}", if weights == pfp::Weights::Stored { "pfp" } else { "pfp-drawn" });
                let groups = analytic(session, &twin, &file, weights, data)?.ok_or_else(|| stopped(&twin))?;
                let evaluation = evaluate(&groups, &options).with_context(|| format!("cannot evaluate {twin}"))?;
                let mut entry = ModelEntry::new(describe(&twin, checkpoint), &evaluation);
                let of = if weights == pfp::Weights::Stored { "stored" } else { "drawn" };
                entry.backend = Some(Backend::Analytic { weights: of.to_owned() });
                entry.identity = Some(checkpoint.identity());
                twins.push((i, entry, evaluation));
            }
            Some((_, Err(e))) => {
                session.ui.warn(&format!("{name} has no analytic pass, which runs on a model file: {e}"))
            }
            None => {}
        }
        let groups = groups(session, name, checkpoint, data, settings.samples, seed)?.ok_or_else(|| stopped(name))?;
        let evaluation = evaluate(&groups, &options).with_context(|| format!("cannot evaluate {name}"))?;
        let mut entry = ModelEntry::new(describe(name, checkpoint), &evaluation);
        entry.by_samples = by_samples(&groups)?;
        entry.backend = Some(backend::of(checkpoint)?);
        entry.identity = Some(checkpoint.identity());
        metrics.models.push(entry);
        evaluations.push(evaluation);
    }
    if let Some(float) = models.iter().position(|(_, c)| c.quantize.is_none()) {
        for (i, (name, _)) in models.iter().enumerate().filter(|&(i, _)| i != float) {
            let difference = compare(name.as_str(), &evaluations[i], models[float].0.as_str(), &evaluations[float])?;
            metrics.differences.push(difference);
        }
    }
    // The order of the metrics: drawn models, then their analytic twins.
    let mut drawn: Vec<ModelPredictions> =
        models.iter().zip(&evaluations).map(|((name, _), e)| ModelPredictions::of(name.as_str(), e)).collect();
    for (i, entry, evaluation) in twins {
        drawn.push(ModelPredictions::of(entry.name.as_str(), &evaluation));
        metrics.differences.push(compare(&entry.name, &evaluation, models[i].0.as_str(), &evaluations[i])?);
        metrics.models.push(entry);
    }
    metrics.check()?;
    let mut stored = Stored::new(&metrics, data.dataset.classes, data.dataset.note.clone());
    stored.predictions = drawn;
    stored.labels = evaluations.first().map_or(Vec::new(), |e| e.labels().to_vec());
    if let Some(last) = stored.predictions.get(models.len().saturating_sub(1)) {
        // The last drawn model is the one that would be put to use.
        let chosen = choose(last, &stored.labels);
        stored.gallery = chosen.into_iter().filter_map(|c| image(data.dataset, c)).collect();
    }
    Ok(Judged { metrics, stored })
}

/// Whether the probabilities of all test images fit into memory: to be known before hours of training.
///
/// # Errors
/// How many they are, the limit, and the most draws that fit.
pub fn check_draws(data: &Prepared<'_>, samples: usize) -> Result<()> {
    let d = data.dataset;
    let images = d.clean.images.len() + d.ambiguous.as_ref().map_or(0, |g| g.images.len()) + d.ood.images.len();
    Ok(limit::probabilities(samples, images, d.classes).map(drop)?)
}

/// An image of the gallery with its pixels.
fn image(dataset: &qbnn_data::Dataset, chosen: Chosen) -> Option<GalleryImage> {
    let images = match chosen.group {
        Group::Clean => &dataset.clean.images,
        Group::Ambiguous => &dataset.ambiguous.as_ref()?.images,
        Group::Ood => &dataset.ood.images,
    };
    let pixels = images.get(chosen.input)?.to_vec();
    let &qbnn_data::Images { height, width, channels, .. } = images;
    Some(GalleryImage { chosen, height, width, channels, pixels })
}

fn groups(
    session: &Session,
    name: &str,
    checkpoint: &Checkpoint,
    data: &Prepared<'_>,
    samples: usize,
    seed: u64,
) -> Result<Option<Groups>> {
    if !machine::runs(checkpoint) && checkpoint.quantize.as_ref().is_some_and(|q| q.strategy == qbnn_bnn::Strategy::Jq)
    {
        let reason = lower(checkpoint).err().map_or(String::new(), |e| format!(": {e}"));
        session.ui.warn(&format!("{name} is judged by its simulation in float, not by the integer machine{reason}"));
    }
    let mut run = |what: &str, images: ImagesView<'_>| {
        with_progress(session, &format!("{name}: {what}"), |progress| {
            draws(checkpoint, images, samples, seed, progress)
        })
    };
    let all = group_probabilities(data, &mut run)?;
    all.map(|all| all.groups(data, samples, checkpoint.classes)).transpose().with_context(|| format!("model {name}"))
}

/// Class probabilities `[draw][image][class]` of a model. What a device will run is judged as a device runs it; the rest
/// has float's draws. `None` once `progress`, told (draws done, draws in all), said stop.
pub fn draws(
    checkpoint: &Checkpoint,
    images: ImagesView<'_>,
    samples: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<Vec<f64>>> {
    Ok(if machine::runs(checkpoint) {
        machine::predict(checkpoint, images, samples, seed, progress)?
    } else {
        predict(checkpoint.net(), checkpoint.guide(), checkpoint.normalisation, images, samples, seed, progress)?
    })
}

/// The groups as one analytic pass sees them. Metrics are made for draws: what they get here are the fixed points over
/// which the pass reads its logits out.
fn analytic(
    session: &Session,
    name: &str,
    file: &[u8],
    weights: pfp::Weights,
    data: &Prepared<'_>,
) -> Result<Option<Groups>> {
    let model = model_file::model(file)?;
    let mut run = |what: &str, images: ImagesView<'_>| {
        with_progress(session, &format!("{name}: {what}"), |progress| {
            Ok(pfp::probabilities(model, weights, images, progress)?)
        })
    };
    let all = group_probabilities(data, &mut run)?;
    all.map(|all| all.groups(data, pfp::POINTS, model.classes())).transpose()
}

/// Runs a prediction under a bar.
pub fn with_progress<T>(
    session: &Session,
    what: &str,
    run: impl FnOnce(&mut dyn FnMut(usize, usize) -> ControlFlow<()>) -> Result<T>,
) -> Result<T> {
    let bar = session.ui.predicting(what);
    let mut progress = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        if session.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = run(&mut progress)?;
    bar.finish_and_clear();
    Ok(result)
}

/// Predicts one group, by its name and images; `None` once it was told to stop.
pub type Predict<'a> = dyn FnMut(&str, ImagesView<'_>) -> Result<Option<Vec<f64>>> + 'a;

/// Class probabilities of every test group, `[draw][image][class]`.
pub struct GroupProbabilities {
    clean: Vec<f64>,
    ambiguous: Option<Vec<f64>>,
    ood: Vec<f64>,
}

/// Lets a model predict every test group; `None` once it was told to stop.
pub fn group_probabilities(data: &Prepared<'_>, run: &mut Predict<'_>) -> Result<Option<GroupProbabilities>> {
    let Some(clean) = run("clean", data.clean())? else { return Ok(None) };
    let ambiguous = match data.ambiguous() {
        Some(images) => match run("ambiguous", images)? {
            Some(ambiguous) => Some(ambiguous),
            None => return Ok(None),
        },
        None => None,
    };
    let Some(ood) = run("ood", data.ood())? else { return Ok(None) };
    Ok(Some(GroupProbabilities { clean, ambiguous, ood }))
}

impl GroupProbabilities {
    /// The groups as the evaluation reads them, with the first `samples` draws.
    pub fn groups(&self, data: &Prepared<'_>, samples: usize, classes: usize) -> Result<Groups> {
        let predictions = |what: &str, images: ImagesView<'_>, probs: &[f64]| {
            let images = images.len();
            let first = probs.get(..samples * images * classes).unwrap_or(probs).to_vec();
            Predictions::new(samples, images, classes, first).with_context(|| format!("predictions on {what}"))
        };
        let d = data.dataset;
        let labels = d.clean.labels.iter().map(|&l| l.into()).collect();
        let clean = LabelledGroup { predictions: predictions("clean", data.clean(), &self.clean)?, labels };
        let mut ambiguous = None;
        if let (Some(images), Some(group), Some(probs)) = (data.ambiguous(), &d.ambiguous, &self.ambiguous) {
            let predictions = predictions("ambiguous", images, probs)?;
            ambiguous = Some(AmbiguousGroup { predictions, soft_labels: group.soft_labels.clone() });
        }
        let ood = Some(OodGroup { predictions: predictions("ood", data.ood(), &self.ood)? });
        Ok(Groups { clean, ambiguous, ood })
    }
}

/// What the evaluation cannot know of a model.
pub fn describe(name: &str, checkpoint: &Checkpoint) -> ModelDescription {
    let bytes = checkpoint.guide().bytes(checkpoint.net());
    // Widths are checked to be at most 32 wherever settings come in.
    let width = |bits: u32| bits.try_into().unwrap_or(u8::MAX);
    let (strategy, bits) = match &checkpoint.quantize {
        None => (Strategy::Float, Bits::FLOAT),
        Some(q) => (
            match q.strategy {
                qbnn_bnn::Strategy::Vpq => Strategy::Vpq,
                qbnn_bnn::Strategy::Spq => Strategy::Spq,
                qbnn_bnn::Strategy::Jq => Strategy::Jq,
            },
            Bits {
                mu: width(q.bits.mu),
                sigma: width(q.bits.sigma),
                weight: width(q.bits.weight),
                activation: width(q.bits.activation),
            },
        ),
    };
    ModelDescription {
        name: name.to_owned(),
        strategy,
        bits,
        parameter_bytes: bytes.total() as u64,
        parameters: Some(ParameterBytes {
            weights_bytes: bytes.weights as u64,
            biases_bytes: bytes.biases as u64,
            scales_bytes: bytes.scales as u64,
        }),
        // Whether or not it lies beside the checkpoint: what does not fit the format has none.
        file_bytes: lower(checkpoint).ok().map(|file| file.len() as u64),
    }
}

/// Pretty JSON with a newline at its end, as `metrics.json` holds it.
pub fn to_file(metrics: &Metrics) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(metrics)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What stands below the table of an evaluation.
#[derive(Default)]
pub struct Closing<'a> {
    /// A note on the data.
    pub note: Option<&'a str>,
    /// The run folder.
    pub folder: Option<&'a str>,
    /// The page.
    pub report: Option<&'a str>,
    /// What to do now.
    pub next: &'a str,
}

/// Shows an evaluation: one JSON object, or the table and closing lines.
pub fn show(session: &Session, metrics: &Metrics, closing: &Closing<'_>) -> Result<()> {
    let &Closing { note, folder, report, next } = closing;
    let ui = session.ui;
    if ui.json {
        let mut object = serde_json::to_value(metrics)?;
        object["note"] = note.into();
        object["run_folder"] = folder.into();
        object["report"] = report.into();
        return ui.json_line(&object);
    }
    ui.result(&table::table(metrics, ui.medium()))?;
    let bytes = table::bytes(metrics, ui.medium());
    if !bytes.is_empty() {
        ui.text(&bytes)?;
    }
    for note in note.map(str::to_owned).into_iter().chain(metrics.models.iter().flat_map(ModelEntry::notes)) {
        ui.text(&format!("note: {note}"))?;
    }
    ui.text(&format!("{}, seed {}; in brackets 95 % bootstrap intervals", metrics.dataset, metrics.seed))?;
    if let Some(folder) = folder {
        ui.result(&format!("run folder: {folder}"))?;
    }
    if let Some(report) = report {
        ui.result(&format!("report: {report}"))?;
    }
    ui.result(next)
}
