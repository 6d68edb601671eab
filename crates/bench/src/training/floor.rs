//! The floor of a training step: its bare matrix products.
//!
//! What a step cannot do without: the forward, weight-gradient and input-gradient product of every dense layer and
//! convolution (none for the image's gradient), by the general matrix product of the `gemm` crates, patches ready and
//! memory warm. It is taken twice, over all images of a thread at once and in the blocks that a step works in, and the
//! faster of the two counts. Local reparameterization and flipout have two of each.

use crate::gemm::{View, matmul};
use crate::median;
use qbnn_bnn::Network;
use qbnn_bnn::internals::nn::linear::Linear;
use qbnn_bnn::internals::nn::network::Op;
use qbnn_bnn::internals::nn::pass::BLOCK;
use rayon::prelude::*;
use std::time::Instant;

/// A product, done `groups` times over, and which side is transposed.
struct Product {
    groups: usize,
    rows: usize,
    columns: usize,
    inner: usize,
    right_transposed: bool,
}

/// The products of one step over `images` images.
fn products(net: &Network, images: usize) -> Vec<Product> {
    let mut out = Vec::new();
    for node in &net.nodes {
        let Op::Linear { map, .. } = &node.op else { continue };
        let (groups, channels) = match map {
            Linear::Dense { outputs, .. } => (1, *outputs),
            Linear::Conv(c) => (c.groups, c.output.channels / c.groups),
        };
        let (inner, columns) = (map.fan_in(), map.positions() * images);
        out.push(Product { groups, rows: channels, columns, inner, right_transposed: false });
        out.push(Product { groups, rows: channels, columns: inner, inner: columns, right_transposed: true });
        if node.input > 0 {
            out.push(Product { groups, rows: inner, columns, inner: channels, right_transposed: false });
        }
    }
    out
}

/// Memory of one thread's products.
#[derive(Default)]
struct Buffers([Vec<f32>; 3]);

impl Buffers {
    fn run(&mut self, list: &[Product]) {
        let [a, b, c] = &mut self.0;
        for p in list {
            let (m, n, k) = (p.rows, p.columns, p.inner);
            for (buffer, len) in [(&mut *a, m * k), (&mut *b, k * n), (&mut *c, m * n)] {
                if buffer.len() < len {
                    buffer.resize(len, 1e-3);
                }
            }
            let right = if p.right_transposed { View::rows(b, k).transposed() } else { View::rows(b, n) };
            for _ in 0..p.groups {
                matmul((m, n, k), View::rows(a, k), right, c, n, false);
            }
        }
    }
}

/// Measures the floor of `batch` images on the threads of the current pool.
pub struct Floor {
    /// Ways to cut the batch: a list of products for each thread's every turn.
    ways: Vec<(usize, Vec<Product>)>,
    buffers: Vec<Buffers>,
}

impl Floor {
    /// Of a network and a batch.
    pub fn new(net: &Network, batch: usize) -> Self {
        let threads = rayon::current_num_threads();
        let share = batch.div_ceil(threads);
        let whole = (1, products(net, share));
        let blocks = (share.div_ceil(BLOCK), products(net, BLOCK.min(share)));
        let buffers = (0..threads).map(|_| Buffers::default()).collect();
        let mut floor = Floor { ways: vec![whole, blocks], buffers };
        floor.seconds();
        floor
    }

    /// Seconds of the faster way, the median of a few.
    pub fn seconds(&mut self) -> f64 {
        const TIMES: usize = 5;
        let mut best = f64::INFINITY;
        for (turns, list) in &self.ways {
            let times = (0..TIMES).map(|_| {
                let start = Instant::now();
                self.buffers.par_iter_mut().for_each(|buffers| (0..*turns).for_each(|_| buffers.run(list)));
                start.elapsed().as_secs_f64()
            });
            best = best.min(median(times.collect()));
        }
        best
    }
}
