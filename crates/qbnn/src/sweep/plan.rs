//! From questions to runs: which float networks are trained, which models are made of them, at how many draws each is
//! evaluated, and which row of which table each result belongs to.
//!
//! A run is known by a hash of the settings that determine it: the same run asked for by two questions, or by two specs,
//! is one. Values of `frozen_defaults.json` are left out, so that a setting that the program gains later renames no run of before.
//! That file is frozen: it is not the defaults, which may change, but what the names of runs mean. A new setting enters
//! it with the value that keeps things as they were.

use super::spec::{Axis, Choice, Made, Model, Question, Settings, Spec};
use crate::config::{Config, EvalConfig};
use crate::error::{At, Error, Result};
use crate::keys;
use qbnn_bnn::{QuantizeSettings, Start};
use qbnn_eval::Measure;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Name of a run or of a float network: 16 hexadecimal digits.
pub type Id = String;

/// Everything that a spec asks for.
#[derive(Debug)]
pub struct Plan {
    /// Names the folder.
    pub name: String,
    /// Hash of all runs: ledgers of another plan are another sweep's.
    pub hash: String,
    /// Float networks by id.
    pub floats: BTreeMap<Id, Float>,
    /// Models, in the order in which they are made.
    pub runs: Vec<Run>,
    /// The questions, each with its tables.
    pub questions: Vec<QuestionTables>,
}

/// A float network to be trained.
#[derive(Clone, Debug)]
pub struct Float {
    /// Its experiment; the seed is that of data and prediction.
    pub config: Config,
    /// Seed of the network; another than that of the data in an ensemble.
    pub seed: u64,
}

/// A model to be made and evaluated.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its name.
    pub id: Id,
    /// Its experiment.
    pub config: Config,
    /// What it is.
    pub model: Model,
    /// Float networks that it needs first.
    pub floats: Vec<Id>,
    /// Numbers of draws at which it is evaluated, from one prediction with the most.
    pub samples: BTreeSet<usize>,
}

/// A question with the tables that answer it.
#[derive(Debug)]
pub struct QuestionTables {
    /// The question's name, title, words, and what a person says of the outcome.
    pub name: String,
    /// Heading.
    pub title: String,
    /// The question in words.
    pub ask: String,
    /// What came out, in words.
    pub answer: String,
    /// The columns of its tables; `None` for those that every table has.
    pub columns: Option<Vec<Measure>>,
    /// Its tables.
    pub tables: Vec<TablePlan>,
}

/// One table.
#[derive(Debug)]
pub struct TablePlan {
    /// What tells it from the question's other tables.
    pub heading: String,
    /// Names of the label columns.
    pub axes: Vec<String>,
    /// Rows.
    pub rows: Vec<RowPlan>,
}

/// One row: a run per seed.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPlan {
    /// A label per axis.
    pub labels: Vec<String>,
    /// Results, by seed.
    pub results: Vec<(u64, Point)>,
    /// What each is compared with, by seed.
    pub against: Vec<(u64, Point)>,
}

/// A run evaluated at a number of draws.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The run.
    pub run: Id,
    /// Draws.
    pub samples: usize,
}

impl Run {
    /// What tables and progress call it.
    pub fn model_name(&self) -> String {
        match self.model {
            Model::Float => "float".into(),
            Model::Quantized => self.config.quantize.name(),
            Model::Ensemble => format!("ensemble of {}", self.floats.len()),
            Model::Pfp => format!("{}, one analytic pass", self.config.quantize.name()),
            Model::QuantizedEnsemble => format!("ensemble of {} {}", self.floats.len(), self.config.quantize.name()),
        }
    }

    /// The name, and how far it was trained through its quantizers.
    pub fn title(&self) -> String {
        match (self.model, self.config.quantize.epochs) {
            (Model::Float | Model::Ensemble, _) => self.model_name(),
            (_, 0) => format!("{} PTQ", self.model_name()),
            (_, epochs) => format!("{} QAT {epochs}", self.model_name()),
        }
    }

    /// Draws of its prediction.
    pub fn most_samples(&self) -> usize {
        self.samples.last().copied().unwrap_or(1)
    }
}

