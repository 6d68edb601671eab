//! One writer at a time: folders are reserved, locked while a command writes, and free again however it ended.

use crate::common::{command, fail, json, succeed, tiny};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A training that goes on until it is killed.
const LONG: &[&str] = &["--net", "mlp", "--batch", "16", "--epochs", "500", "--set", "data.group_limit=50", "--quiet"];

fn start(folder: &Path, args: &[&str]) -> Child {
    command(folder, args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits for a line of an epoch of a phase.
fn wait_for(run: &Path, phase: &str) {
    let begun = Instant::now();
    while !fs::read_to_string(run.join("metrics.jsonl")).is_ok_and(|t| t.contains(phase)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{phase} never began");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn runs_that_start_together_have_a_folder_each() {
    let dir = tempfile::tempdir().unwrap();
    let seeds = ["1", "2", "3", "4"];
    let args = |seed| tiny(&["train", "--quiet", "--name", "x", "--json", "--seed", seed]);
    let children: Vec<_> =
        seeds.map(|s| command(dir.path(), &args(s)).stdout(Stdio::piped()).spawn().unwrap()).into_iter().collect();
    let mut folders = HashSet::new();
    for (child, seed) in children.into_iter().zip(seeds) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let folder = told["run_folder"].as_str().unwrap().to_owned();
        let config = fs::read_to_string(dir.path().join(&folder).join("config.toml")).unwrap();
        assert!(config.contains(&format!("\nseed = {seed}\n")), "{folder} is of another run than seed {seed}");
        succeed(dir.path(), &["eval", &folder, "--quiet"]);
        assert!(folders.insert(folder));
    }
}

#[test]
fn a_folder_has_one_writer_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("a");
    let mut child = start(dir.path(), &[&["train", "--out", "a"], LONG].concat());
    wait_for(&run, "float");
    let owner = format!("process {} (`qbnn train --out a", child.id());
    for args in [
        &tiny(&["train", "--out", "a", "--overwrite"])[..],
        &tiny(&["run", "--out", "a", "--overwrite"]),
        &["train", "--resume", "a"],
        &["run", "--resume", "a"],
        &["quantize", "a"],
        &["eval", "a"],
    ] {
        let error = fail(dir.path(), 1, args);
        assert!(error.contains(&owner) && error.contains("since 20"), "{error}");
    }
    // What is kept elsewhere disturbs nobody.
    succeed(dir.path(), &["eval", "a", "--samples", "2", "--bootstrap", "0", "--out", "kept.json", "--quiet"]);
    child.kill().unwrap();
    child.wait().unwrap();
    // A killed owner is none.
    let args = tiny(&["train", "--out", "a", "--overwrite", "--quiet"]);
    succeed(dir.path(), &args);
    succeed(dir.path(), &["train", "--resume", "a", "--quiet"]);
    assert_eq!(json(&run.join("provenance.json")).as_array().unwrap().len(), 2);
    assert!(!run.join("lock.json").exists());
}

#[test]
fn quantizations_of_one_folder_follow_each_other_and_each_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("a");
    succeed(dir.path(), &tiny(&["train", "--out", "a", "--quiet"]));
    let mut child = start(dir.path(), &["quantize", "a", "--qat-epochs", "500", "--quiet"]);
    wait_for(&run, "quantized");
    assert!(fail(dir.path(), 1, &["quantize", "a", "--bits", "3"]).contains("`qbnn quantize a --qat-epochs 500"));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut children: Vec<_> =
        ["2", "3", "5", "6"].map(|b| start(dir.path(), &["quantize", "a", "--bits", b, "--qat-epochs", "0"])).into();
    let made = children.iter_mut().filter_map(|c| c.wait().unwrap().success().then_some(())).count();
    assert!(made >= 1);
    assert_eq!(json(&run.join("provenance.json")).as_array().unwrap().len(), 1 + made);
    let files = fs::read_dir(&run).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let files: Vec<_> = files.collect();
    assert!(!files.iter().any(|f| f.ends_with(".part") || f == "lock.json"), "{files:?}");
    assert_eq!(files.iter().filter(|f| f.starts_with("jq-") && f.ends_with(".qbnn")).count(), made);
}

#[test]
fn damaged_provenance_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["train", "--out", "a", "--quiet"]));
    fs::write(dir.path().join("a/provenance.json"), "[{\"command\":").unwrap();
    succeed(dir.path(), &["quantize", "a", "--qat-epochs", "0", "--quiet"]);
    assert_eq!(json(&dir.path().join("a/provenance.json")).as_array().unwrap().len(), 1);
    assert!(dir.path().join("a/provenance.damaged.json").is_file());
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is_computed() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--quiet"]));
    fs::write(dir.path().join("file"), "").unwrap();
    for args in [
        &["eval", "a", "--out", "nowhere/m.json"][..],
        &["eval", "a", "--out", "file/m.json"],
        &["report", "a", "--out", "nowhere/page.html"],
        &["report", "a", "a", "--out", "file/page.html"],
    ] {
        let output = crate::common::qbnn(dir.path(), args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains("--out"), "{text}");
    }
}

#[test]
fn an_unknown_kernel_is_named_before_the_training() {
    let dir = tempfile::tempdir().unwrap();
    for args in
        [&tiny(&["run", "--out", "a"])[..], &tiny(&["train", "--out", "a"]), &["eval", "a"], &["sweep", "x.toml"]]
    {
        let output = command(dir.path(), args).env("QBNN_KERNEL", "avx9000").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("QBNN_KERNEL = avx9000") && text.contains("scalar"), "{text}");
    }
    assert!(!dir.path().join("a").exists());
}
