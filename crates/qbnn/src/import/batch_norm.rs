//! Batch normalisation with fixed statistics, folded into the linear layer before it or behind it.
//!
//! y = g (x - m) / sqrt(v + eps) + b is a factor s = g / sqrt(v + eps) and an offset for each channel. Behind a layer, means of
//! the weights are multiplied by s, standard deviations by |s|, and the mean of the bias becomes s (mu - m) + b. It is exact:
//! a Gaussian weight times a constant is Gaussian.
//!
//! Before a layer, the weights of each input are multiplied in the same way, and the offset t = b - s m becomes part of the
//! bias: its mean grows by the sum of mu t, its variance by that of sigma^2 t^2. Means and variances are exact; that the
//! bias would vary together with the weights is lost. The prior of what is multiplied is multiplied as well.

use super::assign::{DETERMINISTIC, Taking, TorchLayer};
use super::found::BatchNorm;

/// The epsilon of PyTorch's.
pub const EPSILON: f64 = 1e-5;
/// The epsilon of Keras's.
pub const EPSILON_OF_KERAS: f64 = 1e-3;

/// Factor and offset of each channel.
fn affine(norm: &BatchNorm, channels: usize, layer: &str, taking: &Taking) -> Result<Vec<(f64, f64)>, String> {
    let BatchNorm { name, scale, offset, mean, variance, epsilon } = norm;
    let epsilon = taking.batch_norm_epsilon.unwrap_or(*epsilon);
    if [scale, offset, mean, variance].iter().any(|part| part.len() != channels) {
        return Err(format!("the batch normalisation {name} has not {channels} channels as {layer} has"));
    }
    let of = |c: usize| {
        let factor = scale[c] / (variance[c] + epsilon).sqrt();
        (factor, offset[c] - factor * mean[c])
    };
    let all: Vec<(f64, f64)> = (0..channels).map(of).collect();
    match all.iter().flat_map(|&(s, t)| [s, t]).find(|x| !x.is_finite()) {
        None => Ok(all),
        Some(found) => Err(format!(
            "the batch normalisation {name} gives {found}; save it after a training, and give its --bn-eps"
        )),
    }
}

/// Folds a batch normalisation into the layer of as many output channels that stands directly before it.
///
/// # Errors
/// Sizes that differ, or a variance that is none.
pub(super) fn fold(layer: &mut TorchLayer, norm: &BatchNorm, taking: &Taking) -> Result<(), String> {
    let channels = layer.weight.shape.first().copied().unwrap_or(0);
    let affine = affine(norm, channels, &layer.name, taking)?;
    let row = (layer.weight.mu.len() / channels.max(1)).max(1);
    layer.weight.scale(|at| affine[at / row].0);
    layer.bias.scale(|at| affine[at].0);
    layer.bias.mu.iter_mut().zip(&affine).for_each(|(mu, (_, offset))| *mu += offset);
    Ok(())
}

/// Folds a batch normalisation into the layer that reads it, with `padding` zeros around. Gives what a person should know.
///
/// # Errors
/// Sizes that differ; zeros around a convolution's input, which would have to be another number; a convolution in groups.
pub(super) fn fold_before(
    layer: &mut TorchLayer,
    norm: &BatchNorm,
    padding: usize,
    taking: &Taking,
) -> Result<Option<String>, String> {
    let name = &norm.name;
    let shape = &layer.weight.shape;
    let (outputs, channels) = (shape.first().copied().unwrap_or(0).max(1), norm.mean.len());
    let row = layer.weight.mu.len() / outputs;
    let is_whole = if shape.len() == 2 { channels > 0 && row.is_multiple_of(channels) } else { shape[1] == channels };
    if !is_whole || row == 0 {
        return Err(format!(
            "the batch normalisation {name} has {channels} channels and stands before {} {shape:?}; it can only be folded \
             where every output reads every channel",
            layer.name
        ));
    }
    let affine = affine(norm, channels, &layer.name, taking)?;
    if padding > 0 && affine.iter().any(|(_, offset)| *offset != 0.0) {
        return Err(padded(&layer.name, name, &affine));
    }
    let of = |at: usize| affine[at % row / (row / channels)];
    let mut added = vec![(0.0, 0.0); outputs];
    for (at, mu) in layer.weight.mu.iter().enumerate() {
        let (_, offset) = of(at);
        let sigma = layer.weight.sigma.as_ref().map_or(0.0, |sigma| sigma[at]);
        added[at / row].0 += mu * offset;
        added[at / row].1 += (sigma * offset).powi(2);
    }
    layer.weight.scale(|at| of(at).0);
    layer.bias.mu.iter_mut().zip(&added).for_each(|(mu, (mean, _))| *mu += mean);
    let of_weights: f64 = added.iter().map(|(_, variance)| variance).sum();
    if of_weights == 0.0 {
        return Ok(None);
    }
    let sigma = layer.bias.sigma.take().unwrap_or_else(|| vec![0.0; outputs]);
    let before: f64 = sigma.iter().map(|s| s * s).sum();
    let both = sigma.iter().zip(&added).map(|(s, (_, variance))| (s * s + variance).sqrt().max(DETERMINISTIC));
    layer.bias.sigma = Some(both.collect());
    Ok(Some(format!(
        "the batch normalisation {name} before {} gives its biases {:.0} % of their variance; in the source that varies \
         together with the weights, here by itself",
        layer.name,
        100.0 * of_weights / (of_weights + before)
    )))
}

/// Why one before a convolution with zeros around is refused.
fn padded(layer: &str, name: &str, affine: &[(f64, f64)]) -> String {
    let fix = match affine {
        // (x - mean) / std goes through it: the same with other numbers.
        [(factor, offset)] if *factor > 0.0 => format!(
            "; where {layer} reads the pixels, leave it out with --ignore '{name}.*' and say, of the source's MEAN and STD, \
             --mean (MEAN - {:.6} STD) --std ({:.6} STD)",
            offset / factor,
            1.0 / factor
        ),
        _ => String::new(),
    };
    format!(
        "the batch normalisation {name} stands before the convolution {layer}, which has zeros around its input: they are \
         zeros behind the normalisation and would be other numbers before it. Train with the normalisation behind the \
         convolution, or without padding{fix}"
    )
}
