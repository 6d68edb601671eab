//! How large networks, batches and predictions may be.
//!
//! Descriptions and files come from anyone, and every size in them becomes memory. Each is multiplied without overflow
//! and compared before anything is allocated; an error says what was found and the limit.

use super::linear::Linear;
use super::network::{Network, Op};
use super::pass::BLOCK;
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

/// Numbers of each parameter that a training holds besides those of its blocks: mean, standard deviation, two of each for
/// the optimizer, the drawn weight and its gradients.
const PER_PARAMETER: u128 = 10;

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

/// Whether a training with batches of so many pairs fits into [`MAX_TRAINING`].
///
/// # Errors
/// [`BnnError::Setting`] says how many numbers it would hold.
pub fn training(net: &Network, batch: usize) -> Result<(), BnnError> {
    let values: u128 = net.nodes.iter().map(|node| len(node.shape) + padded(&node.op)).sum();
    let values = values + len(net.input);
    let parameters = net.parameters() as u128;
    // Each block holds its values and their gradients, and a gradient of every parameter.
    let block = 2 * BLOCK as u128 * values + parameters;
    let blocks = batch.div_ceil(BLOCK) as u128;
    let found = blocks.saturating_mul(block).saturating_add(PER_PARAMETER * parameters);
    if found <= MAX_TRAINING as u128 {
        return Ok(());
    }
    let wanted = format!(
        "a step with {} ({parameters} parameters, {values} numbers an image) would hold {found} floats, wanted at most \
         {MAX_TRAINING}: lower the batch, or make the network smaller",
        net.spec.name
    );
    Err(BnnError::setting("batch", batch, wanted))
}

/// Numbers of a convolution's padded input.
fn padded(op: &Op) -> u128 {
    match op {
        Op::Linear { map: Linear::Conv(c), .. } if c.padding > 0 => padded_len(c.input, c.padding),
        _ => 0,
    }
}

/// Numbers of an input with so many zeros around it.
pub(crate) fn padded_len(input: Shape, padding: usize) -> u128 {
    let side = |side: usize| side.saturating_add(padding.saturating_mul(2));
    product(&[input.channels, side(input.rows), side(input.columns)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{LayerSpec, NetworkSpec, OpSpec};

    const IMAGE: Shape = Shape { channels: 1, rows: 28, columns: 28 };

    fn conv(out: usize, kernel: usize, padding: usize) -> OpSpec {
        OpSpec::Conv { out, kernel, stride: 1, padding, groups: 1 }
    }

    fn build(input: Shape, ops: &[OpSpec]) -> Result<Network, BnnError> {
        let layers = ops.iter().map(|op| LayerSpec { name: None, input: None, op: op.clone() }).collect();
        Network::new(&NetworkSpec { name: "n".into(), layers }, input, 10)
    }

    #[test]
    fn no_size_of_a_layer_overflows_or_passes_its_limit() {
        let end = OpSpec::Dense { out: 10 };
        let huge = [1_000_000, 1_000_000_000, usize::MAX / 2, usize::MAX];
        for n in huge {
            for op in [OpSpec::Dense { out: n }, conv(n, 3, 0), conv(4, 3, n), conv(n, 1, n)] {
                let error = build(IMAGE, &[op.clone(), end.clone()]).unwrap_err().to_string();
                assert!(error.contains("wanted at most") && error.contains("layer"), "{op:?}: {error}");
            }
            let input = Shape { channels: n, rows: n, columns: n };
            assert!(build(input, std::slice::from_ref(&end)).unwrap_err().to_string().contains("wanted at most"));
        }
        // Each layer alone is small enough, all together are not.
        let wide = [vec![OpSpec::Dense { out: 4000 }; 3], vec![end.clone()]].concat();
        assert!(build(IMAGE, &wide).unwrap_err().to_string().contains(&MAX_PARAMETERS.to_string()));
        let deep = [vec![conv(400, 3, 1); 4], vec![end.clone()]].concat();
        assert!(build(IMAGE, &deep).unwrap_err().to_string().contains(&MAX_VALUES.to_string()));
        let long = [vec![OpSpec::Flatten; MAX_LAYERS], vec![end]].concat();
        assert!(build(IMAGE, &long).unwrap_err().to_string().contains("1001"));
    }

    #[test]
    fn batches_and_predictions_have_limits() {
        let spec = NetworkSpec::named("lenet5", 10).unwrap();
        let net = Network::new(&spec, IMAGE, 10).unwrap();
        assert!(training(&net, 4096).is_ok());
        for batch in [1_000_000, usize::MAX] {
            let error = training(&net, batch).unwrap_err().to_string();
            assert!(error.contains(&format!("batch = {batch}")) && error.contains("268435456"), "{error}");
        }
        assert_eq!(probabilities(32, 26_000, 10).unwrap(), 8_320_000);
        for samples in [1_000_000_000, usize::MAX] {
            let error = probabilities(samples, 26_000, 10).unwrap_err().to_string();
            assert!(error.contains("lower it to 516"), "{error}");
        }
    }
}
