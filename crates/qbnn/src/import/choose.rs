//! Which of a file's layers each layer of a network is.
//!
//! Layers are assigned by their names where both sides have the same, else in the order of the file where all shapes fit,
//! else by shape where that leaves one way. A file in the order of names (safetensors, JAX) says nothing of the order of
//! layers: there layers of one shape must differ in a number of their names. Shapes are compared, never numbers of elements:
//! a transposed layer has as many.

use super::assign::TorchLayer;
use super::found::{Found, FoundLayer};
use super::layout::Layout;
use super::names::{common_prefix, without_numbers};
use qbnn_bnn::internals::nn::linear::Linear;
use qbnn_core::Shape;
use std::ops::Range;

/// A linear layer of a network.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub weight: &'a [usize],
    pub weight_at: Range<usize>,
    pub bias_at: Range<usize>,
    /// What it reads.
    pub from: Shape,
    pub map: &'a Linear,
}

impl Wanted<'_> {
    /// Zeros around what it reads.
    pub(super) fn padding(&self) -> usize {
        match self.map {
            Linear::Conv(conv) => conv.padding,
            Linear::Dense { .. } => 0,
        }
    }
}

/// Layers without those that another one repeats number by number, as a network that two modules share is stored; and
/// what was left out, in a sentence.
pub(super) fn without_doubles(layers: &[FoundLayer]) -> (Vec<FoundLayer>, Option<String>) {
    let same = |a: &FoundLayer, b: &FoundLayer| {
        let of =
            |layer: &FoundLayer| (layer.weight.shape.clone(), layer.weight.mu.clone(), layer.weight.sigma.values());
        let bias = |layer: &FoundLayer| layer.bias.as_ref().map(|bias| (bias.mu.clone(), bias.sigma.values()));
        a.weight.mu == b.weight.mu && of(a) == of(b) && bias(a) == bias(b)
    };
    let (mut kept, mut doubles): (Vec<FoundLayer>, Vec<String>) = (Vec::new(), Vec::new());
    for layer in layers {
        match kept.iter().find(|first| same(first, layer)) {
            Some(first) => doubles.push(format!("{} ({})", layer.name, first.name)),
            None => kept.push(layer.clone()),
        }
    }
    let said = (!doubles.is_empty()).then(|| {
        format!("layers that repeat another one number by number are passed over: {}", listed(doubles.into_iter()))
    });
    (kept, said)
}

/// For each layer of the network, which of the file it is.
///
/// # Errors
/// Layers that do not fit, or that could be either; both sides listed.
pub(super) fn choose(
    layers: &[TorchLayer],
    wanted: &[Wanted<'_>],
    found: &Found,
    network: &str,
) -> Result<Vec<usize>, String> {
    let fits = |layer: &TorchLayer, wanted: &Wanted<'_>| layer.weight.shape == wanted.weight;
    let sides = || {
        let of_file = layers.iter().map(|l| format!("{} {:?}", l.name, l.weight.shape));
        let of_network = wanted.iter().map(|w| format!("{} {:?}", w.name, w.weight));
        format!("the file has {}; the network {network} wants {}", listed(of_file), listed(of_network))
    };
    if layers.len() != wanted.len() {
        return Err(format!("the layers do not fit: {}{}", sides(), hint(layers, wanted, found)));
    }
    let prefix = common_prefix(layers.iter().map(|l| l.name.as_str()));
    let by_name = |w: &Wanted<'_>| layers.iter().position(|l| l.name == w.name || l.name[prefix..] == *w.name);
    let by_name: Option<Vec<usize>> = wanted.iter().map(by_name).collect();
    if let Some(chosen) = by_name
        && chosen.iter().zip(wanted).all(|(&at, w)| fits(&layers[at], w))
    {
        return Ok(chosen);
    }
    if !found.sorted && layers.iter().zip(wanted).all(|(l, w)| fits(l, w)) {
        return Ok((0..layers.len()).collect());
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    let mut is_open = false;
    for w in wanted {
        let candidates: Vec<usize> = (0..layers.len()).filter(|&at| fits(&layers[at], w)).collect();
        let alike = |at: &usize| without_numbers(&layers[*at].name) == without_numbers(&layers[candidates[0]].name);
        is_open |= candidates.len() > 1 && !(found.sorted && candidates.iter().all(alike));
        match candidates.iter().find(|at| !chosen.contains(*at)) {
            Some(&at) => chosen.push(at),
            None => return Err(format!("the layers do not fit: {}{}", sides(), hint(layers, wanted, found))),
        }
    }
    if !is_open {
        return Ok(chosen);
    }
    let why = if found.sorted { " (the file is in the order of names, which says nothing of the layers')" } else { "" };
    Err(format!(
        "layers of one shape could be either{why}: {}; give the layers of the network the names that the file has, or use \
         --map",
        sides()
    ))
}

/// What may help where layers do not fit.
fn hint(layers: &[TorchLayer], wanted: &[Wanted<'_>], found: &Found) -> String {
    if layers.len() > wanted.len() {
        return "; describe the network that was trained with --net, or leave layers out that it does not use with \
                --ignore 'LAYER.*'"
            .to_owned();
    }
    let pairs = || layers.iter().zip(wanted).filter(|(l, w)| l.weight.shape != w.weight);
    let is_turned = |(l, w): &(&TorchLayer, &Wanted<'_>)| {
        l.weight.shape.len() == 2 && w.weight.iter().rev().eq(l.weight.shape.iter())
    };
    if layers.len() != wanted.len() || pairs().next().is_none() || !pairs().all(|pair| is_turned(&pair)) {
        return "; describe the network that was trained with --net".to_owned();
    }
    let (other, order) = match found.layout {
        Layout::Torch => ("jax", "[in, out]"),
        Layout::Jax => ("torch", "[out, in]"),
    };
    let of_layout = |l: &TorchLayer| l.weight.shape.len() == 2 && pairs().any(|(turned, _)| turned.name == l.name);
    // Another layout turns every layer.
    if layers.iter().all(of_layout) {
        return format!("; dense layers lie transposed there: with --layout {other} they are {order}");
    }
    let names = listed(pairs().map(|(l, _)| l.name.clone()));
    format!(
        "; {names} lies transposed there: save it turned (weight.T); where every layer of the source is {order}, say --layout \
         {other}"
    )
}

fn listed<T: AsRef<str>>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
