//! Layers of a file and layers of a network: which is which, and the posterior in the network's own order.
//!
//! Which layer is which, `choose` says. Here each is brought into our layout, its batch normalisations are folded in, and its
//! numbers are put in their place.

use super::batch_norm;
use super::choose::{self, Wanted, choose};
use super::flat::FLAT;
use super::found::{Found, FoundLayer, FoundSigma, FoundTensor};
use super::layout::{Layout, channels_first, from_jax, permuted};
use super::source::short;
use qbnn_bnn::Network;
use qbnn_bnn::internals::nn::linear::Linear;
use qbnn_bnn::internals::nn::network::Op;
use qbnn_core::Shape;
use serde::Serialize;

/// The standard deviation of what a library learns as a value, and the least that a model file holds as the largest of a
/// tensor with some room: 2^-15.
pub const DETERMINISTIC: f64 = 1.0 / 32_768.0;

/// Means and standard deviations of a tensor in PyTorch's layout.
#[derive(Clone, Debug)]
pub(super) struct TorchTensor {
    pub shape: Vec<usize>,
    pub mu: Vec<f64>,
    pub sigma: Option<Vec<f64>>,
    /// Standard deviations of the prior of each number, where the file has them.
    pub prior: Option<Vec<f64>>,
    /// By what the numbers were multiplied, and the standard deviation of their prior with them.
    pub factors: Option<Vec<f64>>,
    /// Which tensor of the file the means are, and how sigma was made.
    pub source: Option<(String, String)>,
}

/// A linear layer in PyTorch's layout.
#[derive(Clone, Debug)]
pub(super) struct TorchLayer {
    pub name: String,
    pub weight: TorchTensor,
    /// Zeros where the file has none.
    pub bias: TorchTensor,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assigned {
    /// The network's layer.
    pub layer: String,
    /// The file's.
    pub source: String,
    /// Shape of the weights, as the network stores them.
    pub shape: Vec<usize>,
    /// The tensor of the means.
    pub mu: String,
    /// How standard deviations were made.
    pub sigma: String,
    /// The tensor of the biases' means; `None` where the file has none, or where it is not used.
    pub bias_mu: Option<String>,
    /// How those of the biases were made.
    pub bias_sigma: Option<String>,
    /// The batch normalisation of what it gives, which was folded in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// The batch normalisation of what it reads, which was folded in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_norm_before: Option<String>,
    /// In which order the file has the numbers, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// A posterior in the order of a network's tensors.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// Means.
    pub mu: Vec<f32>,
    /// Standard deviations.
    pub sigma: Vec<f32>,
    /// The way of each layer, in the order of the network.
    pub layers: Vec<Assigned>,
    /// Numbers without a standard deviation in the file, which have [`DETERMINISTIC`].
    pub deterministic: usize,
    /// The standard deviation of each number's prior, as a number or as a factor of that of the settings; `None` where all
    /// have that of the settings.
    pub prior: Option<Vec<PriorOf>>,
    /// What a person should know of the way, each in a sentence.
    pub warnings: Vec<String>,
    /// Why the network may be another one than the source though all shapes fit; a comparison with the source
    /// (`--check`) tells.
    pub doubt: Option<String>,
}

/// The standard deviation of the prior of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriorOf {
    /// Of the file; `None` where it has none.
    pub sigma: Option<f64>,
    /// By what the number was multiplied.
    pub factor: f64,
}

impl PriorOf {
    /// The standard deviation where that of the settings is `usual`.
    #[must_use]
    pub fn value(self, usual: f32) -> f32 {
        // A factor of 0 leaves a number that no training moves.
        ((self.sigma.unwrap_or(usual.into()) * self.factor) as f32).max(f32::MIN_POSITIVE)
    }
}

/// How a file's layers are taken.
#[derive(Clone, Debug, Default)]
pub struct Taking {
    /// Layers, by the name in the file, whose biases are not used.
    pub no_bias: Vec<String>,
    /// The epsilon of batch normalisations, over that of their library.
    pub batch_norm_epsilon: Option<f64>,
    /// Whether the settings say the standard deviation of the prior, over what the file says.
    pub prior_told: bool,
}

