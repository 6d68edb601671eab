//! The contract of `metrics.json`, the pairing of two models, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_eval::*;
use serde_json::{Value, json};

/// Predictions that differ from input to input and from draw to draw, without a generator.
fn some(samples: usize, inputs: usize, classes: usize, salt: usize, spread: f64) -> Predictions {
    let (mut probs, mut energies) = (Vec::new(), Vec::new());
    for s in 0..samples {
        for n in 0..inputs {
            let logit = |c: usize| {
                let own = ((n * 7 + c * 13 + salt) % 11) as f64 * 0.6;
                own + spread * ((s * 5 + n * 3 + c * 17 + salt) as f64 * 1.7).sin()
            };
            let sum: f64 = (0..classes).map(|c| logit(c).exp()).sum();
            probs.extend((0..classes).map(|c| logit(c).exp() / sum));
            energies.push(-sum.ln());
        }
    }
    Predictions::new(samples, inputs, classes, probs).unwrap().with_energies(energies).unwrap()
}

fn groups(samples: usize, salt: usize) -> Groups {
    let soft_labels = some(1, 40, 4, 5, 0.4).probs().iter().map(|&p| p as f32).collect();
    Groups(vec![
        TestGroup::clean(some(samples, 50, 4, salt, 0.3), (0..50).map(|n| (n * 3 + n / 7) % 4).collect()),
        TestGroup::ambiguous(some(samples, 40, 4, salt + 1, 0.6), Some(soft_labels)),
        TestGroup::ood(some(samples, 30, 4, salt + 2, 1.5)),
    ])
}

/// The same, with a second group of each role, and a shifted one.
fn more_groups(samples: usize, salt: usize) -> Groups {
    let Groups(mut all) = groups(samples, salt);
    all.insert(0, TestGroup::ood(some(samples, 25, 4, salt + 4, 0.9)).named("near"));
    all.swap(0, 3);
    let Groups(others) = groups(samples, salt + 6);
    all.extend(others.into_iter().map(|g| {
        let name = format!("second-{}", g.name);
        g.named(name)
    }));
    all.push(TestGroup::shifted(some(samples, 20, 4, salt + 5, 0.5), vec![1; 20]).named("noise"));
    Groups(all)
}

fn description(name: &str, strategy: Strategy, bits: Bits) -> ModelDescription {
    let parameters = Some(ParameterBytes { weights_bytes: 80, biases_bytes: 16, scales_bytes: 4 });
    ModelDescription { name: name.into(), strategy, bits, parameter_bytes: 100, parameters, file_bytes: None }
}

const QUICK: EvalOptions = EvalOptions { resamples: 100, seed: 11 };

/// Predictions of validation inputs, and their labels.
fn validation(samples: usize, salt: usize) -> (Predictions, Vec<usize>) {
    (some(samples, 45, 4, salt + 20, 0.3), (0..45).map(|n| (n * 5 + n / 9) % 4).collect())
}

fn calibrated(groups: &Groups, salt: usize) -> Evaluation {
    let (predictions, labels) = validation(groups.samples(), salt);
    evaluate_calibrated(groups, &predictions, &labels, &QUICK).unwrap()
}

