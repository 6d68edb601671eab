//! A model in the program's own bytes, run with integers alone on a device that has a heap.
//!
//! `cargo run --release --example session` (`qbnn-core` without `std`, with its feature `alloc`, has all of it but `println`)
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use qbnn_core::Session;
use qbnn_core::uncertainty::FRACTION_BITS;

static MODEL: &[u8] = include_bytes!("tiny.qbnn");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut session = Session::new(MODEL)?;
    let image = vec![128; session.input().len()];
    let answer = session.classify(&image, 32, 1)?;
    println!("class {}, probabilities in 2^-32: {:?}", answer.class, answer.probabilities);
    println!("in 2^-{FRACTION_BITS} nats: total {}, aleatoric {}", answer.total, answer.aleatoric);
    println!("epistemic {}", answer.epistemic);
    Ok(())
}