/// The posterior of a network.
///
/// # Errors
/// Layers that do not fit, both sides listed; standard deviations that are none.
pub fn assign(found: &Found, net: &Network, taking: &Taking) -> Result<Posterior, String> {
    let wanted = wanted(net);
    let split;
    let found = match &found.layers[..] {
        [flat] if flat.name == FLAT => {
            split = Found { layers: split_flat(flat, &wanted)?, ..found.clone() };
            &split
        }
        _ => found,
    };
    let known = |name: &str| found.layers.iter().any(|layer| layer.name == name);
    if let Some(name) = taking.no_bias.iter().find(|name| !known(name)) {
        return Err(format!(
            "--no-bias {name}: the file's layers are {}",
            short(found.layers.iter().map(|l| l.name.as_str()))
        ));
    }
    let mut posterior = Posterior {
        mu: vec![0.0; net.parameters()],
        sigma: vec![DETERMINISTIC as f32; net.parameters()],
        layers: Vec::new(),
        deterministic: 0,
        prior: None,
        warnings: Vec::new(),
        doubt: None,
    };
    let single;
    let found = if found.layers.len() > wanted.len() {
        let (layers, said) = choose::without_doubles(&found.layers);
        posterior.warnings.extend(said);
        single = Found { layers, ..found.clone() };
        &single
    } else {
        found
    };
    let mut layers = found.layers.iter().map(|l| torch(l, found.layout, taking)).collect::<Result<Vec<_>, _>>()?;
    let chosen = choose(&layers, &wanted, found, &net.spec.name)?;
    for (wanted, at) in wanted.iter().zip(chosen) {
        let layer = &mut layers[at];
        let (mut order, mut was_permuted) = (None, false);
        if found.layout == Layout::Jax {
            let mut words = vec![if layer.weight.shape.len() == 4 { "HWIO" } else { "[in, out]" }.to_owned()];
            let Shape { channels, rows, columns } = wanted.from;
            if layer.weight.shape.len() == 2 && channels > 1 && rows * columns > 1 {
                let place = channels_first(layer.weight.shape[0], wanted.from);
                layer.weight.permute(&place);
                was_permuted = true;
                words.push(format!("inputs as (rows, columns, channels) = ({rows}, {columns}, {channels})"));
            }
            order = Some(words.join(", "));
            posterior.doubt = posterior.doubt.take().or_else(|| asymmetric(wanted));
        }
        if let Some(norm) = &found.layers[at].before {
            let norm = if was_permuted { norm.permuted(&channels_first(1, wanted.from)) } else { norm.clone() };
            posterior.warnings.extend(batch_norm::fold_before(layer, &norm, wanted.padding(), taking)?);
        }
        posterior.deterministic +=
            put(&layer.weight, wanted.weight_at.clone(), &mut posterior.mu, &mut posterior.sigma)?;
        posterior.deterministic += put(&layer.bias, wanted.bias_at.clone(), &mut posterior.mu, &mut posterior.sigma)?;
        for (tensor, range) in [(&layer.weight, &wanted.weight_at), (&layer.bias, &wanted.bias_at)] {
            put_prior(tensor, range.clone(), net.parameters(), &mut posterior.prior);
        }
        let (mu, sigma) = layer.weight.source.clone().unwrap_or_default();
        let (bias_mu, bias_sigma) = layer.bias.source.clone().unzip();
        posterior.layers.push(Assigned {
            layer: wanted.name.to_owned(),
            source: layer.name.clone(),
            shape: wanted.weight.to_vec(),
            mu,
            sigma,
            bias_mu,
            bias_sigma,
            batch_norm: found.layers[at].behind.as_ref().map(|norm| norm.name.clone()),
            batch_norm_before: found.layers[at].before.as_ref().map(|norm| norm.name.clone()),
            order,
        });
    }
    Ok(posterior)
}

