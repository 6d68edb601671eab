//! The settings of an experiment, and what they name.

use super::data::DataConfig;
use super::shifts::{self, Severities, Shifts};
use crate::error::{At, Error, Result};
use crate::{input, keys, ood};
use qbnn_bnn::{Activation, LayerSpec, NetworkSpec, QuantizeSettings, TrainSettings};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::Table;

/// Most networks drawn for a prediction.
pub const MAX_SAMPLES: usize = 1_000_000;
/// Most seeds of draws.
pub const MAX_DRAW_SEEDS: usize = 1_000;
/// Most resamples for the intervals.
pub const MAX_RESAMPLES: usize = 100_000;

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names the run folder; by default data and network.
    pub name: String,
    /// Seeds everything that is random.
    pub seed: u64,
    /// The file that the posterior was imported from, where it was: no training repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
    /// What is learned.
    pub data: DataConfig,
    /// What learns.
    pub network: NetworkConfig,
    /// Training in float.
    pub train: TrainSettings,
    /// Quantization and the training through it.
    pub quantize: QuantizeSettings,
    /// Evaluation.
    pub eval: EvalConfig,
}

/// A network by name, by file, or by its layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// A built-in network, or the name of the one described by `layer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A TOML file that describes a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// An activation function that takes the place of every one in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<String>,
    /// Layers, first to last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Vec<LayerSpec>>,
}

/// How models are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Drawn networks.
    pub samples: usize,
    /// Seeds of draws over which figures are means, `seed` and those after it.
    #[serde(skip_serializing_if = "is_one")]
    pub draw_seeds: usize,
    /// Resamples for the intervals; 0 for none.
    pub bootstrap: usize,
    /// Changes of the clean test images, each a shifted group in every severity.
    #[serde(skip_serializing_if = "Shifts::is_empty")]
    pub shifts: Shifts,
    /// Their severities.
    #[serde(skip_serializing_if = "Severities::is_all")]
    pub severities: Severities,
    /// Images of such a group; [`SHIFT_IMAGES`](super::SHIFT_IMAGES) where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift_images: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: String::new(),
            seed: 1,
            imported: None,
            data: DataConfig::default(),
            network: NetworkConfig::default(),
            train: TrainSettings::default(),
            quantize: QuantizeSettings::default(),
            eval: EvalConfig::default(),
        }
    }
}

impl Default for EvalConfig {
    fn default() -> Self {
        let (shifts, severities) = (Shifts::default(), Severities::default());
        EvalConfig { samples: 32, draw_seeds: 1, bootstrap: 1000, shifts, severities, shift_images: None }
    }
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

pub(super) fn encode(e: toml::ser::Error) -> Error {
    Error::Encode { what: "the settings", source: e.into() }
}

impl NetworkConfig {
    /// The name, for folders and tables.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("network")
    }

    /// Reads the file, so that a stored config describes the network even when the file has changed.
    pub(super) fn resolve(self) -> Result<Self> {
        let Some(path) = &self.file else { return Ok(self) };
        if self.layer.is_some() {
            return Err(Error::settings("[network]", "it has `file` and `layer`; keep one of them"));
        }
        let shown = path.display().to_string();
        let unreadable =
            |error| Error::UnreadableSettings { what: "network", path: path.clone(), error, fix: "check the path" };
        let text = input::text(path, input::TEXT).map_err(unreadable)?;
        let spec: NetworkSpec = toml::from_str(&text).map_err(|e| keys::located(&text, &shown, &e))?;
        let name = Some(self.name.unwrap_or(spec.name));
        Ok(NetworkConfig { name, file: None, layer: Some(spec.layers), ..self })
    }

