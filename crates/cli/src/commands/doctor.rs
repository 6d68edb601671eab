//! `qbnn doctor`: what a person asks before reporting that something is slow, missing or broken.

use crate::layout::{Medium, wrap};
use crate::session::Session;
use anyhow::Result;
use qbnn::experiment::locations;
use qbnn::provenance::Machine;
use qbnn_core::kernel::Kernel;
use qbnn_data::SetReport;
use serde_json::json;
use std::path::PathBuf;

/// Looks, and says what it found and what would be better.
pub fn doctor(session: &Session, data_dir: Option<PathBuf>) -> Result<()> {
    let machine = Machine::here();
    let locations = locations(data_dir);
    let sets = qbnn_data::list(&locations)?;
    let threads = rayon::current_num_threads();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let kernels: Vec<_> = Kernel::available().map(|k| k.name()).collect();
    // A kernel that is forced and unknown is an error here as it is everywhere else.
    let kernel = Kernel::chosen()?.name();
    let advice = advice(&machine, &sets, threads);
    let folder = std::env::current_dir().map(|p| p.display().to_string()).unwrap_or_default();
    let used = |r: &SetReport| r.used().map(|p| p.folder.display().to_string());
    if session.ui.json {
        let data: Vec<_> = sets
            .iter()
            .map(|r| json!({ "name": r.set.name, "complete": r.used().is_some(), "folder": used(r) }))
            .collect();
        return session.ui.json_line(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "build": build,
            "machine": machine,
            "vectors": vectors(&machine),
            "kernel": kernel,
            "kernels": kernels,
            "threads": threads,
            "png": cfg!(feature = "png"),
            "folder": folder,
            "writable": writable(),
            "data": data,
            "searched": locations.roots().iter().map(|r| r.1.display().to_string()).collect::<Vec<_>>(),
            "advice": advice,
        }));
    }
    let line = |what: &str, value: &str| match session.ui.medium() {
        // Later lines of a long value stand under its first.
        Medium::Terminal(columns) => session.ui.result(&under(what, value, columns)),
        Medium::Lines => session.ui.result(&format!("{what:<9} {value}")),
    };
    line("qbnn", &format!("{}, {build} build", env!("CARGO_PKG_VERSION")))?;
    line("cpu", &format!("{}, {} cores, {}", machine.cpu, machine.cores, machine.system))?;
    let features = if machine.features.is_empty() { "none known".to_owned() } else { machine.features.join(" ") };
    line("features", &features)?;
    line("vectors", vectors(&machine))?;
    line("kernel", &format!("{kernel}, for the integer runtime (this CPU has {})", kernels.join(", ")))?;
    line("threads", &format!("{threads} (results do not depend on it)"))?;
    line("folder", &format!("{folder}, {}", if writable() { "can be written" } else { "cannot be written" }))?;
    let embedded = super::data::embedded()?.into_iter().map(|d| format!("{d}: embedded, always there"));
    let place = |report: &SetReport| used(report).unwrap_or_else(|| "not there".into());
    let lines = embedded.chain(sets.iter().map(|report| format!("{}: {}", report.set, place(report))));
    for (i, text) in lines.enumerate() {
        line(if i == 0 { "data" } else { "" }, &text)?;
    }
    let roots: Vec<_> = locations.roots().iter().map(|(o, p)| format!("{} ({o})", p.display())).collect();
    line("searched", &if roots.is_empty() { "nowhere; give --data-dir".into() } else { roots.join(", then ") })?;
    for (i, text) in advice.iter().enumerate() {
        line(if i == 0 { "advice" } else { "" }, text)?;
    }
    if advice.is_empty() { line("advice", "none: all is well") } else { Ok(()) }
}

/// A name and its value, whose later lines begin below the first where there is room.
fn under(what: &str, value: &str, columns: usize) -> String {
    if columns <= 40 {
        return wrap(&format!("{what} {value}"), columns, 2);
    }
    let value = wrap(value, columns - 10, 0).replace('\n', "\n          ");
    format!("{what:<9} {value}")
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

fn advice(machine: &Machine, sets: &[SetReport], threads: usize) -> Vec<String> {
    let mut advice = Vec::new();
    if cfg!(debug_assertions) {
        advice.push("this is a debug build, many times slower: use `cargo build --release`".to_owned());
    }
    if threads > machine.cores {
        advice.push(format!("{threads} threads on {} cores are slower than {0}: leave out --threads", machine.cores));
    }
    if cfg!(target_arch = "x86_64") && !machine.features.iter().any(|f| f == "avx2") {
        advice.push("this CPU has no AVX2: everything works, training takes several times as long".to_owned());
    }
    if !writable() {
        advice.push("run folders cannot be made here: change to another folder, or give --out".to_owned());
    }
    for report in sets.iter().filter(|r| r.used().is_none()) {
        advice.push(format!("get {0} with `qbnn data fetch {0}`, or name its folder with --data-dir", report.set));
    }
    advice
}
