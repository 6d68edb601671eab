//! One task of a sweep: a float network trained, or a model made of it and evaluated.

use super::ledger::Done;
use super::plan::{Float, Run};
use super::spec::Model;
use crate::config::Config;
use crate::consistency::{self, Part};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::observer::Observer;
use crate::opened;
use crate::preprocess::Prepared;
use crate::{backend, evaluate, experiment};
use qbnn_bnn::internals::identity::sha256;
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::{Analytic, Draws, Ensemble, Export, Predictor, Probabilities, of_checkpoint};
use qbnn_bnn::train::{Event, Outcome, train};
use qbnn_bnn::{BnnError, Checkpoint, QuantizeSettings, Start, verify};
use qbnn_core::ImagesView;
use qbnn_data::Dataset;
use qbnn_eval::{ByHeadline, EvalOptions, MeanUncertainty, ModelDescription, OfGroup};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Hears which share of a task is done, 0 to 1.
pub type Tell<'a> = &'a (dyn Fn(f64) + Sync);

/// Runs the tasks of a sweep.
pub struct Runner<'a> {
    /// Hears what happens, and says whether to stop.
    pub observer: &'a dyn Observer,
    /// Folder of the float networks.
    pub floats: PathBuf,
    /// Datasets read lately, the newest last.
    datasets: Mutex<VecDeque<(String, Arc<Dataset>)>>,
    /// How many are kept.
    kept: usize,
}

impl<'a> Runner<'a> {
    /// A runner for so many tasks at a time.
    pub fn new(observer: &'a dyn Observer, floats: PathBuf, jobs: usize) -> Self {
        Runner { observer, floats, datasets: Mutex::default(), kept: jobs }
    }

    /// Where a float network lies.
    pub fn checkpoint(&self, id: &str) -> PathBuf {
        self.floats.join(format!("{id}.safetensors"))
    }

    /// Whether a float network is there and trained to its end.
    pub fn is_trained(&self, id: &str) -> bool {
        let path = self.checkpoint(id);
        path.is_file() && Checkpoint::load(&path).is_ok_and(|c| c.finished())
    }

    /// The data of an experiment, read once for tasks that follow each other.
    pub(super) fn dataset(&self, config: &Config) -> Result<Arc<Dataset>> {
        let made = (config.eval.shifts, config.eval.severities, config.eval.shift_images);
        let key = format!("{:?} {made:?} {}", config.data, config.seed);
        let mut kept = self.datasets.lock().unwrap_or_else(PoisonError::into_inner);
        let dataset = match kept.iter().position(|(k, _)| *k == key).and_then(|at| kept.remove(at)) {
            Some((_, dataset)) => dataset,
            // Under the lock: two tasks of one seed wait for one reading.
            None => Arc::new(experiment::load(config)?),
        };
        kept.push_back((key, Arc::clone(&dataset)));
        while kept.len() > self.kept {
            kept.pop_front();
        }
        Ok(dataset)
    }

    /// An error where the user asked to stop.
    pub(super) fn check_stop(&self) -> Result<()> {
        if self.observer.stopped() { Err(BnnError::Stopped.into()) } else { Ok(()) }
    }

    /// Trains a float network to its end, from its checkpoint where there is one.
    ///
    /// # Errors
    /// Those of data, network and training; [`Error::Io`]; [`BnnError::Stopped`].
    pub fn float(&self, id: &str, float: &Float, tell: Tell<'_>) -> Result<()> {
        let path = self.checkpoint(id);
        let dataset = self.dataset(&float.config)?;
        let data = Prepared::new(&dataset);
        // Another sweep that shares the folder may be at it: its network is this one's too.
        let waiting = |owner: &str| self.observer.note(&format!("waiting for float network {id}, trained by {owner}"));
        let lock = Lock::wait(&self.floats.join(format!("{id}.lock")), || self.observer.stopped(), waiting)?;
        let Some(_lock) = lock else { return Err(BnnError::Stopped.into()) };
        // What a killed sweep left half-trained goes on; what cannot be read is made again.
        let mut checkpoint = match Checkpoint::load(&path) {
            Ok(checkpoint) if self.is_of(&path, &checkpoint, float, &data) => checkpoint,
            _ => self.untrained(float, &data)?,
        };
        self.finish(&mut checkpoint, &data, Some(&path), tell)?;
        if checkpoint.train.epochs == 0 {
            checkpoint.save(&path)?;
        }
        Ok(())
    }

