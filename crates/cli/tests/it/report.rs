//! `qbnn report`: of a run, of half a run, of several, of anyone's predictions; and what it refuses.

use crate::common::npz::{self, Array};
use crate::common::{fail, qbnn, succeed, tiny};
use std::fs;
use std::path::Path;

#[test]
fn a_run_has_its_page_again_and_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--seed", "5"]));
    let at_the_end = fs::read(dir.path().join("a/report.html")).unwrap();
    let html = String::from_utf8(at_the_end.clone()).unwrap();
    for part in ["mlp on strokes", "qbnn run --out a", "Most OOD", "dense1: sigma", "config.toml", "Training"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("Left out"), "{html}");
    let text = succeed(dir.path(), &["report", "a", "--svg", "figures"]);
    assert!(text.contains("report: a/report.html") && text.contains("figures: figures"), "{text}");
    assert!(fs::read(dir.path().join("a/report.html")).unwrap() == at_the_end, "a view must not change");
    let svg = fs::read_to_string(dir.path().join("figures/roc-1.svg")).unwrap();
    assert!(svg.starts_with("<svg xmlns="), "{svg}");
    let card = fs::read_to_string(dir.path().join("a/card.md")).unwrap();
    assert!(card.contains("# mlp on strokes") && card.contains("| accuracy % |"), "{card}");
    succeed(dir.path(), &["report", "a", "--show", "jq-mu4s2w8a4", "--out", "c.html"]);
    assert!(fs::read_to_string(dir.path().join("c.html")).unwrap().contains("Figures show jq-mu4s2w8a4"));
    assert!(fail(dir.path(), 2, &["report", "a", "--show", "jq"]).contains("float, jq-mu4s2w8a4"));
    let object = succeed(dir.path(), &["report", "a", "--json", "--out", "b.html"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!((&object["report"], &object["left_out"]), (&"b.html".into(), &serde_json::json!([])));
}

#[test]
fn half_a_run_says_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["train", "--out", "a"]));
    assert!(fail(dir.path(), 1, &["report", "a"]).contains("qbnn eval a"));
    succeed(dir.path(), &["eval", "a"]);
    let page = || fs::read_to_string(dir.path().join("a/report.html")).unwrap();
    assert!(page().contains("need a float checkpoint and a quantized one"));
    // Predictions of another evaluation, then torn ones, then none.
    let path = dir.path().join("a/predictions.safetensors");
    let good = fs::read(&path).unwrap();
    succeed(dir.path(), &["eval", "a", "--samples", "2", "--update"]);
    fs::write(&path, &good).unwrap();
    succeed(dir.path(), &["report", "a"]);
    assert!(page().contains("belongs to another evaluation"), "{}", page());
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    succeed(dir.path(), &["report", "a"]);
    assert!(page().contains("holds no whole predictions"), "{}", page());
    fs::remove_file(&path).unwrap();
    let output = qbnn(dir.path(), &["report", "a"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("qbnn eval a"));
    assert!(page().contains("no predictions are stored"));
    fs::write(dir.path().join("a/metrics.json"), "{\"schema_version\": 1").unwrap();
    assert!(fail(dir.path(), 1, &["report", "a"]).contains("metrics.json is damaged"));
    assert!(fail(dir.path(), 2, &["report", "nowhere"]).contains("nowhere"));
    assert!(fail(dir.path(), 1, &["report", "."]).contains("none of these run folders"));
}

#[test]
fn several_runs_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    for seed in ["1", "2"] {
        succeed(dir.path(), &tiny(&["run", "--seed", seed, "--out", &format!("runs/{seed}")]));
    }
    let text = succeed(dir.path(), &["report", "runs/1", "runs/2", "--out", "seeds.html"]);
    assert!(text.contains("report: seeds.html"), "{text}");
    let html = fs::read_to_string(dir.path().join("seeds.html")).unwrap();
    assert!(
        html.contains("2 runs compared") && html.contains("strokes mlp") && html.contains("up to 2 seeds"),
        "{html}"
    );
    succeed(dir.path(), &["report", "runs", "--title", "All of them"]);
    assert!(fs::read_to_string(dir.path().join("runs/report.html")).unwrap().contains("All of them"));
}

/// Two draws, four inputs (clean, clean, ambiguous, ood), two classes.
const PROBS: [f64; 16] = [0.9, 0.1, 0.2, 0.8, 0.5, 0.5, 0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.5, 0.5, 0.1, 0.9];

