//! The README and the tutorial do what they say: their console and Python blocks, run in order, as they stand.
//!
//! Commands of `qbnn` run for real, in a folder of their own, trainings with fewer images and epochs, sweeps as plans.
//! What needs the network, a compiler or real data is in a list here; everything else must succeed.

use crate::common::{TINY, command};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is not run, by its beginning.
const ELSEWHERE: [&str; 9] = [
    "git clone",
    "cd qbnn",
    "cargo install",
    "cargo build",
    "cargo test",
    "cargo bench",
    "qbnn data fetch",
    "qbnn run --data dirty-mnist",
    "cargo run --release -- data fetch",
];

/// Blocks of a Markdown file: (language, text).
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                open = true;
                found.push((language.to_owned(), String::new()));
            }
            None if open => found.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            None => {}
        }
    }
    assert!(!open, "a block is not closed");
    found
}

fn python() -> Option<()> {
    let mut python = Command::new("python3");
    let numpy = python.args(["-c", "import numpy"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    numpy.is_ok_and(|s| s.success()).then_some(())
}

fn experiments(folder: &Path) -> Option<std::path::PathBuf> {
    Some(folder.join("experiments")).filter(|e| e.is_dir())
}

/// Runs a file's blocks in a fresh folder and gives the commands that ran.
fn follow(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let dir = tempfile::tempdir().unwrap();
    let specs = dir.path().join("experiments");
    fs::create_dir(&specs).unwrap();
    for spec in fs::read_dir(path.parent().unwrap().ancestors().find_map(experiments).unwrap()).unwrap() {
        let spec = spec.unwrap();
        if spec.path().is_file() {
            fs::copy(spec.path(), specs.join(spec.file_name())).unwrap();
        }
    }
    let mut ran = Vec::new();
    for (language, text) in blocks(&fs::read_to_string(&path).unwrap()) {
        match language.as_str() {
            // A file to be written names itself, or goes by its network's name.
            "toml" => {
                let name = text.lines().find_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"')).unwrap();
                fs::write(dir.path().join(format!("{name}.toml")), &text).unwrap();
            }
            "python" if python().is_some() => {
                fs::write(dir.path().join("block.py"), &text).unwrap();
                let run = Command::new("python3").arg("block.py").current_dir(dir.path()).output().unwrap();
                assert!(run.status.success(), "{file}: {}", String::from_utf8_lossy(&run.stderr));
                ran.push("python3".to_owned());
            }
            "python" => {
                println!("LEFT OUT: the Python block of {file} (python3 with numpy is not there)");
                crate::common::npz::write(&dir.path().join("mine.npz"), &crate::common::npz::made());
            }
            "console" => text.lines().filter(|l| !l.trim().is_empty()).for_each(|line| {
                let line = line.split(" #").next().unwrap().trim();
                if ELSEWHERE.iter().any(|e| line.starts_with(e)) {
                    return println!("LEFT OUT: {line}");
                }
                let words = line.strip_prefix("cargo run --release --").or(line.strip_prefix("qbnn"));
                let words = words.unwrap_or_else(|| panic!("{file}: `{line}` is neither run nor left out"));
                let mut args: Vec<&str> = words.split_whitespace().collect();
                if ["run", "train"].contains(&args[0]) {
                    // The first settings count least: what the line itself says stays, but for sizes.
                    let sizes = TINY.chunks_exact(2).filter(|pair| pair[0] != "--net");
                    args.retain(|a| !a.is_empty());
                    for pair in sizes {
                        if let Some(at) = args.iter().position(|a| a == &pair[0] && pair[0] != "--set") {
                            args.drain(at..at + 2);
                        }
                        args.extend(pair);
                    }
                }
                if args[0] == "sweep" {
                    // Minutes; sweeps have tests of their own.
                    args.push("--dry-run");
                }
                let output = command(dir.path(), &args).output().unwrap();
                assert!(output.status.success(), "{file}: {line}\n{}", String::from_utf8_lossy(&output.stderr));
                ran.push(line.to_owned());
            }),
            "text" | "rust" | "" => {}
            other => panic!("{file}: a block of {other}"),
        }
    }
    ran
}

#[test]
fn the_readme_does_what_it_says() {
    let ran = follow("README.md");
    assert!(ran.iter().any(|l| l == "cargo run --release -- run"), "{ran:?}");
}

#[test]
fn the_tutorial_does_what_it_says() {
    let ran = follow("docs/tutorial.md");
    assert!(ran.len() >= 8 && ran.iter().any(|l| l.contains("--predictions mine.npz")), "{ran:?}");
}

#[test]
fn own_data_does_what_it_says() {
    let ran = follow("docs/own-data.md");
    assert!(ran.len() >= 10 && ran.iter().any(|l| l.contains("--config pets.toml")), "{ran:?}");
}

#[test]
fn calibrate_does_what_it_says() {
    let ran = follow("docs/calibrate.md");
    assert!(ran.len() >= 7 && ran.iter().any(|l| l.contains("--remove")), "{ran:?}");
}

#[test]
fn import_does_what_it_says() {
    let ran = follow("docs/import.md");
    assert!(ran.len() == 9 && ran.iter().any(|l| l.contains("--to codes")), "{ran:?}");
}

#[test]
fn tables_and_output_in_the_readme_fit_80_columns() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(path).unwrap();
    let output = blocks(&text).into_iter().filter(|(language, _)| language == "text").map(|(_, block)| block);
    let tables = text.lines().filter(|line| line.starts_with('|')).map(str::to_owned);
    let long: Vec<_> = output.chain(tables).flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!(long.len() > 30, "{long:?}");
    assert!(long.iter().all(|line| line.chars().count() <= 80), "{long:#?}");
}
