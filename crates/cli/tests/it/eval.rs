//! `qbnn eval`: model files on their own, beside checkpoints, on data and groups of one's own.

use crate::common::{fail, json, succeed, tiny};
use qbnn_data::idx::{Idx, Storage, Values};
use serde_json::Value;
use std::fs;
use std::path::Path;

const JQ: &str = "jq-mu4s2w8a4";

/// Settings of the evaluation of [`tiny`] runs, where no config says them.
const SETTINGS: &[&str] = &["--seed", "5", "--samples", "4", "--bootstrap", "20", "--set", "data.group_limit=100"];

/// The models of what `eval` writes.
fn models(at: &Path, args: &[&str]) -> Vec<Value> {
    succeed(at, &[&["eval"], args, &["--out", "out.json", "--quiet"]].concat());
    let file = json(&at.join("out.json"));
    fs::remove_file(at.join("out.json")).unwrap();
    file["models"].as_array().unwrap().clone()
}

/// An entry without what tells a file from its checkpoint.
fn figures(entry: &Value) -> Value {
    let mut entry = entry.clone();
    let object = entry.as_object_mut().unwrap();
    for key in ["identity", "name", "by_samples"] {
        object.remove(key);
    }
    assert!(object["accuracy"].is_f64() && object["ci95"].is_object() && object["file_bytes"].is_u64(), "{entry}");
    entry
}

#[test]
fn a_model_file_alone_is_evaluated_as_its_checkpoint_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5", "--quiet"]));
    let own = fs::read(at.join("a/metrics.json")).unwrap();
    let of_run = json(&at.join("a/metrics.json"))["models"].clone();
    let file = format!("a/{JQ}.qbnn");

    // In a run folder, whose settings count.
    let found = models(at, &["a/float.qbnn", &file]);
    let names: Vec<_> = found.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["float", JQ]);
    assert_eq!(figures(&of_run[1]), figures(&found[1]));
    // A float file has its own scales: it is the same but for their rounding.
    for metric in ["accuracy", "nll", "brier"] {
        let [own, found] = [&of_run[0], &found[0]].map(|entry| entry[metric].as_f64().unwrap());
        assert!((own - found).abs() < 2e-3, "{metric}: {own} and {found}");
    }
    assert_eq!(found[1]["backend"]["kind"], "integer");
    // The float file is what the other is compared with.
    let text = succeed(at, &["eval", "a/float.qbnn", &file, "--json", "--quiet"]);
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&shown["differences"][0]["name"], &shown["differences"][0]["against"]), (&JQ.into(), &"float".into()));
    assert_eq!(shown["run_folder"], Value::Null);

    // Elsewhere it needs data, and gives the same figures on it.
    fs::copy(at.join(&file), at.join("device.qbnn")).unwrap();
    let error = fail(at, 2, &["eval", "device.qbnn"]);
    assert!(error.contains("--data") && error.contains("device.qbnn"), "{error}");
    let data = [&["device.qbnn", "--data", "strokes"], SETTINGS].concat();
    let alone = models(at, &data);
    assert_eq!(figures(&alone[0]), figures(&found[1]));
    assert_eq!(alone[0]["identity"], found[1]["identity"]);
    // Beside its checkpoint and under a name that is taken.
    let both = models(at, &[&[&format!("a/{JQ}.safetensors")[..], &file], &data[..]].concat());
    let names: Vec<_> = both.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, [JQ, &file, "device"]);
    assert!(both.iter().all(|m| m["accuracy"] == both[0]["accuracy"] && m["nll"] == both[0]["nll"]));

    // Groups of one's own, and an analytic pass.
    succeed(at, &["data", "export", "strokes", "--format", "npz", "--limit", "30", "--group", "clean", "mine.npz"]);
    succeed(at, &["data", "export", "strokes", "--format", "png", "--limit", "30", "--group", "ood", "drawings"]);
    let tests = ["--test", "ood:near=drawings", "--test", "shifted:mine=mine.npz", "--pfp"];
    let found = models(at, &[&data[..], &tests].concat());
    assert_eq!((found.len(), found[1]["name"].as_str()), (2, Some("device-pfp")));
    for entry in &found {
        let groups = entry["groups"].as_array().unwrap();
        let near = groups.iter().find(|g| g["name"] == "near").unwrap();
        assert!(near["inputs"] == 30 && near["metrics"]["auroc_epistemic_ood_vs_clean"].is_f64(), "{near}");
        let mine = groups.iter().find(|g| g["name"] == "mine").unwrap();
        assert!(mine["inputs"] == 30 && mine["metrics"]["accuracy"].is_f64(), "{mine}");
    }

    // Nothing of the run was written.
    assert_eq!(fs::read(at.join("a/metrics.json")).unwrap(), own);
    let error = fail(at, 2, &["eval", &file, "--update"]);
    assert!(error.contains("--update") && error.contains("run folder"), "{error}");
    assert!(fail(at, 2, &["eval", &file, &file]).contains("named twice"));
    assert!(fail(at, 2, &["eval", &file, "--out", &file]).contains("--out"));
    assert!(fail(at, 1, &["eval", "none.qbnn", "--data", "strokes"]).contains("none.qbnn"));
    assert_eq!(fs::read(at.join("a/metrics.json")).unwrap(), own);
}

