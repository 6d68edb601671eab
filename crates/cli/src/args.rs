//! What can be typed: commands, flags, and the settings that flags stand for.

use crate::config::{Config, Layers};
use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use qbnn_bnn::quant::settings::Widths;
use std::path::{Path, PathBuf};
use toml::Value;

/// Train, quantize and judge Bayesian neural networks.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  qbnn run                     everything once, on embedded data, in about two minutes\n  \
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
    /// Evaluate checkpoints side by side and write metrics.json.
    #[command(after_help = "Examples:\n  qbnn eval runs/mlp --samples 100\n  \
        qbnn eval runs/a/float.safetensors runs/b/jq-w4a4.safetensors --out both.json")]
    Eval(EvalCommand),
    /// Run a grid of experiments from a file, over seeds; a sweep that was stopped or killed goes on.
    #[command(
        after_help = "Examples:\n  qbnn sweep experiments/smoke.toml --dry-run\n  qbnn sweep experiments/smoke.toml\n  \
        qbnn sweep night.toml --shard $SLURM_ARRAY_TASK_ID/8\n  \
        qbnn sweep experiments/*.toml --report docs/results.md"
    )]
    Sweep(SweepArgs),
    /// Predict images with a model file: class, probability, and what kind of doubt there is.
    #[command(after_help = "Examples:\n  qbnn predict runs/mlp/jq-w4a4.qbnn t10k-images-idx3-ubyte.gz\n  \
        qbnn predict model.qbnn images.idx --samples 100 --abstain-above 0.5 --format csv")]
    Predict(PredictCommand),
    /// Show what a model file holds and how this computer runs it.
    #[command(after_help = "Example:\n  qbnn inspect runs/mlp/jq-w4a4.qbnn")]
    Inspect(InspectCommand),
    /// List or download data.
    #[command(after_help = "Examples:\n  qbnn data list\n  qbnn data fetch mnist")]
    Data(DataCommand),
    /// Measure speed, as multiples of what the machine could do at best.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print the settings that `run` would use, as TOML.
    #[command(after_help = "Example:\n  qbnn config --data dirty-mnist > mine.toml")]
    Config(SettingArgs),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  qbnn completions bash > ~/.local/share/bash-completion/completions/qbnn")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

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

/// `predict`.
#[derive(Debug, Args)]
pub struct PredictCommand {
    /// The model file (.qbnn).
    pub model: PathBuf,
    /// IDX files of images, plain or gzip.
    #[arg(required = true, value_name = "IDX")]
    pub images: Vec<PathBuf>,
    /// Networks drawn for each prediction.
    #[arg(long, value_name = "S", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: u32,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Give no class where the total uncertainty exceeds so many nats.
    #[arg(long, value_name = "NATS")]
    pub abstain_above: Option<f64>,
    /// How answers are written; --json is JSON lines.
    #[arg(long, value_enum, default_value_t = PredictFormat::Table)]
    pub format: PredictFormat,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PredictFormat {
    /// A line an image, for people.
    Table,
    /// A JSON object a line.
    Json,
    /// Comma-separated, with a header.
    Csv,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectCommand {
    /// The model file (.qbnn).
    pub model: PathBuf,
}

/// `run` and `train`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Go on with a run that was stopped; its own settings count.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["out", "overwrite"])]
    pub resume: Option<PathBuf>,
    /// The run folder [default: runs/DATE-NAME].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace a run that is there already.
    #[arg(long)]
    pub overwrite: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Every flag that stands for a setting.
#[derive(Debug, Default, Args)]
pub struct SettingArgs {
    /// Data, and settings in general.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Training.
    #[command(flatten)]
    pub train: TrainArgs,
    /// Quantization.
    #[command(flatten)]
    pub quantize: QuantizeArgs,
    /// Evaluation.
    #[command(flatten)]
    pub eval: EvalArgs,
}

/// Settings that every command takes.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct BaseArgs {
    /// Settings from a TOML file; flags override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting by its key, over everything else; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Dataset: strokes (embedded), dirty-mnist, dirty-fashion, mnist, fashion-mnist.
    #[arg(long, value_name = "SET")]
    pub data: Option<String>,
    /// Folder searched for data before $QBNN_DATA and the user's cache.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Seed of everything random.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    pub seed: Option<i64>,
}

/// Settings of training.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainArgs {
    /// Name of the experiment; the run folder is called after it.
    #[arg(long)]
    pub name: Option<String>,
    /// Network: mlp, lenet5, or a TOML file of layers.
    #[arg(long, value_name = "NET")]
    pub net: Option<String>,
    /// Activation function in the place of every one of the network: relu, leaky-relu, clipped-relu, hardtanh, tanh,
    /// sigmoid.
    #[arg(long, value_name = "FUNCTION")]
    pub activation: Option<String>,
    /// Training pairs to keep.
    #[arg(long, value_name = "N")]
    pub train_limit: Option<u32>,
    /// Passes over the training pairs, in float.
    #[arg(long, value_name = "N")]
    pub epochs: Option<u32>,
    /// Pairs per step.
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Adam's first step size.
    #[arg(long, value_name = "X")]
    pub learning_rate: Option<f32>,
    /// Weight of the KL divergence; 1 is the exact bound.
    #[arg(long, value_name = "X")]
    pub kl_weight: Option<f32>,
    /// Standard deviation of the prior.
    #[arg(long, value_name = "X")]
    pub prior_sigma: Option<f32>,
    /// Gradient estimator.
    #[arg(long)]
    pub estimator: Option<EstimatorArg>,
}

