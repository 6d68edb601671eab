//! Whole networks out of model files, and what is read from their logits.

use super::reference::{self, Random, Sample};
use super::{DRAWS, ERRORS};
use qbnn_bnn::internals::stored::DecodedPosterior;
use qbnn_bnn::pfp::{Pfp, Points, Weights, Workspace};
use qbnn_bnn::predictor::{Analytic, Draws, NoProgress, Predictor};
use qbnn_bnn::{BnnError, Checkpoint, ImagesView, NetworkSpec, Normalisation, Shape, TrainSettings, export, pfp};
use qbnn_core::model::{self, Model};
use serde_json::json;
use std::ops::ControlFlow;

const NORMALISATION: Normalisation = Normalisation { mean: 0.1307, std: 0.3081 };

/// The float file of an untrained network with standard deviations of `sigma`, and an image.
fn file(layers: serde_json::Value, shape: Shape, classes: usize, sigma: f32) -> (Vec<u8>, Vec<u8>) {
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "small", "layer": layers })).unwrap();
    let settings = TrainSettings { initial_sigma: sigma, ..TrainSettings::default() };
    let checkpoint = Checkpoint::new(&spec, shape, classes, NORMALISATION, 9, settings).unwrap();
    let mut random = Random(8);
    (export(&checkpoint).unwrap(), (0..shape.len()).map(|_| random.word() as u8).collect())
}

/// Every value of a network under draws, number by number; and probabilities and mean entropy.
fn drawn(model: &Model<'_>, image: &[u8], draws: usize) -> (Vec<Vec<Sample>>, Vec<Sample>, f64) {
    let stored: Vec<DecodedPosterior> =
        (0..model.layers()).map(|i| DecodedPosterior::read(model, i).unwrap()).collect();
    let mut random = Random(10);
    let mut samples: Vec<Vec<Sample>> =
        (0..=model.layers()).map(|i| vec![Sample::default(); model.shape_of(i).len()]).collect();
    let mut probabilities = vec![Sample::default(); model.classes()];
    let mut entropy = 0.0;
    for _ in 0..draws {
        let values = reference::run(model, image, &reference::draw(&stored, &mut random));
        for (samples, values) in samples.iter_mut().zip(&values) {
            samples.iter_mut().zip(values).for_each(|(s, &x)| s.add(x));
        }
        let p = reference::softmax(values.last().unwrap());
        entropy += reference::entropy(&p) / draws as f64;
        probabilities.iter_mut().zip(&p).for_each(|(s, &p)| s.add(p));
    }
    (samples, probabilities, entropy)
}

#[test]
fn with_one_hidden_layer_every_moment_is_exact() {
    let layers = json!([{ "type": "dense", "out": 7 }, { "type": "relu" }, { "type": "dense", "out": 3 }]);
    for function in ["relu", "leaky-relu", "clipped-relu", "hardtanh"] {
        let mut layers = layers.clone();
        layers[1]["type"] = function.into();
        let (file, image) = file(layers, Shape { channels: 1, rows: 3, columns: 3 }, 3, 0.3);
        let model = Model::new(&file).unwrap();
        let (samples, probabilities, aleatoric) = drawn(&model, &image, DRAWS);
        let pfp = Pfp::new(model, Weights::default()).unwrap();
        let mut memory = Workspace::default();
        pfp.logits(&image, &mut memory);
        for layer in 0..model.layers() {
            let [mean, variance] = pfp.value(layer, &memory);
            for (i, sample) in samples[layer + 1].iter().enumerate() {
                let off = sample.off(mean[i] as f64, variance[i] as f64);
                assert!(off.iter().all(|&o| o < ERRORS), "{function}, layer {layer}, {i}: {off:?} standard errors");
            }
        }
        let images = ImagesView { shape: Shape { channels: 1, rows: 3, columns: 3 }, pixels: &image };
        let answer = pfp::predict(model, Weights::default(), images, &mut NoProgress).unwrap().remove(0);
        // Logits of one image share the hidden layer: their correlation is what an analytic pass leaves out.
        for (sample, &p) in probabilities.iter().zip(&answer.probabilities) {
            let [(mean, _), _] = sample.moments();
            assert!((mean - p).abs() < 0.02, "{function}: {p} for {mean}");
        }
        assert!((aleatoric - answer.aleatoric).abs() < 0.03, "{function}: {answer:?} for {aleatoric}");
        assert!((answer.total - answer.aleatoric - answer.epistemic).abs() < 1e-6);
    }
}

/// Layers that meet every operation: padding, stride, groups, both pools, a sum of two branches.
fn residual() -> serde_json::Value {
    json!([
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "name": "first" },
        { "type": "relu" },
        { "type": "max-pool", "size": 2, "name": "pooled" },
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "groups": 2 },
        { "type": "clipped-relu", "max": 2.0 },
        { "type": "add", "from": "pooled" },
        { "type": "average-pool", "size": 2 },
        { "type": "leaky-relu", "slope": 0.1 },
        { "type": "conv", "out": 6, "kernel": 2, "stride": 2, "name": "last" },
        { "type": "hardtanh" },
        { "type": "flatten" },
        { "type": "dense", "out": 3 }
    ])
}

