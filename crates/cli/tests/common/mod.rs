//! The binary as a user starts it, and experiments small enough for a test.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod npz;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Settings of a run that takes about a second.
pub const TINY: &[&str] = &[
    "--net",
    "mlp",
    "--train-limit",
    "1000",
    "--epochs",
    "2",
    "--qat-epochs",
    "1",
    "--samples",
    "4",
    "--bootstrap",
    "20",
    "--set",
    "data.group_limit=100",
];

/// `qbnn` with these arguments, far from the machine's own data.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qbnn"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command.env_remove("QBNN_DATA").env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder);
    command
}

/// Runs to the end.
pub fn qbnn(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

/// Runs to the end and expects success; gives stdout.
pub fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = qbnn(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to the end and expects one line of error and this exit code; gives the line.
pub fn fail(folder: &Path, code: i32, args: &[&str]) -> String {
    let output = qbnn(folder, args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    let errors: Vec<_> = text.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{args:?}: {text}");
    assert_eq!(text.lines().last(), Some(errors[0]), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}: something on stdout");
    errors[0].to_owned()
}

/// Some arguments, then [`TINY`].
pub fn tiny<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, TINY].concat()
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
