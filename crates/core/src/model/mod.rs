//! The model file `.qbnn`: checked once, then borrowed. `docs/file-format.md` describes every byte.
//!
//! A file is a header, one record per layer, and each linear layer's parameters in the order of the layers. [`Model`]
//! checks all of it when it is made (every offset, width, shape and bound, the total length, a checksum); reading is then
//! infallible and copies nothing: codes stay packed in the bytes that the caller lent.

mod check;
mod crc;
mod error;
mod layer;
mod section;
#[cfg(feature = "std")]
pub mod write;
#[cfg(feature = "std")]
pub mod write_section;

pub use error::{ModelError, Problem};
pub use layer::{Activation, Function, Grid, Layer, Linear, Op, Pool, Shape};

use crate::code::{Bits, LogCode, UniformCode};
use crate::draw::Rounding;
use crate::fixed::Log2;
pub use check::parameter_len;
pub use crc::crc32;
use layer::{u16_at, u32_at};
pub use section::{NAME_LIMIT, Section, SectionError};

/// First bytes of every model file. The line ends reveal a transfer in text mode.
pub const MAGIC: [u8; 8] = *b"QBNN\r\n\x1a\n";
/// The newest version that this program reads. It writes the oldest that can hold a file: 2 adds [`Posterior`]s without sigmas.
pub const VERSION: u16 = 2;
/// Bytes of the header.
pub const HEADER_LEN: usize = 64;
/// Bytes of a layer's record.
pub const RECORD_LEN: usize = 64;
/// Width of a bias's mean.
pub const BIAS_BITS: u32 = 8;
/// Most numbers that an image or a layer's output has, and a linear layer's input with the zeros around it. What a layer's
/// output sums over is at most a 64th of it, so that a strip of weights stays below it too.
pub const SIZE_LIMIT: u64 = 1 << 30;

/// Most layers of a file. Whether layers fit together is looked up along chains of them, without memory to note what was found:
/// more would make a forged file of a few megabytes a matter of minutes.
pub const LAYER_LIMIT: u16 = 4096;

/// What a file holds of each weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mean and standard deviation in float.
    Float,
    /// Both as codes; draws and arithmetic in float.
    Vpq,
    /// Both in float; drawn weights and activations as codes.
    Spq,
    /// All of them as codes.
    Jq,
}

impl Kind {
    /// All kinds, in the order of their numbers in the file.
    pub const ALL: [Kind; 4] = [Kind::Float, Kind::Vpq, Kind::Spq, Kind::Jq];

    /// Whether mean and sigma are stored as codes.
    pub const fn stores_codes(self) -> bool {
        matches!(self, Kind::Vpq | Kind::Jq)
    }

    /// Whether drawn weights and activations are codes.
    pub const fn runs_on_codes(self) -> bool {
        matches!(self, Kind::Spq | Kind::Jq)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Float => "float",
            Kind::Vpq => "vpq",
            Kind::Spq => "spq",
            Kind::Jq => "jq",
        }
    }
}

/// What a file says of the weights' distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posterior {
    /// A mean and a standard deviation of every weight.
    Gaussian,
    /// One value of every weight: every draw is the same network.
    Point,
    /// One value of every weight. Each draw drops so many 256ths of the units that all linear layers but the first read (MC
    /// dropout).
    Dropout {
        /// The share, 1 to 254.
        dropped: u8,
    },
}

impl Posterior {
    /// Of its byte in the header: 0 Gaussian, 1 point, n the share n - 1.
    const fn of_byte(byte: u8) -> Self {
        match byte {
            0 => Posterior::Gaussian,
            1 => Posterior::Point,
            n => Posterior::Dropout { dropped: n - 1 },
        }
    }

    /// Its byte in the header.
    #[cfg(feature = "std")]
    pub(super) const fn byte(self) -> u8 {
        match self {
            Posterior::Gaussian => 0,
            Posterior::Point => 1,
            Posterior::Dropout { dropped } => dropped.saturating_add(1),
        }
    }

    /// Whether a file of it stores standard deviations.
    pub const fn has_sigma(self) -> bool {
        matches!(self, Posterior::Gaussian)
    }

    /// 256ths of the units that a draw drops.
    pub const fn dropped(self) -> u8 {
        match self {
            Posterior::Dropout { dropped } => dropped,
            _ => 0,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Posterior::Gaussian => "gaussian",
            Posterior::Point => "point",
            Posterior::Dropout { .. } => "dropout",
        }
    }
}

/// A checked model file, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    bytes: &'a [u8],
}

