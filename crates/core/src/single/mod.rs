//! One image in the least memory: for processors with a few kilobytes.
//!
//! [`run`](crate::run) takes images in blocks, and holds a strip of weights with their moments and a value of every step for
//! all of them. Here one image passes under one draw at a time. A linear layer works channel by channel: it draws one row of
//! weights, and computes the channel's outputs with it. Besides the model and the image, memory holds the values that are still
//! to be read (in a chain of layers: a layer's input and output), one row of weights, and, if the caller gives room for them,
//! the constants that scales stand for.
//!
//! The logits are those of [`run`](crate::run) to the bit: both follow the rules of [`draw`](crate::draw) and
//! [`fixed`](crate::fixed), with the same fusion of layers.
//!
//! ```
//! # fn demo(file: &[u8], image: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! use qbnn_core::{model::Model, single::{Place, Single}};
//! let model = Model::new(file)?;
//! let mut places = vec![Place::default(); model.layers()];
//! let single = Single::new(model, &mut places)?;
//! let mut memory = vec![0; single.most()];
//! let mut probabilities = vec![0; model.classes()];
//! let answer = single.prepare(&mut memory)?.classify(image, 0..32, 7, &mut probabilities)?;
//! assert!(answer.class < model.classes());
//! # Ok(()) }
//! ```

mod channel;
mod linear;
mod place;
mod row;
mod steps;

pub use place::Place;

use crate::model::{Kind, Model, Op};
use crate::run::RunError;
use crate::uncertainty::{Accumulator, Uncertainty};
use core::ops::Range;

/// What runs a model on one image at a time.
#[derive(Clone, Copy, Debug)]
pub struct Single<'a> {
    model: Model<'a>,
    places: &'a [Place],
    /// Bytes of the values, of a row of weights, and of the levels of sigma of the layer that has most.
    values: usize,
    row: usize,
    levels: usize,
    /// Bytes of the constants of all layers.
    constants: usize,
}

/// A [`Single`] with its memory.
#[derive(Debug)]
pub struct Ready<'a, 'm> {
    single: Single<'a>,
    memory: Parts<'m>,
}

/// The parts of the memory.
#[derive(Debug)]
struct Parts<'m> {
    /// Constants of all layers, one after the other; empty where they are worked out anew each time.
    constants: &'m mut [u8],
    /// Levels of sigma of a layer whose constants are not held.
    levels: &'m mut [u8],
    /// A drawn row of weights, as the bytes of signed numbers.
    row: &'m mut [u8],
    values: &'m mut [u8],
}

/// What a model says of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The most probable class; of equal ones the first.
    pub class: usize,
    /// In nats with [`FRACTION_BITS`](crate::uncertainty::FRACTION_BITS).
    pub uncertainty: Uncertainty,
}

impl<'a> Single<'a> {
    /// Works out what runs and where everything lies. `places` must be as many as [`Model::layers`].
    ///
    /// # Errors
    /// [`RunError::Kind`] of a model that does not run on codes alone, [`RunError::Memory`] of too few places,
    /// [`RunError::Layers`] of a model with more than [`Single::LAYER_LIMIT`] layers, [`RunError::TooLarge`] of one whose
    /// values this processor cannot address.
    pub fn new(model: Model<'a>, places: &'a mut [Place]) -> Result<Self, RunError> {
        if model.kind() != Kind::Jq {
            return Err(RunError::Kind(model.kind()));
        }
        let (found, wanted) = (places.len(), model.layers());
        let places =
            places.get_mut(..wanted).ok_or(RunError::Memory { what: "places (Model::layers)", found, wanted })?;
        if wanted > Self::LAYER_LIMIT {
            return Err(RunError::Layers { found: wanted, limit: Self::LAYER_LIMIT });
        }
        place::fuse(&model, places);
        let values = place::arrange(&model, places)?;
        let (mut row, mut levels, mut constants) = (0, 0, 0u64);
        for layer in model.iter() {
            if let Op::Linear(l) = layer.op {
                row = row.max(l.fan_in() as u64);
                levels = channel::levels_bytes(&model);
                constants += levels as u64 + channel::BYTES as u64 * layer.shape.channels as u64;
            }
        }
        let limit = isize::MAX as u64;
        let bytes = values + row + levels as u64 + constants;
        if bytes > limit {
            return Err(RunError::TooLarge { bytes, limit });
        }
        Ok(Single { model, places, values: values as usize, row: row as usize, levels, constants: constants as usize })
    }

