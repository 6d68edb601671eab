//! From settings to what they name: data, network.

use crate::config::Config;
use crate::error::Result;
use crate::preprocess::Prepared;
use etcetera::BaseStrategy;
use qbnn_bnn::internals::nn::limit;
use qbnn_bnn::{Network, NetworkSpec};
use qbnn_data::{Catalogue, Dataset, Limits, Locations};
use std::path::PathBuf;

/// Where data is searched: the named folder, `$QBNN_DATA`, the user's cache.
pub fn locations(named: Option<PathBuf>) -> Locations {
    let cache = etcetera::choose_base_strategy().ok().map(|s| s.cache_dir().join("qbnn"));
    Locations::from_environment(named, cache)
}

/// The built-in datasets by name, as help texts list them.
pub fn datasets() -> String {
    let all = Catalogue::built_in().map(|all| all.datasets().map(|d| d.0.name.as_str()).collect::<Vec<_>>().join(", "));
    all.unwrap_or_else(|e| e.to_string())
}

/// Loads the data of an experiment.
///
/// # Errors
/// [`crate::Error::Data`]: those of [`qbnn_data::load`], among them a group without images.
pub fn load(config: &Config) -> Result<Dataset> {
    let limits = Limits { train_limit: config.data.train_limit, group_limit: config.data.group_limit };
    Ok(qbnn_data::load(&config.data.name, &locations(config.data.dir.clone()), config.seed, limits)?)
}

/// Builds the network of an experiment for its data; an error comes before any folder is made.
///
/// # Errors
/// [`crate::Error::UnknownName`]; [`crate::Error::Bnn`] of a network that does not fit the data, or takes more memory than any may.
pub fn network(config: &Config, data: &Prepared<'_>) -> Result<(NetworkSpec, Network)> {
    let spec = config.network.spec(data.dataset.classes())?;
    let net = Network::new(&spec, data.shape(), data.dataset.classes())?;
    limit::training(&net, config.train.batch)?;
    Ok((spec, net))
}
