//! Layer by layer, for inputs that are independent Gaussians.

use super::reference::{self, Random, Sample};
use super::{DRAWS, ERRORS};
use qbnn_bnn::internals::nn::buffer::Buffer;
use qbnn_bnn::internals::stored::DecodedPosterior;
use qbnn_bnn::pfp::activation::{Function, larger};
use qbnn_bnn::pfp::linear::{LANES, Linear};
use qbnn_bnn::pfp::pool::Pool;
use qbnn_core::model;

const FUNCTIONS: [Function; 5] = [
    Function::Relu,
    Function::Leaky { slope: 0.1 },
    Function::Clip { low: 0.0, high: 1.5 },
    Function::Clip { low: -1.0, high: 1.0 },
    Function::Clip { low: 0.0, high: 6.0 },
];

/// Means and variances over many scales: narrow far from a corner, wide across both, deep in a tail.
fn gaussians(random: &mut Random, n: usize) -> Vec<(f32, f32)> {
    let one = |_| {
        let s = 10f64.powf(random.uniform() * 5.0 - 4.0);
        let m = if random.word().is_multiple_of(2) { 4.0 * s } else { 8.0 } * (2.0 * random.uniform() - 1.0);
        (m as f32, (s * s) as f32)
    };
    (0..n).map(one).collect()
}

/// Whether a mean and a variance in f32 are what they should be: to within rounding of the number itself and the error
/// of the tail's polynomial.
fn close(found: (f32, f32), wanted: (f64, f64), scale: f64, v: f64, what: &str) {
    let (mean, variance) = ((found.0 as f64 - wanted.0).abs(), (found.1 as f64 - wanted.1).abs());
    assert!(mean <= 4e-7 * scale + 2e-6 * v.sqrt(), "{what}: mean {} for {}", found.0, wanted.0);
    assert!(variance <= 1e-5 * v, "{what}: variance {} for {}", found.1, wanted.1);
}

#[test]
fn activations_are_the_integrals_that_they_stand_for() {
    for (m, v) in gaussians(&mut Random(1), 60) {
        for f in FUNCTIONS {
            let kinks = |x: f64| match f {
                Function::Relu => x.max(0.0),
                Function::Leaky { slope } => {
                    if x > 0.0 {
                        x
                    } else {
                        slope as f64 * x
                    }
                }
                Function::Clip { low, high } => x.max(low as f64).min(high as f64),
            };
            let wanted = reference::of_gaussian(m as f64, v as f64, kinks);
            close(f.moments(m, v), wanted, m.abs() as f64 + 6.0, v as f64, &format!("{f:?} of N({m}, {v})"));
        }
    }
}

#[test]
fn the_larger_of_two_is_its_integral() {
    let mut random = Random(2);
    let (first, second) = (gaussians(&mut random, 60), gaussians(&mut random, 60));
    for (a, b) in first.into_iter().zip(second) {
        // A grid that resolves both: not one a thousand times as narrow as the other.
        let b = (b.0, a.1 * (0.1 + 10.0 * random.uniform() as f32));
        let b = if random.word().is_multiple_of(2) { (a.0 + b.0 * b.1.sqrt() / 4.0, b.1) } else { b };
        let wide = |x: (f32, f32)| (x.0 as f64, x.1 as f64);
        let (found, wanted) = (larger(a.0, a.1, b.0, b.1), reference::larger(wide(a), wide(b)));
        close(found, wanted, (a.0.abs() + b.0.abs()) as f64, (a.1 + b.1) as f64, &format!("{a:?}, {b:?}"));
    }
}

#[test]
fn what_is_certain_stays_certain() {
    for m in [-3.0f32, -1e-3, 0.0, 0.7, 5.0, 1e5, -1e5] {
        for f in FUNCTIONS {
            let (mean, variance) = f.moments(m, 0.0);
            assert!((mean - f.value(m)).abs() <= 1e-6 * m.abs() + 1e-14 && variance < 1e-28, "{f:?} of {m}: {mean}");
        }
        let (mean, variance) = larger(m, 0.0, 0.5, 0.0);
        assert!((mean - m.max(0.5)).abs() <= 1e-6 * m.abs() + 1e-14 && variance < 1e-28, "{m}");
    }
}