    /// The description, for so many classes.
    ///
    /// # Errors
    /// [`Error::UnknownName`] of the network or its activation function.
    pub fn spec(&self, classes: usize) -> Result<NetworkSpec> {
        let name = self.title();
        let spec = match &self.layer {
            Some(layers) => Ok(NetworkSpec { name: name.to_owned(), layers: layers.clone() }),
            None => NetworkSpec::named(name, classes).ok_or_else(|| Error::UnknownName {
                what: "network",
                name: name.to_owned(),
                near: keys::nearest(name, NetworkSpec::NAMES.into_iter()).map(str::to_owned),
                known: format!("{}, or name a TOML file with layers", NetworkSpec::NAMES.join(", ")),
            }),
        }?;
        let Some(activation) = &self.activation else { return Ok(spec) };
        let function = Activation::named(activation).ok_or_else(|| Error::UnknownName {
            what: "network.activation",
            name: activation.clone(),
            near: keys::nearest(activation, Activation::NAMES.iter().copied()).map(str::to_owned),
            known: Activation::NAMES.join(", "),
        })?;
        Ok(spec.with_activation(function))
    }
}

impl Config {
    /// Every key that a config may have, as a dotted path. The list is read off a config in which every optional value is
    /// filled in: it cannot differ from what is accepted.
    pub fn keys() -> Vec<String> {
        let mut full = Config { imported: Some(String::new()), ..Config::default() };
        full.data.dir = Some(PathBuf::new());
        full.data.train_limit = Some(1);
        full.data.group_limit = Some(1);
        full.data.fill();
        full.network.name = Some(String::new());
        full.network.file = Some(PathBuf::new());
        full.network.activation = Some(String::new());
        full.network.layer = Some(Vec::new());
        full.quantize.kl_weight = Some(1.0);
        full.train.ood_kinds = Some(Vec::new());
        full.train.ood_blend = Some(0.0);
        full.eval = EvalConfig { shifts: Shifts::ALL, severities: Severities::ONE, shift_images: Some(1), ..full.eval };
        full.eval.draw_seeds = 2;
        Table::try_from(full).map_or(Vec::new(), |table| keys::of_table(&table))
    }

    /// Refuses settings of a run that cannot be trained again: its posterior is of another program.
    ///
    /// # Errors
    /// [`Error::Settings`] names the file.
    pub fn check_trainable(&self) -> Result<()> {
        let Some(file) = &self.imported else { return Ok(()) };
        Err(Error::settings(
            "imported",
            format!(
                "these are the settings of a posterior that was imported from {file}, which no training repeats; make the \
                 run folder again with `qbnn import`, or remove the line to train a network of one's own"
            ),
        ))
    }

    /// Checks everything that can be told without data.
    pub(super) fn check(&self) -> Result<()> {
        self.train.check().at(|| "[train]".to_owned())?;
        ood::kinds(&self.train)?;
        self.quantize.check().at(|| "[quantize]".to_owned())?;
        for (key, found, wanted) in [
            ("eval.samples", self.eval.samples, "at least 1 network must be drawn (32 is usual)"),
            ("eval.draw_seeds", self.eval.draw_seeds, "at least 1 seed of draws is needed; leave it out for one"),
        ] {
            if found == 0 {
                return Err(Error::Setting { key, found: "0".to_owned(), wanted: wanted.to_owned() });
            }
        }
        for (key, found, most) in [
            ("eval.samples", self.eval.samples, MAX_SAMPLES),
            ("eval.draw_seeds", self.eval.draw_seeds, MAX_DRAW_SEEDS),
            ("eval.bootstrap", self.eval.bootstrap, MAX_RESAMPLES),
        ] {
            if found > most {
                return Err(Error::Setting { key, found: found.to_string(), wanted: format!("wanted at most {most}") });
            }
        }
        if self.name.contains(['/', '\\']) {
            let wanted = "it cannot name a folder; leave out slashes, or use --out".to_owned();
            return Err(Error::Setting { key: "name", found: self.name.clone(), wanted });
        }
        shifts::check_images(self.eval.shift_images)?;
        self.data.check()?;
        self.network.spec(2).map(drop)
    }

    /// As JSON, for programs.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::encode("the settings"))
    }

    /// As TOML that gives the same experiment again.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(encode)
    }
}