/// Pictures of two classes, exported digits under other names.
fn classes(at: &Path, folder: &str, names: [&str; 2]) {
    for part in ["train", "val", "test"] {
        for (digit, name) in ["0", "1"].iter().zip(names) {
            let to = at.join(folder).join(part).join(name);
            fs::create_dir_all(&to).unwrap();
            for file in fs::read_dir(at.join("png").join(part).join(digit)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }
}

#[test]
fn classes_are_compared_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &["data", "export", "strokes", "--format", "png", "--limit", "300", "png"]);
    classes(at, "own", ["ring", "stick"]);
    classes(at, "other", ["ring", "staff"]);
    succeed(at, &tiny(&["run", "--data", "own", "--batch", "16", "--out", "a", "--quiet"]));
    let file = format!("a/{JQ}.qbnn");
    // Pages, cards and class sets call them by their names.
    let page = fs::read_to_string(at.join("a/report.html")).unwrap();
    assert!(page.contains("<td>ring</td>") && page.contains("<td>stick</td>"), "no names in the confusion table");
    assert!(fs::read_to_string(at.join("a/card.md")).unwrap().contains("classes: ring, stick"));
    succeed(at, &["calibrate", &file, "--alpha", "0.2", "--quiet"]);
    let text = succeed(at, &["predict", &file, "png/test/0", "png/test/1"]);
    assert!(text.contains("{ring") || text.contains("{stick") || text.contains(", stick}"), "{text}");
    fs::copy(at.join(&file), at.join("device.qbnn")).unwrap();
    fs::write(at.join("pair.ensemble.toml"), format!("models = [\"a/float.qbnn\", {file:?}]\n")).unwrap();
    succeed(at, &["eval", "device.qbnn", "--data", "own", "--samples", "2", "--bootstrap", "0", "--quiet"]);
    for model in ["device.qbnn", "a/float.safetensors", &file, "pair.ensemble.toml"] {
        let error = fail(at, 1, &["eval", model, "--data", "other", "--samples", "2", "--bootstrap", "0"]);
        assert!(error.contains("class 1 of the model is `stick`, of other `staff`"), "{model}: {error}");
    }
    // Members that know other classes are no ensemble.
    succeed(at, &tiny(&["run", "--data", "other", "--batch", "16", "--out", "b", "--quiet"]));
    fs::write(at.join("mixed.ensemble.toml"), format!("models = [{file:?}, \"b/{JQ}.qbnn\"]\n")).unwrap();
    let error = fail(at, 1, &["predict", "mixed.ensemble.toml", "png/test/0"]);
    assert!(error.contains("calls a class `staff`") && error.contains("`stick`"), "{error}");
}

/// Changes of the clean images: each a group, their mean a row, and calibrated metrics for all that have labels.
#[test]
fn shifts_are_groups_and_calibration_is_measured_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5", "--quiet"]));
    let own = fs::read(at.join("a/metrics.json")).unwrap();
    let shifts = ["a", "--shifts=noise,blur", "--set", "eval.severities=[1,5]", "--set", "eval.shift_images=30"];
    let text = succeed(at, &[&["eval"], &shifts[..], &["--out", "shifted.json"]].concat());
    assert!(text.contains("\taccuracy % shifts@mean\t") && !text.contains("accuracy % noise-5"), "{text}");
    assert!(text.contains("calibrated on 100 validation images"), "{text}");
    let figure = |line: &str| line.split('\t').nth(2).unwrap().parse::<f64>().unwrap();
    let lines = |what: &str| text.lines().filter(|l| l.contains(what)).map(figure).collect::<Vec<_>>();
    // The mean of the shifts is a row of its own beside that of the clean images.
    assert_eq!((lines("\tcoverage LAC %\t").len(), lines("\tcoverage LAC % shifts@mean\t").len()), (2, 2), "{text}");
    assert!(lines("\ttemperature").iter().all(|t| *t > 0.0) && lines("\ttemperature").len() == 2);
    let models = json(&at.join("shifted.json"))["models"].clone();
    for entry in models.as_array().unwrap() {
        let calibrator = &entry["calibrator"];
        assert_eq!((&calibrator["inputs"], &calibrator["alpha"]), (&100.into(), &0.1.into()));
        assert_eq!(calibrator["rules"].as_array().unwrap().len(), 3);
        let groups = entry["groups"].as_array().unwrap();
        for name in ["noise-1", "noise-5", "blur-1", "blur-5"] {
            let group = groups.iter().find(|g| g["name"] == name).unwrap();
            assert_eq!(
                (group["inputs"].as_u64(), &group["shift"]["severity"]),
                (Some(30), &name[name.len() - 1..].parse::<u64>().unwrap().into())
            );
            for metric in
                ["accuracy", "nll_at_temperature", "ece_at_temperature", "coverage_lac", "set_size_aps_randomised"]
            {
                assert!(group["metrics"][metric].is_f64() && group["ci95"][metric].is_array(), "{name}: {metric}");
            }
        }
        assert!(groups.iter().any(|g| g["name"] == "shifts@mean") && groups.iter().any(|g| g["name"] == "blur@mean"));
        for metric in ["coverage_lac", "coverage_aps", "coverage_aps_randomised"] {
            let coverage = entry[metric].as_f64().unwrap();
            assert!((0.7..=1.0).contains(&coverage), "{metric}: {coverage}");
        }
    }
    assert_eq!(fs::read(at.join("a/metrics.json")).unwrap(), own);
    assert!(fs::read_to_string(at.join("a/report.html")).unwrap().contains("What is calibration worth?"));
    assert!(fail(at, 2, &["eval", "a", "--shifts=turning"]).contains("`turning` is no shift"));
}

