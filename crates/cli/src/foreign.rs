//! Anyone's predictions: arrays of any program, in an `.npz` or `.safetensors` file, judged and drawn like a run.
//!
//! `probs` `[S][N][C]` (or `[N][C]` for a single draw); `labels` `[N]`, of which only those of clean inputs count;
//! `groups` `[N]` as names (clean, ambiguous, ood) or numbers (0, 1, 2), without which all inputs count as clean;
//! `images` `[N][rows][columns]` or with a last axis of 1 or 3, 8-bit, for the gallery.

use crate::input;
use crate::npy::{Array, VALUES, Values, read_npz};
use crate::page::shown;
use anyhow::{Context, Result, bail, ensure};
use qbnn_eval::report::{Chosen, GalleryImage, ModelPredictions, Page, RunReport, choose, run_page};
use qbnn_eval::{
    AmbiguousGroup, Bits, EvalOptions, Group, Groups, LabelledGroup, Metrics, ModelDescription, ModelEntry, OodGroup,
    Precision, Predictions, Strategy, by_samples, compare, evaluate,
};
use safetensors::tensor::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One file, checked.
struct File {
    name: String,
    groups: Groups,
    /// Place in the file of each group's inputs.
    places: [Vec<usize>; 3],
    images: Option<Array>,
    /// What is missing, in sentences.
    left_out: Vec<String>,
}

/// The page of one file, or of several compared with the first, and the numbers on it.
pub fn page(paths: &[PathBuf], title: Option<&str>, show: &[String], resamples: usize) -> Result<(Page, Metrics)> {
    let mut files = Vec::new();
    for path in paths {
        files.push(read(path).with_context(|| path.display().to_string())?);
    }
    let names: Vec<String> = files.iter().map(|f| f.name.clone()).collect();
    for (i, name) in names.iter().enumerate() {
        ensure!(
            !names[..i].contains(name),
            "two files are called {name}; rename one, the page tells them apart by name"
        );
    }
    let options = EvalOptions { resamples, ..EvalOptions::default() };
    let mut metrics = Metrics::new(names.first().cloned().unwrap_or_default(), 0);
    let mut evaluations = Vec::new();
    for file in &files {
        let evaluation = evaluate(&file.groups, &options).with_context(|| file.name.clone())?;
        let description = ModelDescription {
            name: file.name.clone(),
            strategy: Strategy::Float,
            bits: Bits::FLOAT,
            parameter_bytes: 0,
            parameters: None,
            file_bytes: None,
        };
        let mut entry = ModelEntry::new(description, &evaluation);
        entry.by_samples = by_samples(&file.groups)?;
        metrics.models.push(entry);
        if let (Some(first), Some(reference)) = (names.first().filter(|n| **n != file.name), evaluations.first()) {
            let difference = compare(file.name.as_str(), &evaluation, first.as_str(), reference);
            metrics.differences.push(difference.with_context(|| format!("{first} and {}", file.name))?);
        }
        evaluations.push(evaluation);
    }
    metrics.check()?;
    let title = title.map_or_else(|| names.join(" and "), str::to_owned);
    let mut report = RunReport::new(title, metrics);
    report.foreign = true;
    report.show = shown(show, &names)?;
    report.predictions =
        names.iter().zip(&evaluations).map(|(name, e)| ModelPredictions::of(name.as_str(), e)).collect();
    report.labels = evaluations.first().map_or(Vec::new(), |e| e.labels().to_vec());
    if let (Some(model), Some(file)) = (report.predictions.last(), files.last())
        && let Some(images) = &file.images
    {
        let image = |chosen: Chosen| image(images, *file.places[chosen.group as usize].get(chosen.input)?, chosen);
        report.gallery = choose(model, &report.labels).into_iter().filter_map(image).collect();
    }
    for path in paths {
        report.provenance.push(("predictions".into(), path.display().to_string()));
    }
    for file in files {
        for why in file.left_out {
            let why = if names.len() > 1 { format!("{}: {why}", file.name) } else { why };
            report.left_out.push(why);
        }
    }
    let page = run_page(&report);
    Ok((page, report.metrics))
}

