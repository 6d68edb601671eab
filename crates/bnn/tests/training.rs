//! Training as a whole: the same whatever the threads and the interruptions; and every wrong input a typed error.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should fail loudly where it stands")]

use qbnn_bnn::internals::predict::predict;
use qbnn_bnn::predictor::NoProgress;
use qbnn_bnn::train::{Event, Outcome, train};
use qbnn_bnn::{
    BitWidths, BnnError, Checkpoint, Estimator, ImagesView, NetworkSpec, Normalisation, QuantizeSettings, Rounding,
    Shape, TrainData, TrainSettings,
};
use serde_json::json;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const SHAPE: Shape = Shape { channels: 1, rows: 6, columns: 6 };
const CLASSES: usize = 3;
const NORMALISATION: Normalisation = Normalisation { mean: 0.3, std: 0.3 };
const ESTIMATORS: [Estimator; 3] =
    [Estimator::Reparameterization, Estimator::LocalReparameterization, Estimator::Flipout];

/// Images whose class is the bright pair of rows, under noise.
struct Toy {
    pixels: Vec<u8>,
    pairs: Vec<(u32, u16)>,
    labels: Vec<u16>,
}

impl Toy {
    fn new(images: usize) -> Self {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let labels: Vec<u16> = (0..images).map(|i| (i % CLASSES) as u16).collect();
        let mut pixels = Vec::new();
        for &label in &labels {
            pixels.extend((0..36).map(|p| random() / 3 + if p / 12 == label as usize { 120 } else { 0 }));
        }
        let pairs = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
        Toy { pixels, pairs, labels }
    }

    fn images(&self) -> ImagesView<'_> {
        ImagesView { shape: SHAPE, pixels: &self.pixels }
    }

    fn data(&self) -> TrainData<'_> {
        let (images, validation) = (self.images(), self.images());
        TrainData { noise: 0.1, ..TrainData::of_pairs(images, &self.pairs, validation, &self.labels) }
    }
}

fn settings(estimator: Estimator, epochs: usize) -> TrainSettings {
    TrainSettings { epochs, batch: 70, learning_rate: 1e-2, estimator, ..TrainSettings::default() }
}

fn untrained(train: TrainSettings, seed: u64) -> Checkpoint {
    let layers = json!([
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1 },
        { "type": "relu" },
        { "type": "max-pool", "size": 2 },
        { "type": "dense", "out": 8 },
        { "type": "hardtanh" },
        { "type": "dense", "out": CLASSES },
    ]);
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "toy", "layer": layers })).unwrap();
    Checkpoint::new(&spec, SHAPE, CLASSES, NORMALISATION, seed, train).unwrap()
}

fn jq(epochs: usize, rounding: Rounding) -> QuantizeSettings {
    let bits = BitWidths { mu: 4, sigma: 3, weight: 4, activation: 4 };
    QuantizeSettings { epochs, rounding, bits, learning_rate: 3e-3, calibration: 64, ..QuantizeSettings::default() }
}

/// A file of this test alone, removed at its end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        File(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("training-{}-{name}", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bytes(checkpoint: &Checkpoint, name: &str) -> Vec<u8> {
    let file = File::new(name);
    checkpoint.save(&file.0).unwrap();
    std::fs::read(&file.0).unwrap()
}

/// Trains to the end; every number told on the way except the speed.
fn run(checkpoint: &mut Checkpoint, data: &TrainData<'_>) -> Vec<f64> {
    let mut told = Vec::new();
    let mut observer = |event: &Event| {
        match *event {
            Event::Step { nll, kl, kl_weight, .. } => told.extend([nll, kl, kl_weight]),
            Event::Epoch { nll, kl, validation_accuracy, validation_nll, .. } => {
                told.extend([nll, kl, validation_accuracy, validation_nll]);
            }
        }
        ControlFlow::Continue(())
    };
    assert_eq!(train(checkpoint, data, &mut observer, &mut |_| Ok(())).unwrap(), Outcome::Finished);
    told
}

fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

