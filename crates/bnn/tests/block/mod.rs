//! A few images in a block of 32: how the tests of the layers feed a pass, and read what it gives.
#![allow(dead_code, reason = "each test file uses a part of it")]

use qbnn_bnn::Network;
use qbnn_bnn::internals::nn::batch::batch_gradient;
use qbnn_bnn::internals::nn::buffer::Buffer;
use qbnn_bnn::internals::nn::linear::transpose;
use qbnn_bnn::internals::nn::pass::{BLOCK, FloatActivations, Gradient, WeightSample, Workspace};

/// `[feature][image]` of `batch` images as `[feature][image]` of a block, zeros for the others.
pub fn widen(values: &[f32], batch: usize) -> Vec<f32> {
    let row = |values: &[f32]| (0..BLOCK).map(|n| values.get(n).copied().unwrap_or(0.0)).collect::<Vec<f32>>();
    values.chunks_exact(batch).flat_map(row).collect()
}

/// The first `batch` images of a block.
pub fn narrow<T: Copy>(values: &[T], batch: usize) -> Vec<T> {
    values.chunks_exact(BLOCK).flat_map(|row| row[..batch].iter().copied()).collect()
}

/// Puts `batch` images into a workspace.
pub fn feed(workspace: &mut Workspace, net: &Network, x: &[f32], batch: usize) {
    let input = workspace.input(net);
    input.input.copy_from_slice(&widen(x, batch));
    if let Some(transposed) = input.transposed {
        let mut buffer = Buffer::default();
        transpose(&widen(x, batch), &mut buffer);
        transposed.copy_from_slice(&buffer);
    }
}

/// Logits of `batch` images, `[class][image]`.
pub fn logits(workspace: &mut Workspace, net: &Network, weights: WeightSample, x: &[f32], batch: usize) -> Vec<f32> {
    feed(workspace, net, x, batch);
    workspace.forward(net, weights, &FloatActivations);
    narrow(workspace.logits(net), batch)
}

/// The gradient of the block that went forward last, under the logits' gradient `[class][image]`.
pub fn gradient(
    workspace: &mut Workspace,
    net: &Network,
    weights: WeightSample,
    upstream: &[f32],
    batch: usize,
) -> Gradient {
    // What a pass overwrites may hold anything.
    let mut block = Gradient { first: vec![f32::NAN; 3], ..Gradient::default() };
    block.reset(net.parameters(), weights.second(), 0);
    block.first.fill(f32::NAN);
    block.second.fill(f32::NAN);
    let mut all = block.clone();
    workspace.backward(net, weights, &FloatActivations, &widen(upstream, batch), &mut block);
    batch_gradient(net, &[(workspace, &block)], &mut all);
    all
}
