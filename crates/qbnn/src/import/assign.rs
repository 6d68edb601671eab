//! Layers of a file and layers of a network: which is which, and the posterior in the network's own order.
//!
//! Layers are assigned by their names where both sides have the same, else in the order of the file where all shapes fit,
//! else by shape where that leaves one way. Shapes are compared, never numbers of elements: a transposed layer has as many.

use super::batch_norm;
use super::family::Family;
use super::found::{Found, FoundLayer, FoundSigma, FoundTensor};
use super::layout::{Layout, channels_first, from_jax, permuted};
use qbnn_bnn::Network;
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
    /// The batch normalisation that was folded in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
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
}

/// A linear layer of a network.
struct Wanted<'a> {
    name: &'a str,
    weight: &'a [usize],
    weight_at: std::ops::Range<usize>,
    bias_at: std::ops::Range<usize>,
    /// What it reads.
    from: Shape,
}

/// How a file's layers are taken.
#[derive(Clone, Debug)]
pub struct Taking {
    /// Layers, by the name in the file, whose biases are not used.
    pub no_bias: Vec<String>,
    /// The epsilon of batch normalisations.
    pub batch_norm_epsilon: f64,
}

impl Default for Taking {
    fn default() -> Self {
        Taking { no_bias: Vec::new(), batch_norm_epsilon: batch_norm::EPSILON }
    }
}

/// The posterior of a network.
///
/// # Errors
/// Layers that do not fit, both sides listed; standard deviations that are none.
pub fn assign(found: &Found, net: &Network, taking: &Taking) -> Result<Posterior, String> {
    let wanted = wanted(net);
    let split;
    let found = match &found.layers[..] {
        [flat] if found.family == Family::Laplace => {
            split = Found { layers: split_flat(flat, &wanted)?, ..found.clone() };
            &split
        }
        _ => found,
    };
    let known = |name: &str| found.layers.iter().any(|layer| layer.name == name);
    if let Some(name) = taking.no_bias.iter().find(|name| !known(name)) {
        return Err(format!(
            "--no-bias {name}: the file's layers are {}",
            listed(found.layers.iter().map(|l| &l.name))
        ));
    }
    let mut layers = found.layers.iter().map(|l| torch(l, found.layout, taking)).collect::<Result<Vec<_>, _>>()?;
    let chosen = choose(&layers, &wanted, found.layout, &net.spec.name)?;
    let mut posterior = Posterior {
        mu: vec![0.0; net.parameters()],
        sigma: vec![DETERMINISTIC as f32; net.parameters()],
        layers: Vec::new(),
        deterministic: 0,
    };
    for (wanted, at) in wanted.iter().zip(chosen) {
        let layer = &mut layers[at];
        let mut order = None;
        if found.layout == Layout::Jax {
            let mut words = vec![if layer.weight.shape.len() == 4 { "HWIO" } else { "[in, out]" }.to_owned()];
            let Shape { channels, rows, columns } = wanted.from;
            if layer.weight.shape.len() == 2 && channels > 1 && rows * columns > 1 {
                let place = channels_first(layer.weight.shape[0], wanted.from);
                layer.weight.mu = permuted(&layer.weight.mu, &place);
                layer.weight.sigma = layer.weight.sigma.as_ref().map(|sigma| permuted(sigma, &place));
                words.push(format!("inputs as (rows, columns, channels) = ({rows}, {columns}, {channels})"));
            }
            order = Some(words.join(", "));
        }
        posterior.deterministic +=
            put(&layer.weight, wanted.weight_at.clone(), &mut posterior.mu, &mut posterior.sigma)?;
        posterior.deterministic += put(&layer.bias, wanted.bias_at.clone(), &mut posterior.mu, &mut posterior.sigma)?;
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
            batch_norm: found.layers[at].batch_norm.as_ref().map(|norm| norm.name.clone()),
            order,
        });
    }
    Ok(posterior)
}

