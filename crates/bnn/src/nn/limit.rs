//! How large networks, batches and predictions may be: the limits of `sizes`, and what a training holds.

use super::linear::Linear;
use super::network::{Network, Op};
use super::pass::BLOCK;
pub use super::sizes::{MAX_LAYERS, MAX_PARAMETERS, MAX_PROBABILITIES, MAX_TRAINING, MAX_VALUES, probabilities};
use super::sizes::{len, padded_len};
use crate::error::BnnError;

/// Numbers of each parameter that a training holds besides those of its blocks: mean, standard deviation, two of each for
/// the optimizer, the drawn weight and its gradients.
const PER_PARAMETER: u128 = 10;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{LayerSpec, NetworkSpec, OpSpec, Shape};

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
