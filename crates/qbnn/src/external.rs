//! Anyone's predictions: arrays of any program, in an `.npz` or `.safetensors` file, evaluated and drawn like a run.
//!
//! `probs` `[S][N][C]` (or `[N][C]` for a single draw); `labels` `[N]`, of which only those of clean inputs count;
//! `groups` `[N]` as roles (clean, ambiguous, ood, shifted), roles with names (ood:near), or numbers (0, 1, 2), without which
//! all inputs count as clean;
//! `images` `[N][rows][columns]` or with a last axis of 1 or 3, 8-bit, for the gallery.

use crate::error::{At, Error, Result, bail, ensure};
use crate::input;
use crate::report::shown;
use qbnn_data::file_kind::Found;
use qbnn_data::npy::{Archive, Array, VALUES, Values, half, read_npz};
use qbnn_eval::report::{Chosen, GalleryImage, ModelPredictions, Page, RunReport, choose, run_page};
use qbnn_eval::{
    Bits, EvalOptions, Groups, Metrics, ModelDescription, ModelEntry, Precision, Predictions, ROW_SUM_TOLERANCE, Role,
    Strategy, TestGroup, by_samples, compare, evaluate,
};
use safetensors::tensor::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// One file, checked.
struct File {
    name: String,
    groups: Groups,
    /// Place in the file of each group's inputs.
    places: Vec<Vec<usize>>,
    images: Option<Array>,
    /// What is missing, in sentences.
    left_out: Vec<String>,
}

/// The page of one file, or of several compared with the first, and the numbers on it.
///
/// # Errors
/// [`Error::Io`]; [`Error::Arrays`] says which array of which file is wrong, and how to write it; [`Error::SameName`];
/// [`Error::Eval`] of files that cannot be compared; [`Error::Settings`] of a name in `show` that no file has.
pub fn page(paths: &[PathBuf], title: Option<&str>, show: &[String], resamples: usize) -> Result<(Page, Metrics)> {
    let mut files = Vec::new();
    for path in paths {
        let bytes = input::tensors(path)?;
        files.push(read(path, &bytes).map_err(|problem| Error::Arrays { path: path.clone(), problem })?);
    }
    let names: Vec<String> = files.iter().map(|f| f.name.clone()).collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(Error::SameName(name.clone()));
        }
    }
    let options = EvalOptions { resamples, ..EvalOptions::default() };
    let mut metrics = Metrics::new(names.first().cloned().unwrap_or_default(), 0);
    let mut evaluations = Vec::new();
    for file in &files {
        let evaluation = evaluate(&file.groups, &options).at(|| file.name.clone())?;
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
            metrics.differences.push(difference.at(|| format!("{first} and {}", file.name))?);
        }
        evaluations.push(evaluation);
    }
    metrics.check()?;
    let title = title.map_or_else(|| names.join(" and "), str::to_owned);
    let mut report = RunReport::new(title, metrics);
    report.external = true;
    report.show = shown(show, &names)?;
    report.predictions =
        names.iter().zip(&evaluations).map(|(name, e)| ModelPredictions::of(name.as_str(), e)).collect();
    report.labels = evaluations.first().map_or(Vec::new(), |e| e.labels().to_vec());
    if let (Some(model), Some(file)) = (report.predictions.last(), files.last())
        && let Some(images) = &file.images
    {
        let image = |chosen: Chosen| image(images, *file.places.get(chosen.group)?.get(chosen.input)?, chosen);
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
    let values = values.get(place * size..(place + 1) * size)?;
    let pixels = values.iter().map(|&v| u8::try_from(v).ok()).collect::<Option<_>>()?;
    Some(GalleryImage { chosen, height, width, channels, pixels })
}

/// The names of what is read.
const NAMES: [&str; 4] = ["probs", "labels", "groups", "images"];

fn arrays(path: &Path, bytes: &[u8]) -> Result<Archive, String> {
    let found = Found::of(bytes);
    match path.extension().and_then(|e| e.to_str()) {
        _ if found == Found::Npy => bail!(
            "is a single array, wanted probs and labels in one file; np.savez(file, probs=..., labels=..., groups=...)"
        ),
        Some("safetensors") if found != Found::Zip => read_safetensors(bytes),
        Some("npz") => of_npz(bytes),
        _ if found == Found::Zip => of_npz(bytes),
        _ => bail!(
            "is neither .npz nor .safetensors{}; write one with np.savez or safetensors.numpy.save_file",
            found.what().map_or(String::new(), |what| format!(" but {what}"))
        ),
    }
}

