//! The networks whose every gradient is checked: each kind of layer, branches, and whole networks.

use super::*;

fn layer(op: OpSpec) -> LayerSpec {
    LayerSpec { name: None, input: None, op }
}

fn named(name: &str, op: OpSpec) -> LayerSpec {
    LayerSpec { name: Some(name.into()), input: None, op }
}

fn dense(out: usize) -> LayerSpec {
    layer(OpSpec::Dense { out })
}

fn flatten() -> LayerSpec {
    layer(OpSpec::Flatten)
}

fn conv(out: usize, kernel: usize, stride: usize, padding: usize, groups: usize) -> OpSpec {
    OpSpec::Conv { out, kernel, stride, padding, groups }
}

/// A convolution that keeps the shape.
fn same(channels: usize) -> OpSpec {
    conv(channels, 3, 1, 1, 1)
}

/// A random convolution that fits `shape`, and the shape that it gives.
fn any_conv(random: &mut Random, shape: &mut Shape) -> LayerSpec {
    loop {
        let (kernel, stride, groups) = (random.range(1, 3), random.range(1, 3), random.range(1, 2));
        let (padding, out) = (random.range(0, kernel), groups * random.range(1, 2));
        let side = shape.rows.min(shape.columns) + 2 * padding;
        if side < kernel || !shape.channels.is_multiple_of(groups) {
            continue;
        }
        let size = |n| windows(n, kernel, stride, padding);
        *shape = Shape { channels: out, rows: size(shape.rows), columns: size(shape.columns) };
        return layer(conv(out, kernel, stride, padding, groups));
    }
}

/// Checks the networks that `layers` makes of `seeds` seeds, under each estimator.
fn each(seeds: u64, layers: impl Fn(&mut Random) -> (Shape, Vec<LayerSpec>)) {
    let workspace = &mut Workspace::default();
    for seed in 0..seeds {
        for estimator in ESTIMATORS {
            let random = &mut Random(seed);
            let batch = random.range(1, 4);
            let (image, layers) = layers(random);
            let spec = NetworkSpec { name: "test".into(), layers };
            check(&spec, image, batch, estimator, seed, workspace);
        }
    }
}

#[test]
fn dense_layers() {
    each(20, |random| {
        let image = any_image(random, 1);
        (image, vec![dense(random.range(1, 6)), dense(random.range(1, 6)), dense(random.range(1, 4))])
    });
}

#[test]
fn convolutions() {
    each(60, |random| {
        let image = any_image(random, 2);
        let mut shape = image;
        let mut layers: Vec<_> = (0..3).map(|_| any_conv(random, &mut shape)).collect();
        layers.push(flatten());
        (image, layers)
    });
}

#[test]
fn dense_straight_after_a_convolution() {
    each(10, |random| {
        let image = any_image(random, 2);
        (image, vec![any_conv(random, &mut image.clone()), dense(3), dense(2)])
    });
}

#[test]
fn pools() {
    for max in [true, false] {
        each(25, |random| {
            let image = any_image(random, 3);
            let size = random.range(1, 3);
            let stride = [None, Some(1), Some(2), Some(3)][random.range(0, 3)];
            let pool = if max { OpSpec::MaxPool { size, stride } } else { OpSpec::AveragePool { size, stride } };
            let channels = random.range(1, 3);
            (image, vec![layer(same(channels)), layer(pool), flatten()])
        });
    }
}

#[test]
fn activations() {
    let all = [
        OpSpec::Activation(Activation::Relu),
        OpSpec::Activation(Activation::LeakyRelu { slope: 0.2 }),
        OpSpec::Activation(Activation::LeakyRelu { slope: 0.0 }),
        OpSpec::Activation(Activation::ClippedRelu { max: 0.6 }),
        OpSpec::Activation(Activation::Hardtanh),
        OpSpec::Activation(Activation::Tanh),
        OpSpec::Activation(Activation::Sigmoid),
    ];
    for op in all {
        each(8, |random| {
            let image = any_image(random, 2);
            (image, vec![layer(same(2)), layer(op.clone()), layer(same(2)), layer(op.clone()), flatten()])
        });
    }
}

/// The sum of a branch and what it branched from; of two branches that read a named layer; of a layer and itself; and a
/// layer that three others read.
#[test]
fn residual_sums() {
    let add = |from: &str| layer(OpSpec::Add { from: from.into() });
    let reads = |input: &str, op| LayerSpec { name: None, input: Some(input.into()), op };
    each(8, |random| {
        let image = any_image(random, 2);
        let relu = || layer(OpSpec::Activation(Activation::Relu));
        (image, vec![named("stem", same(2)), relu(), layer(same(2)), add("stem"), relu(), flatten(), dense(3)])
    });
    each(8, |random| {
        let image = any_image(random, 2);
        let branch = named("branch", conv(4, 3, 2, 1, 1));
        let layers = vec![named("stem", same(2)), branch, reads("stem", conv(4, 1, 2, 0, 2)), add("branch"), flatten()];
        (image, layers)
    });
    each(4, |random| {
        (any_image(random, 1), vec![dense(3), named("twice", OpSpec::Dense { out: 2 }), add("twice"), dense(2)])
    });
    each(8, |random| {
        let image = any_image(random, 2);
        let layers = vec![
            named("stem", OpSpec::Dense { out: 4 }),
            named("left", OpSpec::Activation(Activation::Hardtanh)),
            LayerSpec { name: Some("right".into()), ..reads("stem", OpSpec::Dense { out: 4 }) },
            add("left"),
            add("stem"),
            dense(2),
        ];
        (image, layers)
    });
}

