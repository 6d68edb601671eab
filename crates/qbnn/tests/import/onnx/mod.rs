//! ONNX files: decoded again by other code and run by plain loops, they say what the network says.

mod decode;
mod run;

use decode::Fields;
use qbnn::onnx::{Networks, to_bytes};
use qbnn_bnn::predictor::{Draws, NoProgress, Predictor, of_checkpoint};
use qbnn_bnn::{
    BitWidths, Checkpoint, ImagesView, NetworkSpec, Normalisation, QuantizeSettings, Shape, Strategy, TrainData,
    TrainSettings,
};
use run::{Array, run};

const INPUT: Shape = Shape { channels: 2, rows: 6, columns: 5 };
const N: usize = 4;

/// A convolution in groups, a sum, pools of both kinds and every activation function.
const WIDE: &str = r#"[
    { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "groups": 2, "name": "first" },
    { "type": "leaky-relu", "slope": 0.2, "name": "bent" },
    { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "name": "second" },
    { "type": "hardtanh" },
    { "type": "conv", "out": 4, "kernel": 1, "name": "third" },
    { "type": "add", "from": "bent" },
    { "type": "clipped-relu", "max": 2.0 },
    { "type": "average-pool", "size": 2 },
    { "type": "conv", "out": 6, "kernel": 2, "stride": 1 },
    { "type": "sigmoid" },
    { "type": "flatten" },
    { "type": "dense", "out": 7 },
    { "type": "tanh" },
    { "type": "dense", "out": 3 }
]"#;

/// What a device runs: two convolutions with pools, a dense layer.
const PLAIN: &str = r#"[
    { "type": "average-pool", "size": 2, "stride": 1 },
    { "type": "conv", "out": 4, "kernel": 2 },
    { "type": "relu" },
    { "type": "max-pool", "size": 2, "stride": 1 },
    { "type": "average-pool", "size": 2, "stride": 1 },
    { "type": "flatten" },
    { "type": "dense", "out": 3 }
]"#;

fn pixels() -> Vec<u8> {
    (0..N * INPUT.len()).map(|i| (i * 37 % 256) as u8).collect()
}

/// An untrained network; its posterior has wide sigmas.
fn checkpoint(layers: &str) -> Checkpoint {
    let spec: NetworkSpec = serde_json::from_str(&format!(r#"{{ "name": "n", "layer": {layers} }}"#)).unwrap();
    let train = TrainSettings { epochs: 0, initial_sigma: 0.2, ..TrainSettings::default() };
    Checkpoint::new(&spec, INPUT, 3, Normalisation { mean: 0.4, std: 0.3 }, 5, train).unwrap()
}

fn quantized(layers: &str) -> Checkpoint {
    let pixels = pixels();
    let images = ImagesView { shape: INPUT, pixels: &pixels };
    let (pairs, labels) = ([(0, 0), (1, 1), (2, 2), (3, 0)], [0, 1, 2, 0]);
    let data = TrainData::of_pairs(images, &pairs, images, &labels);
    let bits = BitWidths { mu: 8, sigma: 4, weight: 8, activation: 4 };
    let settings =
        QuantizeSettings { strategy: Strategy::Jq, bits, epochs: 0, calibration: 4, ..QuantizeSettings::default() };
    Checkpoint::quantized(checkpoint(layers), settings, &data).unwrap()
}

/// The file's values for the images, channels first.
fn values(checkpoint: &Checkpoint, networks: Networks) -> std::collections::BTreeMap<String, Array> {
    let model = Fields::read(&to_bytes(checkpoint, networks, "n").unwrap());
    let Shape { channels, rows, columns } = INPUT;
    let pixels = pixels();
    let places = rows * columns;
    let first = pixels
        .chunks_exact(INPUT.len())
        .flat_map(|image| (0..INPUT.len()).map(move |i| image[i % places * channels + i / places].into()));
    run(&model, &Array::new(&[N, channels, rows, columns], first.collect()))
}

fn near(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < tolerance, "{found} and {wanted}");
    }
}

