//! Model files: every network that trains has one that agrees with it, or is refused before it is trained.

use crate::common::{TINY, fail, qbnn, succeed};
use std::path::Path;

/// Writes a network of the given layers, one `key = value` list each.
fn network(dir: &Path, layers: &[&str]) -> String {
    let text: String = layers.iter().map(|l| format!("[[layer]]\n{}\n", l.replace(", ", "\n"))).collect();
    std::fs::write(dir.join("net.toml"), format!("name = \"net\"\n{text}")).unwrap();
    "net.toml".into()
}

/// Some arguments, then the settings of a short run, with another network where they name one.
fn small<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let settings = if args.contains(&"--net") { &TINY[2..] } else { TINY };
    [args, settings].concat()
}

const CONV: &str = "type = \"conv\", out = 4, kernel = 5, stride = 3";
const DENSE: &str = "type = \"dense\", out = 10";

#[test]
fn a_network_with_an_activation_behind_flatten_agrees_with_its_model_file() {
    let dir = tempfile::tempdir().unwrap();
    let net = network(dir.path(), &[CONV, "type = \"flatten\"", "type = \"relu\"", DENSE]);
    let said = qbnn(dir.path(), &small(&["run", "--net", &net, "--out", "a"]));
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("a/float.qbnn") && said.contains("a/jq-mu4s2w8a4.qbnn"), "{said}");
    let checked = succeed(dir.path(), &["check", "a", "--samples", "4"]);
    assert!(checked.contains("jq-mu4s2w8a4: no metric differs by more than 0.000"), "{checked}");
}

#[test]
fn pools_agree_at_two_bits() {
    let dir = tempfile::tempdir().unwrap();
    let pool = "type = \"average-pool\", size = 2";
    let net = network(dir.path(), &[pool, CONV, "type = \"relu\"", pool, DENSE]);
    succeed(dir.path(), &small(&["run", "--net", &net, "--out", "a", "--bits", "w2a2"]));
    let checked = succeed(dir.path(), &["check", "a", "--samples", "4"]);
    assert!(checked.contains("jq-w2a2: no metric differs by more than 0.000"), "{checked}");
}

#[test]
fn what_has_no_model_file_is_refused_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let net = network(dir.path(), &[CONV, "type = \"sigmoid\"", DENSE]);
    let refused = |args: &[&str], wanted: &[&str]| {
        let error = fail(dir.path(), 2, &small(args));
        assert!(wanted.iter().all(|w| error.contains(w)) && error.contains("Nothing was trained"), "{error}");
        assert!(!dir.path().join("a").exists(), "{args:?} made a folder");
    };
    refused(&["run", "--net", &net, "--out", "a"], &["layer activation1", "hardtanh"]);
    let dropout = ["run", "--out", "a", "--set", "train.posterior=dropout", "--strategy", "spq"];
    refused(&dropout, &["train.posterior = dropout", "jq"]);
    refused(&["run", "--out", "a", "--set", "quantize.noise_bits=4"], &["noise_bits = 4"]);
    refused(&["run", "--out", "a", "--sigma-grid", "uniform"], &["sigma_grid = uniform"]);
    let two = network(dir.path(), &["type = \"dense\", out = 7", DENSE]);
    refused(&["run", "--net", &two, "--out", "a"], &["layer dense2", "put an activation before it"]);
    // A float network can be trained and evaluated without one; that is said at the start and at the end.
    let net = network(dir.path(), &[CONV, "type = \"sigmoid\"", DENSE]);
    let said = qbnn(dir.path(), &small(&["train", "--net", &net, "--out", "a"]));
    let warnings = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && warnings.contains("will have no model file"), "{warnings}");
    assert!(warnings.contains("float has no model file"), "{warnings}");
    assert!(!dir.path().join("a/float.qbnn").exists());
}

/// Deterministic networks and MC dropout run in integers too.
#[test]
fn networks_without_sigmas_have_model_files() {
    let dir = tempfile::tempdir().unwrap();
    for posterior in ["point", "dropout"] {
        let setting = format!("train.posterior={posterior}");
        succeed(dir.path(), &small(&["run", "--out", posterior, "--set", &setting]));
        let checked = succeed(dir.path(), &["check", posterior]);
        assert!(checked.contains("jq-w4a4: no metric differs by more than 0.000"), "{checked}");
        let shown = succeed(dir.path(), &["inspect", &format!("{posterior}/jq-w4a4.qbnn"), "--json"]);
        assert!(shown.contains(&format!("\"posterior\":\"{posterior}\"")), "{shown}");
    }
}

#[test]
fn a_training_that_diverges_leaves_a_checkpoint_that_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let error = fail(dir.path(), 1, &small(&["train", "--out", "a", "--set", "train.learning_rate=1e6"]));
    assert!(error.contains("diverged in epoch 1") && error.contains("train.learning_rate = 1000000"), "{error}");
    let error = fail(dir.path(), 1, &small(&["train", "--out", "b", "--set", "train.initial_sigma=1e18"]));
    assert!(error.contains("train.initial_sigma = 1"), "{error}");
    for folder in ["a", "b"] {
        let said = qbnn(dir.path(), &["eval", folder, "--samples", "2", "--bootstrap", "0"]);
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!error.contains("train again"), "{error}");
    }
}
