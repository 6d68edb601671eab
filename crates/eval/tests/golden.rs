//! Every metric against other people's implementations: the values in `golden/` come from `golden/make.py`.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_eval::*;
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn whole(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn labels(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(whole).collect()
}

/// Whole parts to probabilities.
fn probs(value: &Value, parts: &Value) -> Vec<f64> {
    let parts = parts.as_f64().unwrap();
    numbers(value).iter().map(|v| v / parts).collect()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn close(found: f64, wanted: &Value, what: &str) {
    let wanted = wanted.as_f64().unwrap();
    assert!((found - wanted).abs() < TOLERANCE, "{what}: found {found}, wanted {wanted}");
}

#[test]
fn ranks() {
    let golden = parse(include_str!("golden/ranks.json"));
    for case in golden["auroc"].as_array().unwrap() {
        let (positives, negatives) = (numbers(&case["positives"]), numbers(&case["negatives"]));
        let name = case["name"].as_str().unwrap();
        close(auroc(&positives, &negatives).unwrap(), &case["auroc"], name);
        close(average_precision(&positives, &negatives).unwrap(), &case["aupr"], name);
        close(fpr95(&positives, &negatives).unwrap(), &case["fpr95"], name);
    }
    for case in golden["risk"].as_array().unwrap() {
        let wrong: Vec<bool> = case["wrong"].as_array().unwrap().iter().map(|w| w.as_bool().unwrap()).collect();
        let (found, name) = (risk(&numbers(&case["uncertainty"]), &wrong).unwrap(), case["name"].as_str().unwrap());
        close(found.aurc, &case["aurc"], name);
        close(found.augrc, &case["augrc"], name);
        match found.error_auroc {
            Some(auroc) => close(auroc, &case["error_auroc"], name),
            None => assert!(case["error_auroc"].is_null(), "{name}"),
        }
    }
    for case in golden["spearman"].as_array().unwrap() {
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        assert_eq!(mid_ranks(&a).unwrap(), numbers(&case["ranks_of_a"]));
        close(spearman(&a, &b).unwrap().unwrap(), &case["spearman"], case["name"].as_str().unwrap());
    }
}

#[test]
fn calibration_metrics() {
    let golden = parse(include_str!("golden/calibration.json"));
    for case in golden["cases"].as_array().unwrap() {
        let parts = case["parts"].as_f64().unwrap();
        let mean: Vec<f64> = numbers(&case["mean"]).iter().map(|v| v / parts).collect();
        let (classes, labels) = (whole(&case["classes"]), labels(&case["labels"]));
        close(accuracy(&mean, classes, &labels).unwrap(), &case["accuracy"], "accuracy");
        close(nll(&mean, classes, &labels).unwrap(), &case["nll"], "nll");
        close(brier(&mean, classes, &labels).unwrap(), &case["brier"], "brier");
        close(ece(&mean, classes, &labels).unwrap(), &case["ece"], "ece");
    }
}

#[test]
fn uncertainties() {
    let golden = parse(include_str!("golden/uncertainty.json"));
    let shape = ["samples", "inputs", "classes"].map(|name| whole(&golden[name]));
    let predictions =
        Predictions::new(shape[0], shape[1], shape[2], probs(&golden["probs"], &golden["parts"])).unwrap();
    let found = uncertainty(&predictions);
    let found = [("total", found.total), ("aleatoric", found.aleatoric), ("epistemic", found.epistemic.unwrap())];
    for (name, found) in found {
        for (i, (f, w)) in found.iter().zip(golden[name].as_array().unwrap()).enumerate() {
            close(*f, w, &format!("{name} of input {i}"));
        }
    }
}

fn golden_groups(golden: &Value) -> Groups {
    let (samples, classes) = (whole(&golden["samples"]), whole(&golden["classes"]));
    let predictions = |name: &str| {
        let probs = probs(&golden[name], &golden["parts"]);
        let energies = numbers(&golden["energies"][name]).iter().map(|e| e / 64.0).collect();
        let predictions = Predictions::new(samples, probs.len() / samples / classes, classes, probs).unwrap();
        predictions.with_energies(energies).unwrap()
    };
    let soft_labels = probs(&golden["soft_labels"], &golden["parts"]).iter().map(|&p| p as f32).collect();
    Groups(vec![
        TestGroup::clean(predictions("clean"), labels(&golden["labels"])),
        TestGroup::ambiguous(predictions("ambiguous"), Some(soft_labels)),
        TestGroup::ood(predictions("ood")),
    ])
}

#[test]
fn the_composed_evaluation() {
    let golden = parse(include_str!("golden/evaluation.json"));
    let mut groups = golden_groups(&golden);
    let options = EvalOptions { resamples: 200, seed: 3 };
    let evaluation = evaluate(&groups, &options).unwrap();
    for headline in Headline::ALL.into_iter().filter(|h| !h.needs_validation()) {
        let value = evaluation.value(headline).unwrap();
        close(value, &golden["expected"][headline.name()], headline.name());
        let [lo, hi] = evaluation.interval(headline).unwrap();
        assert!(lo < hi && lo <= value + 0.1 && value - 0.1 <= hi, "{}: {value} and [{lo}, {hi}]", headline.name());
    }
    let means = evaluation.mean_uncertainty();
    for (name, found) in [("clean", means.clean), ("ambiguous", means.ambiguous), ("ood", means.ood)] {
        let (found, wanted) = (found.unwrap(), &golden["means"][name]);
        close(found.total, &wanted["total"], name);
        close(found.aleatoric, &wanted["aleatoric"], name);
        close(found.epistemic.unwrap(), &wanted["epistemic"], name);
    }

    // Each metric of detection needs every group that it names.
    groups.0.remove(1);
    let evaluation = evaluate(&groups, &options).unwrap();
    for headline in Headline::ALL {
        match headline.contrast() {
            Some(Contrast::OodVsClean) => {
                let value = evaluation.value(headline).unwrap();
                close(value, &golden["expected"][headline.name()], headline.name());
            }
            Some(_) => assert_eq!(evaluation.value(headline), None),
            None => {}
        }
    }
}

/// Networks so sure that a subtraction in double precision leaves nothing: relative, against 60 digits.
#[test]
fn small_uncertainties_keep_their_digits() {
    let golden = parse(include_str!("golden/confident.json"));
    let shape = ["samples", "inputs", "classes"].map(|name| whole(&golden[name]));
    let found = uncertainty(&Predictions::new(shape[0], shape[1], shape[2], numbers(&golden["probs"])).unwrap());
    let found = [
        ("rest", found.rest),
        ("total", found.total),
        ("aleatoric", found.aleatoric),
        ("epistemic", found.epistemic.unwrap()),
    ];
    for (name, found) in found {
        let wanted = numbers(&golden[name]);
        assert!(name == "rest" || wanted.iter().any(|w| (0.0..1e-30).contains(w)), "{name}");
        for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
            let right = if w == 0.0 { *f == 0.0 } else { (f / w - 1.0).abs() < 1e-13 };
            assert!(right, "{name} of input {i}: found {f}, wanted {w}");
        }
    }
}
