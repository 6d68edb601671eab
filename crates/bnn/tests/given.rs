//! Posteriors from elsewhere, checkpoints without an optimizer, and tensors of another shape.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test should fail where it stands")]

use qbnn_bnn::train::train;
use qbnn_bnn::{
    BitWidths, Checkpoint, GivenPosterior, ImagesView, NetworkSpec, Normalisation, QuantizeSettings, Shape, TrainData,
    TrainSettings,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

const PIXELS: Normalisation = Normalisation { mean: 0.0, std: 1.0 };

fn spec() -> NetworkSpec {
    let layers = r#"[{ "type": "dense", "out": 3 }, { "type": "relu" }, { "type": "dense", "out": 2 }]"#;
    serde_json::from_str(&format!(r#"{{ "name": "two", "layer": {layers} }}"#)).unwrap()
}

fn given(epochs: usize, mu: &[f32], sigma: &[f32]) -> Result<Checkpoint, String> {
    let shape = Shape { channels: 1, rows: 2, columns: 2 };
    let train = TrainSettings { epochs, ..TrainSettings::default() };
    Checkpoint::given(&spec(), shape, 2, PIXELS, 1, train, GivenPosterior { mu, sigma }).map_err(|e| e.to_string())
}

/// 3 x 4 weights and 3 biases, 2 x 3 weights and 2 biases.
const N: usize = 23;

fn posterior() -> (Vec<f32>, Vec<f32>) {
    let mu = (0..N).map(|i| (i as f32 - 11.0) / 10.0).collect();
    (mu, (0..N).map(|i| 0.02 * (i + 1) as f32).collect())
}

#[test]
fn a_posterior_from_elsewhere_survives_its_file() {
    let (mu, sigma) = posterior();
    let checkpoint = given(0, &mu, &sigma).unwrap();
    assert!(checkpoint.finished());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("float.safetensors");
    checkpoint.save(&path).unwrap();
    let read = Checkpoint::load(&path).unwrap();
    assert_eq!(read.identity(), checkpoint.identity());
    assert_eq!(read.guide().posterior.mu(), mu);
    for (found, wanted) in read.guide().posterior.sigma().iter().zip(&sigma) {
        assert!((found / wanted - 1.0).abs() < 1e-6, "{found} {wanted}");
    }
    // What a draw's exp gave once, it gives again.
    let again = read.guide().posterior.sigma();
    assert_eq!(given(0, &mu, &again).unwrap().guide().posterior.sigma(), again);
}

#[test]
fn numbers_that_are_no_posterior_are_refused() {
    let (mu, sigma) = posterior();
    assert!(given(0, &mu[1..], &sigma).unwrap_err().contains("22 means"));
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let mut sigma = sigma.clone();
        sigma[3] = wrong;
        assert!(given(0, &mu, &sigma).unwrap_err().contains("as a standard deviation"));
    }
    let mut mu = mu;
    mu[0] = f32::NAN;
    assert!(given(0, &mu, &sigma).unwrap_err().contains("as a mean"));
}

#[test]
fn mean_logits_are_those_of_a_plain_loop() {
    let (mu, sigma) = posterior();
    let checkpoint = given(0, &mu, &sigma).unwrap();
    let pixels: Vec<u8> = (0..40 * 4).map(|i| (i * 37 % 256) as u8).collect();
    let shape = Shape { channels: 1, rows: 2, columns: 2 };
    let logits = checkpoint.mean_logits(ImagesView { shape, pixels: &pixels }).unwrap();
    assert_eq!(logits.len(), 80);
    for (image, logits) in pixels.chunks_exact(4).zip(logits.chunks_exact(2)) {
        let input: Vec<f32> = image.iter().map(|&p| f32::from(p) / 255.0).collect();
        let dense = |input: &[f32], from: usize, out: usize| -> Vec<f32> {
            let row = |o: usize| &mu[from + o * input.len()..][..input.len()];
            let bias = |o: usize| mu[from + out * input.len() + o];
            (0..out).map(|o| row(o).iter().zip(input).map(|(w, x)| w * x).sum::<f32>() + bias(o)).collect()
        };
        let hidden: Vec<f32> = dense(&input, 0, 3).into_iter().map(|x| x.max(0.0)).collect();
        for (found, wanted) in logits.iter().zip(dense(&hidden, 15, 2)) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
    }
    let other = ImagesView { shape: Shape { rows: 4, columns: 1, ..shape }, pixels: &pixels };
    assert!(checkpoint.mean_logits(other).is_err());
}

/// A checkpoint with its tensors changed, as version 1, which has no checksum.
fn changed(path: &Path, change: impl Fn(&str, Vec<usize>) -> Option<Vec<usize>>) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let json = metadata.metadata().as_ref().unwrap()["qbnn"].replace("\"version\":2", "\"version\":1");
    let (json, _) = json.rsplit_once(",\"checksum\"").unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept = file.tensors().into_iter().filter_map(|(name, view)| {
        let shape = change(&name, view.shape().to_vec())?;
        Some((name, TensorView::new(Dtype::F32, shape, view.data()).unwrap()))
    });
    safetensors::serialize(kept, Some(HashMap::from([("qbnn".to_owned(), format!("{json}}}"))]))).unwrap()
}

#[test]
fn a_transposed_layer_is_refused_though_it_has_as_many_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("float.safetensors");
    let (mu, sigma) = posterior();
    given(0, &mu, &sigma).unwrap().save(&path).unwrap();
    let bytes = changed(&path, |name, shape| {
        Some(if name == "dense1.weight.mu" { shape.into_iter().rev().collect() } else { shape })
    });
    std::fs::write(&path, bytes).unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(error.contains("`dense1.weight.mu` is F32 [4, 3], wanted F32 [3, 4]"), "{error}");
}