#[test]
fn activations_and_pairs_are_what_draws_give() {
    let mut random = Random(3);
    for (m, v) in [(0.0, 1.0), (0.4, 0.3), (-1.2, 0.8), (3.0, 0.01), (1.4, 2.0), (-0.9, 0.05)] {
        let mut samples = vec![Sample::default(); FUNCTIONS.len()];
        let mut pair = Sample::default();
        let (other, spread) = (0.3f64, 0.6f64);
        for _ in 0..DRAWS {
            let x = m as f64 + (v as f64).sqrt() * random.normal();
            samples.iter_mut().zip(FUNCTIONS).for_each(|(s, f)| s.add(f.value(x as f32) as f64));
            pair.add(x.max(other + spread.sqrt() * random.normal()));
        }
        for (sample, f) in samples.iter().zip(FUNCTIONS) {
            let (mean, variance) = f.moments(m, v);
            let off = sample.off(mean as f64, variance as f64);
            assert!(off.iter().all(|&o| o < ERRORS), "{f:?} of N({m}, {v}): {off:?} standard errors");
        }
        let (mean, variance) = larger(m, v, other as f32, spread as f32);
        let off = pair.off(mean as f64, variance as f64);
        assert!(off.iter().all(|&o| o < ERRORS), "larger of N({m}, {v}): {off:?} standard errors");
    }
}