/// A convolution that two branches read, the first through a layer that must add to the gradient that it finds there.
#[test]
fn branches_add_to_each_other() {
    let firsts = [
        OpSpec::Flatten,
        OpSpec::MaxPool { size: 2, stride: Some(1) },
        OpSpec::AveragePool { size: 2, stride: Some(1) },
        OpSpec::Activation(Activation::Hardtanh),
        same(1),
        OpSpec::Dense { out: 3 },
    ];
    for first in firsts {
        each(4, |random| {
            let second = LayerSpec { name: None, input: Some("stem".into()), op: OpSpec::Dense { out: 3 } };
            let ends = [named("left", OpSpec::Dense { out: 3 }), second, layer(OpSpec::Add { from: "left".into() })];
            let layers = [named("stem", same(2)), layer(first.clone())].into_iter().chain(ends).collect();
            (any_image(random, 2), layers)
        });
    }
}

#[test]
fn whole_networks() {
    each(6, |random| {
        let image = Shape { channels: random.range(1, 2), rows: 7, columns: 6 };
        let layers = vec![
            layer(conv(2, 3, 1, 1, 1)),
            layer(OpSpec::Activation(Activation::Relu)),
            layer(OpSpec::MaxPool { size: 2, stride: None }),
            flatten(),
            dense(4),
            layer(OpSpec::Activation(Activation::Relu)),
            dense(3),
        ];
        (image, layers)
    });
    each(6, |random| {
        let image = Shape { channels: 2, rows: random.range(6, 8), columns: 6 };
        let layers = vec![
            named("stem", same(2)),
            layer(OpSpec::Activation(Activation::ClippedRelu { max: 0.8 })),
            layer(same(2)),
            layer(OpSpec::Add { from: "stem".into() }),
            layer(OpSpec::Activation(Activation::Hardtanh)),
            layer(OpSpec::MaxPool { size: 3, stride: Some(2) }),
            layer(conv(4, 2, 1, 1, 2)),
            layer(OpSpec::Activation(Activation::LeakyRelu { slope: 0.1 })),
            layer(OpSpec::AveragePool { size: 2, stride: Some(1) }),
            dense(3),
        ];
        (image, layers)
    });
}

/// Without the interpreter: the pass itself, moved along its own gradient.
#[test]
fn the_pass_climbs_along_its_gradient() {
    let spec = NetworkSpec {
        name: "test".into(),
        layers: vec![
            layer(conv(3, 3, 1, 1, 1)),
            layer(OpSpec::AveragePool { size: 2, stride: None }),
            layer(conv(4, 3, 1, 0, 1)),
            dense(5),
        ],
    };
    let image = Shape { channels: 2, rows: 8, columns: 7 };
    let net = Network::new(&spec, image, 5).unwrap();
    for (seed, estimator) in (0..10).flat_map(|seed| ESTIMATORS.map(|e| (seed, e))) {
        let random = &mut Random(seed);
        let batch = 9;
        let noise = PassNoise { key: [1, seed as u32], step: 3, block: 2 };
        let x = random.values(image.len() * batch);
        let upstream = random.values(5 * batch);
        let first: Vec<f32> = random.values(net.parameters()).iter().map(|v| 0.4 * v).collect();
        let second: Vec<f32> = random.values(net.parameters()).iter().map(|v| 0.06 + 0.03 * v).collect();
        let mut gradient = qbnn_bnn::internals::nn::pass::Gradient::default();
        let mut workspace = Workspace::default();
        let mut loss =
            |first: &[f32], second: &[f32], gradient: Option<&mut qbnn_bnn::internals::nn::pass::Gradient>| {
                let weights = match estimator {
                    Estimator::Drawn => WeightSample::Drawn(first),
                    Estimator::Local => WeightSample::Local { mean: first, variance: second, noise },
                    Estimator::Flipout => WeightSample::Flipout { mean: first, deviation: second, noise },
                };
                let logits = block::logits(&mut workspace, &net, weights, &x, batch);
                if let Some(gradient) = gradient {
                    *gradient = block::gradient(&mut workspace, &net, weights, &upstream, batch);
                }
                logits.iter().zip(&upstream).map(|(&l, &u)| l as f64 * u as f64).sum::<f64>()
            };
        loss(&first, &second, Some(&mut gradient));
        for part in [&gradient.first, &gradient.second] {
            if part.is_empty() {
                continue;
            }
            let is_first = std::ptr::eq(part, &gradient.first);
            let squared: f64 = part.iter().map(|&g| g as f64 * g as f64).sum();
            let length = if is_first { 0.02 } else { 0.01 } / squared.sqrt();
            let moved = |from: &[f32], by: f64| -> Vec<f32> {
                from.iter().zip(part).map(|(&v, &g)| (v as f64 + by * g as f64) as f32).collect()
            };
            let mut at = |by: f64| {
                if is_first { loss(&moved(&first, by), &second, None) } else { loss(&first, &moved(&second, by), None) }
            };
            let slope = (at(length) - at(-length)) / (2.0 * length);
            let error = (slope / squared - 1.0).abs();
            assert!(error < 2e-3, "seed {seed}, {estimator:?}, first {is_first}: slope {slope}, wanted {squared}");
        }
    }
}