fn quiet(checkpoint: &mut Checkpoint, data: &TrainData<'_>) -> Result<Outcome, BnnError> {
    train(checkpoint, data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_one_thread_and_on_two() {
    let toy = Toy::new(150);
    let mut seen = Vec::new();
    for estimator in ESTIMATORS {
        let all = |threads, seed| {
            with_threads(threads, || {
                let mut checkpoint = untrained(settings(estimator, 2), seed);
                let losses = run(&mut checkpoint, &toy.data());
                (losses, bytes(&checkpoint, &format!("threads-{estimator:?}-{threads}-{seed}")))
            })
        };
        let one = all(1, 7);
        assert_eq!(one.0.len(), 2 * (3 * 3 + 4));
        assert!(one == all(2, 7), "{estimator:?}: threads change the training");
        assert!(one.0 != all(2, 8).0, "{estimator:?}: the seed changes nothing");
        seen.push(one.0);
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2], "estimators differ");
    for rounding in [Rounding::Nearest, Rounding::Stochastic] {
        let all = |threads| {
            with_threads(threads, || {
                let mut float = untrained(settings(Estimator::Flipout, 1), 7);
                run(&mut float, &toy.data());
                let mut checkpoint = Checkpoint::quantized(float, jq(2, rounding), &toy.data()).unwrap();
                let losses = run(&mut checkpoint, &toy.data());
                (losses, bytes(&checkpoint, &format!("threads-{rounding:?}-{threads}")))
            })
        };
        assert!(all(1) == all(2), "{rounding:?}: threads change the fine-tuning");
    }
}

/// Trains `checkpoint` of 4 epochs whole, and stopped in the third and resumed from the file.
fn interrupted(checkpoint: &Checkpoint, data: &TrainData<'_>, name: &str) {
    let mut whole = checkpoint.clone();
    run(&mut whole, data);
    let file = File::new(name);
    for in_epoch in [false, true] {
        let mut part = checkpoint.clone();
        let mut observer = |event: &Event| match event {
            Event::Epoch { epoch: 2, .. } if !in_epoch => ControlFlow::Break(()),
            Event::Step { epoch: 3, step: 2, .. } if in_epoch => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let outcome = train(&mut part, data, &mut observer, &mut |c| c.save(&file.0)).unwrap();
        assert_eq!(outcome, Outcome::Stopped);
        let mut resumed = Checkpoint::load(&file.0).unwrap();
        assert_eq!((resumed.epoch, resumed.finished()), (2, false));
        assert!(std::fs::read(&file.0).unwrap() == bytes(&resumed, &format!("{name}-again")), "load, save: same bytes");
        run(&mut resumed, data);
        assert!(resumed.finished());
        assert!(
            bytes(&resumed, &format!("{name}-resumed")) == bytes(&whole, &format!("{name}-whole")),
            "{name}, stopped within an epoch: {in_epoch}"
        );
    }
}

#[test]
fn a_resumed_training_ends_in_the_bytes_of_an_uninterrupted_one() {
    let toy = Toy::new(150);
    for estimator in ESTIMATORS {
        interrupted(&untrained(settings(estimator, 4), 3), &toy.data(), &format!("resume-{estimator:?}"));
    }
    for rounding in [Rounding::Nearest, Rounding::Stochastic] {
        let mut float = untrained(settings(Estimator::Reparameterization, 1), 3);
        run(&mut float, &toy.data());
        let start = Checkpoint::quantized(float, jq(4, rounding), &toy.data()).unwrap();
        interrupted(&start, &toy.data(), &format!("resume-{rounding:?}"));
    }
}

fn predicted(checkpoint: &Checkpoint, images: ImagesView<'_>, samples: usize) -> Vec<f64> {
    let go_on = &mut NoProgress;
    predict(checkpoint.net(), checkpoint.guide(), checkpoint.normalisation, images, samples, 5, go_on).unwrap().values
}

#[test]
fn a_prediction_depends_on_its_image_alone() {
    let toy = Toy::new(150);
    let mut float = untrained(settings(Estimator::Reparameterization, 1), 3);
    run(&mut float, &toy.data());
    let quantized = Checkpoint::quantized(float.clone(), jq(0, Rounding::Stochastic), &toy.data()).unwrap();
    const SAMPLES: usize = 3;
    const IMAGES: usize = 71;
    let pixels = &toy.pixels[..IMAGES * 36];
    for (what, checkpoint) in [("float", float), ("jq", quantized)] {
        let all = with_threads(1, || predicted(&checkpoint, ImagesView { shape: SHAPE, pixels }, SAMPLES));
        assert!(all == with_threads(2, || predicted(&checkpoint, ImagesView { shape: SHAPE, pixels }, SAMPLES)));
        for (i, image) in pixels.chunks_exact(36).enumerate() {
            let alone = predicted(&checkpoint, ImagesView { shape: SHAPE, pixels: image }, SAMPLES);
            for s in 0..SAMPLES {
                let at = (s * IMAGES + i) * CLASSES;
                let (here, there) = (&all[at..at + CLASSES], &alone[s * CLASSES..(s + 1) * CLASSES]);
                assert_eq!(here, there, "{what}, image {i}, draw {s}");
            }
        }
        for row in all.chunks_exact(CLASSES) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5 && row.iter().all(|p| (0.0..=1.0).contains(p)));
        }
        // One draw more leaves the draws before it as they were.
        let images = ImagesView { shape: SHAPE, pixels };
        assert_eq!(predicted(&checkpoint, images, SAMPLES + 1)[..all.len()], all[..]);
        let nothing = predicted(&checkpoint, ImagesView { shape: SHAPE, pixels: &[] }, SAMPLES);
        assert!(nothing.is_empty());
    }
}

