//! Load a model file and predict with uncertainties.
//!
//! `cargo run --release --example predict` (or `-- MODEL.qbnn`, which is given one blank image)
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use qbnn_bnn::predictor::{Draws, NoProgress, of_file};
use qbnn_core::ImagesView;
use qbnn_eval::{Predictions, uncertainty};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let file = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => include_bytes!("tiny.qbnn").to_vec(),
    };
    let mut model = of_file(file)?;
    let pixels = vec![0; model.input().len()];
    let images = ImagesView { shape: model.input(), pixels: &pixels };
    let found = model.predict(images, Draws { count: 32, seed: 0 }, &mut NoProgress)?;
    let answer = uncertainty(&Predictions::new(found.draws, found.images, found.classes, found.values)?);
    println!("{}: probabilities {:?}", model.backend(), answer.mean_probs);
    println!("total {:.4}, aleatoric {:.4} nats", answer.total[0], answer.aleatoric[0]);
    println!("epistemic {:.4} nats", answer.epistemic.map_or(0.0, |e| e[0]));
    Ok(())
}
