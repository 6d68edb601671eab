//! Two hundred steps of training against the composed, obvious version of every piece that a step fuses: draw, products,
//! bias, activation, pooling, loss, KL, gradients and Adam one after the other, number by number, in f64.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod random;

use qbnn_bnn::internals::noise;
use qbnn_bnn::internals::noise::purpose;
use qbnn_bnn::internals::optim::cosine;
use qbnn_bnn::internals::posterior::Posterior;
use qbnn_bnn::internals::step::Steps;
use qbnn_bnn::{
    Activation, Checkpoint, ImagesView, LayerSpec, NetworkSpec, Normalisation, OpSpec, Shape, TrainData, TrainSettings,
};
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS, NoiseCounter, key};
use random::Random;

const CLASSES: usize = 5;
const SEED: u64 = 11;
const STEPS: u64 = 200;
const BATCH: usize = 40;
const NORMALISATION: Normalisation = Normalisation { mean: 0.4, std: 0.3 };

/// A layer of the composed network, with the flat ranges of its weights and biases.
enum Layer {
    /// Cross-correlation; a dense layer is one over a flat image with a kernel of one pixel.
    Conv {
        from: Shape,
        to: Shape,
        kernel: usize,
        padding: usize,
        weight: usize,
        bias: usize,
    },
    Relu,
    MaxPool {
        from: Shape,
        to: Shape,
    },
}

