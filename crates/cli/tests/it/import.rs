//! Posteriors of other programs at the command line: a run folder like any other, and refusals that help.

use crate::common::npz::{Array, floats, integers, write};
use crate::common::{fail, json, succeed};
use std::fs;
use std::path::{Path, PathBuf};

/// The network of every fixture.
const NETWORK: &str = "name = \"tiny\"\n[[layer]]\ntype = \"conv\"\nout = 2\nkernel = 3\n[[layer]]\ntype = \"relu\"\n\
                       [[layer]]\ntype = \"flatten\"\n[[layer]]\ntype = \"dense\"\nout = 3\n";

fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../data/tests/fixtures/posteriors", name].iter().collect();
    path.display().to_string()
}

fn bytes(name: &'static str, shape: &'static str, bytes: Vec<u8>) -> Array {
    Array { name, descr: "|u1", shape, bytes }
}

/// Images of 4 x 4 pixels in three classes, which are the row that is bright; and the network.
fn made(folder: &Path) {
    let pixel = |i: usize, at: usize| if at / 4 == i % 3 { 200 + (i * 7 + at) % 50 } else { (i * 13 + at * 29) % 90 };
    let images = |n: usize| (0..n * 16).map(|k| pixel(k / 16, k % 16) as u8).collect::<Vec<_>>();
    let labels = |n: i64| (0..n).map(|i| i % 3).collect::<Vec<_>>();
    let arrays = [
        bytes("x_train", "(180, 4, 4)", images(180)),
        integers("y_train", "(180,)", &labels(180)),
        bytes("x_test", "(30, 4, 4)", images(30)),
        integers("y_test", "(30,)", &labels(30)),
    ];
    write(&folder.join("rows.npz"), &arrays);
    fs::write(folder.join("tiny.toml"), NETWORK).unwrap();
}

/// Arguments of an import of a fixture.
fn import<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["import", file, "--net", "tiny.toml", "--data", "rows.npz", "--mean", "0.3", "--std", "0.25"];
    [&usual[..], more].concat()
}

#[test]
fn an_imported_posterior_is_a_run_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    made(at);
    let file = fixture("pyro_autonormal.pt");
    let text = succeed(at, &import(&file, &["--out", "runs/pyro"]));
    assert!(
        text.contains("softplus of AutoNormal.scales.conv.weight") && text.contains("qbnn quantize runs/pyro"),
        "{text}"
    );
    let run = at.join("runs/pyro");
    for name in ["config.toml", "float.safetensors", "float.qbnn", "import.json", "provenance.json"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let record = json(&run.join("import.json"));
    assert_eq!((&record["family"], &record["layers"][0]["source"]), (&"pyro".into(), &"conv".into()));
    succeed(at, &["eval", "runs/pyro", "--samples", "4", "--bootstrap", "10"]);
    succeed(at, &["quantize", "runs/pyro", "--qat-epochs", "1"]);
    succeed(at, &["quantize", "runs/pyro", "--strategy", "vpq", "--qat-epochs", "0"]);
    succeed(at, &["check", "runs/pyro", "--samples", "4"]);
    succeed(at, &["eval", "runs/pyro", "--samples", "4", "--bootstrap", "10", "--update"]);
    let models = json(&run.join("metrics.json"))["models"].as_array().unwrap().len();
    assert_eq!(models, 3);
    succeed(at, &["report", "runs/pyro"]);
    succeed(at, &["inspect", "runs/pyro/float.qbnn"]);
    // What was quantized goes on, and the float network is finished: nothing is trained.
    let before = fs::read(run.join("float.safetensors")).unwrap();
    succeed(at, &["train", "--resume", "runs/pyro"]);
    assert_eq!(fs::read(run.join("float.safetensors")).unwrap(), before);
    // The settings alone do not repeat it.
    let message = fail(at, 2, &["run", "--config", "runs/pyro/config.toml", "--out", "runs/again"]);
    assert!(message.contains("qbnn import"), "{message}");
    let message = fail(at, 2, &import(&file, &["--out", "runs/pyro"]));
    assert!(message.contains("--overwrite"), "{message}");
    succeed(at, &import(&file, &["--out", "runs/pyro", "--overwrite"]));
    let mut left = fs::read_dir(&run).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let old = left.find(|name| ["jq", "vpq", "metrics.json"].iter().any(|old| name.starts_with(old)));
    assert_eq!(old, None);
    assert_eq!(fs::read(run.join("float.safetensors")).unwrap(), before);
}

