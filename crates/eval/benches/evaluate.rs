//! How long the evaluation of 26,000 inputs under 32 draws takes, with and without its bootstrap intervals.
//!
//! ```console
//! cargo bench -p qbnn-eval --bench evaluate
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

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

fn main() {
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
}
