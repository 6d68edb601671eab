//! Data of one's own: the same images in four formats are one experiment, further test groups, and what is refused.

use crate::common::{TINY, fail, json, succeed};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The formats with what `data export` writes for each.
const FORMATS: [(&str, &str); 4] = [("png", "png"), ("npz", "own.npz"), ("idx", "idx"), ("csv", "csv")];

/// Writes strokes in every format, and two of its groups.
fn exported(folder: &Path) {
    for (format, out) in FORMATS {
        let args = ["data", "export", "strokes", "--format", format, "--limit", "300", out];
        assert!(succeed(folder, &args).contains("300 training, 300 validation, 300 test"));
    }
    succeed(folder, &["data", "export", "strokes", "--format", "png", "--limit", "60", "--group", "ood", "drawings"]);
    let ambiguous =
        ["data", "export", "strokes", "--format", "npz", "--limit", "60", "--group", "ambiguous", "soft.npz"];
    succeed(folder, &ambiguous);
}

fn run<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["run"];
    all.extend(TINY);
    all.extend(args);
    all
}

#[test]
fn the_same_images_in_four_formats_are_one_experiment() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    exported(at);
    let mut first = None;
    for (format, data) in FORMATS {
        let out = format!("runs/{format}");
        let tests = ["--test", "ood:drawings=drawings", "--test", "ambiguous:soft=soft.npz"];
        succeed(at, &run(&[&["--data", data, "--set", "data.name=own", "--out", &out][..], &tests].concat()));
        let run = at.join(&out);
        let metrics = json(&run.join("metrics.json"));
        assert_eq!(metrics["models"].as_array().unwrap().len(), 2);
        assert!(fs::read_to_string(run.join("report.html")).unwrap().contains("drawings"));
        assert!(run.join("jq-mu4s2w8a4.qbnn").is_file());
        match &first {
            None => first = Some(metrics),
            Some(first) => assert!(*first == metrics, "{format}: other figures"),
        }
    }
    // A run goes on, is quantized and evaluated from elsewhere: paths are stored as absolute ones.
    fs::create_dir(at.join("elsewhere")).unwrap();
    let elsewhere = at.join("elsewhere");
    succeed(&elsewhere, &["quantize", "../runs/npz", "--bits", "3", "--qat-epochs", "0"]);
    let text = succeed(&elsewhere, &["eval", "../runs/npz", "--test", "shifted:again=../idx", "--out", "more.json"]);
    assert!(text.contains("more.json"), "{text}");
    let groups = json(&elsewhere.join("more.json")).to_string();
    assert!(groups.contains("\"again\""), "the group is not there");
    succeed(&elsewhere, &["run", "--resume", "../runs/csv"]);
    // Other data under the same path is noticed.
    fs::copy(at.join("csv/train.csv"), at.join("kept.csv")).unwrap();
    let text = fs::read_to_string(at.join("csv/train.csv")).unwrap();
    fs::write(at.join("csv/train.csv"), text.replacen(",0,", ",1,", 1)).unwrap();
    let error = fail(at, 1, &["quantize", "runs/csv", "--bits", "3"]);
    assert!(error.contains("training images of own have fingerprint"), "{error}");
}

#[test]
fn inspect_says_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    exported(at);
    let mut first: Option<Value> = None;
    for (format, data) in FORMATS {
        let text = succeed(at, &["data", "inspect", data, "--json", "--test", "ood=drawings"]);
        let mut seen: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&seen["rows"], &seen["channels"], &seen["note"]),
            (&28.into(), &1.into(), &Value::Null),
            "{format}"
        );
        assert_eq!(seen["parts"][0]["images"], 300);
        assert_eq!(seen["parts"][3]["role"], "ood");
        seen["kind"] = Value::Null;
        seen["name"] = Value::Null;
        assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{format}");
    }
    // Without parts for validation and tests, and with a test group that is trained on.
    let text = succeed(at, &["data", "inspect", "idx/train-images-idx3-ubyte", "--test", "shifted=png/train"]);
    assert!(text.contains("validation and test images are one in ten of each class") && text.contains("IDX"), "{text}");
    assert!(text.contains("trained on too, byte for byte"), "{text}");
    let text = succeed(at, &["data", "inspect", "strokes"]);
    assert!(text.contains("built-in") && text.contains("10 classes"), "{text}");
    let text = succeed(at, &["data", "inspect", "png", "--resize", "20x24", "--set", "data.channels=3"]);
    assert!(text.contains("20 x 24 in colour") && text.contains("scaled to 20 x 24"), "{text}");
}

