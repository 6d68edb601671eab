//! Dense and convolution against seven nested loops: forward, both backwards, sizes around every tile's edge.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod random;

use qbnn_bnn::Shape;
use qbnn_bnn::internals::nn::buffer::Buffer;
use qbnn_bnn::internals::nn::kernel::RUN;
use qbnn_bnn::internals::nn::linear::{Conv, Linear, dense_weights, transpose};
use random::Random;

/// A sum in f64 beside the sum of its terms' sizes, which bounds what f32 may lose.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    size: f64,
}

impl Sum {
    fn of(start: f32) -> Self {
        Sum { value: start as f64, size: start.abs() as f64 }
    }
    fn add(&mut self, a: f32, b: f32) {
        let product = a as f64 * b as f64;
        self.value += product;
        self.size += product.abs();
    }
}

/// Calls `f(weight, input, output)` with the indices of every product of the map, the slow and obvious way.
fn products(map: &Linear, batch: usize, mut f: impl FnMut(usize, usize, usize)) {
    match map {
        Linear::Dense { inputs, outputs } => {
            for o in 0..*outputs {
                for i in 0..*inputs {
                    for n in 0..batch {
                        f(o * inputs + i, i * batch + n, o * batch + n);
                    }
                }
            }
        }
        Linear::Conv(c) => {
            let (ins, outs) = (c.input.channels / c.groups, c.output.channels / c.groups);
            for o in 0..c.output.channels {
                for oy in 0..c.output.rows {
                    for ox in 0..c.output.columns {
                        for i in 0..ins {
                            for ky in 0..c.kernel {
                                for kx in 0..c.kernel {
                                    let y = (oy * c.stride + ky) as i64 - c.padding as i64;
                                    let x = (ox * c.stride + kx) as i64 - c.padding as i64;
                                    if y < 0 || x < 0 || y >= c.input.rows as i64 || x >= c.input.columns as i64 {
                                        continue;
                                    }
                                    let channel = o / outs * ins + i;
                                    let from = (channel * c.input.rows + y as usize) * c.input.columns + x as usize;
                                    let to = (o * c.output.rows + oy) * c.output.columns + ox;
                                    for n in 0..batch {
                                        let w = ((o * ins + i) * c.kernel + ky) * c.kernel + kx;
                                        f(w, from * batch + n, to * batch + n);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sizes(map: &Linear) -> (usize, usize) {
    match map {
        Linear::Dense { inputs, outputs } => (*inputs, *outputs),
        Linear::Conv(c) => (c.input.len(), c.output.len()),
    }
}

fn close(what: &str, about: &str, got: &[f32], want: &[Sum]) {
    for (i, (&g, w)) in got.iter().zip(want).enumerate() {
        let error = (g as f64 - w.value).abs();
        assert!(error <= 5e-7 * w.size + 1e-30, "{about}: {what}[{i}] is {g}, wanted {}", w.value);
    }
}

/// All three against the loops. `padded` comes from the maps before, with what they left in it.
fn check(map: &Linear, random: &mut Random, padded: &mut Buffer) {
    let about = format!("{map:?}");
    let (inputs, outputs) = sizes(map);
    let (w, bias) = (random.values(map.weights()), random.values(map.channels()));
    let (x, dy) = (random.values(inputs * RUN), random.values(outputs * RUN));
    // What a pass finds in what it overwrites does not matter.
    let (mut y, mut dw, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; w.len()], vec![f32::NAN; x.len()]);
    let mut added = random.values(x.len());

    let per_channel = dy.len() / bias.len();
    let mut want_y: Vec<Sum> = (0..y.len()).map(|i| Sum::of(bias[i / per_channel])).collect();
    let mut want_dw = vec![Sum::default(); dw.len()];
    let mut want_dx = vec![Sum::default(); dx.len()];
    let mut want_added: Vec<Sum> = added.iter().map(|&v| Sum::of(v)).collect();
    products(map, RUN, |at_w, at_x, at_y| {
        want_y[at_y].add(w[at_w], x[at_x]);
        want_dw[at_w].add(dy[at_y], x[at_x]);
        want_dx[at_x].add(w[at_w], dy[at_y]);
        want_added[at_x].add(w[at_w], dy[at_y]);
    });

    map.forward(&w, Some(&bias), &x, &mut y, padded);
    close("y", &about, &y, &want_y);
    map.backward_weights(&dy, &x, padded, &mut dw);
    close("dw", &about, &dw, &want_dw);
    map.backward_input(&w, &dy, &mut dx, false);
    close("dx", &about, &dx, &want_dx);
    map.backward_input(&w, &dy, &mut added, true);
    close("dx, added", &about, &added, &want_added);
}

fn conv(input: Shape, out: usize, kernel: usize, stride: usize, padding: usize, groups: usize) -> Linear {
    let side = |n: usize| (n + 2 * padding - kernel) / stride + 1;
    let output = Shape { channels: out, rows: side(input.rows), columns: side(input.columns) };
    Linear::Conv(Conv { input, output, kernel, stride, padding, groups })
}

#[test]
fn dense_equals_the_loops() {
    let padded = &mut Buffer::default();
    for seed in 0..150 {
        let random = &mut Random(seed);
        let map = Linear::Dense { inputs: random.range(1, 90), outputs: random.range(1, 40) };
        check(&map, random, padded);
    }
}

/// The weight gradient of several blocks at once, in any cut of the rows: the sum over the blocks, and the same bits
/// whatever the cut.
#[test]
fn dense_weights_of_a_batch_equal_the_loops() {
    for seed in 0..60 {
        let random = &mut Random(500 + seed);
        let (inputs, outputs, count) = (random.range(1, 70), random.range(1, 30), random.range(1, 5));
        let map = Linear::Dense { inputs, outputs };
        let blocks: Vec<(Vec<f32>, Vec<f32>)> =
            (0..count).map(|_| (random.values(outputs * RUN), random.values(inputs * RUN))).collect();
        let mut want = vec![Sum::default(); inputs * outputs];
        for (dy, x) in &blocks {
            products(&map, RUN, |at_w, at_x, at_y| want[at_w].add(dy[at_y], x[at_x]));
        }
        let transposed: Vec<Buffer> = blocks
            .iter()
            .map(|(_, x)| {
                let mut transposed = Buffer::default();
                transpose(x, &mut transposed);
                transposed
            })
            .collect();
        let pairs: Vec<(&[f32], &[f32])> = blocks.iter().zip(&transposed).map(|((dy, _), x)| (&dy[..], &**x)).collect();
        let mut whole = vec![f32::NAN; want.len()];
        dense_weights(inputs, 0..outputs, &pairs, &mut whole);
        close("dw", &format!("seed {seed}"), &whole, &want);
        let cut = random.range(0, outputs);
        let mut parts = vec![f32::NAN; want.len()];
        let (above, below) = parts.split_at_mut(cut * inputs);
        dense_weights(inputs, 0..cut, &pairs, above);
        dense_weights(inputs, cut..outputs, &pairs, below);
        assert_eq!(whole, parts, "seed {seed}: cut after {cut} of {outputs} rows");
    }
}

#[test]
fn conv_equals_the_loops() {
    let padded = &mut Buffer::default();
    for seed in 0..300 {
        let random = &mut Random(1000 + seed);
        let (groups, kernel) = (random.range(1, 3), random.range(1, 5));
        let (stride, padding) = (random.range(1, 3), random.range(0, kernel));
        let smallest = kernel.saturating_sub(2 * padding).max(1);
        let input = Shape {
            channels: groups * random.range(1, 3),
            rows: smallest + random.range(0, 5),
            columns: smallest + random.range(0, 5),
        };
        let map = conv(input, groups * random.range(1, 9), kernel, stride, padding, groups);
        check(&map, random, padded);
    }
}

/// Every size that is possible in one dimension: windows wholly in the padding and kernels that reach past both edges
/// included.
#[test]
fn conv_at_every_edge() {
    let (padded, random) = (&mut Buffer::default(), &mut Random(7));
    for kernel in 1..=5 {
        for padding in 0..=kernel + 1 {
            for stride in 1..=3 {
                for columns in 1..=6 {
                    if columns + 2 * padding < kernel {
                        continue;
                    }
                    for rows in [columns, 7 - columns] {
                        if rows + 2 * padding < kernel {
                            continue;
                        }
                        let map = conv(Shape { channels: 1, rows, columns }, 1, kernel, stride, padding, 1);
                        check(&map, random, padded);
                    }
                }
            }
        }
    }
}

/// Channels around the tiles of the outputs, taps around those of the weight gradient: 9, 12 and 13 with wide registers,
/// 3, 4 and 5 with narrow ones.
#[test]
fn conv_around_every_tile() {
    let (padded, random) = (&mut Buffer::default(), &mut Random(11));
    for kernel in 1..=4 {
        for inputs in 1..=5 {
            for outputs in [1, 2, 3, 5, 6, 7, 8, 12, 13] {
                let input = Shape { channels: inputs, rows: kernel + 1, columns: kernel + 2 };
                check(&conv(input, outputs, kernel, 1, kernel / 2, 1), random, padded);
            }
        }
    }
}

#[test]
fn counts_follow_the_sizes() {
    let dense = Linear::Dense { inputs: 7, outputs: 3 };
    assert_eq!((dense.channels(), dense.fan_in(), dense.weights(), dense.positions()), (3, 7, 21, 1));
    let conv = conv(Shape { channels: 4, rows: 6, columns: 9 }, 8, 3, 2, 1, 2);
    assert_eq!((conv.channels(), conv.fan_in(), conv.weights(), conv.positions()), (8, 18, 144, 15));
}
