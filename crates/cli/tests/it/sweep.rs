//! Sweeps as a user runs them: planned, killed, resumed, sharded, failed in part; and what is said of bad specs.

use crate::common::{command, fail, qbnn, succeed};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Two seeds of two float networks each, 20 models, 24 results.
const SPEC: &str = r#"
name = "tiny"
seeds = [3, 1]
[set]
data.name = "strokes"
data.train_limit = 400
data.group_limit = 40
network = "mlp"
train.epochs = 2
eval.samples = 3

[[question]]
name = "ways"
ask = "Which?"
rows = ["strategy", "quantize.epochs"]
[question.grid]
strategy = ["vpq", "jq"]
quantize.epochs = [0, 1]
train.kl_weight = [1.0, 0.5]

[[question]]
name = "draws"
rows = ["eval.samples"]
set = { strategy = "jq", quantize.epochs = 1 }
[question.grid]
eval.samples = [2, 3]
"#;

fn write(dir: &Path, text: &str) {
    fs::write(dir.join("spec.toml"), text).unwrap();
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// (run, draws) of each line but the first.
fn points(lines: &[Value]) -> Vec<(String, u64)> {
    let of = |l: &Value| (l["run"].as_str().unwrap().to_owned(), l["samples"].as_u64().unwrap());
    let mut points: Vec<_> = lines[1..].iter().map(of).collect();
    points.sort();
    points
}

#[test]
fn a_killed_sweep_goes_on_and_ends_with_the_same_tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    write(path, SPEC);
    let plan = succeed(path, &["sweep", "spec.toml", "--dry-run"]);
    assert!(plan.contains("20 models and 4 float networks"), "{plan}");
    assert!(!path.join("runs").exists(), "a dry run made something");
    let table = succeed(path, &["sweep", "spec.toml", "--out", "whole", "--jobs", "1"]);
    for word in ["Which?", "kl weight: 0.5", "vpq", "float", "S", "±"] {
        assert!(table.contains(word), "{word} is missing in\n{table}");
    }

    let ledger = path.join("runs/sweep-tiny/ledger.jsonl");
    let mut child = command(path, &["sweep", "spec.toml", "--quiet", "--jobs", "2"]).spawn().unwrap();
    let started = Instant::now();
    while lines(&ledger).len() < 4 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = lines(&ledger);
    assert!(before.len() >= 4 && before.len() < 25, "killed too late: {} lines", before.len());
    // A line that the kill tore.
    let mut torn = fs::read_to_string(&ledger).unwrap();
    torn.push_str("{\"run\":\"00");
    fs::write(&ledger, torn).unwrap();
    let rest = succeed(path, &["sweep", "spec.toml", "--dry-run"]);
    assert!(!rest.contains("20 models"), "{rest}");
    succeed(path, &["sweep", "spec.toml", "--quiet"]);

    let after = lines(&ledger);
    assert_eq!(after[..before.len()], before[..], "finished runs changed");
    assert_eq!(points(&after), points(&lines(&path.join("whole/ledger.jsonl"))));
    assert_eq!(points(&after).len(), 24);
    for file in ["tables.md", "results.jsonl"] {
        let read = |run: &str| fs::read_to_string(path.join(run).join(file)).unwrap();
        assert_eq!(read("runs/sweep-tiny"), read("whole"), "{file}");
    }
    // Nothing is left to do, and the tables can be had again.
    let again = succeed(path, &["sweep", "spec.toml", "--dry-run"]);
    assert!(again.contains("0 models and 0 float networks"), "{again}");
    assert_eq!(
        succeed(path, &["sweep", "spec.toml", "--tables"]).replace("runs/sweep-tiny", "whole"),
        succeed(path, &["sweep", "spec.toml", "--tables", "--out", "whole"])
    );

    // Two shards, each with its own ledger, make the same; so does a page from the ledgers.
    for shard in ["1/2", "2/2"] {
        succeed(path, &["sweep", "spec.toml", "--out", "shards", "--shard", shard, "--quiet"]);
    }
    assert!(path.join("shards/ledger-1-of-2.jsonl").is_file() && !path.join("shards/ledger.jsonl").exists());
    let read = |run: &str| fs::read_to_string(path.join(run).join("tables.md")).unwrap();
    assert_eq!(read("shards"), read("whole"));
    let missing = fail(path, 1, &["sweep", "spec.toml", "--report", "page.md"]);
    assert!(missing.contains("tiny.jsonl"), "{missing}");
    fs::create_dir(path.join("ledgers")).unwrap();
    fs::copy(path.join("whole/ledger.jsonl"), path.join("ledgers/tiny.jsonl")).unwrap();
    succeed(path, &["sweep", "spec.toml", "--report", "page.md"]);
    let page = fs::read_to_string(path.join("page.md")).unwrap();
    assert!(page.contains("qbnn sweep spec.toml\n") && page.contains("| vpq |"), "{page}");
    // A sweep's folder is enough for its page.
    succeed(path, &["report", "shards", "--out", "shards.html"]);
    assert!(fs::read_to_string(path.join("shards.html")).unwrap().contains("vpq"));
}