#[test]
fn a_prediction_of_the_house_networks_depends_on_its_image_alone() {
    const IMAGES: usize = 37;
    let shape = Shape { channels: 1, rows: 28, columns: 28 };
    let mut state = 9u32;
    let pixels: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(IMAGES * shape.len())
    .collect();
    for name in NetworkSpec::NAMES {
        let spec = NetworkSpec::named(name, 10).unwrap();
        let checkpoint = Checkpoint::new(&spec, shape, 10, NORMALISATION, 1, TrainSettings::default()).unwrap();
        let all = predicted(&checkpoint, ImagesView { shape, pixels: &pixels }, 1);
        for (image, row) in pixels.chunks_exact(shape.len()).zip(all.chunks_exact(10)) {
            assert_eq!(predicted(&checkpoint, ImagesView { shape, pixels: image }, 1), row, "{name}");
        }
    }
}

#[test]
fn a_prediction_can_be_stopped() {
    let toy = Toy::new(9);
    let c = untrained(settings(Estimator::Reparameterization, 1), 3);
    let mut told = Vec::new();
    let stop = &mut |done, all| {
        told.push((done, all));
        if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = predict(c.net(), c.guide(), c.normalisation, toy.images(), 5, 1, stop);
    assert!(matches!(stopped, Err(BnnError::Stopped)));
    assert_eq!(told, [(1, 5), (2, 5)]);
}

#[test]
fn the_loss_falls_and_the_toy_is_learned() {
    let toy = Toy::new(150);
    let mut last = None;
    for estimator in ESTIMATORS {
        let train = TrainSettings { kl_weight: 0.1, ..settings(estimator, 15) };
        let mut checkpoint = untrained(train, 1);
        let told = run(&mut checkpoint, &toy.data());
        let (first, end) = (told[0], &told[told.len() - 4..]);
        assert!((first - 3f64.ln()).abs() < 0.8, "{estimator:?} starts at {first}");
        assert!(end[0] < 0.3 * first && end[2] > 0.95, "{estimator:?} ends at {end:?}");
        last = Some(checkpoint);
    }
    // 4 bits keep it, and fine-tuning lowers its own loss.
    let mut quantized = Checkpoint::quantized(last.unwrap(), jq(10, Rounding::Nearest), &toy.data()).unwrap();
    let told = run(&mut quantized, &toy.data());
    let end = &told[told.len() - 4..];
    assert!(end[0] < told[0] && end[2] > 0.95, "quantized: {} to {end:?}", told[0]);
}

#[test]
fn a_loss_that_is_no_number_is_an_error() {
    let toy = Toy::new(150);
    for estimator in ESTIMATORS {
        let train = TrainSettings { learning_rate: 1e30, ..settings(estimator, 3) };
        let error = quiet(&mut untrained(train, 1), &toy.data()).unwrap_err();
        assert!(matches!(error, BnnError::Diverged { .. }), "{estimator:?}: {error}");
    }
    let float = untrained(settings(Estimator::Reparameterization, 1), 1);
    let wild = QuantizeSettings { learning_rate: 1e30, ..jq(3, Rounding::Stochastic) };
    let error = quiet(&mut Checkpoint::quantized(float, wild, &toy.data()).unwrap(), &toy.data()).unwrap_err();
    assert!(matches!(error, BnnError::Diverged { epoch: 1, step: 2, .. }), "{error}");
}

#[test]
fn broken_files_are_refused() {
    let toy = Toy::new(150);
    let float = untrained(settings(Estimator::Reparameterization, 1), 1);
    let quantized = Checkpoint::quantized(float.clone(), jq(1, Rounding::Nearest), &toy.data()).unwrap();
    let file = File::new("broken");
    let load = |bytes: &[u8]| {
        std::fs::write(&file.0, bytes).unwrap();
        Checkpoint::load(&file.0)
    };
    let refused = |bytes: &[u8], what: &str| match load(bytes) {
        Err(BnnError::File { path, problem }) => {
            assert_eq!(path, file.0, "{what}");
            problem
        }
        other => panic!("{what}: {:?}", other.map(|_| "loaded").map_err(|e| e.to_string())),
    };
    for checkpoint in [&float, &quantized] {
        let whole = bytes(checkpoint, "broken-whole");
        load(&whole).unwrap();
        for end in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            refused(&whole[..end], &format!("cut at {end} of {}", whole.len()));
        }
        refused(&[&whole[..], &[0]].concat(), "one byte too many");
        // One bit of every third header byte flipped: another checkpoint or an error, but no panic.
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        for at in (0..header).step_by(3) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            let _ = load(&flipped);
        }
        // The last number of the file becomes NaN.
        let mut nan = whole.clone();
        let end = nan.len();
        nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(refused(&nan, "NaN").contains("NaN"));
    }
    for (i, garbage) in [vec![0u8; 3], vec![255u8; 4096], b"PK\x03\x04 not a checkpoint".to_vec()].iter().enumerate() {
        refused(garbage, &format!("garbage {i}"));
    }
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    let foreign = safetensors::serialize([("x", tensor)], None).unwrap();
    assert!(refused(&foreign, "a foreign file").contains("without a `qbnn` header"));
    let absent = Checkpoint::load(&file.0.with_extension("absent")).unwrap_err();
    assert!(matches!(absent, BnnError::File { .. }), "{absent}");
    let nowhere = float.save(&file.0.join("under").join("a-file")).unwrap_err();
    assert!(matches!(nowhere, BnnError::File { .. }), "{nowhere}");
}