fn image(images: &Array, place: usize, chosen: Chosen) -> Option<GalleryImage> {
    let (&[_, height, width], channels) = (images.shape.get(..3)?, images.shape.get(3).copied().unwrap_or(1)) else {
        return None;
    };
    let size = height * width * channels;
    let Values::Integer(values) = &images.values else { return None };
    let pixels = values.get(place * size..(place + 1) * size)?.iter().map(|&v| v.clamp(0, 255) as u8).collect();
    Some(GalleryImage { chosen, height, width, channels, pixels })
}

fn arrays(path: &Path) -> Result<BTreeMap<String, Array>> {
    let bytes = input::tensors(path)?;
    match path.extension().and_then(|e| e.to_str()) {
        Some("npz") => read_npz(&bytes),
        Some("safetensors") => read_safetensors(&bytes),
        _ => bail!("is neither .npz nor .safetensors; write one with np.savez or safetensors.numpy.save_file"),
    }
}

fn read_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Array>> {
    let file = SafeTensors::deserialize(bytes).context("it is no whole safetensors file")?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.tensors() {
        let d = view.data();
        let n = view.shape().iter().fold(1usize, |n, &size| n.saturating_mul(size));
        ensure!(n <= VALUES, "{name} has {n} values, at most {VALUES} are read; store fewer draws or inputs");
        let values = match view.dtype() {
            Dtype::F64 => Values::Float(d.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Dtype::F32 => Values::Float(d.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()),
            Dtype::I64 => Values::Integer(d.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            Dtype::I32 => Values::Integer(d.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect()),
            Dtype::U32 => Values::Integer(d.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect()),
            Dtype::U8 | Dtype::BOOL => Values::Integer(d.iter().map(|&b| b.into()).collect()),
            // An array that is not asked for may be of any type.
            _ if !["probs", "labels", "groups", "images"].contains(&name.as_str()) => continue,
            other => bail!("{name} is {other:?}; store probs as F32 or F64, the others as I64, I32 or U8"),
        };
        arrays.insert(name, Array { shape: view.shape().to_vec(), values });
    }
    Ok(arrays)
}

fn read(path: &Path) -> Result<File> {
    let mut arrays = arrays(path)?;
    let names = arrays.keys().cloned().collect::<Vec<_>>().join(", ");
    let probs = arrays.remove("probs").with_context(|| {
        let found = if names.is_empty() { "nothing".to_owned() } else { names };
        format!("found {found}, wanted an array probs [S][N][C]; np.savez(file, probs=..., labels=..., groups=...)")
    })?;
    let (samples, inputs, classes) = match probs.shape[..] {
        [s, n, c] => (s, n, c),
        [n, c] => (1, n, c),
        _ => bail!("probs has shape {:?}, wanted [S][N][C]: draws, inputs, classes", probs.shape),
    };
    let Values::Float(values) = probs.values else { bail!("probs holds no floating-point numbers") };
    let precision = Precision::of(&values);
    // All at once first: an error then counts draws and inputs as the file does.
    let all = Predictions::new(samples, inputs, classes, values).context("probs")?;
    let mut left_out = Vec::new();
    let kinds = match arrays.remove("groups") {
        Some(array) => groups(&array, inputs)?,
        None => {
            left_out.push(
                "The file has no groups: all inputs count as clean, and what compares groups is left out.".to_owned(),
            );
            vec![Group::Clean; inputs]
        }
    };
    let places = Group::ALL.map(|g| (0..inputs).filter(|&i| kinds[i] == g).collect::<Vec<_>>());
    let found = Group::ALL.map(|g| format!("{} {}", places[g as usize].len(), g.name())).join(", ");
    ensure!(
        !places[0].is_empty(),
        "found {found}; accuracy and calibration need clean inputs: mark those that have one right label as clean"
    );
    for group in [Group::Ambiguous, Group::Ood] {
        if places[group as usize].is_empty() && !left_out.iter().any(|l| l.contains("no groups")) {
            left_out.push(format!("There are no {} inputs: what they would answer is left out.", group.name()));
        }
    }
    if samples == 1 {
        left_out.push(
            "There is a single draw: epistemic uncertainty is the disagreement of draws and does not exist here."
                .to_owned(),
        );
    }
    let labels = arrays.remove("labels").context("it has no array labels [N]; those of clean inputs are needed")?;
    ensure!(labels.values.len() == inputs, "found {} labels, wanted {inputs}: one per input", labels.values.len());
    let Values::Integer(labels) = labels.values else { bail!("labels are no integers; number the classes from 0") };
    let mut clean = Vec::with_capacity(places[0].len());
    for &i in &places[0] {
        let label = usize::try_from(labels[i]).ok().filter(|&l| l < classes);
        clean.push(label.with_context(|| {
            format!(
                "found label {} at clean input {i}, wanted one in 0..{classes}; number the classes from 0",
                labels[i]
            )
        })?);
    }
    let part = |group: Group| -> Result<Option<Predictions>> {
        let own = &places[group as usize];
        if own.is_empty() {
            return Ok(None);
        }
        let rows = all.probs().chunks_exact(inputs * classes);
        let row = |draw: &[f64], i: usize| draw[i * classes..(i + 1) * classes].to_vec();
        let values = rows.flat_map(|draw| own.iter().flat_map(move |&i| row(draw, i))).collect();
        Ok(Some(Predictions::new(samples, own.len(), classes, values)?.with_precision(precision)))
    };
    let images = arrays.remove("images");
    if let Some(images) = &images {
        let sizes = images.shape.get(1..).unwrap_or(&[]);
        let right = matches!(sizes, [_, _] | [_, _, 1 | 3]) && images.shape.first() == Some(&inputs);
        ensure!(
            right && matches!(images.values, Values::Integer(_)),
            "images has shape {:?}, wanted [{inputs}][rows][columns] or [{inputs}][rows][columns][1 or 3] of 8-bit integers",
            images.shape
        );
    }
    let Some(predictions) = part(Group::Clean)? else { bail!("found {found}, wanted clean inputs") };
    let groups = Groups {
        clean: LabelledGroup { predictions, labels: clean },
        ambiguous: part(Group::Ambiguous)?.map(|predictions| AmbiguousGroup { predictions, soft_labels: None }),
        ood: part(Group::Ood)?.map(|predictions| OodGroup { predictions }),
    };
    let name = path.file_stem().map_or_else(|| "model".to_owned(), |s| s.to_string_lossy().into_owned());
    Ok(File { name, groups, places, images, left_out })
}

/// The group of each input, by name or number.
fn groups(array: &Array, inputs: usize) -> Result<Vec<Group>> {
    ensure!(array.values.len() == inputs, "found {} groups, wanted {inputs}: one per input", array.values.len());
    let unknown = |found: &dyn std::fmt::Display, i: usize| {
        anyhow::anyhow!("found group {found} at input {i}, wanted clean, ambiguous or ood (or 0, 1, 2)")
    };
    match &array.values {
        Values::Text(names) => {
            let of = |(i, name): (usize, &String)| {
                Group::ALL.into_iter().find(|g| g.name() == name).ok_or_else(|| unknown(name, i))
            };
            names.iter().enumerate().map(of).collect()
        }
        Values::Integer(numbers) => {
            let of = |(i, &n): (usize, &i64)| {
                usize::try_from(n).ok().and_then(|n| Group::ALL.get(n).copied()).ok_or_else(|| unknown(&n, i))
            };
            numbers.iter().enumerate().map(of).collect()
        }
        Values::Float(_) => bail!("groups are floating-point numbers; store names or the integers 0, 1, 2"),
    }
}
