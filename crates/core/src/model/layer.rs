//! The closed set of layers, as a file describes them.

use super::{HEADER_LEN, RECORD_LEN};
use crate::code::{Bits, UniformCode};
use crate::fixed::OCTAVE;

/// Channels, rows, columns of one image's activations. A flat vector has one row and one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Channels (or features).
    pub channels: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl Shape {
    /// `channels` features of one number each.
    pub const fn flat(channels: usize) -> Self {
        Shape { channels, rows: 1, columns: 1 }
    }

    /// Numbers in all.
    pub const fn len(self) -> usize {
        self.channels * self.rows * self.columns
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.rows == 1 && self.columns == 1 {
            write!(f, "{}", self.channels)
        } else {
            write!(f, "{}x{}x{}", self.channels, self.rows, self.columns)
        }
    }
}

/// One layer: what it reads, what it gives, what it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// The value that it reads: 0 is the image, `i + 1` the output of layer `i`.
    pub input: usize,
    /// Shape of its output, one image.
    pub shape: Shape,
    /// What it does.
    pub op: Op,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// A convolution, or a dense layer: a convolution whose window is the whole input. From codes to wide values.
    Linear(Linear),
    /// Pooling over square windows; those that would pass the edge are left out.
    Pool(Pool),
    /// An activation function, from wide values to codes.
    Activation(Activation),
    /// The sum with another value of the same shape, to wide values.
    Add {
        /// The other value.
        other: usize,
    },
}

/// Sizes of a linear layer, and where its parameters lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Window rows.
    pub kernel_rows: usize,
    /// Window columns.
    pub kernel_columns: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the input, each side.
    pub padding: usize,
    /// Groups that input and output channels are split into.
    pub groups: usize,
    /// Input channels of each group.
    pub group_inputs: usize,
    /// Where its parameters begin in the file, and how many bytes they take: 64 bits, as in the file. A processor with
    /// narrower addresses must compare them before it narrows them.
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Linear {
    /// A layer of these sizes whose parameters have no place in a file yet. A dense layer's kernel is its whole input.
    pub const fn new(
        [kernel_rows, kernel_columns]: [usize; 2],
        stride: usize,
        padding: usize,
        groups: usize,
        group_inputs: usize,
    ) -> Self {
        Linear { kernel_rows, kernel_columns, stride, padding, groups, group_inputs, offset: 0, len: 0 }
    }

    /// Inputs that one output sums over.
    pub const fn fan_in(&self) -> usize {
        self.kernel_rows * self.kernel_columns * self.group_inputs
    }

    /// Bytes of its parameters in the file.
    pub const fn parameter_bytes(&self) -> u64 {
        self.len
    }
}

/// A pooling layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Largest (true) or mean (false).
    pub max: bool,
    /// Window height and width.
    pub size: usize,
    /// Step in both directions.
    pub stride: usize,
}

/// An activation function and the grid of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// The function.
    pub function: Function,
    /// The parameter of the function as a float's bits: slope or ceiling.
    pub parameter_bits: u32,
    /// Width of its codes; `None` where activations are float.
    pub bits: Option<Bits>,
    /// Step of its codes.
    pub log2_step: i16,
    /// Smallest code.
    pub low: i16,
    /// Largest code.
    pub high: i16,
    /// The slope below zero, 31 fraction bits.
    pub slope: u32,
}

impl Activation {
    /// Its codes; `None` in float.
    pub fn code(&self) -> Option<UniformCode> {
        let bits = self.bits?;
        Some(if self.function.signed() { UniformCode::Signed(bits) } else { UniformCode::Unsigned(bits) })
    }
}

/// The activation functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// max(x, 0)
    Relu,
    /// x, or slope * x below zero
    LeakyRelu,
    /// min(max(x, 0), ceiling)
    ClippedRelu,
    /// min(max(x, -1), 1)
    Hardtanh,
}

impl Function {
    /// All functions, in the order of their numbers in the file.
    pub const ALL: [Function; 4] = [Function::Relu, Function::LeakyRelu, Function::ClippedRelu, Function::Hardtanh];

    /// Whether it can give negative values, so that its codes need a sign.
    pub const fn signed(self) -> bool {
        matches!(self, Function::LeakyRelu | Function::Hardtanh)
    }
}

/// How a value's bytes are to be read: `(byte - zero) * 2^(log2_step / 2048)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The byte of the number 0.
    pub zero: i32,
    /// Width of the bytes' codes.
    pub bits: u32,
    /// Step of the codes.
    pub log2_step: i32,
}

