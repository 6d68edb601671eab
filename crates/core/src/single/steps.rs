//! One image through all steps under one draw, and the steps that are no sums of products.

use super::channel::{self, Channel};
use super::linear::{Input, LinearRun};
use super::place::{Fused, Place};
use super::row::Tensor;
use super::{Parts, Ready, Single};
use crate::draw;
use crate::model::{Grid, Layer, Op, Pool, Shape};
use crate::noise;
use crate::run::RunError;
use crate::run::execute::split_disjoint;
use crate::run::ops::{Dequantize, ToCodes, average_code, average_wide};
use core::ops::Range;

/// The numbers of a value: the image, or a stretch of the memory.
#[derive(Clone, Copy)]
struct Read<'v> {
    bytes: &'v [u8],
    /// Of codes; `None`: numbers of four bytes.
    grid: Option<Grid>,
}

impl Read<'_> {
    /// The wide number at a place.
    fn wide(&self, at: usize) -> i32 {
        match self.bytes.get(4 * at..4 * at + 4) {
            Some(&[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }
}

/// Writes the wide number at a place.
fn put(bytes: &mut [u8], at: usize, number: i32) {
    if let Some(bytes) = bytes.get_mut(4 * at..4 * at + 4) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
}

impl Single<'_> {
    /// Where the output of a step that begins with a layer lies, and its number.
    fn output(&self, index: usize) -> (usize, Range<usize>) {
        let place: &Place = &self.places[index];
        let value = index + place.span as usize;
        (value, place.offset..place.offset + self.bytes_of(value))
    }

    fn bytes_of(&self, value: usize) -> usize {
        self.model.shape_of(value).len() * if self.model.grid_of(value).is_some() { 1 } else { 4 }
    }

    /// Where a value lies that some step wrote.
    fn range(&self, value: usize) -> Range<usize> {
        let written = (0..value).rev().find(|&i| self.places[i].span > 0);
        written.map_or(0..0, |index| self.output(index).1)
    }
}

impl Ready<'_, '_> {
    /// Works out the constants of all layers.
    pub(super) fn hold_constants(&mut self) {
        let single = self.single;
        let model = &single.model;
        let mut rest = &mut self.memory.constants[..];
        for (index, layer) in model.iter().enumerate().filter(|(_, l)| matches!(l.op, Op::Linear(_))) {
            let Some((codes, input)) = model.codes(&layer).zip(model.grid_of(layer.input)) else { continue };
            let (levels, channels) = rest.split_at_mut(single.levels);
            let (channels, later) = channels.split_at_mut(channel::BYTES * layer.shape.channels);
            channel::write_levels(&codes, levels);
            let fused = Fused::at(model, index, &single.places[index]);
            for (i, bytes) in channels.as_chunks_mut().0.iter_mut().enumerate() {
                *bytes = Channel::new(model, &codes, input, &fused, i).to_bytes();
            }
            rest = later;
        }
    }

    /// Runs all steps.
    pub(super) fn run(&mut self, image: &[u8], seed: u64, draw: u32) -> Result<(), RunError> {
        let single = self.single;
        let model = single.model;
        let (found, each) = (image.len(), model.input().len());
        if found != each {
            return Err(RunError::Images { found, each });
        }
        let (mut tensor, mut constants) = (0, 0);
        for (index, layer) in model.iter().enumerate() {
            let at = constants;
            if matches!(layer.op, Op::Linear(_)) {
                constants += single.levels + channel::BYTES * layer.shape.channels;
            }
            if single.places[index].span == 0 {
                continue;
            }
            let (value, output) = single.output(index);
            match layer.op {
                Op::Linear(_) => {
                    self.linear(index, &layer, image, (seed, draw, tensor), at);
                    tensor += 2;
                }
                Op::Pool(pool) => {
                    let shape = model.shape_of(layer.input);
                    self.with(image, layer.input, output, |x, y| pooled(&pool, (shape, x), (layer.shape, y)));
                }
                Op::Activation(a) => {
                    let Some(grid) = model.grid_of(value) else { continue };
                    let rule = ToCodes::new(&a, grid);
                    self.with(image, layer.input, output, |x, y| {
                        y.iter_mut().enumerate().for_each(|(i, y)| *y = rule.code(x.wide(i)));
                    });
                }
                Op::Add { other } => {
                    for (which, input) in [layer.input, other].into_iter().enumerate() {
                        self.with(image, input, output.clone(), |x, y| add(which == 0, x, y));
                    }
                }
            }
        }
        Ok(())
    }

    /// Logits of the last run.
    pub(super) fn last(&self) -> impl Iterator<Item = i32> + Clone {
        let range = self.single.range(self.single.model.layers());
        let bytes = self.memory.values.get(range).unwrap_or(&[]);
        bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b))
    }

    /// A value to read and the stretch to write beside it.
    fn with(&mut self, image: &[u8], input: usize, output: Range<usize>, each: impl FnOnce(Read<'_>, &mut [u8])) {
        let grid = self.single.model.grid_of(input);
        if input == 0 {
            return each(Read { bytes: image, grid }, &mut self.memory.values[output]);
        }
        let (bytes, out) = split_disjoint(self.memory.values, self.single.range(input), output);
        each(Read { bytes, grid }, out);
    }

    /// A linear layer and what runs with it. `at`: where its constants lie, if they are held.
    fn linear(&mut self, index: usize, layer: &Layer, image: &[u8], (seed, draw, tensor): (u64, u32, u32), at: usize) {
        let single = self.single;
        let (model, place) = (&single.model, &single.places[index]);
        let Op::Linear(linear) = layer.op else { return };
        let parts = (model.codes(layer), model.grid_of(layer.input), model.mu_bits(), model.weight_code());
        // A checked model has all of them.
        let (Some(codes), Some(input_grid), Some(mu_bits), Some(grid)) = parts else { return };
        let fused = Fused::at(model, index, place);
        let (value, output) = single.output(index);
        let shape = model.shape_of(layer.input);
        let Parts { constants, levels, row, values } = &mut self.memory;
        let held = constants.get(at..at + single.levels + channel::BYTES * layer.shape.channels);
        let (levels, channels) = match held {
            Some(held) => {
                let (levels, channels) = held.split_at(single.levels);
                (levels, Some(channels.as_chunks().0))
            }
            None => {
                channel::write_levels(&codes, levels);
                (&levels[..], None)
            }
        };
        let tensor = Tensor {
            codes,
            mu_bits,
            sigma_bits: model.sigma_code().map(|sigma| sigma.0),
            levels,
            grid,
            rounding: model.rounding(),
            key: noise::key(seed),
            tensor,
            draw,
        };
        let dropped = if tensor.tensor > 0 { model.posterior().dropped() } else { 0 };
        let units = draw::units(&linear, shape);
        let row = &mut row[..linear.fan_in()];
        let (x, out) = match layer.input {
            0 => (image, &mut values[output]),
            input => split_disjoint(values, single.range(input), output),
        };
        for index in 0..layer.shape.channels {
            let constants = match channels.and_then(|c| c.get(index)) {
                Some(bytes) => Channel::of_bytes(bytes),
                None => Channel::new(model, &codes, input_grid, &fused, index),
            };
            let mut sum = tensor.weights(&constants, index, row);
            if dropped > 0 {
                sum = tensor.drop_units(units, dropped, row);
            }
            let run = LinearRun {
                linear,
                input: Input { bytes: x, shape, zero: input_grid.zero },
                weights: row,
                weight_sum: sum,
                bias: tensor.bias(&constants, index),
                channel: index,
                shape: layer.shape,
            };
            run.outputs(&fused, &constants, model.grid_of(value), out);
        }
    }
}