/// The linear layers of a network, in running order.
fn wanted(net: &Network) -> Vec<Wanted<'_>> {
    let mut all = Vec::new();
    for node in &net.nodes {
        let Op::Linear { ref map, weight, bias } = node.op else { continue };
        let (weight, bias) = (&net.tensors[weight], &net.tensors[bias]);
        let from = node.input.checked_sub(1).map_or(net.input, |at| net.nodes[at].shape);
        all.push(Wanted {
            name: &node.name,
            weight: &weight.dims,
            weight_at: weight.range.clone(),
            bias_at: bias.range.clone(),
            from,
            map,
        });
    }
    all
}

/// A layer in PyTorch's layout, its batch normalisation folded in.
fn torch(layer: &FoundLayer, layout: Layout, taking: &Taking) -> Result<TorchLayer, String> {
    let mut weight = tensor(&layer.weight)?;
    if layout == Layout::Jax {
        let (shape, order) = from_jax(&weight.shape)
            .ok_or_else(|| format!("{} has shape {:?}; wanted two or four axes", layer.weight.source, weight.shape))?;
        weight.permute(&order);
        weight.shape = shape;
    }
    let outputs = weight.shape.first().copied().unwrap_or(0);
    let bias = layer.bias.as_ref().filter(|_| !taking.no_bias.contains(&layer.name)).map(tensor).transpose()?;
    let none = || TorchTensor {
        shape: vec![outputs],
        mu: vec![0.0; outputs],
        sigma: None,
        prior: None,
        factors: None,
        source: None,
    };
    let mut layer_of = TorchLayer { name: layer.name.clone(), weight, bias: bias.unwrap_or_else(none) };
    if let Some(norm) = &layer.behind {
        batch_norm::fold(&mut layer_of, norm, taking)?;
    }
    Ok(layer_of)
}

/// A tensor with its standard deviations, checked.
fn tensor(found: &FoundTensor) -> Result<TorchTensor, String> {
    if let Some(mean) = found.mu.iter().find(|m| !m.is_finite()) {
        return Err(format!("{} holds the mean {mean}; train again", found.source));
    }
    let sigma = found.sigma.values();
    let is_wrong = |(_, s): &(usize, &f64)| !(s.is_finite() && **s > 0.0);
    if let Some((at, wrong)) = sigma.iter().flatten().enumerate().find(is_wrong) {
        let stored = match &found.sigma {
            FoundSigma::Stored { raw, .. } => format!(" (the file stores {})", raw[at]),
            _ => String::new(),
        };
        return Err(format!(
            "{}: sigma = {} gives {wrong} at number {at}{stored}; wanted numbers above 0: read it by another rule with \
             --sigma",
            found.source,
            found.sigma.in_words()
        ));
    }
    let source = Some((found.source.clone(), found.sigma.in_words()));
    let prior = found.prior.as_ref().map(|prior| match &prior[..] {
        [one] => vec![*one; found.mu.len()],
        all => all.to_vec(),
    });
    Ok(TorchTensor { shape: found.shape.clone(), mu: found.mu.clone(), sigma, prior, factors: None, source })
}

impl TorchTensor {
    /// Puts all numbers in another order.
    fn permute(&mut self, order: &[usize]) {
        self.mu = permuted(&self.mu, order);
        for each in [&mut self.sigma, &mut self.prior, &mut self.factors].into_iter().flatten() {
            *each = permuted(each, order);
        }
    }

    /// Multiplies each number by a factor, with its standard deviation and that of its prior.
    pub(super) fn scale(&mut self, factor: impl Fn(usize) -> f64) {
        let count = self.mu.len();
        let factors = self.factors.get_or_insert_with(|| vec![1.0; count]);
        for (at, (mu, all)) in self.mu.iter_mut().zip(factors).enumerate() {
            *mu *= factor(at);
            *all *= factor(at).abs();
        }
        self.sigma.iter_mut().flatten().enumerate().for_each(|(at, sigma)| *sigma *= factor(at).abs());
    }
}

