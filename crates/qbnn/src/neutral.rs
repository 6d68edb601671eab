//! The neutral form of a posterior: one tensor of means and one of standard deviations for each weight and bias, in PyTorch's
//! layout, as safetensors or `.npz`. `qbnn export` writes it, `qbnn import` reads it, and so does a program of three lines.
//!
//! | tensor | shape |
//! |---|---|
//! | `LAYER.weight.mu`, `LAYER.weight.sigma` | `[out, in]`, or `[out, in / groups, rows, columns]` |
//! | `LAYER.bias.mu`, `LAYER.bias.sigma` | `[out]` |
//! | `LAYER.weight.prior_sigma`, `LAYER.bias.prior_sigma` | the same; only where not all have the prior of the description |
//!
//! All are `F32`. What is no tensor (the network, how pixels become inputs, the prior) is one JSON text: under
//! `qbnn_posterior` in the metadata of safetensors, or an array of that name with one text in `.npz`. Another program need
//! not write it.

use crate::error::{Error, Result};
use qbnn_bnn::internals::guide::Drawn;
use qbnn_bnn::{Checkpoint, LayerSpec, NetworkSpec, Normalisation};
use qbnn_data::npz_write;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The name of the description.
pub const KEY: &str = "qbnn_posterior";
/// Its version.
const VERSION: u32 = 1;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// safetensors.
    Safetensors,
    /// `np.savez`.
    Npz,
}

/// What a neutral file says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this description.
    pub version: u32,
    /// The network.
    pub network: NetworkSpec,
    /// Channels, rows and columns of an image.
    pub input: [usize; 3],
    /// Classes.
    pub classes: usize,
    /// How pixels become inputs.
    pub normalisation: Normalisation,
    /// Standard deviation of the prior.
    pub prior_sigma: f32,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(json: &str) -> Result<Self, String> {
        let read: Self =
            serde_json::from_str(json).map_err(|e| format!("its description `{KEY}` cannot be read: {e}"))?;
        if read.version == VERSION {
            return Ok(read);
        }
        Err(format!("its description `{KEY}` has version {}; this program reads {VERSION}: update qbnn", read.version))
    }
}

/// The bytes of a neutral file: the posterior of a checkpoint as it is stored, so of a quantized one the numbers on its grids.
///
/// # Errors
/// [`Error::Encode`]; [`Error::Settings`] of a posterior that is no Gaussian per weight.
pub fn to_bytes(checkpoint: &Checkpoint, form: Form) -> Result<Vec<u8>> {
    let kind = checkpoint.train.posterior;
    if kind != qbnn_bnn::PosteriorKind::Gaussian {
        let problem = format!("a {} posterior has no standard deviations; a gaussian one can be exported", kind.name());
        return Err(Error::settings("posterior", problem));
    }
    let net = checkpoint.net();
    let mut stored = Drawn::default();
    checkpoint.guide().store(net, &mut stored);
    // By the names that tensors have, so that the file describes itself.
    let mut network = checkpoint.network.clone();
    for (layer, node) in network.layers.iter_mut().zip(&net.nodes) {
        let LayerSpec { name, .. } = layer;
        *name = Some(node.name.clone());
    }
    let description = Description {
        version: VERSION,
        network,
        input: [checkpoint.input.channels, checkpoint.input.rows, checkpoint.input.columns],
        classes: checkpoint.classes,
        normalisation: checkpoint.normalisation,
        prior_sigma: checkpoint.train.prior_sigma,
    };
    let json = serde_json::to_string(&description).map_err(Error::encode("the posterior"))?;
    let mut tensors: Vec<(String, &[usize], Vec<u8>)> = Vec::new();
    for tensor in &net.tensors {
        for (what, values) in [("mu", &stored.mu), ("sigma", &stored.sigma)] {
            let bytes = values[tensor.range.clone()].iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push((format!("{}.{what}", tensor.name), &tensor.dims, bytes));
        }
        if let Some(prior) = checkpoint.prior_sigmas() {
            let bytes = prior[tensor.range.clone()].iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push((format!("{}.prior_sigma", tensor.name), &tensor.dims, bytes));
        }
    }
    let other = |e: Box<dyn std::error::Error + Send + Sync>| Error::Encode { what: "the posterior", source: e };
    match form {
        Form::Npz => {
            let of = |(name, dims, bytes): (String, &[usize], Vec<u8>)| npz_write::array(&name, "<f4", dims, bytes);
            let entries: Vec<_> = tensors.into_iter().map(of).chain([npz_write::text(KEY, &[json])]).collect();
            npz_write::archive(&entries).ok_or_else(|| other("it would have 2^32 bytes or more".into()))
        }
        Form::Safetensors => {
            let views = tensors.iter().map(|(name, dims, bytes)| {
                TensorView::new(Dtype::F32, dims.to_vec(), bytes).map(|view| (name.as_str(), view))
            });
            let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| other(e.into()))?;
            let metadata = HashMap::from([(KEY.to_owned(), json)]);
            safetensors::serialize(views, Some(metadata)).map_err(|e| other(e.into()))
        }
    }
}
