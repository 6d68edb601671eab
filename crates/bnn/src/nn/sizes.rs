//! Sizes of networks and predictions, and their limits.
//!
//! Descriptions and files come from anyone, and every size in them becomes memory. Each is multiplied without overflow
//! and compared before anything is allocated; an error says what was found and the limit.

use crate::error::BnnError;
use qbnn_core::Shape;

/// Layers of a network.
pub const MAX_LAYERS: usize = 1000;

/// Weights and biases of a network: with gradients and the state of the optimizer about 1 GiB.
pub const MAX_PARAMETERS: usize = 1 << 24;

/// Numbers of one image: outputs of all layers, and the inputs of convolutions with their padding. A thread holds them
/// for a block of images, 256 MiB.
pub const MAX_VALUES: usize = 1 << 21;

/// Floats that a step of training holds: 1 GiB.
pub const MAX_TRAINING: usize = 1 << 28;

/// Probabilities of a prediction, over draws, images and classes: 512 MiB.
pub const MAX_PROBABILITIES: usize = 1 << 27;

/// A product of sizes; one that is too large even for 128 bits is the largest number.
pub(crate) fn product(sizes: &[usize]) -> u128 {
    sizes.iter().fold(1, |product: u128, &size| product.saturating_mul(size as u128))
}

/// Numbers of a shape.
pub(crate) fn len(shape: Shape) -> u128 {
    product(&[shape.channels, shape.rows, shape.columns])
}

/// Refuses a count above its limit.
pub(crate) fn at_most(what: &str, found: u128, limit: usize) -> Result<(), String> {
    if found <= limit as u128 { Ok(()) } else { Err(format!("{what}: {found}, wanted at most {limit}")) }
}

/// Length of the probabilities of a prediction.
///
/// # Errors
/// [`BnnError::Setting`]: more than [`MAX_PROBABILITIES`].
pub fn probabilities(samples: usize, images: usize, classes: usize) -> Result<usize, BnnError> {
    let found = product(&[samples, images, classes]);
    if found <= MAX_PROBABILITIES as u128 {
        return Ok(found as usize);
    }
    let most = MAX_PROBABILITIES / images.saturating_mul(classes).max(1);
    let wanted = format!(
        "{samples} draws of {images} images and {classes} classes are {found} probabilities, wanted at most \
         {MAX_PROBABILITIES}: lower it to {most}, or predict fewer images"
    );
    Err(BnnError::setting("samples", samples, wanted))
}

/// Numbers of an input with so many zeros around it.
pub(crate) fn padded_len(input: Shape, padding: usize) -> u128 {
    let side = |side: usize| side.saturating_add(padding.saturating_mul(2));
    product(&[input.channels, side(input.rows), side(input.columns)])
}
