//! From settings to what they name: data, network.

use crate::config::Config;
use crate::preprocess::Prepared;
use anyhow::{Result, bail};
use etcetera::BaseStrategy;
use qbnn_bnn::NetworkSpec;
use qbnn_bnn::nn::{Network, limit};
use qbnn_data::{Dataset, Limits, Locations};
use std::path::PathBuf;

/// Where data is searched: the named folder, `$QBNN_DATA`, the user's cache.
pub fn locations(named: Option<PathBuf>) -> Locations {
    let cache = etcetera::choose_base_strategy().ok().map(|s| s.cache_dir().join("qbnn"));
    Locations::from_environment(named, cache)
}

/// Loads the data of an experiment.
///
/// # Errors
/// Those of [`qbnn_data::load`]; a group without images.
pub fn load(config: &Config) -> Result<Dataset> {
    let limits = Limits { train_limit: config.data.train_limit, group_limit: config.data.group_limit };
    let dataset = qbnn_data::load(&config.data.name, &locations(config.data.dir.clone()), config.seed, limits)?;
    let groups = [
        ("training", dataset.train.pairs.len()),
        ("validation", dataset.validation.images.len()),
        ("clean", dataset.clean.images.len()),
        ("ambiguous", dataset.ambiguous.as_ref().map_or(1, |g| g.images.len())),
        ("ood", dataset.ood.images.len()),
    ];
    match groups.into_iter().find(|g| g.1 == 0) {
        None => Ok(dataset),
        Some((group, _)) => bail!(
            "the {group} group of {} holds no image; check its files, `qbnn data fetch` downloads them again",
            dataset.name
        ),
    }
}

/// Builds the network of an experiment for its data; an error comes before any folder is made.
///
/// # Errors
/// A network that does not exist, does not fit the data, or takes more memory than any may.
pub fn network(config: &Config, data: &Prepared<'_>) -> Result<(NetworkSpec, Network)> {
    let spec = config.network.spec(data.dataset.classes)?;
    let net = Network::new(&spec, data.shape(), data.dataset.classes)?;
    limit::training(&net, config.train.batch)?;
    Ok((spec, net))
}
