//! Same seeds, same bytes: what every kind of posterior, estimator and quantizer trains to, and the model files made of
//! it, against hashes that an earlier version of this crate left behind; and a checkpoint file of that version.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_bnn::internals::identity::sha256;
use qbnn_bnn::train::train;
use qbnn_bnn::{
    BitWidths, Calibration, Checkpoint, Estimator, ImagesView, Labels, NetworkSpec, Normalisation, PosteriorKind,
    QuantizeSettings, Rounding, Scale, Shape, SigmaGrid, Start, Strategy, TrainData, TrainSettings, export,
};
use safetensors::SafeTensors;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const SHAPE: Shape = Shape { channels: 2, rows: 6, columns: 6 };
const IMAGES: usize = 96;
const CLASSES: usize = 3;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/same_bytes").join(name)
}

/// Trains, and quantizes and trains again where `quantize` says so.
fn trained(train_settings: TrainSettings, quantize: Option<QuantizeSettings>) -> Checkpoint {
    let pixels: Vec<u8> = (0..IMAGES * SHAPE.len())
        .map(|i| ((i * i * 31 + i * 7) % 97 + if i / SHAPE.len() % CLASSES == i % CLASSES { 110 } else { 0 }) as u8)
        .collect();
    let ood: Vec<u8> = (0..IMAGES * SHAPE.len()).map(|i| (i * 89 % 251) as u8).collect();
    let images = ImagesView { shape: SHAPE, pixels: &pixels };
    let pairs: Vec<(u32, u16)> = (0..IMAGES).map(|i| (i as u32, (i % CLASSES) as u16)).collect();
    let labels: Vec<u16> = pairs.iter().map(|p| p.1).collect();
    let soft: Vec<f32> =
        (0..IMAGES * CLASSES).map(|i| if i / CLASSES % CLASSES == i % CLASSES { 0.8 } else { 0.1 }).collect();
    let data = TrainData {
        noise: 0.05,
        soft_labels: Some(&soft),
        ood: Some(ImagesView { shape: SHAPE, pixels: &ood }),
        ..TrainData::of_pairs(images, &pairs, images, &labels)
    };
    let layers = json!([
        { "type": "conv", "out": 5, "kernel": 3, "padding": 1 }, { "type": "relu" }, { "type": "average-pool", "size": 2 },
        { "type": "dense", "out": 9 }, { "type": "hardtanh" }, { "type": "dense", "out": CLASSES }
    ]);
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "tiny", "layer": layers })).unwrap();
    let pixels = Normalisation { mean: 0.3, std: 0.3 };
    let mut checkpoint = Checkpoint::new(&spec, SHAPE, CLASSES, pixels, 7, train_settings).unwrap();
    let finish = |c: &mut Checkpoint| train(c, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(())).unwrap();
    finish(&mut checkpoint);
    if let Some(settings) = quantize {
        checkpoint = Checkpoint::quantized(checkpoint, settings, &data).unwrap();
        finish(&mut checkpoint);
    }
    checkpoint
}

/// Settings of every branch that training and quantization have.
fn cases() -> Vec<(&'static str, TrainSettings, Option<QuantizeSettings>)> {
    let base = || TrainSettings { epochs: 2, batch: 64, learning_rate: 1e-2, ..TrainSettings::default() };
    let quant = || QuantizeSettings { epochs: 1, learning_rate: 1e-3, calibration: 64, ..QuantizeSettings::default() };
    let bits = |strategy: Strategy, bits| QuantizeSettings { strategy, bits: strategy.widths(bits), ..quant() };
    let point = || TrainSettings { posterior: PosteriorKind::Point, ..base() };
    vec![
        ("gaussian", base(), None),
        ("gaussian-two-draws-ood", TrainSettings { draws: 2, ood_weight: 0.5, labels: Labels::Soft, ..base() }, None),
        ("gaussian-local", TrainSettings { estimator: Estimator::LocalReparameterization, ..base() }, None),
        ("gaussian-flipout", TrainSettings { estimator: Estimator::Flipout, label_smoothing: 0.1, ..base() }, None),
        ("point", point(), None),
        ("dropout", TrainSettings { posterior: PosteriorKind::Dropout, dropout: 0.3, ..base() }, None),
        ("jq", base(), Some(bits(Strategy::Jq, 4))),
        ("jq-two-draws", TrainSettings { draws: 2, ..base() }, Some(bits(Strategy::Jq, 3))),
        ("jq-scratch", base(), Some(QuantizeSettings { start: Start::Scratch, ..bits(Strategy::Jq, 8) })),
        (
            "jq-stochastic",
            base(),
            Some(QuantizeSettings {
                rounding: Rounding::Stochastic,
                fit: Calibration::Range,
                scale: Scale::Tensor,
                ..bits(Strategy::Jq, 4)
            }),
        ),
        (
            "jq-mixed",
            base(),
            Some(QuantizeSettings {
                bits: BitWidths { mu: 5, sigma: 2, weight: 4, activation: 3 },
                kl_weight: Some(0.5),
                ..quant()
            }),
        ),
        ("vpq", base(), Some(bits(Strategy::Vpq, 4))),
        ("vpq-ranges", base(), Some(QuantizeSettings { sigma_scale: Scale::Channel, ..bits(Strategy::Vpq, 4) })),
        (
            "vpq-uniform-sigma",
            base(),
            Some(QuantizeSettings { sigma_grid: SigmaGrid::Uniform, ..bits(Strategy::Vpq, 4) }),
        ),
        (
            "vpq-uniform-ranges",
            base(),
            Some(QuantizeSettings {
                sigma_grid: SigmaGrid::Uniform,
                sigma_scale: Scale::Channel,
                fit: Calibration::Error,
                ..bits(Strategy::Vpq, 4)
            }),
        ),
        ("spq", base(), Some(bits(Strategy::Spq, 4))),
        (
            "spq-fixed-scales",
            base(),
            Some(QuantizeSettings { learn_scales: false, noise_bits: 3, ..bits(Strategy::Spq, 4) }),
        ),
        ("spq-point", point(), Some(bits(Strategy::Spq, 4))),
        ("float-again", base(), Some(QuantizeSettings { bits: BitWidths::FLOAT, ..quant() })),
    ]
}

