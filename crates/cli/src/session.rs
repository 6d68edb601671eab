//! What every command shares: how to show things, whether to stop, and where data lies.

use crate::config::Config;
use crate::convert::Prepared;
use crate::table::thousands;
use crate::ui::Ui;
use anyhow::{Context, Result, bail};
use etcetera::BaseStrategy;
use qbnn_bnn::NetworkSpec;
use qbnn_bnn::nn::Network;
use qbnn_data::{Dataset, Limits, Locations};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The session of one command.
#[derive(Clone, Debug)]
pub struct Session {
    /// How to show things.
    pub ui: Ui,
    stop: Arc<AtomicBool>,
    began: Instant,
}

impl Session {
    /// Begins: from here on the first Ctrl-C asks to stop, the second one ends the program.
    pub fn new(ui: Ui) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let handler = move || {
            if asked.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
        Ok(Session { ui, stop, began: Instant::now() })
    }

    /// Time since the command began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the user asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Where data is searched: the named folder, `$QBNN_DATA`, the user's cache.
pub fn locations(named: Option<PathBuf>) -> Locations {
    let cache = etcetera::choose_base_strategy().ok().map(|s| s.cache_dir().join("qbnn"));
    Locations::from_environment(named, cache)
}

/// Loads the data of an experiment.
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
pub fn network(config: &Config, data: &Prepared<'_>) -> Result<(NetworkSpec, Network)> {
    let spec = config.network.spec(data.dataset.classes)?;
    let net = Network::new(&spec, data.shape(), data.dataset.classes)?;
    Ok((spec, net))
}

/// One line on what is about to happen.
pub fn headline(config: &Config, data: &Prepared<'_>, net: &Network) -> String {
    let d = data.dataset;
    format!(
        "{}: {} training pairs, {} clean, {} ambiguous, {} ood; {}: {} parameters; seed {}; {} threads",
        d.name,
        thousands(d.train.pairs.len() as u64),
        thousands(d.clean.images.len() as u64),
        thousands(d.ambiguous.as_ref().map_or(0, |g| g.images.len()) as u64),
        thousands(d.ood.images.len() as u64),
        net.spec.name,
        thousands(net.parameters() as u64),
        config.seed,
        rayon::current_num_threads(),
    )
}
