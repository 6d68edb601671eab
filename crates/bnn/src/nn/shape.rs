//! The shape of one image's activations.

use std::fmt;

/// Channels, rows, columns of one image. A flat vector has one row and one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels (or features).
    pub channels: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl Shape {
    /// `channels` features of one number each.
    pub fn flat(channels: usize) -> Self {
        Shape { channels, rows: 1, columns: 1 }
    }

    /// Numbers in all.
    pub fn len(self) -> usize {
        self.channels * self.rows * self.columns
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows == 1 && self.columns == 1 {
            write!(f, "{}", self.channels)
        } else {
            write!(f, "{}x{}x{}", self.channels, self.rows, self.columns)
        }
    }
}