/// A file's tensors alone: of the header, words may change.
fn of_tensors(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    let all = names.iter().flat_map(|name| {
        let view = tensors.tensor(name).unwrap();
        [format!("\0{name} {:?}\0", view.shape()).as_bytes(), view.data()].concat()
    });
    sha256(&all.collect::<Vec<u8>>())
}

/// The header, with the names of today and without its checksum.
fn header(path: &Path) -> serde_json::Value {
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let json = metadata.metadata().as_ref().unwrap()["qbnn"].replace("foreign_weight", "ood_weight");
    let mut header: serde_json::Value = serde_json::from_str(&json).unwrap();
    header.as_object_mut().unwrap().remove("checksum");
    header
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("qbnn-same-bytes-{}-{name}.safetensors", std::process::id()))
}

/// What the bytes of a float training depend on besides this crate: the instructions that add and multiply, and the
/// system's exponential, logarithm and cosine, as a hash of some of their values.
fn platform() -> String {
    #[cfg(target_arch = "x86_64")]
    let instructions = format!(
        "x86_64 fma={} avx2={} avx512f={}",
        is_x86_feature_detected!("fma"),
        is_x86_feature_detected!("avx2"),
        is_x86_feature_detected!("avx512f")
    );
    #[cfg(not(target_arch = "x86_64"))]
    let instructions = std::env::consts::ARCH.to_owned();
    let values = (1..4096).flat_map(|i| {
        let x = i as f32 / 512.0;
        [x.exp(), x.ln(), x.cos(), x.sin(), x.sqrt(), x.exp2(), x.log2(), (-x).exp_m1(), x.ln_1p(), x.tanh()]
            .map(f32::to_bits)
            .into_iter()
            .flat_map(u32::to_le_bytes)
    });
    format!("recorded on {instructions} functions {}", &sha256(&values.collect::<Vec<u8>>())[..16])
}

#[test]
fn every_kind_of_training_ends_in_the_bytes_that_it_ended_in() {
    let record = std::env::var_os("QBNN_RECORD").is_some();
    let mut found = format!("{}\n", platform());
    let wanted = std::fs::read_to_string(golden("hashes.txt")).unwrap_or_default();
    if !record && wanted.lines().next() != found.lines().next() {
        println!("LEFT OUT: hashes were {:?}, this is {found:?}", wanted.lines().next());
        return;
    }
    for (name, train_settings, quantize) in cases() {
        let (checkpoint, path) = (trained(train_settings, quantize), temporary(name));
        checkpoint.save(&path).unwrap();
        let file = export(&checkpoint).map_or_else(|_| "none".to_owned(), |file| sha256(&file)[..16].to_owned());
        found.push_str(&format!("{name} {} {file}\n", &of_tensors(&path)[..16]));
        if record && name == "jq" {
            std::fs::copy(&path, golden("jq.safetensors")).unwrap();
        }
        std::fs::remove_file(&path).unwrap();
    }
    if record {
        std::fs::write(golden("hashes.txt"), &found).unwrap();
    }
    let wanted = std::fs::read_to_string(golden("hashes.txt")).unwrap();
    for (found, wanted) in found.lines().zip(wanted.lines()) {
        assert_eq!(found, wanted, "(case, tensors of its checkpoint, model file)");
    }
    assert_eq!(found.lines().count(), wanted.lines().count());
}

#[test]
fn a_checkpoint_of_the_version_before_is_read_and_written_again() {
    let (old, new) = (golden("jq.safetensors"), temporary("again"));
    Checkpoint::load(&old).unwrap().save(&new).unwrap();
    assert_eq!(of_tensors(&new), of_tensors(&old));
    assert_eq!(header(&new), header(&old));
    // Results keep this identity, so it is that of the settings by their names of then. This file has neither origin nor
    // model file, so its checksum is the same hash.
    let wanted = "d9ef38888d06cc6fcc6ad2b54e272ceffa2a88e0e9c55465198b482852ed85e6";
    assert_eq!([&old, &new].map(|path| Checkpoint::load(path).unwrap().identity()), [wanted; 2]);
    std::fs::remove_file(&new).unwrap();
}
