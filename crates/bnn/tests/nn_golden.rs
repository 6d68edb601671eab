//! Layers and small networks against PyTorch: the values in `golden/nn.json` come from `golden/make_nn.py`.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod block;

use qbnn_bnn::internals::nn::network::Op;
use qbnn_bnn::internals::nn::pass::{BLOCK, WeightSample, Workspace};
use qbnn_bnn::{LayerSpec, Network, NetworkSpec, OpSpec, Shape};
use serde_json::Value;

/// Of the largest value of a tensor.
const TOLERANCE: f64 = 1e-5;

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

/// PyTorch's `[image][feature]` as our `[feature][image]`.
fn batch_innermost(values: &[f32], batch: usize) -> Vec<f32> {
    let features = values.len() / batch;
    assert_eq!(features * batch, values.len());
    (0..values.len()).map(|i| values[i % batch * features + i / batch]).collect()
}

fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: number of values");
    let scale = want.iter().fold(0.0f64, |m, &v| m.max(v.abs() as f64));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (g as f64 - w as f64).abs();
        assert!(error <= TOLERANCE * scale, "{what}[{i}]: {g}, PyTorch has {w} (largest {scale})");
    }
}

/// Mean cross-entropy of logits `[class][image]` and its gradient.
fn cross_entropy(logits: &[f32], labels: &[usize]) -> (f64, Vec<f32>) {
    let batch = labels.len();
    let mut gradient = vec![0.0; logits.len()];
    let mut loss = 0.0;
    for (n, &label) in labels.iter().enumerate() {
        let exp: Vec<f64> = logits.iter().skip(n).step_by(batch).map(|&l| (l as f64).exp()).collect();
        let sum: f64 = exp.iter().sum();
        loss -= (exp[label] / sum).ln() / batch as f64;
        for (class, e) in exp.iter().enumerate() {
            let hit = if class == label { 1.0 } else { 0.0 };
            gradient[class * batch + n] = ((e / sum - hit) / batch as f64) as f32;
        }
    }
    (loss, gradient)
}

fn check(case: &Value) {
    let name = case["name"].as_str().unwrap();
    let batch = case["batch"].as_u64().unwrap() as usize;
    let sides: Vec<usize> = floats(&case["input_shape"]).iter().map(|&v| v as usize).collect();
    let input = Shape { channels: sides[0], rows: sides[1], columns: sides[2] };
    let mut layers: Vec<LayerSpec> = serde_json::from_value(case["layers"].clone()).unwrap();
    let single = layers.len() == 1;
    if single {
        layers.push(LayerSpec { name: None, input: None, op: OpSpec::Flatten });
    }
    let want = batch_innermost(&floats(&case["output"]), batch);
    let spec = NetworkSpec { name: name.into(), layers };
    let net = Network::new(&spec, input, want.len() / batch).unwrap();

    let mut parameters = vec![0.0; net.parameters()];
    assert_eq!(net.tensors.len(), case["parameters"].as_object().unwrap().len(), "{name}: number of tensors");
    for tensor in &net.tensors {
        parameters[tensor.range.clone()].copy_from_slice(&floats(&case["parameters"][&tensor.name]));
    }

    let weights = WeightSample::Drawn(&parameters);
    let x = batch_innermost(&floats(&case["input"]), batch);
    let mut workspace = Workspace::default();
    let logits = block::logits(&mut workspace, &net, weights, &x, batch);
    close(&format!("{name}: output"), &logits, &want);

    let upstream = if case["labels"].is_null() {
        batch_innermost(&floats(&case["upstream"]), batch)
    } else {
        let labels: Vec<usize> = floats(&case["labels"]).iter().map(|&v| v as usize).collect();
        let (loss, gradient) = cross_entropy(&logits, &labels);
        let wanted = case["loss"].as_f64().unwrap();
        assert!((loss - wanted).abs() < TOLERANCE * wanted, "{name}: loss {loss}, PyTorch has {wanted}");
        gradient
    };
    let gradient = block::gradient(&mut workspace, &net, weights, &upstream, batch);
    for tensor in &net.tensors {
        let want = floats(&case["gradients"][&tensor.name]);
        close(&format!("{name}: gradient of {}", tensor.name), &gradient.first[tensor.range.clone()], &want);
    }

    // A pass leaves out the gradient of the image: ask the layer itself.
    if single {
        let want = batch_innermost(&floats(&case["input_gradient"]), batch);
        let (wide_x, upstream) = (block::widen(&x, batch), block::widen(&upstream, batch));
        let mut dx = vec![f32::NAN; wide_x.len()];
        match &net.nodes[0].op {
            Op::Linear { map, weight, .. } => {
                let w = &parameters[net.tensors[*weight].range.clone()];
                map.backward_input(w, &upstream, &mut dx, false);
            }
            Op::Pool(pool) => pool.backward(&wide_x, workspace.value(&net, 0), &upstream, &mut dx, BLOCK),
            Op::Activation { function, .. } => function.backward(&wide_x, &upstream, &mut dx),
            Op::Flatten | Op::Add { .. } => panic!("{name}: not a case of one layer"),
        }
        close(&format!("{name}: gradient of the input"), &block::narrow(&dx, batch), &want);
    }
}

#[test]
fn pytorch_agrees() {
    let golden: Value = serde_json::from_str(include_str!("golden/nn.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    cases.iter().for_each(check);
}