    /// Most layers. Where values lie is looked up among all others, without memory to sort them.
    pub const LAYER_LIMIT: usize = 512;

    /// Bytes of memory without which it does not run. Constants are then worked out for every channel of every draw.
    pub const fn least(&self) -> usize {
        self.values + self.row + self.levels
    }

    /// Bytes of memory with which it holds all constants, and runs faster.
    pub const fn most(&self) -> usize {
        self.values + self.row + self.constants
    }

    /// The model.
    pub const fn model(&self) -> Model<'a> {
        self.model
    }

    /// Takes memory of any alignment: constants are held in it where it has [`Single::most`] bytes, and worked out otherwise.
    ///
    /// # Errors
    /// [`RunError::Memory`] if it has less than [`Single::least`] bytes.
    pub fn prepare<'m>(&self, memory: &'m mut [u8]) -> Result<Ready<'a, 'm>, RunError> {
        let (found, wanted) = (memory.len(), self.least());
        if found < wanted {
            return Err(RunError::Memory { what: "bytes of memory (Single::least)", found, wanted });
        }
        let held = found >= self.most();
        let (values, rest) = memory.split_at_mut(self.values);
        let (row, rest) = rest.split_at_mut(self.row);
        let (constants, rest) = rest.split_at_mut(if held { self.constants } else { 0 });
        let levels = &mut rest[..if held { 0 } else { self.levels }];
        let mut ready = Ready { single: *self, memory: Parts { constants, levels, row, values } };
        if held {
            ready.hold_constants();
        }
        Ok(ready)
    }
}

impl Ready<'_, '_> {
    /// Logits of an image under a draw, one for each class, with 16 fraction bits. The image lies as
    /// `[row][column][channel]`, 8 bits each.
    ///
    /// # Errors
    /// [`RunError::Images`], [`RunError::Logits`] for other lengths than the model's.
    pub fn logits(&mut self, image: &[u8], seed: u64, draw: u32, out: &mut [i32]) -> Result<(), RunError> {
        let wanted = self.single.model.classes();
        if out.len() != wanted {
            return Err(RunError::Logits { found: out.len(), wanted: Some(wanted) });
        }
        self.run(image, seed, draw)?;
        out.iter_mut().zip(self.last()).for_each(|(out, logit)| *out = logit);
        Ok(())
    }

    /// What the model says of an image under some draws, and the mean probability of each class with 32 fraction bits.
    ///
    /// # Errors
    /// [`RunError::Images`], [`RunError::Logits`] for other lengths than the model's; [`RunError::NoDraws`].
    pub fn classify(
        &mut self,
        image: &[u8],
        draws: Range<u32>,
        seed: u64,
        probabilities: &mut [u64],
    ) -> Result<Answer, RunError> {
        let wanted = self.single.model.classes();
        if probabilities.len() != wanted {
            return Err(RunError::Logits { found: probabilities.len(), wanted: Some(wanted) });
        }
        if draws.is_empty() {
            return Err(RunError::NoDraws);
        }
        let mut all = Accumulator::new(probabilities);
        for draw in draws {
            self.run(image, seed, draw)?;
            all.add(self.last());
        }
        let uncertainty = all.finish();
        let mut class = 0;
        for (i, p) in probabilities.iter().enumerate() {
            if *p > probabilities[class] {
                class = i;
            }
        }
        Ok(Answer { class, uncertainty })
    }
}
