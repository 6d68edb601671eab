//! Where this program runs: what a person asks before reporting that something is slow, missing or broken.

use crate::error::Result;
use crate::experiment::locations;
use crate::provenance::Machine;
use qbnn_bnn::predictor::kernel;
use qbnn_core::kernel::Kernel;
use serde::Serialize;
use std::path::PathBuf;

/// What is there, and what would be better. Nothing is written.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Version of qbnn.
    pub version: &'static str,
    /// `debug` or `release`.
    pub build: &'static str,
    /// The machine.
    pub machine: Machine,
    /// The widest vectors that training and prediction in float use here, in words.
    pub vectors: &'static str,
    /// The kernel of the integer runtime.
    pub kernel: &'static str,
    /// Every kernel that this processor has.
    pub kernels: Vec<&'static str>,
    /// Threads to compute with.
    pub threads: usize,
    /// The current folder.
    pub folder: String,
    /// Whether a run folder can be made in it.
    pub writable: bool,
    /// Sets that need files.
    pub data: Vec<SetPlace>,
    /// Folders that are searched for data, in order.
    pub searched: Vec<String>,
    /// What would be better, each in a sentence with its fix.
    pub advice: Vec<String>,
}

/// Where a set lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetPlace {
    /// Its name.
    pub name: String,
    /// Whether all its files are in one folder.
    pub complete: bool,
    /// This folder.
    pub folder: Option<String>,
    /// How its files come there.
    #[serde(skip)]
    pub how: String,
}

impl Environment {
    /// Looks. `data_dir` is searched for data first; `threads` are those that would be used.
    ///
    /// # Errors
    /// [`crate::Error::Bnn`] of a kernel that is named by the environment and unknown; [`crate::Error::Data`].
    pub fn here(data_dir: Option<PathBuf>, threads: usize) -> Result<Self> {
        let locations = locations(data_dir);
        let sets = qbnn_data::list(&locations)?;
        let data = sets.iter().map(|report| {
            let folder = report.used().map(|place| place.folder.display().to_string());
            let (name, how) = (report.set.name.clone(), report.set.how_to_get());
            SetPlace { name, complete: folder.is_some(), folder, how }
        });
        let machine = Machine::here();
        let mut here = Environment {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            vectors: vectors(&machine),
            // A kernel that is forced and unknown is an error here as it is everywhere else.
            kernel: kernel()?.name(),
            kernels: Kernel::available().map(|kernel| kernel.name()).collect(),
            threads,
            folder: std::env::current_dir().map(|p| p.display().to_string()).unwrap_or_default(),
            writable: writable(),
            data: data.collect(),
            searched: locations.roots().iter().map(|root| format!("{} ({})", root.1.display(), root.0)).collect(),
            machine,
            advice: Vec::new(),
        };
        here.advice = here.advise();
        Ok(here)
    }

    fn advise(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if cfg!(debug_assertions) {
            advice.push("this is a debug build, many times slower: use `cargo build --release`".to_owned());
        }
        let cores = self.machine.cores;
        if self.threads > cores {
            advice.push(format!(
                "{} threads on {cores} cores are slower than {cores}: leave out --threads",
                self.threads
            ));
        }
        if cfg!(target_arch = "x86_64") && !self.machine.features.iter().any(|f| f == "avx2") {
            advice.push("this CPU has no AVX2: everything works, training takes several times as long".to_owned());
        }
        if !self.writable {
            advice.push("run folders cannot be made here: change to another folder, or give --out".to_owned());
        }
        for SetPlace { name, how, .. } in self.data.iter().filter(|set| !set.complete) {
            advice.push(format!("to have {name}: {how}, or name its folder with --data-dir"));
        }
        advice
    }
}

/// The widest vectors that the loops of training and prediction are compiled for and this CPU has.
fn vectors(machine: &Machine) -> &'static str {
    let has = |name: &str| machine.features.iter().any(|f| f == name);
    if cfg!(target_arch = "aarch64") {
        "128 bits (NEON)"
    } else if has("avx512f") && has("avx512bw") {
        "512 bits (AVX-512)"
    } else if has("avx2") && has("fma") {
        "256 bits (AVX2, FMA)"
    } else {
        "128 bits or none: training is slow here"
    }
}

/// Whether a run folder can be made here: the system is asked, nothing is written.
#[cfg(unix)]
fn writable() -> bool {
    use nix::unistd::{AccessFlags, access};
    access(".", AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Whether a run folder can be made here, as far as the folder itself tells.
#[cfg(not(unix))]
fn writable() -> bool {
    std::fs::metadata(".").is_ok_and(|folder| !folder.permissions().readonly())
}
