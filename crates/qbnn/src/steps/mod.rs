//! The steps of an experiment as a front end takes them, each a whole: settings and paths in, files of a run folder out.
//!
//! [`start`] opens the folder of a new run or of one that goes on; [`train`](fn@train), [`run`], [`quantize`](fn@quantize),
//! [`evaluate`](fn@evaluate), [`calibrate`](fn@calibrate), [`import`](fn@import), [`export`](fn@export) and
//! [`report`](fn@report) do the work and give what there is to show. What is about to happen is told
//! as [`Event::Begins`](crate::Event::Begins).

pub mod calibrate;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod quantize;
pub mod report;
pub mod select;
pub mod start;
pub mod train;

pub use calibrate::{calibrate, remove_decisions};
pub use evaluate::{Evaluation, Measured, evaluate};
pub use export::{Exported, export};
pub use import::{Imported, Importing, import};
pub use quantize::quantize;
pub use report::{Reported, Reporting, report};
pub use start::{NewRun, Start};
pub use train::{Ran, Trained, run, train};

use crate::config::{Config, Layers};
use crate::error::Result;
use crate::observer::Observer;
use crate::preprocess::Prepared;
use crate::provenance;
use crate::run_folder::RunFolder;
use qbnn_bnn::Network;
use std::fmt;
use std::path::Path;
use std::time::Instant;

/// Settings on top of those of a run folder's config, where one is given.
pub type OnTopOf<'a> = &'a dyn Fn(Option<&Path>) -> Result<Layers>;

/// Who takes a step.
pub struct Caller<'a> {
    /// Hears what happens, and says whether to stop.
    pub observer: &'a dyn Observer,
    /// The command or call, for the provenance of a run folder.
    pub command: String,
    /// When it began.
    pub began: Instant,
}

impl Caller<'_> {
    /// Adds this call to the steps of a run folder.
    ///
    /// # Errors
    /// As [`provenance::append`].
    pub fn record(&self, folder: &RunFolder) -> Result<()> {
        provenance::append(self.observer, folder, self.command.clone(), self.began.elapsed())
    }
}

/// What is about to happen.
#[derive(Clone, Copy)]
pub struct Beginning<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The data.
    pub data: &'a Prepared<'a>,
    /// The network.
    pub network: &'a Network,
    /// Whether the network is to be trained in float, or goes on with that.
    pub trains: bool,
}

impl fmt::Debug for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.network.spec.name, self.data.dataset.name)
    }
}
