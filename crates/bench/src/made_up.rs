//! Made-up images and labels: what is in them does not change the time.

use qbnn_bnn::{ImagesView, Shape, TrainData};

/// Number of the images.
pub const IMAGES: u32 = 1024;

/// Images and as many training pairs as steps will want.
pub struct MadeUp {
    shape: Shape,
    pixels: Vec<u8>,
    pairs: Vec<(u32, u16)>,
}

impl MadeUp {
    /// Images of a shape, in ten classes.
    pub fn new(shape: Shape, pairs: usize) -> Self {
        let bytes = IMAGES * shape.len() as u32;
        let pixels = (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        MadeUp { shape, pixels, pairs: (0..pairs as u32).map(|i| (i % IMAGES, (i % 10) as u16)).collect() }
    }

    /// The images.
    pub fn images(&self) -> ImagesView<'_> {
        ImagesView { shape: self.shape, pixels: &self.pixels }
    }

    /// The pairs, as training takes them; there is no validation set.
    pub fn data(&self) -> TrainData<'_> {
        let none = ImagesView { shape: self.shape, pixels: &[] };
        TrainData { noise: 0.05, ..TrainData::of_pairs(self.images(), &self.pairs, none, &[]) }
    }
}
