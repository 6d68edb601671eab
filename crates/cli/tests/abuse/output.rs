//! Where output goes: through links, into devices and pipes, and never over what the command reads.
//!
//! Nothing here touches a device of the machine but `/dev/full` and `/dev/null`, and those only as the shell opens them.

use super::common::npz;
use super::common::{succeed, tiny};
use super::{end, fifo, limited, line, refused};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// A run, and predictions of another program, in a folder.
fn material() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "run"]));
    predictions(&dir.path().join("x.npz"), 40);
    dir
}

/// Predictions of so many images of two classes, a fifth of them wrong.
pub fn predictions(path: &Path, n: usize) {
    let right = |i: usize| if i.is_multiple_of(5) { 0.4 } else { 0.7 + (i % 7) as f64 / 50.0 };
    let probs: Vec<f64> = (0..2 * n).flat_map(|i| [right(i), 1.0 - right(i)]).collect();
    // A test ends soon, and with it what it leaks.
    let (all, each) = (format!("(2, {n}, 2)").leak(), format!("({n},)").leak());
    npz::write(path, &[npz::floats("probs", all, &probs), npz::integers("labels", each, &vec![0; n])]);
}

/// Commands that write a page or numbers to a file, all but its name.
const WRITERS: &[&[&str]] = &[
    &["report", "run", "--out"],
    &["report", "run", "run", "--out"],
    &["report", "--predictions", "x.npz", "--bootstrap", "10", "--out"],
    &["eval", "run", "--samples", "2", "--bootstrap", "0", "--out"],
];

#[test]
fn links_stay_links_and_permissions_stay() {
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("far")).unwrap();
    for writer in WRITERS {
        fs::write(at("far/file"), "old").unwrap();
        fs::set_permissions(at("far/file"), fs::Permissions::from_mode(0o600)).unwrap();
        let _ = fs::remove_file(at("link"));
        symlink("far/file", at("link")).unwrap();
        succeed(dir.path(), &[writer, &["link"][..]].concat());
        assert!(at("link").is_symlink(), "{writer:?}: the link is gone");
        let meta = fs::metadata(at("far/file")).unwrap();
        assert!(meta.len() > 100 && meta.mode() & 0o777 == 0o600, "{writer:?}: {meta:?}");
    }
    // In a run folder, in folders of figures and of pictures.
    fs::rename(at("run/metrics.json"), at("far/metrics.json")).unwrap();
    symlink("../far/metrics.json", at("run/metrics.json")).unwrap();
    fs::rename(at("run/jq-mu4s2w8a4.safetensors"), at("far/jq")).unwrap();
    symlink("../far/jq", at("run/jq-mu4s2w8a4.safetensors")).unwrap();
    succeed(dir.path(), &["eval", "run", "--samples", "2", "--update"]);
    succeed(dir.path(), &["train", "--resume", "run"]);
    assert!(at("run/metrics.json").is_symlink() && at("run/jq-mu4s2w8a4.safetensors").is_symlink());
    fs::create_dir(at("pictures")).unwrap();
    symlink("../far/picture", at("pictures/strokes-clean-00000.png")).unwrap();
    succeed(dir.path(), &["data", "export", "strokes", "pictures", "--index", "0"]);
    assert!(at("pictures/strokes-clean-00000.png").is_symlink() && at("far/picture").is_file());
    assert!(!fs::read_dir(at("far")).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().contains(".part")));
}

#[test]
fn pipes_are_written_through() {
    let dir = material();
    let path = dir.path().join("pipe");
    fifo(&path);
    for writer in WRITERS {
        let from = path.clone();
        let reader = std::thread::spawn(move || fs::read(from).unwrap());
        succeed(dir.path(), &[writer, &["pipe"][..]].concat());
        assert!(reader.join().unwrap().len() > 100, "{writer:?}");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo(), "{writer:?}: the pipe is gone");
    }
}

#[test]
fn device_nodes_stay_device_nodes() {
    let dir = material();
    let node = dir.path().join("null");
    let made = Command::new("mknod").arg(&node).args(["c", "1", "3"]).stderr(std::process::Stdio::null()).status();
    // Only root may make one, and not on every file system.
    if !made.is_ok_and(|m| m.success()) || fs::OpenOptions::new().write(true).open(&node).is_err() {
        return;
    }
    for writer in WRITERS {
        succeed(dir.path(), &[writer, &["null"][..]].concat());
        assert!(fs::metadata(&node).unwrap().file_type().is_char_device(), "{writer:?}: the device is gone");
    }
    fs::create_dir(dir.path().join("figures")).unwrap();
    fs::rename(&node, dir.path().join("figures/reliability.svg")).unwrap();
    succeed(dir.path(), &["report", "run", "--svg", "figures"]);
    let there = fs::metadata(dir.path().join("figures/reliability.svg")).unwrap();
    assert!(there.file_type().is_char_device());
}

#[cfg(target_os = "linux")]
#[test]
fn open_files_of_the_command_are_written_to_and_not_replaced() {
    let dir = material();
    let at = dir.path();
    // As a pipe, as a file, and as a third file that the shell opened; by any of their names, and through a link.
    symlink("/dev/stdout", at.join("out")).unwrap();
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "out"] {
        let output = end(limited(at, &["report", "run", "--out", name], ""));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"), "{name}");
        assert!(at.join("out").is_symlink());
        fs::write(at.join("page"), "before\n").unwrap();
        let inode = fs::metadata(at.join("page")).unwrap().ino();
        let output = end(limited(at, &["report", "run", "--out", name], ">> page"));
        assert!(output.status.success(), "{name}: {output:?}");
        let text = fs::read_to_string(at.join("page")).unwrap();
        assert!(text.starts_with("before\n<!DOCTYPE") && text.ends_with("</html>"), "{name}");
        assert_eq!(fs::metadata(at.join("page")).unwrap().ino(), inode);
    }
    let output = end(limited(at, &["report", "run", "--out", "/dev/fd/3"], "3> page"));
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read_to_string(at.join("page")).unwrap().starts_with("<!DOCTYPE html>"));
    let output = end(limited(at, &["report", "run", "--out", "/dev/stdout"], "> /dev/full"));
    assert!(line(&output, "full").contains("/dev/stdout"));
}

