//! A run from its first line to its last file, and again from its own settings.

use crate::common::{json, succeed, tiny};
use serde_json::Value;
use std::fs;

const FIELDS: [&str; 17] = [
    "name",
    "strategy",
    "bits",
    "samples",
    "accuracy",
    "nll",
    "brier",
    "ece",
    "auroc_epistemic_ood_vs_clean",
    "auroc_aleatoric_ood_vs_clean",
    "auroc_epistemic_ood_vs_clean_ambiguous",
    "auroc_max_probability_ood_vs_clean_ambiguous",
    "auroc_aleatoric_ambiguous_vs_clean",
    "auroc_total_ambiguous_vs_clean",
    "auroc_share_ambiguous_vs_clean",
    "spearman_aleatoric_epistemic",
    "parameter_bytes",
];

#[test]
fn a_run_leaves_a_whole_folder_and_repeats_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let table = succeed(dir.path(), &tiny(&["run", "--out", "a", "--seed", "5"]));
    for word in [
        "float",
        "jq-mu4s2w8a4",
        "accuracy",
        "AUROC",
        "scales",
        "seed 5",
        "run folder: a",
        "report: a/report.html",
        "qbnn quantize a",
    ] {
        assert!(table.contains(word), "{word} is missing in\n{table}");
    }
    let a = dir.path().join("a");
    let mut files: Vec<_> = fs::read_dir(&a).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let wanted = [
        "card.md",
        "config.toml",
        "float.qbnn",
        "float.safetensors",
        "jq-mu4s2w8a4.qbnn",
        "jq-mu4s2w8a4.safetensors",
        "metrics.json",
        "metrics.jsonl",
        "predictions.safetensors",
        "provenance.json",
        "report.html",
    ];
    assert_eq!(files, wanted);

    let metrics = json(&a.join("metrics.json"));
    assert_eq!(
        (&metrics["schema_version"], &metrics["dataset"], &metrics["seed"]),
        (&2.into(), &"strokes".into(), &5.into())
    );
    let models = metrics["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    for model in models {
        for field in FIELDS {
            assert!(!model[field].is_null(), "{field} in {model}");
        }
        assert!(model["ci95"]["accuracy"].is_array(), "{model}");
    }
    assert_eq!(models[1]["bits"]["mu"], 4);
    assert_eq!(models[1]["file_bytes"], fs::metadata(a.join("jq-mu4s2w8a4.qbnn")).unwrap().len());
    assert_eq!(metrics["differences"][0]["against"], "float");

    let lines = fs::read_to_string(a.join("metrics.jsonl")).unwrap();
    let phases: Vec<_> = lines
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .map(|l| (l["phase"].as_str().unwrap().to_owned(), l["epoch"].as_u64().unwrap()))
        .collect();
    assert_eq!(phases, [("float".into(), 1), ("float".into(), 2), ("quantized".into(), 1)]);

    succeed(dir.path(), &["run", "--config", "a/config.toml", "--out", "b", "--quiet"]);
    for file in ["metrics.json", "predictions.safetensors"] {
        assert!(fs::read(a.join(file)).unwrap() == fs::read(dir.path().join("b").join(file)).unwrap(), "{file}");
    }

    // An evaluation from the checkpoints finds what the run found.
    fs::copy(a.join("metrics.json"), dir.path().join("kept.json")).unwrap();
    succeed(dir.path(), &["eval", "a"]);
    assert_eq!(json(&a.join("metrics.json")), json(&dir.path().join("kept.json")));
}

#[test]
fn json_is_one_object_and_quiet_is_quiet() {
    let dir = tempfile::tempdir().unwrap();
    let output = crate::common::qbnn(dir.path(), &tiny(&["run", "--out", "a", "--json", "--quiet", "--threads", "1"]));
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&object["run_folder"], &object["report"]), (&"a".into(), &"a/report.html".into()));
    assert_eq!(object["models"].as_array().unwrap().len(), 2);
    let listed: Value = serde_json::from_str(&succeed(dir.path(), &["data", "list", "--json"])).unwrap();
    assert_eq!(listed["sets"].as_array().unwrap().len(), 5);
}

