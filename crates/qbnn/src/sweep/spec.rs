//! What a researcher writes: one TOML file of questions, each a grid over settings.
//!
//! ```toml
//! name = "widths"
//! seeds = [1, 2, 3, 4, 5]
//!
//! [set]                          # settings of every run: keys of a config file, or short names
//! data = "dirty-mnist"
//! network = "lenet5"
//!
//! [[question]]
//! name = "strategies"
//! title = "Strategies and widths"
//! ask = "How do accuracy and each uncertainty fall with the bits?"
//! rows = ["strategy", "bits"]    # axes that become rows, outermost first; any other axis makes a table per value
//! [question.grid]
//! strategy = ["vpq", "spq", "jq"]
//! bits = ["w8a8", "w4a4", "w2a4"]
//! quantize.epochs = [0, 3]
//! ```
//!
//! A value of an axis is what its key takes, or a table of several settings with a `label`; an axis of such tables may
//! have any name. `columns` names the metrics of the tables, as `metrics.json` does: `accuracy`, of a further group
//! `kmnist:auroc_epistemic_ood_vs_clean`, of shifted groups (`eval.shifts = "all"`) `rotation-3:accuracy`, their mean over
//! severities `rotation@mean:accuracy` and over all `shifts@mean:accuracy`. Every quantized run is compared with the float network that it started from, or with the one that
//! `against` (settings again) describes.

use crate::config::Layers;
use crate::error::{Error, Result};
use crate::{input, keys};
use qbnn_bnn::Widths;
use qbnn_eval::{Headline, Measure};
use serde::Deserialize;
use std::path::Path;
use toml::{Table, Value};

/// The copy of its spec in the folder of a sweep.
pub const COPY: &str = "spec.toml";

/// Settings by key, in order.
pub type Settings = Vec<(String, Value)>;

/// Names that stand for a longer key or for something that is no key of a config.
const SHORT: [(&str, &str); 4] = [
    ("data", "data.name"),
    ("network", "network.name"),
    ("strategy", "quantize.strategy"),
    ("activation", "network.activation"),
];

/// Names of what only a sweep knows.
const OWN: [&str; 3] = ["bits", "model", "members"];

/// What a run makes and evaluates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// The float network alone.
    Float,
    /// The network quantized as `[quantize]` says.
    #[default]
    Quantized,
    /// Several float networks of other seeds, predicting together.
    Ensemble,
    /// The same networks, each quantized as `[quantize]` says.
    QuantizedEnsemble,
    /// The network quantized as `[quantize]` says, in one analytic pass over the stored posterior instead of draws.
    Pfp,
}

impl Model {
    /// Whether `[quantize]` counts.
    pub fn is_quantized(self) -> bool {
        matches!(self, Model::Quantized | Model::QuantizedEnsemble | Model::Pfp)
    }

    /// Whether it has members.
    pub fn is_ensemble(self) -> bool {
        matches!(self, Model::Ensemble | Model::QuantizedEnsemble)
    }
}

/// A whole spec.
#[derive(Debug)]
pub struct Spec {
    /// Names the folder and the ledger.
    pub name: String,
    /// Seeds of every question that names none.
    pub seeds: Vec<u64>,
    /// Settings of every run.
    pub set: Settings,
    /// What is asked.
    pub questions: Vec<Question>,
    /// The file as it was read: a pipe can be read only once.
    pub text: String,
}

/// One question: a grid, and how its answer is laid out.
#[derive(Debug)]
pub struct Question {
    /// Short name.
    pub name: String,
    /// Heading.
    pub title: String,
    /// The question in words.
    pub ask: String,
    /// What the answer turned out to be, written by a person once the figures stood.
    pub answer: String,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Settings of all its runs.
    pub set: Settings,
    /// Settings of the float network that runs are compared with, over those of the run.
    pub against: Settings,
    /// The metrics that its tables have columns for; `None` for the usual ones.
    pub columns: Option<Vec<Measure>>,
    /// Axes that become rows, then those that become tables.
    pub rows: Vec<Axis>,
    /// Axes with a table for each value.
    pub tables: Vec<Axis>,
}

/// One axis of a grid.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its key or name.
    pub name: String,
    /// Its values in the order of the file.
    pub choices: Vec<Choice>,
}

/// One value of an axis.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What tables call it.
    pub label: String,
    /// What it sets.
    pub settings: Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    seeds: Vec<u64>,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    question: Vec<FileQuestion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileQuestion {
    name: String,
    title: Option<String>,
    #[serde(default)]
    ask: String,
    #[serde(default)]
    answer: String,
    seeds: Option<Vec<u64>>,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    against: Table,
    rows: Option<Vec<String>>,
    columns: Option<Vec<String>>,
    #[serde(default)]
    grid: Table,
}

