//! Codes and their ranges: the one definition of every grid's integers.
//!
//! A *code* is the stored integer of a quantized value; a *grid* maps codes to values. This module owns the integers
//! (how many bits, which range, what clamping means); the trainer owns the real-valued side (scales, learned steps)
//! and must ask here for every range.

use core::fmt;

/// A width in bits: 2 to 8. (32, which means "not quantized", is the absence of a `Bits`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits(u8);

/// A width outside 2..=8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitsError(pub u32);

impl fmt::Display for BitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits: a code has 2 to 8 bits (32 leaves the value in float)", self.0)
    }
}

impl core::error::Error for BitsError {}

impl Bits {
    /// The width, if it is one that has a format.
    ///
    /// # Errors
    /// [`BitsError`] outside 2..=8.
    pub const fn new(bits: u32) -> Result<Self, BitsError> {
        if bits >= 2 && bits <= 8 { Ok(Bits(bits as u8)) } else { Err(BitsError(bits)) }
    }

    /// The width as a number, 2 to 8.
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// How many codes there are: 2^bits.
    pub const fn levels(self) -> u32 {
        1 << self.0
    }
}

/// Integers of a uniform grid: `value = code * scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniformCode {
    /// Two's complement, -2^(b-1) ..= 2^(b-1)-1: means, drawn weights, activations of either sign.
    Signed(Bits),
    /// 0 ..= 2^b-1: activations that are never negative.
    Unsigned(Bits),
}

impl UniformCode {
    /// Width.
    pub const fn bits(self) -> Bits {
        match self {
            UniformCode::Signed(b) | UniformCode::Unsigned(b) => b,
        }
    }

    /// Smallest code.
    pub const fn min(self) -> i32 {
        match self {
            UniformCode::Signed(b) => -(1 << (b.get() - 1)),
            UniformCode::Unsigned(_) => 0,
        }
    }

    /// Largest code.
    pub const fn max(self) -> i32 {
        match self {
            UniformCode::Signed(b) => (1 << (b.get() - 1)) - 1,
            UniformCode::Unsigned(b) => (1 << b.get()) - 1,
        }
    }

    /// The nearest code in range.
    pub const fn clamp(self, code: i32) -> i32 {
        if code < self.min() {
            self.min()
        } else if code > self.max() {
            self.max()
        } else {
            code
        }
    }
}

/// Integers of the logarithmic grid of sigma: `value = sigma_max * 2^(-code * step)`, code 0 ..= 2^b-1.
///
/// Code 0 is the *largest* sigma: the prior's end of the range, where most weights of a narrow network sit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCode(pub Bits);

impl LogCode {
    /// Largest code, which stands for the smallest sigma.
    pub const fn max(self) -> i32 {
        self.0.levels() as i32 - 1
    }

    /// The nearest code in range.
    pub const fn clamp(self, code: i32) -> i32 {
        if code < 0 {
            0
        } else if code > self.max() {
            self.max()
        } else {
            code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_worked_by_hand() {
        let four = Bits::new(4).unwrap();
        assert_eq!((UniformCode::Signed(four).min(), UniformCode::Signed(four).max()), (-8, 7));
        assert_eq!((UniformCode::Unsigned(four).min(), UniformCode::Unsigned(four).max()), (0, 15));
        assert_eq!(LogCode(four).max(), 15);
        let two = Bits::new(2).unwrap();
        assert_eq!((UniformCode::Signed(two).min(), UniformCode::Signed(two).max()), (-2, 1));
        assert_eq!(LogCode(two).clamp(9), 3);
        assert_eq!(LogCode(two).clamp(-1), 0);
        assert_eq!(UniformCode::Signed(two).clamp(5), 1);
        assert_eq!(UniformCode::Signed(two).clamp(-5), -2);
    }

    #[test]
    fn widths_outside_the_formats_are_refused() {
        for bits in [0, 1, 9, 16, 32] {
            assert_eq!(Bits::new(bits), Err(BitsError(bits)));
        }
        for bits in 2..=8 {
            assert_eq!(Bits::new(bits).map(Bits::levels), Ok(1 << bits));
        }
    }
}
