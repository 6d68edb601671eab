//! What lies in a run folder belongs together, or is refused: settings, data, checkpoints, model files, figures.

use crate::common::{command, fail, json, qbnn, succeed, tiny};
use qbnn_bnn::{Checkpoint, ImagesView, QuantizeSettings, SigmaGrid, TrainData};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn edit(path: &Path, change: impl Fn(String) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "nothing changed in {}", path.display());
    fs::write(path, changed).unwrap();
}

/// Changes the `qbnn` header of a checkpoint.
fn edit_header(path: &Path, change: impl Fn(&mut Value)) {
    let bytes = fs::read(path).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    let mut own: Value = serde_json::from_str(header["__metadata__"]["qbnn"].as_str().unwrap()).unwrap();
    change(&mut own);
    header["__metadata__"]["qbnn"] = own.to_string().into();
    let mut text = header.to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    fs::write(path, [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &bytes[end..]].concat()).unwrap();
}

/// Makes a checkpoint one of version 1, which keeps neither data nor model file nor checksum.
fn as_version_1(path: &Path) {
    edit_header(path, |own| {
        own["version"] = 1.into();
        for key in ["origin", "model_file", "checksum"] {
            own.as_object_mut().unwrap().remove(key).unwrap();
        }
    });
}

fn copy_run(dir: &Path, from: &str, to: &str) {
    fs::create_dir(dir.join(to)).unwrap();
    for file in fs::read_dir(dir.join(from)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.join(to).join(file.file_name())).unwrap();
    }
}

#[test]
fn no_model_file_outlives_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--quiet"]));
    succeed(dir.path(), &tiny(&["train", "--out", "a", "--overwrite", "--seed", "2", "--quiet"]));
    assert!(!dir.path().join("a/jq-mu4s2w8a4.qbnn").exists());
    succeed(dir.path(), &["inspect", "a/float.qbnn"]);
    // While it is made anew there is none.
    let long = ["train", "--out", "a", "--overwrite", "--net", "mlp", "--epochs", "500", "--quiet"];
    let mut child = command(dir.path(), &long).spawn().unwrap();
    while !fs::read_to_string(dir.path().join("a/metrics.jsonl")).is_ok_and(|t| t.contains("\"epochs\":500")) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let there = dir.path().join("a/float.qbnn").exists();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!there);
}

#[test]
fn every_reader_refuses_a_model_file_of_another_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    for (name, seed) in [("a", "1"), ("b", "2")] {
        succeed(dir.path(), &tiny(&["run", "--out", name, "--seed", seed, "--quiet"]));
    }
    let own = fs::read(dir.path().join("a/jq-mu4s2w8a4.qbnn")).unwrap();
    let foreign = || fs::copy(dir.path().join("b/jq-mu4s2w8a4.qbnn"), dir.path().join("a/jq-mu4s2w8a4.qbnn")).unwrap();
    let readers: [&[&str]; 6] = [
        &["predict", "a/jq-mu4s2w8a4.qbnn", "none.png"],
        &["inspect", "a/jq-mu4s2w8a4.qbnn"],
        &["eval", "a", "--samples", "2"],
        &["eval", "a/jq-mu4s2w8a4.safetensors", "--samples", "2"],
        &["check", "a", "--samples", "2"],
        &["report", "a"],
    ];
    let refused = |why: &str| {
        for args in readers {
            let error = fail(dir.path(), 1, args);
            assert!(error.contains("a/jq-mu4s2w8a4.qbnn") && error.contains(why), "{args:?}: {error}");
            assert!(error.contains("`qbnn train --resume a`"), "{error}");
        }
    };
    foreign();
    refused("another model file");
    succeed(dir.path(), &["train", "--resume", "a", "--quiet"]);
    assert!(fs::read(dir.path().join("a/jq-mu4s2w8a4.qbnn")).unwrap() == own);
    succeed(dir.path(), &["inspect", "a/jq-mu4s2w8a4.qbnn"]);
    // A checkpoint of before does not know its file: it is exported again.
    as_version_1(&dir.path().join("a/jq-mu4s2w8a4.safetensors"));
    succeed(dir.path(), &["inspect", "a/jq-mu4s2w8a4.qbnn"]);
    succeed(dir.path(), &["check", "a", "--samples", "2"]);
    foreign();
    refused("is exported");
    // Without a checkpoint, or beside the tensors of another program, a model file stands for itself.
    fs::copy(dir.path().join("b/jq-mu4s2w8a4.qbnn"), dir.path().join("alone.qbnn")).unwrap();
    succeed(dir.path(), &["inspect", "alone.qbnn"]);
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    let bytes = safetensors::serialize([("x", tensor)], None).unwrap();
    fs::write(dir.path().join("alone.safetensors"), &bytes).unwrap();
    succeed(dir.path(), &["inspect", "alone.qbnn"]);
    fs::write(dir.path().join("alone.safetensors"), &bytes[..bytes.len() - 1]).unwrap();
    assert!(fail(dir.path(), 1, &["inspect", "alone.qbnn"]).contains("alone.safetensors"));
}

