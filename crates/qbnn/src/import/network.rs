//! The description of an imported network: proposed from the shapes of the layers where these leave one way, and with
//! activation functions replaced.
//!
//! Shapes say nothing of activation functions, nor whether a pool takes the largest or the mean: a proposal has relu and
//! max-pools, and is to be compared with the source (`--check`).

use super::found::Found;
use super::layout::{Layout, from_jax};
use crate::config::{Config, NetworkConfig};
use crate::error::{Error, Result};
use qbnn_bnn::{Activation, LayerSpec, NetworkSpec, OpSpec};
use qbnn_core::Shape;

/// Convolutions beyond which no proposal is made: their pools and paddings are tried in all combinations.
const CONVOLUTIONS: usize = 6;

/// A convolution's padding, and whether a max-pool of 2 x 2 follows.
type Choice = (usize, bool);

/// A network whose linear layers have the shapes of a file's.
///
/// # Errors
/// Why there is none, or what the several ones are.
pub fn propose(found: &Found, input: Shape, classes: usize) -> std::result::Result<NetworkSpec, String> {
    let mut layers: Vec<(String, Vec<usize>)> = Vec::new();
    for layer in &found.layers {
        let shape = match found.layout {
            Layout::Torch => layer.weight.shape.clone(),
            Layout::Jax => from_jax(&layer.weight.shape).map_or_else(|| layer.weight.shape.clone(), |jax| jax.0),
        };
        layers.push((layer.name.rsplit(['/', '.']).next().unwrap_or(&layer.name).to_owned(), shape));
    }
    let describe = "describe the network in a TOML file, and name it with --net";
    let first_dense = layers.iter().position(|(_, shape)| shape.len() == 2).unwrap_or(layers.len());
    let (convolutions, dense) = layers.split_at(first_dense);
    let plain = |shape: &[usize], axes: usize| shape.len() == axes && (axes == 2 || shape[2] == shape[3]);
    let is_plain = convolutions.iter().all(|(_, s)| plain(s, 4)) && dense.iter().all(|(_, s)| plain(s, 2));
    if dense.is_empty() || !is_plain || convolutions.len() > CONVOLUTIONS {
        return Err(format!(
            "no network is proposed for layers like these ({}); wanted at most {CONVOLUTIONS} convolutions of square \
             kernels, then dense layers; {describe}",
            shapes(&layers)
        ));
    }
    for pair in dense.windows(2) {
        if pair[0].1[0] != pair[1].1[1] {
            return Err(format!("its dense layers do not follow each other ({}); {describe}", shapes(&layers)));
        }
    }
    if dense.last().is_none_or(|(_, shape)| shape[0] != classes) {
        return Err(format!("its last layer is not one of {classes} classes ({}); {describe}", shapes(&layers)));
    }
    let mut ways = Vec::new();
    spread(convolutions, input, dense[0].1[1], &mut Vec::new(), &mut ways);
    match &ways[..] {
        [way] => Ok(network(convolutions, dense, way)),
        [] => Err(format!("no padding or pooling leads from {input} images through {}; {describe}", shapes(&layers))),
        several => {
            let words = several.iter().take(4).map(|way| in_words(convolutions, way));
            Err(format!(
                "{} networks have layers of these shapes, among them {}; {describe}",
                several.len(),
                words.collect::<Vec<_>>().join("; ")
            ))
        }
    }
}

fn shapes(layers: &[(String, Vec<usize>)]) -> String {
    layers.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect::<Vec<_>>().join(", ")
}

