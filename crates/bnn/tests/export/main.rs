//! Every network that trains has a model file that predicts what its checkpoint predicts, or is refused before training.
//!
//! Random networks of every layer in any order, of every kind of file, under all widths and both roundings; and their
//! analytic pass. `QBNN_CASES` sets how many (700 by default), `QBNN_FIRST` the number of the first, which a failure prints.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should fail loudly where it stands")]
#![allow(clippy::print_stdout, reason = "how many networks there were, and how near")]

mod networks;
#[path = "../random/mod.rs"]
mod random;

use networks::{Case, builds, network, settings};
use qbnn_bnn::internals::export::snap_scales;
use qbnn_bnn::internals::guide::Drawn;
use qbnn_bnn::internals::nn::pass::{BLOCK, FloatActivations, WeightSample, Workspace};
use qbnn_bnn::pfp::Pfp;
use qbnn_bnn::train::train;
use qbnn_bnn::verify::Difference;
use qbnn_bnn::{
    BnnError, Calibration, Checkpoint, ImagesView, Normalisation, QuantizeSettings, Shape, SigmaGrid, TrainData,
    TrainSettings, export, import, pfp, verify,
};
use qbnn_core::model::Model;
use random::Random;
use serde_json::json;
use std::ops::ControlFlow;

const IMAGES: usize = 32;
const NORMALISATION: Normalisation = Normalisation { mean: 0.4, std: 0.3 };

