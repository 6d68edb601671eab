//! The five loops in which all time is spent, for each instruction set, and the choice between them.
//!
//! [`scalar`] is the specification: the obvious code. Every other kernel gives the same bytes for the same call, which
//! property tests check around every tile edge; so which kernel runs can be seen in the time and nowhere else.
//!
//! All kernels share one layout of drawn weights. A *strip* holds 16 output channels (lanes); a strip's weights lie as
//! `[group of 4 inputs][lane][4]`, so that the 4 inputs of 16 channels are one 64-byte vector, ready for an instruction
//! that sums four products of unsigned and signed bytes into each of 16 accumulators.
//!
//! This is the only module of the crate that may use `unsafe`: to read and write vectors, and to call code compiled for
//! an instruction set after its presence was checked.

pub mod limit;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use crate::code::{Bits, UniformCode};
use crate::draw::{Rounding, RowScale};
use core::fmt;

/// Output channels of a strip.
pub const LANES: usize = 16;

/// Weights of one vector of a strip: 4 inputs of each lane.
pub const VECTOR: usize = 4 * LANES;

/// The codes of a strip, from which the moments of its weights are worked out.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    /// Inputs of each run; the strip has zeros behind them, up to a whole number of fours.
    pub run_len: usize,
    /// Ratios of each lane; [`RowScale::NONE`] where there is no channel.
    pub scales: &'a [RowScale; LANES],
    /// Mean codes in the low bits of each byte, laid as the strip.
    pub mu: &'a [u8],
    /// Sigma codes, each below the number of levels.
    pub sigma: &'a [u8],
    /// T of every sigma code: 2^b levels.
    pub levels: &'a [i16],
    /// Width of the mean codes.
    pub mu_bits: Bits,
    /// How a draw meets its grid.
    pub rounding: Rounding,
}

/// Where the lanes of a strip take their noise, and how their weights are rounded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lanes {
    /// Lanes that there are; those from here on have no weights, and need no noise.
    pub count: usize,
    /// The draw.
    pub draw: [u32; LANES],
    /// Block of the first weight's noise.
    pub block: [u32; LANES],
    /// Byte of that block, 0 to 15, where it begins; even where a weight takes two.
    pub byte: [u8; LANES],
    /// f, 1 to 8.
    pub fraction: [u8; LANES],
    /// Whether [`RowScale::fits`] is true of every lane.
    pub fit: bool,
}

/// A strip of weights to draw.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// What [`Kernel::moments`] made of its codes.
    pub moments: &'a [i32],
    /// Inputs of each run.
    pub run_len: usize,
    /// Its lanes.
    pub lanes: &'a Lanes,
    /// Grid of the drawn weights.
    pub grid: UniformCode,
    /// How a draw meets its grid.
    pub rounding: Rounding,
    /// Key of the noise.
    pub key: [u32; 2],
    /// The tensor.
    pub tensor: u32,
}

impl Draw<'_> {
    /// Vectors of a run.
    fn groups(&self) -> usize {
        self.run_len.div_ceil(4)
    }

    /// Bytes of noise that a lane takes.
    fn noise_bytes(&self) -> usize {
        self.moments.len() / (VECTOR * self.groups()) * self.run_len * self.rounding.noise_bytes()
    }
}

/// Words of memory in which the noise of a strip with `inputs` inputs is made.
pub const fn noise_words(inputs: usize, rounding: Rounding) -> usize {
    // Whole blocks, as many as a kernel makes at a time; and what a reader that looks ahead may touch.
    ((inputs * rounding.noise_bytes() + 15).div_ceil(16).next_multiple_of(4) * 4 + 8) * LANES
}

/// Where the inputs of one output lie, relative to its window's origin: `rows * columns` runs of `4 * groups` bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Rows of runs.
    pub rows: usize,
    /// Bytes between rows.
    pub row_pitch: usize,
    /// Runs in a row.
    pub columns: usize,
    /// Bytes between the runs of a row.
    pub column_pitch: usize,
    /// Groups of 4 bytes in each run.
    pub groups: usize,
}

impl Runs {
    /// Vectors of a strip's weights: groups of 4 inputs in all runs.
    pub const fn vectors(&self) -> usize {
        self.rows * self.columns * self.groups
    }