#[test]
fn a_metric_younger_than_part_of_a_ledger_is_left_out_of_its_tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    write(path, &SPEC.replace("train.kl_weight = [1.0, 0.5]", "").replace("epochs = [0, 1]", "epochs = 0"));
    succeed(path, &["sweep", "spec.toml", "--out", "a", "--quiet"]);
    let columns = || {
        let table = succeed(path, &["sweep", "spec.toml", "--tables", "--out", "a"]);
        (table.matches("epistemic share").count(), table.matches("Spearman").count())
    };
    let (shares, others) = columns();
    let ledger = path.join("a/ledger.jsonl");
    let mut rows: Vec<Value> = lines(&ledger);
    for row in rows[1..].iter_mut().filter(|row| row["seed"] == 3) {
        row["done"]["metrics"].as_object_mut().unwrap().remove("auroc_share_ood_vs_clean_ambiguous").unwrap();
    }
    fs::write(&ledger, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    // One of the two columns of the share is gone from every table, nothing else.
    assert!(shares > 0);
    assert_eq!(columns(), (shares / 2, others));
}

/// A ledger from before AUROCs were named with their negatives: what it has is shown as what it was, what it lacks is not.
#[test]
fn an_older_ledger_is_read_as_what_it_meant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    write(path, &SPEC.replace("train.kl_weight = [1.0, 0.5]", "").replace("epochs = [0, 1]", "epochs = 0"));
    succeed(path, &["sweep", "spec.toml", "--out", "a", "--quiet"]);
    let ledger = path.join("a/ledger.jsonl");
    let mut rows: Vec<Value> = lines(&ledger);
    for row in &mut rows[1..] {
        let metrics = row["done"]["metrics"].as_object_mut().unwrap();
        let old = [
            ("auroc_epistemic_ood", "auroc_epistemic_ood_vs_clean_ambiguous"),
            ("auroc_aleatoric_ood", "auroc_aleatoric_ood_vs_clean"),
            ("auroc_aleatoric_ambiguous", "auroc_aleatoric_ambiguous_vs_clean"),
            ("auroc_epistemic_ambiguous", "auroc_epistemic_ambiguous_vs_clean"),
        ];
        let values: Vec<_> = old.iter().map(|(old, new)| (*old, metrics.remove(*new).unwrap())).collect();
        metrics.retain(|name, _| !name.contains("_vs_"));
        metrics.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    fs::write(&ledger, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    let text = succeed(path, &["sweep", "spec.toml", "--tables", "--out", "a", "--json"]);
    for row in text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()).filter(|v| v["metrics"].is_object()) {
        let metrics = row["metrics"].as_object().unwrap();
        assert!(metrics.contains_key("auroc_epistemic_ood_vs_clean_ambiguous"), "{row}");
        assert!(metrics.contains_key("auroc_aleatoric_ood_vs_clean"), "{row}");
        assert!(!metrics.contains_key("auroc_epistemic_ood_vs_clean"), "{row}");
        assert!(!metrics.contains_key("auroc_epistemic_ood"), "{row}");
    }
    let table = succeed(path, &["sweep", "spec.toml", "--tables", "--out", "a"]);
    assert!(table.contains("ood vs clean") && !table.contains("epistemic share"), "{table}");
}

