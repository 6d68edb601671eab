//! Train on arrays of your own, quantize to 4 bits, and write the file that a device runs.
//!
//! `cargo run --release --example own_arrays`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use qbnn_bnn::train::train;
use qbnn_bnn::{
    Checkpoint, ImagesView, NetworkSpec, Normalisation, QuantizeSettings, Shape, TrainData, TrainSettings, export,
};
use std::error::Error;
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn Error>> {
    // 8 x 8 grey images of two classes: a bright left half, a bright right half. Bytes, [image][row][column][channel].
    let shape = Shape { channels: 1, rows: 8, columns: 8 };
    let labels: Vec<u16> = (0..400).map(|i| (i % 2) as u16).collect();
    let pixel = |image: usize, place: usize| {
        let bright = (place % 8 >= 4) == (labels[image] == 1);
        (if bright { 160 } else { 30 }) + ((image * 31 + place * 17) % 64) as u8
    };
    let pixels: Vec<u8> = (0..400).flat_map(|i| (0..64).map(move |p| (i, p))).map(|(i, p)| pixel(i, p)).collect();
    let all = ImagesView { shape, pixels: &pixels };
    let held_out = ImagesView { shape, pixels: &pixels[300 * shape.len()..] };
    let pairs: Vec<(u32, u16)> = (0..300).zip(labels.iter().copied()).collect();
    let data = TrainData::of_pairs(all, &pairs, held_out, &labels[300..]);

    let network: NetworkSpec = toml::from_str(
        "name = \"halves\"\n[[layer]]\ntype = \"dense\"\nout = 16\n[[layer]]\ntype = \"relu\"\n[[layer]]\ntype = \
         \"dense\"\nout = 2\n",
    )?;
    let normalisation = Normalisation { mean: 0.4, std: 0.25 };
    let settings = TrainSettings { epochs: 10, batch: 50, learning_rate: 5e-3, ..TrainSettings::default() };
    let mut float = Checkpoint::new(&network, shape, 2, normalisation, 1, settings)?;
    train(&mut float, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;

    // Joint quantization to 4 bits, with two epochs of training through the quantizers.
    let settings = QuantizeSettings { epochs: 2, ..QuantizeSettings::default() };
    let mut quantized = Checkpoint::quantized(float, settings, &data)?;
    train(&mut quantized, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;

    let file = export(&quantized)?;
    let path = std::env::temp_dir().join("halves.qbnn");
    std::fs::write(&path, &file)?;
    println!("{}: {} bytes", path.display(), file.len());
    Ok(())
}
