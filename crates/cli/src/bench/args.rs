//! What can be typed after `qbnn bench`.

use clap::{Args, Subcommand};

/// `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Training steps against their bare matrix products, with a profile by part.
    #[command(
        after_help = "Examples:\n  qbnn bench train\n  qbnn bench train --net mlp --batch 128 --bench-threads 1 --quick\n  \
        qbnn bench train --json > train.json"
    )]
    Train(BenchTrainArgs),
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
    /// Fewer and shorter rounds: rough figures.
    #[arg(long)]
    pub quick: bool,
}