#[test]
fn every_library_gives_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    made(at);
    let all = fs::read_dir(Path::new(&fixture("tfp.npz")).parent().unwrap()).unwrap();
    let mut count = 0;
    for path in
        all.map(|e| e.unwrap().path()).filter(|p| ["pt", "ckpt", "npz"].iter().any(|e| p.extension().unwrap() == *e))
    {
        let file = path.display().to_string();
        let out = format!("runs/{}", path.file_stem().unwrap().to_str().unwrap());
        succeed(at, &import(&file, &["--out", &out]));
        assert!(at.join(&out).join("float.qbnn").is_file(), "{out}");
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn what_a_file_does_not_say_is_asked_for_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    made(at);
    let file = fixture("bayesian_torch.pt");
    let refused = |args: &[&str]| {
        let message = fail(at, 2, args);
        assert!(!at.join("runs").exists(), "{message}");
        message
    };
    let message = refused(&["import", &file, "--net", "tiny.toml", "--data", "rows.npz", "--out", "runs/a"]);
    assert!(message.contains("--mean 0 --std 1") && message.contains("the pixels of rows have mean"), "{message}");
    let message = refused(&["import", &file, "--net", "tiny.toml", "--out", "runs/a", "--mean", "0", "--std", "1"]);
    assert!(message.contains("--data"), "{message}");
    let message = refused(&["import", &file, "--data", "rows.npz", "--out", "runs/a", "--mean", "0", "--std", "1"]);
    assert!(message.contains("--net"), "{message}");
    let message =
        refused(&["import", &file, "--net", "tiny.toml", "--data", "rows.npz", "--out", "runs/a", "--mean", "0.3"]);
    assert!(message.contains("wanted both"), "{message}");
    // The file itself.
    let message = fail(
        at,
        1,
        &["import", &file, "--net", "mlp", "--data", "rows.npz", "--out", "runs/a", "--mean", "0", "--std", "1"],
    );
    assert!(message.contains("the file has conv [2, 1, 3, 3]") && message.contains("dense1 [100, 16]"), "{message}");
    let message = fail(at, 1, &import("tiny.toml", &["--out", "runs/a"]));
    assert!(message.contains("wanted a file of torch.save"), "{message}");
    let text = succeed(at, &import(&file, &["--out", "runs/a", "--dry-run"]));
    assert!(text.contains("nothing was written"), "{text}");
    assert!(!at.join("runs").exists());
}

#[test]
fn a_network_is_held_against_the_logits_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    made(at);
    let file = fixture("torchbnn.pt");
    // Not those of the source: a message tells how far they are.
    let wrong: Vec<f64> = (0..90).map(f64::from).collect();
    let images = (0..30 * 16).map(|k| (k * 37 % 256) as u8).collect();
    write(&at.join("wrong.npz"), &[bytes("images", "(30, 4, 4)", images), floats("logits", "(30, 3)", &wrong)]);
    let message = fail(at, 1, &import(&file, &["--out", "runs/a", "--check", "wrong.npz"]));
    assert!(message.contains("the network is not its source"), "{message}");
    assert!(!at.join("runs").exists());
    let text = succeed(at, &import(&file, &["--out", "runs/a", "--elbo", "--dry-run"]));
    assert!(text.contains("-ELBO/N") && text.contains("log-std"), "{text}");
}

#[test]
fn what_is_imported_goes_out_as_onnx_and_as_codes() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    made(at);
    succeed(at, &import(&fixture("torchbnn.pt"), &["--out", "runs/a"]));
    let text = succeed(at, &["export", "runs/a", "--out", "mean.onnx"]);
    assert!(text.contains("the network of the means of 47 parameters in mean.onnx"), "{text}");
    let text = succeed(at, &["export", "runs/a", "--to", "onnx", "--out", "draws.bin", "--draws", "4", "--seed", "2"]);
    assert!(text.contains("4 drawn networks"), "{text}");
    // A message of ONNX begins with its version.
    assert_eq!(fs::read(at.join("draws.bin")).unwrap()[..2], [8, 8]);
    let message = fail(at, 2, &["export", "runs/a", "--out", "a.npz", "--draws", "4"]);
    assert!(message.contains("--to onnx"), "{message}");
    let message = fail(at, 2, &["export", "runs/a", "--to", "codes", "--out", "codes.npz"]);
    assert!(message.contains("is a float model"), "{message}");
    succeed(at, &["quantize", "runs/a", "--qat-epochs", "0"]);
    let text = succeed(at, &["export", "runs/a", "--to", "codes", "--out", "codes.npz"]);
    assert!(text.contains("described in codes.json"), "{text}");
    let described = json(&at.join("codes.json"));
    assert_eq!((&described["kind"], &described["layers"][0]["arrays"]), (&"jq".into(), &"L0".into()));
    assert!(at.join("codes.npz").is_file());
}

#[test]
fn a_batch_normalisation_is_placed_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    made(at);
    let file = fixture("bayesian_torch_bn.pt");
    let text = succeed(at, &import(&file, &["--out", "runs/a", "--dry-run", "--bn", "0=1"]));
    assert!(text.contains("1 folded in") && !text.contains("right if it stands"), "{text}");
    assert!(text.contains("of each parameter"), "{text}");
    let text = succeed(at, &import(&file, &["--out", "runs/a", "--dry-run", "--bn-before", "5=1"]));
    assert!(text.contains("5.mu_weight, 1 folded in"), "{text}");
    let message = fail(at, 1, &import(&file, &["--out", "runs/a", "--bn", "7=1"]));
    assert!(message.contains("--bn 7=1: the file's layers are 0, 5"), "{message}");
    let message = fail(at, 2, &import(&file, &["--out", "runs/a", "--bn", "0"]));
    assert!(message.contains("LAYER=NORM"), "{message}");
    // The prior goes with what is multiplied, and training goes on against it.
    succeed(at, &import(&file, &["--out", "runs/a"]));
    succeed(at, &["quantize", "runs/a", "--qat-epochs", "1"]);
    succeed(at, &["eval", "runs/a", "--samples", "2", "--bootstrap", "0"]);
}
