//! The slow and obvious twin, in f64: densities integrated on a grid, sums written as they are, whole networks run on
//! drawn weights.

use qbnn_bnn::internals::stored::DecodedPosterior;
use qbnn_core::model::{Function, Layer, Linear, Model, Op, Pool, Shape};

/// SplitMix64, and normal numbers of it (Box and Muller).
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// In (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.word() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
    /// From `low` to `high`, both included.
    pub fn range(&mut self, low: usize, high: usize) -> usize {
        low + (self.word() % (high - low + 1) as u64) as usize
    }
}

pub fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// The mass of a standard Gaussian below `x`: the series x + x³/3 + x⁵/15 + ...
pub fn below(x: f64) -> f64 {
    if x < -8.0 {
        return 0.0;
    }
    if x > 8.0 {
        return 1.0;
    }
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-18 {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + density(x) * sum
}

/// Mean and variance of a density: by the trapezoid rule over `low..high`, the variance about the mean.
pub fn integrate(low: f64, high: f64, density: impl Fn(f64) -> f64, value: impl Fn(f64) -> f64) -> (f64, f64) {
    const STEPS: usize = 40_000;
    let step = (high - low) / STEPS as f64;
    let all = |f: &dyn Fn(f64) -> f64| (0..=STEPS).map(|i| low + i as f64 * step).map(f).sum::<f64>() * step;
    let mass = all(&density);
    let mean = all(&|x| density(x) * value(x)) / mass;
    (mean, all(&|x| density(x) * (value(x) - mean).powi(2)) / mass)
}

/// Mean and variance of a function of N(m, v).
pub fn of_gaussian(m: f64, v: f64, value: impl Fn(f64) -> f64) -> (f64, f64) {
    let s = v.sqrt();
    integrate(-9.0, 9.0, density, |x| value(m + s * x))
}

/// Mean and variance of the larger of two: its density is p1 F2 + p2 F1.
pub fn larger((m1, v1): (f64, f64), (m2, v2): (f64, f64)) -> (f64, f64) {
    let (s1, s2) = (v1.sqrt(), v2.sqrt());
    let (low, high) = ((m1 - 9.0 * s1).min(m2 - 9.0 * s2), (m1 + 9.0 * s1).max(m2 + 9.0 * s2));
    let of = |x: f64| ((x - m1) / s1, (x - m2) / s2);
    let p = |x: f64| density(of(x).0) / s1 * below(of(x).1) + density(of(x).1) / s2 * below(of(x).0);
    integrate(low, high, p, |x| x)
}

/// Calls `f(output, weight, input)` for every product of a linear layer; activations lie `[row][column][channel]`.
pub fn products(from: Shape, to: Shape, l: Linear, mut f: impl FnMut(usize, usize, usize)) {
    let group = to.channels / l.groups;
    for row in 0..to.rows {
        for column in 0..to.columns {
            for channel in 0..to.channels {
                let output = (row * to.columns + column) * to.channels + channel;
                for ky in 0..l.kernel_rows {
                    for kx in 0..l.kernel_columns {
                        let (y, x) = (row * l.stride + ky, column * l.stride + kx);
                        let inside = |at: usize, side: usize| at >= l.padding && at - l.padding < side;
                        if !inside(y, from.rows) || !inside(x, from.columns) {
                            continue;
                        }
                        let place = (y - l.padding) * from.columns + x - l.padding;
                        for i in 0..l.group_inputs {
                            let tap = (ky * l.kernel_columns + kx) * l.group_inputs + i;
                            let input = place * from.channels + channel / group * l.group_inputs + i;
                            f(output, channel * l.fan_in() + tap, input);
                        }
                    }
                }
            }
        }
    }
}

/// Calls `f(output, inputs of its window)`.
pub fn windows(from: Shape, to: Shape, pool: Pool, mut f: impl FnMut(usize, &[usize])) {
    for row in 0..to.rows {
        for column in 0..to.columns {
            for channel in 0..to.channels {
                let at = |ky: usize, kx: usize| {
                    let (y, x) = (row * pool.stride + ky, column * pool.stride + kx);
                    (y * from.columns + x) * from.channels + channel
                };
                let all: Vec<usize> = (0..pool.size).flat_map(|kx| (0..pool.size).map(move |ky| at(ky, kx))).collect();
                f((row * to.columns + column) * to.channels + channel, &all);
            }
        }
    }
}

/// An activation function of a float file.
pub fn activation(a: &qbnn_core::model::Activation, x: f64) -> f64 {
    let parameter = f32::from_bits(a.parameter_bits) as f64;
    match a.function {
        Function::Relu => x.max(0.0),
        Function::LeakyRelu => {
            if x > 0.0 {
                x
            } else {
                parameter * x
            }
        }
        Function::ClippedRelu => x.max(0.0).min(parameter),
        Function::Hardtanh => x.clamp(-1.0, 1.0),
    }
}

/// Weights and biases of a linear layer.
pub type Drawn = (Vec<f64>, Vec<f64>);

/// Draws every linear layer.
pub fn draw(stored: &[DecodedPosterior], random: &mut Random) -> Vec<Drawn> {
    let mut of = |mu: &[f32], sigma: &[f32]| {
        mu.iter().zip(sigma).map(|(&m, &s)| m as f64 + s as f64 * random.normal()).collect::<Vec<_>>()
    };
    stored.iter().map(|s| (of(&s.mu, &s.sigma), of(&s.bias_mu, &s.bias_sigma))).collect()
}

/// Every value of a float network: the image, then each layer's output.
pub fn run(model: &Model<'_>, image: &[u8], drawn: &[Drawn]) -> Vec<Vec<f64>> {
    let grid = model.pixels();
    let step = (grid.log2_step as f64 / 2048.0).exp2();
    let mut values = vec![image.iter().map(|&p| (p as i32 - grid.zero) as f64 * step).collect::<Vec<_>>()];
    for (index, Layer { input, shape, op }) in model.iter().enumerate() {
        let (x, from) = (&values[input], model.shape_of(input));
        let mut y = vec![0.0; shape.len()];
        match op {
            Op::Linear(l) => {
                let (w, b) = &drawn[index];
                y.iter_mut().enumerate().for_each(|(i, y)| *y = b[i % shape.channels]);
                products(from, shape, l, |output, weight, input| y[output] += w[weight] * x[input]);
            }
            Op::Pool(pool) => windows(from, shape, pool, |output, all| {
                y[output] = match pool.max {
                    true => all.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max),
                    false => all.iter().map(|&i| x[i]).sum::<f64>() / all.len() as f64,
                };
            }),
            Op::Activation(a) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = activation(&a, x)),
            Op::Add { other } => {
                y.iter_mut().zip(x.iter().zip(&values[other])).for_each(|(y, (a, b))| *y = a + b);
            }
        }
        values.push(y);
    }
    values
}

pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = logits.iter().map(|l| (l - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

pub fn entropy(p: &[f64]) -> f64 {
    p.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum()
}

/// Sums of powers of many numbers, each with a guess of its mean taken off first.
#[derive(Clone, Default)]
pub struct Sample {
    n: f64,
    about: f64,
    powers: [f64; 4],
}

impl Sample {
    pub fn add(&mut self, x: f64) {
        if self.n == 0.0 {
            self.about = x;
        }
        self.n += 1.0;
        let d = x - self.about;
        let mut power = 1.0;
        for p in &mut self.powers {
            power *= d;
            *p += power;
        }
    }
    /// Mean and variance, each with its standard error.
    pub fn moments(&self) -> [(f64, f64); 2] {
        let [a, b, c, d] = self.powers.map(|p| p / self.n);
        let variance = b - a * a;
        let fourth = d - 4.0 * a * c + 6.0 * a * a * b - 3.0 * a.powi(4);
        let errors = [variance / self.n, (fourth - variance * variance) / self.n].map(|e| e.max(0.0).sqrt());
        [(self.about + a, errors[0]), (variance, errors[1])]
    }
    /// How many standard errors a mean and a variance are off.
    pub fn off(&self, mean: f64, variance: f64) -> [f64; 2] {
        let [(m, dm), (v, dv)] = self.moments();
        // Rounding in f32 is no sampling error: a number that never varies has none.
        let slack = 1e-6 * (m.abs() + v.sqrt());
        [(mean - m).abs() / (dm + slack), (variance - v).abs() / (dv + 1e-6 * v + slack * slack)]
    }
}
