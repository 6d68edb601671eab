//! Layers of settings, each checked alone, merged into one experiment.

use super::data::{DataConfig, OF_DATA, TestSource, is_built_in};
use super::settings::{Config, NetworkConfig, encode};
use crate::error::{Error, Result};
use crate::recipe::{self, DEFAULT_NETWORK};
use crate::{input, keys, ood};
use qbnn_bnn::{BitWidths, PosteriorKind, QuantizeSettings, Strategy, Widths};
use qbnn_data::synthetic_ood::Kind;
use qbnn_data::{Extent, own};
use serde::Deserialize;
use std::path::Path;
use toml::{Table, Value};

/// Layers above the defaults, lowest first, already checked one by one.
#[derive(Debug, Default)]
pub struct Layers {
    merged: Table,
    /// Keys set by flags or `--set`, for messages.
    pub flags: Vec<String>,
    /// The same, and the keys of a config file that was named.
    pub asked: Vec<String>,
    /// Widths whose keys depend on the strategy, which may be set in any layer; over files, under single widths.
    widths: Option<Widths>,
    /// Whether they begin with the settings of a run that did not know kinds of synthetic OOD images.
    of_0_1: bool,
    /// Whether they begin with the settings of a run that blends no OOD images into others.
    without_blends: bool,
}

impl Layers {
    /// Puts a config file on top.
    ///
    /// # Errors
    /// [`Error::UnreadableSettings`]; [`Error::Settings`] of an unknown key or a value of another type, with its line.
    pub fn file(&mut self, path: &Path) -> Result<()> {
        let text = self.read(path)?;
        let trained = toml::from_str::<Table>(&text).ok().and_then(|mut table| table.remove("train"));
        // Settings of a run are whole: what they lack did not exist.
        let lacks = |key: &str| trained.as_ref().is_some_and(|train| train.get(key).is_none());
        (self.of_0_1, self.without_blends) = (lacks("ood_kinds"), lacks("ood_blend"));
        Ok(())
    }

    /// Puts a config file on top, and gives its text: a pipe can be read only once.
    fn read(&mut self, path: &Path) -> Result<String> {
        let unreadable = |error| Error::UnreadableSettings {
            what: "config",
            path: path.to_owned(),
            error,
            fix: "check the path given to --config",
        };
        let text = input::text(path, input::TEXT).map_err(unreadable)?;
        self.text(&text, &path.display().to_string())?;
        Ok(text)
    }

    /// Puts a config file on top that was named for this command alone.
    ///
    /// # Errors
    /// As [`Layers::file`].
    pub fn asked_file(&mut self, path: &Path) -> Result<()> {
        let text = self.read(path)?;
        self.asked.extend(keys::of_text(&text));
        Ok(())
    }

    fn text(&mut self, text: &str, origin: &str) -> Result<()> {
        keys::check_text(text, origin, &Config::keys())?;
        // Only for its errors, which know the line: the layers above may yet change what it says.
        toml::from_str::<Config>(text).map_err(|e| keys::located(text, origin, &e))?;
        let mut table: Table = toml::from_str(text).map_err(|e| keys::located(text, origin, &e))?;
        keys::rename(&mut table);
        merge(&mut self.merged, table);
        Ok(())
    }

    /// Puts one flag on top; its type is right by construction.
    ///
    /// Widths belong to the strategy that they were written with: naming another one leaves them behind.
    pub fn flag(&mut self, key: &str, value: Value) {
        let key = keys::current(key);
        if key == "quantize.strategy"
            && let Some(Value::Table(quantize)) = self.merged.get_mut("quantize")
            && quantize.get("strategy").is_some_and(|below| *below != value)
        {
            quantize.remove("bits");
        }
        self.note(key);
        merge(&mut self.merged, keys::nested(key, value));
    }

    fn note(&mut self, key: &str) {
        self.flags.push(key.to_owned());
        self.asked.push(key.to_owned());
    }

    /// Puts data on top: a built-in dataset by its name, else whatever lies at a path. What layers below say of other data
    /// is left behind.
    pub fn data(&mut self, data: &str) {
        if let Some(Value::Table(below)) = self.merged.get_mut("data") {
            below.retain(|key, _| !OF_DATA.contains(&key));
        }
        // What is neither is taken for a name, so that the nearest one is told.
        let is_path = !is_built_in(data) && (data.contains(['/', '\\']) || Path::new(data).exists());
        let key = if is_path { "data.path" } else { "data.name" };
        // Other data has another name.
        self.asked.push("data.name".to_owned());
        self.flag(key, Value::String(data.to_owned()));
    }

