//! A training loop of one's own: every step and epoch is an event, and the observer may stop.
//!
//! `cargo run --release --example training_loop`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use qbnn_bnn::train::{Event, train};
use qbnn_bnn::{Checkpoint, NetworkSpec, Normalisation, TrainData, TrainSettings};
use qbnn_data::{Limits, Locations, load};
use std::error::Error;
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn Error>> {
    let limits = Limits { train_limit: Some(2_000), group_limit: Some(200) };
    let dataset = load("strokes", &Locations::new(None, None, None), 1, limits)?;
    let validation = &dataset.validation;
    let data = TrainData {
        noise: dataset.train_noise,
        ..TrainData::of_pairs(
            dataset.train.images.view(),
            &dataset.train.pairs,
            validation.images.view(),
            &validation.labels,
        )
    };
    let network = NetworkSpec::named("mlp", dataset.classes()).ok_or("there is a network called mlp")?;
    let normalisation = Normalisation { mean: dataset.pixels.mean, std: dataset.pixels.std };
    let settings = TrainSettings { epochs: 20, ..TrainSettings::default() };
    let mut checkpoint = Checkpoint::new(&network, dataset.shape(), dataset.classes(), normalisation, 1, settings)?;

    // Stop once the validation accuracy has not risen for two epochs.
    let (mut best, mut since) = (0.0, 0);
    let mut observe = |event: &Event| {
        let Event::Epoch { epoch, nll, kl, validation_accuracy, .. } = event else { return ControlFlow::Continue(()) };
        println!("epoch {epoch}: NLL {nll:.3}, KL {kl:.3}, validation accuracy {:.1} %", 100.0 * validation_accuracy);
        since = if *validation_accuracy > best { 0 } else { since + 1 };
        best = f64::max(best, *validation_accuracy);
        if since < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    // Called after every epoch: where a checkpoint would be saved.
    let mut save = |_: &Checkpoint| Ok(());
    let outcome = train(&mut checkpoint, &data, &mut observe, &mut save)?;
    println!("{outcome:?} after {} epochs", checkpoint.epoch);
    Ok(())
}
