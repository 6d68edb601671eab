//! `qbnn import`: a posterior that another program trained becomes a run folder.

use crate::layout::Sheet;
use crate::session::Session;
use crate::settings::{BaseArgs, NetworkArgs};
use anyhow::Result;
use clap::Args;
use qbnn::import::assign::Taking;
use qbnn::import::{Family, Given, Layout, Map, Record, SigmaRule, Told};
use qbnn::shell;
use qbnn::steps::{self, Imported, Importing, NewRun};
use std::path::{Path, PathBuf};

/// `import`.
#[derive(Debug, Args)]
pub struct ImportCommand {
    /// A file of torch.save (.pt, .ckpt), safetensors or .npz.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The run folder.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace a run that is there already.
    #[arg(long)]
    pub overwrite: bool,
    /// Read, compare and tell everything; write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The library that wrote the file, where its names do not tell: pyro, tyxe, bayesian-torch, torchbnn, blitz,
    /// torch-uncertainty, ivon, swag, laplace, numpyro, tfp, or arrays (LAYER.weight.mu, .sigma, LAYER.bias.mu, .sigma).
    #[arg(long, value_name = "LIBRARY")]
    pub from: Option<Family>,
    /// How standard deviations are stored, over what file and library say: std, variance, log-std, log-variance, softplus,
    /// softplus-variance, precision, log-precision.
    #[arg(long, value_name = "RULE")]
    pub sigma: Option<SigmaRule>,
    /// Layout of the weights: torch, or jax ([in, out], rows and columns first, channels last).
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<Layout>,
    /// The dictionary of a checkpoint that holds the tensors.
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// A TOML file that says which tensors are which; docs/import.md describes it.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub map: Option<PathBuf>,
    /// A layer of the file whose biases are stored but not used; may be repeated.
    #[arg(long, value_name = "LAYER")]
    pub no_bias: Vec<String>,
    /// A tensor that is of no interest, or all that begin alike ('aux.*'); may be repeated.
    #[arg(long, value_name = "TENSOR")]
    pub ignore: Vec<String>,
    /// A layer of the file and the batch normalisation directly behind it, where names and order leave it open; may be
    /// repeated.
    #[arg(long, value_name = "LAYER=NORM", value_parser = pair)]
    pub bn: Vec<(String, String)>,
    /// A layer of the file and the batch normalisation directly before it; may be repeated.
    #[arg(long, value_name = "LAYER=NORM", value_parser = pair)]
    pub bn_before: Vec<(String, String)>,
    /// The epsilon of batch normalisations [default: 1e-5, PyTorch's, or 1e-3, Keras's].
    #[arg(long, value_name = "X")]
    pub bn_eps: Option<f64>,
    /// The mean of the source's pixels, in units of 255: inputs are (pixel / 255 - mean) / std.
    #[arg(long, value_name = "X")]
    pub mean: Option<f32>,
    /// Their standard deviation.
    #[arg(long, value_name = "X")]
    pub std: Option<f32>,
    /// One activation function in the place of another, such as tanh=hardtanh, which has an integer twin; may be repeated.
    #[arg(long, value_name = "OLD=NEW")]
    pub replace: Vec<String>,
    /// Standard deviation of the prior, for the training through quantizers [default: the file's, else 1].
    #[arg(long, value_name = "X")]
    pub prior_sigma: Option<f32>,
    /// Weight of the KL divergence there.
    #[arg(long, value_name = "X")]
    pub kl_weight: Option<f32>,
    /// Compare the network with its source: an .npz of images [N][rows][columns] (bytes) and the logits [N][classes] that the
    /// source gives with every weight at its mean.
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// Compare the readings of sigma: -ELBO on training images. For posteriors trained by SVI with a KL weight of 1.
    #[arg(long)]
    pub elbo: bool,
    /// Network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Settings.
    #[command(flatten)]
    pub base: BaseArgs,
}

/// Two names around an equals sign.
fn pair(text: &str) -> Result<(String, String), String> {
    let (layer, norm) = text.split_once('=').ok_or("wanted LAYER=NORM, such as conv1=bn1")?;
    Ok((layer.to_owned(), norm.to_owned()))
}

