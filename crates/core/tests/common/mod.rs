//! Random models, and the slow and obvious way to run them: naive loops over unpacked codes, one draw and one image at a
//! time, sharing with the machine only the rules of `fixed` and `draw`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test and bench uses its part, and should fail where it stands"
)]

use qbnn_core::draw::{self, BiasScale, Rounding, RowScale, sigma_level};
use qbnn_core::fixed::{OCTAVE, exp2, requantize, shift_for};
use qbnn_core::kernel::Kernel;
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{
    Activation, Codes, Function, Grid, Kind, Layer, Linear, Model, Op, Pool, Posterior, Shape, crc32,
};
use qbnn_core::run::{Plan, Scratch, Source, Step, Weights};
use qbnn_core::{Bits, UniformCode, noise, pack};

/// Numbers that look random, from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// A file with its length and checksum made right again.
pub fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let len = file.len() as u64;
    file[16..24].copy_from_slice(&len.to_le_bytes());
    let crc = crc32(&file[16..]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
    file
}

/// A file with other bytes at some place, sealed.
pub fn with(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    sealed(file)
}

/// A model under construction.
pub struct Builder {
    pub random: Random,
    pub input: Shape,
    pub bits: [u32; 4],
    pub rounding: Rounding,
    pub posterior: Posterior,
    pub layers: Vec<(Layer, Parameters)>,
}

impl Builder {
    pub fn new(seed: u64, input: [usize; 3], bits: [u32; 4], rounding: Rounding) -> Self {
        let [channels, rows, columns] = input;
        let input = Shape { channels, rows, columns };
        let posterior = Posterior::Gaussian;
        Builder { random: Random(seed), input, bits, rounding, posterior, layers: Vec::new() }
    }

    /// Number of the newest value.
    pub fn last(&self) -> usize {
        self.layers.len()
    }

    fn shape(&self, value: usize) -> Shape {
        value.checked_sub(1).map_or(self.input, |i| self.layers[i].0.shape)
    }

    fn push(&mut self, input: usize, shape: Shape, op: Op, parameters: Parameters) -> usize {
        self.layers.push((Layer { input, shape, op }, parameters));
        self.last()
    }

    pub fn conv(
        &mut self,
        input: usize,
        out: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        groups: usize,
    ) -> usize {
        let from = self.shape(input);
        let side = |n: usize| (n + 2 * padding - kernel) / stride + 1;
        let shape = Shape { channels: out, rows: side(from.rows), columns: side(from.columns) };
        let linear = linear([kernel, kernel], stride, padding, groups, from.channels / groups);
        self.linear(input, shape, linear)
    }

    pub fn dense(&mut self, input: usize, out: usize) -> usize {
        let from = self.shape(input);
        let linear = linear([from.rows, from.columns], 1, 0, 1, from.channels);
        self.linear(input, Shape { channels: out, rows: 1, columns: 1 }, linear)
    }

    fn linear(&mut self, input: usize, shape: Shape, linear: Linear) -> usize {
        let n = shape.channels * linear.fan_in();
        let spread = (linear.fan_in() as f64).sqrt().log2();
        let r = &mut self.random;
        let mut scale = |log2: f64| (log2 * 2048.0) as i16 + r.below(1500) as i16;
        // Drawn weights of about 1 / sqrt(fan-in): grids that the sums do not overwhelm.
        let grid = |bits: u32| 2.0 - bits as f64;
        let mu_scales = (0..shape.channels).map(|_| scale(grid(self.bits[0]) - spread)).collect();
        let weight_scales = (0..shape.channels).map(|_| scale(grid(self.bits[2]) - spread)).collect();
        let ranges = [scale(-spread), 700, -4 * 2048, -3 * 2048, 300];
        let mut codes = |n: usize, bits: u32| -> Vec<u8> {
            r.bytes(n).into_iter().map(|b| b & ((1u32 << bits) - 1) as u8).collect()
        };
        let signed =
            |codes: Vec<u8>, bits: u32| codes.into_iter().map(|b| (b << (8 - bits)) as i8 >> (8 - bits)).collect();
        let parameters = Parameters {
            mu_scales,
            weight_scales,
            ranges,
            mu: signed(codes(n, self.bits[0]), self.bits[0]),
            sigma: codes(n, self.bits[1]),
            bias_mu: signed(codes(shape.channels, 8), 8),
            bias_sigma: codes(shape.channels, self.bits[1]),
            float: Default::default(),
        };
        self.push(input, shape, Op::Linear(linear), parameters)
    }

