//! Codes and scales as plain arrays: what they stand for is the posterior of the model file.

use qbnn::codes::{KEY, of_file};
use qbnn_bnn::internals::export::export;
use qbnn_bnn::internals::stored::DecodedPosterior;
use qbnn_bnn::{
    BitWidths, Checkpoint, ImagesView, NetworkSpec, Normalisation, QuantizeSettings, Shape, Strategy, TrainData,
    TrainSettings,
};
use qbnn_core::model::{Model, Op};
use qbnn_data::npy::{Values, read_npz};
use std::path::Path;

const INPUT: Shape = Shape { channels: 1, rows: 6, columns: 6 };

fn file(strategy: Strategy) -> Vec<u8> {
    let layers = r#"[{ "type": "conv", "out": 3, "kernel": 3, "stride": 2 }, { "type": "relu" }, { "type": "max-pool",
        "size": 2 }, { "type": "flatten" }, { "type": "dense", "out": 2 }]"#;
    let spec: NetworkSpec = serde_json::from_str(&format!(r#"{{ "name": "n", "layer": {layers} }}"#)).unwrap();
    let train = TrainSettings { epochs: 0, ..TrainSettings::default() };
    let pixels: Vec<u8> = (0..8 * 36).map(|i| (i * 37 % 256) as u8).collect();
    let images = ImagesView { shape: INPUT, pixels: &pixels };
    let labels = [0, 1, 0, 1, 0, 1, 0, 1];
    let pairs: Vec<(u32, u16)> = (0..).zip(labels).collect();
    let data = TrainData::of_pairs(images, &pairs, images, &labels);
    let float = Checkpoint::new(&spec, INPUT, 2, Normalisation { mean: 0.4, std: 0.3 }, 5, train).unwrap();
    let bits = match strategy {
        Strategy::Jq => BitWidths { mu: 4, sigma: 3, weight: 6, activation: 4 },
        Strategy::Vpq => BitWidths { mu: 4, sigma: 3, weight: 32, activation: 4 },
        Strategy::Spq => BitWidths { mu: 32, sigma: 32, weight: 6, activation: 4 },
    };
    let settings = QuantizeSettings { strategy, bits, epochs: 0, calibration: 8, ..QuantizeSettings::default() };
    export(&Checkpoint::quantized(float, settings, &data).unwrap()).unwrap()
}

#[test]
fn codes_stand_for_the_numbers_of_the_file() {
    let bytes = file(Strategy::Jq);
    let model = Model::new(&bytes).unwrap();
    let exported = of_file(Path::new("jq.qbnn"), &bytes).unwrap();
    let archive = read_npz(&exported.npz, &[]).unwrap();
    assert_eq!(archive.names.len(), 13);
    let numbers = |name: &str| {
        let mut archive = read_npz(&exported.npz, &[name]).unwrap();
        let array = archive.arrays.remove(name).unwrap();
        let values: Vec<f64> = match array.values {
            Values::Byte(values) => values.into_iter().map(f64::from).collect(),
            Values::Integer(values) => values.into_iter().map(|n| n as f64).collect(),
            other => panic!("{name}: {other:?}"),
        };
        (array.shape, values)
    };
    let json = &exported.json;
    let log2 = |x: f64| (x / json["log2_unit"].as_f64().unwrap()).exp2();
    let mut linear = 0;
    for (index, layer) in model.iter().enumerate() {
        let said = &json["layers"][index];
        assert_eq!(said["reads"], layer.input);
        let Op::Linear(of) = layer.op else { continue };
        let prefix = format!("L{linear}");
        assert_eq!(said["arrays"], prefix.as_str());
        linear += 1;
        let stored = DecodedPosterior::read(&model, index).unwrap();
        let (shape, mu) = numbers(&format!("{prefix}.weight.mu_codes"));
        assert_eq!(shape, [layer.shape.channels, of.kernel_rows, of.kernel_columns, of.group_inputs]);
        let (_, scales) = numbers(&format!("{prefix}.weight.mu_log2"));
        let (_, sigma) = numbers(&format!("{prefix}.weight.sigma_codes"));
        let number = |key: &str| said[key].as_f64().unwrap();
        for (i, (mu, sigma)) in mu.iter().zip(sigma).enumerate() {
            let found = mu * log2(scales[i / of.fan_in()]);
            assert!((found - f64::from(stored.mu[i])).abs() < 1e-6);
            let found = log2(number("sigma_top_log2") - sigma * number("sigma_step_log2"));
            assert!((found / f64::from(stored.sigma[i]) - 1.0).abs() < 1e-5);
        }
        let (_, mu) = numbers(&format!("{prefix}.bias.mu_codes"));
        let (_, sigma) = numbers(&format!("{prefix}.bias.sigma_codes"));
        for (i, (mu, sigma)) in mu.iter().zip(sigma).enumerate() {
            assert!((mu * log2(number("bias_mu_log2")) - f64::from(stored.bias_mu[i])).abs() < 1e-6);
            let found = log2(number("bias_sigma_top_log2") - sigma * number("bias_sigma_step_log2"));
            assert!((found / f64::from(stored.bias_sigma[i]) - 1.0).abs() < 1e-5);
        }
        assert_eq!(numbers(&format!("{prefix}.weight.drawn_log2")).0, [layer.shape.channels]);
    }
    assert_eq!(linear, 2);
    assert_eq!((&json["bits"]["mu"], &json["bits"]["sigma"], &json["kind"]), (&4.into(), &3.into(), &"jq".into()));
    // The archive holds the description as well.
    let mut archive = read_npz(&exported.npz, &[KEY]).unwrap();
    let Values::Text(text) = archive.arrays.remove(KEY).unwrap().values else { panic!() };
    assert_eq!(&serde_json::from_str::<serde_json::Value>(&text[0]).unwrap(), json);
}

#[test]
fn a_file_of_floats_has_no_codes() {
    let error = of_file(Path::new("spq.qbnn"), &file(Strategy::Spq)).unwrap_err().to_string();
    assert!(error.contains("spq.qbnn is a spq model, which stores floats"), "{error}");
    assert!(of_file(Path::new("a"), b"QBNN").is_err());
    let vpq = of_file(Path::new("vpq.qbnn"), &file(Strategy::Vpq)).unwrap();
    assert_eq!(vpq.json["bits"]["weight"], serde_json::Value::Null);
}