const SHAPE: Shape = Shape { channels: 2, rows: 8, columns: 10 };

/// Of a layer: how far means are off, in standard deviations, and the ratio of variances; both of the layer's sums.
fn layer_off(samples: &[Sample], mean: &[f32], variance: &[f32]) -> (f64, f64) {
    let (mut off, mut deviations, mut variances) = (0.0, 0.0, 0.0);
    for (sample, &mean) in samples.iter().zip(mean) {
        let [(m, _), (v, _)] = sample.moments();
        off += (mean as f64 - m).abs();
        deviations += v.sqrt();
        variances += v;
    }
    (off / deviations, variance.iter().map(|&v| v as f64).sum::<f64>() / variances)
}

#[test]
fn a_network_of_every_layer_stays_near_its_draws() {
    let (file, image) = file(residual(), SHAPE, 3, 0.1);
    let model = Model::new(&file).unwrap();
    let (samples, probabilities, aleatoric) = drawn(&model, &image, DRAWS / 8);
    let pfp = Pfp::new(model, Weights::default()).unwrap();
    let mut memory = Workspace::default();
    pfp.logits(&image, &mut memory);
    let first = pfp.value(0, &memory);
    for (i, sample) in samples[1].iter().enumerate() {
        let off = sample.off(first[0][i] as f64, first[1][i] as f64);
        assert!(off.iter().all(|&o| o < ERRORS), "the first layer is exact; output {i}: {off:?} standard errors");
    }
    // The pass pools before it activates: between the two layers its values are others than the file's.
    for layer in (0..model.layers()).filter(|&layer| layer != 1) {
        let [mean, variance] = pfp.value(layer, &memory);
        let (off, ratio) = layer_off(&samples[layer + 1], mean, variance);
        // What is left out: neighbours in a plane are correlated through the weights that they share. An average-pool of
        // four (layer 6) shows it most: a quarter of the variance is seen.
        let least = if layer == 6 || layer == 7 { 0.2 } else { 0.6 };
        assert!(off < 0.3 && (least..1.1).contains(&ratio), "layer {layer}: {off} deviations, variances {ratio}");
    }
    let images = ImagesView { shape: SHAPE, pixels: &image };
    let answer = pfp::predict(model, Weights::default(), images, &mut NoProgress).unwrap().remove(0);
    for (sample, &p) in probabilities.iter().zip(&answer.probabilities) {
        let [(mean, _), _] = sample.moments();
        assert!((mean - p).abs() < 0.03, "{p} for {mean}");
    }
    assert!((aleatoric - answer.aleatoric).abs() < 0.05, "{answer:?} for {aleatoric}");
}

#[test]
fn a_pass_by_the_means_is_the_network_of_the_means() {
    let (file, image) = file(residual(), SHAPE, 3, 0.1);
    let model = Model::new(&file).unwrap();
    let wide = |x: &[f32]| x.iter().map(|&x| x as f64).collect::<Vec<_>>();
    let means: Vec<_> = (0..model.layers())
        .map(|i| DecodedPosterior::read(&model, i).map(|s| (wide(&s.mu), wide(&s.bias_mu))).unwrap())
        .collect();
    let wanted = reference::run(&model, &image, &means).pop().unwrap();
    let (pfp, mut memory) = (Pfp::new(model, Weights::default()).unwrap(), Workspace::default());
    let found = pfp.mean_pass(&image, &mut memory).to_vec();
    for (f, w) in found.iter().zip(&wanted) {
        assert!((*f as f64 - w).abs() < 1e-5, "{found:?} for {wanted:?}");
    }
    // One memory serves both kinds of pass.
    let fresh = pfp.logits(&image, &mut Workspace::default()).map(<[f32]>::to_vec);
    assert_eq!(pfp.logits(&image, &mut memory).map(<[f32]>::to_vec), fresh);
}

