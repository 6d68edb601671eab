//! Whether a checkpoint, the settings beside it and the data that is there belong to one experiment.
//!
//! Settings are part of what was trained: a checkpoint keeps those of its data, with a fingerprint of the data itself.
//! Checkpoints of version 1 have neither; of them seed, network and training settings are compared, and nothing else can
//! be.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ood;
use crate::preprocess::Prepared;
use qbnn_bnn::{Checkpoint, Origin};
use qbnn_data::Catalogue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What is compared of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What a training reads.
    Training,
    /// What an evaluation reads.
    Test,
}

impl Part {
    /// Whether a fingerprint of this name is of it: test groups have names of their own.
    pub fn has(self, name: &str) -> bool {
        ["training", "validation"].contains(&name) == (self == Part::Training)
    }
}

/// What a new checkpoint keeps of its experiment.
pub fn origin(config: &Config, data: &Prepared<'_>) -> Origin {
    let of_data = settings(config).into_iter().filter(|(key, _)| key.starts_with("data."));
    Origin { settings: of_data.collect(), data: data.fingerprints().clone() }
}

/// The settings that a training depends on, but for its network, by key.
fn settings(config: &Config) -> BTreeMap<String, Value> {
    let mut all = of_training(config.seed, &config.train);
    let data = &config.data;
    all.insert("data.name".into(), data.name.clone().into());
    all.insert("data.train_limit".into(), json!(data.train_limit));
    all.insert("data.group_limit".into(), json!(data.group_limit));
    all
}

fn of_training(seed: u64, train_settings: &qbnn_bnn::TrainSettings) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::from([("seed".to_owned(), seed.into())]);
    if let Ok(Value::Object(train)) = serde_json::to_value(train_settings) {
        all.extend(train.into_iter().map(|(key, value)| (format!("train.{key}"), value)));
        // Without such images their kinds and blends do not count, and none are blended where nothing is said of it.
        all.remove("train.ood_blend");
        match ood::kinds(train_settings) {
            Ok(kinds) if train_settings.ood_weight > 0.0 => {
                all.insert("train.ood_kinds".to_owned(), json!(ood::names(&kinds)));
                all.insert("train.ood_blend".to_owned(), json!(train_settings.ood_blend.unwrap_or(0.0)));
            }
            _ => drop(all.remove("train.ood_kinds")),
        }
    }
    all
}

/// The first setting that a checkpoint was trained with otherwise than a config says: key, what the config says, what
/// the checkpoint had. Keys that `passed` names are not compared.
///
/// # Errors
/// [`Error::UnknownName`] of the config's network or activation function.
pub fn first_difference(
    checkpoint: &Checkpoint,
    config: &Config,
    passed: impl Fn(&str) -> bool,
) -> Result<Option<(String, String, String)>> {
    let mut trained = of_training(checkpoint.seed, &checkpoint.train);
    trained.extend(checkpoint.origin.iter().flat_map(|o| o.settings.clone()));
    let asked = settings(config);
    for (key, wanted) in &trained {
        let found = asked.get(key).unwrap_or(&Value::Null);
        if found != wanted && !passed(key) {
            return Ok(Some((key.clone(), shown(found), shown(wanted))));
        }
    }
    if !["network", "network.name"].iter().any(|key| passed(key)) {
        let spec = config.network.spec(checkpoint.classes)?;
        if spec != checkpoint.network {
            // Where the names are the same, the layers differ.
            let name = |spec: &qbnn_bnn::NetworkSpec| format!("{} of {} layers", spec.name, spec.layers.len());
            return Ok(Some(("network".into(), name(&spec), name(&checkpoint.network))));
        }
    }
    Ok(None)
}

fn shown(value: &Value) -> String {
    if value.is_null() { "none".to_owned() } else { value.to_string() }
}

/// Refuses a checkpoint whose settings are not those of the config.toml beside it. `fix` is what can be done then,
/// besides restoring it.
///
/// # Errors
/// [`Error::OtherSetting`].
pub fn same_settings(
    path: &Path,
    checkpoint: &Checkpoint,
    config: &Config,
    passed: impl Fn(&str) -> bool,
    fix: impl Fn(&str) -> String,
) -> Result<()> {
    match first_difference(checkpoint, config, passed)? {
        None => Ok(()),
        Some((key, found, wanted)) => {
            let fix = fix(&key).into();
            Err(Error::OtherSetting { path: path.to_owned(), key, found, wanted, fix })
        }
    }
}

/// Whether a checkpoint's own evaluation reads the test images that a config names.
pub fn same_test(checkpoint: &Checkpoint, config: &Config) -> bool {
    let asked = settings(config);
    let own = checkpoint.origin.iter().flat_map(|o| &o.settings);
    let mut of_test = own.filter(|(key, _)| ["data.name", "data.group_limit"].contains(&key.as_str()));
    checkpoint.seed == config.seed && of_test.all(|(key, value)| asked.get(key) == Some(value))
}

/// Whether a built-in dataset goes without a test group.
fn is_optional(dataset: &str, group: &str) -> bool {
    let composition = Catalogue::built_in().and_then(|all| all.dataset(dataset));
    composition.is_ok_and(|(_, c)| c.test.iter().any(|test| test.optional && test.name() == group))
}

/// Refuses a checkpoint whose data is no longer what is there.
///
/// # Errors
/// [`Error::Mismatch`] names the part, what was found and what was wanted.
pub fn same_data(path: &Path, checkpoint: &Checkpoint, data: &Prepared<'_>, part: Part) -> Result<()> {
    let Some(origin) = &checkpoint.origin else { return Ok(()) };
    let found = data.fingerprints();
    // A test group that has been added since contradicts nothing, nor does an optional one whose files are not here; what the
    // program makes follows from the clean group.
    let d = data.dataset;
    let passed = |name: &str| d.group(name).map_or_else(|| is_optional(&d.name, name), |g| g.shift.is_some());
    for (name, wanted) in origin.data.iter().filter(|(name, _)| part.has(name) && !passed(name)) {
        let found = found.get(name);
        if found != Some(wanted) {
            let short = |hash: Option<&String>| hash.map_or("none", |h| h.get(..16).unwrap_or(h)).to_owned();
            let problem = format!(
                "the {name} images of {} have fingerprint {}, but the checkpoint began with {}; put back the files that \
                 it was trained with, or start a new run",
                data.dataset.name,
                short(found),
                short(Some(wanted))
            );
            return Err(Error::mismatch(path, problem));
        }
    }
    Ok(())
}
