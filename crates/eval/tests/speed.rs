//! How long a full evaluation takes: `cargo test --release -p qbnn-eval --test speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use std::time::{Duration, Instant};

use qbnn_eval::{AmbiguousGroup, EvalOptions, Groups, LabelledGroup, OodGroup, Predictions, evaluate};

/// Cheap, uneven rows without ties.
fn some(samples: usize, inputs: usize, classes: usize, state: &mut u64) -> Predictions {
    let mut probs = Vec::with_capacity(samples * inputs * classes);
    for _ in 0..samples * inputs {
        let row: Vec<f32> = (0..classes)
            .map(|_| {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((*state >> 40) as f32 / (1 << 24) as f32).powi(8) + 1e-6
            })
            .collect();
        let sum: f32 = row.iter().sum();
        probs.extend(row.iter().map(|v| v / sum));
    }
    Predictions::new(samples, inputs, classes, probs).unwrap()
}

#[test]
#[ignore = "measures time; meant for a release build on a quiet machine"]
fn a_full_evaluation_takes_seconds() {
    let mut state = 1;
    let ambiguous = some(32, 6_000, 10, &mut state);
    let soft_labels = Some(some(1, 6_000, 10, &mut state).probs().to_vec());
    let groups = Groups {
        clean: LabelledGroup {
            predictions: some(32, 10_000, 10, &mut state),
            labels: (0..10_000).map(|n| n % 10).collect(),
        },
        ambiguous: Some(AmbiguousGroup { predictions: ambiguous, soft_labels }),
        ood: Some(OodGroup { predictions: some(32, 10_000, 10, &mut state) }),
    };
    let time = |resamples| {
        let start = Instant::now();
        evaluate(&groups, &EvalOptions { resamples, seed: 0 }).unwrap();
        start.elapsed()
    };
    let (without, with) = (time(0), time(1000));
    println!("point values {without:?}, with 1,000 resamples {with:?}");
    assert!(with < Duration::from_secs(10));
}
