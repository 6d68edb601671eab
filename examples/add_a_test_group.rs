//! Add a named test group of your own: OOD images beside the built-in ones, each with its AUROC.
//!
//! `cargo run --release --example add_a_test_group`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use qbnn::config::EvalConfig;
use qbnn::opened::Model;
use qbnn::preprocess::Prepared;
use qbnn::{Silent, evaluate::evaluate_models};
use qbnn_bnn::train::train;
use qbnn_bnn::{Checkpoint, NetworkSpec, TrainSettings};
use qbnn_data::{Images, Limits, Locations, TestGroup, load};
use qbnn_eval::{Contrast, Headline, Measure, Score};
use std::error::Error;
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn Error>> {
    let limits = Limits { train_limit: Some(4_000), group_limit: Some(300) };
    let mut dataset = load("strokes", &Locations::new(None, None, None), 1, limits)?;

    // 300 images of stripes, 1 to 6 pixels wide: bytes, [image][row][column][channel].
    let stripe = |image: usize, row: usize, column: usize| {
        let along = if image.is_multiple_of(2) { row } else { column };
        (along / (1 + image % 6) % 2 * 255) as u8
    };
    let places = (0..300).flat_map(|i| (0..28 * 28).map(move |p| (i, p / 28, p % 28)));
    let pixels = places.map(|(i, row, column)| stripe(i, row, column)).collect();
    // Shape, labels and the name are checked against the dataset. `TestGroup::shifted` would take labels too.
    dataset.add_group(TestGroup::ood("stripes", Images { height: 28, width: 28, channels: 1, pixels }))?;

    let data = Prepared::new(&dataset);
    let network = NetworkSpec::named("mlp", dataset.classes()).ok_or("there is a network called mlp")?;
    let settings = TrainSettings { epochs: 10, learning_rate: 2e-3, ..TrainSettings::default() };
    let train_data = data.train_data(&settings, 1)?;
    let mut float =
        Checkpoint::new(&network, data.shape(), dataset.classes(), data.normalisation(), 1, settings.clone())?;
    train(&mut float, &train_data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;

    let models = [("float".to_owned(), Model::Checkpoint(Box::new(float)))];
    let settings = EvalConfig { samples: 16, bootstrap: 200, ..EvalConfig::default() };
    let found = evaluate_models(&Silent, &models, &data, settings, None, 1, "this example")?;
    let model = &found.metrics.models[0];
    // The headline metric is about the first OOD group; a further group is asked for by its name.
    let headline = Headline::Auroc(Score::Epistemic, Contrast::OodVsClean);
    for group in [None, Some("stripes".to_owned())] {
        let measure = Measure { group, headline };
        let (value, interval) = (model.measured(&measure), model.measured_interval(&measure));
        println!("{}: {:.3} {:.3?}", measure.title(), value.ok_or("it is measured")?, interval.unwrap_or_default());
    }
    Ok(())
}