    /// Puts a network on top: a built-in one by its name, or a TOML file of layers.
    pub fn network(&mut self, network: &str) {
        let is_file = network.ends_with(".toml") || network.contains(['/', '\\']);
        let key = if is_file { "network.file" } else { "network.name" };
        self.flag(key, Value::String(network.to_owned()));
    }

    /// Puts a network on top that is described by its layers, first to last, as a config file has them.
    ///
    /// # Errors
    /// [`Error::Settings`] of layers that are none.
    pub fn described_network(&mut self, name: &str, layers: Vec<Value>) -> Result<()> {
        let pairs = [("name", Value::String(name.to_owned())), ("layer", Value::Array(layers))];
        let table = Value::Table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        NetworkConfig::deserialize(table.clone()).map_err(|e| Error::settings("network", e.message().trim()))?;
        self.note("network.layer");
        merge(&mut self.merged, Table::from_iter([("network".to_owned(), table)]));
        Ok(())
    }

    /// Adds a test group, in the place of one of its name.
    ///
    /// # Errors
    /// [`Error::Settings`] of what is no `ROLE:NAME=PATH`.
    pub fn test(&mut self, text: &str) -> Result<()> {
        let wrong = |problem: String| Error::settings("--test", problem);
        let test: TestSource = text.parse().map_err(wrong)?;
        let other = |value: &Value| {
            value.as_str().and_then(|t| t.parse::<TestSource>().ok()).is_none_or(|below| below.name != test.name)
        };
        let below = self.merged.get("data").and_then(|d| d.get("test")).and_then(Value::as_array);
        let mut all: Vec<Value> = below.into_iter().flatten().filter(|v| other(v)).cloned().collect();
        all.push(Value::String(text.to_owned()));
        self.flag("data.test", Value::Array(all));
        Ok(())
    }

    /// Puts widths on top: of whatever the strategy, once it is known, quantizes.
    pub fn widths(&mut self, widths: Widths) {
        self.note("quantize.bits");
        self.widths = Some(widths);
    }

    /// Puts one value of any kind on top, checked.
    ///
    /// # Errors
    /// What is wrong with key or value, and the fix.
    pub fn put(&mut self, key: &str, value: Value) -> Result<(), String> {
        keys::check_key(key, &Config::keys())?;
        Config::deserialize(keys::nested(key, value.clone())).map_err(|e| e.message().trim().to_owned())?;
        self.flag(key, value);
        Ok(())
    }

