//! Bit packing: codes of 2 to 8 bits laid end to end, least significant bit first.
//!
//! A code may straddle two bytes (3, 5, 6 and 7 bits do): the packed size is then exactly `ceil(n * bits / 8)` bytes,
//! and what a report calls "parameter bytes" is what a file holds.

use crate::code::Bits;

/// Bytes that `codes` codes of `bits` bits take.
pub const fn packed_len(codes: usize, bits: Bits) -> usize {
    // A product of 64 bits: where addresses have 32, the bits of codes that fit into memory may be more.
    (codes as u64 * bits.get() as u64).div_ceil(8) as usize
}

/// The byte and the bit in it where the code at `index` begins; `None` where no memory reaches. In 64 bits, or a run of 512
/// MiB would be too long for a processor with addresses of 32.
fn place(index: usize, bits: Bits) -> Option<(usize, usize)> {
    let first = (index as u64).checked_mul(bits.get() as u64)?;
    let byte = usize::try_from(first / 8).ok().filter(|&byte| byte < usize::MAX)?;
    Some((byte, (first % 8) as usize))
}

/// The code at `index` of a packed run, as an unsigned number.
///
/// `None` if the run ends before it.
pub fn get(packed: &[u8], index: usize, bits: Bits) -> Option<u8> {
    let width = bits.get() as usize;
    let (byte, shift) = place(index, bits)?;
    let low = *packed.get(byte)? as u16;
    let high = if shift + width > 8 { *packed.get(byte + 1)? as u16 } else { 0 };
    Some((((low | (high << 8)) >> shift) & ((1 << width) - 1)) as u8)
}

/// The code at `index` of a packed run, read as two's complement.
///
/// `None` if the run ends before it.
pub fn get_signed(packed: &[u8], index: usize, bits: Bits) -> Option<i8> {
    let unused = 8 - bits.get();
    get(packed, index, bits).map(|code| ((code << unused) as i8) >> unused)
}

/// Writes `code` (its low `bits` bits; signed codes as two's complement) at `index`. The place must hold zeros.
///
/// Returns `false`, with nothing written, if the run ends before it.
#[must_use]
pub fn put(packed: &mut [u8], index: usize, code: i32, bits: Bits) -> bool {
    let width = bits.get() as usize;
    let Some((byte, shift)) = place(index, bits) else { return false };
    let last = byte + (shift + width - 1) / 8;
    if last >= packed.len() {
        return false;
    }
    let value = ((code as u32 & ((1 << width) - 1)) as u16) << shift;
    packed[byte] |= value as u8;
    if last > byte {
        packed[last] |= (value >> 8) as u8;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_codes_share_a_byte_low_half_first() {
        let four = Bits::new(4).unwrap();
        let mut bytes = [0u8; 1];
        assert!(put(&mut bytes, 0, 3, four) && put(&mut bytes, 1, -8, four));
        assert_eq!(bytes, [0x83]);
        assert_eq!((get_signed(&bytes, 0, four), get_signed(&bytes, 1, four)), (Some(3), Some(-8)));
        assert_eq!(get(&bytes, 2, four), None);
        assert!(!put(&mut bytes, 2, 1, four));
        assert_eq!(packed_len(3, four), 2);
    }

    proptest! {
        #[test]
        fn what_is_put_is_got(bits in 2u32..=8, codes in proptest::collection::vec(any::<i8>(), 1..70)) {
            extern crate std;
            let width = Bits::new(bits).unwrap();
            let mut bytes = std::vec![0u8; packed_len(codes.len(), width)];
            let (lo, hi) = (-(1i32 << (bits - 1)), (1i32 << (bits - 1)) - 1);
            for (i, &c) in codes.iter().enumerate() {
                prop_assert!(put(&mut bytes, i, (c as i32).clamp(lo, hi), width));
            }
            for (i, &c) in codes.iter().enumerate() {
                let c = (c as i32).clamp(lo, hi);
                prop_assert_eq!(get_signed(&bytes, i, width).map(i32::from), Some(c));
                prop_assert_eq!(get(&bytes, i, width).map(i32::from), Some(c & ((1 << bits) - 1)));
            }
        }
    }
}