impl Spec {
    /// Reads a spec.
    ///
    /// # Errors
    /// [`Error::UnreadableSettings`]; [`Error::Settings`] names file, line or question and axis, and the fix.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let unreadable =
            |error| Error::UnreadableSettings { what: "sweep", path: path.to_owned(), error, fix: "check the path" };
        let text = input::text(path, input::TEXT).map_err(unreadable)?;
        Self::parse(&text, &shown)
    }

    /// Reads the text of a spec; `origin` is what messages call it.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|e| keys::located(text, origin, &e))?;
        let fail = |problem: String| Error::settings(origin, problem);
        if file.name.is_empty() || !file.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(fail(format!("name = `{}` must be letters, digits, `-`, `_` or `.`", file.name)));
        }
        check_seeds(&file.seeds).map_err(|p| fail(format!("seeds: {p}")))?;
        if file.question.is_empty() {
            return Err(fail("there is no [[question]]; write at least one".into()));
        }
        let set = flatten(file.set);
        check(&set).map_err(|p| fail(format!("[set]: {p}")))?;
        let mut questions: Vec<Question> = Vec::new();
        for question in file.question {
            let name = question.name.clone();
            if questions.iter().any(|q| q.name == name) {
                return Err(fail(format!("two questions are named `{name}`; give each its own name")));
            }
            let question = Question::new(question, &file.seeds);
            questions.push(question.map_err(|p| fail(format!("question `{name}`: {p}")))?);
        }
        Ok(Spec { name: file.name, seeds: file.seeds, set, questions, text: text.to_owned() })
    }
}

/// Most seeds of a question, and most values of an axis.
const MAX_LIST: usize = 1000;
/// Most float networks and models of a question, over rows and seeds.
const MAX_RUNS: u128 = 100_000;

fn check_seeds(seeds: &[u64]) -> Result<(), String> {
    if seeds.len() > MAX_LIST {
        return Err(format!("the list holds {} seeds, wanted at most {MAX_LIST}", seeds.len()));
    }
    match seeds.iter().enumerate().find(|(i, s)| seeds[..*i].contains(s)) {
        _ if seeds.is_empty() => Err("the list is empty; name at least one, 5 or more for intervals".into()),
        Some((_, twice)) => Err(format!("{twice} stands there twice")),
        None => Ok(()),
    }
}

impl Question {
    fn new(file: FileQuestion, seeds: &[u64]) -> Result<Self, String> {
        let mut axes = Vec::new();
        for (name, value) in flatten(file.grid) {
            axes.push(Axis::new(&name, value).map_err(|p| format!("grid.{name}: {p}"))?);
        }
        let seeds = file.seeds.unwrap_or_else(|| seeds.to_vec());
        check_seeds(&seeds).map_err(|p| format!("seeds: {p}"))?;
        let (set, against) = (flatten(file.set), flatten(file.against));
        check(&set).map_err(|p| format!("set: {p}"))?;
        check(&against).map_err(|p| format!("against: {p}"))?;
        // Of every row and seed at most an ensemble is made, and the network that it is compared with.
        let all = axes.iter().flat_map(|a| &a.choices).flat_map(|c| &c.settings).chain(&set);
        let members = all.filter(|(key, _)| key == "members").filter_map(|(_, n)| n.as_integer()).max().unwrap_or(1);
        let rows = axes.iter().fold(1u128, |n, axis| n.saturating_mul(axis.choices.len() as u128));
        let runs = rows.saturating_mul(seeds.len() as u128).saturating_mul(members.unsigned_abs().max(1).into());
        if runs > MAX_RUNS {
            return Err(format!(
                "its grid has {rows} rows, with {} seeds and ensembles of {members} that is {runs} networks, wanted at \
                 most {MAX_RUNS}: split the question",
                seeds.len()
            ));
        }
        let names: Vec<String> = axes.iter().map(|a| a.name.clone()).collect();
        let mut rows: Vec<Axis> = Vec::new();
        for name in file.rows.unwrap_or_else(|| names.clone()) {
            let Some(at) = axes.iter().position(|a| a.name == name) else {
                let near = keys::nearest(&name, names.iter().map(String::as_str));
                let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
                return Err(format!("rows names `{name}`, which is no axis of its grid{near}"));
            };
            rows.push(axes.remove(at));
        }
        let columns = file.columns.map(|names| names.iter().map(|name| column(name)).collect()).transpose()?;
        let title = file.title.unwrap_or_else(|| file.name.clone());
        let (name, ask, answer) = (file.name, file.ask, file.answer);
        Ok(Question { name, title, ask, answer, seeds, set, against, columns, rows, tables: axes })
    }
}