fn of_npz(bytes: &[u8]) -> Result<Archive, String> {
    let mut archive = read_npz(bytes, &NAMES)?;
    let widened = |(name, array): (String, Array)| {
        let values = array.values.widened().map_err(|e| format!("{name} {e}"))?;
        Ok((name, Array { values, ..array }))
    };
    archive.arrays = archive.arrays.into_iter().map(widened).collect::<Result<_, String>>()?;
    Ok(archive)
}

fn read_safetensors(bytes: &[u8]) -> Result<Archive, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| {
        let found = Found::of(bytes).what().filter(|_| Found::of(bytes) != Found::Safetensors);
        format!("it is no whole safetensors file{}: {e}", found.map_or(String::new(), |what| format!(" but {what}")))
    })?;
    let mut archive = Archive::default();
    for (name, view) in file.tensors() {
        archive.names.push(name.clone());
        // What is not asked for may be of any type.
        if !NAMES.contains(&name.as_str()) {
            continue;
        }
        let d = view.data();
        let n = view.shape().iter().fold(1usize, |n, &size| n.saturating_mul(size));
        ensure!(n <= VALUES, "{name} has {n} values, at most {VALUES} are read; store fewer draws or inputs");
        let integers = |all: &mut dyn Iterator<Item = i64>| Values::Integer(all.collect());
        let values = match view.dtype() {
            Dtype::F64 => Values::Float(d.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Dtype::F32 => Values::Float(d.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()),
            Dtype::F16 => Values::Float(d.as_chunks().0.iter().map(|b| half(u16::from_le_bytes(*b))).collect()),
            Dtype::I64 => integers(&mut d.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b))),
            Dtype::I32 => integers(&mut d.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into())),
            Dtype::I16 => integers(&mut d.as_chunks().0.iter().map(|b| i16::from_le_bytes(*b).into())),
            Dtype::I8 => integers(&mut d.iter().map(|&b| b.cast_signed().into())),
            Dtype::U32 => integers(&mut d.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b).into())),
            Dtype::U16 => integers(&mut d.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b).into())),
            Dtype::U8 => integers(&mut d.iter().map(|&b| b.into())),
            Dtype::BOOL => Values::Boolean(d.iter().map(|&b| b != 0).collect()),
            other => {
                bail!("{name} is {other:?}, wanted probs as F16, F32 or F64, the others as integers of at most 63 bits")
            }
        };
        archive.arrays.insert(name, Array { shape: view.shape().to_vec(), values });
    }
    Ok(archive)
}

/// Probabilities of draws, inputs and classes, checked.
///
/// Rounding may leave a value a little outside 0 to 1: as far as a row's sum may be from 1 it is put back.
fn predictions(probs: Array, others: Option<usize>) -> Result<Predictions, String> {
    let shape = probs.shape;
    let Values::Float(values) = probs.values else {
        bail!("probs holds {}, wanted floating-point numbers: the outputs of a softmax", probs.values.what())
    };
    let (samples, inputs, classes) = match shape[..] {
        [s, n, c] => (s, n, c),
        [n, c] => (1, n, c),
        _ => bail!("probs has shape {shape:?}, wanted [S][N][C] or [N][C]: draws, inputs, classes"),
    };
    // A class axis elsewhere is told before its rows are.
    if let Some(axis) = class_axis(&values, &shape) {
        bail!(
            "probs has shape {shape:?} and sums to 1 along axis {axis}, wanted along the last: classes; \
             np.moveaxis(probs, {axis}, -1)"
        );
    }
    if let (Some(others), [s, n, _]) = (others, &shape[..])
        && others == *s
        && others != *n
    {
        bail!(
            "probs has shape {shape:?} and there are {others} labels, wanted [S][N][C]: draws, inputs, classes; \
             np.moveaxis(probs, 0, 1)"
        );
    }
    // All at once: an error then counts draws and inputs as the file does.
    let precision = Precision::of(&values);
    let predictions = Predictions::new(samples, inputs, classes, values).map_err(|e| format!("probs: {e}"))?;
    Ok(predictions.with_precision(precision))
}

/// The axis other than the last along which all sums are 1, if those along the last are not.
fn class_axis(values: &[f64], shape: &[usize]) -> Option<usize> {
    let sums_to_one = |axis: usize| {
        let (size, step) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
        let first = |i: usize| i / step * step * size + i % step;
        let sum = |i: usize| (0..size).filter_map(|j| values.get(first(i) + j * step)).sum::<f64>();
        size > 1 && (0..values.len() / size).all(|i| (sum(i) - 1.0).abs() <= ROW_SUM_TOLERANCE)
    };
    let last = shape.len().checked_sub(1)?;
    if values.is_empty() || sums_to_one(last) { None } else { (0..last).rev().find(|&axis| sums_to_one(axis)) }
}

