//! The first Ctrl-C, SIGTERM or closed terminal ends every command within about a second, wherever it is.

use super::common::{succeed, tiny};
use super::output::predictions;
use super::{fifo, limited, signal};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Most that the end may take. It is told to take 0.8 seconds; other tests run beside.
const SOON: Duration = Duration::from_millis(2500);

/// Starts a command, and sends a signal after a time. It must end soon, with 130 and one line of error.
fn stop(folder: &Path, args: &[&str], after: Duration, name: &str) -> String {
    let mut command = limited(folder, args, "");
    // A pipe that never ends, held open here.
    command.stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let held = child.stdin.take();
    std::thread::sleep(after);
    assert!(child.try_wait().unwrap().is_none(), "{args:?} ended before the signal: {}", told(&mut child));
    let sent = Instant::now();
    signal(child.id(), name);
    while child.try_wait().unwrap().is_none() {
        if sent.elapsed() > SOON {
            child.kill().unwrap();
            panic!("{args:?} goes on after SIG{name}: {}", told(&mut child));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(held);
    let code = child.wait().unwrap().code();
    let text = told(&mut child);
    assert_eq!(code, Some(130), "{args:?}: {text}");
    let errors: Vec<_> = text.lines().filter(|l| l.contains("error: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("stopped"), "{args:?}: {text}");
    errors[0].to_owned()
}

/// What a command that has ended wrote to stderr.
fn told(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

const SHORT: Duration = Duration::from_millis(400);

#[test]
fn waiting_for_a_pipe_ends() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "run"]));
    fifo(&at.join("pipe"));
    fifo(&at.join("pipe.toml"));
    fifo(&at.join("pipe.npz"));
    stop(at, &["predict", "run/float.qbnn", "-"], SHORT, "INT");
    stop(at, &["predict", "run/float.qbnn", "pipe"], SHORT, "TERM");
    stop(at, &["predict", "pipe", "x.png"], SHORT, "INT");
    stop(at, &["inspect", "pipe"], SHORT, "HUP");
    stop(at, &["config", "--config", "pipe"], SHORT, "INT");
    stop(at, &["run", "--net", "pipe.toml"], SHORT, "TERM");
    stop(at, &["eval", "pipe", "--data", "strokes"], SHORT, "INT");
    stop(at, &["sweep", "pipe.toml"], SHORT, "INT");
    stop(at, &["report", "--predictions", "pipe.npz"], SHORT, "TERM");
    stop(at, &["report", "run", "--out", "pipe"], SHORT, "INT");
}

#[test]
fn a_long_computation_ends() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    predictions(&at.join("x.npz"), 50_000);
    stop(at, &["report", "--predictions", "x.npz", "--bootstrap", "100000"], 2 * SHORT, "INT");
    stop(at, &["bench"], 2 * SHORT, "TERM");
    stop(at, &["bench", "train"], 2 * SHORT, "INT");
    assert!(!at.join("report.html").exists());
}

#[test]
fn a_run_ends_wherever_it_is_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let args = |out: &'static str| {
        let settings =
            ["--train-limit", "2000", "--samples", "50", "--bootstrap", "2000", "--set", "data.group_limit=300"];
        [&["run", "--out", out, "--net", "mlp", "--epochs", "4", "--qat-epochs", "2"][..], &settings].concat()
    };
    succeed(at, &args("whole"));
    for (i, wait) in [30u64, 300, 700, 1200, 2000].into_iter().enumerate() {
        let name = ["a", "b", "c", "d", "e"][i];
        let mut child = limited(at, &args(name), "").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        let sent = Instant::now();
        signal(child.id(), "INT");
        let code = child.wait().unwrap().code();
        assert!(sent.elapsed() < SOON, "it took {:?}", sent.elapsed());
        // Before it listens a signal is a plain end; behind its end there is none.
        assert!(matches!(code, Some(130 | 0) | None), "{code:?}: {}", told(&mut child));
        if at.join(name).join("config.toml").exists() {
            succeed(at, &["run", "--resume", name]);
            for file in ["float.safetensors", "jq-mu4s2w8a4.safetensors", "metrics.json"] {
                let read = |run: &str| fs::read(at.join(run).join(file)).unwrap();
                assert!(read(name) == read("whole"), "{file} after a stop at {wait} ms");
            }
        }
    }
}

#[test]
fn a_sweep_ends_and_keeps_its_lines() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let spec = "name = \"s\"\nseeds = [1, 2, 3, 4]\n[set]\nnetwork = \"mlp\"\ndata.train_limit = 2000\ntrain.epochs = 30\n\
        eval.samples = 2\n[[question]]\nname = \"q\"\n";
    fs::write(at.join("s.toml"), spec).unwrap();
    let line = stop(at, &["sweep", "s.toml", "--out", "o"], 2 * SHORT, "INT");
    assert!(line.contains("stopped"), "{line}");
    let ledger = fs::read_to_string(at.join("o/ledger.jsonl")).unwrap();
    assert!(ledger.ends_with('\n'), "{ledger}");
    succeed(at, &["sweep", "s.toml", "--out", "o", "--tables"]);
}
