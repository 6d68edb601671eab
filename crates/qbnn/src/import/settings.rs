//! The settings of a run that is imported: what was told, what the file says of itself, and nothing trained.

use super::found::Found;
use super::network;
use crate::config::{Config, Layers};
use crate::error::{Error, Result};
use crate::preprocess::Prepared;
use std::path::Path;
use toml::Value;

/// What is told of a posterior besides its tensors.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Mean and standard deviation of the source's pixels, in units of 255.
    pub pixels: [Option<f64>; 2],
    /// Standard deviation of the prior.
    pub prior_sigma: Option<f64>,
    /// Weight of the KL divergence.
    pub kl_weight: Option<f64>,
    /// Whether the network is to be proposed from the shapes of its layers.
    pub proposed: bool,
    /// Activation functions to replace: `OLD=NEW`.
    pub replace: Vec<String>,
}

impl Given {
    /// Puts settings on layers that name data and, as far as it is named, the network. What is told counts over what the
    /// file says of itself.
    ///
    /// # Errors
    /// [`Error::Settings`] of data or a network that neither is named nor described by the file.
    pub fn put(&self, file: &Path, found: &Found, layers: &mut Layers) -> Result<()> {
        if !layers.names_data() {
            return Err(Error::settings("--data", "name the data that the network was trained on"));
        }
        if !layers.names_network() && !self.proposed && found.described.is_none() {
            let wanted = "describe the network that was trained: lenet5, mlp, a TOML file, or auto to have it proposed from \
                          the shapes of its layers";
            return Err(Error::settings("--net", wanted));
        }
        let of_file = found.described.as_ref();
        let [mean, std] = self.pixels;
        let pixels = match (mean, std, of_file) {
            (None, None, Some(of_file)) => {
                let pixels = of_file.normalisation;
                [Some(f64::from(pixels.mean)), Some(f64::from(pixels.std))]
            }
            _ => [mean, std],
        };
        let prior = self.prior_sigma.or(found.prior_sigma).or(of_file.map(|of_file| of_file.prior_sigma.into()));
        for (key, value) in [
            ("data.mean", pixels[0]),
            ("data.std", pixels[1]),
            ("train.prior_sigma", prior),
            ("train.kl_weight", self.kl_weight),
        ] {
            value.into_iter().for_each(|value| layers.flag(key, Value::Float(value)));
        }
        layers.flag("train.epochs", Value::Integer(0));
        let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        layers.flag("imported", Value::String(name));
        Ok(())
    }

    /// Sees to the network of settings that name none, and to the functions to replace. `is_named` says whether they name
    /// one. Gives what was done, in sentences.
    ///
    /// # Errors
    /// [`Error::Posterior`] where nothing can be proposed; those of [`network::replace`].
    pub fn network(
        &self,
        file: &Path,
        found: &Found,
        is_named: bool,
        config: &mut Config,
        data: &Prepared<'_>,
    ) -> Result<Vec<String>> {
        let mut done = Vec::new();
        let classes = data.dataset.classes();
        if self.proposed {
            let spec = network::propose(found, data.shape(), classes).map_err(|e| Error::posterior(file, e))?;
            done.push(
                "the network is proposed from the shapes of its layers, with relu between them and max-pools: compare it \
                 with its source (--check), or describe it"
                    .to_owned(),
            );
            network::put(config, spec);
        } else if let (false, Some(described)) = (is_named, &found.described) {
            network::put(config, described.network.clone());
        }
        for replacement in &self.replace {
            network::replace(config, classes, replacement)?;
            done.push(format!("activation functions are replaced ({replacement}): the source is another network"));
        }
        config.name = format!("{}-{}", config.data.name, config.network.title());
        Ok(done)
    }
}