    /// Bytes from a window's origin to the end of its last run.
    pub const fn extent(&self) -> usize {
        if self.vectors() == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_pitch + (self.columns - 1) * self.column_pitch + 4 * self.groups
    }
}

/// Sums of products: every strip with every window.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// Strips of drawn weights, `[strip][vector][lane][4]`.
    pub weights: &'a [i8],
    /// What each lane's sum starts with, `[strip][lane]`: the drawn bias less the zero point's share.
    pub start: &'a [i32],
    /// Activations.
    pub input: &'a [u8],
    /// Windows of the input.
    pub runs: Runs,
    /// Origins of the windows in the input.
    pub origins: &'a [i32],
}

/// From an accumulator to an activation's code.
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// A multiplier for each lane of each strip.
    pub multipliers: &'a [i32],
    /// Those of sums below zero; `None` where they are the same.
    pub negative: Option<&'a [i32]>,
    /// The shift, 1 to 62.
    pub shift: u32,
    /// Smallest code.
    pub low: i32,
    /// Largest code.
    pub high: i32,
    /// What is added to a code to make it an unsigned byte.
    pub zero: i32,
}

/// What becomes of the sums.
#[derive(Debug)]
pub enum Output<'a> {
    /// They are kept, `[window][strip][lane]`.
    Sums(&'a mut [i32]),
    /// Of every `pool` consecutive windows the largest is requantized.
    Codes {
        /// Codes: lane l of group g goes to `g * pitch + l`, lanes counted over all strips.
        out: &'a mut [u8],
        /// Distance of neighbouring groups.
        pitch: usize,
        /// Lanes that are written; those beyond are padding.
        channels: usize,
        /// Windows that share one output: 1, or the places of a max-pool's window.
        pool: usize,
        /// How.
        requantize: Requantize<'a>,
    },
}

/// Where the sums of each lane's weights go, if they are asked for.
type LaneSums<'a> = Option<&'a mut [i32; LANES]>;

/// The five loops, compiled for one instruction set.
///
/// # Panics
/// Each of them on lengths and numbers that do not belong together, as its first lines say: the program that calls is wrong
/// then. A [`crate::run::Program`] makes no such call, whatever its model, images and memory.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    unpack: fn(&[u8], usize, Bits, &mut [u8]),
    pack: fn(&[u8], &[usize; LANES], usize, &mut [u8]),
    moments: fn(&Codes<'_>, &mut [i32]),
    draw: fn(&Draw<'_>, &mut [i32], &mut [i8], LaneSums<'_>),
    product: fn(&Product<'_>, Output<'_>),
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A kernel that this processor does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKernel;

impl fmt::Display for UnknownKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this CPU has no such kernel; it has")?;
        Kernel::available().try_for_each(|k| write!(f, " {}", k.name))
    }
}

impl core::error::Error for UnknownKernel {}

impl Kernel {
    /// Kernels that this processor can run, fastest first; the last is `scalar`.
    pub fn available() -> impl Iterator<Item = Kernel> {
        #[cfg(target_arch = "x86_64")]
        let fast = x86_64::available();
        #[cfg(not(target_arch = "x86_64"))]
        let fast = core::iter::empty();
        fast.chain(core::iter::once(scalar::KERNEL))
    }

    /// The fastest kernel.
    pub fn best() -> Kernel {
        Kernel::available().next().unwrap_or(scalar::KERNEL)
    }

    /// The kernel of a name.
    ///
    /// # Errors
    /// [`UnknownKernel`] lists those that there are.
    pub fn named(name: &str) -> Result<Kernel, UnknownKernel> {
        Kernel::available().find(|k| k.name == name).ok_or(UnknownKernel)
    }

    /// The kernel that the environment variable `QBNN_KERNEL` names; without it the fastest.
    ///
    /// # Errors
    /// [`UnknownKernel`] if this processor has no such kernel.
    #[cfg(feature = "std")]
    pub fn chosen() -> Result<Kernel, UnknownKernel> {
        match std::env::var_os("QBNN_KERNEL") {
            None => Ok(Kernel::best()),
            Some(name) => name.to_str().map_or(Err(UnknownKernel), Kernel::named),
        }
    }

