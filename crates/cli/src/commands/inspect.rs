//! `qbnn inspect`: what a model file holds, and how this computer will run it.

use crate::layout::{Sheet, decimal};
use crate::named;
use crate::session::Session;
use anyhow::{Context, Result};
use clap::Args;
use qbnn::ensemble::{self, Ensemble};
use qbnn::wording::thousands;
use qbnn::{model_file, shell};
use qbnn_core::draw::Rounding;
use qbnn_core::fixed::OCTAVE;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::{Kind, Layer, Model, Op};
use qbnn_core::run::{Plan, Step};
use qbnn_core::{Bits, pack};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectCommand {
    /// The model file (.qbnn), an ensemble of some (NAME.ensemble.toml), or a folder of some.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
}

/// Shows a model file.
pub fn inspect(session: &Session, args: &InspectCommand) -> Result<()> {
    if args.model.is_dir() {
        let files = named::models(&args.model)?;
        match &files[..] {
            [] | [_] => {}
            _ => return list(session, &args.model, &files),
        }
    }
    let path = named::model(&args.model)?;
    if ensemble::is_one(&path) {
        return together(session, &Ensemble::read(&path)?);
    }
    let bytes = model_file::read(&path)?;
    let model = model_file::model(&bytes)?;
    let kernel = Kernel::chosen()?;
    let kernels: Vec<_> = Kernel::available().map(|k| k.name()).collect();
    let width = |bits: Option<Bits>| bits.map_or(32, Bits::get);
    let bits = json!({
        "mu": width(model.mu_bits()),
        "sigma": width(model.sigma_code().map(|s| s.0)),
        "weight": width(model.weight_code().map(qbnn_core::UniformCode::bits)),
        "activation": width(model.activation_bits()),
    });
    let memory = memory(model);
    if session.ui.json {
        let layers: Vec<_> = model.iter().map(|l| as_json(&model, &l)).collect();
        return session.ui.json_line(&json!({
            "name": model.name(),
            "kind": model.kind().name(),
            "bytes": bytes.len(),
            "input": model.input().to_string(),
            "classes": model.classes(),
            "parameters": model.parameters(),
            "multiply_adds": model.multiply_adds(),
            "bits": bits,
            "rounding": rounding(model),
            "layers": layers,
            "kernel": kernel.name(),
            "kernels": kernels,
            "memory": memory.map(|(streamed, draw)| json!({ "streamed": streamed, "per_draw": draw })),
        }));
    }
    let ui = session.ui;
    ui.text(&format!(
        "{} ({}), {} bytes: images {}, {} classes, {} parameters, {} multiply-adds a draw",
        model.name(),
        model.kind().name(),
        thousands(bytes.len() as u64),
        model.input(),
        model.classes(),
        thousands(model.parameters()),
        thousands(model.multiply_adds()),
    ))?;
    let of = |key: &str| bits[key].to_string();
    ui.text(&format!(
        "bits: means {}, sigmas {}, drawn weights {}, activations {}{}",
        of("mu"),
        of("sigma"),
        of("weight"),
        of("activation"),
        rounding(model).map_or(String::new(), |how| format!("; draws rounded: {how}")),
    ))?;
    let mut cells = vec![HEADER.map(str::to_owned).to_vec()];
    cells.extend(model.iter().enumerate().map(|(i, layer)| as_row(&model, i, &layer)));
    ui.table(&Sheet::framed(2, &cells))?;
    let layers: u64 = model.iter().map(|l| if let Op::Linear(l) = l.op { l.parameter_bytes() } else { 0 }).sum();
    ui.text(&format!(
        "bytes: the whole file; {} of them are means, sigmas and scales of the layers, {} are headers",
        thousands(layers),
        thousands((bytes.len() as u64).saturating_sub(layers))
    ))?;
    let float = 8 * model.parameters();
    if model.kind() != Kind::Float {
        ui.text(&format!(
            "in float, means and standard deviations alone are {} bytes, {:.2} times the file",
            thousands(float),
            float as f64 / bytes.len() as f64
        ))?;
    }
    if let Some((streamed, draw)) = memory {
        ui.text(&format!(
            "memory to run: {} bytes streamed, {} more for each draw that is kept",
            thousands(streamed as u64),
            thousands(draw as u64)
        ))?;
    }
    ui.text(&format!("kernel: {} (this CPU has {})", kernel.name(), kernels.join(", ")))
}