fn good() -> [Array; 3] {
    let groups: Vec<u8> = [0u8, 0, 1, 2].to_vec();
    [
        npz::floats("probs", "(2, 4, 2)", &PROBS),
        npz::integers("labels", "(4,)", &[0, 1, -1, -1]),
        Array { name: "groups", descr: "|u1", shape: "(4,)", bytes: groups },
    ]
}

fn refuse(folder: &Path, arrays: &[Array]) -> String {
    npz::write(&folder.join("x.npz"), arrays);
    fail(folder, 1, &["report", "--predictions", "x.npz"])
}

#[test]
fn anyones_predictions_make_a_page() {
    let dir = tempfile::tempdir().unwrap();
    npz::write(&dir.path().join("mine.npz"), &good());
    let [probs, labels, groups] = good();
    let images = Array { name: "images", descr: "|u1", shape: "(4, 2, 2)", bytes: (0..16).map(|i| i * 16).collect() };
    npz::write(&dir.path().join("theirs.npz"), &[probs, labels, groups, images]);
    let both =
        ["report", "--predictions", "mine.npz", "--predictions", "theirs.npz", "--bootstrap", "50", "--out", "m.html"];
    let text = succeed(dir.path(), &both);
    assert!(text.contains("report: m.html"), "{text}");
    let html = fs::read_to_string(dir.path().join("m.html")).unwrap();
    for part in ["mine and theirs", "Epistemic finds ood", "Theirs keeps accuracy within 0.00", "Most OOD"] {
        assert!(html.contains(part), "{part}");
    }
    for part in ["bytes (of the model file)", "Training", "seed"] {
        assert!(!html.contains(&format!(">{part}")), "{part}");
    }
    // The same as safetensors, alone.
    let bytes: Vec<u8> = PROBS.iter().flat_map(|p| (*p as f32).to_le_bytes()).collect();
    let view =
        |kind, shape: &[usize], bytes| safetensors::tensor::TensorView::new(kind, shape.to_vec(), bytes).unwrap();
    use safetensors::tensor::Dtype::{F32, U8};
    let tensors = [
        ("probs", view(F32, &[2, 4, 2], &bytes)),
        ("labels", view(U8, &[4], &[0, 1, 0, 0])),
        ("groups", view(U8, &[4], &[0, 0, 1, 2])),
    ];
    fs::write(dir.path().join("s.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    succeed(dir.path(), &["report", "--predictions", "s.safetensors"]);
    let html = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(html.contains("accuracy 100.00 %"), "{html}");
}

/// In double precision to the last bit, and with the numbers in `--json`: 14/15 ends a bin, and a little more is in the
/// next one, which single precision cannot tell.
#[test]
fn predictions_are_measured_in_their_own_precision() {
    let dir = tempfile::tempdir().unwrap();
    let edge = 14.0 / 15.0;
    let confidence = |i: usize| if i.is_multiple_of(2) { edge } else { edge + 0.01 };
    let probs: Vec<f64> = (0..20).flat_map(|i| [confidence(i), 1.0 - confidence(i)]).collect();
    let labels: Vec<i64> = (0..20).map(|i| i64::from(i % 2 == 0)).collect();
    let arrays = [npz::floats("probs", "(20, 2)", &probs), npz::integers("labels", "(20,)", &labels)];
    npz::write(&dir.path().join("x.npz"), &arrays);
    let text = succeed(dir.path(), &["report", "--predictions", "x.npz", "--bootstrap", "20", "--json"]);
    let found: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    let model = &found["metrics"]["models"][0];
    let wanted = (edge + 1.0 - (edge + 0.01)) / 2.0;
    assert!((model["ece"].as_f64().unwrap() - wanted).abs() < 1e-12, "{model}");
    assert!(model["accuracy"] == 0.5 && model["ci95"]["ece"].is_array(), "{model}");
}

#[test]
fn what_predictions_lack_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let make = |arrays: &[Array]| {
        npz::write(&dir.path().join("x.npz"), arrays);
        succeed(dir.path(), &["report", "--predictions", "x.npz", "--quiet"]);
        fs::read_to_string(dir.path().join("report.html")).unwrap()
    };
    let [probs, labels, _] = good();
    let all = npz::integers("labels", "(4,)", &[0, 1, 0, 0]);
    let html = make(&[probs.clone(), all]);
    assert!(html.contains("all inputs count as clean"), "{html}");
    let one = npz::floats("probs", "(4, 2)", &PROBS[..8]);
    let groups = npz::text("groups", &["clean", "clean", "clean", "ood"]);
    let html = make(&[one, npz::integers("labels", "(4,)", &[0, 0, 0, -1]), groups]);
    assert!(html.contains("There is a single draw") && html.contains("no ambiguous inputs"), "{html}");
    assert!(html.contains("No clean image is of class 1."), "{html}");
    drop(labels);
}

#[test]
fn what_are_no_predictions_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let [probs, labels, groups] = good();
    let refuse = |arrays: &[Array], wanted: &str| {
        let error = refuse(dir.path(), arrays);
        assert!(error.contains("x.npz") && error.contains(wanted), "{error}");
    };
    refuse(std::slice::from_ref(&labels), "probs [S][N][C]");
    refuse(std::slice::from_ref(&probs), "labels [N]");
    refuse(&[probs.clone(), npz::integers("labels", "(3,)", &[0, 1, 0]), groups.clone()], "found 3 labels, wanted 4");
    refuse(&[probs.clone(), npz::integers("labels", "(4,)", &[0, 2, 0, 0]), groups.clone()], "found label 2");
    refuse(&[npz::floats("probs", "(16,)", &PROBS), labels.clone()], "shape [16]");
    let mut bad = PROBS;
    bad[3] = f64::NAN;
    refuse(&[npz::floats("probs", "(2, 4, 2)", &bad), labels.clone(), groups.clone()], "NaN");
    bad[3] = 0.5;
    refuse(&[npz::floats("probs", "(2, 4, 2)", &bad), labels.clone(), groups.clone()], "sum to 0.7");
    refuse(&[probs.clone(), labels.clone(), npz::text("groups", &["clean", "far", "ood", "ood"])], "group far");
    let none = npz::text("groups", &["ood", "ood", "ood", "ood"]);
    refuse(&[probs.clone(), labels.clone(), none], "0 clean, 0 ambiguous, 4 ood");
    let images = Array { name: "images", descr: "|u1", shape: "(4, 4)", bytes: vec![0; 16] };
    refuse(&[probs, labels, groups, images], "images has shape [4, 4]");
    fs::write(dir.path().join("x.npz"), "PK").unwrap();
    assert!(fail(dir.path(), 1, &["report", "--predictions", "x.npz"]).contains("np.savez"));
    fs::write(dir.path().join("x.txt"), "").unwrap();
    assert!(fail(dir.path(), 1, &["report", "--predictions", "x.txt"]).contains("neither .npz nor .safetensors"));
    assert!(fail(dir.path(), 1, &["report", "--predictions", "none.npz"]).contains("none.npz"));
    let output = qbnn(dir.path(), &["report"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_build_without_png_says_so() {
    if cfg!(feature = "png") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    npz::write(&dir.path().join("x.npz"), &good());
    let error = fail(dir.path(), 1, &["report", "--predictions", "x.npz", "--png", "p"]);
    assert!(error.contains("--features png"), "{error}");
}

#[test]
fn a_sweep_has_a_page_from_its_spec_and_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let spec = "name = \"small\"\nseeds = [1, 2]\n[set]\ndata.name = \"strokes\"\ndata.train_limit = 500\n\
                data.group_limit = 60\nnetwork = \"mlp\"\ntrain.epochs = 1\neval.samples = 4\n[[question]]\nname = \"w\"\n\
                title = \"Widths\"\nask = \"?\"\nrows = [\"strategy\", \"bits\"]\n[question.grid]\n\
                strategy = [\"vpq\", \"jq\"]\nbits = [\"w4a4\", \"w2a4\"]\nquantize.epochs = [0]\n";
    fs::write(dir.path().join("s.toml"), spec).unwrap();
    assert!(fail(dir.path(), 1, &["report", "s.toml"]).contains("qbnn sweep s.toml"));
    succeed(dir.path(), &["sweep", "s.toml", "--quiet"]);
    let text = succeed(dir.path(), &["report", "s.toml", "--out", "s.html"]);
    assert!(text.contains("report: s.html"), "{text}");
    let html = fs::read_to_string(dir.path().join("s.html")).unwrap();
    for part in ["Sweep: small", "Widths: QAT epochs: 0", "vpq-w2a4", "up to 2 seeds", "Bytes against NLL", ">float<"] {
        assert!(html.contains(part), "{part}\n{html}");
    }
}