#[test]
fn another_spec_is_refused_unless_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let small = |seeds: &str| {
        SPEC.replace("[3, 1]", seeds)
            .replace("train.kl_weight = [1.0, 0.5]", "")
            .replace("epochs = [0, 1]", "epochs = 0")
    };
    write(path, &small("[1]"));
    succeed(path, &["sweep", "spec.toml", "--out", "a", "--quiet"]);
    let before = points(&lines(&path.join("a/ledger.jsonl")));
    write(path, &small("[1, 2]"));
    let error = fail(path, 2, &["sweep", "spec.toml", "--out", "a"]);
    assert!(error.contains("a/ledger.jsonl") && error.contains("--adopt"), "{error}");
    // The plan counts what would be adopted, and adopts nothing yet.
    let plan = succeed(path, &["sweep", "spec.toml", "--out", "a", "--adopt", "--dry-run"]);
    assert!(plan.contains("1 float network to") && plan.contains(&format!("{} results there", before.len())), "{plan}");
    assert_eq!(points(&lines(&path.join("a/ledger.jsonl"))), before);
    succeed(path, &["sweep", "spec.toml", "--out", "a", "--adopt", "--quiet"]);
    let after = points(&lines(&path.join("a/ledger.jsonl")));
    assert!(before.iter().all(|p| after.iter().filter(|q| *q == p).count() == 1) && after.len() == 2 * before.len());
    // A sweep of another name takes over what is asked for in both.
    write(path, &small("[1, 2]").replace("\"tiny\"", "\"other\"").replace("[\"vpq\", \"jq\"]", "[\"spq\", \"jq\"]"));
    let plan = succeed(path, &["sweep", "spec.toml", "--dry-run", "--known", "a"]);
    assert!(plan.contains("other: 2 models and 2 float networks"), "{plan}");
    succeed(path, &["sweep", "spec.toml", "--known", "a/ledger.jsonl", "--quiet"]);
    let other = points(&lines(&path.join("runs/sweep-other/ledger.jsonl")));
    assert_eq!((other.len(), other.iter().filter(|p| after.contains(p)).count()), (after.len(), after.len() - 2));
    assert!(fail(path, 1, &["sweep", "spec.toml", "--out", "b", "--known", "none"]).contains("--known"));
    // Words may change without making another sweep of it.
    write(path, &small("[1, 2]").replace("Which?", "Which one?"));
    assert!(succeed(path, &["sweep", "spec.toml", "--out", "a", "--tables"]).contains("Which one?"));
    fs::write(path.join("a/ledger.jsonl"), "{\"something\": \"else\"}\n").unwrap();
    assert!(fail(path, 1, &["sweep", "spec.toml", "--out", "a"]).contains("no ledger"));
}

#[test]
fn a_failed_run_is_a_row_with_its_reason_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    // A step size that no training survives.
    let spec = SPEC.replace("train.kl_weight = [1.0, 0.5]", "train.learning_rate = [1e9, 0.002]");
    write(path, &spec.replace("[3, 1]", "[1]"));
    let output = qbnn(path, &["sweep", "spec.toml", "--out", "a", "--jobs", "2"]);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.lines().last().unwrap().contains("--retry"), "{err}");
    assert!(out.contains("seed 1: failed: its float network") && out.contains("learning_rate"), "{out}");
    let lines = lines(&path.join("a/ledger.jsonl"));
    let failed = lines.iter().filter(|l| l["failed"].is_string()).count();
    let done = lines.iter().filter(|l| l["done"].is_object()).count();
    assert_eq!((failed, done), (5, 7), "{lines:?}");
    // What failed is not tried again, unless asked for.
    assert!(succeed(path, &["sweep", "spec.toml", "--out", "a", "--dry-run"]).contains("0 models"));
    let retry = succeed(path, &["sweep", "spec.toml", "--out", "a", "--dry-run", "--retry"]);
    assert!(retry.contains("5 models and 1 float network "), "{retry}");
}

