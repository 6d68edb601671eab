//! Products in 256 bits: one loop for three ways to multiply.
//!
//! A function is compiled for the instructions that it names, and takes into itself only functions that ask for no more.
//! So the loop is a macro, and not a generic function.

/// `product` of the module that asks for it: `$add` adds the products of four bytes `x` with weights `w` to the sums.
/// `$narrow` looks at the weights once; what it says reaches `$add` as a constant.
macro_rules! products {
    ($features:literal, $narrow:expr, $add:expr) => {
        #[target_feature(enable = $features)]
        fn product(p: &Product<'_>, mut output: Output<'_>) {
            let narrow = $narrow(p);
            for strip in 0..p.start.len() / LANES {
                if narrow {
                    run::<4, true>(p, strip, &mut output);
                } else {
                    run::<4, false>(p, strip, &mut output);
                }
            }
        }

        /// All windows with one strip.
        #[target_feature(enable = $features)]
        fn run<const P: usize, const NARROW: bool>(p: &Product<'_>, strip: usize, output: &mut Output<'_>) {
            match output {
                Output::Sums(out) => {
                    for (i, origins) in p.origins.chunks(P).enumerate() {
                        let sums = sums::<P, NARROW>(p, strip, &tile(origins));
                        for (j, sums) in sums.iter().take(origins.len()).enumerate() {
                            out[(i * P + j) * p.start.len() + strip * LANES..][..LANES].copy_from_slice(sums);
                        }
                    }
                }
                Output::Codes { out, pitch, channels, pool, requantize } => {
                    let lane = strip * LANES;
                    let valid = channels.saturating_sub(lane).min(LANES);
                    let mut put = |at: usize, sums: &[i32; LANES]| {
                        for (i, (slot, &sum)) in
                            out[at * *pitch..].iter_mut().skip(lane).zip(sums).take(valid).enumerate()
                        {
                            *slot = scalar::code(requantize, lane + i, sum);
                        }
                    };
                    if *pool == 1 {
                        for (i, origins) in p.origins.chunks(P).enumerate() {
                            let sums = sums::<P, NARROW>(p, strip, &tile(origins));
                            sums.iter().take(origins.len()).enumerate().for_each(|(j, s)| put(i * P + j, s));
                        }
                        return;
                    }
                    for (i, window) in p.origins.chunks(*pool).enumerate() {
                        let mut largest = [i32::MIN; LANES];
                        for origins in window.chunks(P) {
                            for sums in sums::<P, NARROW>(p, strip, &tile(origins)) {
                                largest.iter_mut().zip(sums).for_each(|(l, s)| *l = s.max(*l));
                            }
                        }
                        put(i, &largest);
                    }
                }
            }
        }

        /// The sums of `P` windows with one strip.
        #[target_feature(enable = $features)]
        #[inline]
        fn sums<const P: usize, const NARROW: bool>(
            p: &Product<'_>,
            strip: usize,
            origins: &[usize; P],
        ) -> [[i32; LANES]; P] {
            let (at, runs) = (Pointers::of(p), &p.runs);
            let starts = [0, 8].map(|half| {
                let start = &p.start[strip * LANES + half..][..8];
                // SAFETY: 8 words are 32 bytes.
                unsafe { _mm256_loadu_si256(start.as_ptr().cast()) }
            });
            let mut sums = [starts; P];
            let mut vector = strip * runs.vectors() * VECTOR;
            for row in 0..runs.rows {
                for column in 0..runs.columns {
                    let offset = row * runs.row_pitch + column * runs.column_pitch;
                    for group in 0..runs.groups {
                        // SAFETY: `Kernel::product` has checked that the weights hold `vectors()` vectors of every strip.
                        let w = [0, 32].map(|half| unsafe { _mm256_loadu_si256(at.weights.add(vector + half).cast()) });
                        for (sums, &origin) in sums.iter_mut().zip(origins) {
                            // SAFETY: it has checked that every window's extent, of which these are four bytes, lies inside.
                            let x = unsafe { at.input.add(origin + offset + 4 * group).cast::<i32>().read_unaligned() };
                            let x = _mm256_set1_epi32(x);
                            for (sum, w) in sums.iter_mut().zip(w) {
                                *sum = $add(*sum, x, w, NARROW);
                            }
                        }
                        vector += VECTOR;
                    }
                }
            }
            sums.map(|halves| {
                let mut out = [0; LANES];
                for (part, half) in out.chunks_exact_mut(8).zip(halves) {
                    // SAFETY: 8 words are 32 bytes.
                    unsafe { _mm256_storeu_si256(part.as_mut_ptr().cast(), half) };
                }
                out
            })
        }
    };
}
pub(super) use products;