/// A column by its name: a metric, or `GROUP:METRIC`.
fn column(name: &str) -> Result<Measure, String> {
    Measure::named(name).ok_or_else(|| {
        let metric = name.split_once(':').map_or(name, |(_, metric)| metric);
        let near = keys::nearest(metric, Headline::ALL.iter().map(|h| h.name()));
        let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        format!("columns names `{name}`, which is no metric of metrics.json{near}")
    })
}

impl Axis {
    fn new(name: &str, value: Value) -> Result<Self, String> {
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        if values.is_empty() {
            return Err("the list is empty; the grid would have no runs".into());
        }
        if values.len() > MAX_LIST {
            return Err(format!("the list holds {} values, wanted at most {MAX_LIST}", values.len()));
        }
        let mut choices: Vec<Choice> = Vec::new();
        for value in values {
            let choice = match value {
                Value::Table(mut table) => {
                    let label = match table.remove("label") {
                        Some(Value::String(label)) => label,
                        _ => return Err("a table among its values needs a `label = \"…\"`".into()),
                    };
                    Choice { label, settings: flatten(table) }
                }
                value => Choice { label: label(&value), settings: vec![(name.to_owned(), value)] },
            };
            check(&choice.settings)?;
            if choices.iter().any(|c| c.label == choice.label) {
                return Err(format!("`{}` stands there twice", choice.label));
            }
            choices.push(choice);
        }
        Ok(Axis { name: name.to_owned(), choices })
    }

    /// What a table calls the axis.
    pub fn title(&self) -> String {
        match self.name.as_str() {
            "eval.samples" => "S".into(),
            "quantize.epochs" => "QAT epochs".into(),
            name => name.rsplit('.').next().unwrap_or(name).replace('_', " "),
        }
    }
}

fn label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Nested tables as dotted keys.
fn flatten(table: Table) -> Settings {
    fn walk(prefix: &str, table: Table, out: &mut Settings) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(inner) => walk(&path, inner, out),
                value => out.push((path, value)),
            }
        }
    }
    let mut out = Vec::new();
    walk("", table, &mut out);
    out
}

/// Checks keys and values one by one, and whether what stands together can count together.
fn check(settings: &Settings) -> Result<(), String> {
    let mut made = Made::default();
    settings.iter().try_for_each(|(key, value)| made.put(key, value.clone()))?;
    for (key, _) in settings {
        if let Some(problem) = keys::twice(key).filter(|_| settings.iter().any(|s| s.0 == keys::current(key))) {
            return Err(problem);
        }
    }
    let model = settings.iter().any(|s| s.0 == "model").then_some(made.model);
    let quantizes = |key: &str| key == "strategy" || key == "bits" || key.starts_with("quantize.");
    match settings.iter().find(|s| quantizes(&s.0)) {
        Some((key, _)) if model.is_some_and(|m| !m.is_quantized()) => {
            Err(format!("{key} does not count for a float network; leave it out, or set model = \"quantized\""))
        }
        _ if made.members.is_some() && model.is_some_and(|m| !m.is_ensemble()) => {
            let wanted = "\"ensemble\" and \"quantized-ensemble\"";
            Err(format!("members only counts for model = {wanted}; leave it out"))
        }
        _ => Ok(()),
    }
}

/// Layers of settings that describe one run.
#[derive(Debug, Default)]
pub struct Made {
    /// Those that a config knows.
    pub layers: Layers,
    /// What is made.
    pub model: Model,
    /// Networks of an ensemble.
    pub members: Option<u64>,
}

