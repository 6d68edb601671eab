//! `qbnn calibrate`, then `qbnn predict`: decisions lie in the model file, change nothing else, and are those of the reader
//! that follows docs/file-format.md.

use crate::common::{fail, qbnn, succeed, tiny};
use qbnn_data::idx::{Idx, Storage, Values};
use qbnn_data::{Limits, Locations, load};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const MODEL: &str = "a/jq-mu4s2w8a4.qbnn";
const DRAWS: [&str; 4] = ["--samples", "4", "--seed", "7"];

/// A run, and ten clean images with their labels.
fn prepare(at: &Path) -> Vec<u8> {
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5"]));
    let group = load("strokes", &Locations::default(), 3, Limits::default()).unwrap().groups.remove(0);
    let pixels = group.images.pixels[..10 * 784].to_vec();
    let idx = Idx::new(vec![10, 28, 28], Values::U8(pixels.clone())).unwrap();
    idx.write(&at.join("ten.idx"), Storage::Plain).unwrap();
    let labels: Vec<String> = group.labels.unwrap()[..10].iter().map(ToString::to_string).collect();
    fs::write(at.join("labels.txt"), labels.join("\n")).unwrap();
    pixels
}

fn columns(csv: &str) -> Vec<Vec<String>> {
    csv.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn decisions_lie_in_the_file_and_change_no_prediction() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let pixels = prepare(at);
    let plain = fs::read(at.join(MODEL)).unwrap();
    let predict =
        |more: &[&str]| succeed(at, &[&["predict", MODEL, "ten.idx", "--format", "csv"], &DRAWS[..], more].concat());
    let before = columns(&predict(&[]));

    let text = succeed(at, &[&["calibrate", MODEL, "--json"], &DRAWS[..]].concat());
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&found["part"], &found["samples"], &found["seed"]), (&"validation".into(), &4.into(), &7.into()));
    assert_eq!(found["rule"]["images"], 100);
    assert!(found["nll_at_temperature"].as_f64().unwrap() <= found["nll"].as_f64().unwrap());
    let fared = &found["fared"];
    assert!(
        fared["sets"]["coverage"].as_f64().unwrap() >= 0.9 && fared["answered"]["coverage"].as_f64().unwrap() >= 0.95
    );
    assert!(fared["ood"].as_f64().unwrap() <= 0.05);
    assert_ne!(fs::read(at.join(MODEL)).unwrap(), plain);

    // The same predictions, with decisions beside them.
    let after = columns(&predict(&[]));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before[2], &before[4..]), (&after[2], &after[7..]));
    }
    fs::write(at.join("pixels"), pixels).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/reader/qbnn_reader.py");
    if let Ok(output) = Command::new("python3").args([script, "decide", MODEL, "pixels"]).current_dir(at).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let flag = |text: &String| if text == "true" { "1" } else { "0" };
        let ours =
            after.iter().map(|row| format!("{} {} {}", flag(&row[3]), flag(&row[4]), row[5]).trim_end().to_owned());
        let wanted = String::from_utf8(output.stdout).unwrap();
        assert_eq!(ours.collect::<Vec<_>>(), wanted.lines().collect::<Vec<_>>());
    } else {
        println!("LEFT OUT: decisions of the independent reader (python3 is not there)");
    }

    // Everything that knows the file by its checkpoint still does.
    succeed(at, &["check", "a", "--quiet"]);
    succeed(at, &["eval", "a", "--samples", "2", "--bootstrap", "0", "--out", "m.json", "--quiet"]);
    succeed(at, &["train", "--resume", "a", "--quiet"]);
    let summary: Value = serde_json::from_str(&succeed(at, &["inspect", MODEL, "--json"])).unwrap();
    let section = &summary["section"]["decisions"];
    assert_eq!((&section["data"], &section["seed"], &section["alpha"]), (&"strokes".into(), &7.into(), &0.1.into()));
    assert!(succeed(at, &["inspect", MODEL]).contains("decides, by 100 images of strokes, 4 draws, seed 7"));

    // Other draws than those that were measured are told, another kind of pass has no decisions.
    let warned = |args: &[&str], wanted: &str| {
        let output = qbnn(at, &[&["predict", MODEL, "ten.idx", "--format", "csv"], args].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && text.contains(wanted), "{text}");
        String::from_utf8(output.stdout).unwrap()
    };
    warned(&["--samples", "5"], "measured with 4 draws of seed 7, these are 5 of seed 0");
    let pass = warned(&["--pfp"], "no decisions: those of the file were measured on draws");
    assert!(!pass.contains("ood"));

    // Labels.
    let text = succeed(at, &[&["predict", MODEL, "ten.idx", "--json", "--labels", "labels.txt"], &DRAWS[..]].concat());
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["summary"]["images"], 10);
    assert!(last["summary"]["sets"]["coverage"].is_number());
    fs::write(at.join("nine.txt"), "1\n".repeat(9)).unwrap();
    let output = qbnn(at, &["predict", MODEL, "ten.idx", "--labels", "nine.txt"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("9 labels"));

    // Every draw, for other programs: their mean is what is answered.
    succeed(
        at,
        &[&["predict", MODEL, "ten.idx", "--save", "draws.npz", "--labels", "labels.txt"], &DRAWS[..]].concat(),
    );
    let names = ["probs", "logits", "labels", "total", "aleatoric", "epistemic", "energy", "logit_disagreement"];
    let kept = qbnn_data::npy::read_npz(&fs::read(at.join("draws.npz")).unwrap(), &names).unwrap().arrays;
    // Of each image what the draws say of it: the uncertainties that are answered, and scores of the logits.
    let numbers = |name: &str| match &kept[name].values {
        qbnn_data::npy::Values::Float(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    for (i, name) in ["total", "aleatoric", "epistemic"].into_iter().enumerate() {
        for (row, value) in after.iter().zip(numbers(name)) {
            assert!((row[7 + i].parse::<f64>().unwrap() - value).abs() < 1e-3, "{name}");
        }
    }
    let logits = numbers("logits");
    for (image, (energy, disagreement)) in numbers("energy").into_iter().zip(numbers("logit_disagreement")).enumerate()
    {
        let row = |s: usize| &logits[(s * 10 + image) * 10..][..10];
        let wanted = (0..4).map(|s| -row(s).iter().map(|l| l.exp()).sum::<f64>().ln()).sum::<f64>() / 4.0;
        assert!((energy - wanted).abs() < 1e-4, "{energy}, {wanted}");
        let variance = |c: usize| {
            let mean = (0..4).map(|s| row(s)[c]).sum::<f64>() / 4.0;
            (0..4).map(|s| (row(s)[c] - mean).powi(2)).sum::<f64>() / 4.0
        };
        let wanted = (0..10).map(variance).sum::<f64>() / 10.0;
        assert!((disagreement - wanted).abs() < 1e-3, "{disagreement}, {wanted}");
    }
    assert_eq!((&kept["probs"].shape, &kept["logits"].shape), (&vec![4, 10, 10], &vec![4, 10, 10]));
    let qbnn_data::npy::Values::Float(probs) = &kept["probs"].values else { panic!("{:?}", kept["probs"]) };
    for (image, row) in after.iter().enumerate() {
        for class in 0..10 {
            let mean = (0..4).map(|s| probs[(s * 10 + image) * 10 + class]).sum::<f64>() / 4.0;
            assert!((mean - row[10 + class].parse::<f64>().unwrap()).abs() < 2e-6, "{image}, {class}");
        }
    }
    let line = fail(at, 2, &["predict", MODEL, "ten.idx", "--save", MODEL]);
    assert!(line.contains("--save"), "{line}");
    succeed(at, &["report", "--predictions", "draws.npz", "--out", "draws.html"]);

    // Randomised sets are those of the other reader too, and the same wherever an image stands.
    succeed(at, &[&["calibrate", MODEL, "--conformal", "aps-randomised", "--quiet"], &DRAWS[..]].concat());
    let sets: Vec<_> = columns(&predict(&[])).into_iter().map(|row| row[5].clone()).collect();
    if let Ok(output) = Command::new("python3").args([script, "decide", MODEL, "pixels"]).current_dir(at).output() {
        let text = String::from_utf8(output.stdout).unwrap();
        let theirs: Vec<_> = text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or("").to_owned()).collect();
        assert_eq!(sets, theirs);
    }
    assert!(succeed(at, &["inspect", MODEL]).contains("aps-randomised"));

    // Taken out, the file is what it was.
    succeed(at, &["calibrate", MODEL, "--remove"]);
    assert_eq!(fs::read(at.join(MODEL)).unwrap(), plain);
}

#[test]
fn what_cannot_be_measured_is_refused_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    prepare(at);
    let plain = fs::read(at.join(MODEL)).unwrap();
    let refused = |args: &[&str], wanted: &str| {
        let code = if wanted.contains("least here") { 1 } else { 2 };
        let line = fail(at, code, &[&["calibrate", MODEL, "--quiet"], args].concat());
        assert!(line.contains(wanted), "{line}");
        assert_eq!(fs::read(at.join(MODEL)).unwrap(), plain);
    };
    refused(&["--alpha", "0.001"], "--alpha = 0.001000: it needs 999 images, 100 were found");
    refused(&["--coverage", "1.5"], "--coverage = 1.5");
    refused(&["--false-alarms", "0"], "--false-alarms = 0");
    refused(&["--samples", "1"], "one draw has no epistemic uncertainty");
    refused(&["--error", "0.000001"], "least here");
    let line = fail(at, 2, &["calibrate", MODEL, "--error", "0.1", "--coverage", "0.9"]);
    assert!(line.contains("--coverage"), "{line}");
    fs::create_dir(at.join("b")).unwrap();
    fs::copy(at.join(MODEL), at.join("b/jq-mu4s2w8a4.qbnn")).unwrap();
    let line = fail(at, 2, &["calibrate", "b"]);
    assert!(line.contains("--data"), "{line}");
    // An analytic pass, elsewhere.
    succeed(
        at,
        &["calibrate", MODEL, "--pfp", "--conformal", "aps", "--error", "0.9", "--out", "pass.qbnn", "--quiet"],
    );
    assert_eq!(fs::read(at.join(MODEL)).unwrap(), plain);
    let text = succeed(at, &["predict", "pass.qbnn", "ten.idx", "--pfp", "--format", "csv"]);
    assert!(text.starts_with("file,image,class,abstained,ood,set,"), "{text}");
}
