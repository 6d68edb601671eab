//! The named arrays of a file, wherever they lie in it: in a dictionary of a checkpoint, in a parameter store, at the top.

use super::names::natural;
use super::recognise::Told;
use super::rules::SigmaRule;
use qbnn_data::tensor_file::{Array, Content, Entry, Format, TensorFile};
use std::collections::BTreeMap;

/// The arrays of a file by name, in its order.
#[derive(Debug, Default)]
pub(super) struct Source<'a> {
    pub tensors: Vec<(&'a str, &'a Array)>,
    /// How Pyro keeps each parameter within its range, where the file says so.
    pub constraints: BTreeMap<&'a str, Constraint>,
    /// The dictionary that they were found in, in words.
    pub place: String,
    /// What is there and no array.
    pub others: Vec<(&'a str, &'a str)>,
    /// Whether the tensors lie in the order of their names, as safetensors and JAX write them, which may not be the order of
    /// the layers. They are given in natural order then: `layers.2` before `layers.10`.
    pub sorted: bool,
    /// Where in `tensors` each name is.
    index: BTreeMap<&'a str, usize>,
}

/// A constraint of a parameter store.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constraint {
    /// None.
    Real,
    /// A positive number, by this rule.
    Positive(SigmaRule),
    /// Another one.
    Other(String),
}

impl Constraint {
    /// Of an inert object of `torch.distributions.constraints` or `pyro.distributions.constraints`.
    fn of(content: &Content) -> Self {
        let Content::Object { class, .. } = content else { return Constraint::Other("no constraint".into()) };
        let number = |name: &str| content.get(name).and_then(Content::number);
        let low = number("lower_bound").unwrap_or(0.0);
        match class.rsplit('.').next().unwrap_or_default() {
            "_Real" => Constraint::Real,
            "_SoftplusPositive" => Constraint::Positive(SigmaRule::Softplus { add: low }),
            "_GreaterThan" | "_GreaterThanEq" => Constraint::Positive(SigmaRule::LogStd { add: low }),
            "_Interval" | "_HalfOpenInterval" => match number("upper_bound") {
                Some(high) if high > low => Constraint::Positive(SigmaRule::Interval { low, high }),
                _ => Constraint::Other(class.clone()),
            },
            _ => Constraint::Other(class.clone()),
        }
    }
}

/// Dictionaries that hold what an optimizer or a trainer remembers, not a network.
const PASSED: [&str; 8] =
    ["optimizer", "optim", "optimizer_states", "optimizer_state_dict", "lr_schedulers", "callbacks", "loops", "scaler"];

/// What the dictionary of a network is usually called.
const USUAL: [&str; 7] = ["state_dict", "model_state_dict", "model", "net", "network", "module", "guide"];

impl<'a> Source<'a> {
    /// The arrays of a file without those to ignore; those of the dictionary `told.key`, where one is named.
    ///
    /// # Errors
    /// A file without any, with several dictionaries of them, or that holds a whole pickled module; a tensor to ignore
    /// that is not there.
    pub(super) fn of(file: &'a TensorFile, told: &Told) -> Result<Self, String> {
        let mut source = Self::found(file, told.key.as_deref())?;
        for pattern in &told.ignored {
            let before = source.tensors.len() + source.others.len();
            source.tensors.retain(|(name, _)| !is_ignored(name, pattern));
            source.others.retain(|(name, _)| !is_ignored(name, pattern));
            if source.tensors.len() + source.others.len() == before {
                return Err(format!(
                    "--ignore {pattern}: it has no tensor of this name; it has {}",
                    short(source.tensors.iter().map(|t| t.0))
                ));
            }
        }
        source.sorted = match file.format {
            // A state_dict keeps the order in which layers were made.
            Format::Torch => false,
            Format::Safetensors => true,
            Format::Npz => source.tensors.is_sorted_by_key(|t| t.0),
        };
        if source.sorted {
            source.tensors.sort_by(|a, b| natural(a.0, b.0));
        }
        source.index = source.tensors.iter().enumerate().rev().map(|(at, t)| (t.0, at)).collect();
        Ok(source)
    }

