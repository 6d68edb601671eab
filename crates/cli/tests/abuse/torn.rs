//! Files that a kill or a full disk cut off within a line, and within a character.

use super::common::{succeed, tiny};
use super::{end, limited};
use std::fs;
use std::path::Path;

/// Cuts a file off within its last line, right behind the first byte of a character of several, which is put there.
fn tear(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let torn = [&bytes[..], b"{\"run\":\"a\xc3"].concat();
    fs::write(path, torn).unwrap();
}

const SPEC: &str = "name = \"s\"\nseeds = [1, 2]\n[set]\nnetwork = \"mlp\"\ndata.train_limit = 300\ndata.group_limit = 40\n\
    train.epochs = 1\neval.samples = 2\n[[question]]\nname = \"q\"\n[question.set]\nmodel = \"float\"\n";

#[test]
fn a_ledger_torn_within_a_character_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    fs::write(at.join("s.toml"), SPEC).unwrap();
    succeed(at, &["sweep", "s.toml", "--out", "o", "--quiet"]);
    let ledger = at.join("o/ledger.jsonl");
    let whole = fs::read(&ledger).unwrap();
    tear(&ledger);
    // Read as it is, by all that read ledgers.
    succeed(at, &["sweep", "s.toml", "--out", "o", "--tables"]);
    succeed(at, &["report", "s.toml", "--ledger", "o/ledger.jsonl", "--out", "page.html"]);
    succeed(at, &["sweep", "s.toml", "--out", "other", "--known", "o", "--dry-run"]);
    assert!(fs::read(&ledger).unwrap() != whole);
    // Mended by the one that goes on.
    succeed(at, &["sweep", "s.toml", "--out", "o", "--quiet"]);
    assert_eq!(fs::read(&ledger).unwrap(), whole);
    // A bad line that is whole is named.
    let bad = [&whole[..], b"{\"run\":\"\xff\"}\n"].concat();
    fs::write(&ledger, bad).unwrap();
    let output = end(limited(at, &["sweep", "s.toml", "--out", "o", "--tables"], ""));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("line 4"), "{text}");
}

#[test]
fn epochs_torn_within_a_character_are_cut_back() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["train", "--out", "run"]));
    let epochs = at.join("run/metrics.jsonl");
    let whole = fs::read(&epochs).unwrap();
    tear(&epochs);
    succeed(at, &["train", "--resume", "run"]);
    assert_eq!(fs::read(&epochs).unwrap(), whole);
    tear(&epochs);
    succeed(at, &["eval", "run"]);
    succeed(at, &["report", "run"]);
}
