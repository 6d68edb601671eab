//! Images as everything here has them: 8-bit values, channels last.

use qbnn_core::{ImagesView, Shape};

/// 8-bit images, row-major, one after the other; within an image height x width x channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Rows of an image, at least 1.
    pub height: usize,
    /// Columns of an image, at least 1.
    pub width: usize,
    /// Values per pixel: 1 is grey, 3 is red, green, blue.
    pub channels: usize,
    /// All values; 0 is the background, 255 full ink.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Values of one image: height x width x channels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Shape of one image.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape { channels: self.channels, rows: self.height, columns: self.width }
    }

    /// All images, borrowed.
    #[must_use]
    pub fn view(&self) -> ImagesView<'_> {
        ImagesView { shape: self.shape(), pixels: &self.pixels }
    }

    /// Number of whole images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pixels.len().checked_div(self.size()).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of image `i`, counted from 0, or `None` beyond the last.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let size = self.size();
        self.pixels.get(i.checked_mul(size)?..i.checked_add(1)?.checked_mul(size)?)
    }

    /// The images at these places, in this order; places beyond the last are left out.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(places.len().saturating_mul(self.size()));
        places.iter().filter_map(|&i| self.get(i)).for_each(|image| pixels.extend_from_slice(image));
        Self { pixels, ..*self }
    }

    /// The same with rows for columns.
    #[must_use]
    pub(crate) fn transposed(&self) -> Self {
        let &Self { height, width, channels, .. } = self;
        let turned = |image: &[u8]| -> Vec<u8> {
            let places = (0..width).flat_map(|row| (0..height).map(move |column| (column * width + row) * channels));
            places.flat_map(|at| image[at..at + channels].iter().copied()).collect()
        };
        let pixels = self.pixels.chunks_exact(self.size().max(1)).flat_map(turned).collect();
        Self { height: width, width: height, channels, pixels }
    }

    /// Takes the images from place `at` on away.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        Self { pixels: self.pixels.split_off(at * self.size()), ..*self }
    }

    /// "height x width x channels".
    pub(crate) fn describe(&self) -> String {
        format!("{} x {} x {}", self.height, self.width, self.channels)
    }

    /// The same in three channels; what has three stays as it is.
    #[must_use]
    pub fn with_colour(&self) -> Self {
        if self.channels != 1 {
            return self.clone();
        }
        Self { channels: 3, pixels: self.pixels.iter().flat_map(|&v| [v; 3]).collect(), ..*self }
    }
}