impl Made {
    /// Puts one setting on top.
    ///
    /// # Errors
    /// What is wrong with it, and the fix.
    pub fn put(&mut self, key: &str, value: Value) -> Result<(), String> {
        let wrong = |wanted: &str| format!("{key} = {value}: wanted {wanted}");
        match key {
            "bits" => {
                let text = match &value {
                    Value::String(text) => text.clone(),
                    Value::Integer(bits) => bits.to_string(),
                    _ => return Err(wrong("a width, or the like of \"w4a4\" or \"mu4s3w4a4\"")),
                };
                self.layers.widths(text.parse::<Widths>()?);
            }
            "model" => {
                let wanted = || wrong("\"float\", \"quantized\", \"ensemble\" or \"quantized-ensemble\"");
                self.model = Model::deserialize(value.clone()).map_err(|_| wanted())?;
            }
            "members" => match value {
                Value::Integer(n) if (2..=1000).contains(&n) => self.members = Some(n as u64),
                _ => return Err(wrong("2 to 1000 networks")),
            },
            "seed" => return Err("seeds stand in `seeds = […]`, not among the settings".into()),
            "eval.draw_seeds" => {
                return Err("a sweep has no seeds of draws: its intervals are over seeds; leave it out".into());
            }
            "eval.bootstrap" => {
                return Err("a sweep has no bootstrap: its intervals are over seeds; leave it out".into());
            }
            "name" => return Err("a sweep is named at its top, not among the settings; leave it out".into()),
            "network" if value.as_str().is_some_and(|n| n.ends_with(".toml")) => {
                self.layers.put("network.file", value)?;
            }
            _ => {
                let long = SHORT.iter().find(|s| s.0 == key).map_or(key, |s| s.1);
                self.layers.put(long, value).map_err(|problem| {
                    // Short names are known too, and may be nearer.
                    match keys::nearest(key, SHORT.iter().map(|s| s.0).chain(OWN)) {
                        Some(near) if problem.starts_with("unknown key") && !problem.contains("did you mean") => {
                            format!("unknown key `{key}`; did you mean `{near}`?")
                        }
                        _ if problem.starts_with("unknown key") => problem,
                        _ => format!("{key}: {problem}"),
                    }
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"x\"\nseeds = [1, 2]\n";

    fn error(text: &str) -> String {
        Spec::parse(text, "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_spec_is_read_with_nested_and_dotted_keys_alike() {
        let text = format!(
            "{HEAD}[set]\ndata = \"strokes\"\ntrain.epochs = 2\n[[question]]\nname = \"q\"\nrows = [\"bits\"]\n\
             [question.grid]\nquantize.epochs = [0, 3]\nbits = [\"w4a4\", 2]\n\
             way = [{{ label = \"a\", strategy = \"vpq\" }}, {{ label = \"b\", quantize.scale = \"tensor\" }}]\n"
        );
        let spec = Spec::parse(&text, "x.toml").unwrap();
        assert_eq!(spec.set.len(), 2);
        let question = &spec.questions[0];
        assert_eq!(question.rows.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["bits"]);
        let mut tables: Vec<_> = question.tables.iter().map(|a| (a.name.as_str(), a.choices.len())).collect();
        tables.sort();
        assert_eq!(tables, [("quantize.epochs", 2), ("way", 2)]);
        assert_eq!(question.rows[0].choices[1].label, "2");
    }

    #[test]
    fn bad_specs_name_place_and_mend() {
        let question = |grid: &str| format!("{HEAD}[[question]]\nname = \"q\"\n[question.grid]\n{grid}\n");
        let cases = [
            ("seeds = [1]\n".to_owned(), "name"),
            (format!("{HEAD}nmae = 1\n"), "nmae"),
            (format!("{HEAD}seed = [\n"), "line"),
            (HEAD.to_owned(), "[[question]]"),
            ("name = \"x\"\nseeds = []\n[[question]]\nname = \"q\"\n".to_owned(), "seeds"),
            ("name = \"x\"\nseeds = [1, 1]\n[[question]]\nname = \"q\"\n".to_owned(), "twice"),
            (question("strategy = []"), "empty"),
            (question("strategy = [\"jp\"]"), "strategy"),
            (question("strategi = [\"jq\"]"), "did you mean `strategy`"),
            (question("train.epoch = [1]"), "`train.epochs`"),
            (question("bits = [\"w4x\"]"), "w4x"),
            (question("bits = [4, 4]"), "twice"),
            (question("way = [{ strategy = \"jq\" }]"), "label"),
            (question("seed = [1]"), "seeds"),
            (question("model = [\"floot\"]"), "\"float\""),
            (question("eval.bootstrap = [100]"), "over seeds"),
            (question("eval.draw_seeds = [2]"), "over seeds"),
            (question("name = [\"a\"]"), "leave it out"),
            (question("way = [{ label = \"a\", model = \"float\", bits = 4 }]"), "bits does not count"),
            (question("way = [{ label = \"a\", model = \"float\", members = 4 }]"), "members only counts"),
            (format!("{HEAD}[[question]]\nname = \"q\"\nrows = [\"bit\"]\n[question.grid]\nbits = [4]\n"), "`bits`"),
            (format!("{HEAD}[[question]]\nname = \"q\"\ncolumns = [\"kmnist:acuracy\"]\n"), "did you mean `accuracy`"),
            (format!("{HEAD}[set]\neval.shifts = [\"turn\"]\n[[question]]\nname = \"q\"\n"), "`turn` is no shift"),
            (format!("{HEAD}[set]\ndata.nam = \"x\"\n[[question]]\nname = \"q\"\n"), "`data.name`"),
        ];
        for (text, wanted) in cases {
            let error = error(&text);
            assert!(error.starts_with("x.toml") && error.contains(wanted), "{text}\n{error}");
        }
    }
}
