//! The slow and obvious way to run a model: naive loops over unpacked codes, one draw and one image at a time, sharing with the
//! machine only the rules of `fixed` and `draw`.

use qbnn_core::draw::{self, BiasScale, RowScale, sigma_level};
use qbnn_core::fixed::{OCTAVE, exp2, requantize, shift_for};
use qbnn_core::model::{Codes, Grid, Layer, Linear, Model, Op, Pool, Shape};
use qbnn_core::{noise, pack};

/// A value, `[row][column][channel]`.
enum Value {
    Codes(Vec<u8>, Grid),
    Wide(Vec<i32>),
}

/// Logits `[draw][image][class]` in the naive way.
pub fn reference(file: &[u8], seed: u64, draws: std::ops::Range<u32>, images: &[u8]) -> Vec<i32> {
    let model = Model::new(file).unwrap();
    let mut out = Vec::new();
    for draw in draws {
        for image in images.chunks_exact(model.input().len()) {
            out.extend(one(&model, seed, draw, image));
        }
    }
    out
}

fn one(model: &Model<'_>, seed: u64, draw: u32, image: &[u8]) -> Vec<i32> {
    let mut values = vec![Value::Codes(image.to_vec(), model.pixels())];
    let mut tensor = 0;
    // Sums that one activation alone reads go there without a stop; their layer's multipliers wait here.
    let mut direct: Option<(Vec<i32>, Vec<i32>, i32)> = None;
    for (i, layer) in model.iter().enumerate() {
        let from = model.shape_of(layer.input);
        let value = match layer.op {
            Op::Linear(l) => {
                let Value::Codes(x, grid) = &values[layer.input] else { panic!("codes") };
                let codes = model.codes(&layer).unwrap();
                let (w, b) = weights(model, &codes, &layer, &l, grid, seed, draw, tensor);
                tensor += 2;
                let sums = convolve(x, from, grid, &w, &b, &layer, &l);
                let log2: Vec<i32> =
                    (0..layer.shape.channels).map(|c| codes.weight_scales.get(c) as i32 + grid.log2_step).collect();
                let readers: Vec<(usize, Layer)> = model
                    .iter()
                    .enumerate()
                    .filter(|(_, l)| l.input == i + 1 || matches!(l.op, Op::Add { other } if other == i + 1))
                    .collect();
                let fused = match readers[..] {
                    [(at, Layer { op: Op::Activation(a), .. })] if at == i + 1 => {
                        let largest = log2.iter().max().unwrap() - a.log2_step as i32;
                        shift_for(largest).is_some()
                    }
                    _ => false,
                };
                let shift = shift_for(log2.iter().max().unwrap() + 16 * OCTAVE).unwrap();
                let wide = sums
                    .iter()
                    .enumerate()
                    .map(|(at, &sum)| {
                        let m = exp2(log2[at % log2.len()] + 16 * OCTAVE, shift).min(i32::MAX as i64);
                        requantize(sum, m as i32, shift).clamp(i32::MIN as i64, i32::MAX as i64) as i32
                    })
                    .collect();
                if fused {
                    direct = Some((sums, log2, 0));
                }
                Value::Wide(wide)
            }
            Op::Activation(a) => {
                let Value::Wide(x) = &values[layer.input] else { panic!("sums") };
                let one = [-16 * OCTAVE];
                let (sums, log2) = match &direct {
                    Some((sums, log2, _)) => (sums, &log2[..]),
                    None => (x, &one[..]),
                };
                let shift = shift_for(log2.iter().max().unwrap() - a.log2_step as i32).unwrap();
                let grid = model.grid_of(i + 1).unwrap();
                let codes = sums
                    .iter()
                    .enumerate()
                    .map(|(at, &sum)| {
                        let mut m = exp2(log2[at % log2.len()] - a.log2_step as i32, shift).min(i32::MAX as i64);
                        if sum < 0 && a.low < 0 && a.slope < 1 << 31 {
                            m = (m * a.slope as i64 + (1 << 30)) >> 31;
                        }
                        let code = requantize(sum, m as i32, shift).clamp(a.low as i64, a.high as i64);
                        (code as i32 + grid.zero) as u8
                    })
                    .collect();
                direct = None;
                Value::Codes(codes, grid)
            }
            Op::Pool(pool) => match &values[layer.input] {
                Value::Codes(x, grid) => {
                    let x: Vec<i64> = x.iter().map(|&v| v as i64).collect();
                    let finer = if pool.max { 0 } else { 8 - grid.bits };
                    let y = pooled(&x, from, &layer, &pool, finer);
                    Value::Codes(y.into_iter().map(|v| v as u8).collect(), model.grid_of(i + 1).unwrap())
                }
                Value::Wide(x) => {
                    let x: Vec<i64> = x.iter().map(|&v| v as i64).collect();
                    Value::Wide(pooled(&x, from, &layer, &pool, 0).into_iter().map(|v| v as i32).collect())
                }
            },
            Op::Add { other } => {
                let wide = |v: &Value| -> Vec<i32> {
                    match v {
                        Value::Wide(x) => x.clone(),
                        Value::Codes(x, grid) => {
                            let log2 = grid.log2_step + 16 * OCTAVE;
                            let shift = shift_for(log2).unwrap();
                            let m = exp2(log2, shift).min(i32::MAX as i64) as i32;
                            x.iter().map(|&b| requantize(b as i32 - grid.zero, m, shift) as i32).collect()
                        }
                    }
                };
                let (a, b) = (wide(&values[layer.input]), wide(&values[other]));
                Value::Wide(a.iter().zip(&b).map(|(a, b)| a.saturating_add(*b)).collect())
            }
        };
        values.push(value);
    }
    match values.pop() {
        Some(Value::Wide(logits)) => logits,
        _ => panic!("a model ends in sums"),
    }
}

