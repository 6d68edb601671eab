//! The computer that a record was taken on.

use serde::Serialize;

/// What a record says of the computer.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name, where the system tells.
    pub cpu: Option<String>,
    /// Cores that the program may use.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Version of the program.
    pub version: &'static str,
}

impl Machine {
    /// The computer that runs this program.
    pub fn here() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let named = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Machine {
            cpu: named.map(|(_, name)| name.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Lets the peak of memory begin anew, where the system can.
pub fn reset_peak() {
    // Linux alone has it; elsewhere the peak stays unknown, see `peak_bytes`.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The largest amount of memory held since the last reset, where the system tells.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

/// Seconds that this thread has been ready to run, so far, and had no core, where the system tells.
pub fn waited() -> Option<f64> {
    // Linux: nanoseconds of running, of waiting, and the number of turns.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().nth(1)?.parse::<f64>().ok().map(|ns| ns * 1e-9)
}
