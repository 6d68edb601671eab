//! Bad input: each case one line that names the file or key and the fix, and the right exit code.

use crate::common::{command, fail, succeed, tiny};
use std::fs;

#[test]
fn misspelt_keys_are_refused_with_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.toml"), "seed = 1\n[train]\nlerning_rate = 0.1\n").unwrap();
    let error = fail(dir.path(), 2, &["run", "--config", "c.toml"]);
    assert!(error.contains("c.toml, line 3") && error.contains("`train.learning_rate`"), "{error}");
    let error = fail(dir.path(), 2, &["run", "--set", "quantise.epochs=1"]);
    assert!(error.contains("`quantize.epochs`"), "{error}");
    assert!(fail(dir.path(), 2, &["run", "--config", "none.toml"]).contains("none.toml"));
    assert!(fail(dir.path(), 2, &["run", "--net", "lenet"]).contains("`lenet5`"));
    assert!(fail(dir.path(), 2, &["run", "--data", "strokse"]).contains("`strokes`"));
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn values_out_of_range_name_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let error = fail(dir.path(), 2, &["run", "--bits", "9"]);
    assert!(error.contains("bits.mu = 9") && error.contains("2..8"), "{error}");
    assert!(fail(dir.path(), 2, &["run", "--bits", "1"]).contains("bits.mu = 1"));
    assert!(fail(dir.path(), 2, &["run", "--batch", "0"]).contains("batch"));
    assert!(fail(dir.path(), 2, &["run", "--samples", "0"]).contains("eval.samples"));
    assert!(fail(dir.path(), 2, &["run", "--train-limit", "0"]).contains("train_limit"));
    assert!(fail(dir.path(), 2, &["run", "--learning-rate", "nan"]).contains("learning_rate"));
    // By its name of 0.1 too.
    for key in ["train.ood_weight", "train.foreign_weight"] {
        assert!(fail(dir.path(), 2, &["run", "--set", &format!("{key}=1")]).contains("train.draws"));
    }
    assert!(fail(dir.path(), 2, &["run", "--set", "train.labels=softly"]).contains("soft"));
    let layers = "[network]\nname = \"x\"\n[[network.layer]]\ntype = \"dense\"\nout = 7\n";
    fs::write(dir.path().join("c.toml"), layers).unwrap();
    let error = fail(dir.path(), 2, &["train", "--config", "c.toml", "--train-limit", "100"]);
    assert!(error.contains("10"), "{error}");
    let output = crate::common::qbnn(dir.path(), &["run", "--threads", "0"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_missing_set_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = fail(dir.path(), 1, &["run", "--data", "dirty-mnist", "--data-dir", "nothing"]);
    assert!(error.contains("qbnn data fetch mnist"), "{error}");
    assert!(!dir.path().join("runs").exists(), "a folder was made for a run that never began");
    let text = succeed(dir.path(), &["data", "list"]);
    assert!(text.contains("qbnn data fetch ambiguous-mnist"), "{text}");
    assert!(fail(dir.path(), 2, &["data", "fetch", "fashion-mist"]).contains("`fashion-mnist`"));
    let args = ["data", "fetch", "mnist", "--mirror", "http://127.0.0.1:1", "--data-dir", "data", "--quiet"];
    assert!(fail(dir.path(), 1, &args).contains("train-images-idx3-ubyte"));
}

#[test]
fn a_truncated_set_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for set in ["mnist", "fashion-mnist"] {
        let folder = dir.path().join("data").join(set);
        fs::create_dir_all(&folder).unwrap();
        for half in ["train", "t10k"] {
            fs::write(folder.join(format!("{half}-images-idx3-ubyte")), [0, 0, 8, 3, 0, 0, 0, 9]).unwrap();
            fs::write(folder.join(format!("{half}-labels-idx1-ubyte")), [0, 0, 8, 1, 0, 0, 0, 9]).unwrap();
        }
    }
    let error = fail(dir.path(), 1, &["run", "--data", "mnist", "--data-dir", "data"]);
    assert!(error.contains("train-images-idx3-ubyte") && error.contains("truncated"), "{error}");
}

#[test]
fn an_existing_run_is_kept_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let args = tiny(&["train", "--out", "a"]);
    succeed(dir.path(), &args);
    let before = fs::read(dir.path().join("a/float.safetensors")).unwrap();
    let error = fail(dir.path(), 2, &[&args[..], &["--seed", "2"]].concat());
    assert!(error.contains("--overwrite") && error.contains("--resume a"), "{error}");
    assert!(fs::read(dir.path().join("a/float.safetensors")).unwrap() == before);
    succeed(dir.path(), &[&args[..], &["--seed", "2", "--overwrite"]].concat());
    assert!(fs::read(dir.path().join("a/float.safetensors")).unwrap() != before);
    succeed(dir.path(), &["quantize", "a", "--qat-epochs", "0"]);
    assert!(fail(dir.path(), 2, &["quantize", "a", "--qat-epochs", "0"]).contains("--overwrite"));
    succeed(dir.path(), &["quantize", "a", "--qat-epochs", "0", "--overwrite"]);
    let error = fail(dir.path(), 2, &["quantize", "a/jq-mu4s2w8a4-ptq.safetensors"]);
    assert!(error.contains("quantized already"), "{error}");
}

#[test]
fn damaged_and_foreign_checkpoints_are_named() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny(&["train", "--out", "a"]));
    let good = fs::read(dir.path().join("a/float.safetensors")).unwrap();
    let write = |bytes: &[u8]| fs::write(dir.path().join("a/float.safetensors"), bytes).unwrap();
    for bytes in [&good[..good.len() / 2], &good[..4], &[], &b"{\"this is\": \"something else\"}"[..]] {
        write(bytes);
        for args in [&["eval", "a"][..], &["quantize", "a"], &["train", "--resume", "a"]] {
            assert!(fail(dir.path(), 1, args).contains("a/float.safetensors"));
        }
    }
    assert!(fail(dir.path(), 1, &["eval", "nowhere.safetensors", "--data", "strokes"]).contains("nowhere.safetensors"));
    // Of another network than the config beside it.
    write(&good);
    let config = dir.path().join("a/config.toml");
    let text = fs::read_to_string(&config).unwrap().replace("\"mlp\"", "\"lenet5\"");
    fs::write(&config, text).unwrap();
    let error = fail(dir.path(), 1, &["train", "--resume", "a"]);
    assert!(error.contains("network") && error.contains("config.toml"), "{error}");
    // Without a config the data must be named: nothing is assumed.
    fs::remove_file(&config).unwrap();
    assert!(fail(dir.path(), 2, &["eval", "a/float.safetensors"]).contains("--data"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for out in ["file", "file/inside"] {
        let error = fail(dir.path(), 1, &tiny(&["train", "--out", out]));
        assert!(error.contains("file") && error.contains("--out"), "{error}");
    }
    if cfg!(target_os = "linux") {
        let error = fail(dir.path(), 1, &tiny(&["train", "--out", "/proc/qbnn"]));
        assert!(error.contains("/proc/qbnn") && error.contains("--out"), "{error}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path(), &["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