    fn found(file: &'a TensorFile, key: Option<&str>) -> Result<Self, String> {
        if let Content::Object { class, .. } = &file.root {
            return Err(format!(
                "it holds a whole pickled object of class {class}, whose code is not run; save its tensors: \
                 torch.save(net.state_dict(), FILE)"
            ));
        }
        if let (Some(params), Some(constraints)) = (file.root.get("params"), file.root.get("constraints"))
            && let (Some(params), Some(constraints)) = (params.dict(), constraints.dict())
        {
            let mut source = Self::dictionary(params, "the parameter store");
            source.constraints = constraints.iter().map(|e| (e.name.as_str(), Constraint::of(&e.content))).collect();
            return Ok(source);
        }
        let mut all = Vec::new();
        collect(&file.root, "", 0, &mut all);
        if let Some(key) = key {
            let named = all.iter().find(|(place, _)| place == key);
            let (place, entries) = named.ok_or_else(|| {
                format!("it has no dictionary `{key}` of tensors; those that it has are {}", names(&all))
            })?;
            return Ok(Self::dictionary(entries, place));
        }
        let usual = |place: &str| USUAL.iter().position(|usual| *usual == place.rsplit('/').next().unwrap_or(place));
        match &all[..] {
            [] => Err(without_tensors(&file.root)),
            [(place, entries)] => Ok(Self::dictionary(entries, place)),
            several => {
                let mut known: Vec<_> = several.iter().filter(|(place, _)| usual(place).is_some()).collect();
                known.sort_by_key(|(place, _)| usual(place));
                match known[..] {
                    [(place, entries)] => Ok(Self::dictionary(entries, place)),
                    _ => {
                        Err(format!("it holds several dictionaries of tensors ({}); name one with --key", names(&all)))
                    }
                }
            }
        }
    }

    fn dictionary(entries: &'a [Entry], place: &str) -> Self {
        let mut source = Source { place: place.to_owned(), ..Source::default() };
        for Entry { name, content } in entries {
            match content {
                Content::Array(array) => source.tensors.push((name, array)),
                Content::Other(why) => source.others.push((name, why)),
                _ => {}
            }
        }
        source
    }

    /// The tensor of a name.
    pub(super) fn get(&self, name: &str) -> Option<&'a Array> {
        self.position(name).and_then(|at| self.tensors.get(at)).map(|tensor| tensor.1)
    }

    /// Which of the tensors has a name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }
}

/// Whether a name is one to ignore: the name itself, or what begins with the text before a last `*`.
fn is_ignored(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// Why a file without tensors has none.
fn without_tensors(root: &Content) -> String {
    let object = root.dict().unwrap_or_default().iter().find_map(|e| match &e.content {
        Content::Object { class, fields } if !fields.is_empty() => Some((&e.name, class)),
        _ => None,
    });
    match object {
        Some((name, class)) => format!(
            "it holds no tensors: its item {name} is a whole pickled object of class {class}, whose code is not run; save \
             its tensors: torch.save(net.state_dict(), FILE)"
        ),
        None => "it holds no tensors; save a state_dict, or arrays by name".into(),
    }
}

/// A few names of many.
pub(super) fn short<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MOST);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn names(all: &[(String, &[Entry])]) -> String {
    let name =
        |(place, _): &(String, &[Entry])| if place.is_empty() { "the file itself".to_owned() } else { place.clone() };
    all.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Every dictionary that holds arrays, with its way from the top.
fn collect<'a>(content: &'a Content, place: &str, depth: usize, into: &mut Vec<(String, &'a [Entry])>) {
    /// Dictionaries of a network lie no deeper.
    const DEPTH: usize = 4;
    let Some(entries) = content.dict().filter(|_| depth < DEPTH) else { return };
    // A single number beside a dictionary of tensors makes no dictionary of tensors.
    if entries.iter().any(|e| e.content.array().is_some_and(|a| !a.shape.is_empty())) {
        into.push((place.to_owned(), entries));
    }
    for Entry { name, content } in entries.iter().filter(|e| !PASSED.contains(&e.name.as_str())) {
        let inner = if place.is_empty() { name.clone() } else { format!("{place}/{name}") };
        collect(content, &inner, depth + 1, into);
    }
}
