//! What every command shares: how to show things, whether to stop, and where data lies.

use crate::config::Config;
use crate::convert::Prepared;
use crate::failure::STOPPED;
use crate::table::thousands;
use crate::ui::{Ui, note};
use anyhow::{Context, Result, bail};
use etcetera::BaseStrategy;
use qbnn_bnn::NetworkSpec;
use qbnn_bnn::files::Writing;
use qbnn_bnn::nn::{Network, limit};
use qbnn_data::{Dataset, Limits, Locations};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether the user asked to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// How long a command has to come to its own end after it was asked to stop.
const GRACE: Duration = Duration::from_millis(700);
/// How often it is looked whether nothing is being written.
const LOOK: Duration = Duration::from_millis(20);

/// Whether the user asked to stop.
pub fn is_stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The session of one command.
#[derive(Clone, Debug)]
pub struct Session {
    /// How to show things.
    pub ui: Ui,
    began: Instant,
}

impl Session {
    /// Begins: from here on the first Ctrl-C (or SIGTERM, or a closed terminal) asks to stop, the second one ends the
    /// program at once.
    ///
    /// A command that looks at [`Session::stopped`] says where it is and how to go on. One that cannot, because it waits
    /// for a pipe or is in the middle of a long computation, is ended for it after [`GRACE`], but never while a file is
    /// being written: what lies on the disk is then what a kill would leave, and every command goes on from that.
    pub fn new(ui: Ui) -> Result<Self> {
        let handler = || {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(STOPPED.into());
            }
            // Apart from the handler, which must hear the second signal.
            if std::thread::Builder::new().spawn(end).is_err() {
                end();
            }
        };
        ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
        Ok(Session { ui, began: Instant::now() })
    }

    /// Time since the command began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the user asked to stop.
    pub fn stopped(&self) -> bool {
        is_stopped()
    }
}

/// Ends the program that was asked to stop and has not done so.
fn end() {
    std::thread::sleep(GRACE);
    while Writing::is_on() {
        std::thread::sleep(LOOK);
    }
    // A stderr that nobody reads must not keep it.
    let say = || note("error: stopped; what was written before is whole, the same command begins again");
    let _ = std::thread::Builder::new().spawn(say);
    std::thread::sleep(2 * LOOK);
    std::process::exit(STOPPED.into());
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
    limit::training(&net, config.train.batch)?;
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