    /// Puts one `key.path=value` on top. A value that is no TOML, or of the wrong type, is tried as a string.
    ///
    /// # Errors
    /// [`Error::Settings`] of an unknown key or a value of another type.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let wrong = |problem: String| Error::settings(format!("--set {assignment}"), problem);
        let Some((key, text)) = assignment.split_once('=') else {
            return Err(wrong("wanted key.path=value, such as --set train.epochs=5".to_owned()));
        };
        let (key, text) = (key.trim(), text.trim());
        keys::check_key(key, &Config::keys()).map_err(wrong)?;
        let as_string = || Value::String(text.to_owned());
        let parsed = toml::from_str::<Table>(&format!("v = {text}")).ok().and_then(|mut t| t.remove("v"));
        let fits = |value: &Value| Config::deserialize(keys::nested(key, value.clone()));
        let value = match parsed.unwrap_or_else(as_string) {
            value if fits(&value).is_ok() => value,
            _ if fits(&as_string()).is_ok() => as_string(),
            value => {
                return Err(wrong(fits(&value).err().map(|e| e.message().to_owned()).unwrap_or_default()));
            }
        };
        self.flag(key, value);
        Ok(())
    }

    /// For layers that begin with the config of a run: its fine-tuning belongs to its own widths, and is forgotten where
    /// flags name others.
    pub fn other_widths(&mut self) {
        let named = self.widths.is_some() || self.flags.iter().any(|f| f.starts_with("quantize.bits"));
        let Some(Value::Table(quantize)) = self.merged.get_mut("quantize").filter(|_| named) else { return };
        for key in recipe::NARROW_KEYS {
            if !self.flags.contains(&format!("quantize.{key}")) {
                quantize.remove(key);
            }
        }
    }

    /// Whether some layer names the data.
    pub fn names_data(&self) -> bool {
        ["name", "path"].iter().any(|key| self.merged.get("data").and_then(|d| d.get(key)).is_some())
    }

    /// Whether some layer names or describes the network.
    pub fn names_network(&self) -> bool {
        let network = self.merged.get("network").and_then(Value::as_table);
        network.is_some_and(|table| table.keys().any(|key| key != ACTIVATION))
    }

    /// The data of these layers alone, and about how many pairs it has to learn from.
    fn of_data(&self) -> Result<(DataConfig, Option<usize>)> {
        let of_config = |e: toml::de::Error| Error::settings("config", e.message());
        let table = self.merged.get("data").cloned().unwrap_or_else(|| Value::Table(Table::new()));
        let mut data = DataConfig::deserialize(table).map_err(of_config)?;
        let named = self.merged.get("data").and_then(|d| d.get("name")).is_some();
        data.resolve(named)?;
        let pairs = match &data.path {
            Some(path) => own::count(path, &data.options()),
            None => Extent::of(&data.name).map(|extent| extent.pairs),
        };
        Ok((data, pairs))
    }

    /// The experiment: defaults and recipe below, these layers on top, files that it names read in.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Setting`] or [`Error::Bnn`] of values that are out of range or contradict each other;
    /// [`Error::UnknownName`] of network or activation function; [`Error::UnreadableSettings`] of a network's file.
    pub fn finish(self) -> Result<Config> {
        let text = |table: &str, key: &str| {
            self.merged.get(table).and_then(|t| t.get(key)).and_then(Value::as_str).map(str::to_owned)
        };
        let (data, pairs) = self.of_data()?;
        let names_network = |t: &Table| t.keys().any(|key| key != ACTIVATION);
        let given_network = self.merged.get("network").and_then(Value::as_table).is_some_and(names_network);
        let network = text("network", "name")
            .unwrap_or_else(|| if given_network { String::new() } else { DEFAULT_NETWORK.into() });
        let recipe = recipe::recipe(pairs, &network);
        let of_config = |e: toml::de::Error| Error::settings("config", e.message());
        let found = self.merged.get("quantize").and_then(|q| q.get("strategy")).cloned();
        let strategy = match found {
            Some(name) => Strategy::deserialize(name).map_err(of_config)?,
            None => recipe.quantize.strategy,
        };
        let posterior = self.merged.get("train").and_then(|t| t.get("posterior")).cloned();
        let posterior = match posterior {
            Some(name) => PosteriorKind::deserialize(name).map_err(of_config)?,
            None => recipe.train.posterior,
        };
        let bits = recipe::widths(strategy, posterior);
        let base = Config {
            data: DataConfig { train_limit: recipe.train_limit, ..DataConfig::default() },
            network: NetworkConfig {
                name: (!given_network).then(|| DEFAULT_NETWORK.to_owned()),
                ..NetworkConfig::default()
            },
            train: recipe.train,
            quantize: QuantizeSettings { strategy, bits, ..recipe.quantize },
            ..Config::default()
        };
        let mut table = Table::try_from(base).map_err(encode)?;
        merge(&mut table, self.merged.clone());
        let mut config = Config::deserialize(table).map_err(of_config)?;
        if let Some(widths) = self.widths {
            let single = |key: &str| self.flags.iter().any(|f| f == &format!("quantize.bits.{key}"));
            let (wide, given) = (widths.resolve(strategy, config.quantize.bits), config.quantize.bits);
            let either = |key, given, wide| if single(key) { given } else { wide };
            config.quantize.bits = BitWidths {
                mu: either("mu", given.mu, wide.mu),
                sigma: either("sigma", given.sigma, wide.sigma),
                weight: either("weight", given.weight, wide.weight),
                activation: either("activation", given.activation, wide.activation),
            };
        }
        let given = |key: &str| self.merged.get("quantize").is_some_and(|q| q.get(key).is_some());
        if !recipe::NARROW_KEYS.into_iter().any(given) {
            recipe::narrow(&mut config.quantize);
        }
        config.data = DataConfig { train_limit: config.data.train_limit, ..data };
        config.network = config.network.resolve()?;
        if config.train.ood_weight > 0.0 && config.train.ood_kinds.is_none() {
            config.train.ood_kinds = Some(ood::names(if self.of_0_1 { &Kind::OF_0_1 } else { &ood::DEFAULT }));
        }
        if config.train.ood_weight > 0.0 && config.train.ood_blend.is_none() {
            config.train.ood_blend = Some(if self.without_blends { 0.0 } else { ood::BLEND });
        }
        config.check()?;
        if config.name.is_empty() {
            config.name = format!("{}-{}", config.data.name, config.network.title());
        }
        Ok(config)
    }
}

