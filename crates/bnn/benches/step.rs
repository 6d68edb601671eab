//! One training step against its bare matrix products, in the same run, on one thread.
//!
//! ```console
//! cargo bench -p qbnn-bnn --bench step
//! ```
//!
//! The floor is what the step cannot do without: the forward, weight-gradient and input-gradient product of every dense
//! layer and convolution (none for the image's gradient), patches ready and memory warm. It is taken twice, as whole
//! batches and in the blocks of images that a step works in, and the faster of the two is the floor. Rounds alternate
//! between step and floor, so that a slow spell of the machine meets both; medians are printed.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use qbnn_bnn::nn::gemm::{View, matmul};
use qbnn_bnn::nn::linear::Linear;
use qbnn_bnn::nn::network::Op;
use qbnn_bnn::nn::pass::BLOCK;
use qbnn_bnn::profile::{Part, Profile};
use qbnn_bnn::step::Steps;
use qbnn_bnn::{
    Checkpoint, Estimator, Images, Network, NetworkSpec, Normalisation, QuantizeSettings, Shape, TrainData,
    TrainSettings,
};
use std::time::Instant;

const BATCH: usize = 128;
const STEPS: usize = 30;
const ROUNDS: usize = 7;
const SHAPE: Shape = Shape { channels: 1, rows: 28, columns: 28 };

/// Groups, and (rows, columns, inner) of a product.
type Product = (usize, [usize; 3]);

/// The products of one step over `images` images.
fn products(net: &Network, images: usize) -> Vec<Product> {
    let mut out = Vec::new();
    for node in &net.nodes {
        let Op::Linear { map, .. } = &node.op else { continue };
        let (groups, channels) = match map {
            Linear::Dense { outputs, .. } => (1, *outputs),
            Linear::Conv(c) => (c.groups, c.output.channels / c.groups),
        };
        let (inner, columns) = (map.fan_in(), map.positions() * images);
        out.push((groups, [channels, columns, inner]));
        out.push((groups, [channels, inner, columns]));
        if node.input > 0 {
            out.push((groups, [inner, columns, channels]));
        }
    }
    out
}

/// Seconds of the bare products of `BATCH` images, `images` at a time.
fn bare(net: &Network, images: usize, buffers: &mut [Vec<f32>; 3]) -> f64 {
    let list = products(net, images);
    let [a, b, c] = buffers;
    for &(_, [m, n, k]) in &list {
        for (buffer, len) in [(&mut *a, m * k), (&mut *b, k * n), (&mut *c, m * n)] {
            if buffer.len() < len {
                buffer.resize(len, 1e-3);
            }
        }
    }
    let start = Instant::now();
    for _ in 0..BATCH / images {
        for (i, &(groups, [m, n, k])) in list.iter().enumerate() {
            for _ in 0..groups {
                // The weight gradient's right side is the patches, transposed; so is the weight of the input's.
                let weight_gradient = k == list[i.saturating_sub(1)].1[1] && n == list[i.saturating_sub(1)].1[2];
                let right = if weight_gradient { View::rows(b, k).transposed() } else { View::rows(b, n) };
                matmul((m, n, k), View::rows(a, k), right, c, n, false);
            }
        }
    }
    start.elapsed().as_secs_f64()
}

/// Seconds of each step of a short training.
fn steps(mut checkpoint: Checkpoint, data: &TrainData<'_>, profile: &mut Profile) -> Vec<f64> {
    let mut steps = Steps::new(&checkpoint, *data);
    let order: Vec<u32> = (0..data.pairs.len() as u32).collect();
    let mut times = Vec::new();
    for (i, pairs) in order.chunks(BATCH).enumerate() {
        if i == 3 {
            steps.profile = Profile::default();
        }
        let start = Instant::now();
        steps.step(&mut checkpoint, pairs, i as u64, 100);
        times.push(start.elapsed().as_secs_f64());
    }
    profile.add(&steps.profile);
    times.split_off(3)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let pixels: Vec<u8> = (0..256 * 784u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let images = Images { shape: SHAPE, pixels: &pixels };
    let pairs: Vec<(u32, u8)> = (0..(STEPS * BATCH) as u32).map(|i| (i % 256, (i % 10) as u8)).collect();
    let none = Images { shape: SHAPE, pixels: &[] };
    let data = TrainData { images, pairs: &pairs, noise: 0.05, validation: none, validation_labels: &[] };
    println!("batch {BATCH}, one thread, median of {ROUNDS} rounds of {STEPS} steps");
    println!("{:<36} {:>9} {:>9} {:>9} {:>7}", "", "steps/s", "step ms", "bare ms", "ratio");
    for name in
        std::env::args().nth(1).filter(|a| !a.starts_with("-")).map_or(vec!["lenet5".into(), "mlp".into()], |a| vec![a])
    {
        let spec = NetworkSpec::named(&name, 10).unwrap();
        let start = |estimator| {
            let train = TrainSettings { epochs: 1, estimator, ..TrainSettings::default() };
            Checkpoint::new(&spec, SHAPE, 10, Normalisation { mean: 0.13, std: 0.31 }, 1, train).unwrap()
        };
        let quantize = QuantizeSettings { epochs: 1, ..QuantizeSettings::default() };
        let rows = [
            ("float", start(Estimator::WeightDraw)),
            ("float, local reparameterization", start(Estimator::LocalReparameterization)),
            ("float, flipout", start(Estimator::Flipout)),
            ("jq-w4a4 qat", Checkpoint::quantized(start(Estimator::WeightDraw), quantize, &data).unwrap()),
        ];
        for (row, checkpoint) in rows {
            let (mut step, mut whole, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
            let mut buffers = Default::default();
            let mut profile = Profile::default();
            for _ in 0..ROUNDS {
                step.push(median(steps(checkpoint.clone(), &data, &mut profile)));
                for (images, times) in [(BATCH, &mut whole), (BLOCK, &mut blocks)] {
                    times.push(median((0..9).map(|_| bare(checkpoint.net(), images, &mut buffers)).collect()));
                }
            }
            let (step, bare) = (median(step), median(whole).min(median(blocks)));
            let label = format!("{name} {row}");
            let (rate, ratio) = (1.0 / step, step / bare);
            println!("{label:<36} {rate:>9.1} {:>9.3} {:>9.3} {ratio:>6.2}x", step * 1e3, bare * 1e3);
            for (part, name) in Part::ALL {
                print!("{name} {:.3}  ", profile.seconds(part) * 1e3 / (ROUNDS * (STEPS - 3)) as f64);
            }
            println!();
        }
    }
}