/// Every (output, weight, input) of a convolution's products.
fn products(from: Shape, to: Shape, kernel: usize, padding: usize, mut f: impl FnMut(usize, usize, usize)) {
    for o in 0..to.channels {
        for oy in 0..to.rows {
            for ox in 0..to.columns {
                for i in 0..from.channels {
                    for ky in 0..kernel {
                        for kx in 0..kernel {
                            let (y, x) = ((oy + ky).wrapping_sub(padding), (ox + kx).wrapping_sub(padding));
                            if y < from.rows && x < from.columns {
                                let w = ((o * from.channels + i) * kernel + ky) * kernel + kx;
                                f((o * to.rows + oy) * to.columns + ox, w, (i * from.rows + y) * from.columns + x);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Of each window of two by two, its output and the input that is largest (the first of equals).
fn winners(from: Shape, to: Shape, x: &[f64], mut f: impl FnMut(usize, usize)) {
    for channel in 0..to.channels {
        for row in 0..to.rows {
            for column in 0..to.columns {
                let at = |k: usize| (channel * from.rows + 2 * row + k / 2) * from.columns + 2 * column + k % 2;
                let best = (1..4).fold(at(0), |best, k| if x[at(k)] > x[best] { at(k) } else { best });
                f((channel * to.rows + row) * to.columns + column, best);
            }
        }
    }
}

/// NLL of one image; adds its gradient.
fn image(layers: &[Layer], w: &[f64], input: Vec<f64>, label: usize, scale: f64, dw: &mut [f64]) -> f64 {
    let mut values = vec![input];
    for layer in layers {
        let x = values.last().unwrap();
        values.push(match layer {
            Layer::Conv { from, to, kernel, padding, weight, bias } => {
                let area = to.rows * to.columns;
                let mut y: Vec<f64> = (0..to.len()).map(|i| w[bias + i / area]).collect();
                products(*from, *to, *kernel, *padding, |o, at, i| y[o] += w[weight + at] * x[i]);
                y
            }
            Layer::Relu => x.iter().map(|x| x.max(0.0)).collect(),
            Layer::MaxPool { from, to } => {
                let mut y = vec![0.0; to.len()];
                winners(*from, *to, x, |o, i| y[o] = x[i]);
                y
            }
        });
    }
    let logits = values.last().unwrap();
    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
    let mut dy: Vec<f64> = logits.iter().map(|l| scale * l.exp() / sum).collect();
    dy[label] -= scale;
    let nll = sum.ln() - logits[label];
    for (layer, x) in layers.iter().zip(&values).rev() {
        let mut dx = vec![0.0; x.len()];
        match layer {
            Layer::Conv { from, to, kernel, padding, weight, bias } => {
                let area = to.rows * to.columns;
                dy.iter().enumerate().for_each(|(i, d)| dw[bias + i / area] += d);
                products(*from, *to, *kernel, *padding, |o, at, i| {
                    dw[weight + at] += dy[o] * x[i];
                    dx[i] += dy[o] * w[weight + at];
                });
            }
            Layer::Relu => {
                dx.iter_mut().zip(&dy).zip(x).for_each(|((dx, dy), &x)| *dx = if x > 0.0 { *dy } else { 0.0 })
            }
            Layer::MaxPool { from, to } => winners(*from, *to, x, |o, i| dx[i] += dy[o]),
        }
        dy = dx;
    }
    nll
}

fn adam(p: &mut f64, g: f64, moments: &mut [f64; 2], rate: f64, step: u64) {
    let t = step as i32 + 1;
    moments[0] = 0.9 * moments[0] + 0.1 * g;
    moments[1] = 0.999 * moments[1] + 0.001 * g * g;
    let (m, v) = (moments[0] / (1.0 - 0.9f64.powi(t)), moments[1] / (1.0 - 0.999f64.powi(t)));
    *p -= rate * m / (v.sqrt() + 1e-8);
}

fn dense(out: usize) -> OpSpec {
    OpSpec::Dense { out }
}

/// A network as the crate reads it and as this file does, its parameters in the same order.
fn networks() -> Vec<(Vec<OpSpec>, Vec<Layer>)> {
    let image = Shape { channels: 1, rows: 8, columns: 8 };
    let wide = Shape { channels: 4, ..image };
    let small = Shape { channels: 4, rows: 4, columns: 4 };
    let full = |inputs: usize, outputs: usize, weight: usize| Layer::Conv {
        from: Shape::flat(inputs),
        to: Shape::flat(outputs),
        kernel: 1,
        padding: 0,
        weight,
        bias: weight + inputs * outputs,
    };
    let conv = OpSpec::Conv { out: 4, kernel: 3, stride: 1, padding: 1, groups: 1 };
    vec![
        (
            vec![OpSpec::Flatten, dense(17), OpSpec::Activation(Activation::Relu), dense(CLASSES)],
            vec![full(64, 17, 0), Layer::Relu, full(17, CLASSES, 17 * 65)],
        ),
        (
            vec![
                conv,
                OpSpec::Activation(Activation::Relu),
                OpSpec::MaxPool { size: 2, stride: None },
                dense(9),
                OpSpec::Activation(Activation::Relu),
                dense(CLASSES),
            ],
            vec![
                Layer::Conv { from: image, to: wide, kernel: 3, padding: 1, weight: 0, bias: 36 },
                Layer::Relu,
                Layer::MaxPool { from: wide, to: small },
                full(64, 9, 40),
                Layer::Relu,
                full(9, CLASSES, 40 + 65 * 9),
            ],
        ),
    ]
}

#[test]
fn two_hundred_steps_are_those_of_the_composed_version() {
    let shape = Shape { channels: 1, rows: 8, columns: 8 };
    let random = &mut Random(3);
    let count = 120;
    // Images with something to learn: the label's rows are bright.
    let labels: Vec<u16> = (0..count).map(|_| random.range(0, CLASSES - 1) as u16).collect();
    let pixels: Vec<u8> = labels
        .iter()
        .flat_map(|&label| (0..64).map(|p| if p / 8 == label as usize { 200 } else { 40 }).collect::<Vec<u8>>())
        .map(|base| base + random.range(0, 50) as u8)
        .collect();
    let pairs: Vec<(u32, u16)> = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
    let none = ImagesView { shape, pixels: &[] };
    let images = ImagesView { shape, pixels: &pixels };
    let data = TrainData { noise: 0.1, ..TrainData::of_pairs(images, &pairs, none, &[]) };

    for (ops, layers) in networks() {
        let spec = NetworkSpec {
            name: "test".into(),
            layers: ops.into_iter().map(|op| LayerSpec { name: None, input: None, op }).collect(),
        };
        let settings = TrainSettings { batch: BATCH, learning_rate: 2e-3, ..TrainSettings::default() };
        let mut checkpoint = Checkpoint::new(&spec, shape, CLASSES, NORMALISATION, SEED, settings.clone()).unwrap();
        let wide = |values: &[f32]| values.iter().map(|&v| v as f64).collect::<Vec<f64>>();
        let Posterior::Gaussian(start) = &checkpoint.guide().posterior else { panic!("not Gaussian") };
        let (mut mu, mut log_sigma) = (wide(&start.mu), wide(&start.log_sigma));
        let n = mu.len();
        let mut moments = vec![[[0.0; 2]; 2]; n];
        let tensors = checkpoint.net().tensors.clone();
        let mut steps = Steps::new(&checkpoint, data);
        let (mut first, mut last) = (0.0, 0.0);
        for step in 0..STEPS {
            let chosen: Vec<u32> = (0..BATCH).map(|_| random.range(0, count - 1) as u32).collect();

            let mut eps = vec![0.0f32; n];
            for (i, tensor) in tensors.iter().enumerate() {
                let place = NoiseCounter { purpose: purpose::WEIGHTS, tensor: i as u32, draw: step as u32 };
                noise::normal(key(SEED), place, &mut eps[tensor.range.clone()]);
            }
            let sigma: Vec<f64> = log_sigma.iter().map(|l| l.exp()).collect();
            let w: Vec<f64> = (0..n).map(|i| mu[i] + sigma[i] * eps[i] as f64).collect();
            let (mut dw, mut nll) = (vec![0.0; n], 0.0);
            for &pair in &chosen {
                let mut bytes = vec![0; 64];
                noise::loose_bytes(
                    key(SEED),
                    NoiseCounter { purpose: purpose::PIXELS, tensor: 0, draw: pair },
                    &mut bytes,
                );
                let unit = (1u32 << GAUSSIAN_FRACTION_BITS) as f64;
                let pixel = |p: usize| {
                    let value = pixels[pair as usize * 64 + p] as f64 / 255.0;
                    (value - NORMALISATION.mean as f64) / NORMALISATION.std as f64
                        + 0.1 * GAUSSIAN[bytes[p] as usize] as f64 / unit
                };
                let input = (0..64).map(pixel).collect();
                let label = labels[pair as usize] as usize;
                nll += image(&layers, &w, input, label, 1.0 / BATCH as f64, &mut dw) / BATCH as f64;
            }
            let warmup = settings.kl_warmup as f64 * STEPS as f64;
            let kl_weight = settings.kl_weight as f64 * ((step + 1) as f64 / warmup).min(1.0);
            let scale = kl_weight / count as f64;
            let (p2, rate) = ((settings.prior_sigma as f64).powi(2), 2e-3 * cosine(step, STEPS) as f64);
            let mut kl = 0.0;
            for i in 0..n {
                kl += (sigma[i].powi(2) + mu[i].powi(2)) / (2.0 * p2) - 0.5 - (sigma[i] / p2.sqrt()).ln();
                let d_mu = dw[i] + scale * mu[i] / p2;
                let d_sigma = dw[i] * eps[i] as f64 + scale * (sigma[i] / p2 - 1.0 / sigma[i]);
                adam(&mut mu[i], d_mu, &mut moments[i][0], rate, step);
                adam(&mut log_sigma[i], d_sigma * sigma[i], &mut moments[i][1], rate, step);
            }
            kl /= count as f64;

            let loss = steps.step(&mut checkpoint, &chosen, step, STEPS);
            for (what, got, want) in
                [("NLL", loss.nll, nll), ("KL", loss.kl, kl), ("weight", loss.kl_weight, kl_weight)]
            {
                assert!((got / want - 1.0).abs() < 1e-4, "step {step}: {what} is {got}, wanted {want}");
            }
            if step == 0 {
                first = nll;
            }
            last = nll;
        }
        assert!(last < 0.5 * first, "nothing was learned: {first} to {last}");
    }
}
