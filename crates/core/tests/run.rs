//! The machine against the naive way, and against itself: every kernel, both ways to draw, any batch, any split.

#![allow(clippy::unwrap_used, reason = "a test should fail where it stands")]

mod common;

use common::{Builder, Random, lenet5, lenet5_layers, machine, mlp, reference, zoo, zoo_layers};
use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{Kind, Model, Op, Posterior};
use qbnn_core::run::{Plan, RunError, Scratch, Source, Step, Weights};

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

/// Files without sigmas: one network whatever the draw, or draws that drop units.
#[test]
fn posteriors_without_sigmas_agree() {
    for bits in [[4, 4, 4, 4], [8, 2, 8, 8], [2, 2, 2, 2], [3, 5, 3, 6]] {
        for rounding in [Rounding::Nearest, Rounding::Stochastic] {
            for posterior in [Posterior::Point, Posterior::Dropout { dropped: 26 }, Posterior::Dropout { dropped: 200 }]
            {
                let file = zoo_layers(bits[0] as u64, bits, rounding).with(posterior).finish();
                agrees(&format!("zoo {bits:?} {rounding:?} {posterior:?}"), &file, 1..4, 3);
                let file = lenet5_layers(bits[0] as u64, bits, rounding).with(posterior).finish();
                agrees(&format!("lenet5 {bits:?} {rounding:?} {posterior:?}"), &file, 0..2, 2);
                let model = Model::new(&file).unwrap();
                assert_eq!(model.posterior(), posterior);
                let pixels = images(&file, 2, 5);
                let draw = |n: u32| machine(&file, Kernel::best(), 11, n..n + 1, &pixels, false);
                assert_eq!(draw(0) == draw(1), posterior == Posterior::Point, "{posterior:?}");
            }
        }
    }
    // A 4-bit network without sigmas takes half of the bytes of one with them.
    let both =
        [Posterior::Gaussian, Posterior::Point].map(|p| lenet5_layers(1, [4; 4], Rounding::Nearest).with(p).finish());
    assert!((both[0].len() as f64 / both[1].len() as f64) > 1.9, "{} and {}", both[0].len(), both[1].len());
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
    let plan = Plan::new(model, &mut steps).unwrap();
    let mut constants = vec![0; plan.constants()];
    let program = plan.prepare(Kernel::best(), &mut constants).unwrap();
    let (need, held) = (plan.scratch(), plan.weights(draws as usize));
    let memory = || (vec![0; need.signed], vec![0; need.bytes], vec![0; need.words]);
    let (mut signed, mut words) = (vec![0; held.signed], vec![0; held.words]);
    let (mut a, mut b, mut c) = memory();
    let mut scratch = Scratch::new(&mut a, &mut b, &mut c);
    let weights = Weights::draw(&program, 9, 0..draws, &mut signed, &mut words, &mut scratch).unwrap();
    std::thread::scope(|threads| {
        for half in 0..2 {
            let (program, weights, pixels, whole) = (&program, &weights, &pixels, &whole);
            threads.spawn(move || {
                let (mut a, mut b, mut c) = memory();
                let mut scratch = Scratch::new(&mut a, &mut b, &mut c);
                let part = &pixels[half * n / 2 * len..][..n / 2 * len];
                let mut logits = vec![0; draws as usize * n / 2 * classes];
                program.run(Source::Drawn(weights), part, 0..draws, &mut scratch, &mut logits).unwrap();
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

/// A small model of kind float.
fn float() -> Vec<u8> {
    let mut b = Builder::new(1, [1, 2, 2], [4; 4], Rounding::Nearest);
    b.dense(0, 3);
    let header = Header { kind: Kind::Float, mu: None, sigma: None, weight: None, activation: None, ..b.header() };
    let layers = b.layers.iter().map(|(layer, _)| {
        let Op::Linear(l) = layer.op else { panic!("a dense layer") };
        let (n, channels) = (l.fan_in() * layer.shape.channels, layer.shape.channels);
        let float = [vec![0.5; n], vec![0.1; n], vec![0.5; channels], vec![0.1; channels]];
        (*layer, Parameters { float, ..Parameters::default() })
    });
    write(&header, &layers.collect::<Vec<_>>()).unwrap()
}

/// Whatever a caller gives that does not fit is an error of one line, and no panic.
#[test]
fn what_does_not_fit_is_an_error() {
    let says = |e: RunError, words: &str| {
        let text = e.to_string();
        assert!(text.contains(words) && !text.contains('\n'), "{text}");
    };
    let other = float();
    let error = Plan::new(Model::new(&other).unwrap(), &mut [Step::default()]).unwrap_err();
    assert_eq!(error, RunError::Kind(Kind::Float));
    says(error, "this one is float");

    let file = lenet5(3, [4; 4], Rounding::Nearest);
    let model = Model::new(&file).unwrap();
    let mut steps = vec![Step::default(); model.layers()];
    says(Plan::new(model, &mut steps[1..]).unwrap_err(), "it holds 10, 11 was wanted");
    let plan = Plan::new(model, &mut steps).unwrap();
    let mut constants = vec![0; plan.constants()];
    says(plan.prepare(Kernel::best(), &mut constants[1..]).unwrap_err(), "Plan::constants");
    let program = plan.prepare(Kernel::best(), &mut constants).unwrap();

    let need = plan.scratch();
    let (mut a, mut b, mut c) = (vec![0; need.signed], vec![0; need.bytes], vec![0; need.words]);
    let held = plan.weights(8);
    let (mut signed, mut words) = (vec![0; held.signed], vec![0; held.words]);
    let images = vec![7; 2 * 784];
    let mut out = vec![0; 8 * 2 * 10];
    // Every part of the scratch memory a little too small, for drawing and for running.
    for short in 0..3 {
        let cut = |n: usize, part: usize| if part == short { n / 2 } else { n };
        let (n0, n1, n2) = (cut(need.signed, 0), cut(need.bytes, 1), cut(need.words, 2));
        let mut scratch = Scratch::new(&mut a[..n0], &mut b[..n1], &mut c[..n2]);
        let drawn = Weights::draw(&program, 1, 0..8, &mut signed, &mut words, &mut scratch);
        says(drawn.unwrap_err(), "Plan::scratch");
        let ran = program.run(Source::Streamed { seed: 1 }, &images, 0..8, &mut scratch, &mut out);
        says(ran.unwrap_err(), "Plan::scratch");
    }
    let mut scratch = Scratch::new(&mut a, &mut b, &mut c);
    says(Weights::draw(&program, 1, 0..9, &mut signed, &mut words, &mut scratch).unwrap_err(), "Plan::weights");
    let all = held.words - 1;
    says(Weights::draw(&program, 1, 0..8, &mut signed, &mut words[..all], &mut scratch).unwrap_err(), "Plan::weights");
    let weights = Weights::draw(&program, 1, 8..16, &mut signed, &mut words, &mut scratch).unwrap();
    let mut run = |source: Source<'_>, images: &[u8], draws, out: &mut [i32]| {
        program.run(source, images, draws, &mut scratch, out).map_err(|e| e.to_string())
    };
    let streamed = Source::Streamed { seed: 1 };
    for (found, words) in [
        (run(streamed, &images[1..], 0..8, &mut out), "no whole number of images"),
        (run(streamed, &images, 0..7, &mut out), "160 logits, 140 was wanted"),
        (run(Source::Drawn(&weights), &images, 0..8, &mut out), "0..8 were asked for, 8..16 were drawn"),
        (run(Source::Drawn(&weights), &images, 9..17, &mut out), "9..17 were asked for"),
        (run(Source::Drawn(&weights), &images, 9..16, &mut out[..140]), "a multiple of 8 was wanted"),
    ] {
        let error = found.unwrap_err();
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
    }
    // No draws and no images are nothing to do; draws at the end of their range are draws like others.
    assert_eq!(run(streamed, &images, 5..5, &mut []), Ok(()));
    assert_eq!(run(streamed, &[], 0..8, &mut []), Ok(()));
    assert_eq!(run(streamed, &images, u32::MAX - 8..u32::MAX, &mut out), Ok(()));
    let found = machine(&file, Kernel::best(), 1, u32::MAX - 8..u32::MAX, &images, false);
    assert_eq!(found, out);
    assert_eq!(reference(&file, 1, u32::MAX - 8..u32::MAX, &images), out);
}

#[test]
fn weights_of_another_model_are_refused() {
    // Two models of the same layers: their memory looks alike.
    let files = [mlp(3, [4; 4], Rounding::Nearest), mlp(4, [4; 4], Rounding::Nearest)];
    let models = [0, 1].map(|i: usize| Model::new(&files[i]).unwrap());
    let mut steps = [0, 1].map(|i: usize| vec![Step::default(); models[i].layers()]);
    let [first, second] = &mut steps;
    let plans = [Plan::new(models[0], first).unwrap(), Plan::new(models[1], second).unwrap()];
    let mut constants = [0, 1].map(|i: usize| vec![0; plans[i].constants()]);
    let [first, second] = &mut constants;
    let programs =
        [plans[0].prepare(Kernel::best(), first).unwrap(), plans[1].prepare(Kernel::best(), second).unwrap()];
    let need = plans[0].scratch();
    let (mut a, mut b, mut c) = (vec![0; need.signed], vec![0; need.bytes], vec![0; need.words]);
    let mut scratch = Scratch::new(&mut a, &mut b, &mut c);
    let held = plans[0].weights(8);
    let (mut signed, mut words) = (vec![0; held.signed], vec![0; held.words]);
    let weights = Weights::draw(&programs[0], 1, 0..8, &mut signed, &mut words, &mut scratch).unwrap();
    let (images, mut out) = (vec![7; 784], vec![0; 80]);
    let mut run =
        |program: usize| programs[program].run(Source::Drawn(&weights), &images, 0..8, &mut scratch, &mut out);
    assert_eq!((run(0), run(1)), (Ok(()), Err(RunError::OtherWeights)));
}