impl<'a> Model<'a> {
    /// Checks a whole file.
    ///
    /// # Errors
    /// [`ModelError`] says what was found and what was wanted.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ModelError> {
        check::file(bytes)?;
        Ok(Model { bytes })
    }

    /// A file that [`Model::new`] has checked before.
    #[cfg(feature = "alloc")]
    pub(crate) fn of_checked(bytes: &'a [u8]) -> Self {
        Model { bytes }
    }

    /// The file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The checksum of the file.
    pub fn checksum(&self) -> u32 {
        layer::u32_at(self.bytes, 12)
    }

    /// What it holds of each weight.
    pub fn kind(&self) -> Kind {
        Kind::ALL[self.bytes[10] as usize]
    }

    /// How its weights are distributed.
    pub fn posterior(&self) -> Posterior {
        Posterior::of_byte(self.bytes[41])
    }

    /// How a drawn weight meets its grid.
    pub fn rounding(&self) -> Rounding {
        if self.bytes[11] == 0 { Rounding::Nearest } else { Rounding::Stochastic }
    }

    /// Number of layers of the network. Records of the section behind them are not counted ([`Section`]).
    pub fn layers(&self) -> usize {
        section::split(self.bytes).0
    }

    /// Shape of an input image.
    pub fn input(&self) -> Shape {
        let side = |at| u16_at(self.bytes, at) as usize;
        Shape { channels: side(26), rows: side(28), columns: side(30) }
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        u32_at(self.bytes, 32) as usize
    }

    /// The network's name.
    pub fn name(&self) -> &'a str {
        let name = &self.bytes[44..HEADER_LEN];
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        core::str::from_utf8(&name[..end]).unwrap_or("")
    }

    fn bits(&self, at: usize) -> Option<Bits> {
        Bits::new(self.bytes[at] as u32).ok()
    }

    /// Width of stored means; `None` in float.
    pub fn mu_bits(&self) -> Option<Bits> {
        self.bits(36)
    }

    /// Grid of stored standard deviations; `None` in float, and where there are none.
    pub fn sigma_code(&self) -> Option<LogCode> {
        self.bits(37).map(LogCode)
    }

    /// Grid of drawn weights; `None` in float.
    pub fn weight_code(&self) -> Option<UniformCode> {
        self.bits(38).map(UniformCode::Signed)
    }

    /// Width of activations; `None` in float.
    pub fn activation_bits(&self) -> Option<Bits> {
        self.bits(39)
    }

    /// How a pixel becomes an input.
    pub fn pixels(&self) -> Grid {
        Grid {
            zero: self.bytes[40] as i32,
            bits: 8,
            log2_step: i16::from_le_bytes([self.bytes[42], self.bytes[43]]) as i32,
        }
    }

    /// A layer, counted from 0.
    ///
    /// # Panics
    /// If there are no more than `index` layers.
    pub fn layer(&self, index: usize) -> Layer {
        Layer::read(layer::record(self.bytes, index))
    }

    /// All layers in running order.
    pub fn iter(&self) -> impl Iterator<Item = Layer> + use<'a> {
        let model = *self;
        (0..self.layers()).map(move |i| model.layer(i))
    }

    /// Shape of a value: 0 is the image, `i + 1` the output of layer `i`.
    pub fn shape_of(&self, value: usize) -> Shape {
        value.checked_sub(1).map_or(self.input(), |i| self.layer(i).shape)
    }

    /// The grid of a value whose numbers are codes; `None` for a wide value.
    pub fn grid_of(&self, value: usize) -> Option<Grid> {
        layer::grid_of(self.bytes, value)
    }

    /// The largest ratio of a linear layer's sums to a step of 2^(`output` / 2048), as a logarithm: that of the channel with
    /// the largest scale. `None` for what is no linear layer of JQ.
    pub(crate) fn largest_ratio(&self, layer: &Layer, output: i32) -> Option<i32> {
        let input = self.grid_of(layer.input)?.log2_step;
        let scales = self.codes(layer)?.weight_scales;
        let largest = (0..scales.len()).map(|c| scales.get(c) as i32).max()?;
        Some(largest + input - output)
    }

    /// Weights and biases of all layers.
    pub fn parameters(&self) -> u64 {
        let of = |layer: Layer| match layer.op {
            Op::Linear(l) => (l.fan_in() as u64 + 1) * layer.shape.channels as u64,
            _ => 0,
        };
        self.iter().map(of).sum()
    }

    /// Multiply-adds of one image under one draw.
    pub fn multiply_adds(&self) -> u64 {
        let of = |layer: Layer| match layer.op {
            Op::Linear(l) => l.fan_in() as u64 * layer.shape.len() as u64,
            _ => 0,
        };
        self.iter().map(of).sum()
    }

    /// The stored codes of a linear layer, where the model's means and standard deviations are codes.
    pub fn codes(&self, layer: &Layer) -> Option<Codes<'a>> {
        let Op::Linear(l) = layer.op else { return None };
        let mu = self.mu_bits()?;
        let channels = layer.shape.channels as u64;
        let weights = channels * l.fan_in() as u64;
        let mut take = take(self.bytes, &l);
        if !self.posterior().has_sigma() {
            // A drawn weight is its mean, on the one grid of both.
            let scales = Scales(take(2 * channels));
            return Some(Codes {
                mu_scales: scales,
                weight_scales: if self.kind() == Kind::Jq { scales } else { Scales(&[]) },
                ranges: Scales(take(2)),
                mu: take(check::packed(weights, mu)),
                sigma: &[],
                bias_mu: take(channels),
                bias_sigma: &[],
            });
        }
        let sigma = self.sigma_code()?;
        Some(Codes {
            mu_scales: Scales(take(2 * channels)),
            weight_scales: Scales(take(if self.kind() == Kind::Jq { 2 * channels } else { 0 })),
            ranges: Scales(take(10)),
            mu: take(check::packed(weights, mu)),
            sigma: take(check::packed(weights, sigma.0)),
            bias_mu: take(channels),
            bias_sigma: take(check::packed(channels, sigma.0)),
        })
    }

    /// The stored floats of a linear layer, where the model's means and standard deviations are floats.
    pub fn floats(&self, layer: &Layer) -> Option<Floats<'a>> {
        let Op::Linear(l) = layer.op else { return None };
        if self.kind().stores_codes() {
            return None;
        }
        let channels = layer.shape.channels as u64;
        let weights = channels * l.fan_in() as u64;
        let sigma = if self.posterior().has_sigma() { 4 } else { 0 };
        let mut take = take(self.bytes, &l);
        Some(Floats {
            weight_scales: Scales(take(if self.kind() == Kind::Spq { 2 * channels } else { 0 })),
            mu: take(4 * weights),
            sigma: take(sigma * weights),
            bias_mu: take(4 * channels),
            bias_sigma: take(sigma * channels),
        })
    }
}