    /// Whether a checkpoint is of a plan's float network, and of the data that is there.
    fn is_of(&self, path: &Path, checkpoint: &Checkpoint, float: &Float, data: &Prepared<'_>) -> bool {
        // The seed of an ensemble's member is not that of its data.
        let config = Config { seed: float.seed, ..float.config.clone() };
        checkpoint.quantize.is_none()
            && consistency::first_difference(checkpoint, &config, |_| false).is_ok_and(|d| d.is_none())
            && consistency::same_data(path, checkpoint, data, Part::Training).is_ok()
    }

    fn untrained(&self, float: &Float, data: &Prepared<'_>) -> Result<Checkpoint> {
        let (spec, _) = experiment::network(&float.config, data)?;
        let (classes, train) = (data.dataset.classes(), float.config.train.clone());
        let mut new = Checkpoint::new(&spec, data.shape(), classes, data.normalisation(), float.seed, train)?;
        new.origin = Some(consistency::origin(&float.config, data));
        Ok(new)
    }

    fn finish(
        &self,
        checkpoint: &mut Checkpoint,
        data: &Prepared<'_>,
        path: Option<&Path>,
        tell: Tell<'_>,
    ) -> Result<()> {
        let mut observe = |event: &Event| {
            if let Event::Step { epoch, epochs, step, steps, .. } = *event {
                tell(((epoch - 1) as f64 + step as f64 / steps as f64) / epochs as f64);
            }
            if self.observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut save = |c: &Checkpoint| -> Result<(), BnnError> { path.map_or(Ok(()), |path| c.save(path)) };
        let train_data = data.train_data(&checkpoint.train, checkpoint.seed)?;
        match train(checkpoint, &train_data, &mut observe, &mut save)? {
            Outcome::Finished => self.check_stop(),
            Outcome::Stopped => Err(BnnError::Stopped.into()),
        }
    }

    /// Makes a model and evaluates it at each number of draws.
    ///
    /// # Errors
    /// As [`Runner::float`]; [`Error::Mismatch`] or [`Error::Contents`] of a float network that is not this run's.
    pub fn run(&self, run: &Run, samples: &[usize], tell: Tell<'_>) -> Result<Vec<(usize, Done)>> {
        let dataset = self.dataset(&run.config)?;
        let data = Prepared::new(&dataset);
        // An analytic pass has no draws: the points over which it reads its logits out stand in their place, all of them.
        let taken = |samples: usize| if run.model == Model::Pfp { pfp::POINTS } else { samples };
        let most = samples.iter().copied().map(taken).max().unwrap_or(1);
        evaluate::check_draws(&data, most)?;
        let started = Instant::now();
        let models = self.models(run, &data, &|share| tell(0.5 * share))?;
        let train_seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let described = describe(run, &models);
        let mut predictor = predictor(run.model, &models, data.train_images())?;
        let backend = backend::of(&predictor.backend());
        let identity = identity(&models);
        let (mut groups, of) = (0, 2.0 * (dataset.groups.len() + 1) as f64);
        let mut predictions = |_: &str, images: ImagesView<'_>| {
            let from = 0.5 + groups as f64 / of;
            groups += 1;
            self.predictions(run, &mut *predictor, images, most, &|share| tell(from + share / of))
        };
        let classes = dataset.classes();
        let all = evaluate::group_probabilities(&data, &mut predictions)?.and_validation(&data, &mut predictions)?;
        let mut done = Vec::new();
        for &samples in samples {
            // Draws do not depend on how many follow: fewer are the first of them.
            let groups = all.groups(&data, taken(samples), classes)?;
            let options = EvalOptions { resamples: 0, ..EvalOptions::default() };
            let evaluation = match all.validation(&data, taken(samples), classes)? {
                Some((validation, labels)) => qbnn_eval::evaluate_calibrated(&groups, &validation, &labels, &options)?,
                None => qbnn_eval::evaluate(&groups, &options)?,
            };
            let means = evaluation.mean_uncertainty();
            let further = evaluation.further().map(|group| OfGroup {
                name: group.name.to_owned(),
                shift: group.shift.cloned(),
                metrics: ByHeadline::from_fn(|h| group.measured.value(h).map(rounded)),
            });
            let groups = further.collect();
            done.push((
                samples,
                Done {
                    metrics: ByHeadline::from_fn(|h| evaluation.value(h).map(rounded)),
                    means: [means.clean, means.ambiguous, means.ood].map(|m| m.map(three)),
                    groups,
                    bytes: described.parameter_bytes,
                    backend: Some(backend.clone()),
                    identity: Some(identity.clone()),
                    derived: false,
                    train_seconds: tenths(train_seconds),
                    eval_seconds: 0.0,
                },
            ));
        }
        let eval_seconds = tenths(started.elapsed().as_secs_f64());
        done.iter_mut().for_each(|d| d.1.eval_seconds = eval_seconds);
        Ok(done)
    }

