//! What holds of every pass: images do not see each other, estimators without spread are the mean network, gradients
//! add; and what is refused when a network is built.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod block;

use block::{gradient, logits};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qbnn_bnn::internals::nn::pass::{BLOCK, PassNoise, WeightSample, Workspace};
use qbnn_bnn::internals::noise::normal;
use qbnn_bnn::{BnnError, Network, NetworkSpec, Shape};
use qbnn_core::noise::NoiseCounter;
use serde_json::json;

fn gaussian(seed: u32, use_: u32, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    normal([seed, 99], NoiseCounter { purpose: 1000, tensor: use_, draw: 0 }, &mut values);
    values
}

fn spec(layers: serde_json::Value) -> NetworkSpec {
    serde_json::from_value(json!({ "name": "test", "layer": layers })).unwrap()
}

/// Networks that hold every kind of layer between them.
fn networks() -> Vec<Network> {
    let image = Shape { channels: 1, rows: 9, columns: 11 };
    let residual = json!([
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "name": "stem" },
        { "type": "clipped-relu" },
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "groups": 2 },
        { "type": "add", "from": "stem" },
        { "type": "leaky-relu" },
        { "type": "average-pool", "size": 3, "stride": 2 },
        { "type": "conv", "out": 6, "kernel": 2, "stride": 2, "padding": 1 },
        { "type": "hardtanh" },
        { "type": "max-pool", "size": 2, "stride": 1 },
        { "type": "dense", "out": 10 },
    ]);
    let mlp = NetworkSpec::named("mlp", 10).unwrap();
    let lenet = NetworkSpec::named("lenet5", 10).unwrap();
    vec![
        Network::new(&spec(residual), image, 10).unwrap(),
        Network::new(&mlp, image, 10).unwrap(),
        Network::new(&lenet, Shape { channels: 1, rows: 28, columns: 28 }, 10).unwrap(),
    ]
}

fn parameters(net: &Network, seed: u32) -> Vec<f32> {
    let mut values = gaussian(seed, 1, net.parameters());
    for tensor in &net.tensors {
        values[tensor.range.clone()].iter_mut().for_each(|v| *v *= (2.0 / tensor.fan_in as f32).sqrt());
    }
    values
}

/// Image `n` of `[feature][image]`.
fn column(values: &[f32], batch: usize, n: usize) -> Vec<f32> {
    values.iter().skip(n).step_by(batch).copied().collect()
}

