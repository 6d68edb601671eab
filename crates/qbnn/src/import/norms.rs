//! Batch normalisations of a file, and the linear layer that each is folded into.
//!
//! No file says what reads what. A normalisation that alone stands between two linear layers is taken to be that of the
//! first, directly behind it, as networks are usually written; where its channels fit only the inputs of the next layer, to
//! stand before that. Where several follow each other, or where the file is in the order of names, numbers in the names
//! (`conv1` and `bn1`) or channels that fit one layer alone decide, and nothing else is guessed: it has to be told.

use super::batch_norm::{EPSILON, EPSILON_OF_KERAS};
use super::found::{BatchNorm, Found, FoundLayer, FoundNorm};
use super::layout::Layout;
use super::names::{common_prefix, place as place_of};
use super::recognise::Told;
use super::source::{Source, short};
use std::collections::BTreeSet;

/// Names of running means and variances, scale and offset behind a normalisation's own: PyTorch, Keras with the names of
/// variables, Keras.
const NAMES: [([&str; 4], f64); 3] = [
    ([".running_mean", ".running_var", ".weight", ".bias"], EPSILON),
    (["/moving_mean:0", "/moving_variance:0", "/gamma:0", "/beta:0"], EPSILON_OF_KERAS),
    (["/moving_mean", "/moving_variance", "/gamma", "/beta"], EPSILON_OF_KERAS),
];

/// Gathers the batch normalisations of a file; adds the names of their tensors to `used`.
///
/// # Errors
/// One whose scale is random, or that is not whole.
pub(super) fn find(source: &Source<'_>, found: &mut Found, used: &mut BTreeSet<String>) -> Result<(), String> {
    for &(name, mean) in &source.tensors {
        for ([of_mean, of_variance, of_scale, of_offset], epsilon) in NAMES {
            let Some(base) = name.strip_suffix(of_mean) else { continue };
            if found.tensors().any(|(layer, _)| layer == base) {
                return Err(random(base));
            }
            let Some(variance) = source.get(&format!("{base}{of_variance}")) else {
                return Err(format!("{base} has running means and no running variances; save the whole state_dict"));
            };
            let channels = mean.values.len();
            let values = |part: &str, default: f64| {
                let array = source.get(&format!("{base}{part}"));
                array.map_or_else(|| vec![default; channels], |array| array.values.clone())
            };
            let norm = BatchNorm {
                name: base.to_owned(),
                scale: values(of_scale, 1.0),
                offset: values(of_offset, 0.0),
                mean: mean.values.clone(),
                variance: variance.values.clone(),
                epsilon,
            };
            used.extend([of_mean, of_variance, of_scale, of_offset].map(|part| format!("{base}{part}")));
            let at = source.position(name);
            let after = found.layers.iter().filter(|layer| source.position(&layer.weight.source) < at).count();
            found.norms.push(FoundNorm { norm, after });
        }
    }
    Ok(())
}

/// Why a normalisation with a random scale is refused.
pub(super) fn random(name: &str) -> String {
    format!(
        "the batch normalisation {name} has a random scale: its product with random weights is no Gaussian. Train with a \
         deterministic one (torch.nn.BatchNorm2d), which is folded exactly"
    )
}

/// Where a normalisation belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Behind(usize),
    Before(usize),
}

/// Gives each normalisation its layer, and says which.
///
/// # Errors
/// One that no layer can take, or that several could; names that the file has not.
pub(super) fn place(found: &mut Found, told: &Told) -> Result<(), String> {
    let norms = std::mem::take(&mut found.norms);
    let layout = found.layout;
    let mut placed: Vec<(BatchNorm, Place, bool)> = Vec::with_capacity(norms.len());
    let mut open = norms;
    for (named, behind) in [(&told.norms_behind, true), (&told.norms_before, false)] {
        let option = if behind { "--bn" } else { "--bn-before" };
        for (layer, norm) in named {
            let said = format!("{option} {layer}={norm}");
            let at = position(&found.layers, layer).ok_or_else(|| {
                format!("{said}: the file's layers are {}", short(found.layers.iter().map(|l| l.name.as_str())))
            })?;
            let index = open.iter().position(|open| open.norm.name == *norm).ok_or_else(|| {
                let left = short(open.iter().map(|open| open.norm.name.as_str()));
                format!("{said}: the batch normalisations left are {}", if left.is_empty() { "none" } else { &left })
            })?;
            let norm = open.remove(index).norm;
            let place = if behind { Place::Behind(at) } else { Place::Before(at) };
            if !fits(&found.layers, layout, &norm, place) {
                let channels = norm.mean.len();
                return Err(format!("{said}: it has {channels} channels, which the layer does not have there"));
            }
            placed.push((norm, place, true));
        }
    }
    let taken: Vec<Place> = placed.iter().map(|(_, place, _)| *place).collect();
    for (norm, place) in by_order_and_name(found, open, &taken)? {
        placed.push((norm, place, false));
    }
    for (norm, place, was_told) in placed {
        let (Place::Behind(at) | Place::Before(at)) = place;
        let layer = &mut found.layers[at];
        let (slot, side, other) = match place {
            Place::Behind(_) => (&mut layer.behind, "behind it, before any activation", "--bn-before NEXT"),
            Place::Before(_) => (&mut layer.before, "before it, behind any activation", "--bn PREVIOUS"),
        };
        let (name, layer) = (&norm.name, &layer.name);
        if let Some(first) = slot {
            return Err(format!("the batch normalisations {} and {name} are both those of {layer}", first.name));
        }
        if !was_told {
            found.warnings.push(format!(
                "the batch normalisation {name} is folded into {layer}: right if it stands directly {side}; else say \
                 {other}={name}"
            ));
        }
        *slot = Some(norm);
    }
    Ok(())
}