fn pooled(pool: &Pool, (from, x): (Shape, Read<'_>), (to, y): (Shape, &mut [u8])) {
    let windows = pool.size * pool.size;
    for i in 0..to.len() {
        let (place, channel) = (i / to.channels, i % to.channels);
        let (row, column) = (place / to.columns * pool.stride, place % to.columns * pool.stride);
        let inputs = (0..windows).map(|k| {
            let (row, column) = (row + k / pool.size, column + k % pool.size);
            (row * from.columns + column) * from.channels + channel
        });
        match x.grid {
            Some(grid) => {
                let codes = inputs.map(|at| x.bytes[at]);
                y[i] = if pool.max {
                    codes.max().unwrap_or(0)
                } else {
                    average_code(codes.map(u64::from).sum(), windows as u64, grid.bits)
                };
            }
            None => {
                let numbers = inputs.map(|at| x.wide(at));
                let number = if pool.max {
                    numbers.max().unwrap_or(0)
                } else {
                    average_wide(numbers.map(i64::from).sum(), windows as i64)
                };
                put(y, i, number);
            }
        }
    }
}

/// Writes a value as wide numbers, or adds it to those that are there.
fn add(first: bool, x: Read<'_>, y: &mut [u8]) {
    let rule = x.grid.map(Dequantize::new);
    for i in 0..y.len() / 4 {
        let number = rule.map_or_else(|| x.wide(i), |rule| rule.wide(x.bytes[i]));
        let before = Read { bytes: y, grid: None }.wide(i);
        put(y, i, if first { number } else { before.saturating_add(number) });
    }
}