    fn models(&self, run: &Run, data: &Prepared<'_>, tell: Tell<'_>) -> Result<Vec<Checkpoint>> {
        let load = |id: &String| -> Result<Checkpoint> {
            let path = self.checkpoint(id);
            let checkpoint = Checkpoint::load(&path)?;
            let seed = checkpoint.seed;
            let float = Float { config: Config { quantize: QuantizeSettings::default(), ..run.config.clone() }, seed };
            if !self.is_of(&path, &checkpoint, &float, data) {
                let problem = "was trained with other settings or data; remove it and start again";
                return Err(Error::contents(&path, problem));
            }
            if checkpoint.finished() { Ok(checkpoint) } else { Err(Error::contents(&path, "is not trained")) }
        };
        if !run.model.is_quantized() {
            return run.floats.iter().map(load).collect();
        }
        if !run.model.is_ensemble() && (run.config.quantize.start == Start::Scratch || run.floats.is_empty()) {
            let float = self.untrained(&Float { config: run.config.clone(), seed: run.config.seed }, data)?;
            return Ok(vec![self.quantized(float, run, data, tell)?]);
        }
        let members = run.floats.len() as f64;
        let quantized = |(i, id)| self.quantized(load(id)?, run, data, &|share| tell((i as f64 + share) / members));
        run.floats.iter().enumerate().map(quantized).collect()
    }

    fn quantized(&self, float: Checkpoint, run: &Run, data: &Prepared<'_>, tell: Tell<'_>) -> Result<Checkpoint> {
        let train_data = data.train_data(&float.train, float.seed)?;
        let mut checkpoint = Checkpoint::quantized(float, run.config.quantize.clone(), &train_data)?;
        if !checkpoint.finished() {
            self.finish(&mut checkpoint, data, None, tell)?;
        }
        Ok(checkpoint)
    }

