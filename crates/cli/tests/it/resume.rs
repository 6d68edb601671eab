//! A run that was stopped, gently or not, ends as the one that was not.

use crate::common::{command, fail, succeed};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Epochs long enough to be met in the middle.
const SETTINGS: &[&str] = &[
    "--net",
    "mlp",
    "--train-limit",
    "2000",
    "--epochs",
    "6",
    "--batch",
    "16",
    "--qat-epochs",
    "3",
    "--samples",
    "2",
    "--bootstrap",
    "0",
    "--set",
    "data.group_limit=50",
    "--quiet",
];

fn start(folder: &Path, args: &[&str]) -> Child {
    command(folder, &[args, SETTINGS].concat()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `metrics.jsonl` has so many lines, and a little longer: the middle of the next epoch.
fn wait_for_lines(run: &Path, lines: usize) {
    let begun = Instant::now();
    loop {
        let found = fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |t| t.lines().count());
        if found >= lines {
            std::thread::sleep(Duration::from_millis(15));
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the run never came to epoch {lines}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn same(dir: &Path, a: &str, b: &str, file: &str) {
    let read = |run: &str| fs::read(dir.join(run).join(file)).unwrap();
    assert!(read(a) == read(b), "{file} differs between {a} and {b}");
}

fn epochs(run: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |l: &str| {
        let line: serde_json::Value = serde_json::from_str(l).unwrap();
        (line["phase"].as_str().unwrap().to_owned(), line["epoch"].as_u64().unwrap())
    };
    text.lines().map(line).collect()
}

#[test]
fn killed_and_resumed_is_the_same_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str| dir.path().join(name);
    assert!(start(dir.path(), &["run", "--out", "whole"]).wait().unwrap().success());

    // In the third epoch of float training.
    let mut child = start(dir.path(), &["train", "--out", "train"]);
    wait_for_lines(&run("train"), 2);
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it ended before it was killed");
    succeed(dir.path(), &["train", "--resume", "train"]);
    same(dir.path(), "whole", "train", "float.safetensors");

    // In the middle of training through the quantizers.
    let mut child = start(dir.path(), &["run", "--out", "run"]);
    wait_for_lines(&run("run"), 7);
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it ended before it was killed");
    succeed(dir.path(), &["train", "--resume", "run"]);
    same(dir.path(), "whole", "run", "jq-mu4s2w8a4.safetensors");
    succeed(dir.path(), &["run", "--resume", "run"]);
    for file in ["float.safetensors", "jq-mu4s2w8a4.safetensors", "metrics.json"] {
        same(dir.path(), "whole", "run", file);
    }
    assert_eq!(epochs(&run("run")), epochs(&run("whole")));
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_with_one_line_that_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["train", "--out", "a"]);
    wait_for_lines(&dir.path().join("a"), 1);
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("stopped in float, epoch ") && text.contains("`qbnn train --resume a`"), "{text}");
    succeed(dir.path(), &["train", "--resume", "a"]);
    assert_eq!(epochs(&dir.path().join("a")).len(), 6);
}

#[test]
fn resuming_refuses_other_settings_and_other_folders() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "train",
        "--out",
        "a",
        "--batch",
        "50",
        "--net",
        "mlp",
        "--train-limit",
        "300",
        "--epochs",
        "1",
        "--set",
        "data.group_limit=20",
    ];
    succeed(dir.path(), &args);
    assert!(fail(dir.path(), 2, &["train", "--resume", "a", "--epochs", "3"]).contains("train.epochs"));
    assert!(fail(dir.path(), 1, &["train", "--resume", "nowhere"]).contains("no run folder"));
    let config = dir.path().join("a/config.toml");
    let text = fs::read_to_string(&config).unwrap().replace("batch = 50", "batch = 51");
    fs::write(&config, text).unwrap();
    let error = fail(dir.path(), 1, &["train", "--resume", "a"]);
    assert!(error.contains("train.batch is 51") && error.contains("50"), "{error}");
}