/// A linear layer with random parameters and inputs.
struct Layer {
    from: model::Shape,
    to: model::Shape,
    map: model::Linear,
    stored: DecodedPosterior,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl Layer {
    fn new(from: [usize; 3], channels: usize, kernel: [usize; 2], steps: [usize; 3], random: &mut Random) -> Self {
        let ([rows, columns, inputs], [stride, padding, groups]) = (from, steps);
        let from = model::Shape { channels: inputs, rows, columns };
        let size = |side: usize, k: usize| (side + 2 * padding - k) / stride + 1;
        let to = model::Shape { channels, rows: size(rows, kernel[0]), columns: size(columns, kernel[1]) };
        let map = model::Linear::new(kernel, stride, padding, groups, inputs / groups);
        let mut numbers = |n: usize, scale: f64| (0..n).map(|_| (scale * random.normal()) as f32).collect::<Vec<_>>();
        let n = channels * map.fan_in();
        let wide = |v: Vec<f32>| v.into_iter().map(f32::abs).collect::<Vec<_>>();
        Layer {
            from,
            to,
            map,
            stored: DecodedPosterior {
                mu: numbers(n, 0.5),
                sigma: wide(numbers(n, 0.4)),
                bias_mu: numbers(channels, 1.0),
                bias_sigma: wide(numbers(channels, 0.3)),
            },
            mean: numbers(from.len(), 1.0),
            variance: wide(numbers(from.len(), 0.5)),
        }
    }

    /// Means and variances by the fast path.
    fn fast<const PRODUCTS: usize>(&self) -> [Vec<f32>; 2] {
        let layer = Linear::new(self.from, self.to, self.map, &self.stored);
        let n = self.to.len();
        let mut y = [vec![f32::NAN; n + LANES], vec![f32::NAN; n + LANES]];
        let [mean, variance] = &mut y;
        let mut scratch = Buffer::default();
        layer.forward::<PRODUCTS>([&self.mean, &self.variance], [mean, variance], &mut scratch);
        y.map(|mut y| {
            y.truncate(n);
            y
        })
    }

    /// The same as sums of E[w²] E[x²] - (E[w] E[x])², in f64, and the sums of their terms' magnitudes.
    fn slow(&self, known: bool) -> [Vec<f64>; 3] {
        let s = &self.stored;
        let channels = self.to.channels;
        let mut mean: Vec<f64> = (0..self.to.len()).map(|i| s.bias_mu[i % channels] as f64).collect();
        let mut variance: Vec<f64> = (0..self.to.len()).map(|i| (s.bias_sigma[i % channels] as f64).powi(2)).collect();
        let mut size: Vec<f64> = mean.iter().map(|m| m.abs()).collect();
        reference::products(self.from, self.to, self.map, |output, weight, input| {
            let (mu, sigma) = (s.mu[weight] as f64, s.sigma[weight] as f64);
            let (m, v) = (self.mean[input] as f64, if known { 0.0 } else { self.variance[input] as f64 });
            mean[output] += mu * m;
            size[output] += (mu * m).abs();
            variance[output] += (mu * mu + sigma * sigma) * (m * m + v) - (mu * m).powi(2);
        });
        [mean, variance, size]
    }
}

#[test]
fn linear_layers_are_their_sums() {
    let mut random = Random(4);
    for case in 0..60 {
        let groups = [1, 1, 1, 2, 3][random.range(0, 4)];
        let (inputs, channels) =
            (groups * random.range(1, 6), groups * random.range(1, if case % 3 == 0 { 40 } else { 9 }));
        let (rows, columns) = (random.range(1, 9), random.range(1, 14));
        let kernel = match case % 4 {
            0 => [rows, columns],
            _ => [random.range(1, rows), random.range(1, columns)],
        };
        let padding = if case % 4 == 0 { 0 } else { random.range(0, kernel[0].min(kernel[1]) - 1) };
        let stride = random.range(1, 3);
        let layer = Layer::new([rows, columns, inputs], channels, kernel, [stride, padding, groups], &mut random);
        let what = format!("case {case}: {} to {} by {:?}", layer.from, layer.to, layer.map);
        let check = |[mean, variance]: [Vec<f32>; 2], known: bool| {
            let [m, v, size] = layer.slow(known);
            for i in 0..m.len() {
                assert!((mean[i] as f64 - m[i]).abs() <= 1e-6 * size[i], "{what}: mean {} for {}", mean[i], m[i]);
                let off = (variance[i] as f64 - v[i]).abs();
                assert!(off <= 3e-6 * v[i], "{what}: variance {} for {}", variance[i], v[i]);
            }
        };
        check(layer.fast::<3>(), false);
        check(layer.fast::<2>(), true);
        assert_eq!(layer.fast::<1>()[0], layer.fast::<2>()[0], "{what}");
    }
}

#[test]
fn linear_layers_are_what_draws_give() {
    let mut random = Random(5);
    for (from, channels, kernel, steps) in
        [([3, 4, 2], 3, [3, 3], [1, 1, 1]), ([5, 4, 4], 6, [2, 2], [2, 0, 2]), ([2, 2, 3], 5, [2, 2], [1, 0, 1])]
    {
        let layer = Layer::new(from, channels, kernel, steps, &mut random);
        for known in [false, true] {
            let [mean, variance] = if known { layer.fast::<2>() } else { layer.fast::<3>() };
            let mut samples = vec![Sample::default(); layer.to.len()];
            let mut y = vec![0.0; layer.to.len()];
            for _ in 0..DRAWS {
                let drawn = reference::draw(std::slice::from_ref(&layer.stored), &mut random);
                let (w, b) = &drawn[0];
                let spread = |v: f32| if known { 0.0 } else { (v as f64).sqrt() };
                let x: Vec<f64> = layer
                    .mean
                    .iter()
                    .zip(&layer.variance)
                    .map(|(&m, &v)| m as f64 + spread(v) * random.normal())
                    .collect();
                y.iter_mut().enumerate().for_each(|(i, y)| *y = b[i % channels]);
                reference::products(layer.from, layer.to, layer.map, |o, weight, i| y[o] += w[weight] * x[i]);
                samples.iter_mut().zip(&y).for_each(|(s, &y)| s.add(y));
            }
            for (i, sample) in samples.iter().enumerate() {
                let off = sample.off(mean[i] as f64, variance[i] as f64);
                assert!(off.iter().all(|&o| o < ERRORS), "{from:?}, output {i}: {off:?} standard errors");
            }
        }
    }
}

/// Means and variances of a pool of independent Gaussians.
fn pooled<const RANDOM: bool>(pool: &Pool, mean: &[f32], variance: &[f32]) -> [Vec<f32>; 2] {
    let pad = |x: &[f32]| x.iter().copied().chain([0.0; LANES]).collect::<Vec<_>>();
    let n = pool.to.len();
    let mut y = [vec![f32::NAN; n + LANES], vec![f32::NAN; n + LANES]];
    let [m, v] = &mut y;
    pool.forward::<RANDOM>([&pad(mean), &pad(variance)], [m, v], &mut Default::default(), &mut Default::default());
    y.map(|mut y| {
        y.truncate(n);
        y
    })
}

#[test]
fn pools_are_pairs_rows_first_or_means() {
    let mut random = Random(6);
    for case in 0..40 {
        let size = random.range(1, 3);
        let stride = random.range(1, 3);
        let from = model::Shape {
            channels: [1, 3, 6, 16, 20][case % 5],
            rows: random.range(size, 7),
            columns: random.range(size, 9),
        };
        let to = model::Shape {
            channels: from.channels,
            rows: (from.rows - size) / stride + 1,
            columns: (from.columns - size) / stride + 1,
        };
        let mean: Vec<f32> = (0..from.len()).map(|_| random.normal() as f32).collect();
        let variance: Vec<f32> = (0..from.len()).map(|_| random.normal().powi(2) as f32).collect();
        for max in [true, false] {
            let pool = Pool { from, to, pool: model::Pool { max, size, stride } };
            let [m, v] = pooled::<true>(&pool, &mean, &variance);
            let [known, _] = pooled::<false>(&pool, &mean, &[]);
            reference::windows(from, to, pool.pool, |output, all| {
                let value = all.iter().map(|&i| mean[i] as f64);
                if !max {
                    let n = all.len() as f64;
                    let wanted =
                        (value.sum::<f64>() / n, all.iter().map(|&i| variance[i] as f64).sum::<f64>() / (n * n));
                    close((m[output], v[output]), wanted, 3.0, wanted.1, &format!("case {case}"));
                    assert!((known[output] as f64 - wanted.0).abs() < 1e-6);
                    return;
                }
                assert_eq!(known[output] as f64, value.fold(f64::NEG_INFINITY, f64::max));
                // Column by column of the window, then the columns.
                let pair = |a: (f32, f32), b: (f32, f32)| larger(a.0, a.1, b.0, b.1);
                let column = |c: &[usize]| c.iter().map(|&i| (mean[i], variance[i])).reduce(pair).unwrap();
                let wanted = all.chunks(size).map(column).reduce(pair).unwrap();
                let (dm, dv) = ((m[output] - wanted.0).abs(), (v[output] - wanted.1).abs());
                assert!(dm < 1e-6 && dv < 1e-5 * wanted.1 + 1e-7, "case {case}: {m:?} for {wanted:?}");
            });
        }
    }
}

#[test]
fn a_pool_of_four_is_nearly_what_draws_give() {
    let mut random = Random(7);
    let (from, to) =
        (model::Shape { channels: 3, rows: 2, columns: 2 }, model::Shape { channels: 3, rows: 1, columns: 1 });
    for spread in [0.0, 0.5, 1.0, 3.0] {
        let mean: Vec<f32> = (0..12).map(|_| (spread * random.normal()) as f32).collect();
        // Neighbours in a plane share their weights: their variances differ by factors, not by orders.
        let variance: Vec<f32> = (0..12).map(|_| (1.0 + random.uniform()) as f32).collect();
        for max in [true, false] {
            let pool = model::Pool { max, size: 2, stride: 2 };
            let [m, v] = pooled::<true>(&Pool { from, to, pool }, &mean, &variance);
            let mut samples = vec![Sample::default(); 3];
            for _ in 0..DRAWS {
                let spreads = variance.iter().map(|&v| (v as f64).sqrt() * random.normal());
                let x: Vec<f64> = mean.iter().zip(spreads).map(|(&m, e)| m as f64 + e).collect();
                for (c, sample) in samples.iter_mut().enumerate() {
                    let window = x[c..].iter().step_by(3).copied();
                    sample.add(if max { window.fold(f64::NEG_INFINITY, f64::max) } else { window.sum::<f64>() / 4.0 });
                }
            }
            for (c, sample) in samples.iter().enumerate() {
                let [(mean, dm), (variance, dv)] = sample.moments();
                // An average is exact. The larger of two is no Gaussian, as the second round of pairs takes it to be:
                // that costs 1 % of a standard deviation, and up to a tenth of the variance.
                let slack = if max { [0.01 * variance.sqrt(), 0.1 * variance] } else { [0.0; 2] };
                let (off, off_variance) = ((m[c] as f64 - mean).abs(), (v[c] as f64 - variance).abs());
                assert!(off < ERRORS * dm + slack[0], "max {max}, spread {spread}: mean {} for {mean}", m[c]);
                assert!(off_variance < ERRORS * dv + slack[1], "max {max}, spread {spread}: {} for {variance}", v[c]);
            }
        }
    }
}
