//! A model in the program's own bytes, run with integers alone in memory of a fixed size: what a microcontroller does.
//!
//! `cargo run --release --example no_std` (the example itself prints, and so needs a host; everything else is `core`)
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use qbnn_core::kernel::Kernel;
use qbnn_core::model::Model;
use qbnn_core::run::{Plan, Scratch, Source, Step};
use qbnn_core::uncertainty::{FRACTION_BITS, uncertainty};

static MODEL: &[u8] = include_bytes!("tiny.qbnn");
const DRAWS: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::new(MODEL)?;
    let mut steps = [Step::default(); 16];
    let plan = Plan::new(model, &mut steps)?;
    // The plan says how much memory it needs; here it is known to be little.
    let (mut constants, mut signed, mut bytes, mut words) = ([0; 512], [0; 8_192], [0; 8_192], [0; 8_192]);
    let kernel = Kernel::named("scalar")?;
    let program = plan.prepare(kernel, &mut constants[..])?;
    let mut scratch = Scratch::new(&mut signed, &mut bytes, &mut words);

    let image = [128u8; 64];
    let mut logits = [0i32; 2 * DRAWS];
    // Weights are drawn while the network runs: nothing of them is kept.
    program.run(Source::Streamed { seed: 1 }, &image, 0..DRAWS as u32, &mut scratch, &mut logits)?;
    let mut mean = [0u64; 2];
    let u = uncertainty(logits.chunks_exact(2), &mut mean)?;
    let class = if mean[1] > mean[0] { 1 } else { 0 };
    println!("class {class}; in 2^-{FRACTION_BITS} nats: total {}, aleatoric {}", u.total, u.aleatoric);
    println!("epistemic {}", u.epistemic);
    Ok(())
}
