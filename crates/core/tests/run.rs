//! The machine against the naive way, and against itself: every kernel, both ways to draw, any batch, any split.

#![allow(clippy::unwrap_used, reason = "a test should fail where it stands")]

mod common;

use common::{Random, lenet5, machine, mlp, reference, zoo};
use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::Model;

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
