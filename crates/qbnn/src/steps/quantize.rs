//! Quantization: from a float checkpoint to a quantized one beside it, with training through the quantizers or without.

use super::{Beginning, Caller, OnTopOf, Trained};
use crate::config::{self, Config, DataConfig, Layers};
use crate::consistency::{self, Part};
use crate::error::{Error, Result};
use crate::observer::Event;
use crate::preprocess::Prepared;
use crate::run_folder::{FLOAT, RunFolder, quantized_name};
use crate::training::TrainingContext;
use crate::{experiment, export, model_file, named, shell};
use qbnn_bnn::Checkpoint;
use std::path::Path;

/// Quantizes the float network of a run folder, or a float checkpoint, with settings on top of the folder's own. A quantized
/// checkpoint of its name is replaced with `overwrite`.
///
/// # Errors
/// [`Error::Asked`] of what is quantized already, is there already, or contradicts the run; those of
/// [`TrainingContext::quantized`].
pub fn quantize(caller: &Caller<'_>, from: &Path, settings: OnTopOf<'_>, overwrite: bool) -> Result<Trained> {
    let observer = caller.observer;
    let is_run = from.is_dir();
    let folder = if is_run { RunFolder::open(from)? } else { RunFolder::of_checkpoint(from) };
    let source = if is_run { folder.checkpoint(FLOAT) } else { from.to_owned() };
    named::checkpoint(&source)?;
    let layers = settings(folder.config().as_deref())?;
    config::check_used("quantize", &layers.flags)?;
    let folder = &*folder.hold()?;
    let float = Checkpoint::load(&source)?;
    if let Some(settings) = &float.quantize {
        let name = quantized_name(settings);
        return Err(Error::asked(format!(
            "{} is quantized already ({name}); name a float checkpoint",
            source.display()
        )));
    }
    if !float.finished() {
        observer.warn(&format!(
            "{} has {} of {} epochs; `qbnn train --resume {}` finishes it",
            source.display(),
            float.epoch,
            float.epochs(),
            shell::path(folder.path())
        ));
    }
    if folder.config().is_none() && !layers.names_data() {
        return Err(Error::asked(format!(
            "no config.toml lies beside {}; name the data it was trained on with --data",
            source.display()
        )));
    }
    let named = layers.asked.clone();
    let config = layers.finish()?;
    if let Some(path) = folder.config() {
        let mut own = Layers::default();
        own.file(&path)?;
        let own = own.finish()?;
        same_data(&own, &config)?;
        let fix = |_: &str| "copy the checkpoint elsewhere".to_owned();
        consistency::same_settings(&source, &float, &own, |_| false, fix)?;
    }
    // What nobody says of a training is not wrong.
    let passed = |key: &str| (key.starts_with("train.") || key == "network") && !named.iter().any(|n| n == key);
    if let Some((key, found, wanted)) = consistency::first_difference(&float, &config, passed)? {
        return Err(Error::asked(format!(
            "{}: {key} is {found} here, but the checkpoint was trained with {wanted}, and is quantized with the same; set it \
             so with --set {key}=VALUE, or leave it out",
            source.display()
        )));
    }
    let settings = &config.quantize;
    let name = folder.name_of(settings)?;
    let target = folder.checkpoint(&name);
    if target.exists() && !overwrite {
        return Err(Error::asked(format!(
            "{} exists; give --overwrite to replace it, or finish it with `qbnn train --resume {}`",
            target.display(),
            shell::path(folder.path())
        )));
    }
    let dataset = experiment::load(&config)?;
    let data = Prepared::new(&dataset);
    data.check(&source, float.input, float.classes)?;
    consistency::same_data(&source, &float, &data, Part::Training)?;
    export::check(&float.network, &data, &float.train, settings)?;
    model_file::remove(folder, &name)?;
    if target.exists() {
        std::fs::remove_file(&target).map_err(Error::io("replace", &target))?;
    }
    folder.cut_epochs(&name, 0)?;
    observer.event(Event::Begins(Beginning { config: &config, data: &data, network: float.net(), trains: false }));
    let context = TrainingContext { observer, folder, data: &data, go_on: "qbnn train --resume" };
    let quantized = context.quantized(float, &config)?;
    if folder.config().is_some() {
        caller.record(folder)?;
    }
    let folder = folder.path().to_owned();
    Ok(Trained { folder, seed: quantized.seed, models: vec![name], epochs: quantized.epoch })
}

/// A stopped quantization goes on with the data and seed of the run folder: it must have begun with them.
fn same_data(run: &Config, asked: &Config) -> Result<()> {
    let kept = |c: &Config| {
        let data = DataConfig { dir: None, path: None, ..c.data.clone() };
        (c.seed, data)
    };
    if kept(run) == kept(asked) {
        return Ok(());
    }
    Err(Error::asked(format!(
        "the run was trained on {} with seed {}, and is quantized on the same; leave out --seed and settings of \
         [data], or copy its checkpoint elsewhere",
        run.data.name, run.seed
    )))
}
