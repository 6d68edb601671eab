//! How fast the machine is, as fractions of what this core can do in the same run: `cargo bench -p qbnn-core`.
//!
//! Random models of the two built-in networks (what is in the weights does not change the time), 32 draws. The limit is a
//! loop of nothing but dot-product instructions, and a copy of memory. Each row is the best of several repetitions.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and stops where something is wrong")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::Random;
use qbnn_core::draw::{Rounding, RowScale, sigma_level};
use qbnn_core::kernel::limit::multiply_adds;
use qbnn_core::kernel::{Codes, Draw, Kernel, LANES, Lanes, noise_words};
use qbnn_core::model::Model;
use qbnn_core::run::{Plan, Program, Scratch, Source, Step, Weights};
use qbnn_core::{Bits, UniformCode};
use std::hint::black_box;
use std::time::Instant;

const DRAWS: u32 = 32;

/// Seconds of the fastest of several runs, together about half a second.
fn best(mut f: impl FnMut()) -> f64 {
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    let mut runs = 0;
    while runs < 3 || begin.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

/// Multiply-adds per second of a loop of dot-product instructions.
fn dot_limit(kernel: Kernel) -> f64 {
    const TURNS: usize = 200_000;
    multiply_adds(kernel, TURNS) as f64 / best(|| _ = multiply_adds(kernel, TURNS))
}

fn main() {
    // `cargo bench -p qbnn-core -- draw`: only the rows whose label contains the word; `-- 'streamed 1'`: only one of them.
    // A second word chooses the network.
    let mut words = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let (word, network) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let kernel = Kernel::chosen().unwrap();
    let limit = dot_limit(kernel);
    let (from, mut to) = (vec![1u8; 64 << 20], vec![0u8; 64 << 20]);
    let copy = best(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    println!(
        "kernel {}; limit {:.1} G multiply-adds/s; copy {:.1} GB/s",
        kernel.name(),
        limit / 1e9,
        to.len() as f64 / copy / 1e9
    );
    if "loops".contains(&word) {
        loops(kernel);
    }
    for (name, file) in [
        ("lenet5 w4", common::lenet5(1, [4; 4], Rounding::Nearest)),
        ("lenet5 w4 stochastic", common::lenet5(1, [4; 4], Rounding::Stochastic)),
        ("mlp w4", common::mlp(1, [4; 4], Rounding::Nearest)),
    ] {
        if !name.contains(&network) {
            continue;
        }
        let model = Model::new(&file).unwrap();
        let work = (model.multiply_adds() * DRAWS as u64) as f64;
        let mut steps = vec![Step::default(); model.layers()];
        let plan = Plan::new(model, &mut steps).unwrap();
        let mut constants = vec![0; plan.constants()];
        let program = plan.prepare(kernel, &mut constants).unwrap();
        let need = plan.scratch();
        let (mut signed, mut bytes, mut words) = (vec![0; need.signed], vec![0; need.bytes], vec![0; need.words]);
        let mut scratch = Scratch::new(&mut signed, &mut bytes, &mut words);
        let held = plan.weights(DRAWS as usize);
        let (mut signed, mut words) = (vec![0; held.signed], vec![0; held.words]);
        println!(
            "{name}: file {} B, scratch {} B, weights of {DRAWS} draws {} B, blocks of {}",
            file.len(),
            need.total(),
            held.total(),
            plan.images_together()
        );
        if "draw".contains(&word) {
            let seconds = best(|| {
                Weights::draw(&program, 7, 0..DRAWS, &mut signed, &mut words, &mut scratch).unwrap();
            });
            let rate = model.parameters() as f64 * DRAWS as f64 / seconds;
            println!("  draw          {:8.2} G weights/s   1/{:.0} of the limit", rate / 1e9, limit / rate);
        }
        let weights = Weights::draw(&program, 7, 0..DRAWS, &mut signed, &mut words, &mut scratch).unwrap();
        let pixels = Random(3).bytes(1000 * model.input().len());
        let mut logits = vec![0; 1000 * DRAWS as usize * model.classes()];
        if "threads".contains(&word) {
            let [one, two] = threads(&program, &weights, &pixels);
            println!("  threads  1000 {:10.1} us, two {:10.1} us   {:.2} x as fast", one * 1e6, two * 1e6, one / two);
        }
        for streamed in [false, true] {
            let label = if streamed { "streamed" } else { "products" };
            for n in
                [1, 10, 16, 100, 1000].into_iter().filter(|n| label.contains(&word) || word == format!("{label} {n}"))
            {
                let (pixels, logits) =
                    (&pixels[..n * model.input().len()], &mut logits[..n * DRAWS as usize * model.classes()]);
                let source = if streamed { Source::Streamed { seed: 7 } } else { Source::Drawn(&weights) };
                let seconds = best(|| program.run(source, black_box(pixels), 0..DRAWS, &mut scratch, logits).unwrap());
                println!(
                    "  {} {n:5} {:10.1} us {:9.0} images/s   {:.3} of the limit",
                    label,
                    seconds * 1e6,
                    n as f64 / seconds,
                    n as f64 * work / seconds / limit
                );
            }
        }
    }
}

/// A thousand images by one thread and by two, each with half of them and memory of its own: the same drawn weights.
fn threads(program: &Program<'_>, weights: &Weights<'_>, pixels: &[u8]) -> [f64; 2] {
    let (plan, draws) = (program.plan(), weights.draws());
    let (model, need) = (plan.model(), plan.scratch());
    let memory = || (vec![0; need.signed], vec![0; need.bytes], vec![0; need.words]);
    [1, 2].map(|threads| {
        let each = pixels.len() / model.input().len() / threads;
        let mut own: Vec<_> = (0..threads).map(|_| (memory(), vec![0; each * draws.len() * model.classes()])).collect();
        best(|| {
            std::thread::scope(|scope| {
                for (((a, b, c), logits), part) in own.iter_mut().zip(pixels.chunks(each * model.input().len())) {
                    let draws = draws.clone();
                    let run = move || {
                        let mut scratch = Scratch::new(a, b, c);
                        program.run(Source::Drawn(weights), black_box(part), draws, &mut scratch, logits).unwrap();
                    };
                    scope.spawn(run);
                }
            });
        })
    })
}

/// The first `n` numbers from a multiple of 64 bytes on.
fn aligned<T>(memory: &mut [T], n: usize) -> &mut [T] {
    let first = memory.as_ptr().align_offset(64);
    &mut memory[first..first + n]
}

/// The loops of drawing, each on a strip of 400 inputs in the nearest cache.
fn loops(kernel: Kernel) {
    const LEN: usize = 400;
    const N: usize = LANES * LEN;
    let bits = Bits::new(4).unwrap();
    let mut random = Random(1);
    let packed = random.bytes(N);
    let mut codes = vec![0; N];
    let levels: Vec<i16> = (0..16).map(|k| sigma_level(k, 1000)).collect();
    let scales = [RowScale::new(0, 0, 0, bits).unwrap(); LANES];
    // As in the machine's own memory, vectors begin at multiples of their size.
    let (mut strip, mut weights, mut moments) = (vec![0u8; N + 64], vec![0i8; N + 64], vec![0; N + 64]);
    let (strip, weights, moments) = (aligned(&mut strip, N), aligned(&mut weights, N), aligned(&mut moments, N));
    let row = |what: &str, f: &mut dyn FnMut()| {
        let seconds = best(|| (0..100).for_each(|_| f())) / 100.0;
        println!("  {what:20} {:8.2} G weights/s", N as f64 / seconds / 1e9);
    };
    println!("loops of drawing, w4");
    row("unpack", &mut || kernel.unpack(black_box(&packed), 0, bits, &mut codes));
    let at = std::array::from_fn(|lane| lane * LEN);
    row("pack", &mut || kernel.pack(black_box(&codes), &at, LEN, strip));
    for (what, rounding) in [("nearest", Rounding::Nearest), ("stochastic", Rounding::Stochastic)] {
        let (mu, sigma) = (&strip[..], &strip[..]);
        let codes = Codes { run_len: LEN, scales: &scales, mu, sigma, levels: &levels, mu_bits: bits, rounding };
        row("moments", &mut || kernel.moments(black_box(&codes), moments));
        let words = noise_words(LEN, rounding);
        let mut noise = vec![0; words + 64];
        let noise = aligned(&mut noise, words);
        for (fraction, byte) in [(8, 0), (8, 8), (8, 2), (7, 0)] {
            let lanes = Lanes {
                count: LANES,
                draw: [3; LANES],
                block: [5; LANES],
                byte: [byte; LANES],
                fraction: [fraction; LANES],
                fit: true,
            };
            let draw = Draw {
                moments,
                run_len: LEN,
                lanes: &lanes,
                grid: UniformCode::Signed(bits),
                rounding,
                key: [1, 2],
                tensor: 0,
            };
            let name = format!("{what}, f {fraction}, at {byte}");
            row(&name, &mut || kernel.draw(black_box(&draw), noise, weights, None));
        }
    }
}
