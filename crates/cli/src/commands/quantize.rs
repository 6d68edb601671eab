//! `qbnn quantize`: from a float checkpoint to a quantized one beside it, with training through the quantizers or
//! without.

use super::train::report;
use crate::failure::usage;
use crate::session::{self, Session};
use crate::settings::QuantizeCommand;
use anyhow::{Context, Result};
use qbnn::config::{self, Config, DataConfig, Layers};
use qbnn::consistency::{self, Part};
use qbnn::named;
use qbnn::preprocess::Prepared;
use qbnn::run_folder::{FLOAT, RunFolder, quantized_name};
use qbnn::training::TrainingContext;
use qbnn::{experiment, export, model_file, shell};
use qbnn_bnn::Checkpoint;

/// Quantizes.
pub fn quantize(session: &Session, args: &QuantizeCommand) -> Result<()> {
    let is_run = args.from.is_dir();
    let folder = if is_run { RunFolder::open(&args.from)? } else { RunFolder::of_checkpoint(&args.from) };
    let source = if is_run { folder.checkpoint(FLOAT) } else { args.from.clone() };
    named::checkpoint(&source)?;
    let layers = args.base.layers(folder.config().as_deref(), &[&args.quantize])?;
    config::check_used("quantize", &layers.flags)?;
    let folder = &*folder.hold()?;
    let float = Checkpoint::load(&source)?;
    if let Some(settings) = &float.quantize {
        let name = quantized_name(settings);
        return Err(usage(format!("{} is quantized already ({name}); name a float checkpoint", source.display())));
    }
    if !float.finished() {
        session.ui.warn(&format!(
            "{} has {} of {} epochs; `qbnn train --resume {}` finishes it",
            source.display(),
            float.epoch,
            float.epochs(),
            shell::path(folder.path())
        ));
    }
    if folder.config().is_none() && !layers.names_data() {
        return Err(usage(format!(
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
        return Err(usage(format!(
            "{}: {key} is {found} here, but the checkpoint was trained with {wanted}, and is quantized with the same; set it \
             so with --set {key}=VALUE, or leave it out",
            source.display()
        )));
    }
    let settings = &config.quantize;
    let name = folder.name_of(settings)?;
    let target = folder.checkpoint(&name);
    if target.exists() && !args.overwrite {
        return Err(usage(format!(
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
        std::fs::remove_file(&target).with_context(|| format!("cannot replace {}", target.display()))?;
    }
    folder.cut_epochs(&name, 0)?;
    session.ui.say(&session::headline(&config, &data, float.net()));
    let context = TrainingContext { observer: session, folder, data: &data, go_on: "qbnn train --resume" };
    let quantized = context.quantized(float, &config)?;
    if folder.config().is_some() {
        session.record(folder)?;
    }
    report(session, folder, quantized.seed, &[name], quantized.epoch)
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
    Err(usage(format!(
        "the run was trained on {} with seed {}, and is quantized on the same; leave out --seed and settings of \
         [data], or copy its checkpoint elsewhere",
        run.data.name, run.seed
    )))
}