    /// Probabilities of all draws.
    fn predictions(
        &self,
        run: &Run,
        predictor: &mut dyn Predictor,
        images: ImagesView<'_>,
        samples: usize,
        tell: Tell<'_>,
    ) -> Result<Probabilities> {
        let mut progress = |done: usize, of: usize| {
            tell(done as f64 / of as f64);
            if self.observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        Ok(predictor.predict(images, Draws { count: samples, seed: run.config.seed }, &mut progress)?)
    }
}

/// What predicts with one model, or with several that share the draws. A quantized model is exported once: its file is
/// compared with it on a few training images, and then predicts.
fn predictor(kind: Model, models: &[Checkpoint], images: ImagesView<'_>) -> Result<Box<dyn Predictor>> {
    let [one] = models else {
        let of_member = |member: &Checkpoint| predictor(kind, std::slice::from_ref(member), images);
        let members = models.iter().map(of_member).collect::<Result<_>>()?;
        return Ok(Box::new(Ensemble::new(members)?));
    };
    if one.quantize.is_none() {
        return Ok(of_checkpoint(one)?);
    }
    let export = Export::new(one);
    // What has no model file is measured by its simulation; what has another network in its file is not measured.
    if let Ok(file) = export.file()
        && let Ok(difference) = verify::compare(one, file, images)
        && !difference.is_rounding()
    {
        return Err(BnnError::Apart(difference).into());
    }
    if kind == Model::Pfp {
        let file = export.file().map_err(|why| Error::Setting {
            key: "model",
            found: "pfp".to_owned(),
            wanted: format!("an analytic pass runs on a model file, and this network has none: {why}"),
        })?;
        return Ok(Box::new(Analytic::new(file, pfp::Weights::Stored)?));
    }
    Ok(export.predictor()?)
}

/// What tells one model, or several together, from any other.
fn identity(models: &[Checkpoint]) -> String {
    let all: Vec<_> = models.iter().map(Checkpoint::identity).collect();
    if let [one] = &all[..] { one.clone() } else { sha256(all.concat().as_bytes()) }
}

fn describe(run: &Run, models: &[Checkpoint]) -> ModelDescription {
    let mut all = models.iter().map(|m| opened::describe(&run.model_name(), m, None));
    let empty = || ModelDescription {
        name: run.model_name(),
        strategy: qbnn_eval::Strategy::Float,
        bits: qbnn_eval::Bits::FLOAT,
        parameter_bytes: 0,
        parameters: None,
        file_bytes: None,
    };
    let mut first = all.next().unwrap_or_else(empty);
    first.parameter_bytes += all.map(|m| m.parameter_bytes).sum::<u64>();
    first
}

/// Six decimals: far below any difference between seeds, and short in a ledger.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn three(mean: MeanUncertainty) -> [Option<f64>; 3] {
    [Some(mean.total), Some(mean.aleatoric), mean.epistemic].map(|m| m.map(rounded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;
    use crate::config::Layers;
    use qbnn_bnn::internals::export::exports;

    #[test]
    fn a_quantized_model_is_exported_once_and_a_float_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Layers::default();
        for set in [
            "data.train_limit=100",
            "train.batch=50",
            "data.group_limit=20",
            "network.name=mlp",
            "train.epochs=0",
            "quantize.epochs=0",
            "quantize.calibration=64",
        ] {
            layers.set(set).unwrap();
        }
        let config = layers.finish().unwrap();
        let runner = Runner::new(&Silent, dir.path().to_owned(), 1);
        runner.float("f", &Float { config: config.clone(), seed: config.seed }, &|_| ()).unwrap();
        for (model, wanted) in [(Model::Float, 0), (Model::Quantized, 1)] {
            let samples = [1, 2].into();
            let run = Run { id: "r".into(), config: config.clone(), model, floats: vec!["f".into()], samples };
            let before = exports();
            let done = runner.run(&run, &[1, 2], &|_| ()).unwrap();
            assert_eq!((exports() - before, done.len()), (wanted, 2), "{model:?}");
            let integer = matches!(done[0].1.backend, Some(qbnn_eval::Backend::Integer { .. }));
            assert_eq!(integer, model == Model::Quantized, "{:?}", done[0].1.backend);
        }
        // Members of an ensemble are quantized each, and run as one of them alone would.
        let other = config.seed + 1_000_000;
        runner.float("g", &Float { config: config.clone(), seed: other }, &|_| ()).unwrap();
        let floats = vec!["f".into(), "g".into()];
        let run = Run { id: "e".into(), config, model: Model::QuantizedEnsemble, floats, samples: [2].into() };
        let done = runner.run(&run, &[2], &|_| ()).unwrap();
        let Some(qbnn_eval::Backend::Ensemble { members }) = &done[0].1.backend else {
            panic!("{:?}", done[0].1.backend);
        };
        assert!(
            members.len() == 2 && members.iter().all(|m| matches!(m, qbnn_eval::Backend::Integer { .. })),
            "{members:?}"
        );
        assert!(run.model_name().starts_with("ensemble of 2 jq-"), "{}", run.model_name());
    }

    #[test]
    fn a_ledger_holds_shifted_groups_and_their_means() {
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Layers::default();
        for set in [
            "data.train_limit=50",
            "train.batch=50",
            "data.group_limit=10",
            "train.epochs=0",
            "eval.shifts=noise,blur",
            "eval.severities=[2, 5]",
            "eval.shift_images=4",
        ] {
            layers.set(set).unwrap();
        }
        let config = layers.finish().unwrap();
        let runner = Runner::new(&Silent, dir.path().to_owned(), 1);
        runner.float("f", &Float { config: config.clone(), seed: config.seed }, &|_| ()).unwrap();
        let run = Run { id: "r".into(), config, model: Model::Float, floats: vec!["f".into()], samples: [2].into() };
        let done = runner.run(&run, &[2], &|_| ()).unwrap().remove(0).1;
        let names: Vec<_> = done.groups.iter().map(|g| g.name.as_str()).collect();
        let made = ["noise-2", "noise-5", "blur-2", "blur-5"];
        assert_eq!(names, [&made[..], &["shifts@mean", "noise@mean", "blur@mean"]].concat());
        let measured = |name: &str| done.measured(&qbnn_eval::Measure::named(name).unwrap()).unwrap();
        let mean = made.iter().map(|g| measured(&format!("{g}:accuracy"))).sum::<f64>() / 4.0;
        assert!((measured("shifts@mean:accuracy") - mean).abs() < 2e-6);
        // What was written is read back, with the shift of each group.
        let line = serde_json::to_string(&done.groups).unwrap();
        assert!(line.contains(r#""name":"blur-5","shift":{"kind":"blur","severity":5}"#), "{line}");
        assert_eq!(serde_json::from_str::<Vec<OfGroup<f64>>>(&line).unwrap(), done.groups);
    }
}
