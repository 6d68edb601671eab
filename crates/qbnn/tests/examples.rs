//! The programs in `examples/` run, each as a user would run it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;

/// Runs an example that `cargo test` has built; what it printed.
fn run(name: &str) -> String {
    let folder = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples");
    let output = Command::new(folder.join(name)).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each example and a part of what it prints.
const EXAMPLES: [(&str, &str); 7] = [
    ("own_arrays", "halves.qbnn"),
    ("predict", "integer"),
    ("no_std", "class"),
    ("session", "epistemic"),
    ("external_probabilities", "accuracy"),
    ("training_loop", "epochs"),
    ("add_a_test_group", "AUROC epistemic, stripes vs clean: "),
];

#[test]
fn every_example_runs() {
    for (name, said) in EXAMPLES {
        let text = run(name);
        assert!(text.contains(said), "{name} printed:\n{text}");
    }
}

#[test]
fn every_example_is_short_and_listed() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../../examples");
    let manifest = std::fs::read_to_string(here.join("Cargo.toml")).unwrap();
    let list = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "rs") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(EXAMPLES.iter().any(|(run, _)| *run == name), "{name} is not run above");
            assert!(manifest.contains(&format!("../../examples/{name}.rs")), "{name} is not in Cargo.toml");
            assert!(list.contains(&format!("({name}.rs)")), "{name} is not in examples/README.md");
            assert!(std::fs::read_to_string(&path).unwrap().lines().count() < 80, "{name} is long");
        }
    }
}
