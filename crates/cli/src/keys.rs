//! The keys that a config may have, and the nearest of them to one that it may not.
//!
//! The list is read off a config in which every optional value is filled in: it can never differ from what is accepted.

use crate::config::Config;
use crate::failure::usage;
use anyhow::Result;
use std::path::PathBuf;
use toml::de::DeTable;
use toml::{Table, Value};

/// Below this table serde itself names what is wrong: layers are a list of many kinds.
const OPAQUE: &str = "network.layer";

/// Every key as a dotted path, tables included.
fn known() -> Vec<String> {
    let mut full = Config::default();
    full.data.dir = Some(PathBuf::new());
    full.data.train_limit = Some(1);
    full.data.group_limit = Some(1);
    full.network.name = Some(String::new());
    full.network.file = Some(PathBuf::new());
    full.network.activation = Some(String::new());
    full.network.layer = Some(Vec::new());
    full.quantize.kl_weight = Some(1.0);
    let mut keys = Vec::new();
    if let Ok(table) = Table::try_from(full) {
        collect("", &table, &mut keys);
    }
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
pub fn check_key(path: &str) -> Result<(), String> {
    let known = known();
    if known.iter().any(|k| k == path) {
        return Ok(());
    }
    let near = nearest(path, known.iter().map(String::as_str));
    let mend = near.map_or("see `qbnn config` for all keys".into(), |n| format!("did you mean `{n}`?"));
    Err(format!("unknown key `{path}`; {mend}"))
}

/// Checks every key of a config file.
pub fn check_text(text: &str, origin: &str) -> Result<()> {
    let table = DeTable::parse(text).map_err(|e| located(text, origin, &e))?;
    check_table("", table.get_ref(), text, origin)
}

fn check_table(prefix: &str, table: &DeTable<'_>, text: &str, origin: &str) -> Result<()> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let path = join(prefix, key.get_ref());
        check_key(&path).map_err(|problem| at(text, origin, key.span().start, &problem))?;
        if let Some(inner) = value.get_ref().as_table()
            && path != OPAQUE
        {
            check_table(&path, inner, text, origin)?;
        }
    }
    Ok(())
}

fn at(text: &str, origin: &str, byte: usize, problem: &str) -> anyhow::Error {
    let line = text.bytes().take(byte).filter(|&b| b == b'\n').count() + 1;
    usage(format!("{origin}, line {line}: {problem}"))
}

/// Which keys a command uses, by key or table. What stands in no row is used by no command but those that begin an
/// experiment, which take all.
const USED: [(&str, &[&str]); 3] = [
    ("quantize", &["seed", "data", "quantize"]),
    ("eval", &["seed", "data", "eval"]),
    ("check", &["seed", "data", "eval.samples"]),
];

/// Refuses keys, set by flags, that a command cannot use.
///
/// # Errors
/// A usage error that names key and command, and the commands that use it.
pub fn check_used(command: &str, keys: &[String]) -> Result<()> {
    let under =
        |key: &str, table: &str| key == table || key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
    let uses = |tables: &[&str], key: &str| tables.iter().any(|table| under(key, table));
    let Some((_, used)) = USED.iter().find(|row| row.0 == command) else { return Ok(()) };
    let Some(key) = keys.iter().find(|key| !uses(used, key)) else { return Ok(()) };
    let others = USED.iter().filter(|row| uses(row.1, key)).map(|row| format!("`qbnn {}`", row.0));
    let others: Vec<_> = others.chain(["`qbnn run`".to_owned()]).collect();
    Err(usage(format!(
        "{key} is not used by `qbnn {command}`; leave it out, or set it where it counts: {}",
        others.join(", ")
    )))
}

/// Every key that a config file sets, as dotted paths.
pub fn of_text(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    if let Ok(table) = toml::from_str::<Table>(text) {
        collect("", &table, &mut keys);
    }
    keys
}

/// A TOML error with its file and line.
pub fn located(text: &str, origin: &str, error: &toml::de::Error) -> anyhow::Error {
    let problem = error.message().trim();
    match error.span() {
        Some(span) => at(text, origin, span.start, problem),
        None => usage(format!("{origin}: {problem}")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_takes_the_keys_that_it_uses_and_no_other() {
        let all: Vec<String> = known().into_iter().filter(|k| k.contains('.') || k == "seed" || k == "name").collect();
        let used = |command: &str| {
            let one = |key: &&String| check_used(command, std::slice::from_ref(key)).is_ok();
            all.iter().filter(one).cloned().collect::<Vec<_>>()
        };
        assert_eq!(used("run"), all);
        assert_eq!(used("train"), all);
        let is = |key: &str, tables: &[&str]| tables.iter().any(|t| key == *t || key.starts_with(&format!("{t}.")));
        let of = |tables: &[&str]| all.iter().filter(|k| is(k, tables)).cloned().collect::<Vec<_>>();
        assert_eq!(used("quantize"), of(&["seed", "data", "quantize"]));
        assert_eq!(used("eval"), of(&["seed", "data", "eval"]));
        assert_eq!(used("check"), of(&["seed", "data", "eval.samples"]));
        let error = check_used("quantize", &["train.prior_sigma".into()]).unwrap_err().to_string();
        assert!(error.contains("train.prior_sigma") && error.contains("`qbnn run`"), "{error}");
    }
}
