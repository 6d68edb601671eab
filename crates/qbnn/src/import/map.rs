//! A mapping by hand: which tensors of a file are means and standard deviations of which layer.
//!
//! ```toml
//! [source]
//! sigma = "log-variance"        # how standard deviations are stored
//! layout = "torch"              # or jax
//!
//! [[layer]]
//! name = "conv1"                # of the network
//! mu = "c1_w_mean"
//! sigma = "c1_w_logvar"         # left out: a value without a standard deviation
//! bias_mu = "c1_b_mean"
//! bias_sigma = "c1_b_logvar"
//! batch_norm = "bn1"            # bn1.weight, .bias, .running_mean, .running_var
//! ```

use super::family::Family;
use super::found::{BatchNorm, Found, FoundLayer, FoundSigma, FoundTensor};
use super::layout::Layout;
use super::rules::SigmaRule;
use super::source::Source;
use crate::error::{Error, Result};
use crate::input;
use serde::Deserialize;
use std::path::Path;

/// A mapping file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    #[serde(default)]
    source: SourceOptions,
    #[serde(rename = "layer")]
    layers: Vec<MappedLayer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SourceOptions {
    sigma: Option<String>,
    layout: Option<String>,
    prior_sigma: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappedLayer {
    name: String,
    mu: String,
    sigma: Option<String>,
    bias_mu: Option<String>,
    bias_sigma: Option<String>,
    batch_norm: Option<String>,
}

impl Map {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// [`Error::UnreadableSettings`]; [`Error::Settings`] with the line.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |error| Error::UnreadableSettings {
            what: "mapping",
            path: path.to_owned(),
            error,
            fix: "check the path given to --map",
        };
        let text = input::text(path, input::TEXT).map_err(unreadable)?;
        toml::from_str(&text).map_err(|e| crate::keys::located(&text, &path.display().to_string(), &e))
    }

    /// The posterior that it names in the arrays of a file.
    pub(super) fn found(&self, source: &Source<'_>, told: Option<SigmaRule>) -> Result<Found, String> {
        let stated = self.source.sigma.as_deref().map(|rule| rule.parse().map_err(|e| format!("source.sigma: {e}")));
        let rule = told.map_or_else(|| stated.transpose(), |rule| Ok(Some(rule)))?;
        let layout = self.source.layout.as_deref().map(|l| l.parse().map_err(|e| format!("source.layout: {e}")));
        let array = |name: &str| {
            source.get(name).ok_or_else(|| {
                let names: Vec<&str> = source.tensors.iter().map(|t| t.0).take(12).collect();
                format!("the mapping names {name}, which the file has not; it has {}", names.join(", "))
            })
        };
        let tensor = |mu: &str, sigma: Option<&String>| -> Result<FoundTensor, String> {
            let means = array(mu)?;
            let sigma = match sigma {
                None => FoundSigma::Deterministic,
                Some(name) => {
                    let raw = array(name)?;
                    if raw.shape != means.shape {
                        return Err(format!("{name} has shape {:?}, its mean {mu} has {:?}", raw.shape, means.shape));
                    }
                    let rule = rule.ok_or(
                        "the mapping does not say how sigma is stored: write sigma = \"RULE\" under \
                                           [source], or give --sigma",
                    )?;
                    FoundSigma::Stored { raw: raw.values.clone(), rule, source: name.clone() }
                }
            };
            Ok(FoundTensor { shape: means.shape.clone(), mu: means.values.clone(), sigma, source: mu.to_owned() })
        };
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let bias = match (&layer.bias_mu, &layer.bias_sigma) {
                (Some(mu), sigma) => Some(tensor(mu, sigma.as_ref())?),
                (None, None) => None,
                (None, Some(sigma)) => return Err(format!("layer {}: {sigma} has no bias_mu beside it", layer.name)),
            };
            let part = |base: &str, part: &str| array(&format!("{base}.{part}")).map(|array| array.values.clone());
            let norm = layer.batch_norm.as_ref().map(|base| -> Result<BatchNorm, String> {
                Ok(BatchNorm {
                    name: base.clone(),
                    scale: part(base, "weight")?,
                    offset: part(base, "bias")?,
                    mean: part(base, "running_mean")?,
                    variance: part(base, "running_var")?,
                })
            });
            layers.push(FoundLayer {
                name: layer.name.clone(),
                weight: tensor(&layer.mu, layer.sigma.as_ref())?,
                bias,
                batch_norm: norm.transpose()?,
            });
        }
        Ok(Found {
            family: Family::Arrays,
            layout: layout.transpose()?.unwrap_or(Layout::Torch),
            layers,
            prior_sigma: self.source.prior_sigma,
            described: None,
            warnings: Vec::new(),
            notes: vec!["tensors are taken as the mapping says".to_owned()],
        })
    }
}