/// The linear layers of a network, in running order.
fn wanted(net: &Network) -> Vec<Wanted<'_>> {
    let mut all = Vec::new();
    for node in &net.nodes {
        let Op::Linear { weight, bias, .. } = node.op else { continue };
        let (weight, bias) = (&net.tensors[weight], &net.tensors[bias]);
        let from = node.input.checked_sub(1).map_or(net.input, |at| net.nodes[at].shape);
        all.push(Wanted {
            name: &node.name,
            weight: &weight.dims,
            weight_at: weight.range.clone(),
            bias_at: bias.range.clone(),
            from,
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
        weight.mu = permuted(&weight.mu, &order);
        weight.sigma = weight.sigma.map(|sigma| permuted(&sigma, &order));
        weight.shape = shape;
    }
    let outputs = weight.shape.first().copied().unwrap_or(0);
    let bias = layer.bias.as_ref().filter(|_| !taking.no_bias.contains(&layer.name)).map(tensor).transpose()?;
    let bias =
        bias.unwrap_or_else(|| TorchTensor { shape: vec![outputs], mu: vec![0.0; outputs], sigma: None, source: None });
    let mut layer_of = TorchLayer { name: layer.name.clone(), weight, bias };
    if let Some(norm) = &layer.batch_norm {
        batch_norm::fold(&mut layer_of, norm, taking.batch_norm_epsilon)?;
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
    Ok(TorchTensor { shape: found.shape.clone(), mu: found.mu.clone(), sigma, source })
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

/// For each layer of the network, which of the file it is.
fn choose(found: &[TorchLayer], wanted: &[Wanted<'_>], layout: Layout, network: &str) -> Result<Vec<usize>, String> {
    let fits = |layer: &TorchLayer, wanted: &Wanted<'_>| layer.weight.shape == wanted.weight;
    let sides = || {
        let of_file = found.iter().map(|l| format!("{} {:?}", l.name, l.weight.shape));
        let of_network = wanted.iter().map(|w| format!("{} {:?}", w.name, w.weight));
        format!("the file has {}; the network {network} wants {}", listed(of_file), listed(of_network))
    };
    if found.len() == wanted.len() {
        let prefix = common_prefix(found.iter().map(|l| l.name.as_str()));
        let by_name = |w: &Wanted<'_>| found.iter().position(|l| l.name == w.name || l.name[prefix..] == *w.name);
        let by_name: Option<Vec<usize>> = wanted.iter().map(by_name).collect();
        if let Some(chosen) = by_name
            && chosen.iter().zip(wanted).all(|(&at, w)| fits(&found[at], w))
        {
            return Ok(chosen);
        }
        if found.iter().zip(wanted).all(|(l, w)| fits(l, w)) {
            return Ok((0..found.len()).collect());
        }
        let candidates: Vec<Vec<usize>> =
            wanted.iter().map(|w| (0..found.len()).filter(|&at| fits(&found[at], w)).collect()).collect();
        if candidates.iter().all(|c| c.len() == 1) {
            let chosen: Vec<usize> = candidates.iter().map(|c| c[0]).collect();
            if (0..found.len()).all(|at| chosen.contains(&at)) {
                return Ok(chosen);
            }
        }
        if candidates.iter().all(|c| !c.is_empty()) {
            return Err(format!(
                "layers of one shape could be either: {}; give the layers of the network the names that the file has, or \
                 use --map",
                sides()
            ));
        }
    }
    let turned = |l: &TorchLayer| l.weight.shape.len() == 2 && l.weight.shape[0] != l.weight.shape[1];
    let transposed = found.len() == wanted.len()
        && found
            .iter()
            .zip(wanted)
            .any(|(l, w)| turned(l) && !fits(l, w) && w.weight.iter().rev().eq(l.weight.shape.iter()));
    let hint = match (transposed, layout) {
        (true, Layout::Torch) => "; dense layers lie transposed there: with --layout jax they are [in, out]",
        (true, Layout::Jax) => "; dense layers lie transposed there: with --layout torch they are [out, in]",
        _ => "; describe the network that was trained with --net",
    };
    Err(format!("the layers do not fit: {}{hint}", sides()))
}

/// The length of what all names begin with, up to a dot or a slash.
fn common_prefix<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> usize {
    let Some(first) = names.next() else { return 0 };
    let ends = first.char_indices().filter(|(_, c)| ['.', '/'].contains(c)).map(|(at, _)| at + 1);
    ends.filter(|&end| names.clone().all(|name| name.starts_with(&first[..end]))).last().unwrap_or(0)
}

fn listed<T: AsRef<str>>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

/// The layers of a vector over all parameters: of each its weight, then its bias.
fn split_flat(flat: &FoundLayer, wanted: &[Wanted<'_>]) -> Result<Vec<FoundLayer>, String> {
    let FoundTensor { mu, sigma, source, .. } = &flat.weight;
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
        FoundTensor { shape: shape.to_vec(), mu: mu[range].to_vec(), sigma: part, source }
    };
    let mut layers = Vec::new();
    for w in wanted {
        let weight = take(w.weight);
        let bias = Some(take(&[w.bias_at.len()]));
        layers.push(FoundLayer { name: w.name.to_owned(), weight, bias, batch_norm: None });
    }
    Ok(layers)
}