impl Plan {
    /// Works a spec out.
    ///
    /// # Errors
    /// [`Error::At`] the question and row whose settings contradict each other or name nothing that is known.
    pub fn new(spec: &Spec) -> Result<Self> {
        let mut builder = Builder { spec, floats: BTreeMap::new(), runs: BTreeMap::new() };
        let mut questions = Vec::new();
        for question in &spec.questions {
            let Question { name, title, ask, answer, .. } = question;
            let mut tables = Vec::new();
            for split in combinations(&question.tables) {
                tables.push(builder.table(question, &split)?);
            }
            let [name, title, ask, answer] = [name, title, ask, answer].map(String::clone);
            let columns = question.columns.clone();
            questions.push(QuestionTables { name, title, ask, answer, columns, tables });
        }
        let Builder { floats, runs, .. } = builder;
        let mut runs: Vec<(usize, Run)> = runs.into_values().collect();
        // Seed by seed, each in the order of the questions: a table with few seeds stands early.
        let place = |seed| spec.seeds.iter().position(|s| *s == seed).unwrap_or(usize::MAX);
        runs.sort_by_key(|(asked, run)| (place(run.config.seed), run.config.seed, *asked));
        let runs: Vec<Run> = runs.into_iter().map(|r| r.1).collect();
        let mut points: Vec<_> =
            runs.iter().flat_map(|r| r.samples.iter().map(|s| format!("{} {s}\n", r.id))).collect();
        points.sort();
        Ok(Plan { name: spec.name.clone(), hash: hash(&points.concat()), floats, runs, questions })
    }
}

struct Builder<'a> {
    spec: &'a Spec,
    floats: BTreeMap<Id, Float>,
    /// With the place at which each was first asked for.
    runs: BTreeMap<Id, (usize, Run)>,
}

/// Every combination of the axes' values, the first axis slowest.
fn combinations(axes: &[Axis]) -> Vec<Vec<&Choice>> {
    axes.iter().fold(vec![Vec::new()], |all, axis| {
        let extend = |combination: &Vec<_>| {
            let combination = combination.clone();
            axis.choices.iter().map(move |choice| [combination.clone(), vec![choice]].concat()).collect::<Vec<_>>()
        };
        all.iter().flat_map(extend).collect()
    })
}