/// Whether an array has one value per input.
fn check_shape(what: &str, shape: &[usize], inputs: usize, hint: &str) -> Result<(), String> {
    match *shape {
        [n] if n == inputs => Ok(()),
        [n] => bail!("found {n} {what}, wanted {inputs}: one per input{hint}"),
        _ => bail!("{what} has shape {shape:?}, wanted [{inputs}]: one per input"),
    }
}

/// The class of each input.
fn labels(array: Array, inputs: usize, classes: usize, clean: usize) -> Result<Vec<i64>, String> {
    let Array { shape, values } = array;
    ensure!(
        shape != [inputs, classes],
        "labels has shape {shape:?}, wanted [{inputs}]: one class per input; labels.argmax(axis=1)"
    );
    check_shape("labels", &shape, inputs, if shape == [clean] { "; give -1 to those that are not clean" } else { "" })?;
    match values {
        Values::Integer(labels) => Ok(labels),
        Values::Boolean(labels) if classes == 2 => Ok(labels.into_iter().map(i64::from).collect()),
        other => bail!(
            "labels holds {}, wanted integers: classes from 0 to {}; labels.astype(int)",
            other.what(),
            classes.saturating_sub(1)
        ),
    }
}

/// Whether the images are what a gallery can show.
fn check_images(images: &Array, inputs: usize) -> Result<(), String> {
    let Array { shape, values } = images;
    let sizes = shape.get(1..).unwrap_or(&[]);
    let right = matches!(sizes, [_, _] | [_, _, 1 | 3]) && !sizes.contains(&0) && shape.first() == Some(&inputs);
    ensure!(
        right,
        "images has shape {shape:?}, wanted [{inputs}][rows][columns] or [{inputs}][rows][columns][1 or 3]; \
         np.moveaxis(images, 1, -1) puts channels last"
    );
    let Values::Integer(values) = values else {
        bail!("images holds {}, wanted integers from 0 to 255; (255 * images).astype(np.uint8)", values.what())
    };
    if let Some(value) = values.iter().find(|v| !(0..=255).contains(*v)) {
        bail!("images holds {value}, wanted integers from 0 to 255; scale them and store images.astype(np.uint8)");
    }
    Ok(())
}

/// What the bytes of a file hold, or what is wrong with them.
fn read(path: &Path, bytes: &[u8]) -> Result<File, String> {
    let Archive { mut arrays, names } = arrays(path, bytes)?;
    let probs = arrays.remove("probs").ok_or_else(|| {
        let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        format!("found {found}, wanted an array probs [S][N][C]; np.savez(file, probs=..., labels=..., groups=...)")
    })?;
    let of_class = arrays.remove("labels").ok_or_else(|| {
        format!("found {}, wanted an array labels [N] too; those of clean inputs are needed", names.join(", "))
    })?;
    // How many inputs the other arrays are about, where they agree.
    let others = [Some(&of_class), arrays.get("groups")].into_iter().flatten().map(|array| match array.shape[..] {
        [n] => Some(n),
        _ => None,
    });
    let others = others.reduce(|one, other| one.filter(|_| one == other)).flatten();
    let all = predictions(probs, others)?;
    let (samples, inputs, classes) = (all.samples(), all.inputs(), all.classes());
    let mut left_out = Vec::new();
    let kinds = match arrays.remove("groups") {
        Some(array) => groups(&array, inputs)?,
        None => {
            left_out.push(
                "The file has no groups: all inputs count as clean, and what compares groups is left out.".to_owned(),
            );
            vec![Kind::of(Role::Clean); inputs]
        }
    };
    // The usual groups first, then others as they come.
    let mut by_kind: Vec<(Kind, Vec<usize>)> = Role::HEADLINE.map(|role| (Kind::of(role), Vec::new())).to_vec();
    for (i, kind) in kinds.into_iter().enumerate() {
        match by_kind.iter_mut().find(|one| one.0 == kind) {
            Some((_, places)) => places.push(i),
            None => {
                ensure!(by_kind.len() < MOST_GROUPS, "found more than {MOST_GROUPS} groups; give fewer of them names");
                by_kind.push((kind, vec![i]));
            }
        }
    }
    let found = by_kind.iter().map(|(kind, places)| format!("{} {}", places.len(), kind.name));
    let found = found.collect::<Vec<_>>().join(", ");
    let count = |role: Role| by_kind.iter().filter(|one| one.0.role == role).map(|one| one.1.len()).sum::<usize>();
    ensure!(
        count(Role::Clean) > 0,
        "found {found}; accuracy and calibration need clean inputs: mark those that have one right label as clean"
    );
    for role in [Role::Ambiguous, Role::Ood] {
        if count(role) == 0 && !left_out.iter().any(|l| l.contains("no groups")) {
            left_out.push(format!("There are no {} inputs: what they would answer is left out.", role.name()));
        }
    }
    let clean = count(Role::Clean);
    let (kinds, places): (Vec<Kind>, Vec<_>) = by_kind.into_iter().filter(|one| !one.1.is_empty()).unzip();
    if samples == 1 {
        left_out.push(
            "There is a single draw: epistemic uncertainty is the disagreement of draws and does not exist here."
                .to_owned(),
        );
    }
    let labels = labels(of_class, inputs, classes, clean)?;
    let right = |own: &[usize], name: &str| -> Result<Vec<usize>, String> {
        let one = |&i: &usize| {
            let label = usize::try_from(labels[i]).ok().filter(|&l| l < classes);
            label.ok_or_else(|| {
                format!(
                    "found label {} at {name} input {i}, wanted one in 0..{classes}; number the classes from 0",
                    labels[i]
                )
            })
        };
        own.iter().map(one).collect()
    };
    let part = |own: &[usize]| -> Result<Predictions, String> {
        let rows = all.probs().chunks_exact(inputs * classes);
        let row = |draw: &[f64], i: usize| draw[i * classes..(i + 1) * classes].to_vec();
        let values = rows.flat_map(|draw| own.iter().flat_map(move |&i| row(draw, i))).collect();
        let part = Predictions::new(samples, own.len(), classes, values).map_err(|e| e.to_string())?;
        Ok(part.with_precision(all.precision()))
    };
    let images = arrays.remove("images");
    if let Some(images) = &images {
        check_images(images, inputs)?;
    }
    let group = |(kind, own): (Kind, &Vec<usize>)| -> Result<TestGroup, String> {
        let labels = if kind.role.is_labelled() { right(own, &kind.name)? } else { Vec::new() };
        Ok(TestGroup {
            name: kind.name,
            role: kind.role,
            predictions: part(own)?,
            labels,
            soft_labels: None,
            shift: None,
        })
    };
    let groups = Groups(kinds.into_iter().zip(&places).map(group).collect::<Result<_, String>>()?);
    let name = path.file_stem().map_or_else(|| "model".to_owned(), |s| s.to_string_lossy().into_owned());
    Ok(File { name, groups, places, images, left_out })
}