    pub fn activation(&mut self, input: usize, function: Function, log2_step: i16) -> usize {
        let bits = Bits::new(self.bits[3]).ok();
        let code = if function.signed() { UniformCode::Signed } else { UniformCode::Unsigned }(bits.unwrap());
        let slope = if function == Function::LeakyRelu { 1 << 28 } else { 1 << 31 };
        let (low, high) = (code.min() as i16, code.max() as i16);
        let a = Activation { function, parameter_bits: 0, bits, log2_step, low, high, slope };
        self.push(input, self.shape(input), Op::Activation(a), Parameters::default())
    }

    pub fn pool(&mut self, input: usize, max: bool, size: usize, stride: usize) -> usize {
        let from = self.shape(input);
        let side = |n: usize| (n - size) / stride + 1;
        let shape = Shape { rows: side(from.rows), columns: side(from.columns), ..from };
        self.push(input, shape, Op::Pool(Pool { max, size, stride }), Parameters::default())
    }

    pub fn add(&mut self, input: usize, other: usize) -> usize {
        self.push(input, self.shape(input), Op::Add { other }, Parameters::default())
    }

    pub fn header(&self) -> Header<'static> {
        let bits = |i: usize| Bits::new(self.bits[i]).ok();
        Header {
            name: "random",
            kind: Kind::Jq,
            posterior: self.posterior,
            rounding: self.rounding,
            input: self.input,
            pixel_zero: 33,
            pixel_log2_step: -12_896,
            mu: bits(0),
            sigma: bits(1).filter(|_| self.posterior.has_sigma()),
            weight: bits(if self.posterior.has_sigma() { 2 } else { 0 }),
            activation: bits(3),
        }
    }

    pub fn finish(&self) -> Vec<u8> {
        let layers: Vec<_> = self.layers.iter().map(|(layer, p)| (*layer, self.stored(p))).collect();
        write(&self.header(), &layers).unwrap()
    }

    /// Parameters without what the posterior has not.
    fn stored(&self, parameters: &Parameters) -> Parameters {
        if self.posterior.has_sigma() {
            return parameters.clone();
        }
        let (sigma, bias_sigma, weight_scales) = Default::default();
        Parameters { sigma, bias_sigma, weight_scales, ..parameters.clone() }
    }

    /// The same layers under another posterior.
    pub fn with(self, posterior: Posterior) -> Self {
        Builder { posterior, ..self }
    }
}

fn linear([rows, columns]: [usize; 2], stride: usize, padding: usize, groups: usize, group_inputs: usize) -> Linear {
    Linear::new([rows, columns], stride, padding, groups, group_inputs)
}

/// The two built-in networks, with random posteriors.
pub fn lenet5(seed: u64, bits: [u32; 4], rounding: Rounding) -> Vec<u8> {
    lenet5_layers(seed, bits, rounding).finish()
}

pub fn lenet5_layers(seed: u64, bits: [u32; 4], rounding: Rounding) -> Builder {
    let mut b = Builder::new(seed, [1, 28, 28], bits, rounding);
    let step = 2048 * (2 - bits[3] as i16);
    let v = b.conv(0, 6, 5, 1, 2, 1);
    let v = b.activation(v, Function::Relu, step);
    let v = b.pool(v, true, 2, 2);
    let v = b.conv(v, 16, 5, 1, 0, 1);
    let v = b.activation(v, Function::Relu, step);
    let v = b.pool(v, true, 2, 2);
    let v = b.dense(v, 120);
    let v = b.activation(v, Function::Relu, step);
    let v = b.dense(v, 84);
    let v = b.activation(v, Function::Relu, step);
    b.dense(v, 10);
    b
}

pub fn mlp(seed: u64, bits: [u32; 4], rounding: Rounding) -> Vec<u8> {
    let mut b = Builder::new(seed, [1, 28, 28], bits, rounding);
    let step = 2048 * (2 - bits[3] as i16);
    let v = b.dense(0, 100);
    let v = b.activation(v, Function::Relu, step);
    let v = b.dense(v, 100);
    let v = b.activation(v, Function::Relu, step);
    b.dense(v, 10);
    b.finish()
}

/// A network of everything: colour, strides, paddings, groups, both pools, every activation, sums of codes and of sums.
pub fn zoo(seed: u64, bits: [u32; 4], rounding: Rounding) -> Vec<u8> {
    zoo_layers(seed, bits, rounding).finish()
}

