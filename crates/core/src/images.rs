//! Images as everything here reads them: 8 bits a value, channels last.

use crate::model::Shape;

/// Borrowed images, `[image][row][column][channel]`, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagesView<'a> {
    /// Shape of one.
    pub shape: Shape,
    /// All of them, one after the other.
    pub pixels: &'a [u8],
}

impl<'a> ImagesView<'a> {
    /// Number of whole images.
    pub fn len(&self) -> usize {
        self.pixels.len().checked_div(self.shape.len()).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One image.
    ///
    /// # Panics
    /// If there is no image `index`.
    pub fn get(&self, index: usize) -> &'a [u8] {
        &self.pixels[index * self.shape.len()..(index + 1) * self.shape.len()]
    }
}