/// How drawn weights meet their grid, where they have one.
fn rounding(model: Model<'_>) -> Option<&'static str> {
    model.kind().runs_on_codes().then_some(match model.rounding() {
        Rounding::Nearest => "nearest",
        Rounding::Stochastic => "stochastic",
    })
}

/// Bytes to run a model that the machine runs: streamed, and for each draw that is kept.
fn memory(model: Model<'_>) -> Option<(usize, usize)> {
    if model.kind() != Kind::Jq {
        return None;
    }
    let mut steps = vec![Step::default(); model.layers()];
    let plan = Plan::new(model, &mut steps).ok()?;
    let together = plan.draws_together();
    Some((plan.scratch().total() + 4 * plan.constants(), plan.weights(together).total() / together))
}

/// The sigmas of a layer's weights.
struct Sigmas {
    /// Least and largest that a weight has.
    used: [f64; 2],
    /// Least and largest of their grid, where they are codes.
    grid: Option<[f64; 2]>,
}

fn sigmas(model: &Model<'_>, layer: &Layer) -> Option<Sigmas> {
    let Op::Linear(l) = layer.op else { return None };
    if let Some(floats) = model.floats(layer) {
        let all = floats.sigma.as_chunks::<4>().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
        let ends = all.fold([f64::INFINITY, 0.0], |[low, high], sigma| [low.min(sigma), high.max(sigma)]);
        return Some(Sigmas { used: ends, grid: None });
    }
    let (codes, bits) = (model.codes(layer)?, model.sigma_code()?);
    let value = |code: u8| {
        let log2 = codes.sigma_top() as f64 - code as f64 * codes.sigma_step() as f64;
        (log2 / OCTAVE as f64).exp2()
    };
    // Code 0 is the largest.
    let all = (0..layer.shape.channels * l.fan_in()).filter_map(|i| pack::get(codes.sigma, i, bits.0));
    let (low, high) = all.fold((u8::MAX, 0), |(low, high), code| (low.min(code), high.max(code)));
    Some(Sigmas { used: [value(high), value(low)], grid: Some([value(bits.max() as u8), value(0)]) })
}

/// Weights and biases of a layer.
fn parameters(layer: &Layer) -> Option<u64> {
    let Op::Linear(l) = layer.op else { return None };
    Some((l.fan_in() as u64 + 1) * layer.shape.channels as u64)
}

fn what(model: &Model<'_>, layer: &Layer) -> String {
    match layer.op {
        Op::Linear(l) => {
            let from = model.shape_of(layer.input);
            if (l.kernel_rows, l.kernel_columns) == (from.rows, from.columns) && l.padding == 0 {
                return "dense".to_owned();
            }
            let mut text = format!("conv {}x{}", l.kernel_rows, l.kernel_columns);
            let extras = [("stride", l.stride, 1), ("padding", l.padding, 0), ("groups", l.groups, 1)];
            for (name, value, _) in extras.iter().filter(|(_, value, usual)| value != usual) {
                text.push_str(&format!(", {name} {value}"));
            }
            text
        }
        Op::Pool(p) => format!("{}-pool {}x{}", if p.max { "max" } else { "average" }, p.size, p.size),
        Op::Activation(a) => format!("{:?}", a.function).to_lowercase(),
        Op::Add { other } => format!("add layer {other}"),
    }
}

/// The columns of the table of layers; the first two name a layer.
const HEADER: [&str; 7] = ["", "layer", "output", "parameters", "bytes", "sigma", "grid of sigma"];

fn as_row(model: &Model<'_>, place: usize, layer: &Layer) -> Vec<String> {
    let mut row = vec![(place + 1).to_string(), what(model, layer), layer.shape.to_string()];
    if let Op::Linear(l) = layer.op {
        row.push(parameters(layer).map_or(String::new(), thousands));
        row.push(thousands(l.parameter_bytes()));
        if let Some(Sigmas { used, grid }) = sigmas(model, layer) {
            let ends = |[low, high]: [f64; 2]| format!("{} to {}", decimal(low), decimal(high));
            row.push(ends(used));
            row.push(grid.map_or(String::new(), ends));
        }
    }
    row.resize(HEADER.len(), String::new());
    row
}

/// The model files of an ensemble, a row each, and what they are together.
fn together(session: &Session, ensemble: &Ensemble) -> Result<()> {
    let (mut cells, mut objects) =
        (vec![["model", "kind", "parameters", "bytes"].map(str::to_owned).to_vec()], Vec::new());
    for member in &ensemble.members {
        let model = model_file::model(&member.bytes)?;
        objects.push(json!({
            "file": member.path.display().to_string(),
            "name": model.name(),
            "kind": model.kind().name(),
            "parameters": model.parameters(),
            "bytes": member.bytes.len(),
        }));
        cells.push(vec![
            member.path.display().to_string(),
            model.kind().name().to_owned(),
            thousands(model.parameters()),
            thousands(member.bytes.len() as u64),
        ]);
    }
    let (ui, classes) = (session.ui, ensemble.classes);
    if ui.json {
        return ui.json_line(&json!({
            "name": ensemble.name,
            "kind": "ensemble",
            "bytes": ensemble.bytes(),
            "input": ensemble.input.to_string(),
            "classes": classes,
            "members": objects,
        }));
    }
    ui.text(&format!(
        "{} (ensemble of {}), {} bytes in all: images {}, {classes} classes",
        ensemble.name,
        ensemble.members.len(),
        thousands(ensemble.bytes()),
        ensemble.input,
    ))?;
    ui.table(&Sheet::framed(1, &cells))
}

/// The model files of a folder, a row each.
fn list(session: &Session, folder: &Path, files: &[PathBuf]) -> Result<()> {
    let header = ["file", "kind", "images", "classes", "parameters", "bytes"].map(str::to_owned).to_vec();
    let (mut cells, mut objects) = (vec![header], Vec::new());
    for path in files {
        let bytes = model_file::read(path)?;
        let model = model_file::model(&bytes).with_context(|| path.display().to_string())?;
        objects.push(json!({
            "file": path.display().to_string(),
            "name": model.name(),
            "kind": model.kind().name(),
            "bytes": bytes.len(),
        }));
        cells.push(vec![
            path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            model.kind().name().to_owned(),
            model.input().to_string(),
            model.classes().to_string(),
            thousands(model.parameters()),
            thousands(bytes.len() as u64),
        ]);
    }
    let ui = session.ui;
    if ui.json {
        return ui.json_line(&json!({ "folder": folder.display().to_string(), "models": objects }));
    }
    ui.table(&Sheet::framed(1, &cells))?;
    let commands: Vec<_> = files.iter().map(|file| format!("qbnn inspect {}", shell::path(file))).collect();
    ui.text(&format!("layers of each: {}", commands.join(" or ")))
}

fn as_json(model: &Model<'_>, layer: &Layer) -> Value {
    let mut value = json!({ "layer": what(model, layer), "output": layer.shape.to_string(), "input": layer.input });
    if let Op::Linear(l) = layer.op {
        value["bytes"] = l.parameter_bytes().into();
        value["parameters"] = parameters(layer).into();
        if let Some(Sigmas { used, grid }) = sigmas(model, layer) {
            value["sigma"] = used.as_slice().into();
            value["sigma_grid"] = json!(grid);
        }
    }
    value
}
