//! Evaluation: models predict the groups of a dataset, and the predictions are measured.

use crate::backend;
use crate::config::EvalConfig;
use crate::error::{At, Error, Result};
use crate::observer::{Event, Observer};
use crate::opened::{Model, Opened};
use crate::pass_check::PassAgreement;
use crate::predictions_file::StoredPredictions;
use crate::preprocess::Prepared;
use qbnn_bnn::internals::nn::limit;
use qbnn_bnn::predictor::{Draws, Predictor, Probabilities, Progress};
use qbnn_bnn::{pfp, predictor};
use qbnn_core::ImagesView;
use qbnn_data::Role;
use qbnn_eval::report::{Chosen, GalleryImage, ModelPredictions, choose};
use qbnn_eval::{
    EvalOptions, Evaluation, Groups, Metrics, ModelDescription, ModelEntry, Predictions, Shift, TestGroup, by_samples,
    compare, evaluate, evaluate_calibrated, over_draw_seeds,
};
use std::ops::ControlFlow;

/// What an evaluation leaves: its numbers, and what its page is drawn from.
pub struct Evaluated {
    /// The numbers.
    pub metrics: Metrics,
    /// Mean predictions, uncertainties and images.
    pub stored: StoredPredictions,
}

/// Measures models by name on one dataset, and every other one against the first that is float. `go_on` is the command
/// that does it again after a stop.
///
/// All models draw with the same seed, or `draw_seeds` of them, and meet the same resamples, so that differences are paired. With
/// `pfp` each has a twin, evaluated by one analytic pass and compared with its own draws; where they leave each other on
/// validation images, the observer is warned.
///
/// # Errors
/// [`Error::Bnn`] of a model that cannot run; [`Error::Eval`] of predictions that cannot be measured; [`Error::Stopped`].
pub fn evaluate_models(
    observer: &dyn Observer,
    models: &[(String, Model)],
    data: &Prepared<'_>,
    settings: EvalConfig,
    pfp: Option<pfp::Weights>,
    seed: u64,
    go_on: &str,
) -> Result<Evaluated> {
    let options = EvalOptions { resamples: settings.bootstrap, ..EvalOptions::default() };
    let mut metrics = Metrics::new(data.dataset.name.clone(), seed);
    let (mut evaluations, mut twins) = (Vec::new(), Vec::new());
    let stopped = |name: &str| Error::Stopped {
        place: format!("while {name} was evaluated; all checkpoints are whole"),
        go_on: go_on.to_owned(),
    };
    let draws = Draws { count: settings.samples, seed };
    for (i, (name, model)) in models.iter().enumerate() {
        let Opened { mut predictor, analytic, description, identity } = model.open(name, pfp)?;
        match analytic {
            Some(Ok(mut pass)) => {
                let validation = data.dataset.validation.images.view();
                let agreement = PassAgreement::of(&mut *pass, &mut *predictor, validation, seed)?;
                agreement.warning(name).iter().for_each(|line| observer.warn(line));
                let twin = format!("{name}-{}", if pfp == Some(pfp::Weights::Stored) { "pfp" } else { "pfp-drawn" });
                let predicted = predict(observer, &twin, &mut *pass, data, draws)?.ok_or_else(|| stopped(&twin))?;
                let evaluation = predicted.evaluate(&options).at(|| format!("cannot evaluate {twin}"))?;
                let description = ModelDescription { name: twin, ..description.clone() };
                let mut entry = ModelEntry::new(description, &evaluation);
                entry.backend = Some(backend::of(&pass.backend()));
                entry.identity = Some(identity.clone());
                twins.push((i, entry, evaluation));
            }
            Some(Err(e)) => observer.warn(&format!("{name} has no analytic pass, which runs on a model file: {e}")),
            None => {}
        }
        let (mut of_seeds, mut by_draws) = (Vec::with_capacity(settings.draw_seeds), Vec::new());
        for offset in 0..settings.draw_seeds.max(1) as u64 {
            let draws = Draws { seed: seed.wrapping_add(offset), ..draws };
            let predicted = predict(observer, name, &mut *predictor, data, draws)?.ok_or_else(|| stopped(name))?;
            of_seeds.push(predicted.evaluate(&options).at(|| format!("cannot evaluate {name}"))?);
            if offset == 0 {
                by_draws = by_samples(&predicted.groups)?;
            }
        }
        let evaluation = over_draw_seeds(of_seeds)?;
        let mut entry = ModelEntry::new(description, &evaluation);
        entry.by_samples = by_draws;
        entry.backend = Some(backend::of(&predictor.backend()));
        entry.identity = Some(identity);
        metrics.models.push(entry);
        evaluations.push(evaluation);
    }
    if let Some(float) = models.iter().position(|(_, m)| m.is_float()) {
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
    let mut stored = StoredPredictions::new(&metrics, data.dataset.classes(), data.dataset.note.clone())
        .with_class_names(&data.dataset.class_names);
    stored.predictions = drawn;
    stored.labels = evaluations.first().map_or(Vec::new(), |e| e.labels().to_vec());
    if let Some(last) = stored.predictions.get(models.len().saturating_sub(1)) {
        // The last drawn model is the one that would be put to use.
        let chosen = choose(last, &stored.labels);
        stored.gallery = chosen.into_iter().filter_map(|c| image(data.dataset, c)).collect();
    }
    Ok(Evaluated { metrics, stored })
}

/// Whether the probabilities of all test and validation images fit into memory: to be known before hours of training.
///
/// # Errors
/// [`Error::Bnn`]: how many they are, the limit, and the most draws that fit.
pub fn check_draws(data: &Prepared<'_>, samples: usize) -> Result<()> {
    let d = data.dataset;
    let images = d.groups.iter().map(|g| g.images.len()).sum::<usize>() + d.validation.images.len();
    Ok(limit::probabilities(samples, images, d.classes()).map(drop)?)
}

/// An image of the gallery with its pixels.
fn image(dataset: &qbnn_data::Dataset, chosen: Chosen) -> Option<GalleryImage> {
    let images = &dataset.groups.get(chosen.group)?.images;
    let pixels = images.get(chosen.input)?.to_vec();
    let &qbnn_data::Images { height, width, channels, .. } = images;
    Some(GalleryImage { chosen, height, width, channels, pixels })
}

/// A role as the evaluation calls it.
fn role(role: Role) -> qbnn_eval::Role {
    match role {
        Role::Clean => qbnn_eval::Role::Clean,
        Role::Ambiguous => qbnn_eval::Role::Ambiguous,
        Role::Ood => qbnn_eval::Role::Ood,
        Role::Shifted => qbnn_eval::Role::Shifted,
    }
}

/// A model's predictions of the test groups, and of the validation images that it is calibrated on.
struct Predicted {
    groups: Groups,
    validation: Option<(Predictions, Vec<usize>)>,
}

impl Predicted {
    /// Every metric; those of a calibrated model where there are validation images.
    fn evaluate(&self, options: &EvalOptions) -> Result<Evaluation> {
        Ok(match &self.validation {
            Some((validation, labels)) => evaluate_calibrated(&self.groups, validation, labels, options)?,
            None => evaluate(&self.groups, options)?,
        })
    }
}

/// What a predictor gives; `None` once it was told to stop. Of an analytic pass the draws are the fixed points over which it reads
/// its logits out.
fn predict(
    observer: &dyn Observer,
    name: &str,
    predictor: &mut dyn Predictor,
    data: &Prepared<'_>,
    draws: Draws,
) -> Result<Option<Predicted>> {
    if let predictor::Backend::Simulated { why } = predictor.backend() {
        observer.warn(&format!("{name} is evaluated by its simulation in float, not by the integer runtime: {why}"));
    }
    let mut count = draws.count;
    let mut run = |what: &str, images: ImagesView<'_>| {
        with_progress(observer, &format!("{name}: {what}"), |progress| {
            let found = predictor.predict(images, draws, progress)?;
            count = found.draws;
            Ok(found)
        })
    };
    let all = match group_probabilities(data, &mut run).and_then(|all| all.and_validation(data, &mut run)) {
        Err(e) if e.is_stopped() => return Ok(None),
        all => all?,
    };
    let groups = all.groups(data, count, predictor.classes()).at(|| format!("model {name}"))?;
    let validation = all.validation(data, count, predictor.classes()).at(|| format!("model {name}"))?;
    Ok(Some(Predicted { groups, validation }))
}

