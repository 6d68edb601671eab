//! Writes the inputs that a fuzzer starts from into `corpus`: small valid files of every kind.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`

#[path = "../../../crates/core/tests/common/mod.rs"]
mod common;

use common::Builder;
use qbnn_core::draw::Rounding;
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{Function, Kind, Op};
use qbnn_data::idx::{Idx, Storage, Values};
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    models(&corpus.join("model"))?;
    images(&corpus.join("images"))?;
    tensors(&corpus.join("tensors"))
}

/// What libraries wrote: whole files, and what lies in them (descriptions, arrays), which is where a fuzzer is to begin; and
/// safetensors.
fn tensors(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/data/tests/fixtures/posteriors");
    let mut files: Vec<_> = fs::read_dir(fixtures)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "pt" || e == "ckpt" || e == "npz"));
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(&path)?;
        let inner = |entry: &str| entry.ends_with("data.pkl") || entry.ends_with(".npy");
        for (number, (_, content)) in entries(&bytes).into_iter().filter(|(name, _)| inner(name)).take(4).enumerate() {
            fs::write(folder.join(format!("seed-{name}-{number}")), content)?;
        }
        fs::write(folder.join(format!("seed-{name}")), bytes)?;
    }
    let header = br#"{"a.weight.mu":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]}}"#;
    let safetensors = [&(header.len() as u64).to_le_bytes()[..], header, &[0x3f; 18]].concat();
    fs::write(folder.join("seed-safetensors"), safetensors)?;
    Ok(())
}

/// Names and contents of the stored entries of a zip archive, by its directory.
fn entries(zip: &[u8]) -> Vec<(String, &[u8])> {
    let number = |at: usize, size: usize| -> usize {
        zip.get(at..at + size).unwrap_or(&[]).iter().rev().fold(0, |n, &b| n << 8 | usize::from(b))
    };
    let starts = zip.windows(4).enumerate().filter(|(_, w)| *w == b"PK\x01\x02").map(|(at, _)| at);
    starts
        .filter_map(|at| {
            let name = String::from_utf8_lossy(zip.get(at + 46..at + 46 + number(at + 28, 2))?).into_owned();
            let local = number(at + 42, 4);
            let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
            Some((name, zip.get(start..start + number(at + 20, 4))?))
        })
        .collect()
}

/// The layers of a builder as a file of kind float.
fn float(b: &Builder) -> Result<Vec<u8>, Box<dyn Error>> {
    let header = Header { kind: Kind::Float, mu: None, sigma: None, weight: None, activation: None, ..b.header() };
    let layers: Vec<_> = b
        .layers
        .iter()
        .map(|(layer, _)| {
            let (mut layer, mut parameters) = (*layer, Parameters::default());
            match &mut layer.op {
                Op::Linear(l) => {
                    let (n, channels) = (l.fan_in() * layer.shape.channels, layer.shape.channels);
                    parameters.float = [vec![0.5; n], vec![0.1; n], vec![0.5; channels], vec![0.1; channels]];
                }
                Op::Activation(a) => a.bits = None,
                _ => {}
            }
            (layer, parameters)
        })
        .collect();
    Ok(write(&header, &layers)?)
}

fn models(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for (i, bits) in [[4; 4], [2, 3, 5, 8], [8, 2, 8, 2]].into_iter().enumerate() {
        for rounding in [Rounding::Nearest, Rounding::Stochastic] {
            let seed = i as u64 + 1;
            let name = |what: &str| folder.join(format!("seed-{what}-{i}-{}", rounding.noise_bytes()));
            let step = 2048 * (2 - bits[3] as i16);
            let mut b = Builder::new(seed, [1, 3, 4], bits, rounding);
            let v = b.dense(0, 5);
            let v = b.activation(v, Function::Relu, step);
            b.dense(v, 2);
            fs::write(name("dense"), b.finish())?;
            fs::write(folder.join("seed-float"), float(&b)?)?;

            let mut b = Builder::new(seed, [1, 6, 6], bits, rounding);
            let v = b.conv(0, 3, 3, 1, 1, 1);
            let v = b.activation(v, Function::ClippedRelu, step);
            let v = b.pool(v, true, 2, 2);
            b.dense(v, 3);
            fs::write(name("conv"), b.finish())?;

            let mut b = Builder::new(seed, [2, 5, 4], bits, rounding);
            let stem = b.conv(0, 4, 3, 1, 1, 2);
            let stem = b.activation(stem, Function::LeakyRelu, step);
            let v = b.conv(stem, 4, 3, 2, 1, 4);
            let v = b.activation(v, Function::Hardtanh, step);
            let w = b.conv(stem, 4, 1, 2, 0, 1);
            let w = b.activation(w, Function::Relu, step);
            let v = b.add(v, w);
            let v = b.pool(v, false, 2, 1);
            let v = b.activation(v, Function::Relu, step);
            b.dense(v, 2);
            fs::write(name("residual"), b.finish())?;
        }
    }
    Ok(())
}

fn images(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let noise = |n: usize| (0..n).map(|i| (i * i * 31 % 251) as u8).collect::<Vec<u8>>();
    let idx = Idx::new(vec![3, 4, 5], Values::U8(noise(60)))?;
    idx.write(&folder.join("seed-idx"), Storage::Plain)?;
    idx.write(&folder.join("seed-idx-gzip"), Storage::Gzip)?;
    Idx::new(vec![2, 3], Values::F32(vec![0.5; 6]))?.write(&folder.join("seed-idx-float"), Storage::Plain)?;
    use png::{BitDepth, ColorType};
    for (color, depths) in [
        (ColorType::Grayscale, &[BitDepth::One, BitDepth::Two, BitDepth::Four, BitDepth::Eight, BitDepth::Sixteen][..]),
        (ColorType::GrayscaleAlpha, &[BitDepth::Eight, BitDepth::Sixteen]),
        (ColorType::Rgb, &[BitDepth::Eight, BitDepth::Sixteen]),
        (ColorType::Rgba, &[BitDepth::Eight, BitDepth::Sixteen]),
        (ColorType::Indexed, &[BitDepth::One, BitDepth::Two, BitDepth::Four, BitDepth::Eight]),
    ] {
        for &depth in depths {
            let (width, height) = (13, 9);
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, width, height);
            encoder.set_color(color);
            encoder.set_depth(depth);
            if color == ColorType::Indexed {
                let entries = 1 << (depth as usize).min(4);
                encoder.set_palette(noise(3 * entries));
                encoder.set_trns(noise(entries / 2));
            }
            let row = (width as usize * color.samples() * depth as usize).div_ceil(8);
            let mut data = noise(row * height as usize);
            if color == ColorType::Indexed && depth == BitDepth::Eight {
                data.iter_mut().for_each(|v| *v %= 16);
            }
            encoder.write_header()?.write_image_data(&data)?;
            fs::write(folder.join(format!("seed-{color:?}-{depth:?}").to_lowercase()), bytes)?;
        }
    }
    Ok(())
}
