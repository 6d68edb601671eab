//! Decisions against other people's implementations (`golden/make_decisions.py`), and the laws that must hold for any input.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use proptest::prelude::*;
use qbnn_eval::{
    ConformalRule, ConformalScore, EvalError, apply_temperature, aps_scores, calibration, fit_temperature,
    quantile_rank, threshold_for_coverage, threshold_for_error, threshold_for_false_alarms, upper_quantile,
};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn whole(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| usize::try_from(v.as_u64().unwrap()).unwrap()).collect()
}

fn cases() -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("golden/decisions.json")).unwrap();
    golden["cases"].as_array().unwrap().clone()
}

/// Classes, mean probabilities and labels to calibrate with, mean probabilities of new inputs.
fn inputs(case: &Value) -> (usize, Vec<f64>, Vec<usize>, Vec<f64>) {
    let parts = case["parts"].as_f64().unwrap();
    let probs = |name: &str| numbers(&case[name]).iter().map(|v| v / parts).collect();
    (usize::try_from(case["classes"].as_u64().unwrap()).unwrap(), probs("mean"), whole(&case["labels"]), probs("new"))
}

#[test]
fn temperatures_as_scipy_finds_them() {
    for case in cases() {
        let (classes, mean, labels, _) = inputs(&case);
        let found = fit_temperature(&mean, classes, &labels).unwrap();
        let wanted = |name: &str| case["temperature"][name].as_f64().unwrap();
        // The NLL is flat at its minimum: a search on its values knows T to half its digits.
        assert!((found.temperature - wanted("temperature")).abs() < 1e-5, "{found:?}");
        assert!((found.nll_before - wanted("nll_before")).abs() < 1e-12);
        assert!((found.nll_after - wanted("nll_after")).abs() < 1e-12 && !found.at_end);
    }
}

#[test]
fn conformal_sets_as_mapie_makes_them() {
    for case in cases() {
        let (classes, mean, labels, new) = inputs(&case);
        for wanted in case["conformal"].as_array().unwrap() {
            for score in [ConformalScore::Lac, ConformalScore::Aps] {
                let alpha = wanted["alpha"].as_f64().unwrap();
                let rule = ConformalRule::fit(score, alpha, &mean, classes, &labels).unwrap();
                let wanted = &wanted[score.name()];
                assert_eq!(rule.quantile, wanted["quantile"].as_f64().unwrap(), "{score:?}");
                let sets: Vec<Vec<usize>> = wanted["sets"].as_array().unwrap().iter().map(whole).collect();
                assert_eq!(new.chunks_exact(classes).map(|row| rule.set(row)).collect::<Vec<_>>(), sets);
            }
        }
    }
}

/// MAPIE's scores are those of the labels, with a uniform share of each label's own probability.
#[test]
fn randomised_scores_as_mapie_takes_them() {
    for case in cases() {
        let (classes, mean, labels, _) = inputs(&case);
        let wanted = &case["conformal"][0]["randomised"];
        let (shares, wanted) = (numbers(&wanted["share"]), numbers(&wanted["scores"]));
        for (i, row) in mean.chunks_exact(classes).take(wanted.len()).enumerate() {
            let mut scores = vec![0.0; classes];
            aps_scores(row, shares[i], &mut scores);
            assert!((scores[labels[i]] - wanted[i]).abs() < 1e-12);
        }
    }
}

#[test]
fn thresholds_as_a_search_over_all_finds_them() {
    for case in cases() {
        let (classes, mean, labels, _) = inputs(&case);
        let rows = || mean.chunks_exact(classes);
        let scores: Vec<f64> = rows().map(|row| 1.0 - row.iter().copied().fold(0.0, f64::max)).collect();
        let wrong: Vec<bool> = rows().zip(&labels).map(|(row, &label)| qbnn_eval::arg_max(row).0 != label).collect();
        let wanted = &case["thresholds"];
        let level = wanted["coverage"]["level"].as_f64().unwrap();
        let found = threshold_for_coverage(&scores, level).unwrap();
        assert_eq!(found.value, wanted["coverage"]["value"].as_f64().unwrap());
        for wanted in wanted["errors"].as_array().unwrap() {
            match (threshold_for_error(&scores, &wrong, wanted["error"].as_f64().unwrap()), wanted["value"].as_f64()) {
                (Ok(found), Some(value)) => assert_eq!(found.value, value),
                (Err(EvalError::ErrorOutOfReach { .. }), None) => {}
                (found, wanted) => panic!("found {found:?}, wanted {wanted:?}"),
            }
        }
    }
}

