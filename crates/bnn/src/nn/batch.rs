//! What the blocks of a batch give together.
//!
//! Convolutions and biases are few: each block has written its own gradient, and here they are summed. The weights of
//! dense layers are many, and a gradient of each for every block would cost more memory traffic than arithmetic: they
//! are taken over all images of the batch at once, their rows shared among the threads. Every sum is one thread's and
//! runs over the blocks in order, so that the number of threads changes no bit.

use super::linear::{Linear, dense_weights};
use super::network::{Network, Op};
use super::pass::{Gradient, Workspace};
use crate::math::add;
use rayon::prelude::*;
use std::ops::Range;

/// A stretch of the batch's gradient, and where it comes from.
enum Job<'a> {
    /// The sum of what the blocks wrote in a range.
    Sum { range: Range<usize>, second: bool, into: &'a mut [f32] },
    /// Rows of a dense layer's weights.
    Dense { node: usize, inputs: usize, rows: Range<usize>, second: bool, into: &'a mut [f32] },
}

/// The gradient of a batch: `blocks` have run backward, and written their gradients. Overwrites `batch`, whose lengths
/// must be right.
pub fn batch_gradient(net: &Network, blocks: &[(&Workspace, &Gradient)], batch: &mut Gradient) {
    batch.activations.fill(0.0);
    for (_, block) in blocks {
        add(&mut batch.activations, &block.activations);
    }
    let mut jobs = Vec::new();
    split(net, &mut batch.first, false, &mut jobs);
    if !batch.second.is_empty() {
        split(net, &mut batch.second, true, &mut jobs);
    }
    jobs.into_par_iter().for_each(|job| match job {
        Job::Sum { range, second, into } => {
            for (i, (_, block)) in blocks.iter().enumerate() {
                let from = &if second { &block.second } else { &block.first }[range.clone()];
                if i == 0 { into.copy_from_slice(from) } else { add(into, from) }
            }
        }
        Job::Dense { node, inputs, rows, second, into } => {
            let products: Vec<_> = blocks.iter().map(|(workspace, _)| workspace.product(node, second)).collect();
            dense_weights(inputs, rows, &products, into);
        }
    });
}

/// Cuts a flat gradient into jobs.
fn split<'a>(net: &Network, mut rest: &'a mut [f32], second: bool, jobs: &mut Vec<Job<'a>>) {
    let mut take = |len: usize| {
        let (part, left) = std::mem::take(&mut rest).split_at_mut(len);
        rest = left;
        part
    };
    for (node, layer) in net.nodes.iter().enumerate() {
        let Op::Linear { map, weight, bias } = &layer.op else { continue };
        let (weight, bias) = (net.tensors[*weight].range.clone(), net.tensors[*bias].range.clone());
        match map {
            Linear::Dense { inputs, outputs } => {
                let share = outputs.div_ceil(rayon::current_num_threads()).next_multiple_of(6);
                for first in (0..*outputs).step_by(share) {
                    let rows = first..(first + share).min(*outputs);
                    let into = take(rows.len() * inputs);
                    jobs.push(Job::Dense { node, inputs: *inputs, rows, second, into });
                }
            }
            Linear::Conv(_) => jobs.push(Job::Sum { into: take(weight.len()), range: weight, second }),
        }
        jobs.push(Job::Sum { into: take(bias.len()), range: bias, second });
    }
}
