//! Model files: written by a run, shown, run, refused when damaged; the same bytes on every kernel and thread count.

use crate::common::{fail, succeed, tiny};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// An IDX file of `n` images of noise.
fn idx(path: &Path, n: u32, rows: u32, columns: u32) {
    let mut bytes = vec![0, 0, 8, 3];
    [n, rows, columns].iter().for_each(|side| bytes.extend(side.to_be_bytes()));
    let mut state = 1u32;
    bytes.extend((0..n * rows * columns).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_model_file_is_shown_run_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5"]));
    let model = "a/jq-mu4s2w8a4.qbnn";

    let shown: Value = serde_json::from_str(&succeed(at, &["inspect", model, "--json"])).unwrap();
    assert_eq!((&shown["kind"], &shown["bits"]["mu"]), (&"jq".into(), &4.into()));
    assert_eq!(shown["bytes"], fs::metadata(at.join(model)).unwrap().len());
    assert!(shown["kernels"].as_array().unwrap().contains(&"scalar".into()));
    assert_eq!(shown["rounding"], "nearest");
    let layer = &shown["layers"][0];
    let ends = |key: &str| [0, 1].map(|i| layer[key][i].as_f64().unwrap());
    let (used, grid) = (ends("sigma"), ends("sigma_grid"));
    assert!(grid[0] > 0.0 && grid[0] <= used[0] && used[0] < used[1] && used[1] <= grid[1], "{layer}");
    assert_eq!(layer["parameters"], 78_500);
    let float: Value = serde_json::from_str(&succeed(at, &["inspect", "a/float.qbnn", "--json"])).unwrap();
    let layer = &float["layers"][0];
    assert!(layer["sigma"][0].as_f64().unwrap() > 0.0 && layer["sigma_grid"].is_null(), "{layer}");
    let text = succeed(at, &["inspect", model]);
    assert!(text.contains("dense") && text.contains("sigma") && text.contains("kernel:"), "{text}");

    let checked: Value = serde_json::from_str(&succeed(at, &["check", "a", "--json"])).unwrap();
    assert_eq!(
        (&checked["models"][0]["model"], &checked["models"][0]["agrees"]),
        (&"jq-mu4s2w8a4".into(), &true.into())
    );
    assert!(fail(at, 1, &["check", "a/float.safetensors"]).contains("qbnn quantize"));

    idx(&at.join("noise.idx"), 20, 28, 28);
    let predict = ["predict", model, "noise.idx", "--samples", "9", "--format", "csv"];
    let csv = succeed(at, &predict);
    assert_eq!(csv.lines().count(), 21, "{csv}");
    let names: Vec<String> = shown["kernels"].as_array().unwrap().iter().map(|k| k.as_str().unwrap().into()).collect();
    for kernel in names {
        for threads in ["1", "2"] {
            let run = Command::new(env!("CARGO_BIN_EXE_qbnn"))
                .current_dir(at)
                .env("QBNN_KERNEL", &kernel)
                .args(predict)
                .args(["--threads", threads])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(run.stdout).unwrap(), csv, "{kernel}, {threads} threads");
        }
    }
    let lines = succeed(at, &["predict", model, "noise.idx", "--json", "--abstain-above", "0"]);
    for line in lines.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let sum: f64 = answer["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4 && answer["abstained"] == true, "{answer}");
    }

    let bytes = fs::read(at.join(model)).unwrap();
    fs::write(at.join("cut.qbnn"), &bytes[..bytes.len() - 1]).unwrap();
    let error = fail(at, 1, &["inspect", "cut.qbnn"]);
    assert!(error.contains("cut.qbnn") && error.contains("bytes") && error.lines().count() == 1, "{error}");
    let error = fail(at, 1, &["predict", "a/float.safetensors", "noise.idx"]);
    assert!(error.contains("no qbnn model") && error.contains("a/float.qbnn"), "{error}");
    idx(&at.join("wide.idx"), 2, 28, 30);
    let error = fail(at, 1, &["predict", model, "wide.idx"]);
    assert!(error.contains("28x30") && error.contains("28x28"), "{error}");
}

#[test]
fn every_kind_has_a_file_and_an_analytic_pass() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5", "--strategy", "spq"]));
    succeed(at, &["quantize", "a", "--strategy", "vpq", "--bits", "4", "--qat-epochs", "0"]);
    for (name, kind) in [("float", "float"), ("spq-w4a4", "spq"), ("vpq-w4a4-ptq", "vpq")] {
        let shown = succeed(at, &["inspect", &format!("a/{name}.qbnn"), "--json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["kind"], kind);
    }
    let before = fs::read(at.join("a/metrics.json")).unwrap();
    let shown = succeed(at, &["eval", "a", "--pfp", "--json", "--bootstrap", "0", "--samples", "4"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let names: Vec<&str> = shown["models"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    let twins = ["float-pfp", "spq-w4a4-pfp", "vpq-w4a4-ptq-pfp"];
    assert!(twins.iter().all(|t| names.contains(t)) && names.len() == 6, "{names:?}");
    let differences = shown["differences"].as_array().unwrap();
    assert!(differences.iter().any(|d| d["name"] == "spq-w4a4-pfp" && d["against"] == "spq-w4a4"), "{differences:?}");
    assert_eq!(fs::read(at.join("a/metrics.json")).unwrap(), before);
    succeed(at, &["eval", "a/spq-w4a4.safetensors", "--pfp=drawn", "--out", "b.json"]);
    assert!(fs::read_to_string(at.join("b.json")).unwrap().contains("spq-w4a4-pfp-drawn"));
}