fn assert_near(about: &str, a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len(), "{about}");
    let scale = b.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{about}: [{i}] {a} and {b} (largest {scale})");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, rng_seed: RngSeed::Fixed(17), ..ProptestConfig::default() })]

    /// With drawn weights an image's logits are the same bits whatever the other images of its block hold.
    #[test]
    fn images_do_not_see_each_other(seed: u32, batch in 2..=BLOCK, at in 0..BLOCK, which in 0usize..3) {
        let (net, at) = (&networks()[which], at % batch);
        let w = parameters(net, seed);
        let mut workspace = Workspace::default();
        let x = gaussian(seed, 2, net.input.len() * batch);
        let mut other = gaussian(seed, 3, x.len());
        other.iter_mut().for_each(|v| *v *= 50.0);
        for (o, x) in other.iter_mut().skip(at).step_by(batch).zip(x.iter().skip(at).step_by(batch)) {
            *o = *x;
        }
        let a = logits(&mut workspace, net, WeightSample::Drawn(&w), &x, batch);
        let b = logits(&mut workspace, net, WeightSample::Drawn(&w), &other, batch);
        prop_assert_eq!(column(&a, batch, at), column(&b, batch, at));
        prop_assert_ne!(a, b);
    }

    /// A block of n is n passes of one.
    #[test]
    fn a_block_is_its_images(seed: u32, batch in 2..=BLOCK, which in 0usize..3) {
        let net = &networks()[which];
        let w = parameters(net, seed);
        let mut workspace = Workspace::default();
        let x = gaussian(seed, 2, net.input.len() * batch);
        let all = logits(&mut workspace, net, WeightSample::Drawn(&w), &x, batch);
        for n in 0..batch {
            let one = logits(&mut workspace, net, WeightSample::Drawn(&w), &column(&x, batch, n), 1);
            assert_near("logits", &column(&all, batch, n), &one, 1e-5);
        }
    }

    /// The gradient of a block is the sum of its images'. On a network without corners: at one, the last bit of a sum may
    /// choose another slope.
    #[test]
    fn gradients_add(seed: u32, batch in 2..=BLOCK) {
        let layers = json!([
            { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "name": "stem" },
            { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "groups": 2 },
            { "type": "add", "from": "stem" },
            { "type": "average-pool", "size": 3, "stride": 2 },
            { "type": "conv", "out": 6, "kernel": 2, "stride": 2, "padding": 1 },
            { "type": "dense", "out": 10 },
        ]);
        let net = &Network::new(&spec(layers), Shape { channels: 1, rows: 9, columns: 11 }, 10).unwrap();
        let w = parameters(net, seed);
        let weights = WeightSample::Drawn(&w);
        let mut workspace = Workspace::default();
        let x = gaussian(seed, 2, net.input.len() * batch);
        let upstream = gaussian(seed, 4, net.classes() * batch);
        logits(&mut workspace, net, weights, &x, batch);
        let whole = gradient(&mut workspace, net, weights, &upstream, batch);
        let mut summed = vec![0.0; net.parameters()];
        for n in 0..batch {
            logits(&mut workspace, net, weights, &column(&x, batch, n), 1);
            let one = gradient(&mut workspace, net, weights, &column(&upstream, batch, n), 1);
            summed.iter_mut().zip(&one.first).for_each(|(s, g)| *s += g);
        }
        for tensor in &net.tensors {
            let range = || tensor.range.clone();
            assert_near(&tensor.name, &whole.first[range()], &summed[range()], 2e-5);
        }
    }

    /// Without spread, local reparameterization and flipout are the network of the means, forward and backward.
    #[test]
    fn without_spread_estimators_are_the_mean(seed: u32, batch in 1..=BLOCK, which in 0usize..2) {
        let net = &networks()[which];
        let (w, zero) = (parameters(net, seed), vec![0.0; net.parameters()]);
        let noise = PassNoise { key: [seed, 1], step: 2, block: 3 };
        let x = gaussian(seed, 2, net.input.len() * batch);
        let upstream = gaussian(seed, 4, net.classes() * batch);
        let run = |weights: WeightSample| {
            let mut workspace = Workspace::default();
            let y = logits(&mut workspace, net, weights, &x, batch);
            (y, gradient(&mut workspace, net, weights, &upstream, batch).first)
        };
        let (y, g) = run(WeightSample::Drawn(&w));
        // The local one has a floor of 1e-8 under its standard deviations.
        let (local, _) = run(WeightSample::Local { mean: &w, variance: &zero, noise });
        assert_near("local", &local, &y, 1e-5);
        let (flipout, flipout_g) = run(WeightSample::Flipout { mean: &w, deviation: &zero, noise });
        assert_eq!((flipout, flipout_g), (y, g));
    }
}

/// Noise is a function of (key, step, block): equal for equal ones, another for each other one.
#[test]
fn noise_depends_on_key_step_and_block() {
    let net = &networks()[0];
    let (w, batch) = (parameters(net, 5), 7);
    let spread: Vec<f32> = w.iter().map(|v| 0.1 * v.abs() + 0.01).collect();
    let x = gaussian(5, 2, net.input.len() * batch);
    let here = PassNoise { key: [1, 2], step: 3, block: 4 };
    let others = [
        PassNoise { key: [9, 2], ..here },
        PassNoise { key: [1, 9], ..here },
        PassNoise { step: 9, ..here },
        PassNoise { block: 9, ..here },
    ];
    let workspace = &mut Workspace::default();
    for local in [true, false] {
        let mut with = |noise| {
            let (mean, second) = (&w[..], &spread[..]);
            let weights = if local {
                WeightSample::Local { mean, variance: second, noise }
            } else {
                WeightSample::Flipout { mean, deviation: second, noise }
            };
            logits(workspace, net, weights, &x, batch)
        };
        let first = with(here);
        for other in others {
            assert_ne!(first, with(other), "local {local}, {other:?}");
        }
        assert_eq!(first, with(here));
    }
}