/// Imports.
pub fn import(session: &Session, args: &ImportCommand) -> Result<()> {
    let told = Told {
        family: args.from,
        sigma: args.sigma,
        key: args.key.clone(),
        ignored: args.ignore.clone(),
        norms_behind: args.bn.clone(),
        norms_before: args.bn_before.clone(),
        map: args.map.as_deref().map(Map::read).transpose()?,
    };
    let (proposed, network) = match args.network.net.as_deref() {
        Some("auto") => (true, NetworkArgs { net: None, ..args.network.clone() }),
        _ => (false, args.network.clone()),
    };
    let given = Given {
        pixels: [args.mean, args.std].map(|x| x.map(f64::from)),
        prior_sigma: args.prior_sigma.map(f64::from),
        kl_weight: args.kl_weight.map(f64::from),
        proposed,
        replace: args.replace.clone(),
    };
    let taking = Taking {
        no_bias: args.no_bias.clone(),
        batch_norm_epsilon: args.bn_eps,
        prior_told: args.prior_sigma.is_some(),
    };
    let (file, check) = (args.file.clone(), args.check.clone());
    let asked = Importing { file, told, layout: args.layout, given, taking, check, elbo: args.elbo };
    let place = NewRun { out: Some(args.out.clone()), overwrite: args.overwrite, staged: None };
    let place = Some(&place).filter(|_| !args.dry_run);
    let layers = args.base.layers(None, &[&network])?;
    let Imported { record, folder } = steps::import(&session.caller(), &asked, layers, place)?;
    show(session, &record, folder.as_deref())
}

fn show(session: &Session, record: &Record, folder: Option<&Path>) -> Result<()> {
    let ui = session.ui;
    if ui.json {
        return ui.json_line(record);
    }
    let mut rows = vec![["layer", "shape", "from", "sigma", "bias"].map(str::to_owned).to_vec()];
    for layer in &record.layers {
        let norms = [&layer.batch_norm_before, &layer.batch_norm].into_iter().flatten();
        let norm: String = norms.map(|norm| format!(", {norm} folded in")).collect();
        let order = layer.order.as_ref().map_or(String::new(), |order| format!(" ({order})"));
        rows.push(vec![
            layer.layer.clone(),
            layer.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
            format!("{}{order}{norm}", layer.mu),
            layer.sigma.clone(),
            layer.bias_mu.clone().unwrap_or_else(|| "none".to_owned()),
        ]);
    }
    ui.table(&Sheet::plain(1, &rows))?;
    let [least, middle, largest] = record.sigma;
    let prior = match record.priors {
        Some([least, largest]) => format!("prior sigma {least:.3} to {largest:.3}, of each parameter"),
        None => format!("prior sigma {} ({})", record.prior_sigma, record.prior_source),
    };
    ui.text(&format!(
        "{} posterior: sigma {least:.2e} to {largest:.2e}, middle {middle:.2e}; {prior}; inputs (pixel / 255 - {}) / {}",
        record.family, record.normalisation.mean, record.normalisation.std
    ))?;
    if let Some(agreement) = &record.check {
        ui.text(&format!(
            "check: {} images agree with the source's logits; the largest difference is {:.1e} nats",
            agreement.images, agreement.largest
        ))?;
    }
    if !record.readings.is_empty() {
        let mut rows =
            vec![["sigma read as", "-ELBO/N", "NLL of draws", "KL/N", "middle sigma"].map(str::to_owned).to_vec()];
        rows.extend(record.readings.iter().map(|score| {
            let used = if score.is_used { " (used)" } else { "" };
            let numbers = [score.negative_elbo, score.nll, score.kl].map(|x| format!("{x:.4}"));
            let head = format!("{}{used}", score.rule);
            [&[head][..], &numbers, &[format!("{:.2e}", score.sigma)]].concat()
        }));
        ui.table(&Sheet::plain(1, &rows))?;
    }
    match folder {
        Some(folder) => {
            let path = shell::path(folder);
            ui.text(&format!("next: qbnn eval {path}; qbnn quantize {path}"))
        }
        None => ui.text("nothing was written (--dry-run)"),
    }
}