/// Runs a prediction, and tells how far it is.
///
/// # Errors
/// Those of `run`.
pub fn with_progress<T, E>(
    observer: &dyn Observer,
    what: &str,
    run: impl FnOnce(&mut dyn Progress) -> Result<T, E>,
) -> Result<T, E> {
    let mut progress = |done: usize, of: usize| {
        observer.event(Event::Predicting { what, done, of });
        if observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = run(&mut progress);
    observer.event(Event::PredictingEnded);
    result
}

/// Predicts one group, by its name and images.
pub type Predict<'a> = dyn FnMut(&str, ImagesView<'_>) -> Result<Probabilities> + 'a;

/// Class probabilities of every test group, in the order of the dataset's groups.
pub struct GroupProbabilities {
    groups: Vec<Probabilities>,
    validation: Option<Probabilities>,
}

/// Lets a model predict every test group.
///
/// # Errors
/// Those of `run`.
pub fn group_probabilities(data: &Prepared<'_>, run: &mut Predict<'_>) -> Result<GroupProbabilities> {
    let groups = data.dataset.groups.iter();
    let groups = groups.map(|g| run(&g.name, g.images.view())).collect::<Result<_>>()?;
    Ok(GroupProbabilities { groups, validation: None })
}

impl GroupProbabilities {
    /// Lets the model predict the validation images too, where there are some.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn and_validation(self, data: &Prepared<'_>, run: &mut Predict<'_>) -> Result<Self> {
        let images = &data.dataset.validation.images;
        let validation = (!images.is_empty()).then(|| run("validation", images.view())).transpose()?;
        Ok(GroupProbabilities { validation, ..self })
    }

    /// The groups as the evaluation reads them, with the first `samples` draws.
    ///
    /// # Errors
    /// [`Error::Eval`] of numbers that are no probabilities.
    pub fn groups(&self, data: &Prepared<'_>, samples: usize, classes: usize) -> Result<Groups> {
        let one = |(group, found): (&qbnn_data::TestGroup, &Probabilities)| {
            let predictions = predictions(found, samples, group.images.len(), classes);
            Ok(TestGroup {
                name: group.name.clone(),
                role: role(group.role),
                predictions: predictions.at(|| format!("predictions on {}", group.name))?,
                labels: group.labels.iter().flatten().map(|&l| l.into()).collect(),
                soft_labels: group.soft_labels.clone(),
                shift: group.shift.map(|s| Shift { kind: s.shift().name().to_owned(), severity: s.severity() }),
            })
        };
        data.dataset.groups.iter().zip(&self.groups).map(one).collect::<Result<_>>().map(Groups)
    }

    /// The validation images with their labels, where they were predicted.
    ///
    /// # Errors
    /// As [`GroupProbabilities::groups`].
    pub fn validation(
        &self,
        data: &Prepared<'_>,
        samples: usize,
        classes: usize,
    ) -> Result<Option<(Predictions, Vec<usize>)>> {
        let Some(found) = &self.validation else { return Ok(None) };
        let qbnn_data::Labelled { images, labels } = &data.dataset.validation;
        let predictions = predictions(found, samples, images.len(), classes);
        let predictions = predictions.at(|| "predictions on the validation images".to_owned())?;
        Ok(Some((predictions, labels.iter().map(|&l| l.into()).collect())))
    }
}