/// The layer of a name, with or without what all names begin with.
fn position(layers: &[FoundLayer], name: &str) -> Option<usize> {
    let prefix = common_prefix(layers.iter().map(|l| l.name.as_str()));
    layers.iter().position(|l| l.name == name).or_else(|| layers.iter().position(|l| l.name[prefix..] == *name))
}

/// Places of those that nobody told.
fn by_order_and_name(found: &Found, open: Vec<FoundNorm>, taken: &[Place]) -> Result<Vec<(BatchNorm, Place)>, String> {
    let layers = &found.layers;
    let free = |norm: &BatchNorm, place: Place| !taken.contains(&place) && fits(layers, found.layout, norm, place);
    // Those that follow each other, and the layers before them: alone, the order of the file tells.
    let alone = |norm: &FoundNorm| !found.sorted && open.iter().filter(|other| other.after == norm.after).count() == 1;
    let mut placed: Vec<(BatchNorm, Place)> = Vec::with_capacity(open.len());
    let mut left = Vec::new();
    for norm in &open {
        let behind = norm.after.checked_sub(1).map(Place::Behind);
        let before = (norm.after < layers.len()).then_some(Place::Before(norm.after));
        let mut places = behind.into_iter().chain(before).filter(|place| free(&norm.norm, *place));
        match places.next() {
            Some(place) if alone(norm) => placed.push((norm.norm.clone(), place)),
            _ => left.push(&norm.norm),
        }
    }
    for norm in left {
        let is_free = |at: &usize| {
            let place = Place::Behind(*at);
            free(norm, place) && !placed.iter().any(|(_, taken)| *taken == place)
        };
        let candidates: Vec<usize> = (0..layers.len()).filter(is_free).collect();
        let of_name = |at: &&usize| place_of(&layers[**at].name) == place_of(&norm.name);
        let named: Vec<usize> = candidates.iter().filter(of_name).copied().collect();
        let at = match (&named[..], &candidates[..]) {
            ([at], _) => *at,
            ([], [at]) => *at,
            (_, []) => {
                return Err(format!(
                    "the batch normalisation {} has {} channels and no linear layer of as many outputs can take it; where it \
                     stands before a layer, say --bn-before LAYER={}, where it is not used, --ignore '{}.*'",
                    norm.name,
                    norm.mean.len(),
                    norm.name,
                    norm.name
                ));
            }
            _ => {
                return Err(format!(
                    "the batch normalisation {} could be that of {}: say --bn LAYER={} where it stands directly behind the \
                     layer, --bn-before LAYER={} where it stands directly before it",
                    norm.name,
                    short(candidates.iter().map(|&at| layers[at].name.as_str())),
                    norm.name,
                    norm.name
                ));
            }
        };
        placed.push((norm.clone(), Place::Behind(at)));
    }
    Ok(placed)
}

/// Whether a layer has as many channels there: outputs behind it; inputs before it, of which a dense layer behind a
/// convolution reads several of each channel.
fn fits(layers: &[FoundLayer], layout: Layout, norm: &BatchNorm, place: Place) -> bool {
    let channels = norm.mean.len();
    let (Place::Behind(at) | Place::Before(at)) = place;
    let shape = &layers[at].weight.shape;
    let (outputs, inputs) = match (layout, &shape[..]) {
        (Layout::Torch, [outputs, inputs, ..]) => (*outputs, *inputs),
        (Layout::Jax, [.., inputs, outputs]) => (*outputs, *inputs),
        _ => return false,
    };
    match place {
        Place::Behind(_) => outputs == channels,
        Place::Before(_) if shape.len() == 2 => channels > 0 && inputs.is_multiple_of(channels),
        Place::Before(_) => inputs == channels,
    }
}
