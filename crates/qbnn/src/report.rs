//! From what lies in a run folder to its page and card. Nothing is computed here: a page is a view of what is stored.

use crate::config::Layers;
use crate::error::{At, Error, Result};
use crate::predictions_file::StoredPredictions;
use crate::run_folder::{CARD, CONFIG, EPOCHS, EpochLine, FLOAT, METRICS, PREDICTIONS, REPORT, RunFolder};
use crate::{input, model_file, provenance, shell};
use qbnn_bnn::Checkpoint;
use qbnn_bnn::internals::guide::Drawn;
use qbnn_data::Catalogue;
use qbnn_eval::Metrics;
use qbnn_eval::report::{CardText, Epoch, Page, RunReport, Tensor, card, run_page};
use std::path::{Path, PathBuf};

/// Writes page and card into a run folder and says where the page is.
///
/// # Errors
/// As [`of_run`]; [`Error::Io`].
pub fn write(folder: &RunFolder) -> Result<PathBuf> {
    let (page, card) = of_run(folder, None, &[])?;
    folder.write(REPORT, page.html.as_bytes())?;
    folder.write(CARD, card.as_bytes())?;
    Ok(folder.path().join(REPORT))
}

/// The metrics of a folder.
///
/// # Errors
/// [`Error::Contents`] where they are missing, [`Error::Json`] or [`Error::Eval`] where they are damaged: how to have them made.
pub fn metrics(folder: &RunFolder) -> Result<Metrics> {
    let path = folder.path().join(METRICS);
    let word = shell::path(folder.path());
    if !path.is_file() {
        let problem = format!("holds no {METRICS} yet; `qbnn run --resume {word}` or `qbnn eval {word}` makes it");
        return Err(Error::contents(folder.path(), problem));
    }
    let bytes = input::bytes(&path, input::JSON)?;
    let damaged =
        |source| Error::Json { path: path.clone(), fix: format!("`qbnn eval {word}` makes it again"), source };
    let metrics: Metrics = serde_json::from_slice(&bytes).map_err(damaged)?;
    metrics.check().at(|| path.display().to_string())?;
    Ok(metrics)
}

/// What the settings of a folder call its network, if they can be read.
pub fn network(folder: &RunFolder) -> Option<String> {
    let mut layers = Layers::default();
    layers.file(&folder.config()?).ok()?;
    Some(layers.finish().ok()?.network.title().to_owned())
}

/// The models that figures are to show, each of them there.
///
/// # Errors
/// [`Error::Settings`] names one that is not.
pub fn shown(asked: &[String], names: &[impl AsRef<str>]) -> Result<Vec<String>> {
    match asked.iter().find(|a| !names.iter().any(|n| n.as_ref() == a.as_str())) {
        None => Ok(asked.to_vec()),
        Some(unknown) => {
            let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            let problem = format!("there are {}; name one of them", names.join(", "));
            Err(Error::settings(format!("--show {unknown}"), problem))
        }
    }
}

/// The page and the card of a run folder.
///
/// # Errors
/// As [`metrics`] and [`shown`]; [`Error::Stale`].
pub fn of_run(folder: &RunFolder, title: Option<&str>, show: &[String]) -> Result<(Page, String)> {
    let metrics = metrics(folder)?;
    let network = network(folder).unwrap_or_else(|| "network".into());
    let names: Vec<&str> = metrics.models.iter().map(|m| m.name.as_str()).collect();
    let show = shown(show, &names)?;
    let models = match &names[..] {
        [first, rest @ ..] if rest.len() > 2 => format!("{first} and {} others", rest.len()),
        _ => names.join(" and "),
    };
    let title = title.map_or_else(|| format!("{network} on {}: {models}", metrics.dataset), str::to_owned);
    let mut report = RunReport::new(title, metrics);
    let path = folder.path().join(PREDICTIONS);
    if path.is_file() {
        match StoredPredictions::read(&path) {
            Ok(stored) if stored.belongs_to(&report.metrics) => {
                report.note = stored.note().map(str::to_owned);
                report.class_names = stored.class_names().to_vec();
                report.predictions = stored.predictions;
                report.labels = stored.labels;
                report.gallery = stored.gallery;
            }
            Ok(_) => report.left_out.push(format!(
                "{PREDICTIONS} belongs to another evaluation than {METRICS}; `qbnn eval {}` makes both anew.",
                shell::path(folder.path())
            )),
            Err(e) => report.left_out.push(format!("{}.", e.one_line())),
        }
    }
    report.left_out.extend(checkpoints(folder, &report.metrics)?);
    report.show = show;
    report.epochs = epochs(folder);
    for entry in report.metrics.models.iter().filter(|m| m.name != FLOAT) {
        match tensors(folder, &entry.name) {
            Ok(tensors) => report.tensors.extend(tensors),
            Err(e) => report.left_out.push(format!("The posterior of {} is left out: {e}.", entry.name)),
        }
    }
    report.provenance = provenance::in_words(&provenance::read(folder));
    report.config = folder.config().and_then(|p| input::text(&p, input::TEXT).ok());
    let text = card_text(folder, &report, &network);
    let card = card(&report, &text);
    Ok((run_page(&report), card))
}