/// SplitMix64: uniform numbers in [0, 1).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Inputs of a model that is too sure: labels are drawn from a flatter distribution than it claims.
fn overconfident(state: &mut u64, n: usize, classes: usize) -> (Vec<f64>, Vec<usize>) {
    let (mut probs, mut labels) = (vec![], vec![]);
    for _ in 0..n {
        let logits: Vec<f64> = (0..classes).map(|_| 4.0 * uniform(state)).collect();
        let softmax = |beta: f64| {
            let e: Vec<f64> = logits.iter().map(|z| (beta * z).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.into_iter().map(move |e| e / sum).collect::<Vec<_>>()
        };
        probs.extend(softmax(2.0));
        let (mut left, truth) = (uniform(state), softmax(1.0));
        labels.push(
            truth
                .iter()
                .position(|p| {
                    left -= p;
                    left < 0.0
                })
                .unwrap_or(classes - 1),
        );
    }
    (probs, labels)
}

/// The coverage over many calibrations lies between 1 - alpha and 1 - alpha + 1/(n + 1), whatever the model: with 400
/// repetitions of 200 new inputs its standard error is below 0.3 %.
#[test]
fn coverage_of_exchangeable_inputs() {
    let (mut state, classes) = (7, 6);
    for score in ConformalScore::ALL {
        for (n, alpha) in [(39, 0.1), (200, 0.1), (200, 0.25)] {
            let mut covered = 0.0;
            for _ in 0..400 {
                let (mean, labels) = overconfident(&mut state, n, classes);
                let rule = ConformalRule::fit(score, alpha, &mean, classes, &labels).unwrap();
                let (new, labels) = overconfident(&mut state, 200, classes);
                covered += rule.quality(&new, classes, &labels).unwrap().coverage / 400.0;
            }
            let exact = quantile_rank(n, 1.0 - alpha).unwrap() as f64 / (n as f64 + 1.0);
            assert!((covered - exact).abs() < 0.012, "{score:?}, {n}, {alpha}: {covered}, {exact} was wanted");
        }
    }
}

/// A model that is too sure by a factor of two gets the temperature two.
#[test]
fn the_temperature_of_an_overconfident_model() {
    let (mean, labels) = overconfident(&mut 3, 20_000, 5);
    let fit = fit_temperature(&mean, 5, &labels).unwrap();
    assert!((fit.temperature - 2.0).abs() < 0.1, "{fit:?}");
}

proptest! {
    /// The quantile is a score with enough scores at or below it, and none smaller has enough.
    #[test]
    fn the_quantile_by_counting(scores in prop::collection::vec(-3i32..3, 1..80), level in 0.05f64..0.95) {
        let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
        let needed = ((scores.len() + 1) as f64 * level - 1e-9).ceil();
        match upper_quantile(&scores, level) {
            Ok(q) => {
                let below = |limit: f64| scores.iter().filter(|&&s| s <= limit).count() as f64;
                prop_assert!(scores.contains(&q) && below(q) >= needed);
                prop_assert!(scores.iter().filter(|&&s| s < q).all(|&s| below(s) < needed));
            }
            Err(error) => {
                let refused = matches!(error, EvalError::TooFewFor { .. }) && needed > scores.len() as f64;
                prop_assert!(refused);
            }
        }
    }

    /// Temperature keeps rows distributions and the order of their classes; the fit never makes its inputs worse, and no other
    /// temperature of a coarse grid is better.
    #[test]
    fn temperature_laws(seed in 0u64..1000, n in 1usize..30, t in 0.1f64..10.0) {
        let (mean, labels) = overconfident(&mut { seed }, n, 4);
        let mut scaled = mean.clone();
        apply_temperature(&mut scaled, 4, t).unwrap();
        for (a, b) in mean.chunks_exact(4).zip(scaled.chunks_exact(4)) {
            prop_assert!((b.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
                prop_assert!(a[i] >= a[j] || b[i] <= b[j]);
            }
        }
        let fit = fit_temperature(&mean, 4, &labels).unwrap();
        prop_assert!(fit.nll_after <= fit.nll_before);
        prop_assert!(fit.nll_after <= calibration(&scaled, 4, &labels).unwrap().nll + 1e-9);
        let mut best = mean.clone();
        apply_temperature(&mut best, 4, fit.temperature).unwrap();
        prop_assert!((calibration(&best, 4, &labels).unwrap().nll - fit.nll_after).abs() < 1e-9);
    }

    /// A larger alpha gives sets within the sets of a smaller one; randomised scores lie between those without and with the
    /// class itself.
    #[test]
    fn sets_are_nested(seed in 0u64..1000, u in 0.0f64..1.0) {
        let state = &mut { seed };
        let (mean, labels) = overconfident(state, 60, 5);
        let (new, _) = overconfident(state, 10, 5);
        for score in ConformalScore::ALL {
            let [wide, narrow] = [0.05, 0.3].map(|a| ConformalRule::fit(score, a, &mean, 5, &labels).unwrap());
            for row in new.chunks_exact(5) {
                let set = wide.set(row);
                prop_assert!(narrow.set(row).iter().all(|class| set.contains(class)));
                let of = |u| { let mut s = [0.0; 5]; aps_scores(row, u, &mut s); s };
                let (low, middle, high) = (of(0.0), of(u), of(1.0));
                prop_assert!((0..5).all(|c| low[c] <= middle[c] && middle[c] <= high[c]));
            }
        }
    }

    /// Fewer false alarms need a higher threshold, and a threshold for an error keeps what it says.
    #[test]
    fn thresholds_are_monotone(all in prop::collection::vec((0u8..20, any::<bool>()), 40..120)) {
        let scores: Vec<f64> = all.iter().map(|(s, _)| f64::from(*s)).collect();
        let wrong: Vec<bool> = all.iter().map(|(s, w)| *w && *s > 5).collect();
        let [few, many] = [0.05, 0.2].map(|rate| threshold_for_false_alarms(&scores, rate).unwrap());
        prop_assert!(few.value >= many.value && few.coverage() >= 0.95);
        if let [Ok(strict), Ok(loose)] = [0.1, 0.3].map(|error| threshold_for_error(&scores, &wrong, error)) {
            prop_assert!(strict.value <= loose.value);
            let errors = scores.iter().zip(&wrong).filter(|(s, w)| strict.keeps(**s) && **w).count();
            prop_assert!((errors + 1) as f64 <= 0.1 * (strict.kept + 1) as f64 + 1e-9);
        }
    }
}