    /// Its name, as `QBNN_KERNEL` takes it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Unpacks the codes from `first` on, each into the low bits of a byte (the others zero). The run must hold them.
    pub fn unpack(&self, packed: &[u8], first: usize, bits: Bits, out: &mut [u8]) {
        let end = (first as u64).checked_add(out.len() as u64).and_then(|end| end.checked_mul(bits.get() as u64));
        assert!(end.is_some_and(|end| end.div_ceil(8) <= packed.len() as u64), "codes beyond the packed run");
        (self.unpack)(packed, first, bits, out);
    }

    /// Lays 16 rows into one run of a strip: byte `i` of row `lane` (`rows[at[lane] + i]`, `i` below `len`) to
    /// `strip[i / 4][lane][i % 4]`, zeros behind the last.
    pub fn pack(&self, rows: &[u8], at: &[usize; LANES], len: usize, strip: &mut [u8]) {
        let end = rows.len().checked_sub(len);
        assert!(strip.len() == len.div_ceil(4) * VECTOR, "room for the run");
        assert!(at.iter().all(|&at| end.is_some_and(|end| at <= end)), "16 rows");
        (self.pack)(rows, at, len, strip);
    }

    /// The moments of a strip's weights: what the codes say about each, worked out once for all draws. A word each, of
    /// which only this kernel knows the order: [`Kernel::draw`] takes them.
    pub fn moments(&self, codes: &Codes<'_>, out: &mut [i32]) {
        assert!(codes.run_len > 0 && out.len().is_multiple_of(codes.run_len.div_ceil(4) * VECTOR), "whole runs");
        assert!(codes.mu.len() == out.len() && codes.sigma.len() == out.len(), "means, sigmas and weights are as many");
        assert!(codes.levels.len().is_power_of_two() && codes.levels.len() <= 256, "levels of at most 8 bits");
        assert!(codes.scales.iter().all(|s| (1..=8).contains(&s.fraction)), "1 to 8 fraction bits");
        (self.moments)(codes, out);
    }

    /// Draws a strip of weights, in memory of [`noise_words`]. Adds the weights of each lane to `sums`.
    pub fn draw(&self, draw: &Draw<'_>, noise: &mut [i32], out: &mut [i8], sums: Option<&mut [i32; LANES]>) {
        assert!(draw.run_len > 0 && draw.moments.len().is_multiple_of(draw.groups() * VECTOR), "whole runs");
        assert!(out.len() == draw.moments.len(), "a weight for each of the moments");
        let inputs = draw.noise_bytes() / draw.rounding.noise_bytes();
        assert!(noise.len() >= noise_words(inputs, draw.rounding), "memory for the noise");
        assert!(draw.lanes.fraction.iter().all(|f| (1..=8).contains(f)), "1 to 8 fraction bits");
        let each = draw.rounding.noise_bytes() as u8;
        assert!(draw.lanes.byte.iter().all(|&b| b < 16 && b % each == 0), "noise begins within its block");
        (self.draw)(draw, noise, out, sums);
    }

    /// Sums of products, and what becomes of them.
    pub fn product(&self, p: &Product<'_>, output: Output<'_>) {
        let strips = p.start.len() / LANES;
        assert!(p.start.len() == strips * LANES && p.weights.len() == strips * p.runs.vectors() * VECTOR, "strips");
        let end = p.input.len().checked_sub(p.runs.extent());
        let inside = |&o: &i32| o >= 0 && end.is_some_and(|end| o as usize <= end);
        assert!(p.origins.iter().all(inside), "a window outside the input");
        match &output {
            Output::Sums(out) => {
                assert!(out.len() == p.origins.len() * strips * LANES, "a sum for every window and lane")
            }
            Output::Codes { out, pitch, channels, pool, requantize } => {
                assert!(*pool > 0 && p.origins.len().is_multiple_of(*pool), "whole groups of windows");
                let groups = p.origins.len() / pool;
                assert!(*channels <= strips * LANES && *channels <= *pitch, "lanes");
                assert!(groups == 0 || out.len() >= (groups - 1) * pitch + channels, "room for the codes");
                let lanes = |m: &[i32]| m.len() == strips * LANES;
                assert!(lanes(requantize.multipliers) && requantize.negative.is_none_or(lanes), "a multiplier a lane");
                assert!((1..=62).contains(&requantize.shift), "shift");
                assert!(requantize.low <= requantize.high, "codes");
                assert!(
                    requantize.low + requantize.zero >= 0 && requantize.high + requantize.zero <= 255,
                    "codes are bytes"
                );
            }
        }
        (self.product)(p, output);
    }
}