fn file() -> Metrics {
    let float = calibrated(&groups(8, 0), 0);
    let quantized = calibrated(&groups(8, 3), 3);
    let mut metrics = Metrics::new("dirty-mnist", 42);
    metrics.models.push(ModelEntry::new(description("float", Strategy::Float, Bits::FLOAT), &float));
    let bits = Bits { mu: 4, sigma: 4, weight: 4, activation: 4 };
    metrics.models.push(ModelEntry::new(description("jq-w4a4", Strategy::Jq, bits), &quantized));
    metrics.differences.push(compare("jq-w4a4", &quantized, "float", &float).unwrap());
    metrics
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_schema_has_these_fields() {
    let metrics = file();
    metrics.check().unwrap();
    let json = serde_json::to_value(&metrics).unwrap();
    let has = |value: &Value, fields: &[&str]| {
        for field in fields {
            assert!(value.get(field).is_some(), "{field} is missing from {:?}", keys(value));
        }
    };
    has(&json, &["schema_version", "dataset", "seed", "models", "differences"]);
    assert_eq!(
        (&json["schema_version"], &json["dataset"], &json["seed"]),
        (&json!(2), &json!("dirty-mnist"), &json!(42))
    );
    let entry = &json["models"][1];
    has(
        entry,
        &["name", "strategy", "bits", "samples", "parameter_bytes", "parameters", "ci95", "mean_uncertainty", "counts"],
    );
    has(&entry["calibrator"], &["inputs", "temperature", "alpha", "rules"]);
    let rules = entry["calibrator"]["rules"].as_array().unwrap();
    let names: Vec<_> = rules.iter().map(|rule| rule["score"].as_str().unwrap()).collect();
    assert_eq!(names, ["lac", "aps", "aps-randomised"]);
    assert_eq!((&entry["strategy"], &json["models"][0]["strategy"]), (&json!("jq"), &json!("float")));
    assert_eq!(entry["bits"], json!({"mu": 4, "sigma": 4, "weight": 4, "activation": 4}));
    assert_eq!(entry["samples"], json!(8));
    assert_eq!(entry["parameters"], json!({"weights_bytes": 80, "biases_bytes": 16, "scales_bytes": 4}));
    assert_eq!(entry["counts"], json!({"clean": 50, "ambiguous": 40, "ood": 30}));
    for headline in Headline::ALL {
        let name = headline.name();
        assert!(entry[name].is_f64(), "{name}");
        assert_eq!(entry["ci95"][name].as_array().map(Vec::len), Some(2), "{name}");
        assert_eq!(keys(&json["differences"][0][name]), ["ci95", "value"], "{name}");
    }
    for group in ["clean", "ambiguous", "ood"] {
        has(&entry["mean_uncertainty"][group], &["total", "aleatoric", "epistemic"]);
    }
    has(&json["differences"][0], &["name", "against"]);
    assert!(json["differences"][0].get("metrics").is_none());
}

#[test]
fn what_was_written_is_read_back() {
    let metrics = file();
    let text = serde_json::to_string(&metrics).unwrap();
    assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
}

#[test]
fn a_reader_meets_added_and_absent_fields_unmoved() {
    let mut json = serde_json::to_value(file()).unwrap();
    json["future"] = json!({"a": 1});
    json["models"][0]["future"] = json!("b");
    json["differences"][0]["future"] = json!("c");
    json["models"][0].as_object_mut().unwrap().remove("mean_uncertainty");
    json["models"][0].as_object_mut().unwrap().remove("parameters");
    json["differences"][0].as_object_mut().unwrap().remove("ece");
    let read: Metrics = serde_json::from_value(json).unwrap();
    assert_eq!((read.models[0].parameters, read.models[0].mean_uncertainty), (None, GroupMeans::default()));
    assert_eq!(*read.differences[0].metrics.get(Headline::Ece), None);
    assert!(read.differences[0].metrics.get(Headline::Nll).is_some());
}

/// As version 1 wrote it: some AUROCs against clean, some against clean + ambiguous, and no name said which.
#[test]
fn a_file_of_version_1_is_read_as_what_it_meant() {
    let mut json = serde_json::to_value(file()).unwrap();
    json["schema_version"] = json!(1);
    let old = [
        ("auroc_epistemic_ood", "auroc_epistemic_ood_vs_clean_ambiguous"),
        ("auroc_aleatoric_ambiguous", "auroc_aleatoric_ambiguous_vs_clean"),
        ("auroc_epistemic_ambiguous", "auroc_epistemic_ambiguous_vs_clean"),
        ("auroc_aleatoric_ood", "auroc_aleatoric_ood_vs_clean"),
        ("auroc_share_ood", "auroc_share_ood_vs_clean_ambiguous"),
        ("auroc_share_ambiguous", "auroc_share_ambiguous_vs_clean"),
    ];
    let rename = |object: &mut Value| {
        let object = object.as_object_mut().unwrap();
        let values: Vec<_> = old.iter().map(|(old, new)| (*old, object.remove(*new).unwrap())).collect();
        object.retain(|name, _| !name.contains("_vs_"));
        object.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    };
    for model in 0..2 {
        rename(&mut json["models"][model]["ci95"]);
        json["models"][model].as_object_mut().unwrap().remove("tied_pairs");
        rename(&mut json["models"][model]);
    }
    rename(&mut json["differences"][0]);
    let (read, new): (Metrics, Metrics) = (serde_json::from_value(json).unwrap(), file());
    read.check().unwrap();
    assert_eq!(read.schema_version, SCHEMA_VERSION);
    for headline in Headline::ALL {
        let known = !headline.name().contains("_vs_") || old.iter().any(|o| o.1 == headline.name());
        for (read, new) in read.models.iter().zip(&new.models) {
            assert_eq!(read.value(headline), new.value(headline).filter(|_| known), "{}", headline.name());
            assert_eq!(read.interval(headline), new.interval(headline).filter(|_| known), "{}", headline.name());
        }
        let [read, new] = [&read, &new].map(|m| *m.differences[0].metrics.get(headline));
        assert_eq!(read, new.filter(|_| known), "{}", headline.name());
    }
}

/// As written before AUPR, FPR95 and the metrics of errors were measured: what is absent is absent, and it is the same network.
#[test]
fn a_file_without_the_later_metrics_is_read() {
    let later = ["aupr_", "fpr95_", "error_auroc_", "aurc_", "augrc_", "coverage_", "set_size_", "calibrator"];
    let later = [&later[..], &["nll_at_temperature", "ece_at_temperature"]].concat();
    fn remove(value: &mut Value, later: &[&str]) {
        if let Some(object) = value.as_object_mut() {
            object.retain(|name, _| !later.iter().any(|l| name.starts_with(l)));
            object.values_mut().for_each(|v| remove(v, later));
        }
        value.as_array_mut().into_iter().flatten().for_each(|v| remove(v, later));
    }
    let mut json = serde_json::to_value(file()).unwrap();
    remove(&mut json, &later);
    let (read, new): (Metrics, Metrics) = (serde_json::from_value(json).unwrap(), file());
    read.check().unwrap();
    for headline in Headline::ALL {
        let known = !later.iter().any(|l| headline.name().starts_with(l));
        for (read, new) in read.models.iter().zip(&new.models) {
            assert_eq!(read.value(headline), new.value(headline).filter(|_| known), "{}", headline.name());
        }
    }
    assert!(read.models[0].is_same_network(&new.models[0]) && !read.models[0].is_same_network(&new.models[1]));
}

/// What a calibrated model is worth, worked out apart: rules fitted on the validation inputs and put to every labelled group.
#[test]
fn calibrated_metrics_are_those_of_rules_fitted_on_validation_inputs() {
    let groups = more_groups(8, 0);
    let (plain, found) = (evaluate(&groups, &QUICK).unwrap(), calibrated(&groups, 0));
    // Everything else stays as it is.
    for h in Headline::ALL.into_iter().filter(|h| !h.needs_validation()) {
        assert_eq!((plain.value(h), plain.interval(h)), (found.value(h), found.interval(h)), "{}", h.name());
    }
    assert!(plain.calibrator().is_none() && Headline::CALIBRATED.iter().all(|h| plain.value(*h).is_none()));
    let (predictions, labels) = validation(8, 0);
    let own = uncertainty(&predictions).mean_probs;
    let temperature = fit_temperature(&own, 4, &labels).unwrap().temperature;
    let calibrator = found.calibrator().unwrap();
    assert_eq!((calibrator.temperature, calibrator.inputs), (temperature, 45));
    for name in ["clean", "second-clean", "noise"] {
        let group = groups.named(name).unwrap();
        let mut mean = uncertainty(&group.predictions).mean_probs;
        let value = |h| found.value_of(name, h).unwrap();
        for score in ConformalScore::ALL {
            let rule = ConformalRule::fit(score, ALPHA, &own, 4, &labels).unwrap();
            let wanted = rule.quality(&mean, 4, &group.labels).unwrap();
            assert!((value(Headline::Coverage(score)) - wanted.coverage).abs() < 1e-12, "{name}, {score:?}");
            assert!((value(Headline::SetSize(score)) - wanted.size).abs() < 1e-12, "{name}, {score:?}");
        }
        apply_temperature(&mut mean, 4, temperature).unwrap();
        let wanted = calibration(&mean, 4, &group.labels).unwrap();
        assert!((value(Headline::NllAtTemperature) - wanted.nll).abs() < 1e-12, "{name}");
        assert!((value(Headline::EceAtTemperature) - wanted.ece).abs() < 1e-12, "{name}");
    }
    // They have intervals and paired differences, and are no metrics of other groups.
    let h = Headline::Coverage(ConformalScore::ApsRandomised);
    let [low, high] = found.interval(h).unwrap();
    assert!(low <= found.value(h).unwrap() && found.value(h).unwrap() <= high && low < high);
    let difference = compare("a", &calibrated(&groups, 3), "b", &found).unwrap();
    assert!(difference.metrics.get(h).is_some() && found.value_of("near", h).is_none());
    // Over seeds of draws they are means.
    let two = [calibrated(&groups, 0), calibrated(&groups, 3)];
    let all = over_draw_seeds(two.to_vec()).unwrap();
    let mean = |of: &dyn Fn(&Evaluation) -> f64| (of(&two[0]) + of(&two[1])) / 2.0;
    assert!((all.value(h).unwrap() - mean(&|e| e.value(h).unwrap())).abs() < 1e-12);
    let temperature = mean(&|e| e.calibrator().unwrap().temperature);
    assert!((all.calibrator().unwrap().temperature - temperature).abs() < 1e-12);
    // Of other classes, or without a label for each input, they are refused.
    let refuse = |predictions: &Predictions, labels: &[usize]| {
        evaluate_calibrated(&groups, predictions, labels, &QUICK).unwrap_err()
    };
    assert!(matches!(refuse(&predictions, &labels[1..]), EvalError::LengthsDiffer { .. }));
    let other = some(8, 45, 3, 0, 0.3);
    assert!(matches!(refuse(&other, &labels), EvalError::GroupsDisagree { ref group, .. } if group == "validation"));
}

/// Predictions of another program have probabilities alone: what needs logits is absent, and all else is as it would be.
#[test]
fn scores_of_logits_need_energies() {
    let whole = evaluate(&groups(8, 0), &QUICK).unwrap();
    let mut bare = groups(8, 0);
    for group in &mut bare.0 {
        let p = &group.predictions;
        group.predictions = Predictions::new(p.samples(), p.inputs(), p.classes(), p.probs().to_vec()).unwrap();
    }
    let bare = evaluate(&bare, &QUICK).unwrap();
    for headline in Headline::ALL {
        let of_logits = ["_energy", "_logit_disagreement"].iter().any(|name| headline.name().contains(name));
        assert_eq!(bare.value(headline), whole.value(headline).filter(|_| !of_logits), "{}", headline.name());
        assert_eq!(bare.interval(headline), whole.interval(headline).filter(|_| !of_logits), "{}", headline.name());
    }
}

#[test]
fn one_draw_has_nulls_and_no_nan() {
    let evaluation = evaluate(&groups(1, 0), &QUICK).unwrap();
    let entry = ModelEntry::new(description("map", Strategy::Float, Bits::FLOAT), &evaluation);
    let json = serde_json::to_value(&entry).unwrap();
    for name in [
        "auroc_epistemic_ood_vs_clean",
        "auroc_epistemic_ambiguous_vs_clean",
        "auroc_share_ood_vs_clean_ambiguous",
        "spearman_aleatoric_epistemic",
    ] {
        assert!(json[name].is_null() && json["ci95"].get(name).is_none(), "{name}");
    }
    assert!(json["auroc_aleatoric_ood_vs_clean"].is_f64() && json["mean_uncertainty"]["ood"]["epistemic"].is_null());
}

#[test]
fn absent_groups_leave_their_metrics_out() {
    let alone = Groups(groups(4, 0).0[..1].to_vec());
    let evaluation = evaluate(&alone, &QUICK).unwrap();
    let defined: Vec<_> = Headline::ALL.into_iter().filter(|h| evaluation.value(*h).is_some()).collect();
    use Headline::*;
    let errors = [ErrorAuroc, Aurc, Augrc].into_iter().flat_map(|of| Score::ALL.map(of));
    let wanted = [Accuracy, Nll, Brier, Ece, SpearmanAleatoricEpistemic].into_iter().chain(errors);
    assert_eq!(defined, wanted.collect::<Vec<_>>());
    assert_eq!(evaluation.counts(), Counts { clean: 50, ambiguous: 0, ood: 0 });
}

#[test]
fn without_resamples_there_are_values_and_no_intervals() {
    let options = EvalOptions { resamples: 0, seed: 0 };
    let evaluation = evaluate(&groups(4, 0), &options).unwrap();
    let known = Headline::ALL.iter().filter(|h| !h.needs_validation());
    assert!(known.clone().all(|h| evaluation.value(*h).is_some() && evaluation.interval(*h).is_none()));
    let same = compare("a", &evaluation, "b", &evaluation).unwrap();
    assert_eq!(*same.metrics.get(Headline::Nll), Some(Difference { value: 0.0, ci95: None }));
}

#[test]
fn evaluations_repeat_and_the_seed_moves_only_the_intervals() {
    let (a, b) = (evaluate(&groups(8, 0), &QUICK).unwrap(), evaluate(&groups(8, 0), &QUICK).unwrap());
    let c = evaluate(&groups(8, 0), &EvalOptions { seed: 12, ..QUICK }).unwrap();
    for h in Headline::ALL {
        assert_eq!((a.value(h), a.interval(h)), (b.value(h), b.interval(h)));
        assert_eq!(a.value(h), c.value(h));
    }
    assert_ne!(a.interval(Headline::Nll), c.interval(Headline::Nll));
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let evaluation = evaluate(&groups(8, 0), &QUICK).unwrap();
    let entry = compare("a", &evaluation, "float", &evaluation).unwrap();
    assert!(Headline::CALIBRATED.iter().all(|h| entry.metrics.get(*h).is_none()));
    for h in Headline::ALL.into_iter().filter(|h| !h.needs_validation()) {
        assert_eq!(*entry.metrics.get(h), Some(Difference { value: 0.0, ci95: Some([0.0, 0.0]) }));
    }
}

#[test]
fn pairing_cancels_what_the_inputs_share() {
    let float = evaluate(&groups(16, 0), &QUICK).unwrap();
    // The same model with fewer draws: nearly the same answers.
    let mut fewer = groups(16, 0);
    let cut = |p: &Predictions| {
        let size = p.inputs() * p.classes();
        let fewer = Predictions::new(12, p.inputs(), p.classes(), p.probs()[..12 * size].to_vec()).unwrap();
        fewer.with_energies(p.energies().unwrap()[..12 * p.inputs()].to_vec()).unwrap()
    };
    fewer.0.iter_mut().for_each(|g| g.predictions = cut(&g.predictions));
    let fewer = evaluate(&fewer, &QUICK).unwrap();
    let [lo, hi] = compare("few", &fewer, "float", &float).unwrap().metrics.get(Headline::Nll).unwrap().ci95.unwrap();
    let [own_lo, own_hi] = float.interval(Headline::Nll).unwrap();
    assert!(hi - lo < 0.2 * (own_hi - own_lo), "[{lo}, {hi}] against [{own_lo}, {own_hi}]");
}

#[test]
fn evaluations_that_do_not_pair_are_refused() {
    let float = evaluate(&groups(8, 0), &QUICK).unwrap();
    let seed = evaluate(&groups(8, 0), &EvalOptions { seed: 1, ..QUICK }).unwrap();
    let mut other = groups(8, 0);
    other.0[0].labels[0] = 3 - other.0[0].labels[0];
    let labels = evaluate(&other, &QUICK).unwrap();
    other.0.pop();
    let fewer = evaluate(&other, &QUICK).unwrap();
    for other in [seed, labels, fewer] {
        let error = compare("a", &other, "float", &float).unwrap_err();
        assert!(matches!(error, EvalError::NotPaired { .. }));
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn groups_that_disagree_are_refused() {
    let refuse = |change: fn(&mut Groups)| {
        let mut groups = groups(4, 0);
        change(&mut groups);
        evaluate(&groups, &QUICK).unwrap_err()
    };
    let error = refuse(|g| g.0[0].labels.truncate(49));
    assert_eq!(error, EvalError::LabelCount { found: 49, wanted: 50 });
    let error = refuse(|g| g.0[0].labels[7] = 4);
    assert_eq!(error, EvalError::LabelRange { label: 4, input: 7, classes: 4 });
    let error = refuse(|g| g.0[2].predictions = some(5, 30, 4, 0, 1.0));
    assert!(matches!(error, EvalError::GroupsDisagree { ref group, dimension: "samples", .. } if group == "ood"));
    let error = refuse(|g| g.0[2].predictions = some(4, 30, 3, 0, 1.0));
    assert!(matches!(error, EvalError::GroupsDisagree { dimension: "classes", .. }));
    let error = refuse(|g| g.0[1].soft_labels = Some(vec![0.25; 3]));
    assert!(matches!(error, EvalError::LengthsDiffer { left: 3, right: 160, .. }));
    let error = refuse(|g| g.0[1].soft_labels = Some(vec![f32::NAN; 160]));
    assert!(matches!(error, EvalError::NotAProbability { .. }));
    assert_eq!(refuse(|g| g.0.retain(|g| g.role != Role::Clean)), EvalError::NoClean);
    let twice = refuse(|g| g.0[2].name = "clean".into());
    assert_eq!(twice, EvalError::GroupTwice { name: "clean".into() });
}

/// Whatever is added to the first groups of their roles, wherever it stands, changes no figure of theirs.
#[test]
fn further_groups_change_no_figure_of_the_first() {
    let (few, more) = (groups(8, 0), more_groups(8, 0));
    assert_eq!(more.iter().map(|g| g.name.as_str()).collect::<Vec<_>>()[..4], ["ood", "clean", "ambiguous", "near"]);
    let [few, more] = [&few, &more].map(|g| evaluate(g, &QUICK).unwrap());
    for h in Headline::ALL {
        assert_eq!((few.value(h), few.interval(h), few.tied(h)), (more.value(h), more.interval(h), more.tied(h)));
    }
    assert_eq!((few.counts(), few.mean_uncertainty()), (more.counts(), more.mean_uncertainty()));
    assert_eq!(few.labels(), more.labels());
}

/// A further group has the figures that it would have, were it the first of its role.
#[test]
fn a_further_group_is_measured_as_the_first_would_be() {
    let all = more_groups(8, 0);
    let more = evaluate(&all, &QUICK).unwrap();
    let names: Vec<_> = more.further().map(|g| g.name).collect();
    assert_eq!(names, ["near", "second-clean", "second-ambiguous", "second-ood", "noise"]);
    for group in more.further() {
        let measured = group.measured;
        let mut alone = all.clone();
        alone.0.retain(|g| g.role != group.role && g.role != Role::Shifted || g.name == *group.name);
        if group.role == Role::Shifted {
            // Measured by itself, as a clean one.
            alone = Groups(vec![TestGroup { role: Role::Clean, ..all.named(group.name).unwrap().clone() }]);
        }
        let alone = evaluate(&alone, &QUICK).unwrap();
        for h in Headline::ALL {
            let wanted = alone.value(h).filter(|_| h.is_of(group.role));
            assert_eq!(measured.value(h), wanted, "{} of {}", h.name(), group.name);
            assert_eq!(more.value_of(group.name, h), wanted);
            // Of 20 inputs some resample may have no wrong prediction, or no right one.
            if !matches!(h, Headline::ErrorAuroc(_)) {
                assert_eq!(measured.interval(h).is_some(), wanted.is_some(), "{} of {}", h.name(), group.name);
            }
        }
    }
    assert_eq!(more.value_of("clean", Headline::Accuracy), more.value(Headline::Accuracy));
    assert_eq!(more.value_of("nobody", Headline::Accuracy), None);
}

/// Groups made by two shifts, of two severities and of one.
fn shifted_groups(salt: usize) -> Groups {
    let mut all = more_groups(8, salt);
    for (i, (kind, severity)) in [("blur", 1), ("noise", 2), ("noise", 4)].into_iter().enumerate() {
        let shift = Shift { kind: kind.into(), severity };
        let group = TestGroup::shifted(some(8, 20, 4, salt + 9 + i, 0.5), vec![1; 20]).named(shift.group());
        all.0.push(TestGroup { shift: Some(shift), ..group });
    }
    all
}

/// Means over shifts are those of their groups, resample by resample; groups that no shift made have no part in them.
#[test]
fn groups_made_by_shifts_have_means_and_change_no_other_figure() {
    let (plain, all) = (evaluate(&more_groups(8, 0), &QUICK).unwrap(), evaluate(&shifted_groups(0), &QUICK).unwrap());
    let other = evaluate(&shifted_groups(3), &QUICK).unwrap();
    let names: Vec<_> = all.further().skip(5).map(|g| (g.name, g.inputs)).collect();
    let made = [("blur-1", 20), ("noise-2", 20), ("noise-4", 20)];
    // One group of a kind is no mean.
    assert_eq!(names, [&made[..], &[(SHIFTS_MEAN, 60), ("noise@mean", 40)]].concat());
    for (before, after) in plain.further().zip(all.further()) {
        for h in Headline::ALL {
            assert_eq!(before.measured.value(h), after.measured.value(h));
            assert_eq!(before.measured.interval(h), after.measured.interval(h));
        }
    }
    for (mean, of) in [(SHIFTS_MEAN, &["blur-1", "noise-2", "noise-4"][..]), ("noise@mean", &["noise-2", "noise-4"])] {
        for h in [Headline::Accuracy, Headline::Nll, Headline::Brier, Headline::Ece] {
            let wanted = of.iter().map(|g| all.value_of(g, h).unwrap()).sum::<f64>() / of.len() as f64;
            assert!((all.value_of(mean, h).unwrap() - wanted).abs() < 1e-12);
            let found = all.further().find(|g| g.name == mean).unwrap();
            let [low, high] = found.measured.interval(h).unwrap();
            assert!(low <= wanted && wanted <= high && low < high, "{low} {wanted} {high}");
        }
        assert_eq!(all.value_of(mean, Headline::Auroc(Score::Total, Contrast::OodVsClean)), None);
    }
    let mut metrics = Metrics::new("x", 1);
    metrics.models.push(ModelEntry::new(description("float", Strategy::Float, Bits::FLOAT), &all));
    metrics.differences.push(compare("other", &other, "float", &all).unwrap());
    metrics.check().unwrap();
    let text = serde_json::to_string(&metrics).unwrap();
    assert!(text.contains(r#""name":"noise-4","role":"shifted","shift":{"kind":"noise","severity":4}"#), "{text}");
    assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
    // Tables show the mean in the place of its groups, and whatever bears a name of its own.
    let shown: Vec<_> = metrics.measures(&[Headline::Accuracy]).iter().map(Measure::name).collect();
    let wanted = ["accuracy", "second-clean:accuracy", "noise:accuracy", "shifts@mean:accuracy"];
    assert_eq!(shown, wanted);
    let measure = Measure::named("shifts@mean:accuracy").unwrap();
    let difference = metrics.differences[0].measured(&measure).unwrap();
    let of = |e: &Evaluation| e.value_of(SHIFTS_MEAN, Headline::Accuracy).unwrap();
    assert!((difference.value - (of(&other) - of(&all))).abs() < 1e-12 && difference.ci95.is_some());
}

#[test]
fn further_groups_are_written_read_and_compared() {
    let [float, other] = [0, 3].map(|salt| evaluate(&more_groups(8, salt), &QUICK).unwrap());
    let mut metrics = Metrics::new("x", 1);
    let mut entry = ModelEntry::new(description("float", Strategy::Float, Bits::FLOAT), &float);
    entry.by_samples = by_samples(&more_groups(8, 0)).unwrap();
    metrics.models.push(entry);
    metrics.models.push(ModelEntry::new(description("jq", Strategy::Jq, Bits::FLOAT), &other));
    metrics.differences.push(compare("jq", &other, "float", &float).unwrap());
    metrics.check().unwrap();
    let json = serde_json::to_value(&metrics).unwrap();
    let near = &json["models"][0]["groups"][0];
    assert_eq!((&near["name"], &near["role"], &near["inputs"]), (&json!("near"), &json!("ood"), &json!(25)));
    assert!(near["metrics"]["auroc_epistemic_ood_vs_clean"].is_f64() && near["metrics"].get("accuracy").is_none());
    assert_eq!(serde_json::from_value::<Metrics>(json).unwrap(), metrics);
    let measure = Measure { group: Some("noise".into()), headline: Headline::Accuracy };
    let values = metrics.models.iter().map(|m| m.measured(&measure).unwrap()).collect::<Vec<_>>();
    assert_eq!(metrics.differences[0].measured(&measure).unwrap().value, values[1] - values[0]);
    let last = metrics.models[0].by_samples.last().unwrap();
    let noise = last.groups.iter().find(|g| g.name == "noise").unwrap();
    assert_eq!(noise.metrics.get(Headline::Accuracy).unwrap().mean, values[0]);
    // Other groups are not the same inputs.
    let few = evaluate(&groups(8, 0), &QUICK).unwrap();
    assert!(matches!(compare("a", &few, "b", &float), Err(EvalError::NotPaired { .. })));
    // A file of groups that are the first of their roles has no such field.
    let text = serde_json::to_string(&file()).unwrap();
    assert!(!text.contains("\"groups\""));
}

#[test]
fn a_file_that_json_cannot_hold_is_refused() {
    let mut metrics = file();
    *metrics.models[1].values.get_mut(Headline::Nll) = Some(f64::NAN);
    let error = metrics.check().unwrap_err();
    assert_eq!(error, EvalError::NotFinite { field: "nll".into(), name: "jq-w4a4".into() });
    *metrics.models[1].values.get_mut(Headline::Nll) = None;
    assert_eq!(metrics.check(), Err(EvalError::MissingMetric { metric: "nll", name: "jq-w4a4".into() }));
    metrics.schema_version = 3;
    assert_eq!(metrics.check(), Err(EvalError::SchemaVersion { found: 3, wanted: 2 }));
}

#[test]
fn the_interval_of_the_accuracy_is_the_textbook_one() {
    // 80 of 100 right: standard error sqrt(0.8 * 0.2 / 100) = 0.04.
    let predictions = Predictions::new(1, 100, 2, [0.9, 0.1].repeat(100)).unwrap();
    let groups = Groups(vec![TestGroup::clean(predictions, (0..100).map(|n| usize::from(n < 20)).collect())]);
    let evaluation = evaluate(&groups, &EvalOptions { resamples: 4000, seed: 5 }).unwrap();
    let [lo, hi] = evaluation.interval(Headline::Accuracy).unwrap();
    assert!((lo - 0.7216).abs() < 0.015 && (hi - 0.8784).abs() < 0.015, "[{lo}, {hi}]");
}

#[test]
fn a_difference_and_its_interval_have_the_same_sign() {
    const SOFT: Headline = Headline::SpearmanAleatoricSoftLabel;
    let [float, other] = [0, 3].map(|salt| evaluate(&groups(8, salt), &QUICK).unwrap());
    let there = compare("other", &other, "float", &float).unwrap().metrics.get(SOFT).unwrap();
    let back = compare("float", &float, "other", &other).unwrap().metrics.get(SOFT).unwrap();
    // These two models differ by about 1 in this metric, far beyond the interval's width.
    let [lo, hi] = there.ci95.unwrap();
    assert!(0.0 < lo && lo < there.value && there.value < hi, "{there:?}");
    let [back_lo, back_hi] = back.ci95.unwrap();
    assert!((back.value + there.value).abs() < 1e-12 && (back_lo + hi).abs() < 1e-12 && (back_hi + lo).abs() < 1e-12);
}

#[test]
fn sizes_are_compared_by_one_measure() {
    let evaluation = evaluate(&groups(4, 0), &QUICK).unwrap();
    let entry = |parameter_bytes, file_bytes| {
        let description = description("x", Strategy::Jq, Bits::FLOAT);
        ModelEntry::new(ModelDescription { parameter_bytes, file_bytes, ..description }, &evaluation)
    };
    let (float, jq, other) = (entry(800, Some(900)), entry(100, Some(120)), entry(200, None));
    assert_eq!(jq.bytes_beside(&float), (120, 900));
    assert_eq!(other.bytes_beside(&float), (200, 800));
    assert_eq!((jq.bytes(), other.bytes()), (120, 200));
    let json = serde_json::to_value(&jq).unwrap();
    assert_eq!((&json["parameter_bytes"], &json["file_bytes"]), (&100.into(), &120.into()));
    assert!(serde_json::to_value(&other).unwrap().get("file_bytes").is_none());
}
