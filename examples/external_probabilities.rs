//! Measure the predictions of any other program: accuracy, calibration, and both kinds of uncertainty.
//!
//! `cargo run --release --example external_probabilities`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use qbnn_eval::{EvalError, EvalOptions, Groups, Headline, Predictions, TestGroup, evaluate};

fn main() -> Result<(), EvalError> {
    // Class probabilities [draw][input][class] of three draws of a network: four inputs with labels, two without.
    let clean = Predictions::new(
        3,
        4,
        2,
        vec![
            0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 0.1, 0.9, // draw 1
            0.8, 0.2, 0.1, 0.9, 0.6, 0.4, 0.2, 0.8, // draw 2
            0.9, 0.1, 0.3, 0.7, 0.8, 0.2, 0.1, 0.9, // draw 3
        ],
    )?;
    let ood = Predictions::new(3, 2, 2, vec![0.9, 0.1, 0.2, 0.8, 0.1, 0.9, 0.9, 0.1, 0.5, 0.5, 0.3, 0.7])?;
    let groups = Groups(vec![TestGroup::clean(clean, vec![0, 1, 0, 1]), TestGroup::ood(ood)]);
    let evaluation = evaluate(&groups, &EvalOptions::default())?;
    for headline in Headline::FRONT {
        if let Some(value) = evaluation.value(headline) {
            println!("{} {value:.4}", headline.about().title);
        }
    }
    Ok(())
}