fn from_environment(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// The network after one step through its training, so that nothing in it is as it began.
fn trained(
    case: &Case,
    settings: Option<QuantizeSettings>,
    data: &TrainData<'_>,
    train_settings: &TrainSettings,
) -> Result<Checkpoint, BnnError> {
    let Case { spec, shape, classes } = case;
    let mut checkpoint = Checkpoint::new(spec, *shape, *classes, NORMALISATION, 3, train_settings.clone())?;
    train(&mut checkpoint, data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;
    if let Some(settings) = settings {
        let settings = QuantizeSettings { epochs: settings.epochs.min(1), learning_rate: 1e-2, ..settings };
        checkpoint = Checkpoint::quantized(checkpoint, settings, data)?;
        train(&mut checkpoint, data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;
    }
    Ok(checkpoint)
}

/// By how much the analytic pass of a file with float activations, every weight at its mean, is off the same network.
fn analytic_agrees(checkpoint: &Checkpoint, model: Model<'_>, images: ImagesView<'_>) -> f32 {
    let net = checkpoint.net();
    let imported = import(&model).unwrap();
    let mut drawn = Drawn::default();
    snap_scales(checkpoint.guide()).store(net, &mut drawn);
    let pfp = Pfp::new(model, pfp::Weights::Stored).unwrap();
    let (mut workspace, mut memory) = (Workspace::default(), pfp::Workspace::default());
    let input = workspace.input(net).input;
    for (i, value) in input.iter_mut().enumerate() {
        *value = imported.normalisation.value(images.get(i % BLOCK)[i / BLOCK]);
    }
    workspace.forward(net, WeightSample::Drawn(&drawn.mu), &FloatActivations);
    let logits = workspace.logits(net);
    let (channels, area) = (net.input.channels, net.input.rows * net.input.columns);
    let largest = logits.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
    let mut off = 0.0f32;
    for image in 0..BLOCK {
        let transposed: Vec<u8> =
            (0..channels * area).map(|i| images.get(image)[i % channels * area + i / channels]).collect();
        let found = pfp.mean_pass(&transposed, &mut memory);
        for (class, x) in found.iter().enumerate() {
            off = off.max((x - logits[class * BLOCK + image]).abs() / largest);
        }
    }
    off
}

#[derive(Default)]
struct Seen {
    networks: usize,
    files: [usize; 4],
    refused: usize,
    /// Pairs that were apart, and the worst share of a network, kind by kind.
    apart: [usize; 4],
    pairs: [usize; 4],
    worst: [f32; 4],
    /// The largest median difference of a network, and where logits spread by more than 1, as a share of that.
    median: [f32; 4],
}

fn one(case_number: u64, seen: &mut Seen) {
    let mut random = Random(case_number.wrapping_mul(0x1234_5678_9ABC_DEF1));
    let case = network(&mut random);
    if builds(&case) {
        holds(&case, &format!("case {case_number}"), &mut random, seen);
    }
}

/// Trains a network, quantizes it every way, and holds every file against its checkpoint.
fn holds(case: &Case, name: &str, random: &mut Random, seen: &mut Seen) {
    seen.networks += 1;
    let n = case.shape.len() * IMAGES;
    let pixels: Vec<u8> = (0..n).map(|_| random.word() as u8).collect();
    let images = ImagesView { shape: case.shape, pixels: &pixels };
    let labels: Vec<u16> = (0..IMAGES).map(|_| random.range(0, case.classes - 1) as u16).collect();
    let pairs: Vec<(u32, u16)> = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
    let data = TrainData { noise: 0.05, ..TrainData::of_pairs(images, &pairs, images, &labels) };
    let train_settings = TrainSettings {
        epochs: 1,
        batch: IMAGES,
        learning_rate: 0.05,
        initial_sigma: [0.003, 0.02, 0.1, 0.3][random.range(0, 3)],
        ..TrainSettings::default()
    };
    // Steps that fit the values are wide, and a pair seldom meets the edge of a code. Narrower ones are below.
    let wide = |s: QuantizeSettings| QuantizeSettings { fit: Calibration::WeightedError, ..s };
    let all = std::iter::once(None).chain(settings(random).into_iter().map(wide).map(Some));
    for (kind, settings) in all.enumerate() {
        let told = format!("{name}, {:?}\n{}", settings.as_ref().map(QuantizeSettings::name), describe(case));
        let Case { spec, shape, classes } = case;
        let known = verify::check(spec, *shape, *classes, NORMALISATION, &train_settings, settings.as_ref());
        let checkpoint =
            trained(case, settings.clone(), &data, &train_settings).unwrap_or_else(|e| panic!("{told}\n{e}"));
        let file = match (export(&checkpoint), known) {
            (Ok(file), Ok(())) => file,
            (Err(found), Err(known)) => {
                assert_eq!(found.to_string(), known.to_string(), "{told}");
                seen.refused += 1;
                continue;
            }
            (found, known) => panic!("{told}\nbefore training {known:?}, after it {:?}", found.err()),
        };
        let model = Model::new(&file).unwrap();
        let difference = verify::compare(&checkpoint, &file, images).unwrap_or_else(|e| panic!("{told}\n{e}"));
        let Difference { pairs, apart, median, spread, .. } = difference;
        seen.files[kind] += 1;
        seen.pairs[kind] += pairs;
        seen.apart[kind] += apart;
        seen.worst[kind] = seen.worst[kind].max(apart as f32 / pairs as f32);
        seen.median[kind] = seen.median[kind].max(median / spread.max(1.0));
        // Of all pairs a few meet the edge of a code; the others differ by the fraction bits of wide values alone.
        assert!(
            median < 1e-4 * spread.max(1.0) && apart * 2 <= pairs && difference.is_rounding(),
            "{told}\n{difference:?}"
        );
        if model.activation_bits().is_none() {
            let off = analytic_agrees(&checkpoint, model, images);
            assert!(off < 1e-4, "{told}\nthe analytic pass is off by {off}");
        }
    }
}

/// Steps that fit the prediction may be narrow beside the accumulator's unit: more values meet the edge of a code, and
/// what is apart stays rounding.
#[test]
fn steps_that_fit_the_prediction_keep_file_and_checkpoint_together() {
    let (mut files, mut moved) = (0, 0);
    for number in 1..=150 {
        let mut random = Random(u64::wrapping_mul(number, 0x1234_5678_9ABC_DEF1));
        let case = network(&mut random);
        if !builds(&case) {
            continue;
        }
        let pixels: Vec<u8> = (0..case.shape.len() * IMAGES).map(|_| random.word() as u8).collect();
        let images = ImagesView { shape: case.shape, pixels: &pixels };
        let labels: Vec<u16> = (0..IMAGES).map(|_| random.range(0, case.classes - 1) as u16).collect();
        let pairs: Vec<(u32, u16)> = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
        let data = TrainData::of_pairs(images, &pairs, images, &labels);
        let float = TrainSettings { epochs: 1, batch: IMAGES, learning_rate: 0.05, ..TrainSettings::default() };
        let with = |fit| {
            let settings = QuantizeSettings { fit, epochs: 0, ..QuantizeSettings::default() };
            trained(&case, Some(settings), &data, &float).unwrap()
        };
        let checkpoint = with(Calibration::Prediction);
        let Ok(file) = export(&checkpoint) else { continue };
        files += 1;
        moved += usize::from(export(&with(Calibration::WeightedError)).unwrap() != file);
        let difference = verify::compare(&checkpoint, &file, images).unwrap();
        assert!(difference.is_rounding(), "case {number}\n{}\n{difference:?}", describe(&case));
    }
    assert!(files > 80 && moved * 3 > files, "{moved} of {files} files are others than those of fitted values");
}

fn describe(case: &Case) -> String {
    let layers = serde_json::to_value(&case.spec.layers).unwrap();
    let lines: Vec<String> = layers.as_array().unwrap().iter().map(ToString::to_string).collect();
    format!("{} of {} classes\n{}", case.shape, case.classes, lines.join("\n"))
}

#[test]
fn every_network_that_trains_has_a_file_that_predicts_what_it_does() {
    let (first, cases) = (from_environment("QBNN_FIRST", 1), from_environment("QBNN_CASES", 700));
    let mut seen = Seen::default();
    (first..first + cases).for_each(|case| one(case, &mut seen));
    let Seen { networks, files, refused, apart, pairs, worst, median } = seen;
    assert!(files.iter().all(|&f| f as u64 * 10 >= cases * 7), "most networks have every kind of file: {files:?}");
    println!(
        "{networks} networks; files {files:?} (float, VPQ, SPQ, JQ), {refused} refused; apart {apart:?} of {pairs:?} pairs, at worst {worst:?} of a network's; largest medians {median:?}"
    );
}

fn layers(layers: serde_json::Value, channels: usize) -> Case {
    let spec = serde_json::from_value(json!({ "name": "written", "layer": layers })).unwrap();
    Case { spec, shape: Shape { channels, rows: 9, columns: 7 }, classes: 4 }
}

/// Each network under several widths, and always with a file.
fn all_hold(networks: &[(&str, serde_json::Value)]) {
    for (name, network) in networks {
        for seed in 1..=12 {
            let mut seen = Seen::default();
            holds(&layers(network.clone(), 1 + seed as usize % 3), name, &mut Random(seed), &mut seen);
            assert_eq!((seen.files, seen.refused), ([1; 4], 0), "{name}");
        }
    }
}

#[test]
fn what_stands_between_flatten_and_dense_keeps_the_order_of_the_weights() {
    let conv = json!({ "type": "conv", "out": 4, "kernel": 3, "stride": 2, "name": "c" });
    let flat = json!({ "type": "flatten", "name": "f" });
    let dense = json!({ "type": "dense", "out": 4 });
    let (relu, hardtanh) = (json!({ "type": "relu" }), json!({ "type": "hardtanh" }));
    let add = json!({ "type": "add", "from": "f" });
    let one = json!({ "type": "average-pool", "size": 1, "stride": 3 });
    all_hold(&[
        ("activation", json!([conv, flat, relu, dense])),
        ("hardtanh", json!([conv, flat, hardtanh, dense])),
        ("add", json!([conv, flat, relu, add, relu, dense])),
        ("flatten twice", json!([conv, flat, { "type": "flatten" }, relu, { "type": "flatten" }, dense])),
        ("a pool of single numbers", json!([conv, flat, relu, one, dense])),
        ("a convolution of single numbers", json!([conv, flat, relu, { "type": "conv", "out": 4, "kernel": 1 }])),
        ("the image", json!([flat, dense, relu, { "type": "dense", "out": 4, "input": "f" }])),
        ("the image by name", json!([conv, relu, { "type": "dense", "out": 4, "input": "image" }])),
    ]);
}

#[test]
fn the_machines_averages_are_those_of_training() {
    let (conv, relu) = (json!({ "type": "conv", "out": 4, "kernel": 3 }), json!({ "type": "relu" }));
    let (dense, leaky) = (json!({ "type": "dense", "out": 4 }), json!({ "type": "leaky-relu", "slope": 0.3 }));
    let average = |size: usize, stride: usize| json!({ "type": "average-pool", "size": size, "stride": stride });
    let largest = json!({ "type": "max-pool", "size": 2, "stride": 1 });
    all_hold(&[
        ("of the image", json!([average(2, 2), conv, relu, dense])),
        ("of activations", json!([conv, relu, average(2, 2), dense])),
        ("of odd windows", json!([conv, leaky, average(3, 1), dense])),
        ("of averages", json!([conv, relu, average(2, 1), average(2, 2), dense])),
        ("of the largest", json!([conv, leaky, largest, average(2, 1), largest, dense])),
        ("of sums", json!([conv, average(2, 2), relu, dense])),
    ]);
}

#[test]
fn what_no_file_holds_is_refused_by_the_layers_name() {
    let refused = |network: serde_json::Value, settings: Option<&QuantizeSettings>| {
        let Case { spec, shape, classes } = layers(network, 2);
        let error = verify::check(&spec, shape, classes, NORMALISATION, &TrainSettings::default(), settings);
        error.unwrap_err().to_string()
    };
    let conv = json!({ "type": "conv", "out": 4, "kernel": 3, "stride": 2 });
    let wide = json!({ "type": "dense", "out": 48, "name": "d" });
    let flat = json!({ "type": "flatten" });
    let dense = json!({ "type": "dense", "out": 4 });
    let jq = QuantizeSettings::default();
    let error = refused(
        json!([wide, { "type": "relu" }, { "type": "conv", "out": 4, "kernel": 3, "input": "image", "stride": 2 }, flat, { "type": "add", "from": "d" }, dense]),
        None,
    );
    assert!(error.contains("layer add1") && error.contains("4x4x3") && error.contains("48"), "{error}");
    let error = refused(json!([{ "type": "conv", "out": 2, "kernel": 7, "stride": 2 }, flat]), None);
    assert!(error.contains("flatten1"), "{error}");
    let error = refused(json!([dense, dense]), Some(&jq));
    assert!(error.contains("layer dense2") && error.contains("put an activation before it"), "{error}");
    let error = refused(json!([conv, { "type": "sigmoid" }, dense]), None);
    assert!(error.contains("sigmoid has no integer twin"), "{error}");
    let uniform = QuantizeSettings { sigma_grid: SigmaGrid::Uniform, ..jq.clone() };
    let error = refused(json!([dense]), Some(&uniform));
    assert!(error.contains("sigma_grid"), "{error}");
    let error = refused(json!([dense]), Some(&QuantizeSettings { noise_bits: 4, ..jq }));
    assert!(error.contains("noise_bits = 4"), "{error}");
}

#[test]
fn a_file_of_another_network_is_found() {
    let case = layers(
        json!([{ "type": "conv", "out": 4, "kernel": 3 }, { "type": "relu" }, { "type": "dense", "out": 4 }]),
        1,
    );
    let pixels: Vec<u8> = (0..case.shape.len() * IMAGES).map(|i| (i * 73 % 251) as u8).collect();
    let images = ImagesView { shape: case.shape, pixels: &pixels };
    let labels: Vec<u16> = (0..IMAGES).map(|i| (i % 4) as u16).collect();
    let pairs: Vec<(u32, u16)> = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
    let data = TrainData::of_pairs(images, &pairs, images, &labels);
    let train_settings = TrainSettings { epochs: 1, batch: IMAGES, learning_rate: 0.05, ..TrainSettings::default() };
    let other = TrainSettings { learning_rate: 0.02, ..train_settings.clone() };
    for settings in std::iter::once(None).chain(settings(&mut Random(5)).into_iter().map(Some)) {
        let checkpoint = trained(&case, settings.clone(), &data, &train_settings).unwrap();
        verify::export(&checkpoint, images).unwrap();
        let file = export(&trained(&case, settings, &data, &other).unwrap()).unwrap();
        let difference = verify::compare(&checkpoint, &file, images).unwrap();
        assert!(!difference.is_rounding(), "{difference:?}");
        let message = BnnError::Apart(difference).to_string();
        assert!(message.contains(&format!("up to {:.3}", difference.largest)), "{message}");
    }
}
