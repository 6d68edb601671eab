//! What a user, a script or a broken disk may do to the program: each case in a folder of its own, under a memory limit.
//!
//! Wanted of every case: it ends soon, with one line of error and an exit code of its own (no abort, no signal), and what
//! was there before is still there.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

#[path = "../common/mod.rs"]
mod common;

mod memory;
mod output;
mod signals;
mod torn;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Memory that a command may use here, in kB (`ulimit -v`).
const MEMORY: u32 = 2_000_000;

/// Most that any of these commands may take. A slow machine is slower; a command that hangs never ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// `qbnn` with these arguments as the shell would start it, under the memory limit. `redirect` goes behind them.
fn limited(folder: &Path, args: &[&str], redirect: &str) -> Command {
    let mut command = Command::new("sh");
    let line = format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\" {redirect}");
    command.current_dir(folder).args(["-c", &line, env!("CARGO_BIN_EXE_qbnn")]).args(args);
    // With many cores the stacks of the threads alone would fill it.
    command.args(if args[0] == "help" { &[][..] } else { &["--threads", "2"] });
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("QBNN_DATA").env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder);
    command
}

/// Runs a command to its end, which must come.
fn end(mut command: Command) -> Output {
    let child = command.spawn().unwrap();
    let (id, begun) = (child.id(), Instant::now());
    let (told, heard) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if heard.recv_timeout(PATIENCE).is_err() {
            signal(id, "KILL");
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = told.send(());
    guard.join().unwrap();
    assert!(begun.elapsed() < PATIENCE, "it did not end: {command:?}");
    output
}

/// Sends a signal to a process that this test started.
fn signal(id: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
    assert!(sent.is_ok());
}

/// Runs a command that must be refused, and gives the line that says why.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = end(limited(folder, args, ""));
    line(&output, &format!("{args:?}"))
}

/// The one line of error of a command that ended by itself, with 1 or 2.
fn line(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code();
    assert!(matches!(code, Some(1 | 2)), "{what}: {code:?}: {text}");
    let errors: Vec<_> = text.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{what}: {text}");
    for bad in ["panicked", "allocation", "abort"] {
        assert!(!text.contains(bad), "{what}: {text}");
    }
    errors[0].to_owned()
}

/// Makes a pipe with a name.
fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}
