//! Where the numbers of a network's values lie in a model file.
//!
//! Here an image's numbers lie channel by channel, and flattening only renames them. A file has them as
//! `[row][column][channel]`, and no layer that flattens: there a flattened value still has the rows and columns that it
//! had before, and so has everything that is made of it number by number. Whatever reads such a value must follow.

use crate::nn::linear::Linear;
use crate::nn::network::{Node, Op};
use crate::nn::{Network, Shape};

/// The shape that a value has in a file: its own, or the one that it had before it was flattened. In both its numbers
/// are the same, read channel by channel.
pub fn file_shape(net: &Network, value: usize) -> Shape {
    let mut value = value;
    loop {
        let Some(node) = value.checked_sub(1).map(|i| &net.nodes[i]) else { return net.input };
        value = match &node.op {
            Op::Flatten | Op::Activation { .. } | Op::Add { .. } => node.input,
            // A window of one number over a flat value.
            Op::Pool(pool) if is_flat(pool.input) => node.input,
            Op::Pool(_) | Op::Linear { .. } => return node.shape,
        };
    }
}

/// Whether a shape has one number of each channel.
pub fn is_flat(shape: Shape) -> bool {
    shape.rows == 1 && shape.columns == 1
}

/// For each place of a weight tensor in a file its index in the tensor here, `[channel][input channel][row][column]`.
///
/// A dense layer that reads rows and columns is a convolution of one window. Of other nodes the order is empty.
pub fn file_order(net: &Network, node: &Node) -> Vec<usize> {
    let Op::Linear { map, .. } = &node.op else { return Vec::new() };
    let from = file_shape(net, node.input);
    let (inputs, area) = match map {
        Linear::Conv(c) if c.input == from => (c.input.channels / c.groups, c.kernel * c.kernel),
        Linear::Conv(_) | Linear::Dense { .. } => (from.channels, from.rows * from.columns),
    };
    let row = inputs * area;
    let place = |i: usize| i / row * row + i % row % inputs * area + i % row / inputs;
    (0..map.channels() * row).map(place).collect()
}
