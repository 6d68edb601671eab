//! Dense and convolution against seven nested loops: forward, both backwards, sizes that split into tiles.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod random;

use qbnn_bnn::nn::Shape;
use qbnn_bnn::nn::linear::{Conv, Linear, Patches};
use random::Random;

/// Patches of a tile, in floats: a copy of the private constant, to say which shapes split.
const TILE_FLOATS: usize = 64 * 1024;

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

/// All three against the loops. `patches` comes from the maps before, with what they left in it.
fn check(about: &str, map: &Linear, batch: usize, random: &mut Random, patches: &mut Patches) {
    let (inputs, outputs) = sizes(map);
    let w = random.values(map.weights());
    let x = random.values(inputs * batch);
    let dy = random.values(outputs * batch);
    // What a forward pass finds in its output does not matter; the backward ones add to what they find.
    let mut y = vec![f32::NAN; outputs * batch];
    let mut dw = random.values(w.len());
    let mut dx = random.values(x.len());

    let mut want_y = vec![Sum::default(); y.len()];
    let mut want_dw: Vec<Sum> = dw.iter().map(|&v| Sum::of(v)).collect();
    let mut want_dx: Vec<Sum> = dx.iter().map(|&v| Sum::of(v)).collect();
    products(map, batch, |at_w, at_x, at_y| {
        want_y[at_y].add(w[at_w], x[at_x]);
        want_dw[at_w].add(dy[at_y], x[at_x]);
        want_dx[at_x].add(w[at_w], dy[at_y]);
    });

    map.forward(&w, &x, &mut y, batch, patches);
    close("y", about, &y, &want_y);
    map.backward_weights(&dy, &x, &mut dw, batch, patches);
    close("dw", about, &dw, &want_dw);
    map.backward_input(&w, &dy, &mut dx, batch, patches);
    close("dx", about, &dx, &want_dx);
}

fn conv(input: Shape, out: usize, kernel: usize, stride: usize, padding: usize, groups: usize) -> Linear {
    let side = |n: usize| (n + 2 * padding - kernel) / stride + 1;
    let output = Shape { channels: out, rows: side(input.rows), columns: side(input.columns) };
    Linear::Conv(Conv { input, output, kernel, stride, padding, groups })
}

#[test]
fn dense_equals_the_loops() {
    let patches = &mut Patches::default();
    for seed in 0..60 {
        let random = &mut Random(seed);
        let map = Linear::Dense { inputs: random.range(1, 90), outputs: random.range(1, 40) };
        for batch in [1, 5, 31, 32] {
            check(&format!("seed {seed}, batch {batch}, {map:?}"), &map, batch, random, patches);
        }
    }
}

#[test]
fn conv_equals_the_loops() {
    let patches = &mut Patches::default();
    for seed in 0..200 {
        let random = &mut Random(1000 + seed);
        let (groups, kernel) = (random.range(1, 3), random.range(1, 5));
        let (stride, padding) = (random.range(1, 3), random.range(0, kernel));
        let smallest = kernel.saturating_sub(2 * padding).max(1);
        let input = Shape {
            channels: groups * random.range(1, 3),
            rows: smallest + random.range(0, 5),
            columns: smallest + random.range(0, 5),
        };
        let map = conv(input, groups * random.range(1, 3), kernel, stride, padding, groups);
        for batch in [1, 5, 31, 32] {
            check(&format!("seed {seed}, batch {batch}, {map:?}"), &map, batch, random, patches);
        }
    }
}

/// Every size that is possible in one dimension: windows wholly in the padding and kernels that reach past both edges
/// included.
#[test]
fn conv_at_every_edge() {
    let (patches, random) = (&mut Patches::default(), &mut Random(7));
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
                        check(&format!("{map:?}"), &map, 2, random, patches);
                    }
                }
            }
        }
    }
}

#[test]
fn conv_in_tiles_equals_the_loops() {
    let patches = &mut Patches::default();
    let shape = |channels, rows, columns| Shape { channels, rows, columns };
    // The rows of a tile, and what remains for the last one, by the batch of 32 (31 where it says so).
    let cases = [
        ("5 rows of 12, then 2", 32, conv(shape(4, 12, 11), 5, 3, 1, 1, 1)),
        ("3 rows of 10, then 1", 32, conv(shape(8, 10, 9), 3, 3, 1, 1, 1)),
        ("one row, which alone fills a tile", 32, conv(shape(16, 5, 17), 3, 3, 1, 1, 1)),
        ("groups", 32, conv(shape(8, 11, 14), 6, 3, 1, 1, 2)),
        ("stride", 32, conv(shape(8, 23, 21), 2, 3, 2, 1, 1)),
        ("stride and a large kernel", 31, conv(shape(3, 19, 22), 2, 5, 2, 2, 1)),
        ("31 images", 31, conv(shape(6, 14, 14), 4, 5, 1, 0, 1)),
    ];
    for (i, (about, batch, map)) in cases.iter().enumerate() {
        let Linear::Conv(c) = map else { panic!("{about}: not a convolution") };
        let rows = (TILE_FLOATS / (map.fan_in() * c.output.columns * batch)).max(1);
        assert!(rows < c.output.rows, "{about}: fits into one tile of {rows} rows");
        check(about, map, *batch, &mut Random(2000 + i as u64), patches);
    }
    // A single image and a few, large enough to split.
    for (batch, side) in [(1, 90), (5, 40)] {
        let map = conv(shape(4, side, side), 2, 3, 1, 1, 1);
        assert!(map.fan_in() * side * side * batch > TILE_FLOATS);
        check(&format!("batch {batch}"), &map, batch, &mut Random(3000), patches);
    }
}

#[test]
fn counts_follow_the_sizes() {
    let dense = Linear::Dense { inputs: 7, outputs: 3 };
    assert_eq!((dense.channels(), dense.fan_in(), dense.weights(), dense.positions()), (3, 7, 21, 1));
    let conv = conv(Shape { channels: 4, rows: 6, columns: 9 }, 8, 3, 2, 1, 2);
    assert_eq!((conv.channels(), conv.fan_in(), conv.weights(), conv.positions()), (8, 18, 144, 15));
}