/// Tries every padding and pool of the convolutions that are left.
fn spread(
    left: &[(String, Vec<usize>)],
    from: Shape,
    wanted: usize,
    way: &mut Vec<Choice>,
    ways: &mut Vec<Vec<Choice>>,
) {
    let Some(((_, shape), rest)) = left.split_first() else {
        if from.channels * from.rows * from.columns == wanted {
            ways.push(way.clone());
        }
        return;
    };
    let (out, inputs, kernel) = (shape[0], shape[1], shape[2]);
    if inputs != from.channels {
        return;
    }
    let same = (kernel - kernel % 2) / 2;
    let paddings = if kernel % 2 == 1 && same > 0 { vec![0, same] } else { vec![0] };
    for padding in paddings {
        let side = |n: usize| (n + 2 * padding + 1).checked_sub(kernel).filter(|&n| n > 0);
        let (Some(rows), Some(columns)) = (side(from.rows), side(from.columns)) else { continue };
        for pool in [false, true] {
            let (rows, columns) = if pool { (rows / 2, columns / 2) } else { (rows, columns) };
            if rows > 0 && columns > 0 {
                way.push((padding, pool));
                spread(rest, Shape { channels: out, rows, columns }, wanted, way, ways);
                way.pop();
            }
        }
    }
}

fn in_words(convolutions: &[(String, Vec<usize>)], way: &[Choice]) -> String {
    let one = |((name, _), (padding, pool)): (&(String, Vec<usize>), &Choice)| {
        format!("{name} with padding {padding}{}", if *pool { " and a pool" } else { "" })
    };
    convolutions.iter().zip(way).map(one).collect::<Vec<_>>().join(", ")
}

fn network(convolutions: &[(String, Vec<usize>)], dense: &[(String, Vec<usize>)], way: &[Choice]) -> NetworkSpec {
    let plain = |op| LayerSpec { name: None, input: None, op };
    let named = |name: &str, op| LayerSpec { name: Some(name.to_owned()), input: None, op };
    let relu = || plain(OpSpec::Activation(Activation::Relu));
    let mut layers = Vec::new();
    for ((name, shape), &(padding, pool)) in convolutions.iter().zip(way) {
        layers.push(named(name, OpSpec::Conv { out: shape[0], kernel: shape[2], stride: 1, padding, groups: 1 }));
        layers.push(relu());
        if pool {
            layers.push(plain(OpSpec::MaxPool { size: 2, stride: None }));
        }
    }
    layers.push(plain(OpSpec::Flatten));
    for (index, (name, shape)) in dense.iter().enumerate() {
        if index > 0 {
            layers.push(relu());
        }
        layers.push(named(name, OpSpec::Dense { out: shape[0] }));
    }
    NetworkSpec { name: "proposed".to_owned(), layers }
}

/// Puts a description into settings.
pub fn put(config: &mut Config, spec: NetworkSpec) {
    config.network = NetworkConfig { name: Some(spec.name), layer: Some(spec.layers), ..NetworkConfig::default() };
}

/// Puts one activation function in the place of another, as `tanh=hardtanh` names them.
///
/// # Errors
/// [`Error::Settings`] of names that no function has, or that the network has not.
pub fn replace(config: &mut Config, classes: usize, replacement: &str) -> Result<()> {
    let wrong = |problem: String| Error::settings(format!("--replace {replacement}"), problem);
    let (old, new) =
        replacement.split_once('=').ok_or_else(|| wrong("wanted OLD=NEW, such as tanh=hardtanh".into()))?;
    let unknown =
        |name: &str| wrong(format!("unknown activation `{name}`; known are {}", Activation::NAMES.join(", ")));
    let function = Activation::named(new).ok_or_else(|| unknown(new))?;
    if !Activation::NAMES.contains(&old) {
        return Err(unknown(old));
    }
    let mut spec = config.network.spec(classes)?;
    let mut count = 0;
    for layer in &mut spec.layers {
        if let OpSpec::Activation(of_layer) = &mut layer.op
            && of_layer.name() == old
        {
            *of_layer = function;
            count += 1;
        }
    }
    if count == 0 {
        return Err(wrong(format!("the network {} has no {old}", spec.name)));
    }
    put(config, spec);
    Ok(())
}
