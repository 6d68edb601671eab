//! What a person sees: tables that fit the terminal, a figure a line in a pipe, commands that can be copied.

use crate::common::{json, succeed, tiny};
use std::path::Path;
use std::process::{Command, Stdio};

/// A folder that a shell takes apart unless it is quoted.
const FOLDER: &str = "my 'first' run";

/// Whether there is a program that makes terminals.
fn has_script() -> bool {
    let script = Command::new("script").arg("--version").stdin(Stdio::null()).output();
    cfg!(target_os = "linux") && script.is_ok_and(|o| o.status.success())
}

/// Standard output of a command on a terminal of so many columns.
fn on_terminal(at: &Path, columns: usize, line: &str) -> String {
    let line = format!("stty cols {columns} rows 40 && {} {line} 2>/dev/null", env!("CARGO_BIN_EXE_qbnn"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(at).stdin(Stdio::null()).env_remove("COLUMNS");
    script.env_remove("QBNN_DATA").env("HOME", at).env("XDG_CACHE_HOME", at.join("cache"));
    let output = script.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    assert!(output.status.success(), "{line}: {text}");
    text
}

#[test]
fn tables_fit_the_terminal_and_pipes_have_a_figure_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let out = succeed(at, &tiny(&["run", "--out", FOLDER, "--seed", "5"]));
    let metrics = json(&at.join(FOLDER).join("metrics.json"));
    let figures: Vec<Vec<&str>> = out.lines().filter(|l| l.contains('\t')).map(|l| l.split('\t').collect()).collect();
    assert_eq!(figures[0], ["model", "figure", "value"], "{out}");
    let figure = |model: &str, name: &str| -> Option<f64> {
        figures.iter().find(|f| f[0].starts_with(&format!("{model} ")) && f[1] == name)?[2].parse().ok()
    };
    for model in metrics["models"].as_array().unwrap() {
        let name = format!("{} S = 4", model["name"].as_str().unwrap());
        let nll = model["nll"].as_f64().unwrap();
        assert!((figure(&name, "NLL nats").unwrap() - nll).abs() < 1e-4, "{out}");
        // Every count of bytes says what it counts, and the parts add up.
        assert_eq!(figure(&name, "model file bytes"), model["file_bytes"].as_f64());
        let of = |kind: &str| figure(&name, &format!("parameter bytes of {kind}")).unwrap();
        let all = model["parameter_bytes"].as_f64();
        assert_eq!(figure(&name, "parameter bytes"), all);
        assert_eq!(Some(of("weights") + of("biases") + of("scales")), all);
    }
    assert!(!out.contains(['│', '─', '|']), "{out}");

    // What is told to be done next can be copied.
    let next = out.lines().find_map(|l| l.strip_prefix("next: open the report, then ")).unwrap();
    for (i, line) in next.split(" and ").enumerate() {
        let line = line.strip_prefix("qbnn ").unwrap();
        let short = if i == 0 { "--qat-epochs 0" } else { "--samples 2 --bootstrap 0" };
        let shell = format!("{} {line} {short}", env!("CARGO_BIN_EXE_qbnn"));
        let run = Command::new("sh").args(["-c", &shell]).current_dir(at).output().unwrap();
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    }

    let model = "\"my 'first' run/jq-mu4s2w8a4.qbnn\"";
    let folder = "\"my 'first' run\"";
    let shown = succeed(at, &["inspect", &format!("{FOLDER}/jq-mu4s2w8a4.qbnn")]);
    assert!(shown.contains("1\tdense\tparameters\t78500") && shown.contains("headers"), "{shown}");
    assert!(!shown.contains("e-"), "{shown}");
    if !has_script() {
        return println!("LEFT OUT: the terminals (there is no `script` to make them)");
    }
    for columns in [40, 60, 80, 120, 200] {
        for line in [
            &format!("eval {folder} --pfp --samples 2 --bootstrap 10 --out m.json --quiet"),
            &format!("inspect {model}"),
            &format!("inspect {folder}"),
            &format!("bench {model} --quick --batch 1 --bench-threads 1 --quiet"),
            "data list",
            "doctor",
        ] {
            let text = on_terminal(at, columns, line);
            for shown in text.lines() {
                assert!(console::measure_text_width(shown) <= columns, "{line} at {columns} columns:\n{text}");
            }
            if line.starts_with("eval") {
                assert!(text.contains("jq-mu4s2w8a4-pfp") && text.contains("AUROC"), "{text}");
            }
        }
    }
}

#[test]
fn the_doctor_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let changed = || std::fs::metadata(dir.path()).unwrap().modified().unwrap();
    let before = changed();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let text = succeed(dir.path(), &["doctor"]);
    assert!(text.contains("can be written"), "{text}");
    assert_eq!(changed(), before, "something was made in the folder");
    // A folder that only its owner could write, if whoever runs this may not either.
    let mut closed = std::fs::metadata(dir.path()).unwrap().permissions();
    closed.set_readonly(true);
    std::fs::set_permissions(dir.path(), closed).unwrap();
    if std::fs::File::create(dir.path().join("x")).is_err() {
        let text = succeed(dir.path(), &["doctor"]);
        assert!(text.contains("cannot be written"), "{text}");
    }
}