#[test]
fn train_quantize_and_eval_do_the_same_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "whole"]));
    let text = succeed(dir.path(), &tiny(&["train", "--out", "steps"]));
    assert!(text.contains("next: qbnn quantize steps"), "{text}");
    succeed(dir.path(), &["quantize", "steps"]);
    succeed(dir.path(), &["eval", "steps"]);
    for file in ["float.safetensors", "jq-mu4s2w8a4.safetensors", "metrics.json"] {
        let read = |run: &str| fs::read(dir.path().join(run).join(file)).unwrap();
        assert!(read("whole") == read("steps"), "{file} differs");
    }
    // Calibration alone, other widths, beside the first.
    succeed(dir.path(), &["quantize", "steps", "--bits", "8", "--activation-bits", "4", "--qat-epochs", "0"]);
    let table = succeed(dir.path(), &["eval", "steps", "--samples", "3"]);
    assert!(table.contains("jq-w8a4") && table.contains("S = 3"), "{table}");
}

#[test]
fn the_default_folder_is_named_by_day_and_never_reused() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        succeed(dir.path(), &tiny(&["train", "--name", "mine"]));
    }
    let mut runs: Vec<_> =
        fs::read_dir(dir.path().join("runs")).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    runs.sort();
    assert!(runs.len() == 2 && runs[0].ends_with("-mine") && runs[1].ends_with("-mine-2"), "{runs:?}");
}

#[test]
fn a_network_of_ones_own_is_stored_with_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let layers = "name = \"own\"\n[[layer]]\ntype = \"flatten\"\n[[layer]]\ntype = \"dense\"\nout = 10\n";
    fs::write(dir.path().join("own.toml"), layers).unwrap();
    let args = ["train", "--net", "own.toml", "--train-limit", "500", "--epochs", "1", "--set", "data.group_limit=50"];
    succeed(dir.path(), &[&args[..], &["--out", "a"]].concat());
    fs::remove_file(dir.path().join("own.toml")).unwrap();
    succeed(dir.path(), &["train", "--config", "a/config.toml", "--out", "b"]);
    let read = |run: &str| fs::read(dir.path().join(run).join("float.safetensors")).unwrap();
    assert!(read("a") == read("b"));
}

#[test]
fn manual_pages_are_made_of_the_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let page = succeed(dir.path(), &["man"]);
    assert!(page.starts_with(".ie") && page.contains("qbnn run \\-\\-data dirty\\-mnist"), "{page}");
    succeed(dir.path(), &["man", "--out", "man1"]);
    for name in ["qbnn.1", "qbnn-run.1", "qbnn-report.1", "qbnn-data-fetch.1"] {
        assert!(dir.path().join("man1").join(name).is_file(), "{name}");
    }
}

#[test]
fn the_doctor_finds_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let text = succeed(dir.path(), &["doctor", "--threads", "1"]);
    for part in ["cpu ", "threads   1", "scalar", "can be written", "strokes: embedded", "qbnn data fetch mnist"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let object: Value = serde_json::from_str(&succeed(dir.path(), &["doctor", "--json"])).unwrap();
    assert_eq!((&object["writable"], object["data"].as_array().unwrap().len()), (&true.into(), 5));
}

#[test]
fn every_help_has_an_example() {
    let dir = tempfile::tempdir().unwrap();
    for command in [
        &[][..],
        &["run"],
        &["train"],
        &["quantize"],
        &["eval"],
        &["report"],
        &["data"],
        &["data", "list"],
        &["data", "fetch"],
        &["data", "export"],
        &["predict"],
        &["inspect"],
        &["sweep"],
        &["bench"],
        &["bench", "train"],
        &["config"],
        &["doctor"],
        &["man"],
        &["completions"],
    ] {
        let help = succeed(dir.path(), &[command, &["--help"]].concat());
        assert!(
            help.contains("Example") && help.contains(&["qbnn", &command.join(" ")].join(" ")),
            "{command:?}\n{help}"
        );
    }
}