pub fn zoo_layers(seed: u64, bits: [u32; 4], rounding: Rounding) -> Builder {
    let mut b = Builder::new(seed, [3, 11, 9], bits, rounding);
    let step = 2048 * (2 - bits[3] as i16);
    let stem = b.conv(0, 8, 3, 1, 1, 1);
    let stem = b.activation(stem, Function::ClippedRelu, step);
    let a = b.conv(stem, 8, 3, 1, 1, 2);
    let a = b.activation(a, Function::LeakyRelu, step);
    let a = b.conv(a, 8, 3, 1, 1, 8);
    let sum = b.add(a, stem);
    let sum = b.pool(sum, true, 3, 2);
    let sum = b.activation(sum, Function::Hardtanh, step);
    let down = b.conv(sum, 20, 1, 2, 0, 1);
    let other = b.conv(sum, 20, 3, 2, 1, 4);
    let both = b.add(other, down);
    let both = b.activation(both, Function::Relu, step);
    let wide = b.conv(both, 20, 2, 1, 1, 1);
    let wide = b.pool(wide, false, 2, 1);
    let wide = b.activation(wide, Function::LeakyRelu, step);
    let wide = b.pool(wide, false, 2, 1);
    let v = b.dense(wide, 33);
    let v = b.activation(v, Function::Relu, step);
    let image = b.pool(0, true, 2, 2);
    let image = b.conv(image, 5, 4, 3, 2, 1);
    let image = b.activation(image, Function::Hardtanh, step);
    let image = b.dense(image, 7);
    let v = b.dense(v, 7);
    b.add(v, image);
    b
}

/// A value, `[row][column][channel]`.
enum Value {
    Codes(Vec<u8>, Grid),
    Wide(Vec<i32>),
}

/// Logits `[draw][image][class]` in the naive way.
pub fn reference(file: &[u8], seed: u64, draws: std::ops::Range<u32>, images: &[u8]) -> Vec<i32> {
    let model = Model::new(file).unwrap();
    let mut out = Vec::new();
    for draw in draws {
        for image in images.chunks_exact(model.input().len()) {
            out.extend(one(&model, seed, draw, image));
        }
    }
    out
}