/// What gives a linear layer's parameters piece by piece, so many bytes each. Sizes are 64 bits until they were found in
/// the file: what lies in memory can be addressed.
fn take<'a>(bytes: &'a [u8], l: &Linear) -> impl FnMut(u64) -> &'a [u8] {
    let end = l.offset.checked_add(l.len).and_then(|end| usize::try_from(end).ok());
    let mut rest = end.and_then(|end| bytes.get(l.offset as usize..end)).unwrap_or(&[]);
    move |n| usize::try_from(n).ok().and_then(|n| rest.split_off(..n)).unwrap_or(&[])
}

/// A linear layer's stored parameters where they are floats: little-endian `f32`, four bytes each, left as bytes because
/// nothing in this crate computes with them.
#[derive(Clone, Copy, Debug)]
pub struct Floats<'a> {
    /// Scale of the drawn weights of each output channel; empty in float.
    pub weight_scales: Scales<'a>,
    /// Means, in the order of [`Codes`].
    pub mu: &'a [u8],
    /// Standard deviations; empty where there are none.
    pub sigma: &'a [u8],
    /// Means of the biases.
    pub bias_mu: &'a [u8],
    /// Standard deviations of the biases.
    pub bias_sigma: &'a [u8],
}

/// A run of stored logarithms of scales.
#[derive(Clone, Copy, Debug)]
pub struct Scales<'a>(&'a [u8]);

impl Scales<'_> {
    /// Number of them.
    pub fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one at `index`.
    ///
    /// # Panics
    /// If there are no more than `index`.
    pub fn get(&self, index: usize) -> Log2 {
        i16::from_le_bytes([self.0[2 * index], self.0[2 * index + 1]])
    }
}

/// A linear layer's stored parameters.
///
/// Weights lie as `[channel][kernel row][kernel column][input channel of the group]`, which is the order in which they
/// meet the activations.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    /// Scale of the means of each output channel.
    pub mu_scales: Scales<'a>,
    /// Scale of the drawn weights of each output channel; empty in VPQ.
    pub weight_scales: Scales<'a>,
    /// All five, or that of the biases' means alone.
    ranges: Scales<'a>,
    /// Packed means.
    pub mu: &'a [u8],
    /// Packed standard deviations; empty where there are none.
    pub sigma: &'a [u8],
    /// Means of the biases, 8 bits each.
    pub bias_mu: &'a [u8],
    /// Packed standard deviations of the biases.
    pub bias_sigma: &'a [u8],
}

impl Codes<'_> {
    /// Largest sigma of the weights.
    pub fn sigma_top(&self) -> Log2 {
        if self.has_sigma() { self.ranges.get(0) } else { Log2::MIN }
    }

    /// Step of the weights' sigma grid.
    pub fn sigma_step(&self) -> Log2 {
        if self.has_sigma() { self.ranges.get(1) } else { 1 }
    }

    /// Scale of the biases' means.
    pub fn bias_mu_scale(&self) -> Log2 {
        self.ranges.get(if self.has_sigma() { 2 } else { 0 })
    }

    /// Largest sigma of the biases.
    pub fn bias_sigma_top(&self) -> Log2 {
        if self.has_sigma() { self.ranges.get(3) } else { Log2::MIN }
    }

    /// Step of the biases' sigma grid.
    pub fn bias_sigma_step(&self) -> Log2 {
        if self.has_sigma() { self.ranges.get(4) } else { 1 }
    }

    /// Whether there are standard deviations: without them, the range of sigma is the least that a file holds.
    fn has_sigma(&self) -> bool {
        self.ranges.len() > 1
    }
}