#[test]
fn data_that_does_not_fit_is_refused() {
    let toy = Toy::new(30);
    let good = toy.data();
    let fresh = || untrained(TrainSettings { batch: 30, ..settings(Estimator::Reparameterization, 1) }, 1);
    assert_eq!(quiet(&mut fresh(), &good).unwrap(), Outcome::Finished);
    let error = quiet(&mut untrained(TrainSettings { batch: 31, ..fresh().train }, 1), &good).unwrap_err();
    assert!(matches!(&error, BnnError::Setting { key: "batch", found, .. } if found == "31"), "{error}");

    let wide = Shape { channels: 1, rows: 4, columns: 9 };
    let other = ImagesView { shape: wide, pixels: &toy.pixels };
    let wrong = [
        ("label 3", TrainData { pairs: &[(0, 3)], ..good }),
        ("label 3", TrainData { validation_labels: &[3; 30], ..good }),
        ("image 30 of 30", TrainData { pairs: &[(0, 0), (30, 0)], ..good }),
        ("no training pairs", TrainData { pairs: &[], ..good }),
        ("30 images and 2 labels", TrainData { validation_labels: &[0, 1], ..good }),
        ("images are 1x4x9", TrainData { images: other, ..good }),
        ("images are 1x4x9", TrainData { validation: other, ..good }),
    ];
    for (what, data) in wrong {
        let error = quiet(&mut fresh(), &data).unwrap_err();
        assert!(matches!(&error, BnnError::Data(text) if text.contains(what)), "{what}: {error}");
        let error = Checkpoint::quantized(fresh(), jq(1, Rounding::Nearest), &data).unwrap_err();
        assert!(matches!(&error, BnnError::Data(text) if text.contains(what)), "{what}: {error}");
    }
    let c = fresh();
    let go_on = &mut NoProgress;
    let error = predict(c.net(), c.guide(), c.normalisation, other, 1, 1, go_on).unwrap_err();
    assert!(matches!(error, BnnError::Data(_)), "{error}");
    let error = predict(c.net(), c.guide(), c.normalisation, toy.images(), 0, 1, go_on).unwrap_err();
    assert!(matches!(error, BnnError::Setting { key: "samples", .. }), "{error}");
    // A quantized draw is not Gaussian: the guide says so, and fine-tuning takes the weight draw by itself.
    let quantized = Checkpoint::quantized(c, jq(1, Rounding::Nearest), &good).unwrap();
    for estimator in ESTIMATORS {
        let ok = quantized.guide().check(estimator).is_ok();
        assert_eq!(ok, estimator == Estimator::Reparameterization);
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let d = TrainSettings::default;
    let wrong = [
        ("batch", TrainSettings { batch: 0, ..d() }),
        ("learning_rate", TrainSettings { learning_rate: 0.0, ..d() }),
        ("learning_rate", TrainSettings { learning_rate: f32::NAN, ..d() }),
        ("prior_sigma", TrainSettings { prior_sigma: -1.0, ..d() }),
        ("initial_sigma", TrainSettings { initial_sigma: f32::INFINITY, ..d() }),
        ("kl_weight", TrainSettings { kl_weight: -0.1, ..d() }),
        ("kl_warmup", TrainSettings { kl_warmup: 1.1, ..d() }),
    ];
    for (name, settings) in wrong {
        let error = settings.check().unwrap_err();
        assert!(matches!(error, BnnError::Setting { key, .. } if key == name), "{name}: {error}");
    }
    let d = QuantizeSettings::default;
    let wrong = [
        ("learning_rate", QuantizeSettings { learning_rate: -1.0, ..d() }),
        ("calibration", QuantizeSettings { calibration: 0, ..d() }),
    ];
    for (name, settings) in wrong {
        let error = settings.check().unwrap_err();
        assert!(matches!(error, BnnError::Setting { key, .. } if key == name), "{name}: {error}");
    }
}

/// What a training that must diverge says; what it saved must be readable.
fn diverges(train_settings: TrainSettings, quantize: Option<QuantizeSettings>) -> String {
    let toy = Toy::new(150);
    let file = File::new("diverges");
    let mut checkpoint = untrained(TrainSettings { epochs: 6, batch: 50, ..train_settings }, 7);
    if let Some(settings) = quantize {
        let mut float = untrained(TrainSettings { epochs: 1, batch: 50, ..TrainSettings::default() }, 7);
        quiet(&mut float, &toy.data()).unwrap();
        checkpoint = Checkpoint::quantized(float, settings, &toy.data()).unwrap();
    }
    checkpoint.save(&file.0).unwrap();
    let saved = train(&mut checkpoint, &toy.data(), &mut |_| ControlFlow::Continue(()), &mut |c| c.save(&file.0));
    Checkpoint::load(&file.0).unwrap();
    saved.unwrap_err().to_string()
}

#[test]
fn training_that_diverges_names_the_setting_at_fault() {
    let usual = TrainSettings::default();
    let cases = [
        (TrainSettings { learning_rate: 1e3, ..usual.clone() }, "train.learning_rate = 1000"),
        (TrainSettings { learning_rate: 3e30, ..usual.clone() }, "train.learning_rate = 3"),
        (TrainSettings { initial_sigma: 1e15, ..usual.clone() }, "train.initial_sigma = 1"),
        (TrainSettings { initial_sigma: 1e30, ..usual.clone() }, "train.initial_sigma = 1"),
        (TrainSettings { kl_weight: 1e25, ..usual.clone() }, "train.kl_weight = 1"),
        (TrainSettings { prior_sigma: 1e-12, ..usual.clone() }, "train.prior_sigma = 0.000000000001"),
        (TrainSettings { prior_sigma: 1e-30, ..usual.clone() }, "train.prior_sigma = 0.0000"),
    ];
    for (settings, wanted) in cases {
        let message = diverges(settings, None);
        assert!(message.contains("diverged in epoch") && message.contains(wanted), "{wanted}: {message}");
    }
    let message = diverges(usual.clone(), Some(QuantizeSettings { learning_rate: 1e4, ..jq(6, Rounding::Nearest) }));
    assert!(message.contains("quantize.learning_rate = 10000"), "{message}");
    let heavy = QuantizeSettings { kl_weight: Some(1e25), ..jq(6, Rounding::Nearest) };
    assert!(diverges(usual, Some(heavy)).contains("quantize.kl_weight = 1"));
}
