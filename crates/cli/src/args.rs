//! What can be typed: the commands and their flags. Flags that stand for settings are in [`crate::settings`].

use crate::commands::bench::args::BenchCommand;
use crate::commands::calibrate::CalibrateCommand;
use crate::commands::check::CheckCommand;
use crate::commands::data::DataCommand;
use crate::commands::eval::EvalCommand;
use crate::commands::export::ExportCommand;
use crate::commands::import::ImportCommand;
use crate::commands::inspect::InspectCommand;
use crate::commands::predict::{HOW, PredictCommand};
use crate::commands::report::ReportCommand;
use crate::settings::{QuantizeCommand, RunArgs, SettingArgs};
use crate::sweep::args::SweepArgs;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Train, quantize and evaluate Bayesian neural networks.
#[derive(Debug, Parser)]
#[command(name = "qbnn", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  qbnn run                     everything once, on embedded data, in half a minute\n  \
    qbnn run --data dirty-mnist --net lenet5 --seed 1"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Show nothing but results and errors.
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Print the result as one JSON object on stdout.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Threads to compute with [default: all cores]. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train in float, quantize, evaluate both, write it all into one run folder.
    #[command(
        after_help = "Examples:\n  qbnn run\n  qbnn run --data dirty-mnist --net lenet5 --seed 1 --out runs/first\n  \
        qbnn run --config runs/first/config.toml --seed 2\n  qbnn run --resume runs/first"
    )]
    Run(RunArgs),
    /// Train in float into a run folder, or go on with a training that was stopped.
    #[command(
        after_help = "Examples:\n  qbnn train --net mlp --epochs 5 --out runs/mlp\n  qbnn train --resume runs/mlp"
    )]
    Train(RunArgs),
    /// Quantize a float checkpoint, with training through the quantizers or without.
    #[command(after_help = "Examples:\n  qbnn quantize runs/mlp --bits 4\n  \
        qbnn quantize runs/mlp --strategy vpq --bits w4a8 --qat-epochs 0")]
    Quantize(QuantizeCommand),
    /// Evaluate checkpoints, model files and ensembles side by side and write metrics.json.
    #[command(after_help = "Examples:\n  qbnn eval runs/mlp --samples 100\n  \
        qbnn eval runs/a/float.safetensors runs/b/jq-mu4s2w8a4.safetensors --out both.json\n  \
        qbnn eval model.qbnn --data mnist --test ood:letters=letters/ --test shifted:mine=mine.npz --out mine.json")]
    Eval(EvalCommand),
    /// Measure what a finished model decides (class sets, abstaining, unknown images) and store it in its file.
    #[command(after_help = "Examples:\n  qbnn calibrate runs/first/jq-mu4s2w8a4.qbnn\n  \
        qbnn calibrate model.qbnn --data mnist --error 0.01 --false-alarms 0.05 --alpha 0.1 --conformal aps")]
    Calibrate(CalibrateCommand),
    /// Make a run folder of a posterior that another program trained: Pyro, Bayesian-Torch, numpyro and others.
    #[command(after_help = "Examples:\n  \
        qbnn import params.pt --net lenet5 --data mnist --mean 0.1307 --std 0.3081 --out runs/pyro\n  \
        qbnn import state.npz --net mine.toml --data mine.npz --mean 0 --std 1 --out runs/mine --dry-run")]
    Import(ImportCommand),
    /// Write the posterior of a run as arrays that any program reads, and `import` too.
    #[command(after_help = "Examples:\n  qbnn export runs/first --out posterior.safetensors\n  \
        qbnn export runs/first/jq-w4a4.safetensors --out quantized.npz")]
    Export(ExportCommand),
    /// Check that the integer runtime computes what training simulated: classes, probabilities, metrics.
    #[command(after_help = "Example:\n  qbnn check runs/first")]
    Check(CheckCommand),
    /// Write one HTML page about a run, several runs, or predictions of another program.
    #[command(after_help = "Examples:\n  qbnn report runs/first\n  qbnn report runs/first --svg figures\n  \
        qbnn report runs/seed-1 runs/seed-2 runs/seed-3 --out seeds.html\n  \
        qbnn report runs/sweep-smoke --out smoke.html\n  \
        qbnn report --predictions mine.npz --out mine.html\n\n\
        Predictions: arrays probs [S][N][C], and where there are any labels [N], groups [N] (clean, ambiguous, ood, or 0, \
        1, 2) and images [N][rows][columns]. Of several files the first is what the others are compared with.")]
    Report(ReportCommand),
    /// Run a grid of experiments from a file, over seeds; a sweep that was stopped or killed goes on.
    #[command(
        after_help = "Examples:\n  qbnn sweep experiments/smoke.toml --dry-run\n  qbnn sweep experiments/smoke.toml\n  \
        qbnn sweep night.toml --shard $SLURM_ARRAY_TASK_ID/8\n  \
        qbnn sweep experiments/*.toml --report docs/results.md"
    )]
    Sweep(SweepArgs),
    /// Predict images with a model file: class, probability, aleatoric and epistemic uncertainty.
    #[command(after_help = format!("Examples:\n  qbnn predict model.qbnn digit.png --invert\n  \
        qbnn predict model.qbnn pictures/ t10k-images-idx3-ubyte.gz --json > answers.jsonl\n  \
        cat digit.png | qbnn predict model.qbnn - --samples 100 --abstain-above 0.5 --format csv\n\n{}", HOW))]
    Predict(PredictCommand),
    /// Show what a model file holds and how this computer runs it.
    #[command(after_help = "Example:\n  qbnn inspect runs/mlp/jq-mu4s2w8a4.qbnn")]
    Inspect(InspectCommand),
    /// List, download or export data.
    #[command(after_help = "Examples:\n  qbnn data list\n  qbnn data fetch mnist\n  \
        qbnn data export strokes --group ood --index 0..3 pictures")]
    Data(DataCommand),
    /// Measure how fast models run, as fractions of what this core could do at best; or training.
    #[command(
        after_help = "Examples:\n  qbnn bench\n  qbnn bench runs/first/jq-mu4s2w8a4.qbnn --record bench/record\n  \
        qbnn bench train --quick"
    )]
    Bench(BenchCommand),
    /// Print the settings that `run` would use, as TOML.
    #[command(after_help = "Example:\n  qbnn config --data dirty-mnist > mine.toml")]
    Config(SettingArgs),
    /// Look at the machine: CPU, threads, data, folders; and say what would be better.
    #[command(after_help = "Examples:\n  qbnn doctor\n  qbnn doctor --json")]
    Doctor {
        /// Folder searched for data before $QBNN_DATA and the user's cache.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Print the manual page, or write one for every command.
    #[command(after_help = "Examples:\n  qbnn man | man -l -\n  qbnn man --out ~/.local/share/man/man1")]
    Man {
        /// Folder for the pages of all commands.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  qbnn completions bash > ~/.local/share/bash-completion/completions/qbnn")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}