#[test]
fn points_stand_for_draws_of_the_logits() {
    let mut random = Random(11);
    let classes = 10;
    let points = Points::new(classes);
    let mut memory = points.scratch();
    let (mut error, mut sampling) = ([0.0f64; 3], [0.0f64; 3]);
    for case in 0..30 {
        let (height, width) = (8.0 * random.uniform(), 10f64.powf(2.0 * random.uniform() - 1.0));
        let mean: Vec<f32> = (0..classes).map(|_| (height * random.normal()) as f32).collect();
        let variance: Vec<f32> = (0..classes).map(|_| ((width * random.uniform()).powi(2)) as f32).collect();
        let mut of_classes = vec![Sample::default(); classes];
        let mut of_entropy = Sample::default();
        for _ in 0..DRAWS {
            let spread = variance.iter().map(|&v| (v as f64).sqrt() * random.normal());
            let p = reference::softmax(&mean.iter().zip(spread).map(|(&m, e)| m as f64 + e).collect::<Vec<_>>());
            of_entropy.add(reference::entropy(&p));
            of_classes.iter_mut().zip(&p).for_each(|(s, &p)| s.add(p));
        }
        let answer = points.prediction(&mean, &variance, &mut memory);
        let means: Vec<f64> = of_classes.iter().map(|s| s.moments()[0].0).collect();
        // 256 draws of the logits would be off by so much.
        let draws = |s: &Sample| (s.moments()[1].0 / pfp::POINTS as f64).sqrt();
        for (c, sample) in of_classes.iter().enumerate() {
            error[0] += (answer.probabilities[c] - means[c]).powi(2);
            sampling[0] += draws(sample).powi(2);
        }
        let aleatoric = of_entropy.moments()[0].0;
        error[1] += (answer.aleatoric - aleatoric).powi(2);
        sampling[1] += draws(&of_entropy).powi(2);
        let total = reference::entropy(&means);
        assert!((answer.total - total).abs() < 0.05, "case {case}: total {} for {total}", answer.total);
        assert!((answer.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        assert!(answer.epistemic >= 0.0 && answer.aleatoric <= answer.total);
        let (all, _) = points.probabilities(&mean, &variance, &mut memory);
        let mean_of = |c: usize| all[c..].iter().step_by(classes).sum::<f64>() / pfp::POINTS as f64;
        assert!((0..classes).all(|c| (mean_of(c) - answer.probabilities[c]).abs() < 1e-5));
    }
    for (e, s) in error.iter().zip(sampling).take(2) {
        assert!(e.sqrt() < 0.8 * s.sqrt(), "points are off by {e:?}, as many draws by {s:?}");
    }
}

#[test]
fn an_answer_is_that_of_the_image_alone() {
    let (file, _) = file(residual(), SHAPE, 3, 0.2);
    let model = Model::new(&file).unwrap();
    let mut random = Random(12);
    let pixels: Vec<u8> = (0..SHAPE.len() * 9).map(|_| random.word() as u8).collect();
    let predict = |pixels: &[u8]| {
        pfp::predict(model, Weights::default(), ImagesView { shape: SHAPE, pixels }, &mut NoProgress).unwrap()
    };
    let all = predict(&pixels);
    let single: Vec<_> = pixels.chunks(SHAPE.len()).flat_map(predict).collect();
    assert_eq!(all, single);
    let images = ImagesView { shape: SHAPE, pixels: &pixels };
    let draws = Draws { count: 1, seed: 0 };
    let points = Analytic::new(file.clone(), Weights::default())
        .unwrap()
        .predict(images, draws, &mut NoProgress)
        .unwrap()
        .values;
    for (i, answer) in all.iter().enumerate() {
        for (c, &p) in answer.probabilities.iter().enumerate() {
            let mean = points[i * 3 + c..].iter().step_by(27).sum::<f64>() / pfp::POINTS as f64;
            assert!((mean - p).abs() < 1e-5);
        }
    }
    let stop = &mut |_: usize, _: usize| ControlFlow::Break(());
    assert!(matches!(pfp::predict(model, Weights::default(), images, stop), Err(BnnError::Stopped)));
    let transposed = ImagesView { shape: Shape { rows: 10, columns: 8, ..SHAPE }, pixels: &pixels };
    let error = pfp::predict(model, Weights::default(), transposed, &mut NoProgress).unwrap_err();
    assert!(matches!(&error, BnnError::Data(m) if m.contains("2x10x8") && m.contains("2x8x10")), "{error}");
}

#[test]
fn a_file_that_stores_no_number_is_refused() {
    let (mut file, _) = file(json!([{ "type": "dense", "out": 3 }]), SHAPE, 3, 0.1);
    let last = file.len() - 4;
    for strange in [f32::NAN, f32::INFINITY, -1.0] {
        file[last..].copy_from_slice(&strange.to_le_bytes());
        let crc = model::crc32(&file[16..]);
        file[12..16].copy_from_slice(&crc.to_le_bytes());
        let error = Pfp::new(Model::new(&file).unwrap(), Weights::default()).unwrap_err().to_string();
        assert!(error.contains("layer 1") && error.lines().count() == 1, "{error}");
    }
    file[last..].copy_from_slice(&f32::MAX.to_le_bytes());
    let crc = model::crc32(&file[16..]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
    let (pixels, model) = (vec![9; SHAPE.len()], Model::new(&file).unwrap());
    let images = ImagesView { shape: SHAPE, pixels: &pixels };
    let error = pfp::predict(model, Weights::Stored, images, &mut NoProgress).unwrap_err();
    assert!(error.to_string().contains("range of floats"), "{error}");
}
