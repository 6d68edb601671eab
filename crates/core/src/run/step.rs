//! What each layer has become, with everything about it that running asks for.

use crate::kernel::{LANES, Runs, VECTOR};
use crate::model::{Activation, Grid, Linear, Pool, Shape};

/// What one layer has become. The content is the runtime's own affair; the memory is the caller's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    pub(super) action: Action,
    pub(super) output: Value,
}

#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "there is no allocator to put the large one elsewhere")]
pub(super) enum Action {
    /// Done by a step before it.
    #[default]
    Fused,
    Linear(LinearStep),
    Pool {
        input: usize,
        pool: Pool,
    },
    Activate {
        input: usize,
        activation: Activation,
    },
    Add {
        input: usize,
        other: usize,
    },
}

/// Where the images of a draw lie among those of the draws that run side by side: number of the first image.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DrawOffset {
    /// In values of which every draw of a round has a copy.
    pub round: usize,
    /// In all others.
    pub wave: usize,
}

/// Where one value of a block of images lies: bytes of codes, or words of wide numbers, `[image][row][column][channel]`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Value {
    pub shape: Shape,
    /// `None`: wide.
    pub grid: Option<Grid>,
    /// Rows and columns of zeros on each side.
    pub border: usize,
    /// Where it begins.
    pub base: usize,
    /// How many draws have one of their own at a time (1, or those that share strips).
    pub copies: usize,
}

impl Value {
    /// Numbers between rows.
    pub fn row_pitch(&self) -> usize {
        (self.shape.columns + 2 * self.border) * self.shape.channels
    }

    /// Numbers of one image.
    pub fn image(&self) -> usize {
        (self.shape.rows + 2 * self.border) * self.row_pitch()
    }

    /// Where row 0, column 0 lies within an image.
    pub fn first(&self) -> usize {
        self.border * (self.row_pitch() + self.shape.channels)
    }

    /// Where the images of a draw begin among the values of a block.
    pub fn of(&self, offset: DrawOffset) -> usize {
        self.base + self.image() * if self.copies > 1 { offset.round } else { offset.wave }
    }
}

/// A linear layer with what was fused to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinearStep {
    pub layer: usize,
    pub linear: Linear,
    /// Number of the weights' noise tensor; the bias has the next.
    pub tensor: u32,
    pub input: usize,
    /// Index of the step whose output value it writes.
    pub output: usize,
    pub channels: usize,
    /// Rows, columns of outputs before a fused pool.
    pub rows: usize,
    pub columns: usize,
    /// The activation, if it is fused.
    pub activation: Option<Activation>,
    /// The fused pool's stride; windows of 2x2.
    pub pool: Option<usize>,
    /// Draws that share strips: more than 1 only where the image is read.
    pub shared: usize,
    pub runs: Runs,
    /// Weights of a row that belong to each run.
    pub run_len: usize,
    /// Strips of one group of channels, all shared draws included.
    pub strips: usize,
    /// Where its strips and starts lie among the drawn weights (of a draw, or of all draws that share them).
    pub weights: usize,
    pub starts: usize,
    /// Where the patches of a block's images lie, if it reads the image.
    pub patches: usize,
    pub shift: u32,
    /// Where its constants lie.
    pub at: ConstantsAt,
}

/// Where a linear step's constants lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConstantsAt {
    /// Two words for each channel: A and R, f.
    pub rows: usize,
    /// Four words for each channel: U, V.
    pub biases: usize,
    /// T of the weights' sigma codes, then of the biases'.
    pub levels: usize,
    /// One word for each lane.
    pub multipliers: usize,
    /// The same, for sums below zero; 0 where there are none.
    pub negative: usize,
    /// Origins of the windows.
    pub origins: usize,
}

impl LinearStep {
    /// Whether the windows are whole images, so that a block's images are the windows of one product.
    pub fn whole(&self) -> bool {
        self.rows * self.columns == 1
    }

    /// Windows that share one output.
    pub fn pooled(&self) -> usize {
        if self.pool.is_some() { 4 } else { 1 }
    }

    /// Channels of one of the layer's groups.
    pub fn group_channels(&self) -> usize {
        self.channels / self.linear.groups
    }

    /// Lanes of all strips.
    pub fn lanes(&self) -> usize {
        self.linear.groups * self.strips * LANES
    }

    /// The channel that a lane (of one group) computes, and which of the draws that share the strips.
    pub fn channel(&self, group: usize, lane: usize) -> Option<(usize, usize)> {
        let channels = self.group_channels();
        let (draw, channel) = (lane / channels, lane % channels);
        (draw < self.shared).then_some((draw, group * channels + channel))
    }

    /// Bytes of one strip.
    pub fn strip(&self) -> usize {
        self.runs.vectors() * VECTOR
    }

    /// Bytes of one window's patch, a whole number of fours.
    pub fn patch(&self) -> usize {
        (self.linear.kernel_rows * self.linear.kernel_columns * self.linear.group_inputs * self.linear.groups)
            .next_multiple_of(4)
    }

    /// Bytes of the patches of one image.
    pub fn image_patches(&self) -> u64 {
        (self.rows * self.columns) as u64 * self.patch() as u64
    }

    /// Windows of one product: of an image, or of a block.
    pub fn windows(&self, block: usize) -> usize {
        if self.whole() { block } else { self.outputs() * self.pooled() }
    }

    /// Outputs of each channel, after a fused pool.
    pub fn outputs(&self) -> usize {
        match self.pool {
            None => self.rows * self.columns,
            Some(stride) => ((self.rows - 2) / stride + 1) * ((self.columns - 2) / stride + 1),
        }
    }
}