fn one(model: &Model<'_>, seed: u64, draw: u32, image: &[u8]) -> Vec<i32> {
    let mut values = vec![Value::Codes(image.to_vec(), model.pixels())];
    let mut tensor = 0;
    // Sums that one activation alone reads go there without a stop; their layer's multipliers wait here.
    let mut direct: Option<(Vec<i32>, Vec<i32>, i32)> = None;
    for (i, layer) in model.iter().enumerate() {
        let from = model.shape_of(layer.input);
        let value = match layer.op {
            Op::Linear(l) => {
                let Value::Codes(x, grid) = &values[layer.input] else { panic!("codes") };
                let codes = model.codes(&layer).unwrap();
                let (w, b) = weights(model, &codes, &layer, &l, grid, seed, draw, tensor);
                tensor += 2;
                let sums = convolve(x, from, grid, &w, &b, &layer, &l);
                let log2: Vec<i32> =
                    (0..layer.shape.channels).map(|c| codes.weight_scales.get(c) as i32 + grid.log2_step).collect();
                let readers: Vec<(usize, Layer)> = model
                    .iter()
                    .enumerate()
                    .filter(|(_, l)| l.input == i + 1 || matches!(l.op, Op::Add { other } if other == i + 1))
                    .collect();
                let fused = match readers[..] {
                    [(at, Layer { op: Op::Activation(a), .. })] if at == i + 1 => {
                        let largest = log2.iter().max().unwrap() - a.log2_step as i32;
                        shift_for(largest).is_some()
                    }
                    _ => false,
                };
                let shift = shift_for(log2.iter().max().unwrap() + 16 * OCTAVE).unwrap();
                let wide = sums
                    .iter()
                    .enumerate()
                    .map(|(at, &sum)| {
                        let m = exp2(log2[at % log2.len()] + 16 * OCTAVE, shift).min(i32::MAX as i64);
                        requantize(sum, m as i32, shift).clamp(i32::MIN as i64, i32::MAX as i64) as i32
                    })
                    .collect();
                if fused {
                    direct = Some((sums, log2, 0));
                }
                Value::Wide(wide)
            }
            Op::Activation(a) => {
                let Value::Wide(x) = &values[layer.input] else { panic!("sums") };
                let one = [-16 * OCTAVE];
                let (sums, log2) = match &direct {
                    Some((sums, log2, _)) => (sums, &log2[..]),
                    None => (x, &one[..]),
                };
                let shift = shift_for(log2.iter().max().unwrap() - a.log2_step as i32).unwrap();
                let grid = model.grid_of(i + 1).unwrap();
                let codes = sums
                    .iter()
                    .enumerate()
                    .map(|(at, &sum)| {
                        let mut m = exp2(log2[at % log2.len()] - a.log2_step as i32, shift).min(i32::MAX as i64);
                        if sum < 0 && a.low < 0 && a.slope < 1 << 31 {
                            m = (m * a.slope as i64 + (1 << 30)) >> 31;
                        }
                        let code = requantize(sum, m as i32, shift).clamp(a.low as i64, a.high as i64);
                        (code as i32 + grid.zero) as u8
                    })
                    .collect();
                direct = None;
                Value::Codes(codes, grid)
            }
            Op::Pool(pool) => match &values[layer.input] {
                Value::Codes(x, grid) => {
                    let x: Vec<i64> = x.iter().map(|&v| v as i64).collect();
                    let finer = if pool.max { 0 } else { 8 - grid.bits };
                    let y = pooled(&x, from, &layer, &pool, finer);
                    Value::Codes(y.into_iter().map(|v| v as u8).collect(), model.grid_of(i + 1).unwrap())
                }
                Value::Wide(x) => {
                    let x: Vec<i64> = x.iter().map(|&v| v as i64).collect();
                    Value::Wide(pooled(&x, from, &layer, &pool, 0).into_iter().map(|v| v as i32).collect())
                }
            },
            Op::Add { other } => {
                let wide = |v: &Value| -> Vec<i32> {
                    match v {
                        Value::Wide(x) => x.clone(),
                        Value::Codes(x, grid) => {
                            let log2 = grid.log2_step + 16 * OCTAVE;
                            let shift = shift_for(log2).unwrap();
                            let m = exp2(log2, shift).min(i32::MAX as i64) as i32;
                            x.iter().map(|&b| requantize(b as i32 - grid.zero, m, shift) as i32).collect()
                        }
                    }
                };
                let (a, b) = (wide(&values[layer.input]), wide(&values[other]));
                Value::Wide(a.iter().zip(&b).map(|(a, b)| a.saturating_add(*b)).collect())
            }
        };
        values.push(value);
    }
    match values.pop() {
        Some(Value::Wide(logits)) => logits,
        _ => panic!("a model ends in sums"),
    }
}

fn pooled(x: &[i64], from: Shape, layer: &Layer, pool: &Pool, finer: u32) -> Vec<i64> {
    let mut out = Vec::new();
    for row in 0..layer.shape.rows {
        for column in 0..layer.shape.columns {
            for c in 0..from.channels {
                let window: Vec<i64> = (0..pool.size * pool.size)
                    .map(|k| {
                        let (y, x_) = (row * pool.stride + k / pool.size, column * pool.stride + k % pool.size);
                        x[(y * from.columns + x_) * from.channels + c]
                    })
                    .collect();
                let n = window.len() as f64;
                out.push(match pool.max {
                    true => *window.iter().max().unwrap(),
                    false => (window.iter().sum::<i64>() as f64 * (1 << finer) as f64 / n + 0.5).floor() as i64,
                });
            }
        }
    }
    out
}

