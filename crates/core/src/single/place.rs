//! Which layers run together, and where the value of each lies.
//!
//! A value lies in memory from the step that writes it to the last one that reads it. In a chain only a layer's input and output
//! do, and they take turns at the two ends of the memory: the largest sum of two neighbours is enough. A value that is read
//! again later, as by a sum that skips layers, keeps its place meanwhile.

use crate::model::{Activation, Model, Op};
use crate::run::RunError;
use crate::run::plan::{only_reader, reads, shift};

/// Where the output of a layer lies. The content is the runtime's own affair; the memory is the caller's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Where it begins among the values.
    pub(super) offset: usize,
    /// The last layer that reads it.
    pub(super) last: u16,
    /// Layers that this one runs, itself included; 0 for one that an earlier layer runs.
    pub(super) span: u8,
    /// The shift by which sums are rescaled, of a linear layer.
    pub(super) shift: u8,
}

/// A linear layer and what runs with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fused {
    pub activation: Option<Activation>,
    /// Stride of a 2x2 max-pool.
    pub pool: Option<usize>,
    pub shift: u32,
}

impl Fused {
    /// Of layer `index`, by its place.
    pub fn at(model: &Model<'_>, index: usize, place: &Place) -> Self {
        let op = |past: u8| (place.span > past).then(|| model.layer(index + past as usize).op);
        let activation = match op(1) {
            Some(Op::Activation(a)) => Some(a),
            _ => None,
        };
        let pool = match op(2) {
            Some(Op::Pool(p)) => Some(p.stride),
            _ => None,
        };
        Fused { activation, pool, shift: place.shift as u32 }
    }
}

/// Says of each layer whether it runs with the one before it: the rule of [`crate::run::Plan`], so that sums are rescaled once where
/// they are there.
pub(super) fn fuse(model: &Model<'_>, places: &mut [Place]) {
    let mut index = 0;
    while index < places.len() {
        let layer = model.layer(index);
        let mut place = Place { span: 1, ..Place::default() };
        if let Op::Linear(_) = layer.op {
            let activation = only_reader(model, index + 1).and_then(|next| match next.op {
                Op::Activation(a) => shift(model, &layer, a.log2_step as i32),
                _ => None,
            });
            let places = layer.shape.rows * layer.shape.columns;
            let pool = activation.and_then(|_| only_reader(model, index + 2)).is_some_and(|next| match next.op {
                Op::Pool(p) => p.max && p.size == 2 && p.stride >= 2 && places > 1,
                _ => false,
            });
            place.span += activation.is_some() as u8 + pool as u8;
            let wide = -(crate::fixed::WIDE_FRACTION_BITS as i32) * crate::fixed::OCTAVE;
            place.shift = activation.or_else(|| shift(model, &layer, wide)).unwrap_or(1) as u8;
        }
        let next = index + place.span as usize;
        places[index] = place;
        places[index + 1..next].fill(Place::default());
        index = next;
    }
}

/// Bytes of a value.
fn bytes(model: &Model<'_>, value: usize) -> u64 {
    model.shape_of(value).len() as u64 * if model.grid_of(value).is_some() { 1 } else { 4 }
}

/// Gives every value its place; returns the bytes that all of them take.
///
/// A value takes the end of the memory at which its step's input does not lie, if there is room, else the other end. Where
/// neither has room, it goes to the first gap, and the memory grows if there is none.
///
/// # Errors
/// [`RunError::TooLarge`] where this processor cannot address them.
pub(super) fn arrange(model: &Model<'_>, places: &mut [Place]) -> Result<u64, RunError> {
    // The value of a step is noted at its first layer; `value` is its number.
    let value = |index: usize, place: &Place| index + place.span as usize;
    for index in 0..places.len() {
        if places[index].span == 0 {
            continue;
        }
        let number = value(index, &places[index]);
        let last = (number..places.len()).rev().find(|&reader| reads(&model.layer(reader), number));
        // What nobody reads is the result, or was written for nothing: both stay.
        places[index].last = last.unwrap_or(places.len()) as u16;
    }
    // What the values of any one step take together.
    let mut most = 0u64;
    for at in (0..places.len()).filter(|&i| places[i].span > 0) {
        let live = (0..=at).filter(|&i| places[i].span > 0 && (i == at || places[i].last as usize >= at));
        most = most.max(live.map(|i| bytes(model, value(i, &places[i]))).sum());
    }
    let mut all = most;
    for at in 0..places.len() {
        if places[at].span == 0 {
            continue;
        }
        let len = bytes(model, value(at, &places[at]));
        let (before, rest) = places.split_at_mut(at);
        // The first byte behind what a stretch of `len` bytes from `offset` on would meet, and the first byte of that.
        let meets = |offset: u64| {
            let live = before.iter().enumerate().filter(|(_, p)| p.span > 0 && p.last as usize >= at);
            let ranges = live.map(|(i, p)| (p.offset as u64, p.offset as u64 + bytes(model, value(i, p))));
            ranges.filter(|&(first, end)| first < offset + len && offset < end).max_by_key(|&(_, end)| end)
        };
        let input = model.layer(at).input;
        let low = (0..at).rev().find(|&i| before[i].span > 0 && value(i, &before[i]) == input);
        let input_is_low = low.is_some_and(|i| before[i].offset == 0);
        let ends = [0, most - len.min(most)];
        let ends = if input_is_low { [ends[1], ends[0]] } else { ends };
        let free = ends.into_iter().find(|&offset| meets(offset).is_none());
        let offset = free.unwrap_or_else(|| {
            let mut offset = 0;
            while let Some((_, end)) = meets(offset) {
                offset = end;
            }
            offset
        });
        all = all.max(offset + len);
        let limit = isize::MAX as u64;
        if all > limit {
            return Err(RunError::TooLarge { bytes: all, limit });
        }
        rest[0].offset = offset as usize;
    }
    Ok(all)
}
