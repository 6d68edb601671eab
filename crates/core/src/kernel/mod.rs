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
use crate::noise::Place;
use core::fmt;

/// Output channels of a strip.
pub const LANES: usize = 16;

/// Weights of one vector of a strip: 4 inputs of each lane.
pub const VECTOR: usize = 4 * LANES;

/// Rows (output channels) of weights to draw, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Weights of a row.
    pub len: usize,
    /// Ratios of each row.
    pub scales: &'a [RowScale],
    /// Mean codes of all rows, in the low bits of each byte.
    pub mu: &'a [u8],
    /// Sigma codes, as many, each below the number of levels.
    pub sigma: &'a [u8],
    /// Noise, [`Rounding::noise_bytes`] for each weight.
    pub noise: &'a [u8],
    /// T of every sigma code: 2^b levels.
    pub levels: &'a [i16],
    /// Width of the mean codes.
    pub mu_bits: Bits,
    /// Grid of the drawn weights.
    pub grid: UniformCode,
    /// How a draw meets its grid.
    pub rounding: Rounding,
}

impl<'a> Draw<'a> {
    /// Row `i`: its ratios, means, sigmas and noise.
    fn row(&self, i: usize) -> (RowScale, &'a [u8], &'a [u8], &'a [u8]) {
        let (at, each) = (i * self.len, self.rounding.noise_bytes());
        let noise = &self.noise[at * each..][..self.len * each];
        (self.scales[i], &self.mu[at..][..self.len], &self.sigma[at..][..self.len], noise)
    }
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

/// The five loops, compiled for one instruction set.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    noise: fn([u32; 2], Place, u32, &mut [u8]),
    unpack: fn(&[u8], usize, Bits, &mut [u8]),
    draw: fn(&Draw<'_>, usize, &mut [i8]),
    pack: fn(&[i8], usize, usize, &mut [i8]),
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

    /// Fills `out` with a place's noise from block `first` on, 16 bytes a block.
    pub fn noise(&self, key: [u32; 2], place: Place, first: u32, out: &mut [u8]) {
        (self.noise)(key, place, first, out);
    }

    /// Unpacks the codes from `first` on, each into the low bits of a byte (the others zero). The run must hold them.
    pub fn unpack(&self, packed: &[u8], first: usize, bits: Bits, out: &mut [u8]) {
        let end = (first + out.len()).checked_mul(bits.get() as usize).map(|b| b.div_ceil(8));
        assert!(end.is_some_and(|end| end <= packed.len()), "codes beyond the packed run");
        (self.unpack)(packed, first, bits, out);
    }

    /// Draws rows: weight `i` of row `r` to `out[r * pitch + i]`.
    pub fn draw(&self, rows: &Draw<'_>, pitch: usize, out: &mut [i8]) {
        let n = rows.len * rows.scales.len();
        assert!(rows.mu.len() == n && rows.sigma.len() == n, "means, sigmas and weights are as many");
        assert!(rows.noise.len() == n * rows.rounding.noise_bytes(), "noise for every weight");
        assert!(rows.levels.len().is_power_of_two() && rows.levels.len() <= 256, "levels of a code of at most 8 bits");
        assert!(rows.len > 0 && rows.len <= pitch, "rows do not overlap");
        let Some(last) = rows.scales.len().checked_sub(1) else { return };
        assert!(out.len() >= last * pitch + rows.len, "room for every row");
        (self.draw)(rows, pitch, out);
    }

    /// Lays 16 rows into one run of a strip: byte `i` of row `lane` (`rows[lane * pitch + i]`, `i` below `len`) to
    /// `strip[i / 4][lane][i % 4]`, zeros behind the last.
    pub fn pack(&self, rows: &[i8], pitch: usize, len: usize, strip: &mut [i8]) {
        assert!(strip.len() == len.div_ceil(4) * VECTOR && rows.len() >= (LANES - 1) * pitch + len, "16 rows");
        (self.pack)(rows, pitch, len, strip);
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