#[test]
fn tensors_follow_each_other_and_have_their_files_shape() {
    let net =
        Network::new(&NetworkSpec::named("lenet5", 10).unwrap(), Shape { channels: 1, rows: 28, columns: 28 }, 10)
            .unwrap();
    let names: Vec<&str> = net.tensors.iter().map(|t| t.name.as_str()).collect();
    let layers = ["conv1", "conv2", "dense1", "dense2", "dense3"];
    let wanted: Vec<String> = layers.iter().flat_map(|l| [format!("{l}.weight"), format!("{l}.bias")]).collect();
    assert_eq!(names, wanted);
    assert_eq!(net.parameters(), 61_706);
    assert_eq!(net.classes(), 10);
    assert_eq!(net.multiply_adds(), 416_520);
    let mut end = 0;
    for tensor in &net.tensors {
        assert_eq!(tensor.range.start, end);
        end = tensor.range.end;
        assert_eq!(tensor.range.len(), tensor.dims.iter().product::<usize>());
        assert_eq!(tensor.range.len(), tensor.channels * if tensor.bias { 1 } else { tensor.fan_in });
    }
    assert_eq!(net.tensors[2].dims, [16, 6, 5, 5]);
    assert_eq!(NetworkSpec::named("resnet", 10), None);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let image = Shape { channels: 3, rows: 6, columns: 4 };
    let dense = json!({ "type": "dense", "out": 2 });
    let cases = [
        (json!([]), "none", "at least one"),
        (json!([{ "type": "dense", "out": 3 }]), "dense1", "2 classes"),
        (json!([{ "type": "dense", "out": 0 }]), "dense1", "out = 0"),
        (json!([{ "type": "conv", "out": 3, "kernel": 5 }, dense]), "conv1", "5 does not fit into 4"),
        (json!([{ "type": "conv", "out": 3, "kernel": 0 }, dense]), "conv1", "window 0"),
        (json!([{ "type": "conv", "out": 3, "kernel": 1, "stride": 0 }, dense]), "conv1", "stride 0"),
        (json!([{ "type": "conv", "out": 3, "kernel": 1, "groups": 2 }, dense]), "conv1", "groups = 2"),
        (json!([{ "type": "conv", "out": 4, "kernel": 1, "groups": 3 }, dense]), "conv1", "groups = 3"),
        (json!([{ "type": "conv", "out": 4, "kernel": 1, "groups": 0 }, dense]), "conv1", "groups = 0"),
        (json!([{ "type": "max-pool", "size": 5 }, dense]), "pool1", "5 does not fit into 4"),
        (json!([{ "type": "average-pool", "size": 2, "stride": 0 }, dense]), "pool1", "stride 0"),
        (json!([{ "type": "leaky-relu", "slope": 1.0 }, dense]), "activation1", "slope = 1"),
        (json!([{ "type": "clipped-relu", "max": 0.0 }, dense]), "activation1", "max = 0"),
        (json!([dense, { "type": "add", "from": "ghost" }]), "add1", "`ghost`"),
        (json!([{ "type": "dense", "out": 2, "input": "dense2" }, dense]), "dense1", "`dense2`"),
        (json!([{ "type": "flatten" }, dense, { "type": "add", "from": "flatten1" }]), "add1", "one shape"),
        (json!([{ "type": "dense", "out": 2, "name": "a" }, { "type": "relu", "name": "a" }]), "a", "this name"),
    ];
    for (layers, wanted, part) in cases {
        match Network::new(&spec(layers.clone()), image, 2) {
            Err(BnnError::Network { layer, problem, .. }) => {
                assert!(layer == wanted && problem.contains(part), "{layers}: layer {layer}: {problem}");
            }
            other => panic!("{layers}: {other:?}"),
        }
    }
}