/// Names of the estimators.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EstimatorArg {
    /// One drawn network per step.
    WeightDraw,
    /// Drawn activations.
    LocalReparameterization,
    /// One drawn deviation, its sign flipped per image.
    Flipout,
}

/// Settings of quantization.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Quantization")]
pub struct QuantizeArgs {
    /// What is put on grids [default: jq].
    #[arg(long)]
    pub strategy: Option<StrategyArg>,
    /// Widths of whatever the strategy quantizes: 4, w4a2 (parameters and activations), mu4s3w4a4; 2 to 8, or 32 for
    /// float.
    #[arg(long, value_name = "BITS")]
    pub bits: Option<Widths>,
    /// Width of the stored means.
    #[arg(long, value_name = "BITS")]
    pub mu_bits: Option<u32>,
    /// Width of the stored standard deviations.
    #[arg(long, value_name = "BITS")]
    pub sigma_bits: Option<u32>,
    /// Width of the drawn weights.
    #[arg(long, value_name = "BITS")]
    pub weight_bits: Option<u32>,
    /// Width of the activations.
    #[arg(long, value_name = "BITS")]
    pub activation_bits: Option<u32>,
    /// Grid of the standard deviations [default: log].
    #[arg(long)]
    pub sigma_grid: Option<SigmaGridArg>,
    /// What shares a scale of means and drawn weights [default: channel].
    #[arg(long)]
    pub scale: Option<ScaleArg>,
    /// How a drawn weight meets its grid.
    #[arg(long)]
    pub rounding: Option<RoundingArg>,
    /// Passes of training through the quantizers; 0 only calibrates.
    #[arg(long, value_name = "N")]
    pub qat_epochs: Option<u32>,
}

/// Names of the strategies.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StrategyArg {
    /// Means and standard deviations; draws in float.
    Vpq,
    /// Drawn weights; the posterior in float.
    Spq,
    /// Both: nothing but integers at inference.
    Jq,
}

/// Names of sigma's grids.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SigmaGridArg {
    /// Equal ratios.
    Log,
    /// Equal differences.
    Uniform,
}

/// What shares a scale.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScaleArg {
    /// The weights of an output channel.
    Channel,
    /// Those of a tensor.
    Tensor,
}

/// Names of the roundings.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoundingArg {
    /// To the nearest code.
    Nearest,
    /// Up with the probability of the fraction.
    Stochastic,
}

/// Settings of evaluation.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Evaluation")]
pub struct EvalArgs {
    /// Networks drawn for a prediction.
    #[arg(long, value_name = "S")]
    pub samples: Option<u32>,
    /// Resamples for the 95 % intervals; 0 for none.
    #[arg(long, value_name = "N")]
    pub bootstrap: Option<u32>,
}

/// `quantize`.
#[derive(Debug, Args)]
pub struct QuantizeCommand {
    /// A run folder, or a float checkpoint; the result is written beside it.
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub from: PathBuf,
    /// Replace a quantized checkpoint that is there already.
    #[arg(long)]
    pub overwrite: bool,
    /// Settings.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Settings.
    #[command(flatten)]
    pub quantize: QuantizeArgs,
}

/// `eval`.
#[derive(Debug, Args)]
pub struct EvalCommand {
    /// Run folders (all their models) or checkpoints; the first float model is what the others are compared with.
    #[arg(value_name = "RUN|CHECKPOINT", required = true)]
    pub models: Vec<PathBuf>,
    /// File for the metrics [default: metrics.json beside the models, if they lie in one folder].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Settings.
    #[command(flatten)]
    pub eval: EvalArgs,
}

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