#[test]
fn a_checkpoint_without_an_optimizer_loads_when_its_training_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("float.safetensors");
    let shape = Shape { channels: 1, rows: 2, columns: 2 };
    for epochs in [0, 2] {
        let train = TrainSettings { epochs, ..TrainSettings::default() };
        Checkpoint::new(&spec(), shape, 2, PIXELS, 1, train).unwrap().save(&path).unwrap();
        let bytes = changed(&path, |name, shape| (!name.starts_with("adam.")).then_some(shape));
        std::fs::write(&path, bytes).unwrap();
        match Checkpoint::load(&path) {
            Ok(read) => assert!(epochs == 0 && read.finished()),
            Err(e) => assert!(epochs == 2 && e.to_string().contains("no state of an optimizer after 0 of 2"), "{e}"),
        }
    }
}

/// Trained through quantizers for two epochs, with and without a prior of its own.
fn fine_tuned(prior: Option<Vec<f32>>) -> Checkpoint {
    let (mu, sigma) = posterior();
    let mut float = given(0, &mu, &sigma).unwrap();
    if let Some(prior) = prior {
        float = float.with_prior(prior).unwrap();
    }
    let shape = Shape { channels: 1, rows: 2, columns: 2 };
    let pixels: Vec<u8> = (0..64 * 4).map(|i| (i * 37 % 256) as u8).collect();
    let labels: Vec<u16> = (0..64).map(|i| u16::from(pixels[i * 4] > 127)).collect();
    let pairs: Vec<(u32, u16)> = (0..).zip(labels.iter().copied()).collect();
    let images = ImagesView { shape, pixels: &pixels };
    let data = TrainData::of_pairs(images, &pairs, images, &labels);
    let bits = BitWidths { mu: 8, sigma: 8, weight: 8, activation: 8 };
    let settings =
        QuantizeSettings { bits, epochs: 2, learning_rate: 1e-2, calibration: 32, ..QuantizeSettings::default() };
    float.train.batch = 16;
    let mut checkpoint = Checkpoint::quantized(float, settings, &data).unwrap();
    train(&mut checkpoint, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(())).unwrap();
    checkpoint
}

#[test]
fn training_through_quantizers_keeps_near_to_the_prior_of_each_tensor() {
    let settings_alone = fine_tuned(None);
    let mu = |checkpoint: &Checkpoint| checkpoint.guide().posterior.mu().to_vec();
    assert!(settings_alone.prior_sigmas().is_none());
    // The prior of the settings, said for each parameter.
    assert_eq!(mu(&fine_tuned(Some(vec![1.0; N]))), mu(&settings_alone));
    // A narrow one on the first layer draws that layer's means towards 0.
    let narrow: Vec<f32> = (0..N).map(|i| if i < 15 { 0.05 } else { 1.0 }).collect();
    let tuned = fine_tuned(Some(narrow.clone()));
    let size = |mu: &[f32]| mu.iter().map(|m| m.abs()).sum::<f32>();
    assert!(size(&mu(&tuned)[..15]) < 0.97 * size(&mu(&settings_alone)[..15]));
    // It is in the checkpoint, and in its identity.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jq.safetensors");
    tuned.save(&path).unwrap();
    let read = Checkpoint::load(&path).unwrap();
    assert_eq!(read.prior_sigmas(), Some(&narrow[..]));
    assert_eq!(read.identity(), tuned.identity());
}

#[test]
fn a_prior_that_is_none_is_refused() {
    let (mu, sigma) = posterior();
    let with = |prior: Vec<f32>| given(0, &mu, &sigma).unwrap().with_prior(prior).map(|_| ()).unwrap_err().to_string();
    assert!(with(vec![1.0; 5]).contains("5 standard deviations of the prior"));
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(with([vec![1.0; N - 1], vec![wrong]].concat()).contains("wanted one above 0"));
    }
}
