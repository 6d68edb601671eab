//! What the images of a training are taken for: drawn labels, soft labels, smoothed labels, and no label at all.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod toy;

use qbnn_bnn::internals::predict::predict;
use qbnn_bnn::predictor::NoProgress;
use qbnn_bnn::train::train;
use qbnn_bnn::{
    BnnError, Checkpoint, Estimator, ImagesView, Labels, NetworkSpec, PosteriorKind, QuantizeSettings, Shape,
    TrainData, TrainSettings,
};
use serde_json::json;
use std::ops::ControlFlow;
use toy::{CLASSES, NORMALISATION, toy};

const SHAPE: Shape = Shape { channels: 1, rows: 6, columns: 6 };
const IMAGES: usize = 240;
const SAMPLES: usize = 8;

/// The toy's images in every way that a training can be told of them.
struct Data {
    pixels: Vec<u8>,
    labels: Vec<u16>,
    pairs: Vec<(u32, u16)>,
    soft: Vec<f32>,
    ood: Vec<u8>,
}

impl Data {
    fn new() -> Self {
        let (pixels, labels) = toy(SHAPE, IMAGES);
        let pairs = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
        let soft =
            labels.iter().flat_map(|&l| (0..CLASSES).map(move |c| f32::from(u8::from(c == l as usize)))).collect();
        // Bright columns where the classes are bright rows.
        let stripes = |i: usize| (0..36).map(move |p| if (p + i) % 6 < 2 { 200 } else { (p * 7 + i) as u8 % 90 });
        let ood = (0..64).flat_map(stripes).collect();
        Data { pixels, labels, pairs, soft, ood }
    }

    fn images(&self) -> ImagesView<'_> {
        ImagesView { shape: SHAPE, pixels: &self.pixels }
    }

    fn ood(&self) -> ImagesView<'_> {
        ImagesView { shape: SHAPE, pixels: &self.ood }
    }

    fn train(&self) -> TrainData<'_> {
        TrainData {
            images: self.images(),
            pairs: &self.pairs,
            soft_labels: Some(&self.soft),
            ood: Some(self.ood()),
            noise: 0.05,
            validation: self.images(),
            validation_labels: &self.labels,
        }
    }
}

fn settings() -> TrainSettings {
    TrainSettings { epochs: 80, batch: 80, learning_rate: 1e-2, kl_weight: 0.01, ..TrainSettings::default() }
}

fn untrained(train: TrainSettings) -> Result<Checkpoint, BnnError> {
    let layers = json!([{ "type": "dense", "out": 16 }, { "type": "relu" }, { "type": "dense", "out": CLASSES }]);
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "toy", "layer": layers })).unwrap();
    Checkpoint::new(&spec, SHAPE, CLASSES, NORMALISATION, 3, train)
}

fn finish(mut checkpoint: Checkpoint, data: &TrainData<'_>) -> Result<Checkpoint, BnnError> {
    train(&mut checkpoint, data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(()))?;
    Ok(checkpoint)
}

fn trained(settings: TrainSettings, data: &TrainData<'_>) -> Checkpoint {
    finish(untrained(settings).unwrap(), data).unwrap()
}

fn predictions(checkpoint: &Checkpoint, images: ImagesView<'_>) -> Vec<f64> {
    let go_on = &mut NoProgress;
    let (net, guide) = (checkpoint.net(), checkpoint.guide());
    predict(net, guide, checkpoint.normalisation, images, SAMPLES, 11, go_on).unwrap().values
}

