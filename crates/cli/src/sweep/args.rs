//! What can be typed after `qbnn sweep`.

use clap::Args;
use std::path::PathBuf;

/// `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// What to run: a TOML file of questions (several with --report).
    #[arg(value_name = "SPEC", required = true)]
    pub specs: Vec<PathBuf>,
    /// Folder of ledger, float networks and tables [default: runs/sweep-NAME].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder of float networks, to share them between sweeps [default: float in the folder above].
    #[arg(long, value_name = "DIR")]
    pub floats: Option<PathBuf>,
    /// List what is left to do, with an estimate of the time, and do nothing.
    #[arg(long, conflicts_with_all = ["tables", "report"])]
    pub dry_run: bool,
    /// Show the tables of what is done, and do nothing.
    #[arg(long, conflicts_with = "report")]
    pub tables: bool,
    /// Runs side by side, each with its share of the threads [default: one per thread]. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Do only part I of N of the runs; each part has its own ledger, tables read all of them.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Keep what an earlier version of the spec left in the ledger, where it is still asked for.
    #[arg(long)]
    pub adopt: bool,
    /// Take over what other sweeps have done already, where it is asked for here too: their ledgers, or folders of them;
    /// may be repeated.
    #[arg(long, value_name = "LEDGER")]
    pub known: Vec<PathBuf>,
    /// Make runs again that failed.
    #[arg(long)]
    pub retry: bool,
    /// Write the answers of all SPECs, from their ledgers, as one Markdown page, and do nothing.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Folder of the ledgers NAME.jsonl for --report [default: ledgers beside each SPEC].
    #[arg(long, value_name = "DIR", requires = "report")]
    pub ledgers: Option<PathBuf>,
}

/// A part of a sweep.
#[derive(Clone, Copy, Debug)]
pub struct Shard {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) && of <= 10_000 => Ok(Shard { index, of }),
            _ => Err(format!("`{text}`: wanted I/N with 1 <= I <= N, such as 2/8")),
        }
    }
}