#[test]
fn an_interrupted_quantization_gets_its_model_file() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--net", "mlp", "--train-limit", "2000", "--epochs", "1", "--quiet", "--set", "data.group_limit=50"];
    let quantize = |run| ["quantize", run, "--qat-epochs", "6", "--quiet", "--set", "quantize.learning_rate=0.001"];
    for run in ["whole", "a"] {
        succeed(dir.path(), &[&["train", "--out", run, "--batch", "16"], &args[..]].concat());
    }
    succeed(dir.path(), &quantize("whole"));
    let a = dir.path().join("a");
    let mut child = command(dir.path(), &quantize("a")).stderr(Stdio::null()).spawn().unwrap();
    while !fs::read_to_string(a.join("metrics.jsonl")).is_ok_and(|t| t.contains("quantized")) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it ended before it was killed");
    // A model file beside an unfinished checkpoint is of an earlier one.
    fs::copy(dir.path().join("whole/jq-mu4s2w8a4.qbnn"), a.join("jq-mu4s2w8a4.qbnn")).unwrap();
    assert!(fail(dir.path(), 1, &["inspect", "a/jq-mu4s2w8a4.qbnn"]).contains("epochs"));
    succeed(dir.path(), &["train", "--resume", "a", "--quiet"]);
    for file in ["jq-mu4s2w8a4.qbnn", "jq-mu4s2w8a4.safetensors"] {
        assert!(fs::read(a.join(file)).unwrap() == fs::read(dir.path().join("whole").join(file)).unwrap(), "{file}");
    }
}

#[test]
fn settings_are_part_of_what_was_trained() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--seed", "3", "--quiet"]));
    let config = dir.path().join("a/config.toml");
    let whole = fs::read_to_string(&config).unwrap();
    let commands: [&[&str]; 5] = [
        &["train", "--resume", "a"],
        &["run", "--resume", "a"],
        &["eval", "a"],
        &["check", "a"],
        &["quantize", "a", "--bits", "3"],
    ];
    let refused = |commands: &[&[&str]], key: &str, found: &str, wanted: &str| {
        for args in commands {
            let error = fail(dir.path(), 1, args);
            for part in [key, found, wanted, "config.toml"] {
                assert!(error.contains(part), "{args:?}: {part} in {error}");
            }
        }
    };
    edit(&config, |t| t.replace("train_limit = 1000", "train_limit = 900"));
    refused(&commands, "data.train_limit", "900", "1000");
    fs::write(&config, whole.replace("group_limit = 100", "group_limit = 90")).unwrap();
    refused(&commands, "data.group_limit", "90", "100");
    fs::write(&config, whole.replace("seed = 3", "seed = 4")).unwrap();
    refused(&commands, "seed", "4", "3");
    fs::write(&config, whole.replace("batch = 128", "batch = 64")).unwrap();
    refused(&commands, "train.batch", "64", "128");
    fs::write(&config, "").unwrap();
    for args in commands {
        let error = fail(dir.path(), 1, args);
        assert!(error.contains("config.toml"), "{args:?}: {error}");
    }
    // What was typed counts.
    fs::write(&config, whole.replace("seed = 3", "seed = 4")).unwrap();
    succeed(dir.path(), &["eval", "a", "--seed", "5", "--samples", "2", "--update", "--quiet"]);
    assert_eq!(json(&dir.path().join("a/metrics.json"))["seed"], 5);
    fs::write(&config, &whole).unwrap();
    succeed(dir.path(), &["eval", "a", "--quiet"]);
    // Of a checkpoint of before the data cannot be compared; all else is.
    as_version_1(&dir.path().join("a/float.safetensors"));
    succeed(dir.path(), &["eval", "a/float.safetensors", "--samples", "2", "--out", "m.json", "--quiet"]);
    fs::write(&config, whole.replace("seed = 3", "seed = 4")).unwrap();
    refused(&[&["eval", "a"], &["train", "--resume", "a"]], "seed", "4", "3");
}

