//! Draws the weights of one channel, one after the other: neither divisions nor moments.

use super::channel::Channel;
use crate::code::{Bits, UniformCode};
use crate::draw::{self, Rounding};
use crate::model::Codes;
use crate::noise::{self, NoiseCounter};

/// Reads packed codes one after the other.
struct Reader<'a> {
    rest: &'a [u8],
    /// Bits that were read but not given yet, and how many they are.
    have: u32,
    count: u32,
    width: u32,
}

impl<'a> Reader<'a> {
    /// From the code at `index` on.
    fn at(packed: &'a [u8], index: usize, bits: Bits) -> Self {
        let width = bits.get();
        // In 64 bits: where addresses have 32, the bits of codes that fit into memory may be more.
        let first = index as u64 * width as u64;
        let rest = usize::try_from(first / 8).ok().and_then(|at| packed.get(at..)).unwrap_or(&[]);
        let mut reader = Reader { rest, have: 0, count: 0, width };
        let past = (first % 8) as u32;
        if past > 0 {
            reader.byte();
            (reader.have, reader.count) = (reader.have >> past, reader.count - past);
        }
        reader
    }

    #[inline(always)]
    fn byte(&mut self) {
        // A checked file ends with its last code.
        if let Some((&byte, rest)) = self.rest.split_first() {
            (self.have, self.rest) = (self.have | (byte as u32) << self.count, rest);
        }
        self.count += 8;
    }

    #[inline(always)]
    fn next(&mut self) -> u8 {
        if self.count < self.width {
            self.byte();
        }
        let code = self.have & ((1 << self.width) - 1);
        (self.have, self.count) = (self.have >> self.width, self.count - self.width);
        code as u8
    }
}

/// Bytes of noise at a place, one after the other.
struct Noise {
    key: [u32; 2],
    place: NoiseCounter,
    /// The next block, and what is left of this one.
    next: u32,
    words: [u32; 4],
    at: u32,
}

impl Noise {
    /// From byte `first` on.
    fn at(key: [u32; 2], place: NoiseCounter, first: u64) -> Self {
        let next = (first / 16) as u32;
        let mut noise = Noise { key, place, next, words: [0; 4], at: 16 };
        let past = (first % 16) as u32;
        if past > 0 {
            noise.block();
            noise.at = past;
        }
        noise
    }

    fn block(&mut self) {
        self.words = noise::block(self.key, self.place, self.next);
        (self.next, self.at) = (self.next.wrapping_add(1), 0);
    }

    #[inline(always)]
    fn byte(&mut self) -> u8 {
        if self.at == 16 {
            self.block();
        }
        let byte = self.words[(self.at / 4) as usize & 3] >> (8 * (self.at % 4));
        self.at += 1;
        byte as u8
    }
}

/// What all rows of a tensor have in common under a draw.
#[derive(Clone, Copy)]
pub(super) struct Tensor<'a> {
    pub codes: Codes<'a>,
    pub mu_bits: Bits,
    /// `None` without sigmas.
    pub sigma_bits: Option<Bits>,
    /// Levels of sigma, two bytes each.
    pub levels: &'a [u8],
    pub grid: UniformCode,
    pub rounding: Rounding,
    pub key: [u32; 2],
    /// Number of the weights' noise; the bias has the next.
    pub tensor: u32,
    pub draw: u32,
}

impl Tensor<'_> {
    /// Draws the weights of a channel, as the bytes of signed numbers; returns their sum.
    pub fn weights(&self, channel: &Channel, index: usize, row: &mut [u8]) -> i32 {
        let (first, each) = (index * row.len(), self.rounding.noise_bytes());
        let mut mu = Reader::at(self.codes.mu, first, self.mu_bits);
        let sigma = self.sigma_bits.map(|bits| Reader::at(self.codes.sigma, first, bits));
        let place = draw::counter(self.tensor, self.draw);
        let mut noise = Noise::at(self.key, place, first as u64 * each as u64);
        let (scale, mut sum) = (&channel.row, 0);
        let level = |code: u8| match self.levels.get(2 * code as usize..2 * code as usize + 2) {
            Some(&[low, high]) => scale.level(i16::from_le_bytes([low, high])),
            _ => 0,
        };
        match sigma {
            Some(mut sigma) => {
                for weight in row {
                    let mean = scale.mean(self.mu_bits, mu.next(), self.rounding);
                    let level = level(sigma.next());
                    let byte = noise.byte();
                    let up = (each == 2).then(|| noise.byte());
                    let drawn = draw::from_moments(scale.fraction, self.grid, mean, level, byte, up);
                    *weight = drawn as u8;
                    sum += drawn as i32;
                }
            }
            // A level of 0 does away with the table's noise. What rounds stochastically still does.
            None => {
                for weight in row {
                    let mean = scale.mean(self.mu_bits, mu.next(), self.rounding);
                    let up = (each == 2).then(|| {
                        noise.byte();
                        noise.byte()
                    });
                    let drawn = draw::from_moments(scale.fraction, self.grid, mean, 0, 0, up);
                    *weight = drawn as u8;
                    sum += drawn as i32;
                }
            }
        }
        sum
    }

    /// Sets the weights to zero that read a unit which the draw drops ([`draw::mask_counter`]); returns the sum of those that are left.
    pub fn drop_units(&self, units: usize, dropped: u8, row: &mut [u8]) -> i32 {
        let mut noise = Noise::at(self.key, draw::mask_counter(self.tensor, self.draw), 0);
        for unit in 0..units {
            if noise.byte() < dropped {
                row.iter_mut().skip(unit).step_by(units).for_each(|weight| *weight = 0);
            }
        }
        row.iter().map(|&weight| weight as i8 as i32).sum()
    }

    /// The bias of a channel, in units of its accumulator.
    pub fn bias(&self, channel: &Channel, index: usize) -> i32 {
        let first = index as u64 * self.rounding.noise_bytes() as u64;
        let byte = Noise::at(self.key, draw::counter(self.tensor + 1, self.draw), first).byte();
        let mu = self.codes.bias_mu.get(index).map_or(0, |&mu| mu as i8);
        channel.bias.draw(mu, channel.bias_level, byte)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::pack;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn a_reader_gives_the_codes_in_order(packed: Vec<u8>, bits in 2u32..=8, first in 0usize..9) {
            let bits = Bits::new(bits).unwrap();
            let codes: Vec<u8> = (first..).map_while(|i| pack::get(&packed, i, bits)).collect();
            let mut reader = Reader::at(&packed, first, bits);
            let found: Vec<u8> = codes.iter().map(|_| reader.next()).collect();
            prop_assert_eq!(found, codes);
        }

        #[test]
        fn noise_goes_on_from_any_byte(seed: u64, first in 0usize..70) {
            let (key, place) = (noise::key(seed), NoiseCounter { purpose: 9, tensor: 1, draw: 2 });
            let mut all = vec![0; 160];
            noise::fill(key, place, 0, &mut all);
            let mut noise = Noise::at(key, place, first as u64);
            let found: Vec<u8> = (first..160).map(|_| noise.byte()).collect();
            prop_assert_eq!(&found, &all[first..]);
        }
    }
}
