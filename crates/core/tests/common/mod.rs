//! Random models, the slow and obvious way to run them, and the machine's.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "every test and bench uses its part, and should fail where it stands"
)]

mod reference;

pub use reference::reference;

use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{Activation, Function, Kind, Layer, Linear, Model, Op, Pool, Posterior, Shape, crc32};
use qbnn_core::run::{Plan, Scratch, Source, Step, Weights};
use qbnn_core::{Bits, UniformCode};

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