fn entropy(p: &[f64]) -> f64 {
    p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

/// Mean aleatoric and epistemic uncertainty, nats, and the mean probability of the likeliest class.
fn measured(checkpoint: &Checkpoint, images: ImagesView<'_>) -> (f64, f64, f64) {
    let all = predictions(checkpoint, images);
    let (n, share) = (images.len(), 1.0 / SAMPLES as f64);
    let (mut aleatoric, mut epistemic, mut top) = (0.0, 0.0, 0.0);
    for image in 0..n {
        let row = |s: usize| &all[(s * n + image) * CLASSES..][..CLASSES];
        let mean: Vec<f64> = (0..CLASSES).map(|c| (0..SAMPLES).map(|s| row(s)[c]).sum::<f64>() * share).collect();
        let inner = (0..SAMPLES).map(|s| entropy(row(s))).sum::<f64>() * share;
        aleatoric += inner / n as f64;
        epistemic += (entropy(&mean) - inner) / n as f64;
        top += mean.iter().fold(0.0f64, |a, &b| a.max(b)) / n as f64;
    }
    (aleatoric, epistemic, top)
}

fn accuracy(checkpoint: &Checkpoint, data: &Data) -> f64 {
    let all = predictions(checkpoint, data.images());
    let right = |i: usize| {
        let sum = |c: usize| (0..SAMPLES).map(|s| all[(s * IMAGES + i) * CLASSES + c]).sum::<f64>();
        (0..CLASSES).all(|c| c == data.labels[i] as usize || sum(c) < sum(data.labels[i] as usize))
    };
    (0..IMAGES).filter(|&i| right(i)).count() as f64 / IMAGES as f64
}

#[test]
fn soft_labels_that_are_certain_are_drawn_labels_bit_for_bit() {
    let data = Data::new();
    let drawn = trained(settings(), &data.train());
    let soft = trained(TrainSettings { labels: Labels::Soft, ..settings() }, &data.train());
    assert_eq!(drawn.guide().posterior.mu(), soft.guide().posterior.mu());
    assert_eq!(drawn.guide().posterior.log_sigma(), soft.guide().posterior.log_sigma());
}

#[test]
fn soft_labels_are_learned_whatever_the_pairs_say() {
    let data = Data::new();
    let wrong: Vec<(u32, u16)> = data.pairs.iter().map(|&(i, l)| (i, (l + 1) % CLASSES as u16)).collect();
    let train = TrainData { pairs: &wrong, ..data.train() };
    assert!(accuracy(&trained(settings(), &train), &data) < 0.1);
    assert!(accuracy(&trained(TrainSettings { labels: Labels::Soft, ..settings() }, &train), &data) > 0.95);
}

#[test]
fn smoothed_labels_are_believed_as_much_as_they_say() {
    let data = Data::new();
    let (_, _, sharp) = measured(&trained(settings(), &data.train()), data.images());
    let smoothed = trained(TrainSettings { label_smoothing: 0.3, ..settings() }, &data.train());
    let (_, _, top) = measured(&smoothed, data.images());
    // 0.7 + 0.3 / 3.
    assert!(sharp > 0.95 && (top - 0.8).abs() < 0.05, "{sharp} and {top}");
    assert!(accuracy(&smoothed, &data) > 0.95);
}

#[test]
fn draws_learn_to_disagree_about_ood_images_each_sure_of_itself() {
    let data = Data::new();
    let plain = TrainSettings { epochs: 300, draws: 2, ..settings() };
    let usual = trained(plain.clone(), &data.train());
    let taught = trained(TrainSettings { ood_weight: 3.0, ..plain }, &data.train());
    let (aleatoric, epistemic, _) = measured(&usual, data.ood());
    let (taught_aleatoric, taught_epistemic, _) = measured(&taught, data.ood());
    let said = format!("aleatoric {aleatoric} to {taught_aleatoric}, epistemic {epistemic} to {taught_epistemic}");
    assert!(taught_epistemic > 2.0 * epistemic && taught_epistemic > 0.5, "{said}");
    assert!(taught_aleatoric < 0.5 * aleatoric, "{said}");
    assert!(accuracy(&taught, &data) > 0.95 && measured(&taught, data.images()).1 < 0.5 * taught_epistemic, "{said}");
    // A fine-tuning through quantizers goes on teaching it.
    let settings = QuantizeSettings { epochs: 60, learning_rate: 3e-3, calibration: 64, ..QuantizeSettings::default() };
    let tuned = |float: Checkpoint| {
        let start = Checkpoint::quantized(float, settings.clone(), &data.train()).unwrap();
        measured(&finish(start, &data.train()).unwrap(), data.ood()).1
    };
    let mut forgetful = taught.clone();
    forgetful.train.ood_weight = 0.0;
    let (kept, forgotten) = (tuned(taught), tuned(forgetful));
    assert!(kept > 1.1 * forgotten, "4 bits keep {kept}, and {forgotten} when it is not taught any more; {said}");
}

#[test]
fn threads_change_nothing_where_draws_meet_ood_images() {
    let data = Data::new();
    let train = TrainSettings { epochs: 2, draws: 3, ood_weight: 0.5, labels: Labels::Soft, ..settings() };
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(train.clone(), &data.train()).guide().posterior.clone())
    };
    let (one, two) = (all(1), all(2));
    assert!(one == two);
}

#[test]
fn what_cannot_be_taught_is_refused_by_name() {
    let data = Data::new();
    let ood = TrainSettings { draws: 2, ood_weight: 1.0, ..settings() };
    for (key, wrong) in [
        ("label_smoothing", TrainSettings { label_smoothing: 1.0, ..settings() }),
        ("label_smoothing", TrainSettings { label_smoothing: -0.1, ..settings() }),
        ("ood_weight", TrainSettings { ood_weight: f32::NAN, ..ood.clone() }),
        ("ood_weight", TrainSettings { draws: 1, ..ood.clone() }),
        ("ood_weight", TrainSettings { estimator: Estimator::Flipout, ..ood.clone() }),
        ("ood_weight", TrainSettings { posterior: PosteriorKind::Point, ..ood.clone() }),
    ] {
        let error = untrained(wrong).unwrap_err();
        assert!(matches!(error, BnnError::Setting { key: found, .. } if found == key), "{key}: {error}");
    }
    let without = TrainData { soft_labels: None, ood: None, ..data.train() };
    for (key, wrong) in [("ood_weight", ood), ("labels", TrainSettings { labels: Labels::Soft, ..settings() })] {
        let error = finish(untrained(wrong).unwrap(), &without).unwrap_err();
        assert!(matches!(error, BnnError::Setting { key: found, .. } if found == key), "{key}: {error}");
    }
    let other = Shape { channels: 1, rows: 4, columns: 9 };
    for (what, train) in [
        ("719 soft labels", TrainData { soft_labels: Some(&data.soft[1..]), ..data.train() }),
        ("are 1x4x9", TrainData { ood: Some(ImagesView { shape: other, ..data.ood() }), ..data.train() }),
    ] {
        let error = finish(untrained(settings()).unwrap(), &train).unwrap_err();
        assert!(matches!(&error, BnnError::Data(text) if text.contains(what)), "{what}: {error}");
    }
}
