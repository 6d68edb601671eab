//! The contract of `metrics.json`, the pairing of two models, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod file;
mod further;

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