#[test]
fn other_data_under_the_same_settings_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["train", "--out", "a", "--quiet"]));
    // As if the files had changed since: the fingerprints are of other images. Settings and tensors stay.
    let path = dir.path().join("a/float.safetensors");
    let whole = fs::read(&path).unwrap();
    edit_header(&path, |own| own["origin"]["data"]["training"] = "0".repeat(64).into());
    let error = fail(dir.path(), 1, &["eval", "a"]);
    assert!(error.contains("checksum") && error.contains("float.safetensors"), "{error}");
    // One bit of a weight, too.
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&path, flipped).unwrap();
    assert!(fail(dir.path(), 1, &["quantize", "a"]).contains("checksum"));
}

/// Other settings, other groups or fewer models leave the run's own metrics alone, unless that is asked for.
#[test]
fn a_run_keeps_its_own_metrics() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--quiet"]));
    let metrics = || fs::read(dir.path().join("a/metrics.json")).unwrap();
    let own = metrics();
    for args in [
        &["eval", "a", "--samples", "2", "--quiet"][..],
        &["eval", "a", "--test", "shifted:turned=rotation@2", "--quiet"],
        &["eval", "a/float.safetensors", "--quiet"],
    ] {
        succeed(dir.path(), args);
        assert_eq!(metrics(), own, "{args:?}");
    }
    succeed(dir.path(), &["eval", "a", "--quiet"]);
    assert_eq!(json(&dir.path().join("a/metrics.json"))["models"].as_array().unwrap().len(), 2);
    succeed(dir.path(), &["eval", "a", "--samples", "2", "--update", "--quiet"]);
    assert_ne!(metrics(), own);
    let error = fail(dir.path(), 2, &["eval", "a", "--update", "--out", "m.json"]);
    assert!(error.contains("--out"), "{error}");
}

/// Calibrated alone and fine-tuned, networks of one width lie beside each other; a folder of before keeps its names.
#[test]
fn ptq_and_qat_have_names_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--quiet"]));
    let tuned = fs::read(at("a/jq-mu4s2w8a4.safetensors")).unwrap();
    succeed(dir.path(), &["quantize", "a", "--qat-epochs", "0", "--quiet"]);
    assert!(fs::read(at("a/jq-mu4s2w8a4.safetensors")).unwrap() == tuned && at("a/jq-mu4s2w8a4-ptq.qbnn").is_file());
    succeed(dir.path(), &["eval", "a", "--quiet"]);
    let names = || {
        let metrics = json(&at("a/metrics.json"));
        let of = |m: &Value| m["name"].as_str().unwrap().to_owned();
        metrics["models"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["float", "jq-mu4s2w8a4", "jq-mu4s2w8a4-ptq"]);
    // Before, both had the name of the width.
    for ending in ["safetensors", "qbnn"] {
        fs::rename(at(&format!("a/jq-mu4s2w8a4-ptq.{ending}")), at(&format!("a/jq-mu4s2w8a4.{ending}"))).unwrap();
    }
    succeed(dir.path(), &["eval", "a", "--quiet"]);
    assert_eq!(names(), ["float", "jq-mu4s2w8a4"]);
    let error = fail(dir.path(), 2, &["quantize", "a", "--qat-epochs", "0"]);
    assert!(error.contains("jq-mu4s2w8a4.safetensors exists"), "{error}");
}

