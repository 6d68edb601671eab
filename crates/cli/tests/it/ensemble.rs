//! Ensembles of model files: named in a short TOML file, they predict, are evaluated and inspected as one model.

use crate::common::{fail, json, succeed, tiny};
use serde_json::Value;
use std::fs;
use std::path::Path;

const SETTINGS: &[&str] =
    &["--data", "strokes", "--samples", "8", "--bootstrap", "20", "--set", "data.group_limit=100"];

fn write(at: &Path, name: &str, models: &[&str]) {
    fs::write(at.join(name), format!("models = {models:?}\n")).unwrap();
}

/// Probabilities of the images in `pics`, by a model.
fn probabilities(at: &Path, args: &[&str]) -> Vec<Vec<f64>> {
    let text = succeed(at, &[&["predict"], args, &["pics", "--json"]].concat());
    let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let row = |v: Value| v["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
    text.lines().map(|l| row(line(l))).collect()
}

#[test]
fn an_ensemble_is_one_model_wherever_models_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for seed in ["1", "2"] {
        succeed(at, &tiny(&["run", "--out", seed, "--seed", seed, "--set", "data.group_limit=100"]));
    }
    fs::create_dir(at.join("both")).unwrap();
    write(at, "both/pair.ensemble.toml", &["../1/jq-mu4s2w8a4.qbnn", "../2/jq-mu4s2w8a4.qbnn"]);
    let pair = "both/pair.ensemble.toml";
    succeed(at, &["data", "export", "strokes", "--group", "ood", "--index", "0..5", "pics"]);

    // Predict: half of the draws of each.
    let together = probabilities(at, &[pair, "--samples", "8"]);
    let each = ["1/jq-mu4s2w8a4.qbnn", "2/jq-mu4s2w8a4.qbnn"].map(|m| probabilities(at, &[m, "--samples", "4"]));
    for (image, row) in together.iter().enumerate() {
        for (class, p) in row.iter().enumerate() {
            let mean = (each[0][image][class] + each[1][image][class]) / 2.0;
            assert!((p - mean).abs() < 1e-3, "image {image}, class {class}: {p}, not {mean}");
        }
    }
    assert_eq!(together.len(), 5);
    assert_eq!(probabilities(at, &[pair, "--pfp"]).len(), 5);

    // Inspect.
    let shown: Value = serde_json::from_str(&succeed(at, &["inspect", pair, "--json"])).unwrap();
    let bytes = |m: &str| fs::metadata(at.join(m)).unwrap().len();
    assert_eq!(shown["bytes"], bytes("1/jq-mu4s2w8a4.qbnn") + bytes("2/jq-mu4s2w8a4.qbnn"));
    assert_eq!((&shown["name"], shown["members"].as_array().unwrap().len()), (&Value::from("pair"), 2));
    assert!(succeed(at, &["inspect", pair]).contains("ensemble of 2"));

    // Eval, beside checkpoints and alone.
    let own = fs::read(at.join("1/metrics.json")).unwrap();
    let eval = |models: &[&str], out: &str| {
        succeed(at, &[&["eval"], models, &["--out", out, "--seed", "1"], SETTINGS].concat());
        json(&at.join(out))["models"].clone()
    };
    let models = eval(&["1/float.safetensors", pair, "1/jq-mu4s2w8a4.safetensors"], "beside.json");
    let names: Vec<_> = models.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["float", "jq-mu4s2w8a4", "pair"]);
    let (jq, ensemble) = (&models[1], &models[2]);
    assert_eq!(ensemble["backend"]["kind"], "ensemble");
    assert_eq!(ensemble["backend"]["members"][1]["kind"], "integer");
    assert_eq!(ensemble["file_bytes"], shown["bytes"]);
    assert_eq!(ensemble["parameter_bytes"], jq["parameter_bytes"].as_u64().unwrap() * 2);
    assert_eq!(eval(&[pair], "alone.json")[0], *ensemble);
    let passes = eval(&[pair, "--pfp"], "passes.json");
    assert_eq!((passes[1]["name"].as_str(), passes.as_array().unwrap().len()), (Some("pair-pfp"), 2));
    assert_eq!(fs::read(at.join("1/metrics.json")).unwrap(), own);

    // One model alone is that model.
    write(at, "one.ensemble.toml", &["1/jq-mu4s2w8a4.qbnn"]);
    let one = eval(&["one.ensemble.toml"], "one.json");
    for key in ["accuracy", "nll", "ece"] {
        assert!(one[0][key].is_f64() && one[0][key] == jq[key], "{key}: {} and {}", one[0][key], jq[key]);
    }

    refused(at);
}

fn refused(at: &Path) {
    let case = |text: &str, parts: &[&str]| {
        fs::write(at.join("bad.ensemble.toml"), text).unwrap();
        for command in [&["predict", "bad.ensemble.toml", "pics"][..], &["inspect", "bad.ensemble.toml"]] {
            let code = if parts.contains(&"usage") { 2 } else { 1 };
            let line = fail(at, code, command);
            for part in parts.iter().filter(|&&p| p != "usage") {
                assert!(line.contains(part) && line.contains("bad.ensemble.toml"), "{text}: {line}");
            }
        }
    };
    case("models = []", &["0 models", "1 to 64"]);
    case(&format!("models = {:?}", vec!["1/jq-mu4s2w8a4.qbnn"; 65]), &["65 models"]);
    case("models = [\"1/jq-mu4s2w8a4.qbnn\", \"./1/jq-mu4s2w8a4.qbnn\"]", &["one model twice"]);
    case("models = [\"gone.qbnn\"]", &["gone.qbnn"]);
    case("models = [\"1/float.safetensors\"]", &["float.safetensors"]);
    case("models = [\"one.ensemble.toml\"]", &["an ensemble"]);
    fs::copy(at.join("1/jq-mu4s2w8a4.qbnn"), at.join("copy.qbnn")).unwrap();
    case("models = [\"1/jq-mu4s2w8a4.qbnn\", \"copy.qbnn\"]", &["one model twice", "copy.qbnn"]);
    let line = fail(at, 2, &["check", "one.ensemble.toml"]);
    assert!(line.contains("takes checkpoints"), "{line}");
    let line = fail(at, 1, &["bench", "one.ensemble.toml"]);
    assert!(line.contains("name one of them"), "{line}");
    // A table has one strategy for a row.
    write(at, "mixed.ensemble.toml", &["1/jq-mu4s2w8a4.qbnn", "2/float.qbnn"]);
    let line = fail(at, 1, &[&["eval", "mixed.ensemble.toml"], SETTINGS].concat());
    assert!(line.contains("another strategy"), "{line}");
    assert_eq!(probabilities(at, &["mixed.ensemble.toml"]).len(), 5);
}
