//! A growing buffer of floats that begins on a cache line.
//!
//! The allocator promises 16 bytes; a 64-byte vector at such an address lies across two cache lines, and every load of
//! one costs two. Runs of 32 floats from an aligned start never do.

use std::ops::{Deref, DerefMut};

/// Floats of a cache line.
const LINE: usize = 16;

/// Floats, the first at a multiple of 64 bytes.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    floats: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Makes it `len` long. What it holds is then unspecified (but initialised) if it grew, and kept otherwise.
    pub fn resize(&mut self, len: usize) {
        if self.floats.len() < len + LINE {
            self.floats = vec![0.0; len + LINE];
            // An offset past the spare line (never seen, but allowed by its contract) costs speed, not correctness.
            self.start = self.floats.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        }
        self.len = len;
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.floats[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_on_a_cache_line_and_keeps_what_it_holds_when_it_shrinks() {
        let mut buffer = Buffer::default();
        assert!(buffer.is_empty());
        for len in [5, 1000, 31] {
            buffer.resize(len);
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % 64), (len, 0));
            buffer.fill(len as f32);
        }
        buffer.resize(7);
        assert_eq!(*buffer, [31.0; 7]);
    }
}
