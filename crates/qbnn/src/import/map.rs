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
//! batch_norm = "bn1"            # directly behind it: bn1.weight, .bias, .running_mean, .running_var
//! batch_norm_before = "bn0"     # directly before it
//! prior_sigma = 0.5             # of this layer, over that of the source
//! ```

use super::batch_norm::EPSILON;
use super::family::Family;
use super::found::{BatchNorm, Found, FoundLayer, FoundSigma, FoundTensor};
use super::layout::Layout;
use super::rules::SigmaRule;
use super::source::{Source, short};
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
    batch_norm_before: Option<String>,
    prior_sigma: Option<f64>,
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
                let names = short(source.tensors.iter().map(|t| t.0));
                format!("the mapping names {name}, which the file has not; it has {names}")
            })
        };
        let tensor = |mu: &str, sigma: Option<&String>, prior: Option<f64>| -> Result<FoundTensor, String> {
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
            let (shape, mu_of) = (means.shape.clone(), means.values.clone());
            Ok(FoundTensor { shape, mu: mu_of, sigma, source: mu.to_owned(), prior: prior.map(|prior| vec![prior]) })
        };
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            if let Some(wrong) = layer.prior_sigma.filter(|p| !(p.is_finite() && *p > 0.0)) {
                return Err(format!("layer {}: prior_sigma = {wrong}; wanted a number above 0", layer.name));
            }
            let bias = match (&layer.bias_mu, &layer.bias_sigma) {
                (Some(mu), sigma) => Some(tensor(mu, sigma.as_ref(), layer.prior_sigma)?),
                (None, None) => None,
                (None, Some(sigma)) => return Err(format!("layer {}: {sigma} has no bias_mu beside it", layer.name)),
            };
            let part = |base: &str, part: &str| array(&format!("{base}.{part}")).map(|array| array.values.clone());
            let norm = |base: &Option<String>| -> Result<Option<BatchNorm>, String> {
                let Some(base) = base else { return Ok(None) };
                Ok(Some(BatchNorm {
                    name: base.clone(),
                    scale: part(base, "weight")?,
                    offset: part(base, "bias")?,
                    mean: part(base, "running_mean")?,
                    variance: part(base, "running_var")?,
                    epsilon: EPSILON,
                }))
            };
            layers.push(FoundLayer {
                name: layer.name.clone(),
                weight: tensor(&layer.mu, layer.sigma.as_ref(), layer.prior_sigma)?,
                bias,
                behind: norm(&layer.batch_norm)?,
                before: norm(&layer.batch_norm_before)?,
            });
        }
        let is_named = |name: &str| {
            let of = |layer: &MappedLayer| {
                let norms = [&layer.batch_norm, &layer.batch_norm_before].into_iter().flatten();
                let tensors = [&layer.sigma, &layer.bias_mu, &layer.bias_sigma].into_iter().flatten();
                layer.mu == name
                    || tensors.into_iter().any(|t| t == name)
                    || norms
                        .into_iter()
                        .any(|norm| name.strip_prefix(norm.as_str()).is_some_and(|n| n.starts_with('.')))
            };
            self.layers.iter().any(of)
        };
        let mut notes = vec!["tensors are taken as the mapping says".to_owned()];
        let others: Vec<&str> = source.tensors.iter().map(|t| t.0).filter(|name| !is_named(name)).collect();
        if !others.is_empty() {
            notes.push(format!("tensors that it does not name are passed over: {}", short(others.into_iter())));
        }
        let mut found = Found::new(Family::Arrays, layers);
        found.layout = layout.transpose()?.unwrap_or(Layout::Torch);
        found.prior_sigma = self.source.prior_sigma;
        found.notes = notes;
        Ok(found)
    }
}
