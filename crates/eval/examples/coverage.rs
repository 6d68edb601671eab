//! How often the 95 % intervals of an AUROC hold the true one: simulated worlds whose AUROC is known.
//!
//! ```console
//! cargo run --release -p qbnn-eval --example coverage -- 300
//! ```
//!
//! Scores of both groups are normal; the positives' mean is moved so that the true AUROC is the one asked for. Of every
//! world the interval of the evaluation (logit scale) and the percentile interval of the same replicates are made, and
//! for a pair of models on the same inputs the percentile interval of their difference.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use qbnn_eval::{Interval, PooledScores, Resampler, logit_interval, percentile_interval};

const RESAMPLES: u64 = 400;

/// xorshift64* and normal numbers by Box and Muller.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// AUROC of each resample.
fn replicates(auroc: &PooledScores, resampler: &Resampler) -> Vec<Option<f64>> {
    let mut counts = Vec::new();
    let one = |r| {
        resampler.fill(r, &mut counts);
        auroc.value(&counts)[0].map(|found| found.auroc)
    };
    (0..RESAMPLES).map(one).collect()
}

fn holds(interval: Option<Interval>, truth: f64) -> u32 {
    u32::from(interval.is_some_and(|[low, high]| low <= truth && truth <= high))
}

fn main() {
    let worlds: u32 = std::env::args().nth(1).map_or(300, |n| n.parse().unwrap());
    println!("{worlds} worlds, {RESAMPLES} resamples; share of 95 % intervals that hold the true AUROC");
    println!("    true  positives negatives      logit  percentile   pair (percentile)");
    for (positives, negatives) in [(50, 50), (200, 1000), (2000, 2000)] {
        // AUROC of normal scores whose means are so far apart: by the normal distribution of half the square root of 2.
        for (apart, truth) in [(1.812_388, 0.90), (2.326_174, 0.95), (3.289_953, 0.99), (4.070_335, 0.998)] {
            let (mut logit, mut percentile, mut pair) = (0, 0, 0);
            for world in 0..worlds {
                let mut random = Random(u64::from(world) * 0x9E37_79B9_7F4A_7C15 + 1);
                (0..9).for_each(|_| _ = random.uniform());
                let mut both = || {
                    // Two models that share most of what an input brings.
                    let shared = random.normal() * 0.8f64.sqrt();
                    [0, 1].map(|_| shared + random.normal() * 0.2f64.sqrt())
                };
                let n: Vec<[f64; 2]> = (0..negatives).map(|_| both()).collect();
                let p: Vec<[f64; 2]> = (0..positives).map(|_| both().map(|x| x + apart)).collect();
                let of = |model: usize| {
                    let column = |all: &[[f64; 2]]| all.iter().map(|x| x[model]).collect::<Vec<_>>();
                    PooledScores::new([&column(&n), &[], &column(&p)]).unwrap()
                };
                let resampler = Resampler::new(u64::from(world), &[negatives, 0, positives]);
                let ones = vec![1; negatives + positives];
                let (first, second) = (of(0), of(1));
                let (a, b) = (replicates(&first, &resampler), replicates(&second, &resampler));
                let pairs = positives.min(negatives);
                logit += holds(logit_interval(first.value(&ones)[0].unwrap().auroc, &a, pairs), truth);
                percentile += holds(percentile_interval(&a), truth);
                let differences: Vec<_> = a.iter().zip(&b).map(|(a, b)| Some((*a)? - (*b)?)).collect();
                pair += holds(percentile_interval(&differences), 0.0);
            }
            let share = |n: u32| f64::from(n) / f64::from(worlds);
            println!(
                "{truth:8.3} {positives:10} {negatives:9} {:10.3} {:11.3} {:19.3}",
                share(logit),
                share(percentile),
                share(pair)
            );
        }
    }
}