impl Grid {
    /// The grid of an average: the same numbers on as fine a grid as 8 bits allow.
    pub const fn of_average(self) -> Grid {
        let finer = 8 - self.bits;
        Grid { zero: self.zero << finer, bits: 8, log2_step: self.log2_step - finer as i32 * OCTAVE }
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u16_at(bytes, at) as u32 | (u16_at(bytes, at + 2) as u32) << 16
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u32_at(bytes, at) as u64 | (u32_at(bytes, at + 4) as u64) << 32
}

/// The record of a layer.
pub(super) fn record(bytes: &[u8], index: usize) -> &[u8] {
    &bytes[HEADER_LEN + index * RECORD_LEN..][..RECORD_LEN]
}

/// The grid of a value; `None` for a wide or float one. Records before `value` must have been checked.
pub(super) fn grid_of(bytes: &[u8], value: usize) -> Option<Grid> {
    let mut value = value;
    let mut averages = 0;
    let grid = loop {
        let Some(index) = value.checked_sub(1) else {
            break Grid { zero: bytes[40] as i32, bits: 8, log2_step: u16_at(bytes, 42) as i16 as i32 };
        };
        let layer = Layer::read(record(bytes, index));
        match layer.op {
            Op::Activation(a) => {
                let code = a.code()?;
                break Grid { zero: -code.min(), bits: a.bits?.get(), log2_step: a.log2_step as i32 };
            }
            Op::Pool(pool) => {
                averages += !pool.max as usize;
                value = layer.input;
            }
            Op::Linear(_) | Op::Add { .. } => return None,
        }
    };
    // A second average finds 8 bits already.
    Some(if averages > 0 { grid.of_average() } else { grid })
}

impl Layer {
    /// A record's content. Of a record that has not been checked it may be nonsense, but reading it is safe.
    pub(super) fn read(r: &[u8]) -> Layer {
        let half = |at| u16_at(r, at) as usize;
        let op = match r[0] {
            0 => Op::Linear(Linear {
                kernel_rows: half(16),
                kernel_columns: half(18),
                stride: half(20),
                padding: half(22),
                groups: half(24).max(1),
                group_inputs: u32_at(r, 28) as usize,
                offset: u64_at(r, 48),
                len: u64_at(r, 56),
            }),
            1 | 2 => Op::Pool(Pool { max: r[0] == 1, size: half(16), stride: half(20) }),
            3 => Op::Activation(Activation {
                function: Function::ALL[r[1] as usize & 3],
                parameter_bits: u32_at(r, 40),
                bits: Bits::new(r[2] as u32).ok(),
                log2_step: u16_at(r, 34) as i16,
                low: u16_at(r, 36) as i16,
                high: u16_at(r, 38) as i16,
                slope: u32_at(r, 44),
            }),
            _ => Op::Add { other: half(6) },
        };
        Layer {
            input: half(4),
            shape: Shape { channels: u32_at(r, 8) as usize, rows: half(12), columns: half(14) },
            op,
        }
    }

    /// The record of this layer.
    #[cfg(feature = "std")]
    pub(super) fn write(&self, r: &mut [u8; RECORD_LEN]) {
        let mut put = |at: usize, bytes: &[u8]| r[at..at + bytes.len()].copy_from_slice(bytes);
        let half = |v: usize| (v as u16).to_le_bytes();
        put(4, &half(self.input));
        put(8, &(self.shape.channels as u32).to_le_bytes());
        put(12, &half(self.shape.rows));
        put(14, &half(self.shape.columns));
        match self.op {
            Op::Linear(l) => {
                put(16, &half(l.kernel_rows));
                put(18, &half(l.kernel_columns));
                put(20, &half(l.stride));
                put(22, &half(l.padding));
                put(24, &half(l.groups));
                put(28, &(l.group_inputs as u32).to_le_bytes());
                put(48, &l.offset.to_le_bytes());
                put(56, &l.len.to_le_bytes());
            }
            Op::Pool(pool) => {
                put(0, &[if pool.max { 1 } else { 2 }]);
                put(16, &half(pool.size));
                put(20, &half(pool.stride));
            }
            Op::Activation(a) => {
                put(0, &[3, a.function as u8, a.bits.map_or(0, |b| b.get() as u8)]);
                put(34, &a.log2_step.to_le_bytes());
                put(36, &a.low.to_le_bytes());
                put(38, &a.high.to_le_bytes());
                put(40, &a.parameter_bits.to_le_bytes());
                put(44, &a.slope.to_le_bytes());
            }
            Op::Add { other } => {
                put(0, &[4]);
                put(6, &half(other));
            }
        }
    }
}