#[test]
fn no_file_is_written_that_is_read() {
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    fs::hard_link(at("x.npz"), at("hard")).unwrap();
    symlink("x.npz", at("soft")).unwrap();
    symlink("run/metrics.json", at("numbers")).unwrap();
    fs::write(at("s.toml"), "name = \"s\"\nseeds = [1]\n[[question]]\nname = \"q\"\n").unwrap();
    fs::create_dir(at("ledgers")).unwrap();
    fs::write(at("ledgers/s.jsonl"), "").unwrap();
    fs::create_dir(at("figures")).unwrap();
    symlink("../x.npz", at("figures/roc.svg")).unwrap();
    let x = ["report", "--predictions", "x.npz", "--out"];
    let cases: &[&[&str]] = &[
        &[x[0], x[1], x[2], x[3], "x.npz"],
        &[x[0], x[1], x[2], x[3], "./run/../x.npz"],
        &[x[0], x[1], x[2], x[3], "hard"],
        &[x[0], x[1], x[2], x[3], "soft"],
        &["report", "--predictions", "x.npz", "--svg", "figures"],
        &["report", "run", "--out", "run/metrics.json"],
        &["report", "run", "--out", "numbers"],
        &["report", "run", "--out", "run/float.safetensors"],
        &["report", "run", "run", "--out", "run/config.toml"],
        &["report", ".", "--out", "run/predictions.safetensors"],
        &["report", "s.toml", "--out", "s.toml"],
        &["report", "s.toml", "--out", "ledgers/s.jsonl"],
        &["sweep", "s.toml", "--report", "s.toml"],
        &["sweep", "s.toml", "--report", "ledgers/s.jsonl"],
        &["eval", "run", "--out", "run/float.safetensors"],
        &["eval", "run/float.safetensors", "--out", "run/config.toml"],
        &["eval", "run", "--config", "run/config.toml", "--out", "run/config.toml"],
    ];
    let contents = || -> Vec<Vec<u8>> {
        let files =
            ["x.npz", "s.toml", "ledgers/s.jsonl", "run/metrics.json", "run/config.toml", "run/float.safetensors"];
        files.map(|f| fs::read(at(f)).unwrap()).into()
    };
    let before = contents();
    for args in cases {
        let line = refused(dir.path(), args);
        assert!(line.contains("would overwrite"), "{args:?}: {line}");
    }
    assert!(contents() == before);
    // A page of before is no input.
    succeed(dir.path(), &["report", "run", "--out", "run/other.html"]);
    succeed(dir.path(), &["report", "run", "--out", "run/other.html"]);
    succeed(dir.path(), &["eval", "run", "--out", "run/metrics.json"]);
}

#[test]
fn files_that_nobody_named_are_not_overwritten() {
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/card.md"), "a card of my own").unwrap();
    fs::write(at("report.html"), "<p>a page of my own</p>").unwrap();
    succeed(dir.path(), &["report", "run", "--out", "d/page.html"]);
    assert_eq!(fs::read_to_string(at("d/card.md")).unwrap(), "a card of my own");
    let line = refused(dir.path(), &["report", "--predictions", "x.npz", "--bootstrap", "0"]);
    assert!(line.contains("report.html") && line.contains("--out"), "{line}");
    assert_eq!(fs::read_to_string(at("report.html")).unwrap(), "<p>a page of my own</p>");
    fs::remove_file(at("report.html")).unwrap();
    for _ in 0..2 {
        succeed(dir.path(), &["report", "--predictions", "x.npz", "--bootstrap", "0"]);
    }
    // The run's own card is made again with its page.
    fs::remove_file(at("run/card.md")).unwrap();
    succeed(dir.path(), &["report", "run"]);
    assert!(at("run/card.md").is_file());
}

#[test]
fn a_full_stdout_is_an_error_and_a_closed_one_is_not() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let dir = material();
    let at = dir.path();
    let cases: &[&[&str]] = &[
        &["--help"],
        &["run", "--help"],
        &["help", "sweep"],
        &["--version"],
        &["config"],
        &["completions", "bash"],
        &["man"],
        &["doctor"],
        &["data", "list"],
        &["inspect", "run/float.qbnn"],
        &["report", "run"],
        &["eval", "run", "--samples", "2", "--bootstrap", "0", "--json"],
    ];
    for args in cases {
        // The options of `limited` would come behind `--help`, where they are as good as anywhere.
        let output = end(limited(at, args, "> /dev/full"));
        assert!(line(&output, &format!("{args:?}")).contains("stdout"), "{args:?}");
        let mut command = Command::new("sh");
        command.current_dir(at).env("HOME", at).stderr(std::process::Stdio::piped());
        let program = env!("CARGO_BIN_EXE_qbnn");
        command.args(["-c", &format!("({program} {}; echo $? > code) | true", args.join(" "))]);
        let output = end(command);
        assert_eq!(fs::read_to_string(at.join("code")).unwrap(), "0\n", "{args:?}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("error"), "{args:?}: {output:?}");
    }
}