/// The first draws of some probabilities, checked.
fn predictions(found: &Probabilities, samples: usize, images: usize, classes: usize) -> Result<Predictions> {
    let first = |all: &[f64], length: usize| all.get(..length).unwrap_or(all).to_vec();
    let predictions = Predictions::new(samples, images, classes, first(&found.values, samples * images * classes))?;
    Ok(predictions.with_energies(first(&found.energies, samples * images))?)
}

/// Predictions of every test group by one predictor, which the observer knows as `what`.
///
/// # Errors
/// Those of [`Predictor::predict`], among them that the observer said stop.
pub fn predicted(
    observer: &dyn Observer,
    what: &str,
    predictor: &mut dyn Predictor,
    data: &Prepared<'_>,
    draws: Draws,
) -> Result<Groups> {
    let mut run = |group: &str, images: ImagesView<'_>| {
        with_progress(observer, &format!("{what}: {group}"), |progress| Ok(predictor.predict(images, draws, progress)?))
    };
    group_probabilities(data, &mut run)?.groups(data, draws.count, predictor.classes())
}

/// Pretty JSON with a newline at its end, as `metrics.json` holds it.
///
/// # Errors
/// [`Error::Encode`].
pub fn to_file(metrics: &Metrics) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(metrics).map_err(Error::encode("the metrics"))?;
    bytes.push(b'\n');
    Ok(bytes)
}