impl Builder<'_> {
    fn table(&mut self, question: &Question, split: &[&Choice]) -> Result<TablePlan> {
        let mut rows = Vec::new();
        for choices in combinations(&question.rows) {
            let labels: Vec<String> = choices.iter().map(|c| c.label.clone()).collect();
            let place = || {
                let all = split.iter().chain(&choices).map(|c| c.label.as_str()).collect::<Vec<_>>().join(", ");
                format!("question `{}`, {all}", question.name)
            };
            let (mut results, mut against) = (Vec::new(), Vec::new());
            for &seed in &question.seeds {
                let chosen = || split.iter().chain(&choices).flat_map(|c| &c.settings);
                let point = self.run(chosen(), &question.set, None, seed).at(place)?;
                let float = self.run(chosen(), &question.set, Some(&question.against), seed).at(place)?;
                results.push((seed, point));
                against.push((seed, float));
            }
            rows.push(RowPlan { labels, results, against });
        }
        let heading = question.tables.iter().zip(split);
        let heading = heading.map(|(axis, choice)| format!("{}: {}", axis.title(), choice.label));
        Ok(TablePlan {
            heading: heading.collect::<Vec<_>>().join(", "),
            axes: question.rows.iter().map(Axis::title).collect(),
            rows: with_references(rows),
        })
    }

    /// One run of a question; with `against` the float network that it is compared with.
    fn run<'s>(
        &mut self,
        choices: impl Iterator<Item = &'s (String, toml::Value)>,
        set: &Settings,
        against: Option<&Settings>,
        seed: u64,
    ) -> Result<Point> {
        let mut made = Made::default();
        let wrong = |problem: String| Error::settings("settings", problem);
        // Intervals are over seeds here.
        made.layers.put("eval.bootstrap", 0.into()).map_err(wrong)?;
        let common = self.spec.set.iter().chain(set).map(|(key, value)| (key, value));
        for (key, value) in common.chain(choices.map(|(key, value)| (key, value))) {
            made.put(key, value.clone()).map_err(wrong)?;
        }
        if let Some(against) = against {
            made.model = Model::Float;
            for (key, value) in against {
                made.put(key, value.clone()).map_err(wrong)?;
            }
        }
        let seed_value = i64::try_from(seed).map_err(|_| Error::settings("seeds", format!("{seed} is too large")))?;
        made.layers.flag("seed", seed_value.into());
        let Made { layers, model, members } = made;
        let config = layers.finish()?;
        Ok(self.add(config, model, members))
    }

    fn add(&mut self, mut config: Config, model: Model, members: Option<u64>) -> Point {
        let samples = config.eval.samples;
        // What does not change the model does not change its name.
        config.name = String::new();
        config.eval.samples = 1;
        config.eval.bootstrap = 0;
        if !model.is_quantized() {
            config.quantize = QuantizeSettings::default();
        }
        let seeds: Vec<u64> = match model {
            Model::Quantized | Model::Pfp if config.quantize.start == Start::Scratch => Vec::new(),
            Model::Float | Model::Quantized | Model::Pfp => vec![config.seed],
            // The network itself, and others far from the seeds that people choose: none of them is another row's.
            Model::Ensemble | Model::QuantizedEnsemble => {
                (0..members.unwrap_or(5)).map(|m| 1_000_000 * m + config.seed).collect()
            }
        };
        let floats = seeds.into_iter().map(|seed| self.float(&config, seed)).collect::<Vec<_>>();
        let mut described = description(&config);
        if !model.is_quantized() {
            forget_quantization(&mut described);
        }
        if model == Model::Pfp {
            described["model"] = json!({ "pfp": "stored" });
        } else if model != Model::Quantized {
            described["model"] = json!({ "float": model == Model::Float, "members": floats.len() });
        }
        let id = hash(&described.to_string());
        let asked = self.runs.len();
        let run = Run { id: id.clone(), config, model, floats, samples: BTreeSet::new() };
        self.runs.entry(id.clone()).or_insert((asked, run)).1.samples.insert(samples);
        Point { run: id, samples }
    }

    fn float(&mut self, config: &Config, seed: u64) -> Id {
        let config = Config { quantize: QuantizeSettings::default(), ..config.clone() };
        // Shifted groups are of an evaluation: one float network serves those with and without.
        let plain =
            EvalConfig { samples: config.eval.samples, bootstrap: config.eval.bootstrap, ..EvalConfig::default() };
        let mut described = description(&Config { eval: plain, ..config.clone() });
        forget_quantization(&mut described);
        if seed != config.seed {
            described["network_seed"] = seed.into();
        }
        let id = hash(&described.to_string());
        self.floats.insert(id.clone(), Float { config, seed });
        id
    }
}

/// A row for each reference that is no row of its own, before the first row that it serves.
fn with_references(rows: Vec<RowPlan>) -> Vec<RowPlan> {
    let mut out: Vec<RowPlan> = Vec::new();
    for row in &rows {
        let there = |o: &RowPlan| o.results == row.against;
        if rows.iter().any(there) || out.iter().any(there) {
            out.push(row.clone());
            continue;
        }
        let served: Vec<&RowPlan> = rows.iter().filter(|r| r.against == row.against).collect();
        let mut named = false;
        let label = |axis: usize| {
            let common = served.iter().all(|r| r.labels[axis] == row.labels[axis]);
            let telling = rows.iter().any(|r| r.labels[axis] != row.labels[axis]);
            match common && telling {
                true => row.labels[axis].clone(),
                false if std::mem::replace(&mut named, true) => String::new(),
                false => "float".to_owned(),
            }
        };
        let mut labels: Vec<String> = (0..row.labels.len()).map(label).collect();
        if !named && let Some(last) = labels.last_mut() {
            *last = format!("float, {last}");
        }
        out.push(RowPlan { labels, results: row.against.clone(), against: row.against.clone() });
        out.push(row.clone());
    }
    out
}

