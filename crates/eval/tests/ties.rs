//! What ties, ties: no rank and no bin is decided by the last bit of a number.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_eval::report::{ModelPredictions, RunReport, run_page};
use qbnn_eval::*;

const NONE: EvalOptions = EvalOptions { resamples: 0, seed: 0 };

/// Votes of draws as predictions: each row of `votes` says how many draws give each class.
fn votes(votes: &[Vec<usize>]) -> Predictions {
    let (classes, samples) = (votes[0].len(), votes[0].iter().sum());
    let mut probs = Vec::new();
    for draw in 0..samples {
        for input in votes {
            let mut below = 0;
            probs.extend(input.iter().map(|&n| {
                let own = (below..below + n).contains(&draw);
                below += n;
                f64::from(u8::from(own))
            }));
        }
    }
    let energies = vec![0.0; samples * votes.len()];
    Predictions::new(samples, votes.len(), classes, probs).unwrap().with_energies(energies).unwrap()
}

fn two_groups(clean: Predictions, ood: Predictions) -> Groups {
    let labels = vec![0; clean.inputs()];
    Groups(vec![TestGroup::clean(clean, labels), TestGroup::ood(ood)])
}

fn turned(all: &[Vec<usize>], by: usize) -> Vec<Vec<usize>> {
    let turn = |v: &Vec<usize>| {
        let mut v = v.clone();
        let by = by % v.len();
        v.rotate_left(by);
        v
    };
    all.iter().map(turn).collect()
}

#[test]
fn equal_votes_in_another_class_order_are_no_difference() {
    let all: [Vec<Vec<usize>>; 4] = [
        vec![vec![5, 2, 3]; 20],
        vec![vec![1, 2, 7, 10]; 9],
        vec![vec![3, 1, 1, 1, 1]; 5],
        vec![vec![33, 19, 11, 37]; 12],
    ];
    for rows in &all {
        for by in 1..rows[0].len() {
            let evaluation = evaluate(&two_groups(votes(rows), votes(&turned(rows, by))), &NONE).unwrap();
            for score in Score::ALL {
                let headline = Headline::Auroc(score, Contrast::OodVsClean);
                assert_eq!(evaluation.value(headline), Some(0.5), "{rows:?} by {by}: {}", headline.name());
                assert_eq!(evaluation.tied(headline), Some(1.0), "{rows:?} by {by}: {}", headline.name());
            }
            // All images score the same, whatever the order of their classes.
            let mixed: Vec<_> = (0..6).flat_map(|i| turned(&rows[..1], i)).collect();
            let groups = Groups(vec![TestGroup::clean(votes(&mixed), vec![0; 6])]);
            assert_eq!(evaluate(&groups, &NONE).unwrap().value(Headline::SpearmanAleatoricEpistemic), None);
        }
    }
}

/// Single-precision rows in another order of classes: their sums are not 1, and differ in the last bit.
#[test]
fn rows_in_another_class_order_are_no_difference() {
    let draws: [[f32; 4]; 3] = [
        [0.689_702_5, 0.047_012_24, 0.000_419_739_08, 0.262_865_5],
        [0.795_792, 0.062_525_28, 0.112_241_74, 0.029_440_97],
        [0.241_143_3, 0.000_929_241, 0.545_203_9, 0.212_723_5],
    ];
    let predictions = |by: usize| {
        let row = |d: &[f32; 4]| (0..4).map(|c| f64::from(d[(c + by) % 4])).collect::<Vec<_>>();
        let probs = draws.iter().flat_map(|d| row(d).repeat(5)).collect();
        let energies = [-1.25, 0.5, -7.75].into_iter().flat_map(|e| [e; 5]).collect();
        Predictions::new(3, 5, 4, probs).unwrap().with_energies(energies).unwrap()
    };
    for by in 1..4 {
        for precision in [Precision::Single, Precision::Double] {
            let [clean, ood] = [0, by].map(|by| predictions(by).with_precision(precision));
            let evaluation = evaluate(&two_groups(clean, ood), &NONE).unwrap();
            for score in Score::ALL {
                assert_eq!(evaluation.value(Headline::Auroc(score, Contrast::OodVsClean)), Some(0.5), "{score:?}");
            }
        }
    }
}

#[test]
fn an_auroc_that_rests_on_ties_is_said_to() {
    let sure = votes(&vec![vec![4, 0]; 10]);
    let half: Vec<_> = (0..10).map(|i| if i < 5 { vec![4, 0] } else { vec![3, 1] }).collect();
    let evaluation = evaluate(&two_groups(sure, votes(&half)), &NONE).unwrap();
    let description = ModelDescription {
        name: "votes".into(),
        strategy: Strategy::Float,
        bits: Bits::FLOAT,
        parameter_bytes: 0,
        parameters: None,
        file_bytes: None,
    };
    let entry = ModelEntry::new(description, &evaluation);
    let headline = Headline::Auroc(Score::Epistemic, Contrast::OodVsClean);
    assert_eq!((entry.value(headline), *entry.tied_pairs.get(headline)), (Some(0.75), Some(0.5)));
    assert!(entry.notes()[0].contains("ties decide") && entry.notes()[0].contains("(50 %)"), "{:?}", entry.notes());
}