/// What no run could do without is told before the first one, and what a training is warned of is told once.
#[test]
fn missing_data_ends_a_sweep_before_it_begins_and_warnings_are_given_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let spec = SPEC.replace("train.kl_weight = [1.0, 0.5]", "data.name = [\"strokes\", \"mnist\"]");
    write(path, &spec);
    let error = fail(path, 1, &["sweep", "spec.toml", "--out", "a"]);
    assert!(error.contains("no run is begun") && error.contains("`qbnn data fetch mnist`"), "{error}");
    let all = lines(&path.join("a/ledger.jsonl"));
    assert!(all.iter().all(|l| l.get("run").is_none()), "{all:?}");
    assert!(!fs::read_dir(path.join("a/float")).unwrap().any(|f| f.unwrap().path().extension().is_some()));
    // It needs data for what is to do alone: a plan needs none.
    succeed(path, &["sweep", "spec.toml", "--out", "b", "--dry-run"]);

    let kinds = "train.ood_kinds = [\"tiles\", \"negatives\"]";
    let spec = SPEC
        .replace("train.epochs = 2", &format!("train.epochs = 1\ntrain.ood_weight = 1.0\ntrain.draws = 2\n{kinds}"));
    write(path, &spec.replace("quantize.epochs = [0, 1]", "quantize.epochs = [0]"));
    let output = qbnn(path, &["sweep", "spec.toml", "--out", "c"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let warnings: Vec<_> = said.lines().filter(|l| l.starts_with("warning: ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("train.ood_kinds has negatives"), "{said}");
}

#[test]
fn every_spec_of_the_repository_can_be_planned() {
    let dir = tempfile::tempdir().unwrap();
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let mut specs = 0;
    for entry in fs::read_dir(experiments).unwrap() {
        let spec = entry.unwrap().path();
        if spec.extension().is_some_and(|e| e == "toml") {
            let plan = succeed(dir.path(), &["sweep", spec.to_str().unwrap(), "--dry-run", "--json"]);
            let plan: Value = serde_json::from_str(&plan).unwrap();
            assert_eq!(plan["sweep"], spec.file_stem().unwrap().to_str().unwrap());
            specs += 1;
        }
    }
    assert!(specs > 0);
}

#[test]
fn bad_specs_are_one_line_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    assert!(fail(path, 2, &["sweep", "none.toml"]).contains("none.toml"));
    for (from, to, wanted) in [
        ("train.epochs = 2", "train.epoch = 2", "`train.epochs`"),
        ("strategy = [\"vpq\", \"jq\"]", "strategy = []", "empty"),
        ("strategy = [\"vpq\", \"jq\"]", "strategy = [\"jq\"]\nquantize.bits.mu = 32", "bits.mu = 32"),
        ("network = \"mlp\"", "network = \"lenet\"", "`lenet5`"),
        ("rows = [\"eval.samples\"]", "rows = [\"samples\"]", "`eval.samples`"),
        ("seeds = [3, 1]", "seeds = []", "seeds"),
    ] {
        assert!(SPEC.contains(from));
        write(path, &SPEC.replace(from, to));
        let error = fail(path, 2, &["sweep", "spec.toml"]);
        assert!(error.contains("spec.toml") && error.contains(wanted), "{error}");
    }
    assert!(!path.join("runs").exists());
    write(path, SPEC);
    for shard in ["0/2", "3/2", "x", "1/0"] {
        assert_eq!(qbnn(path, &["sweep", "spec.toml", "--shard", shard]).status.code(), Some(2), "{shard}");
    }
}