/// Validation images that are drawn, and letters: made-up files of the sets, in a folder of data.
#[test]
fn validation_images_are_drawn_and_letters_are_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let write = |set: &str, name: &str, dims: &[usize], value: &dyn Fn(usize) -> u8| {
        fs::create_dir_all(at.join("data").join(set)).unwrap();
        let values = (0..dims.iter().product()).map(value).collect();
        let idx = Idx::new(dims.to_vec(), Values::U8(values)).unwrap();
        idx.write(&at.join("data").join(set).join(name), Storage::Plain).unwrap();
    };
    // A column of light for each digit.
    let image = |i: usize| if i % 8 == i / 64 % 10 % 8 { 250 } else { (i % 7) as u8 };
    for (set, train, test) in [("mnist", 5200, 60), ("fashion-mnist", 60, 60)] {
        for (half, n) in [("train", train), ("t10k", test)] {
            write(set, &format!("{half}-images-idx3-ubyte"), &[n, 8, 8], &image);
            write(set, &format!("{half}-labels-idx1-ubyte"), &[n], &|i| (i % 10) as u8);
        }
    }
    for half in ["train", "t10k"] {
        write("ambiguous-mnist", &format!("{half}-images-idx3-ubyte"), &[20, 8, 8], &image);
        write("ambiguous-mnist", &format!("{half}-labels-idx2-ubyte"), &[20, 10], &|i| (i / 10 % 10) as u8);
        let soft = (0..200).map(|i| f32::from(u8::from(i % 10 == i / 10 % 10))).collect();
        let idx = Idx::new(vec![20, 10], Values::F32(soft)).unwrap();
        idx.write(&at.join(format!("data/ambiguous-mnist/{half}-probs-idx2-float")), Storage::Plain).unwrap();
    }
    write("emnist-letters", "emnist-letters-test-images-idx3-ubyte", &[30, 8, 8], &|i| (i % 251) as u8);
    let dirty = |out: &str, more: &[&str]| {
        let args = ["run", "--data", "dirty-mnist", "--data-dir", "data", "--out", out, "--json"];
        let shown: Value = serde_json::from_str(&succeed(at, &tiny(&[&args, more].concat()))).unwrap();
        shown
    };
    let (last, drawn) = (dirty("last", &[]), dirty("drawn", &["--set", "data.split=3"]));
    for shown in [&last, &drawn] {
        let letters = shown["models"][1]["groups"].as_array().unwrap().iter().find(|g| g["name"] == "letters").unwrap();
        assert!(letters["inputs"] == 30 && letters["metrics"]["auroc_epistemic_ood_vs_clean"].is_f64(), "{letters}");
        let note = shown["note"].as_str().unwrap();
        assert!(
            note.contains("letters (EMNIST Letters): no checksum") && note.contains("kmnist is left out"),
            "{note}"
        );
    }
    assert!(drawn["note"].as_str().unwrap().contains("data.split = 3"));
    assert!(last["models"][0]["nll"] != drawn["models"][0]["nll"]);
    // A run of other validation images is another run.
    let error = fail(at, 2, &["quantize", "drawn", "--bits", "3", "--set", "data.split=4"]);
    assert!(error.contains("settings of [data]"), "{error}");
    succeed(at, &["quantize", "drawn", "--bits", "3", "--qat-epochs", "0", "--quiet"]);
    let error = fail(at, 2, &tiny(&["run", "--data", "strokes", "--out", "none", "--set", "data.split=1"]));
    assert!(error.contains("split") && error.contains("drawn"), "{error}");
    let listed = succeed(at, &["data", "list", "--data-dir", "data"]);
    assert!(listed.contains("emnist-letters") && listed.contains("no checksum of its file is known"), "{listed}");
    let error = fail(at, 1, &["data", "fetch", "emnist-letters", "--data-dir", "other"]);
    assert!(error.contains("no mirror has emnist-letters") && error.contains("nist.gov"), "{error}");
}