/// A config without what is in `frozen_defaults.json`, and without where data lies on this machine.
fn description(config: &Config) -> Value {
    fn less(value: Value, frozen: &Value) -> Value {
        match (value, frozen) {
            (Value::Object(map), Value::Object(frozen)) => {
                let kept = map.into_iter().filter(|(k, v)| frozen.get(k) != Some(v));
                Value::Object(kept.map(|(k, v)| (k.clone(), less(v, frozen.get(&k).unwrap_or(&Value::Null)))).collect())
            }
            (value, _) => value,
        }
    }
    let mut config = config.clone();
    config.data.dir = None;
    // Through a config and back, so that numbers of both sides are written alike.
    let frozen: Config = serde_json::from_str(FROZEN_DEFAULTS).unwrap_or_default();
    // Without OOD images their kinds say nothing: the table [train] is then as whole as it was without that key.
    if config.train.ood_weight <= 0.0 || config.train.ood_kinds.is_none() {
        config.train.ood_kinds.clone_from(&frozen.train.ood_kinds);
    }
    // The same holds for blends with them, and no blends are what was before there were any.
    if config.train.ood_weight <= 0.0 || config.train.ood_blend == Some(0.0) {
        config.train.ood_blend = None;
    }
    let json = |c: &Config| serde_json::to_value(c).unwrap_or_default();
    let mut described = less(json(&config), &json(&frozen));
    names_of_0_1("", &mut described);
    described
}

/// A float network is what it is under any quantization, whatever its defaults are.
fn forget_quantization(described: &mut Value) {
    if let Value::Object(map) = described {
        map.remove("quantize");
    }
}

/// Gives keys the names that they had when the first ledgers were written: they are part of the names of runs.
fn names_of_0_1(prefix: &str, value: &mut Value) {
    let Value::Object(map) = value else { return };
    let named = std::mem::take(map).into_iter().map(|(key, mut value)| {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        names_of_0_1(&path, &mut value);
        let old = keys::of_0_1(&path);
        (old.rsplit('.').next().unwrap_or(old).to_owned(), value)
    });
    *map = named.collect();
}

/// See the head of this file.
const FROZEN_DEFAULTS: &str = include_str!("frozen_defaults.json");