/// Twelve of twenty votes are 0.6, which ends a bin, in every precision and however the mean is taken.
#[test]
fn a_confidence_on_the_edge_of_a_bin_stays_below_it() {
    for (count, of) in [(12, 20), (9, 15), (18, 30), (14, 15), (28, 30), (8, 15), (7, 15), (20, 30)] {
        let rows = vec![vec![count, of - count]; 20];
        let labels: Vec<usize> = (0..20).map(|i| i % 2).collect();
        let confidence = count.max(of - count) as f64 / of as f64;
        // With its neighbour bin's inputs, wrong by the other sign: told apart, the two gaps add up.
        for precision in [Precision::Single, Precision::Double] {
            let mean = uncertainty(&votes(&rows).with_precision(precision)).mean_probs;
            let bin = bin_of(mean[0].max(mean[1]), precision);
            assert_eq!(bin, (confidence * 15.0).round() as usize - 1, "{count} of {of}");
            let below = bin_of(confidence - 0.01, precision);
            assert_eq!(bin, below, "{count} of {of}");
        }
        let found = ece(&uncertainty(&votes(&rows)).mean_probs, 2, &labels).unwrap();
        assert!((found - (confidence - 0.5).abs()).abs() < 1e-12, "{found}");
    }
}

/// The diagram's bins are those of the ECE beside it: the sum over its rows is the ECE.
#[test]
fn the_reliability_diagram_and_the_ece_have_the_same_bins() {
    // 14/15 and a little more: one image in two on the edge of the last bin.
    let confidences: Vec<f64> = (0..20).map(|i| if i % 2 == 0 { 14.0 / 15.0 } else { 14.0 / 15.0 + 0.01 }).collect();
    let probs: Vec<f64> = confidences.iter().flat_map(|&p| [p, 1.0 - p]).collect();
    let labels: Vec<usize> = (0..20).map(|i| usize::from(i % 2 == 0)).collect();
    let groups = Groups(vec![TestGroup::clean(Predictions::new(1, 20, 2, probs).unwrap(), labels.clone())]);
    let evaluation = evaluate(&groups, &NONE).unwrap();
    let wanted = (14.0 / 15.0 + 1.0 - (14.0 / 15.0 + 0.01)) / 2.0;
    assert!((evaluation.value(Headline::Ece).unwrap() - wanted).abs() < 1e-12);
    let mut metrics = Metrics::new("x", 0);
    let description = ModelDescription {
        name: "m".into(),
        strategy: Strategy::Float,
        bits: Bits::FLOAT,
        parameter_bytes: 0,
        parameters: None,
        file_bytes: None,
    };
    metrics.models.push(ModelEntry::new(description, &evaluation));
    let mut report = RunReport::new("t", metrics);
    report.predictions = vec![ModelPredictions::of("m", &evaluation)];
    report.labels = labels;
    let page = run_page(&report);
    let figure = page.figures.iter().find(|f| f.id == "reliability").unwrap();
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    let sum: f64 =
        figure.table.rows.iter().map(|r| number(&r[2]) / 20.0 * (number(&r[3]) - number(&r[4])).abs() / 100.0).sum();
    assert_eq!(figure.table.rows.len(), 2, "{:?}", figure.table.rows);
    assert!((sum - wanted).abs() < 1e-4, "{sum} and {wanted}");
}

#[test]
fn a_clamped_likelihood_is_said() {
    let clean =
        TestGroup::clean(Predictions::new(1, 3, 2, vec![1.0, 0.0, 0.5, 0.5, 1.0, 1e-13]).unwrap(), vec![1, 0, 1]);
    let evaluation = evaluate(&Groups(vec![clean]), &NONE).unwrap();
    assert_eq!(evaluation.calibration().unwrap().clamped, 2);
    let description = ModelDescription {
        name: "m".into(),
        strategy: Strategy::Float,
        bits: Bits::FLOAT,
        parameter_bytes: 0,
        parameters: None,
        file_bytes: None,
    };
    let entry = ModelEntry::new(description, &evaluation);
    assert_eq!(entry.nll_clamped, Some(Clamped { inputs: 2, at: NLL_EPS }));
    assert!(
        entry.notes()[0].contains("2 clean images gave the label a probability below 1e-12"),
        "{:?}",
        entry.notes()
    );
}