/// Notes the priors of a tensor where they are not those of the settings.
fn put_prior(tensor: &TorchTensor, at: std::ops::Range<usize>, count: usize, into: &mut Option<Vec<PriorOf>>) {
    if tensor.prior.is_none() && tensor.factors.is_none() {
        return;
    }
    let all = into.get_or_insert_with(|| vec![PriorOf { sigma: None, factor: 1.0 }; count]);
    for (index, prior) in all[at].iter_mut().enumerate() {
        let of = |values: &Option<Vec<f64>>| values.as_ref().and_then(|values| values.get(index).copied());
        *prior = PriorOf { sigma: of(&tensor.prior), factor: of(&tensor.factors).unwrap_or(1.0) };
    }
}

/// Why a convolution of JAX or TensorFlow may not be the one of the network: their usual padding "SAME" has a zero more
/// behind than before where the kernel is even or the stride is above 1.
fn asymmetric(wanted: &Wanted<'_>) -> Option<String> {
    let Linear::Conv(conv) = wanted.map else { return None };
    let sides = [conv.input.rows, conv.input.columns];
    let zeros = |side: usize| ((side.div_ceil(conv.stride) - 1) * conv.stride + conv.kernel).saturating_sub(side);
    let is_odd = sides.into_iter().any(|side| zeros(side) % 2 == 1);
    (conv.padding > 0 && is_odd).then(|| {
        format!(
            "layer {} has {} zeros on each side; the padding \"SAME\" of JAX and TensorFlow with this kernel and stride has one \
             more behind than before, which no network here has: train with explicit padding, or show with --check that \
             the source has it",
            wanted.name, conv.padding
        )
    })
}

/// Puts a tensor in its place; gives how many of its numbers have no standard deviation.
fn put(tensor: &TorchTensor, at: std::ops::Range<usize>, mu: &mut [f32], sigma: &mut [f32]) -> Result<usize, String> {
    if tensor.mu.len() != at.len() {
        let source = tensor.source.as_ref().map_or("a tensor", |source| source.0.as_str());
        return Err(format!("{source} has shape {:?}, wanted {} numbers", tensor.shape, at.len()));
    }
    mu[at.clone()].iter_mut().zip(&tensor.mu).for_each(|(to, &from)| *to = from as f32);
    match &tensor.sigma {
        // Below the least that single precision holds, it is that.
        Some(from) => {
            let least = |s: f64| (s as f32).max(f32::MIN_POSITIVE);
            sigma[at].iter_mut().zip(from).for_each(|(to, &from)| *to = least(from));
            Ok(0)
        }
        None => Ok(at.len()),
    }
}

/// The layers of a vector over all parameters: of each its weight, then its bias.
fn split_flat(flat: &FoundLayer, wanted: &[Wanted<'_>]) -> Result<Vec<FoundLayer>, String> {
    let FoundTensor { mu, sigma, source, prior, .. } = &flat.weight;
    let sigmas = sigma.values().unwrap_or_default();
    let count: usize = wanted.iter().map(|w| w.weight_at.len() + w.bias_at.len()).sum();
    if count != mu.len() || sigmas.len() != mu.len() {
        return Err(format!(
            "{source} has {} numbers for all parameters, the network has {count}; describe the network that was trained \
             with --net",
            mu.len()
        ));
    }
    let mut at = 0;
    let mut take = |shape: &[usize]| {
        let range = at..at + shape.iter().product::<usize>();
        at = range.end;
        let part = FoundSigma::Computed { sigma: sigmas[range.clone()].to_vec(), formula: sigma.in_words() };
        let source = format!("{source}[{}..{}]", range.start, range.end);
        let prior =
            prior.as_ref().map(|prior| if prior.len() == 1 { prior.clone() } else { prior[range.clone()].to_vec() });
        FoundTensor { shape: shape.to_vec(), mu: mu[range].to_vec(), sigma: part, source, prior }
    };
    let mut layers = Vec::new();
    for w in wanted {
        let weight = take(w.weight);
        let bias = Some(take(&[w.bias_at.len()]));
        layers.push(FoundLayer::new(w.name.to_owned(), weight, bias));
    }
    Ok(layers)
}