/// Drawn weights `[channel][input]` and biases.
#[expect(clippy::too_many_arguments, reason = "all that a draw depends on")]
fn weights(
    model: &Model<'_>,
    codes: &Codes<'_>,
    layer: &Layer,
    l: &Linear,
    grid: &Grid,
    seed: u64,
    draw: u32,
    tensor: u32,
) -> (Vec<i32>, Vec<i64>) {
    let (mu_bits, sigma) = (model.mu_bits().unwrap(), model.sigma_code());
    let key = [seed as u32, (seed >> 32) as u32];
    let (n, each) = (layer.shape.channels * l.fan_in(), model.rounding().noise_bytes());
    let (mut random, mut bias_noise) = (vec![0; n * each], vec![0; layer.shape.channels * each]);
    noise::fill(key, draw::counter(tensor, draw), 0, &mut random);
    noise::fill(key, draw::counter(tensor + 1, draw), 0, &mut bias_noise);
    let rows: Vec<RowScale> = (0..layer.shape.channels)
        .map(|c| RowScale::new(codes.mu_scales.get(c), codes.weight_scales.get(c), codes.sigma_top(), mu_bits).unwrap())
        .collect();
    // Under MC dropout: which of the units that the layer reads are dropped.
    let mut masks = vec![0; draw::units(l, model.shape_of(layer.input))];
    noise::fill(key, draw::mask_counter(tensor, draw), 0, &mut masks);
    let share = if tensor == 0 { 0 } else { model.posterior().dropped() };
    let dropped: Vec<bool> = masks.iter().map(|&mask| mask < share).collect();
    let weights = (0..n).map(|i| {
        let row = &rows[i / l.fan_in()];
        let level = sigma
            .map_or(0, |sigma| row.level(sigma_level(pack::get(codes.sigma, i, sigma.0).unwrap(), codes.sigma_step())));
        let mu = pack::get(codes.mu, i, mu_bits).unwrap();
        let up = (each == 2).then(|| random[2 * i + 1]);
        let weight = draw::weight(row, mu_bits, model.weight_code().unwrap(), mu, level, random[each * i], up) as i32;
        if dropped[i % l.fan_in() % dropped.len()] { 0 } else { weight }
    });
    let biases = (0..layer.shape.channels).map(|c| {
        let accumulator = codes.weight_scales.get(c) as i32 + grid.log2_step;
        let scale = BiasScale::new(codes.bias_mu_scale(), codes.bias_sigma_top(), accumulator);
        let level = sigma
            .map_or(0, |sigma| sigma_level(pack::get(codes.bias_sigma, c, sigma.0).unwrap(), codes.bias_sigma_step()));
        scale.draw(codes.bias_mu[c] as i8, level, bias_noise[each * c]) as i64
    });
    (weights.collect(), biases.collect())
}

fn convolve(x: &[u8], from: Shape, grid: &Grid, w: &[i32], b: &[i64], layer: &Layer, l: &Linear) -> Vec<i32> {
    let mut out = Vec::new();
    for row in 0..layer.shape.rows {
        for column in 0..layer.shape.columns {
            for channel in 0..layer.shape.channels {
                let group = channel / (layer.shape.channels / l.groups);
                let mut sum = b[channel];
                for ky in 0..l.kernel_rows {
                    for kx in 0..l.kernel_columns {
                        let (y, x_) = (row * l.stride + ky, column * l.stride + kx);
                        if y < l.padding
                            || x_ < l.padding
                            || y - l.padding >= from.rows
                            || x_ - l.padding >= from.columns
                        {
                            continue;
                        }
                        for c in 0..l.group_inputs {
                            let at = ((y - l.padding) * from.columns + x_ - l.padding) * from.channels;
                            let number = x[at + group * l.group_inputs + c] as i64 - grid.zero as i64;
                            let k = (ky * l.kernel_columns + kx) * l.group_inputs + c;
                            sum += w[channel * l.fan_in() + k] as i64 * number;
                        }
                    }
                }
                out.push(i32::try_from(sum).unwrap());
            }
        }
    }
    out
}

/// The machine's logits.
pub fn machine(
    file: &[u8],
    kernel: Kernel,
    seed: u64,
    draws: std::ops::Range<u32>,
    images: &[u8],
    streamed: bool,
) -> Vec<i32> {
    let model = Model::new(file).unwrap();
    let mut steps = vec![Step::default(); model.layers()];
    let plan = Plan::new(model, &mut steps).unwrap();
    let mut constants = vec![0; plan.constants()];
    let program = plan.prepare(kernel, &mut constants).unwrap();
    // Memory is never clean.
    let need = plan.scratch();
    let (mut signed, mut bytes, mut words) = (vec![85; need.signed], vec![170; need.bytes], vec![-7; need.words]);
    let mut scratch = Scratch::new(&mut signed, &mut bytes, &mut words);
    let mut logits = vec![0; draws.len() * images.len() / model.input().len() * model.classes()];
    if streamed {
        program.run(Source::Streamed { seed }, images, draws, &mut scratch, &mut logits).unwrap();
    } else {
        let need = plan.weights(draws.len());
        let (mut signed, mut words) = (vec![33; need.signed], vec![9; need.words]);
        let weights = Weights::draw(&program, seed, draws.clone(), &mut signed, &mut words, &mut scratch).unwrap();
        program.run(Source::Drawn(&weights), images, draws, &mut scratch, &mut logits).unwrap();
    }
    logits
}
