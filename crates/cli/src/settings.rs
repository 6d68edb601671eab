//! Flags that stand for settings of an experiment, and the commands that take them all.

use crate::failure::usage;
use anyhow::Result;
use clap::{Args, ValueEnum};
use qbnn::config::{Config, Layers};
use qbnn::steps::{NewRun, Start};
use qbnn_bnn::Widths;
use std::path::{Path, PathBuf};
use toml::Value;

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
    /// Name of a dataset, or a path.
    #[arg(long, value_name = "SET|PATH", help = format!("Dataset: {}; or data of your own: a folder of pictures per class, \
        .npz, IDX, CSV, CIFAR archive", qbnn::experiment::datasets()))]
    pub data: Option<String>,
    /// How data of one's own is read.
    #[command(flatten)]
    pub reading: Reading,
    /// Folder searched for data before $QBNN_DATA and the user's cache.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Seed of everything random.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    pub seed: Option<i64>,
}

/// What data has besides its name.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Reading {
    /// One more test group: a set or a path, its role clean, ambiguous, ood or shifted; may be repeated.
    #[arg(long, value_name = "ROLE:NAME=PATH")]
    pub test: Vec<String>,
    /// Scale images of your own.
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = size)]
    pub resize: Option<[u32; 2]>,
}

impl Reading {
    /// Puts it on the layers.
    pub fn put(&self, layers: &mut Layers) -> qbnn::Result<()> {
        if let Some(size) = self.resize {
            layers.flag("data.resize", Value::Array(size.map(|side| Value::Integer(side.into())).to_vec()));
        }
        self.test.iter().try_for_each(|test| layers.test(test))
    }
}

/// The network.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct NetworkArgs {
    /// Network: mlp, lenet5, or a TOML file of layers.
    #[arg(long, alias = "network", value_name = "NET")]
    pub net: Option<String>,
    /// Activation function in the place of every one of the network: relu, leaky-relu, clipped-relu, hardtanh, tanh,
    /// sigmoid.
    #[arg(long, value_name = "FUNCTION")]
    pub activation: Option<String>,
}

/// Settings of training.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainArgs {
    /// Name of the experiment; the run folder is called after it.
    #[arg(long)]
    pub name: Option<String>,
    /// Network.
    #[command(flatten)]
    pub network: NetworkArgs,
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
    /// Passes of training through the quantizers; 0 only calibrates [default: the recipe's; more for 2-bit codes].
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
    /// Seeds of draws: figures are means over them, intervals take in images and draws [default: 1].
    #[arg(long, value_name = "K")]
    pub draw_seeds: Option<u32>,
    /// Resamples for the 95 % intervals; 0 for none.
    #[arg(long, value_name = "N")]
    pub bootstrap: Option<u32>,
    /// Shifted groups of the clean test images in five severities: all, or some of rotation, noise, blur, translation,
    /// contrast, occlusion, inversion (--shifts=noise,blur); each of 1,000 images.
    #[arg(long, value_name = "SHIFTS", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub shifts: Option<String>,
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

impl BaseArgs {
    /// Puts these settings, then `more`, then `--set` on the layers of a run folder's config or none.
    pub fn layers(&self, run: Option<&Path>, more: &[&dyn Flags]) -> qbnn::Result<Layers> {
        let mut layers = Layers::default();
        run.map_or(Ok(()), |file| layers.file(file))?;
        self.config.as_deref().map_or(Ok(()), |file| layers.asked_file(file))?;
        self.apply(&mut layers);
        self.reading.put(&mut layers)?;
        more.iter().for_each(|flags| flags.apply(&mut layers));
        for assignment in &self.set {
            layers.set(assignment)?;
        }
        if run.is_some() && self.config.is_none() {
            layers.other_widths();
        }
        Ok(layers)
    }
}

impl SettingArgs {
    /// The experiment that these flags describe.
    pub fn config(&self) -> Result<Config> {
        Ok(self.layers()?.finish()?)
    }

    /// The layers of it.
    pub fn layers(&self) -> qbnn::Result<Layers> {
        self.base.layers(None, &[&self.train, &self.quantize, &self.eval])
    }
}

impl RunArgs {
    /// The experiment that these arguments start, or go on with.
    pub fn start(&self) -> Result<Start> {
        let Some(run) = &self.resume else {
            let place = NewRun { out: self.out.clone(), overwrite: self.overwrite, staged: None };
            return Ok(Start::new(self.settings.layers()?, place)?);
        };
        let given = self.settings.layers()?.flags;
        let file = self.settings.base.config.as_ref().map(|_| "--config".to_owned());
        if let Some(key) = file.or(given.into_iter().next()) {
            return Err(usage(format!(
                "--resume takes all settings from {}; leave out {key}, or start a new run without --resume",
                run.display()
            )));
        }
        Ok(Start::resume(run)?)
    }
}

/// Flags that stand for settings.
pub trait Flags {
    /// Puts those that were given on the layers.
    fn apply(&self, layers: &mut Layers);
}

/// `28x28`.
fn size(text: &str) -> Result<[u32; 2], String> {
    let side = |side: &str| side.trim().parse().ok();
    let size = text.split_once('x').and_then(|(rows, columns)| Some([side(rows)?, side(columns)?]));
    size.ok_or_else(|| "wanted rows and columns, such as 28x28".to_owned())
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
        self.data.iter().for_each(|data| layers.data(data));
        string(layers, "data.dir", self.data_dir.as_ref().map(|p| p.to_string_lossy()).as_deref());
        if let Some(seed) = self.seed {
            layers.flag("seed", Value::Integer(seed));
        }
    }
}

impl Flags for NetworkArgs {
    fn apply(&self, layers: &mut Layers) {
        self.net.iter().for_each(|net| layers.network(net));
        string(layers, "network.activation", self.activation.as_deref());
    }
}

impl Flags for TrainArgs {
    fn apply(&self, layers: &mut Layers) {
        string(layers, "name", self.name.as_deref());
        self.network.apply(layers);
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
        integer(layers, "eval.draw_seeds", self.draw_seeds);
        integer(layers, "eval.bootstrap", self.bootstrap);
        string(layers, "eval.shifts", self.shifts.as_deref());
    }
}
