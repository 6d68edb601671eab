//! `qbnn inspect`: what a model file holds, and how this computer will run it.

use crate::commands::calibrate::rule;
use crate::layout::{Sheet, decimal};
use crate::session::Session;
use anyhow::{Context, Result};
use clap::Args;
use qbnn::ensemble::{self, Ensemble};
use qbnn::inspect::{LayerSummary, ModelSummary};
use qbnn::named;
use qbnn::wording::thousands;
use qbnn::{model_file, shell};
use qbnn_core::kernel::Kernel;
use qbnn_core::model::Kind;
use serde_json::json;
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
    let summary = ModelSummary::of(&model, bytes.len());
    if session.ui.json {
        let mut object = serde_json::to_value(&summary)?;
        object["kernel"] = kernel.name().into();
        object["kernels"] = kernels.into();
        return session.ui.json_line(&object);
    }
    let ui = session.ui;
    ui.text(&format!(
        "{} ({}, {}), {} bytes: images {}, {} classes, {} parameters, {} multiply-adds a draw",
        model.name(),
        model.kind().name(),
        model.posterior().name(),
        thousands(bytes.len() as u64),
        model.input(),
        model.classes(),
        thousands(model.parameters()),
        thousands(model.multiply_adds()),
    ))?;
    let bits = &summary.bits;
    ui.text(&format!(
        "bits: means {}, sigmas {}, drawn weights {}, activations {}{}",
        bits.mu,
        if bits.sigma == 0 { "none".to_owned() } else { bits.sigma.to_string() },
        bits.weight,
        bits.activation,
        summary.rounding.map_or(String::new(), |how| format!("; draws rounded: {how}")),
    ))?;
    let mut cells = vec![HEADER.map(str::to_owned).to_vec()];
    cells.extend(summary.layers.iter().enumerate().map(|(i, layer)| as_row(i, layer)));
    ui.table(&Sheet::framed(2, &cells))?;
    let layers: u64 = summary.layers.iter().filter_map(|l| l.bytes).sum();
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
    if let Some(memory) = summary.memory {
        ui.text(&format!(
            "memory to run: {} bytes streamed, {} more for each draw that is kept",
            thousands(memory.streamed as u64),
            thousands(memory.per_draw as u64)
        ))?;
        if let Some((least, fast)) = memory.one_image.zip(memory.one_image_fast) {
            ui.text(&format!(
                "one image at a time: {} bytes besides the file and the image, {} to run faster (constants held)",
                thousands(least as u64),
                thousands(fast as u64)
            ))?;
        }
    }
    section(session, &summary)?;
    ui.text(&format!("kernel: {} (this CPU has {})", kernel.name(), kernels.join(", ")))
}

/// What the section of the file holds.
fn section(session: &Session, summary: &ModelSummary) -> Result<()> {
    let (ui, Some(section)) = (session.ui, &summary.section) else { return Ok(()) };
    if let Some(error) = &section.error {
        ui.warn(error);
    }
    if !section.classes.is_empty() {
        ui.text(&format!("classes: {}", section.classes.join(", ")))?;
    }
    let Some(decisions) = &section.decisions else { return Ok(()) };
    let how = match decisions.samples {
        0 => decisions.measured_on.to_owned(),
        samples => format!("{samples} draws, seed {}", decisions.seed),
    };
    let data = decisions.data.as_deref().unwrap_or("data without a name");
    let images = thousands(decisions.rule.images.into());
    ui.text(&format!("decides, by {images} images of {data}, {how}: temperature {:.4}", decisions.temperature))?;
    rule(session, &decisions.rule)
}

/// The columns of the table of layers; the first two name a layer.
const HEADER: [&str; 7] = ["", "layer", "output", "parameters", "bytes", "sigma", "grid of sigma"];

fn as_row(place: usize, layer: &LayerSummary) -> Vec<String> {
    let ends = |[low, high]: [f64; 2]| format!("{} to {}", decimal(low), decimal(high));
    let number = |n: Option<u64>| n.map_or(String::new(), thousands);
    let range = |range: Option<[f64; 2]>| range.map_or(String::new(), ends);
    vec![
        (place + 1).to_string(),
        layer.layer.clone(),
        layer.output.clone(),
        number(layer.parameters),
        number(layer.bytes),
        range(layer.sigmas.as_ref().map(|s| s.used)),
        range(layer.sigmas.as_ref().and_then(|s| s.grid)),
    ]
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