/// Compares the metrics with the checkpoints that are there, and these with their model files: one sentence for each
/// model whose figures are of another network than the one that is there.
///
/// # Errors
/// [`Error::Stale`].
fn checkpoints(folder: &RunFolder, metrics: &Metrics) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for model in folder.models()? {
        // What cannot be read is told where it is needed.
        let Ok(Some(checkpoint)) = folder.load(&model) else { continue };
        model_file::check_beside(&folder.checkpoint(&model), &checkpoint)?;
        let entry = metrics.models.iter().find(|m| m.name == model);
        if entry.and_then(|m| m.identity.as_ref()).is_some_and(|identity| *identity != checkpoint.identity()) {
            lines.push(format!(
                "The figures of {model} are of another network than the checkpoint that is there now; `qbnn eval {}` makes \
                 them anew.",
                shell::path(folder.path())
            ));
        }
    }
    Ok(lines)
}

fn epochs(folder: &RunFolder) -> Vec<Epoch> {
    let bytes = input::bytes(&folder.path().join(EPOCHS), input::JSON).unwrap_or_default();
    // A line that was cut off by a kill is no line.
    let lines = input::lines(&bytes).filter_map(|(_, l)| serde_json::from_slice::<EpochLine>(l).ok());
    let epoch = |l: EpochLine| Epoch {
        model: l.model,
        epoch: l.epoch,
        nll: l.nll,
        kl: l.kl,
        validation_accuracy: l.validation_accuracy,
        validation_nll: l.validation_nll,
    };
    lines.map(epoch).collect()
}

/// The posterior of every weight tensor, float and as the quantized model stores it.
fn tensors(folder: &RunFolder, model: &str) -> Result<Vec<Tensor>, String> {
    let load = |name: &str| folder.load(name).map_err(|e| e.one_line());
    let (Some(float), Some(quantized)) = (load(FLOAT)?, load(model)?) else {
        return Err(format!("its checkpoint or that of {FLOAT} is not there"));
    };
    if float.network != quantized.network || quantized.quantize.is_none() {
        return Err("the checkpoints are not float and quantized of one network".to_owned());
    }
    let stored = |c: &Checkpoint| {
        let mut drawn = Drawn::default();
        c.guide().store(c.net(), &mut drawn);
        (drawn.mu, drawn.sigma)
    };
    let (before, after) = (stored(&float), stored(&quantized));
    let tensor = |t: &qbnn_bnn::internals::nn::network::Tensor| {
        let part = |v: &[f32]| v[t.range.clone()].to_vec();
        let (mu, sigma) = (part(&after.0), part(&after.1));
        Tensor {
            name: t.name.trim_end_matches(".weight").to_owned(),
            model: model.to_owned(),
            mu_levels: levels(typical(&mu, t.channels)),
            sigma_levels: levels(&sigma),
            mu: [part(&before.0), mu],
            sigma: [part(&before.1), sigma],
        }
    };
    Ok(quantized.net().tensors.iter().filter(|t| !t.bias).map(tensor).collect())
}

/// The channel whose largest magnitude is the median of all.
fn typical(values: &[f32], channels: usize) -> &[f32] {
    let mut rows: Vec<&[f32]> = values.chunks_exact((values.len() / channels.max(1)).max(1)).collect();
    let largest = |row: &[f32]| row.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    rows.sort_by(|a, b| largest(a).total_cmp(&largest(b)));
    rows.get(rows.len() / 2).copied().unwrap_or(&[])
}

/// The levels in use, ascending; none where values lie on no grid (an 8-bit code has 256 at most).
fn levels(values: &[f32]) -> Vec<f32> {
    let mut levels = values.to_vec();
    levels.sort_unstable_by(f32::total_cmp);
    levels.dedup();
    if levels.len() <= 256 && levels.len() < values.len() { levels } else { Vec::new() }
}

fn card_text(folder: &RunFolder, report: &RunReport, network: &str) -> CardText {
    let config = shell::path(folder.path().join(CONFIG));
    let dataset = &report.metrics.dataset;
    let quantized = report.metrics.models.iter().map(|m| m.name.as_str()).rfind(|n| *n != FLOAT);
    let purpose = format!(
        "A Bayesian {network} that classifies images like those of {dataset} and says how uncertain it is, aleatoric \
         (the image is ambiguous) apart from epistemic (it has seen no such thing)."
    );
    let composition = Catalogue::built_in().ok().and_then(|all| all.dataset(dataset).ok());
    let groups = composition.map_or(String::new(), |(_, composition)| format!(": {}", composition.groups));
    let mut data = vec![format!("trained and evaluated on {dataset}{groups}")];
    if !report.class_names.is_empty() {
        data.push(format!("classes: {}", report.class_names.join(", ")));
    }
    let mut commands = vec![format!("qbnn run --config {config} --out again")];
    commands.push(format!("qbnn eval {}", shell::path(folder.checkpoint(quantized.unwrap_or(FLOAT)))));
    CardText { purpose, data, commands }
}

/// Files of figures, one for each panel, in a folder. `make` turns the SVG text of a panel into the bytes of its file.
///
/// # Errors
/// [`Error::Io`]; those of `make`.
pub fn figures<E: From<Error>>(
    page: &Page,
    folder: &Path,
    suffix: &str,
    make: impl Fn(&str) -> Result<Vec<u8>, E>,
) -> Result<usize, E> {
    std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
    let mut written = 0;
    for figure in &page.figures {
        for (i, panel) in figure.panels.iter().enumerate() {
            let name = if figure.panels.len() == 1 { figure.id.to_owned() } else { format!("{}-{}", figure.id, i + 1) };
            let path = folder.join(format!("{name}.{suffix}"));
            crate::output::write_whole(&path, &make(&panel.standalone())?)?;
            written += 1;
        }
    }
    Ok(written)
}
