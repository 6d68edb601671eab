//! Which keys of a config each command uses.

use crate::error::{Error, Result};

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
/// [`Error::Unused`] names key and command, and the commands that use it.
pub fn check_used(command: &str, keys: &[String]) -> Result<()> {
    let under =
        |key: &str, table: &str| key == table || key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
    let uses = |tables: &[&str], key: &str| tables.iter().any(|table| under(key, table));
    let Some((_, used)) = USED.iter().find(|row| row.0 == command) else { return Ok(()) };
    let Some(key) = keys.iter().find(|key| !uses(used, key)) else { return Ok(()) };
    let others = USED.iter().filter(|row| uses(row.1, key)).map(|row| format!("`qbnn {}`", row.0));
    let others: Vec<_> = others.chain(["`qbnn run`".to_owned()]).collect();
    Err(Error::Unused { key: key.clone(), command: command.to_owned(), others: others.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_command_takes_the_keys_that_it_uses_and_no_other() {
        let all: Vec<String> =
            Config::keys().into_iter().filter(|k| k.contains('.') || k == "seed" || k == "name").collect();
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
