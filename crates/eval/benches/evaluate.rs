//! How long the evaluation of 26,000 inputs under 32 draws takes, or of as many inputs as are named under 2, with and
//! without its bootstrap intervals.
//!
//! ```console
//! cargo bench -p qbnn-eval --bench evaluate
//! cargo bench -p qbnn-eval --bench evaluate -- 2000000
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use qbnn_eval::{EvalOptions, Groups, Predictions, TestGroup, evaluate};

/// Cheap, uneven rows without ties.
fn some(samples: usize, inputs: usize, classes: usize, state: &mut u64) -> Predictions {
    let mut probs = Vec::with_capacity(samples * inputs * classes);
    for _ in 0..samples * inputs {
        let row: Vec<f64> = (0..classes)
            .map(|_| {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((*state >> 40) as f64 / (1 << 24) as f64).powi(8) + 1e-6
            })
            .collect();
        let sum: f64 = row.iter().sum();
        probs.extend(row.iter().map(|v| v / sum));
    }
    Predictions::new(samples, inputs, classes, probs).unwrap()
}

fn groups(samples: usize, [clean, ambiguous, ood]: [usize; 3]) -> Groups {
    let mut state = 1;
    let predictions = some(samples, ambiguous, 10, &mut state);
    let soft_labels = Some(some(1, ambiguous, 10, &mut state).probs().iter().map(|&p| p as f32).collect());
    Groups(vec![
        TestGroup::clean(some(samples, clean, 10, &mut state), (0..clean).map(|n| n % 10).collect()),
        TestGroup::ambiguous(predictions, soft_labels),
        TestGroup::ood(some(samples, ood, 10, &mut state)),
    ])
}

fn main() {
    let inputs = std::env::args().nth(1).and_then(|n| n.parse::<usize>().ok());
    let groups = match inputs {
        Some(n) => groups(2, [n / 2, n / 4, n - n / 2 - n / 4]),
        None => groups(32, [10_000, 6_000, 10_000]),
    };
    let time = |resamples| {
        let start = Instant::now();
        evaluate(&groups, &EvalOptions { resamples, seed: 0 }).unwrap();
        start.elapsed()
    };
    let (without, with) = (time(0), time(1000));
    println!("point values {without:?}, with 1,000 resamples {with:?}");
}
