//! Keys of config files as dotted paths: which are unknown, and the known one that is nearest.

use crate::error::{Error, Result};
use toml::de::DeTable;
use toml::{Table, Value};

/// Below this table serde itself names what is wrong: layers are a list of many kinds.
const OPAQUE: &str = "network.layer";

/// Keys that had another name in version 0.1: old, new. The old ones are read, the new ones are written.
const RENAMED: [(&str, &str); 1] = [("train.foreign_weight", "train.ood_weight")];

/// The name of now of a key that may have its name of 0.1.
pub fn current(key: &str) -> &str {
    RENAMED.iter().find(|r| r.0 == key).map_or(key, |r| r.1)
}

/// The name that a key had in version 0.1.
pub fn of_0_1(key: &str) -> &str {
    RENAMED.iter().find(|r| r.1 == key).map_or(key, |r| r.0)
}

/// Gives the keys of a table their names of now.
pub fn rename(table: &mut Table) {
    for (old, new) in RENAMED {
        let Some(value) = remove(table, old) else { continue };
        insert(table, new, value);
    }
}

fn remove(table: &mut Table, path: &str) -> Option<Value> {
    match path.split_once('.') {
        Some((first, rest)) => remove(table.get_mut(first)?.as_table_mut()?, rest),
        None => table.remove(path),
    }
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
        None => {
            table.insert(path.to_owned(), value);
        }
    }
}

/// What is wrong with a key of 0.1 that stands beside its name of now.
pub fn twice(key: &str) -> Option<String> {
    let new = current(key);
    (new != key).then(|| format!("`{key}` is `{new}` by its name of 0.1; keep one of them"))
}

/// Every key of a table as a dotted path, tables included.
pub fn of_table(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    collect("", table, &mut keys);
    keys
}

fn collect(prefix: &str, table: &Table, keys: &mut Vec<String>) {
    for (key, value) in table {
        let path = join(prefix, key);
        if let Value::Table(inner) = value {
            collect(&path, inner, keys);
        }
        keys.push(path);
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// The most similar of some names, if any is similar.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |path: &'a str| path.rsplit('.').next().unwrap_or(path);
    let wanted = name.rsplit('.').next().unwrap_or(name);
    // Whole path and last part count alike, so that a right key in the wrong table is found too.
    let score = |path: &'a str| (strsim::jaro_winkler(name, path) + strsim::jaro_winkler(wanted, last(path))) / 2.0;
    let best = names.map(|n| (score(n), n)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then_some(best.1)
}

/// Checks one dotted path.
///
/// # Errors
/// What is wrong and the nearest known key.
pub fn check_key(path: &str, known: &[String]) -> Result<(), String> {
    if known.iter().any(|k| k == current(path)) {
        return Ok(());
    }
    let near = nearest(path, known.iter().map(String::as_str));
    let fix = near.map_or("see `qbnn config` for all keys".into(), |n| format!("did you mean `{n}`?"));
    Err(format!("unknown key `{path}`; {fix}"))
}

/// Checks every key of a config file.
///
/// # Errors
/// Text that is no TOML, or an unknown key: file, line, and the nearest known key.
pub fn check_text(text: &str, origin: &str, known: &[String]) -> Result<()> {
    let table = DeTable::parse(text).map_err(|e| located(text, origin, &e))?;
    check_table("", table.get_ref(), text, origin, known)
}

fn check_table(prefix: &str, table: &DeTable<'_>, text: &str, origin: &str, known: &[String]) -> Result<()> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let path = join(prefix, key.get_ref());
        check_key(&path, known).map_err(|problem| at(text, origin, key.span().start, &problem))?;
        let both = |new: &str| join(prefix, new) == current(&path) && current(&path) != path;
        if let Some(problem) = twice(&path).filter(|_| table.keys().any(|k| both(k.get_ref()))) {
            return Err(at(text, origin, key.span().start, &problem));
        }
        if let Some(inner) = value.get_ref().as_table()
            && path != OPAQUE
        {
            check_table(&path, inner, text, origin, known)?;
        }
    }
    Ok(())
}

fn at(text: &str, origin: &str, byte: usize, problem: &str) -> Error {
    let line = text.bytes().take(byte).filter(|&b| b == b'\n').count() + 1;
    Error::Settings { origin: origin.to_owned(), line: Some(line), problem: problem.to_owned() }
}

/// Every key that a config file sets, as dotted paths.
pub fn of_text(text: &str) -> Vec<String> {
    toml::from_str::<Table>(text).map_or(Vec::new(), |mut table| {
        rename(&mut table);
        of_table(&table)
    })
}

/// A TOML error with its file and line.
pub fn located(text: &str, origin: &str, error: &toml::de::Error) -> Error {
    let problem = error.message().trim();
    match error.span() {
        Some(span) => at(text, origin, span.start, problem),
        None => Error::settings(origin, problem),
    }
}

/// A table that holds one value under a dotted path.
pub fn nested(path: &str, value: Value) -> Table {
    let mut table = Table::new();
    match path.split_once('.') {
        Some((first, rest)) => table.insert(first.to_owned(), Value::Table(nested(rest, value))),
        None => table.insert(path.to_owned(), value),
    };
    table
}
