//! `provenance.json`: which commands made a run folder, when, with which version, on which machine.
//!
//! It stands beside `metrics.json` and not in it: the same experiment gives the same metrics on every machine.

use crate::error::{Error, Result};
use crate::input;
use crate::observer::Observer;
use crate::output::write_whole;
use crate::run_folder::{PROVENANCE, RunFolder};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One command that worked on the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// As typed.
    pub command: String,
    /// When it began, UTC.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Version of qbnn.
    pub version: String,
    /// Threads that it used. Results do not depend on them.
    pub threads: usize,
    /// On what.
    pub machine: Machine,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name, where the system tells it.
    pub cpu: String,
    /// Logical cores.
    pub cores: usize,
    /// System and architecture, such as `linux x86_64`.
    pub system: String,
    /// What of its vector units matters here.
    pub features: Vec<String>,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let (system, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Machine {
            cpu: cpu_name().unwrap_or_else(|| arch.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{system} {arch}"),
            features: features().into_iter().map(str::to_owned).collect(),
        }
    }
}

fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name") || l.starts_with("Model"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let all = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("avxvnni", std::is_x86_feature_detected!("avxvnni")),
    ];
    all.into_iter().filter(|f| f.1).map(|f| f.0).collect()
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    let all = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve2", std::arch::is_aarch64_feature_detected!("sve2")),
    ];
    all.into_iter().filter(|f| f.1).map(|f| f.0).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

/// The steps of a folder, oldest first; none where nothing readable is there.
pub fn read(folder: &RunFolder) -> Vec<Step> {
    let text = input::bytes(&folder.path().join(PROVENANCE), input::JSON).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Adds a command, which took so long until now, to the folder's steps.
///
/// # Errors
/// [`Error::Io`]: a file that cannot be written.
pub fn append(observer: &dyn Observer, folder: &RunFolder, command: String, elapsed: Duration) -> Result<()> {
    let path = folder.path().join(PROVENANCE);
    let mut steps = read(folder);
    if steps.is_empty() && std::fs::metadata(&path).is_ok_and(|m| m.len() > 0) {
        // Nothing of it is lost: a person may be able to read it.
        let kept = folder.path().join("provenance.damaged.json");
        std::fs::rename(&path, &kept).map_err(Error::io("rename", &path))?;
        observer.warn(&format!("{} cannot be read; it is kept as {}", path.display(), kept.display()));
    }
    let started = jiff::Timestamp::now() - jiff::SignedDuration::try_from(elapsed).unwrap_or_default();
    steps.push(Step {
        command,
        started: started.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        seconds: (elapsed.as_secs_f64() * 10.0).round() / 10.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        threads: rayon::current_num_threads(),
        machine: Machine::here(),
    });
    let mut bytes = serde_json::to_vec_pretty(&steps).map_err(Error::encode("the provenance"))?;
    bytes.push(b'\n');
    write_whole(&path, &bytes)
}

/// The steps in pairs for a page.
pub fn in_words(steps: &[Step]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for step in steps {
        let Step { command, started, seconds, version, threads, .. } = step;
        let plural = if *threads == 1 { "" } else { "s" };
        let took = format!("{started}, {seconds:.0} s, {threads} thread{plural}, qbnn {version}");
        pairs.push(("command".to_owned(), format!("{command} ({took})")));
    }
    let mut machines: Vec<&Machine> = Vec::new();
    for step in steps {
        if !machines.contains(&&step.machine) {
            machines.push(&step.machine);
        }
    }
    for m in machines {
        let plural = if m.cores == 1 { "" } else { "s" };
        let features = if m.features.is_empty() { String::new() } else { format!(", {}", m.features.join(" ")) };
        pairs.push(("machine".to_owned(), format!("{}, {} core{plural}, {}{features}", m.cpu, m.cores, m.system)));
    }
    pairs
}
