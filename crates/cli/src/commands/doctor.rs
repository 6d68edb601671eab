//! `qbnn doctor`: what a person asks before reporting that something is slow, missing or broken.

use crate::layout::{Medium, wrap};
use crate::session::Session;
use anyhow::Result;
use qbnn::environment::{Environment, SetPlace};
use std::path::PathBuf;

/// Looks, and says what it found and what would be better.
pub fn doctor(session: &Session, data_dir: Option<PathBuf>) -> Result<()> {
    let here = Environment::here(data_dir, rayon::current_num_threads())?;
    if session.ui.json {
        let mut json = serde_json::to_value(&here)?;
        json["png"] = cfg!(feature = "png").into();
        return session.ui.json_line(&json);
    }
    let line = |what: &str, value: &str| match session.ui.medium() {
        // Later lines of a long value stand under its first.
        Medium::Terminal(columns) => session.ui.result(&under(what, value, columns)),
        Medium::Lines => session.ui.result(&format!("{what:<9} {value}")),
    };
    let Environment { version, build, machine, kernel, threads, folder, .. } = &here;
    line("qbnn", &format!("{version}, {build} build"))?;
    line("cpu", &format!("{}, {} cores, {}", machine.cpu, machine.cores, machine.system))?;
    let features = if machine.features.is_empty() { "none known".to_owned() } else { machine.features.join(" ") };
    line("features", &features)?;
    line("vectors", here.vectors)?;
    line("kernel", &format!("{kernel}, for the integer runtime (this CPU has {})", here.kernels.join(", ")))?;
    line("threads", &format!("{threads} (results do not depend on it)"))?;
    line("folder", &format!("{folder}, {}", if here.writable { "can be written" } else { "cannot be written" }))?;
    let embedded = super::data::embedded()?.into_iter().map(|d| format!("{d}: embedded, always there"));
    let place = |set: &SetPlace| format!("{}: {}", set.name, set.folder.as_deref().unwrap_or("not there"));
    for (i, text) in embedded.chain(here.data.iter().map(place)).enumerate() {
        line(if i == 0 { "data" } else { "" }, &text)?;
    }
    let searched = here.searched.join(", then ");
    line("searched", if searched.is_empty() { "nowhere; give --data-dir" } else { &searched })?;
    for (i, text) in here.advice.iter().enumerate() {
        line(if i == 0 { "advice" } else { "" }, text)?;
    }
    if here.advice.is_empty() { line("advice", "none: all is well") } else { Ok(()) }
}

/// A name and its value, whose later lines begin below the first where there is room.
fn under(what: &str, value: &str, columns: usize) -> String {
    if columns <= 40 {
        return wrap(&format!("{what} {value}"), columns, 2);
    }
    let value = wrap(value, columns - 10, 0).replace('\n', "\n          ");
    format!("{what:<9} {value}")
}
