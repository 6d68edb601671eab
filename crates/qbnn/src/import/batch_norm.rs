//! Batch normalisation with fixed statistics, folded into the linear layer before it.
//!
//! y = g (x - m) / sqrt(v + eps) + b is a factor s = g / sqrt(v + eps) and an offset for each output channel: means of the
//! weights are multiplied by s, standard deviations by |s|, and the mean of the bias becomes s (mu - m) + b. It is exact: a
//! Gaussian weight times a constant is Gaussian.

use super::assign::TorchLayer;
use super::found::BatchNorm;

/// The epsilon of PyTorch's, Keras's own is 1e-3.
pub const EPSILON: f64 = 1e-5;

/// Folds a batch normalisation into a layer of as many output channels.
///
/// # Errors
/// Sizes that differ, or a variance that is none.
pub(super) fn fold(layer: &mut TorchLayer, norm: &BatchNorm, epsilon: f64) -> Result<(), String> {
    let channels = layer.weight.shape.first().copied().unwrap_or(0);
    let BatchNorm { name, scale, offset, mean, variance } = norm;
    if [scale, offset, mean, variance].iter().any(|part| part.len() != channels) {
        return Err(format!("the batch normalisation {name} has not {channels} channels as {} has", layer.name));
    }
    let factors: Vec<f64> = scale.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    if let Some(found) = factors.iter().chain(offset).chain(mean).find(|x| !x.is_finite()) {
        return Err(format!(
            "the batch normalisation {name} gives {found}; save it after a training, and give its --bn-eps"
        ));
    }
    let row = layer.weight.mu.len() / channels.max(1);
    let each = |values: &mut [f64], factor: fn(f64) -> f64| {
        values
            .chunks_exact_mut(row.max(1))
            .zip(&factors)
            .for_each(|(row, s)| row.iter_mut().for_each(|x| *x *= factor(*s)));
    };
    each(&mut layer.weight.mu, |s| s);
    if let Some(sigma) = &mut layer.weight.sigma {
        each(sigma, f64::abs);
    }
    for (c, factor) in factors.iter().enumerate() {
        if let Some(mu) = layer.bias.mu.get_mut(c) {
            *mu = factor * (*mu - mean[c]) + offset[c];
        }
        if let Some(sigma) = layer.bias.sigma.as_mut().and_then(|sigma| sigma.get_mut(c)) {
            *sigma *= factor.abs();
        }
    }
    Ok(())
}