#[test]
fn the_network_of_the_means_says_what_its_file_says() {
    for layers in [WIDE, PLAIN] {
        let checkpoint = checkpoint(layers);
        let pixels = pixels();
        let logits = checkpoint.mean_logits(ImagesView { shape: INPUT, pixels: &pixels }).unwrap();
        let softmax = |row: &[f32]| {
            let sum: f64 = row.iter().map(|l| f64::from(*l).exp()).sum();
            row.iter().map(|l| f64::from(*l).exp() / sum).collect::<Vec<_>>()
        };
        let wanted: Vec<f64> = logits.chunks_exact(3).flat_map(softmax).collect();
        let values = values(&checkpoint, Networks::Means);
        assert_eq!(values["probabilities"].shape, [N, 3]);
        near(&values["probabilities"].values, &wanted, 1e-5);
    }
}

#[test]
fn drawn_networks_are_those_of_a_prediction() {
    let (draws, seed) = (3, 11);
    let wide = checkpoint(WIDE);
    let (plain, fine) = (checkpoint(PLAIN), quantized(PLAIN));
    for checkpoint in [wide, plain, fine] {
        let pixels = pixels();
        let images = ImagesView { shape: INPUT, pixels: &pixels };
        let mut predictor: Box<dyn Predictor> = match &checkpoint.quantize {
            None => of_checkpoint(&checkpoint).unwrap(),
            // The simulation with the noise of training: an ONNX file runs in float.
            Some(_) => Box::new(qbnn_bnn::predictor::Float::new(
                checkpoint.net().clone(),
                checkpoint.guide().clone(),
                checkpoint.normalisation,
            )),
        };
        let wanted = predictor.predict(images, Draws { count: draws, seed }, &mut NoProgress).unwrap();
        let values = values(&checkpoint, Networks::Draws { count: draws, seed });
        assert_eq!(values["draws"].shape, [draws, N, 3]);
        near(&values["draws"].values, &wanted.values, 1e-4);
        // Uncertainties, worked out here.
        let entropy = |row: &[f64]| -> f64 { row.iter().map(|p| if *p > 0.0 { -p * p.ln() } else { 0.0 }).sum() };
        for image in 0..N {
            let of = |s: usize| &values["draws"].values[(s * N + image) * 3..][..3];
            let mean: Vec<f64> = (0..3).map(|c| (0..draws).map(|s| of(s)[c]).sum::<f64>() / draws as f64).collect();
            let aleatoric = (0..draws).map(|s| entropy(of(s))).sum::<f64>() / draws as f64;
            near(&values["probabilities"].values[image * 3..][..3], &mean, 1e-9);
            near(&[values["total"].values[image]], &[entropy(&mean)], 1e-9);
            near(&[values["aleatoric"].values[image]], &[aleatoric], 1e-9);
            near(&[values["epistemic"].values[image]], &[entropy(&mean) - aleatoric], 1e-9);
        }
    }
}

#[test]
fn a_file_says_what_it_is() {
    let model = Fields::read(&to_bytes(&checkpoint(PLAIN), Networks::Draws { count: 2, seed: 9 }, "net").unwrap());
    assert_eq!((model.numbers(1), model.texts(2)), (vec![8], vec!["qbnn".to_owned()]));
    assert_eq!(model.messages(8)[0].numbers(2), [17]);
    let properties: Vec<String> = model.messages(14).iter().flat_map(|p| [p.texts(1), p.texts(2)].concat()).collect();
    assert_eq!(properties, ["qbnn.model", "net", "qbnn.draws", "2", "qbnn.seed", "9"]);
    let graph = &model.messages(7)[0];
    let names = |field: u32| graph.messages(field).iter().flat_map(|v| v.texts(1)).collect::<Vec<_>>();
    assert_eq!(names(11), ["pixels"]);
    assert_eq!(names(12), ["probabilities", "draws", "total", "aleatoric", "epistemic"]);
    // Pixels are bytes.
    assert_eq!(graph.messages(11)[0].messages(2)[0].messages(1)[0].numbers(1), [2]);
    // As many nodes whatever the draws.
    let nodes = |count: usize| {
        let bytes = to_bytes(&checkpoint(PLAIN), Networks::Draws { count, seed: 0 }, "net").unwrap();
        Fields::read(&bytes).messages(7)[0].messages(1).len()
    };
    assert_eq!(nodes(2), nodes(32));
    let error = to_bytes(&checkpoint(PLAIN), Networks::Draws { count: 0, seed: 0 }, "net").unwrap_err().to_string();
    assert!(error.contains("--draws") && error.contains("1 to"), "{error}");
    assert!(to_bytes(&checkpoint(PLAIN), Networks::Draws { count: 1 << 40, seed: 0 }, "net").is_err());
}