#[test]
fn completions_and_config_print() {
    let dir = tempfile::tempdir().unwrap();
    assert!(succeed(dir.path(), &["completions", "bash"]).contains("qbnn"));
    let config = succeed(dir.path(), &["config", "--data", "dirty-mnist", "--net", "lenet5"]);
    assert!(config.contains("name = \"dirty-mnist\"") && config.contains("[quantize.bits]"), "{config}");
}

/// Figures of several seeds of draws are the means of those of each.
#[test]
fn several_seeds_of_draws_are_averaged() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5"]));
    let eval = |more: &[&str]| {
        let said = succeed(at, &[&["eval", "a", "--out", "m.json"], more].concat());
        (said, json(&at.join("m.json")))
    };
    let (said, both) = eval(&["--draw-seeds", "2"]);
    assert!(said.contains("over test images and 2 seeds of draws"), "{said}");
    let (said, one) = eval(&[]);
    assert!(!said.contains("seeds of draws"), "{said}");
    for (both, one) in both["models"].as_array().unwrap().iter().zip(one["models"].as_array().unwrap()) {
        assert_eq!((&both["draw_seeds"], one.get("draw_seeds")), (&2.into(), None));
        let width = |model: &Value| {
            let ends = model["ci95"]["nll"].as_array().unwrap();
            ends[1].as_f64().unwrap() - ends[0].as_f64().unwrap()
        };
        assert!(width(both) > width(one), "{both}");
        assert_ne!(both["nll"], one["nll"]);
    }
    let error = crate::common::fail(at, 2, &["eval", "a", "--draw-seeds", "0"]);
    assert!(error.contains("draw_seeds"), "{error}");
}

#[test]
fn every_strategy_runs_by_name() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--strategy", "vpq", "--bits", "w3a8"]));
    for args in [
        &["--strategy", "spq", "--bits", "4"][..],
        &["--strategy", "jq", "--bits", "mu4s3w4a4", "--rounding", "stochastic"],
        &["--strategy", "jq", "--scale", "tensor"],
    ] {
        succeed(dir.path(), &[&["quantize", "a", "--qat-epochs", "0"][..], args].concat());
    }
    let table = succeed(dir.path(), &["eval", "a", "--samples", "2", "--bootstrap", "0", "--update"]);
    let names = ["vpq-w3a8", "spq-w4a4-ptq", "jq-mu4s3w4a4-stochastic-ptq", "jq-mu4s2w8a4-per-tensor-ptq"];
    let metrics = json(&dir.path().join("a/metrics.json"));
    for name in names {
        assert!(table.contains(name), "{name} is missing in\n{table}");
        let model = metrics["models"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap();
        assert_eq!(model["strategy"], name[..name.find('-').unwrap()], "{model}");
    }
    let error = crate::common::fail(dir.path(), 2, &["quantize", "a", "--strategy", "vpq", "--weight-bits", "4"]);
    assert!(error.contains("bits.weight = 4") && error.contains("jq"), "{error}");
    let error = crate::common::fail(dir.path(), 2, &["quantize", "a", "--sigma-grid", "uniform"]);
    assert!(error.contains("sigma_grid = uniform") && error.contains("Nothing was trained"), "{error}");
    assert!(!dir.path().join("a/jq-mu4s2w8a4-uniform-sigma.safetensors").exists());
    let error = crate::common::fail(dir.path(), 2, &["quantize", "a", "--mu-bits", "32", "--strategy", "jq"]);
    assert!(error.contains("bits.mu = 32"), "{error}");
    assert_eq!(crate::common::qbnn(dir.path(), &["quantize", "a", "--bits", "w4x"]).status.code(), Some(2));
}