#[test]
fn a_transposed_tensor_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["train", "--out", "a", "--quiet"]));
    let path = dir.path().join("a/float.safetensors");
    // A checkpoint of before has no checksum that would tell.
    as_version_1(&path);
    succeed(dir.path(), &["eval", "a", "--samples", "2", "--quiet"]);
    let whole = fs::read(&path).unwrap();
    let end = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&whole[8..end]).unwrap();
    let names =
        header.as_object().unwrap().iter().filter(|(_, v)| v["shape"].as_array().is_some_and(|s| !s.is_empty()));
    for (name, tensor) in names {
        let mut other = header.clone();
        let mut shape = tensor["shape"].as_array().unwrap().clone();
        match &shape[..] {
            [_] => shape.insert(0, 1.into()),
            _ => shape.reverse(),
        }
        if shape == *tensor["shape"].as_array().unwrap() {
            // A square one turned is only told by the checksum.
            shape.push(1.into());
        }
        other[name]["shape"] = shape.into();
        let text = other.to_string();
        fs::write(&path, [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &whole[end..]].concat()).unwrap();
        let error = fail(dir.path(), 1, &["eval", "a"]);
        assert!(error.contains(name.as_str()) && error.contains("wanted F32"), "{name}: {error}");
    }
}

#[test]
fn a_run_given_twice_or_copied_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    for (name, seed) in [("a", "1"), ("b", "2")] {
        succeed(dir.path(), &tiny(&["run", "--out", name, "--seed", seed, "--quiet"]));
    }
    copy_run(dir.path(), "a", "copy");
    // The copy is evaluated again, with other draws: its networks are the same.
    succeed(dir.path(), &["eval", "copy", "--samples", "3", "--seed", "9", "--update", "--quiet"]);
    copy_run(dir.path(), "b", "old");
    edit(&dir.path().join("old/metrics.json"), |t| {
        t.lines().filter(|l| !l.contains("\"identity\"")).map(|l| format!("{l}\n")).collect()
    });
    let page = |runs: &[&str]| {
        let output = qbnn(dir.path(), &[&["report"], runs, &["--out", "page.html", "--quiet"]].concat());
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        (fs::read_to_string(dir.path().join("page.html")).unwrap(), said)
    };
    let (two, said) = page(&["a", "b"]);
    assert!(said.is_empty() && two.contains("up to 2 seeds"), "{said}");
    for (twice, lines) in [(["a", "a"], 2), (["a", "copy"], 2), (["b", "old"], 2)] {
        let (one, said) = page(&twice);
        assert!(one.contains("up to 1 seed."), "{twice:?}");
        assert_eq!(said.lines().filter(|l| l.contains("counted once")).count(), lines, "{said}");
        assert!(one.contains("counted once"));
    }
}

