//! The named arrays of a file, wherever they lie in it: in a dictionary of a checkpoint, in a parameter store, at the top.

use super::rules::SigmaRule;
use qbnn_data::tensor_file::{Array, Content, Entry, TensorFile};
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
    /// The arrays of a file; those of the dictionary `key`, where one is named.
    ///
    /// # Errors
    /// A file without any, with several dictionaries of them, or that holds a whole pickled module.
    pub(super) fn of(file: &'a TensorFile, key: Option<&str>) -> Result<Self, String> {
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
            [] => Err("it holds no tensors; save a state_dict, or arrays by name".into()),
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
        self.tensors.iter().find(|tensor| tensor.0 == name).map(|tensor| tensor.1)
    }
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