/// More groups than this are taken for something else, such as numbers of classes.
const MOST_GROUPS: usize = 100;

/// A group of inputs.
#[derive(Clone, PartialEq)]
struct Kind {
    name: String,
    role: Role,
}

impl Kind {
    /// The group that is called as its role.
    fn of(role: Role) -> Self {
        Kind { name: role.name().to_owned(), role }
    }

    /// Of `ood`, or of `ood:near`.
    fn parse(text: &str) -> Option<Self> {
        let (role, name) = text.split_once(':').unwrap_or((text, text));
        let role = Role::ALL.into_iter().find(|r| r.name() == role)?;
        (!name.is_empty()).then(|| Kind { name: name.to_owned(), role })
    }
}

/// The group of each input, by name or number.
fn groups(array: &Array, inputs: usize) -> Result<Vec<Kind>, String> {
    check_shape("groups", &array.shape, inputs, "")?;
    let unknown = |found: &dyn std::fmt::Display, i: usize| {
        format!(
            "found group {found} at input {i}, wanted clean, ambiguous, ood or shifted, perhaps with a name as in ood:near \
             (or 0, 1, 2)"
        )
    };
    match &array.values {
        Values::Text(names) => {
            let of = |(i, name): (usize, &String)| Kind::parse(name).ok_or_else(|| unknown(name, i));
            names.iter().enumerate().map(of).collect()
        }
        Values::Integer(numbers) => {
            let of = |(i, &n): (usize, &i64)| {
                let role = usize::try_from(n).ok().and_then(|n| Role::HEADLINE.get(n).copied());
                role.map(Kind::of).ok_or_else(|| unknown(&n, i))
            };
            numbers.iter().enumerate().map(of).collect()
        }
        // Bytes are widened where they are read.
        Values::Byte(_) => bail!("groups holds bytes, wanted names or the integers 0, 1, 2"),
        // True might mean clean, or ood.
        Values::Boolean(_) => bail!(
            "groups holds booleans, wanted names (clean, ambiguous, ood) or 0, 1, 2; np.where(groups, \"ood\", \"clean\") \
             if true means ood"
        ),
        Values::Float(_) => {
            bail!("groups holds floating-point numbers, wanted names (clean, ambiguous, ood) or the integers 0, 1, 2")
        }
    }
}