/// `data`.
#[derive(Debug, Args)]
pub struct DataCommand {
    /// What to do with it.
    #[command(subcommand)]
    pub action: DataAction,
    /// Folder searched for data (and downloaded into) before $QBNN_DATA and the user's cache.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

/// `data …`.
#[derive(Debug, Subcommand)]
pub enum DataAction {
    /// Show what is there, and where.
    #[command(after_help = "Example:\n  qbnn data list --json")]
    List,
    /// Download a set from its public mirror, checked; an interrupted download goes on where it stopped.
    #[command(after_help = "Example:\n  qbnn data fetch ambiguous-mnist")]
    Fetch {
        /// mnist, fashion-mnist or ambiguous-mnist.
        #[arg(value_name = "SET", required = true)]
        sets: Vec<String>,
        /// Folder address to download from instead of the public mirrors; checksums stay the same.
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
}

impl BaseArgs {
    /// Puts these settings, then `more`, then `--set` on the layers of a run folder's config or none.
    pub fn layers(&self, run: Option<&Path>, more: &[&dyn Flags]) -> Result<Layers> {
        let mut layers = Layers::default();
        for file in run.into_iter().chain(self.config.as_deref()) {
            layers.file(file)?;
        }
        self.apply(&mut layers);
        more.iter().for_each(|flags| flags.apply(&mut layers));
        for assignment in &self.set {
            layers.set(assignment)?;
        }
        Ok(layers)
    }
}

impl SettingArgs {
    /// The experiment that these flags describe.
    pub fn config(&self) -> Result<Config> {
        self.layers()?.finish()
    }

    /// The layers of it.
    pub fn layers(&self) -> Result<Layers> {
        self.base.layers(None, &[&self.train, &self.quantize, &self.eval])
    }
}

/// Flags that stand for settings.
pub trait Flags {
    /// Puts those that were given on the layers.
    fn apply(&self, layers: &mut Layers);
}

fn integer(layers: &mut Layers, key: &str, value: Option<u32>) {
    value.into_iter().for_each(|v| layers.flag(key, Value::Integer(v.into())));
}

fn float(layers: &mut Layers, key: &str, value: Option<f32>) {
    value.into_iter().for_each(|v| layers.flag(key, Value::Float(v.into())));
}

fn string(layers: &mut Layers, key: &str, value: Option<&str>) {
    value.into_iter().for_each(|v| layers.flag(key, Value::String(v.to_owned())));
}

/// A value by the name that it has on the command line, which is that of the config file.
fn word(layers: &mut Layers, key: &str, value: Option<impl ValueEnum>) {
    let name = value.and_then(|v| v.to_possible_value());
    string(layers, key, name.as_ref().map(|n| n.get_name()));
}

impl Flags for BaseArgs {
    fn apply(&self, layers: &mut Layers) {
        string(layers, "data.name", self.data.as_deref());
        string(layers, "data.dir", self.data_dir.as_ref().map(|p| p.to_string_lossy()).as_deref());
        if let Some(seed) = self.seed {
            layers.flag("seed", Value::Integer(seed));
        }
    }
}

impl Flags for TrainArgs {
    fn apply(&self, layers: &mut Layers) {
        string(layers, "name", self.name.as_deref());
        if let Some(net) = &self.net {
            let is_file = net.ends_with(".toml") || net.contains(['/', '\\']);
            string(layers, if is_file { "network.file" } else { "network.name" }, Some(net));
        }
        string(layers, "network.activation", self.activation.as_deref());
        integer(layers, "data.train_limit", self.train_limit);
        integer(layers, "train.epochs", self.epochs);
        integer(layers, "train.batch", self.batch);
        float(layers, "train.learning_rate", self.learning_rate);
        float(layers, "train.kl_weight", self.kl_weight);
        float(layers, "train.prior_sigma", self.prior_sigma);
        word(layers, "train.estimator", self.estimator);
    }
}

impl Flags for QuantizeArgs {
    fn apply(&self, layers: &mut Layers) {
        word(layers, "quantize.strategy", self.strategy);
        self.bits.into_iter().for_each(|widths| layers.widths(widths));
        let widths = [
            ("mu", self.mu_bits),
            ("sigma", self.sigma_bits),
            ("weight", self.weight_bits),
            ("activation", self.activation_bits),
        ];
        for (what, bits) in widths {
            integer(layers, &format!("quantize.bits.{what}"), bits);
        }
        word(layers, "quantize.sigma_grid", self.sigma_grid);
        word(layers, "quantize.scale", self.scale);
        word(layers, "quantize.rounding", self.rounding);
        integer(layers, "quantize.epochs", self.qat_epochs);
    }
}

impl Flags for EvalArgs {
    fn apply(&self, layers: &mut Layers) {
        integer(layers, "eval.samples", self.samples);
        integer(layers, "eval.bootstrap", self.bootstrap);
    }
}
