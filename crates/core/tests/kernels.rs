//! Every kernel of this processor gives the scalar kernel's bytes, on random calls around every tile edge.

use proptest::prelude::*;
use qbnn_core::draw::{self, Rounding, RowScale, sigma_level};
use qbnn_core::kernel::{
    Codes, Draw, Kernel, LANES, Lanes, Output, Product, Requantize, Runs, VECTOR, noise_words, scalar,
};
use qbnn_core::noise::{self, NoiseCounter};
use qbnn_core::{Bits, UniformCode, pack};

fn fast() -> Vec<Kernel> {
    Kernel::available().filter(|k| k.name() != "scalar").collect()
}

/// Bytes that look random, from a seed.
fn bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut out = vec![0; n];
    noise::fill(noise::key(seed), NoiseCounter { purpose: 99, tensor: 0, draw: 0 }, 0, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn unpack(seed: u64, width in 2u32..=8, first in 0usize..100, n in 0usize..300) {
        let bits = Bits::new(width).unwrap();
        let packed = bytes(seed, pack::packed_len(first + n, bits));
        let mut want = vec![0; n];
        scalar::KERNEL.unpack(&packed, first, bits, &mut want);
        for kernel in fast() {
            let mut found = vec![0; n];
            kernel.unpack(&packed, first, bits, &mut found);
            prop_assert_eq!(&found, &want, "{:?}", kernel);
        }
    }

    #[test]
    fn pack_rows(seed: u64, len in 1usize..300, rows in 1usize..17) {
        let codes = bytes(seed, rows * (len + 5));
        let at: [usize; LANES] = std::array::from_fn(|lane| lane % rows * (len + 5) + lane % 6);
        let mut want = vec![0; len.div_ceil(4) * VECTOR];
        scalar::KERNEL.pack(&codes, &at, len, &mut want);
        for kernel in fast() {
            let mut found = vec![1; want.len()];
            kernel.pack(&codes, &at, len, &mut found);
            prop_assert_eq!(&found, &want, "{:?}", kernel);
        }
    }

    /// Every kernel's draws against the rule itself, weight by weight.
    #[test]
    fn draw(
        seed in any::<u64>(),
        widths in (2u32..=8, 2u32..=8, 2u32..=8),
        scales in (-12_000i16..4_000, -6_000i16..2_000, -20_000i16..8_000),
        step in 1i16..6_000,
        (runs, run_len) in prop_oneof![(Just(1usize), 1usize..200), (1usize..9, 1usize..40)],
        (first, apart) in (0usize..60, prop_oneof![Just(0usize), 0usize..300]),
        (tensor, number, far, stochastic) in any::<(u32, u32, bool, bool)>(),
        (missing, mixed) in (0usize..16, any::<bool>()),
    ) {
        let [mu_bits, sigma_bits, weight_bits] = [widths.0, widths.1, widths.2].map(|b| Bits::new(b).unwrap());
        let Some(scale) = RowScale::new(scales.0, scales.1, scales.2, mu_bits) else { return Ok(()) };
        let rounding = if stochastic { Rounding::Stochastic } else { Rounding::Nearest };
        let (each, strip) = (rounding.noise_bytes(), runs * run_len.div_ceil(4) * VECTOR);
        let levels: Vec<i16> = (0..sigma_bits.levels()).map(|k| sigma_level(k as u8, step)).collect();
        let codes = |salt, bits: Bits| -> Vec<u8> {
            bytes(seed ^ salt, strip).iter().map(|b| b & ((1u32 << bits.get()) - 1) as u8).collect()
        };
        let (mu, sigma) = (codes(1, mu_bits), codes(2, sigma_bits));
        let present = LANES - missing;
        let mut rows = [RowScale::NONE; LANES];
        let mut lanes = Lanes { count: present, fraction: [8; LANES], ..Lanes::default() };
        for (lane, row) in rows.iter_mut().enumerate().take(present) {
            let fraction = if mixed { 1 + (seed >> (lane * 3) & 7) as u8 } else { scale.fraction };
            *row = RowScale {
                mean: scale.mean / (lane as i16 + 1),
                deviation: scale.deviation / (lane as i16 % 3 + 1),
                fraction,
            };
            let byte = (first + lane * (runs * run_len + apart)) * each;
            lanes.draw[lane] = number.wrapping_add(lane as u32 % 3);
            lanes.block[lane] = ((byte / 16) as u32).wrapping_add(if far { u32::MAX - 1 } else { 0 });
            lanes.byte[lane] = (byte % 16) as u8;
            lanes.fraction[lane] = fraction;
        }
        lanes.fit = rows.iter().all(RowScale::fits);
        let (key, grid) = ([seed as u32, (seed >> 32) as u32], UniformCode::Signed(weight_bits));
        let (mut want, mut sums) = (vec![0i8; strip], [7; LANES]);
        for lane in 0..present {
            let mut noise = vec![0; runs * run_len * each + 16];
            noise::fill(key, draw::counter(tensor, lanes.draw[lane]), lanes.block[lane], &mut noise);
            let noise = &noise[lanes.byte[lane] as usize..];
            for i in 0..runs * run_len {
                let (run, input) = (i / run_len, i % run_len);
                let at = (run * run_len.div_ceil(4) + input / 4) * VECTOR + lane * 4 + input % 4;
                let level = rows[lane].level(levels[sigma[at] as usize]);
                let up = stochastic.then(|| noise[2 * i + 1]);
                let w = draw::weight(&rows[lane], mu_bits, grid, mu[at], level, noise[each * i], up);
                // Behind the last input of a run the file has no codes: the strip's are zeros.
                (want[at], sums[lane]) = (w, sums[lane] + w as i32);
            }
        }
        let clear = |codes: &[u8]| -> Vec<u8> {
            codes.iter().enumerate().map(|(at, &code)| {
                let input = at % (run_len.div_ceil(4) * VECTOR) / VECTOR * 4 + at % 4;
                if input < run_len { code } else { 0 }
            }).collect()
        };
        let (mu, sigma) = (clear(&mu), clear(&sigma));
        for kernel in Kernel::available() {
            let codes =
                Codes { run_len, scales: &rows, mu: &mu, sigma: &sigma, levels: &levels, mu_bits, rounding };
            let mut moments = vec![-1; strip];
            kernel.moments(&codes, &mut moments);
            let all = Draw { moments: &moments, run_len, lanes: &lanes, grid, rounding, key, tensor };
            let mut memory = vec![-1; noise_words(runs * run_len, rounding)];
            let (mut found, mut found_sums) = (vec![5; strip], [7; LANES]);
            kernel.draw(&all, &mut memory, &mut found, Some(&mut found_sums));
            prop_assert_eq!(&found, &want, "{:?}", kernel);
            prop_assert_eq!(found_sums, sums, "{:?}", kernel);
            kernel.draw(&all, &mut memory, &mut found, None);
            prop_assert_eq!(&found, &want, "{:?}", kernel);
        }
    }

    #[test]
    fn product(
        seed: u64,
        weight_bits in 2u32..=8,
        strips in 1usize..9,
        groups in (1usize..20, 1usize..4, 1usize..4),
        outputs in prop_oneof![1usize..4, 1usize..40],
        pool in prop_oneof![Just(1usize), Just(4), Just(3)],
        missing in 0usize..16,
        shift in 1u32..=62,
        (signed_codes, leaky) in any::<(bool, bool)>(),
    ) {
        let runs = Runs { groups: groups.0, rows: groups.1, columns: groups.2, row_pitch: 97, column_pitch: 13 };
        let vectors = strips * runs.vectors();
        let weights: Vec<i8> = bytes(seed, vectors * VECTOR).iter().map(|&b| (b as i8) >> (8 - weight_bits)).collect();
        let random = bytes(seed ^ 1, 4096);
        let word = |i: usize| i32::from_le_bytes(random[4 * (i % 1000)..][..4].try_into().unwrap());
        let start: Vec<i32> = (0..strips * LANES).map(|i| word(i) >> 12).collect();
        let windows = outputs * pool;
        let input = bytes(seed ^ 2, 400 + runs.extent());
        let origins: Vec<i32> = (0..windows).map(|i| word(i + 300) & 255).collect();
        let p = Product { weights: &weights, start: &start, input: &input, runs, origins: &origins };
        let multipliers: Vec<i32> = (0..strips * LANES).map(|i| word(i + 500) & i32::MAX).collect();
        let negative: Vec<i32> = multipliers.iter().map(|m| m / 3).collect();
        let (low, high, zero) = if signed_codes { (-8, 7, 8) } else { (0, 15, 0) };
        let requantize = Requantize {
            multipliers: &multipliers, negative: leaky.then_some(&negative), shift, low, high, zero,
        };
        let channels = strips * LANES - missing;
        let run = |kernel: Kernel| {
            let mut sums = vec![0; windows * strips * LANES];
            kernel.product(&p, Output::Sums(&mut sums));
            let mut out = vec![77; outputs * (channels + 3)];
            kernel.product(&p, Output::Codes { out: &mut out, pitch: channels + 3, channels, pool, requantize });
            (sums, out)
        };
        let want = run(scalar::KERNEL);
        for kernel in fast() {
            let found = run(kernel);
            prop_assert!(found == want, "{:?}", kernel);
        }
    }
}

#[test]
fn the_widest_numbers_do_not_saturate() {
    // 255 * -128, 64 times: beyond 16 bits twice over.
    let runs = Runs { rows: 1, row_pitch: 0, columns: 1, column_pitch: 0, groups: 16 };
    let (input, origins) = ([255u8; 64], [0]);
    for weight in [-128i8, 127, -65, -64, 64] {
        let (weights, start) = (vec![weight; 16 * VECTOR], [0; LANES]);
        for kernel in Kernel::available() {
            let mut sums = [0; LANES];
            let p = Product { weights: &weights, start: &start, input: &input, runs, origins: &origins };
            kernel.product(&p, Output::Sums(&mut sums));
            assert_eq!(sums, [64 * 255 * weight as i32; LANES], "{kernel:?}");
        }
    }
}

#[test]
fn a_kernel_has_a_name_and_an_unknown_one_is_refused() {
    for kernel in Kernel::available() {
        assert_eq!(Kernel::named(kernel.name()).unwrap().name(), kernel.name());
    }
    let message = Kernel::named("avx1024").unwrap_err().to_string();
    assert!(message.contains("scalar"), "{message}");
    assert_eq!(Kernel::available().last().unwrap().name(), "scalar");
}