fn pooled(x: &[i64], from: Shape, layer: &Layer, pool: &Pool, finer: u32) -> Vec<i64> {
    let mut out = Vec::new();
    for row in 0..layer.shape.rows {
        for column in 0..layer.shape.columns {
            for c in 0..from.channels {
                let window: Vec<i64> = (0..pool.size * pool.size)
                    .map(|k| {
                        let (y, x_) = (row * pool.stride + k / pool.size, column * pool.stride + k % pool.size);
                        x[(y * from.columns + x_) * from.channels + c]
                    })
                    .collect();
                let n = window.len() as f64;
                out.push(match pool.max {
                    true => *window.iter().max().unwrap(),
                    false => (window.iter().sum::<i64>() as f64 * (1 << finer) as f64 / n + 0.5).floor() as i64,
                });
            }
        }
    }
    out
}

/// Drawn weights `[channel][input]` and biases.
#[expect(clippy::too_many_arguments, reason = "all that a draw depends on")]
fn weights(
    model: &Model<'_>,
    codes: &Codes<'_>,
    layer: &Layer,
    l: &Linear,
    grid: &Grid,
    seed: u64,
    draw: u32,
    tensor: u32,
) -> (Vec<i32>, Vec<i64>) {
    let (mu_bits, sigma) = (model.mu_bits().unwrap(), model.sigma_code());
    let key = [seed as u32, (seed >> 32) as u32];
    let (n, each) = (layer.shape.channels * l.fan_in(), model.rounding().noise_bytes());
    let (mut random, mut bias_noise) = (vec![0; n * each], vec![0; layer.shape.channels * each]);
    noise::fill(key, draw::counter(tensor, draw), 0, &mut random);
    noise::fill(key, draw::counter(tensor + 1, draw), 0, &mut bias_noise);
    let rows: Vec<RowScale> = (0..layer.shape.channels)
        .map(|c| RowScale::new(codes.mu_scales.get(c), codes.weight_scales.get(c), codes.sigma_top(), mu_bits).unwrap())
        .collect();
    // Under MC dropout: which of the units that the layer reads are dropped.
    let mut masks = vec![0; draw::units(l, model.shape_of(layer.input))];
    noise::fill(key, draw::mask_counter(tensor, draw), 0, &mut masks);
    let share = if tensor == 0 { 0 } else { model.posterior().dropped() };
    let dropped: Vec<bool> = masks.iter().map(|&mask| mask < share).collect();
    let weights = (0..n).map(|i| {
        let row = &rows[i / l.fan_in()];
        let level = sigma
            .map_or(0, |sigma| row.level(sigma_level(pack::get(codes.sigma, i, sigma.0).unwrap(), codes.sigma_step())));
        let mu = pack::get(codes.mu, i, mu_bits).unwrap();
        let up = (each == 2).then(|| random[2 * i + 1]);
        let weight = draw::weight(row, mu_bits, model.weight_code().unwrap(), mu, level, random[each * i], up) as i32;
        if dropped[i % l.fan_in() % dropped.len()] { 0 } else { weight }
    });
    let biases = (0..layer.shape.channels).map(|c| {
        let accumulator = codes.weight_scales.get(c) as i32 + grid.log2_step;
        let scale = BiasScale::new(codes.bias_mu_scale(), codes.bias_sigma_top(), accumulator);
        let level = sigma
            .map_or(0, |sigma| sigma_level(pack::get(codes.bias_sigma, c, sigma.0).unwrap(), codes.bias_sigma_step()));
        scale.draw(codes.bias_mu[c] as i8, level, bias_noise[each * c]) as i64
    });
    (weights.collect(), biases.collect())
}

fn convolve(x: &[u8], from: Shape, grid: &Grid, w: &[i32], b: &[i64], layer: &Layer, l: &Linear) -> Vec<i32> {
    let mut out = Vec::new();
    for row in 0..layer.shape.rows {
        for column in 0..layer.shape.columns {
            for channel in 0..layer.shape.channels {
                let group = channel / (layer.shape.channels / l.groups);
                let mut sum = b[channel];
                for ky in 0..l.kernel_rows {
                    for kx in 0..l.kernel_columns {
                        let (y, x_) = (row * l.stride + ky, column * l.stride + kx);
                        if y < l.padding
                            || x_ < l.padding
                            || y - l.padding >= from.rows
                            || x_ - l.padding >= from.columns
                        {
                            continue;
                        }
                        for c in 0..l.group_inputs {
                            let at = ((y - l.padding) * from.columns + x_ - l.padding) * from.channels;
                            let number = x[at + group * l.group_inputs + c] as i64 - grid.zero as i64;
                            let k = (ky * l.kernel_columns + kx) * l.group_inputs + c;
                            sum += w[channel * l.fan_in() + k] as i64 * number;
                        }
                    }
                }
                out.push(i32::try_from(sum).unwrap());
            }
        }
    }
    out
}
