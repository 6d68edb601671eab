//! The machine against the naive way, and against itself: every kernel, both ways to draw, any batch, any split.

#![allow(clippy::unwrap_used, reason = "a test should fail where it stands")]

mod common;

use common::{Random, lenet5, machine, mlp, reference, zoo};
use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::Model;
use qbnn_core::run::{Plan, Scratch, Source, Step, Weights};

fn images(file: &[u8], n: usize, seed: u64) -> Vec<u8> {
    Random(seed).bytes(n * Model::new(file).unwrap().input().len())
}

fn agrees(name: &str, file: &[u8], draws: std::ops::Range<u32>, n: usize) {
    let pixels = images(file, n, 5);
    let want = reference(file, 11, draws.clone(), &pixels);
    assert!(want.iter().any(|&v| v != want[0]), "{name}: logits that say something");
    for kernel in Kernel::available() {
        for streamed in [false, true] {
            let found = machine(file, kernel, 11, draws.clone(), &pixels, streamed);
            let first = found.iter().zip(&want).position(|(f, w)| f != w);
            assert!(found == want, "{name}, {kernel:?}, streamed {streamed}: logit {first:?} of {}", want.len());
        }
    }
}

#[test]
fn lenet5_agrees() {
    agrees("lenet5", &lenet5(1, [4; 4], Rounding::Nearest), 0..3, 2);
    agrees("lenet5, stochastic", &lenet5(2, [4; 4], Rounding::Stochastic), 7..9, 2);
    agrees("lenet5, 8 bits", &lenet5(3, [8; 4], Rounding::Nearest), 0..2, 2);
}

#[test]
fn mlp_agrees() {
    agrees("mlp", &mlp(1, [4; 4], Rounding::Nearest), 3..12, 5);
    agrees("mlp, 2 bits", &mlp(1, [2; 4], Rounding::Nearest), 0..2, 3);
}

#[test]
fn a_network_of_everything_agrees_at_every_width() {
    for bits in [[4, 4, 4, 4], [8, 8, 8, 8], [2, 2, 2, 2], [3, 5, 7, 6], [8, 3, 4, 2]] {
        for rounding in [Rounding::Nearest, Rounding::Stochastic] {
            let file = zoo(bits[0] as u64, bits, rounding);
            agrees(&format!("zoo {bits:?} {rounding:?}"), &file, 1..4, 3);
        }
    }
}

/// Every kernel, materialised and streamed, one thread and two, batches of 1, 7 and 1000: the same bytes.
#[test]
fn a_thousand_images_on_every_path_give_the_same_bytes() {
    const N: usize = 1000;
    for file in [lenet5(5, [4; 4], Rounding::Nearest), mlp(5, [4; 4], Rounding::Nearest)] {
        let model = Model::new(&file).unwrap();
        let (len, classes) = (model.input().len(), model.classes());
        let pixels = images(&file, N, 8);
        let whole = machine(&file, Kernel::best(), 9, 0..2, &pixels, false);
        // Logits of some images among those of all, under both draws.
        let of = |first: usize, n: usize| -> Vec<i32> {
            (0..2).flat_map(|draw| &whole[(draw * N + first) * classes..][..n * classes]).copied().collect()
        };
        for kernel in Kernel::available() {
            for streamed in [false, true] {
                // The slow kernel need not show on every path that a thousand images are many.
                let slow = kernel.name() == "scalar";
                let run = |first: usize, n: usize| {
                    let found = machine(&file, kernel, 9, 0..2, &pixels[first * len..(first + n) * len], streamed);
                    assert!(found == of(first, n), "{kernel:?}, streamed {streamed}, {n} images from {first}");
                };
                run(0, if slow && streamed { 70 } else { N });
                for (batch, last) in [(1, 20), (7, 70)] {
                    (0..last).step_by(batch).for_each(|first| run(first, batch));
                }
                if !slow {
                    // Two threads at once, each with half of the images: the first with less than half.
                    std::thread::scope(|threads| {
                        threads.spawn(|| run(0, 497));
                        threads.spawn(|| run(497, N - 497));
                    });
                }
            }
        }
    }
}

/// Two threads share one program and one set of drawn weights.
#[test]
fn threads_share_what_is_read_only() {
    let file = lenet5(6, [4; 4], Rounding::Stochastic);
    let model = Model::new(&file).unwrap();
    let (len, classes, n, draws) = (model.input().len(), model.classes(), 64, 9);
    let pixels = images(&file, n, 8);
    let whole = machine(&file, Kernel::best(), 9, 0..draws, &pixels, false);
    let mut steps = vec![Step::default(); model.layers()];
    let plan = Plan::new(model, &mut steps);
    let mut constants = vec![0; plan.constants()];
    let program = plan.prepare(Kernel::best(), &mut constants);
    let (need, held) = (plan.scratch(), plan.weights(draws as usize));
    let memory = || (vec![0; need.signed], vec![0; need.bytes], vec![0; need.words]);
    let (mut signed, mut words) = (vec![0; held.signed], vec![0; held.words]);
    let (mut a, mut b, mut c) = memory();
    let mut scratch = Scratch::new(&mut a, &mut b, &mut c);
    let weights = Weights::draw(&program, 9, 0..draws, &mut signed, &mut words, &mut scratch);
    std::thread::scope(|threads| {
        for half in 0..2 {
            let (program, weights, pixels, whole) = (&program, &weights, &pixels, &whole);
            threads.spawn(move || {
                let (mut a, mut b, mut c) = memory();
                let mut scratch = Scratch::new(&mut a, &mut b, &mut c);
                let part = &pixels[half * n / 2 * len..][..n / 2 * len];
                let mut logits = vec![0; draws as usize * n / 2 * classes];
                program.run(Source::Drawn(weights), part, 0..draws, &mut scratch, &mut logits);
                for (draw, found) in logits.chunks(n / 2 * classes).enumerate() {
                    let at = (draw * n + half * n / 2) * classes;
                    assert_eq!(found, &whole[at..at + found.len()], "half {half}, draw {draw}");
                }
            });
        }
    });
}

#[test]
fn results_depend_on_model_seed_and_draw_alone() {
    for file in
        [lenet5(4, [4; 4], Rounding::Nearest), mlp(4, [4; 4], Rounding::Nearest), zoo(4, [4; 4], Rounding::Nearest)]
    {
        let model = Model::new(&file).unwrap();
        let (len, classes, n) = (model.input().len(), model.classes(), 40);
        let pixels = images(&file, n, 6);
        let whole = machine(&file, Kernel::best(), 3, 0..10, &pixels, false);
        for batch in [1, 7, 40] {
            for first in (0..n).step_by(batch) {
                let part = &pixels[first * len..(first + batch).min(n) * len];
                let found = machine(&file, Kernel::best(), 3, 0..10, part, first % 2 == 0);
                for draw in 0..10 {
                    let (m, at) = (part.len() / len * classes, (draw * n + first) * classes);
                    assert_eq!(found[draw * m..(draw + 1) * m], whole[at..at + m], "batch {batch}, image {first}");
                }
            }
        }
        for draws in [0..1, 1..2, 3..10] {
            let found = machine(&file, Kernel::best(), 3, draws.clone(), &pixels, draws.start == 1);
            let at = draws.start as usize * n * classes;
            assert_eq!(found[..], whole[at..at + found.len()], "draws {draws:?}");
        }
        assert_ne!(machine(&file, Kernel::best(), 4, 0..10, &pixels, false), whole, "another seed, other draws");
    }
}