/// Key of the activation function, which goes with any network.
const ACTIVATION: &str = "activation";

/// Puts `over` on `base`. A network is replaced as a whole, but for its activation function: the layers of one never
/// mix with another's name.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if key == "network" => {
                if above.keys().any(|key| key != ACTIVATION) {
                    below.retain(|key, _| key == ACTIVATION);
                }
                below.extend(above);
            }
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_bnn::{Activation, NetworkSpec, OpSpec};

    fn config(text: &str, sets: &[&str]) -> Result<Config> {
        let mut layers = Layers::default();
        layers.text(text, "x.toml")?;
        for set in sets {
            layers.set(set)?;
        }
        layers.finish()
    }

    #[test]
    fn layers_override_in_order() {
        let text = "seed = 3\n[train]\nepochs = 7\nbatch = 64\n";
        let config = config(text, &["train.epochs=2", "data.name=mnist", "name=7", "quantize.bits.mu=3"]).unwrap();
        assert_eq!((config.seed, config.train.epochs, config.train.batch), (3, 2, 64));
        assert_eq!((config.data.name.as_str(), config.name.as_str(), config.quantize.bits.mu), ("mnist", "7", 3));
    }

    #[test]
    fn widths_follow_the_strategy_wherever_it_is_set() {
        let bits = |text: &str, widths: Option<&str>, sets: &[&str]| {
            let mut layers = Layers::default();
            layers.text(text, "x.toml").unwrap();
            widths.into_iter().for_each(|w| layers.widths(w.parse().unwrap()));
            sets.iter().for_each(|s| layers.set(s).unwrap());
            let BitWidths { mu, sigma, weight, activation } = layers.finish().unwrap().quantize.bits;
            [mu, sigma, weight, activation]
        };
        assert_eq!(bits("", None, &[]), [4, 2, 8, 4]);
        assert_eq!(bits("", None, &["train.posterior=point"]), [4, 4, 4, 4]);
        assert_eq!(bits("", Some("4"), &[]), [4, 4, 4, 4]);
        assert_eq!(bits("", None, &["quantize.strategy=vpq"]), [4, 4, 32, 4]);
        assert_eq!(bits("[quantize]\nstrategy = \"spq\"\n", Some("w2a3"), &[]), [32, 32, 2, 3]);
        assert_eq!(bits("[quantize.bits]\nmu = 8\n", Some("3"), &["quantize.bits.sigma=2"]), [3, 2, 3, 3]);
        assert_eq!(bits("[quantize.bits]\nmu = 8\n", Some("a3"), &[]), [8, 2, 8, 3]);
        let stored = config("", &[]).unwrap().to_toml().unwrap();
        assert_eq!(bits(&stored, None, &["quantize.strategy=vpq"]), [4, 4, 32, 4]);
        let error = config("[quantize]\nstrategy = \"vpq\"\nbits = { weight = 4 }\n", &[]).unwrap_err();
        assert!(error.one_line().contains("bits.weight = 4"), "{error}");
    }

    #[test]
    fn narrow_codes_have_a_fine_tuning_of_their_own() {
        let tuning = |text: &str, sets: &[&str], of_run: bool| {
            let mut layers = Layers::default();
            layers.text(text, "x.toml").unwrap();
            sets.iter().for_each(|s| layers.set(s).unwrap());
            if of_run {
                layers.other_widths();
            }
            let q = layers.finish().unwrap().quantize;
            (q.epochs, q.kl_weight)
        };
        let (usual, narrow) = (tuning("", &[], false), tuning("", &["quantize.bits.activation=2"], false));
        assert!(usual.1.is_none() && narrow.1.is_some() && narrow.0 > usual.0);
        assert_eq!(tuning("", &["quantize.bits.sigma=2"], false), usual);
        assert_eq!(tuning("[quantize]\nepochs = 7\n", &["quantize.bits.mu=2"], false), (7, None));
        // What a run has stored is of its widths: it stays with them, and goes with them.
        let stored = config("", &[]).unwrap().to_toml().unwrap();
        assert_eq!(tuning(&stored, &["quantize.bits.mu=2"], true), narrow);
        assert_eq!(tuning(&stored, &["quantize.bits.mu=2", "quantize.epochs=1"], true), (1, None));
        let stored = config("", &["quantize.bits.mu=2"]).unwrap().to_toml().unwrap();
        assert_eq!(tuning(&stored, &[], true), narrow);
        assert_eq!(tuning(&stored, &["quantize.bits.mu=4"], true), usual);
    }

    #[test]
    fn errors_name_line_and_nearest_key() {
        let message = |text: &str, sets: &[&str]| config(text, sets).unwrap_err().to_string();
        let error = message("seed = 1\n[train]\nepoch = 3\n", &[]);
        assert!(error.contains("x.toml, line 3") && error.contains("`train.epochs`"), "{error}");
        let error = message("seed = 1\n[train]\nepochs = \"many\"\n", &[]);
        assert!(error.contains("x.toml, line 3"), "{error}");
        assert!(message("", &["trian.epochs=3"]).contains("`train.epochs`"));
        assert!(message("", &["train.epochs=many"]).contains("train.epochs=many"));
        assert!(message("", &["network.name=lenet"]).contains("`lenet5`"));
        assert!(message("seed =", &[]).contains("line 1"));
    }

    #[test]
    fn keys_of_0_1_are_read_and_written_by_their_names_of_now() {
        let weights =
            |text: &str, sets: &[&str]| config(text, sets).map(|c| (c.train.ood_weight, c.to_toml().unwrap()));
        let draws = "[train]\ndraws = 2\n";
        for (text, sets) in [
            (format!("{draws}foreign_weight = 0.5\n"), &[][..]),
            (draws.to_owned(), &["train.foreign_weight=0.5"][..]),
            // The layer above counts, whichever name each has.
            (format!("{draws}foreign_weight = 2.0\n"), &["train.ood_weight=0.5"][..]),
            (format!("{draws}ood_weight = 2.0\n"), &["train.foreign_weight=0.5"][..]),
        ] {
            let (weight, stored) = weights(&text, sets).unwrap();
            assert_eq!(weight, 0.5, "{text}");
            assert!(stored.contains("ood_weight = 0.5\n") && !stored.contains("foreign"), "{stored}");
        }
        let both = weights(&format!("{draws}foreign_weight = 1.0\nood_weight = 1.0\n"), &[]).unwrap_err();
        let line = "x.toml, line 3: `train.foreign_weight` is `train.ood_weight` by its name of 0.1; keep one of them";
        assert_eq!(both.one_line(), line);
        // The old name is no suggestion.
        let near = config("", &["train.foregn_weight=1"]).unwrap_err().one_line();
        assert!(!near.contains("`train.foreign_weight`"), "{near}");
    }

    #[test]
    fn an_activation_goes_with_any_network() {
        let spec = |text: &str, sets: &[&str]| config(text, sets).map(|c| c.network.spec(10).unwrap());
        let is = |spec: &NetworkSpec, function: Activation| {
            spec.layers.iter().filter(|l| l.op == OpSpec::Activation(function)).count()
        };
        let tanh = spec("", &["network.activation=tanh"]).unwrap();
        assert_eq!((tanh.name.as_str(), is(&tanh, Activation::Tanh), is(&tanh, Activation::Relu)), ("lenet5", 4, 0));
        let mlp = spec("[network]\nactivation = \"sigmoid\"\n", &["network.name=mlp"]).unwrap();
        assert_eq!((mlp.name.as_str(), is(&mlp, Activation::Sigmoid)), ("mlp", 2));
        let error = config("", &["network.activation=tahn"]).unwrap_err().to_string();
        assert!(error.contains("`tanh`"), "{error}");
    }

    #[test]
    fn the_effective_config_gives_itself_again() {
        let text = "[network]\nname = \"own\"\n[[network.layer]]\ntype = \"flatten\"\n[[network.layer]]\n\
                    type = \"dense\"\nout = 10\n[train]\nlearning_rate = 0.003\n";
        let first = config(text, &["data.dir=/some/where"]).unwrap();
        let stored = first.to_toml().unwrap();
        assert!(stored.contains("learning_rate = 0.003\n"), "{stored}");
        assert_eq!(config(&stored, &[]).unwrap(), first);
    }
}