#[test]
fn a_command_refuses_settings_that_it_cannot_use() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["train", "--out", "a", "--quiet"]));
    let cases: [(&[&str], &str); 7] = [
        (&["quantize", "a", "--set", "train.prior_sigma=0.5"], "train.prior_sigma"),
        (&["quantize", "a", "--set", "eval.samples=5"], "eval.samples"),
        (&["quantize", "a", "--set", "network.name=lenet5"], "network.name"),
        (&["quantize", "a", "--set", "name=x"], "name"),
        (&["eval", "a", "--set", "quantize.bits.mu=3"], "quantize.bits.mu"),
        (&["eval", "a", "--set", "train.epochs=3"], "train.epochs"),
        (&["check", "a", "--bootstrap", "5"], "eval.bootstrap"),
    ];
    for (args, key) in cases {
        let error = fail(dir.path(), 2, args);
        assert!(error.contains(key) && error.contains("not used by"), "{args:?}: {error}");
    }
    // A config file may say more, but nothing else than the checkpoint has.
    fs::write(dir.path().join("c.toml"), "[train]\nprior_sigma = 0.5\n[quantize]\nepochs = 0\n").unwrap();
    let error = fail(dir.path(), 2, &["quantize", "a", "--config", "c.toml"]);
    assert!(error.contains("train.prior_sigma is 0.5") && error.contains("1.0"), "{error}");
    fs::write(dir.path().join("c.toml"), "[train]\nprior_sigma = 1.0\n[quantize]\nepochs = 0\n").unwrap();
    succeed(dir.path(), &["quantize", "a", "--config", "c.toml", "--quiet"]);
}

#[test]
fn a_model_file_in_the_place_of_a_checkpoint_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["train", "--out", "a", "--quiet"]));
    for command in ["check", "quantize"] {
        let error = fail(dir.path(), 1, &[command, "a/float.qbnn"]);
        assert!(error.contains("a/float.safetensors") && error.contains("qbnn predict"), "{error}");
    }
    assert!(fail(dir.path(), 1, &["check", "none.qbnn"]).contains("run folder"));
}

#[test]
fn every_figure_says_what_computed_it() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["run", "--out", "a", "--quiet"]));
    succeed(dir.path(), &["quantize", "a", "--qat-epochs", "0", "--quiet", "--strategy", "vpq"]);
    // `quantize` refuses what has no model file; a checkpoint that the library makes may have none.
    let float = Checkpoint::load(&dir.path().join("a/float.safetensors")).unwrap();
    let settings = QuantizeSettings { sigma_grid: SigmaGrid::Uniform, epochs: 0, ..QuantizeSettings::default() };
    let name = settings.name();
    let pixels = vec![7; float.input.len()];
    let images = ImagesView { shape: float.input, pixels: &pixels };
    let data = TrainData::of_pairs(images, &[(0, 0)], images, &[0]);
    let simulated = Checkpoint::quantized(float, settings, &data).unwrap();
    simulated.save(&dir.path().join(format!("a/{name}.safetensors"))).unwrap();
    let table = succeed(dir.path(), &["eval", "a", "--quiet"]);
    assert!(table.contains("simulated") && table.contains("integer"), "{table}");
    let metrics = json(&dir.path().join("a/metrics.json"));
    let kind = |name: &str| {
        let models = metrics["models"].as_array().unwrap().iter();
        let model = models.clone().find(|m| m["name"] == name).unwrap();
        assert_eq!(model["identity"].as_str().unwrap().len(), 64);
        model["backend"]["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (kind("float"), kind("jq-mu4s2w8a4"), kind("vpq-w4a4-ptq")),
        ("float".into(), "integer".into(), "float".into())
    );
    assert_eq!(kind(&name), "simulated");
    let page = fs::read_to_string(dir.path().join("a/report.html")).unwrap();
    let card = fs::read_to_string(dir.path().join("a/card.md")).unwrap();
    for text in [page, card] {
        assert!(text.contains("simulated (") && text.contains("backend"), "{text}");
    }
    let both = succeed(dir.path(), &["eval", "a/float.safetensors", "--pfp", "--json", "--samples", "2", "--quiet"]);
    let both: Value = serde_json::from_str(&both).unwrap();
    assert_eq!(both["models"][1]["backend"]["kind"], "analytic");
}