#[test]
fn a_config_names_arrays_and_groups() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    exported(at);
    let config = "[data]\npath = \"own.npz\"\nname = \"pens\"\ntest = [\"ood:pens.ood=drawings\"]\n\
                  [data.arrays]\nx_val = \"x_test\"\ny_val = \"y_test\"\nx_test = \"x_val\"\ny_test = \"y_val\"\n";
    fs::write(at.join("own.toml"), config).unwrap();
    succeed(at, &run(&["--config", "own.toml", "--out", "run"]));
    let metrics = json(&at.join("run/metrics.json"));
    assert_eq!(metrics["dataset"], "pens");
    let stored = fs::read_to_string(at.join("run/config.toml")).unwrap();
    let path = at.canonicalize().unwrap().join("own.npz");
    assert!(
        stored.contains(&format!("path = \"{}\"", path.display())) && stored.contains("x_val = \"x_test\""),
        "{stored}"
    );
    // Data on the command line takes the place of that of the config.
    let text = succeed(at, &["config", "--config", "own.toml", "--data", "strokes"]);
    assert!(!text.contains("own.npz") && !text.contains("pens") && text.contains("name = \"strokes\""), "{text}");
    let text = succeed(at, &["config", "--config", "own.toml", "--data", "csv", "--test", "ood=drawings"]);
    assert!(text.contains("name = \"csv\"") && text.contains("ood:ood="), "{text}");
}

#[test]
fn what_is_no_data_is_refused_on_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    exported(at);
    let refused = |code: i32, args: &[&str], said: &str| {
        let error = fail(at, code, &run(args));
        assert!(error.contains(said), "{args:?}: {error}");
    };
    refused(1, &["--data", "./none"], "none");
    refused(2, &["--data", "pgn"], "unknown set `pgn`");
    refused(1, &["--data", "/dev/null"], "no plain file");
    fs::write(at.join("page.html"), "<!DOCTYPE html>").unwrap();
    refused(1, &["--data", "page.html"], "HTML");
    refused(2, &["--data", "png", "--test", "near=drawings"], "ROLE:NAME=PATH");
    refused(1, &["--data", "png", "--test", "ood:a b=drawings"], "no usable name");
    refused(1, &["--data", "png", "--test", "clean=idx"], "is there already");
    refused(1, &["--data", "png", "--test", "ambiguous=idx"], "soft labels");
    refused(2, &["--data", "png", "--test", "ood=missing"], "neither a path that exists nor a set");
    refused(2, &["--data", "png", "--resize", "0x3"], "data.resize");
    refused(2, &["--data", "png", "--resize", "3"], "such as 28x28");
    refused(2, &["--data", "png", "--set", "data.channels=2"], "data.channels");
    refused(2, &["--data", "strokes", "--test", "ood:x=drawings", "--resize", "20x20"], "data.resize");
    // Pictures of another size, a class without pictures, a label that training does not have.
    let picture = fs::read_dir(at.join("png/train/3")).unwrap().next().unwrap().unwrap().path();
    succeed(at, &["data", "export", "strokes", "--format", "png", "--limit", "60", "large"]);
    fs::create_dir(at.join("large/test/none")).unwrap();
    refused(1, &["--data", "large"], "has a folder none");
    fs::remove_dir(at.join("large/test/none")).unwrap();
    fs::create_dir(at.join("large/train/empty")).unwrap();
    refused(1, &["--data", "large"], "large/train/empty");
    fs::remove_dir(at.join("large/train/empty")).unwrap();
    let small = qbnn_data::Images { height: 3, width: 5, channels: 1, pixels: vec![7; 15] };
    small.write_png(0, &at.join("large/train/3/x.png")).unwrap();
    refused(1, &["--data", "large"], "data.resize");
    succeed(at, &["data", "inspect", "large", "--resize", "28x28"]);
    fs::copy(picture, at.join("large/train/3/x.png")).unwrap();
    let csv = fs::read_to_string(at.join("csv/test.csv")).unwrap();
    fs::write(at.join("csv/test.csv"), csv.replacen("\n0,", "\nten,", 1)).unwrap();
    refused(1, &["--data", "csv"], "label \"ten\", which no training image has");
    fs::write(at.join("csv/test.csv"), "0,1,2,3\n").unwrap();
    refused(1, &["--data", "csv"], "data.shape");
    assert!(!at.join("runs").exists());
    let error = fail(at, 1, &["data", "export", "strokes", "--format", "csv", "csv"]);
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn classes_keep_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &["data", "export", "strokes", "--format", "png", "--limit", "300", "png"]);
    for part in ["train", "val", "test"] {
        for class in 0..10 {
            let folder = at.join("png").join(part);
            fs::rename(folder.join(class.to_string()), folder.join(format!("kind {class}"))).unwrap();
        }
    }
    succeed(at, &run(&["--data", "png", "--out", "run"]));
    let answer = |more: &[&str]| {
        let args = ["predict", "run/jq-mu4s2w8a4.qbnn", "png/test/kind 3", "--samples", "2"];
        succeed(at, &[&args[..], more].concat())
    };
    for line in answer(&["--json"]).lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!(answer["class_name"], format!("kind {}", answer["class"]));
    }
    assert!(answer(&[]).lines().last().unwrap().contains(".png: kind "));
    assert!(answer(&["--format", "csv"]).starts_with("file,image,class,class_name,"));
    // The model file holds the names itself.
    fs::remove_file(at.join("run/classes.json")).unwrap();
    assert!(answer(&["--format", "csv"]).contains(",kind "));
    // A run in its place has names of its own, or none.
    succeed(at, &["data", "export", "strokes", "--format", "csv", "--limit", "300", "csv"]);
    succeed(at, &run(&["--data", "csv", "--out", "run", "--overwrite"]));
    assert!(!at.join("run/classes.json").exists());
}
