//! What can be typed after `qbnn bench`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchCommand {
    /// What else to measure.
    #[command(subcommand)]
    pub action: Option<BenchAction>,
    /// Running models.
    #[command(flatten)]
    pub run: BenchRunArgs,
}

/// `bench …`.
#[derive(Debug, Subcommand)]
pub enum BenchAction {
    /// Training steps against their bare matrix products, with a profile by part.
    #[command(
        after_help = "Examples:\n  qbnn bench train\n  qbnn bench train --net mlp --batch 128 --bench-threads 1 --quick\n  \
        qbnn bench train --json > train.json"
    )]
    Train(BenchTrainArgs),
}

/// `bench`, of running models.
#[derive(Debug, Args)]
pub struct BenchRunArgs {
    /// Model files (.qbnn) [default: lenet5 and mlp, untrained].
    pub models: Vec<PathBuf>,
    /// Images that run together [default: 1, 10, 100 and 1000].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: Vec<u32>,
    /// Threads to measure with [default: 1 and 2].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub bench_threads: Vec<u16>,
    /// How long.
    #[command(flatten)]
    pub effort: EffortArgs,
}

/// How much is done, and what is kept of it.
#[derive(Debug, Args)]
pub struct EffortArgs {
    /// Fewer and shorter rounds: rough figures.
    #[arg(long)]
    pub quick: bool,
    /// Write the result into this folder too, under its date.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
}

/// `bench train`.
#[derive(Debug, Args)]
pub struct BenchTrainArgs {
    /// Networks to measure: lenet5, mlp, residual [default: all].
    #[arg(long, value_name = "NET", value_delimiter = ',')]
    pub net: Vec<String>,
    /// Training pairs per step [default: 32, 128 and 512].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: Vec<u32>,
    /// Threads to measure with [default: 1 and 2].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub bench_threads: Vec<u16>,
    /// How long.
    #[command(flatten)]
    pub effort: EffortArgs,
}