#[test]
fn a_sweep_marks_simulations_and_derives_what_old_ledgers_lack() {
    let dir = tempfile::tempdir().unwrap();
    let spec = "name = \"t\"\nseeds = [1, 2]\n[set]\ndata.train_limit = 300\ndata.group_limit = 30\nnetwork = \"mlp\"\n\
                train.epochs = 1\neval.samples = 2\nquantize.epochs = 0\n[[question]]\nname = \"q\"\n\
                [question.grid]\nquantize.sigma_grid = [\"log\", \"uniform\"]\n";
    fs::write(dir.path().join("t.toml"), spec).unwrap();
    let table = succeed(dir.path(), &["sweep", "t.toml", "--out", "t", "--quiet"]);
    assert!(table.contains("uniform (simulated)") && table.contains("integer"), "{table}");
    let rows = fs::read_to_string(dir.path().join("t/results.jsonl")).unwrap();
    assert!(rows.contains("\"simulated\":true") && rows.contains("\"kind\":\"integer\""), "{rows}");
    // A ledger of before, and one in which a seed is another's copy.
    let ledger = dir.path().join("t/ledger.jsonl");
    let whole = fs::read_to_string(&ledger).unwrap();
    let old = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if let Some(done) = line["done"].as_object_mut() {
            assert!(done.remove("backend").is_some() && done.remove("identity").is_some());
        }
        format!("{line}\n")
    };
    fs::create_dir(dir.path().join("ledgers")).unwrap();
    let kept = dir.path().join("ledgers/t.jsonl");
    fs::write(&kept, whole.lines().map(old).collect::<String>()).unwrap();
    succeed(dir.path(), &["sweep", "t.toml", "--report", "page.md"]);
    let page = fs::read_to_string(dir.path().join("page.md")).unwrap();
    for part in ["| backend |", "integer, derived", "uniform (simulated)", "sigma_grid = uniform), derived"] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
    let lines: Vec<Value> = whole.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let first = lines.iter().find(|l| l["seed"] == 1 && l["model"] == "float").unwrap();
    let copied = lines.iter().map(|l| {
        let mut line = l.clone();
        if line["seed"] == 2 && line["model"] == "float" {
            line["done"] = first["done"].clone();
        }
        format!("{line}\n")
    });
    fs::write(&kept, copied.collect::<String>()).unwrap();
    succeed(dir.path(), &["sweep", "t.toml", "--report", "page.md"]);
    assert!(fs::read_to_string(dir.path().join("page.md")).unwrap().contains("counted once"));
    // The same result twice is one; with other figures it is refused.
    let last = whole.lines().last().unwrap();
    fs::write(&kept, format!("{whole}{last}\n")).unwrap();
    succeed(dir.path(), &["sweep", "t.toml", "--report", "page.md"]);
    let mut other: Value = serde_json::from_str(last).unwrap();
    other["done"]["metrics"]["accuracy"] = 0.123.into();
    fs::write(&kept, format!("{whole}{other}\n")).unwrap();
    assert!(fail(dir.path(), 1, &["sweep", "t.toml", "--report", "page.md"]).contains("differ"));
    assert!(fail(dir.path(), 2, &["sweep", "t.toml", "t.toml", "--report", "page.md"]).contains("twice"));
}

#[test]
fn sweeps_that_share_float_networks_do_not_undo_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let spec = "name = \"t\"\nseeds = [1, 2]\n[set]\ndata.train_limit = 600\ndata.group_limit = 30\nnetwork = \"mlp\"\n\
                train.epochs = 6\neval.samples = 2\nquantize.epochs = 0\n[[question]]\nname = \"q\"\n";
    fs::write(dir.path().join("t.toml"), spec).unwrap();
    let start = |out: &str| {
        let args = ["sweep", "t.toml", "--out", out, "--floats", "floats", "--quiet"];
        command(dir.path(), &args).stdout(Stdio::null()).spawn().unwrap()
    };
    let children = [start("a"), start("b"), start("c")];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let table = |out: &str| fs::read_to_string(dir.path().join(out).join("tables.md")).unwrap();
    assert_eq!(table("a"), table("b"));
    assert_eq!(table("a"), table("c"));
    // Two of one folder: one of them, or both after each other.
    let [mut first, mut second] = [start("d"), start("d")];
    assert!(first.wait().unwrap().success() | second.wait().unwrap().success());
    assert_eq!(table("a"), table("d"));
}