fn hash(text: &str) -> Id {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_frozen_and_whole() {
        let frozen: Value = serde_json::from_str(FROZEN_DEFAULTS).unwrap();
        let config = serde_json::to_value(Config::default()).unwrap();
        fn keys(prefix: &str, value: &Value, out: &mut Vec<String>) {
            match value.as_object() {
                Some(map) => map.iter().for_each(|(k, v)| keys(&format!("{prefix}.{k}"), v, out)),
                None => out.push(prefix.to_owned()),
            }
        }
        let (mut known, mut now) = (Vec::new(), Vec::new());
        keys("", &frozen, &mut known);
        keys("", &config, &mut now);
        let new: Vec<_> = now.iter().filter(|k| !known.contains(k)).collect();
        assert!(new.is_empty(), "give {new:?} the value in frozen_defaults.json that keeps old runs what they were");
        // The name of the plainest run, as ledgers have it. It must never change.
        let plain = less_than_frozen(&frozen);
        assert_eq!(plain.to_string(), "{}");
        assert_eq!(hash("{}"), "44136fa355b3678a");
    }

    /// The names of runs in the ledgers of this repository: as many are known today as were when they were written.
    #[test]
    fn ledgers_of_the_repository_are_of_their_specs() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        let (mut seen, mut other) = (0, Vec::new());
        for ledger in std::fs::read_dir(folder.join("ledgers")).unwrap() {
            let name = ledger.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            let plan = Plan::new(&Spec::read(&folder.join(format!("{name}.toml"))).unwrap()).unwrap();
            let ledger = std::fs::read_to_string(folder.join(format!("ledgers/{name}.jsonl"))).unwrap();
            let header: Value = serde_json::from_str(ledger.lines().next().unwrap()).unwrap();
            if header["plan"] != plan.hash {
                other.push(name);
            }
            seen += plan.runs.len();
        }
        assert!(seen > 100 && other.is_empty(), "{seen} runs; other plans than their ledgers have: {other:?}");
    }

    /// What is left of the frozen config itself.
    fn less_than_frozen(frozen: &Value) -> Value {
        let config: Config = serde_json::from_value(frozen.clone()).unwrap();
        let Value::Object(left) = description(&config) else { panic!("no object") };
        // Empty tables say nothing.
        Value::Object(left.into_iter().filter(|(_, v)| v.as_object().is_none_or(|o| !o.is_empty())).collect())
    }

    #[test]
    fn defaults_of_the_quantization_rename_no_float_network() {
        let mut config: Config = serde_json::from_str(FROZEN_DEFAULTS).unwrap();
        config.quantize = QuantizeSettings::default();
        let mut described = description(&config);
        assert!(described["quantize"].is_object(), "the defaults are those of the frozen file: {described}");
        forget_quantization(&mut described);
        assert_eq!(described.get("quantize"), None);
        // What is left is what the plainest float network of the first ledgers was called by.
        let plain = Value::Object(
            described.as_object().unwrap().clone().into_iter().filter(|(_, v)| v != &json!({})).collect(),
        );
        assert_eq!(plain, json!({}));
    }

    #[test]
    fn a_key_with_another_name_renames_no_run() {
        let mut config: Config = serde_json::from_str(FROZEN_DEFAULTS).unwrap();
        config.train.ood_weight = 1.0;
        let Value::Object(described) = description(&config) else { panic!("no object") };
        assert_eq!(described["train"].to_string(), r#"{"foreign_weight":1.0}"#);
    }

    #[test]
    fn shifted_groups_are_a_run_of_their_own_and_need_no_float_network_of_their_own() {
        let mut spec = Spec::parse("name = \"x\"\nseeds = [1]\n[[question]]\nname = \"q\"\n", "x").unwrap();
        let plain = Plan::new(&spec).unwrap();
        spec.set.push(("eval.shifts".into(), "all".into()));
        let shifted = Plan::new(&spec).unwrap();
        assert!(plain.floats.keys().eq(shifted.floats.keys()) && plain.hash != shifted.hash);
        // Kinds of OOD images count with a weight alone; those of 0.1 are what they were without a name.
        let id = |sets: &[(&str, toml::Value)]| {
            let mut spec = Spec::parse("name = \"x\"\nseeds = [1]\n[[question]]\nname = \"q\"\n", "x").unwrap();
            spec.set.extend(sets.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
            Plan::new(&spec).unwrap().hash
        };
        let kinds = |kinds: &[&str]| ("train.ood_kinds", toml::Value::from(kinds.to_vec()));
        let (weight, draws) = (("train.ood_weight", 1.0.into()), ("train.draws", 4.into()));
        let blend = |share: f64| ("train.ood_blend", toml::Value::from(share));
        assert_eq!(id(&[]), id(&[kinds(&["shapes"])]));
        assert_eq!(id(&[]), id(&[blend(0.5)]));
        let with = |share| id(&[weight.clone(), draws.clone(), kinds(&["tiles"]), blend(share)]);
        assert_ne!(with(0.0), with(0.5));
        assert_ne!(id(&[weight.clone(), draws.clone(), kinds(&["shapes"])]), id(&[weight, draws, kinds(&["tiles"])]));
    }

    #[test]
    fn a_reference_stands_before_the_rows_that_it_serves() {
        let point = |run: &str| vec![(1, Point { run: run.into(), samples: 32 })];
        let row = |labels: [&str; 2], run: &str, float: &str| RowPlan {
            labels: labels.map(String::from).to_vec(),
            results: point(run),
            against: point(float),
        };
        let labels = |rows: Vec<RowPlan>| -> Vec<String> {
            with_references(rows).into_iter().map(|r| r.labels.join("/")).collect()
        };
        // One reference for all, and one for each value of the first axis.
        let rows = |f, g| vec![row(["a", "x"], "1", f), row(["a", "y"], "2", f), row(["b", "x"], "3", g)];
        assert_eq!(labels(rows("f", "f")), ["float/", "a/x", "a/y", "b/x"]);
        assert_eq!(labels(rows("f", "g")), ["a/float", "a/x", "a/y", "b/float, x", "b/x"]);
        // A reference that is a row of its own needs no other.
        let own = vec![row(["float", "32"], "f", "f"), row(["jq", "32"], "1", "f")];
        assert_eq!(labels(own), ["float/32", "jq/32"]);
    }
}
