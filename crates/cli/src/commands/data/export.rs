//! `qbnn data export`: test images as PNG files, or a dataset in a format that is read as data of one's own.

use crate::failure::usage;
use crate::session::Session;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use qbnn::output::write_whole;
use qbnn_data::own::export::{self, Format};
use qbnn_data::{Dataset, Limits, Locations, TestGroup};
use serde_json::json;
use std::ops::Range;
use std::path::PathBuf;

/// `data export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Name of a dataset.
    #[arg(value_name = "SET", help = format!("Dataset: {}", qbnn::experiment::datasets()))]
    pub dataset: String,
    /// Folder or file to write.
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// A test group alone, by its name [default: clean; with --format everything: training, validation, clean].
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Places of single PNG files: one, or from the first up to before the last [default: 0..10].
    #[arg(long, value_name = "N|FROM..TO", value_parser = places, conflicts_with = "format")]
    pub index: Option<Range<usize>>,
    /// Write a dataset or a whole group: a folder of pictures per class, an .npz file, IDX files, CSV.
    #[arg(long)]
    pub format: Option<FormatArg>,
    /// At most so many images of each part, evenly over it.
    #[arg(long, value_name = "N", requires = "format", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Seed of strokes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Names of the formats.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FormatArg {
    /// A folder of pictures for each class.
    Png,
    /// Arrays of numpy.
    Npz,
    /// IDX files.
    Idx,
    /// Lines of labels and pixels.
    Csv,
}

/// `7` or `3..9`.
fn places(text: &str) -> Result<Range<usize>, String> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let range = match text.split_once("..") {
        Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| from..to),
        None => number(text).and_then(|one| Some(one..one.checked_add(1)?)),
    };
    range.filter(|r| !r.is_empty()).ok_or_else(|| "wanted a place like 7, or places like 3..9 (3 to 8)".to_owned())
}

/// Exports.
pub fn export(session: &Session, locations: &Locations, args: &ExportArgs) -> Result<()> {
    let dataset = qbnn_data::load(&args.dataset, locations, args.seed, Limits::default())?;
    match args.format {
        None => pictures(session, &dataset, args),
        Some(format) => formatted(session, &dataset, format, args),
    }
}

fn find<'a>(dataset: &'a Dataset, name: &str) -> Result<&'a TestGroup> {
    let names = || dataset.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>().join(", ");
    let set = &dataset.name;
    dataset
        .group(name)
        .ok_or_else(|| usage(format!("--group {name}: {set} has no such images, wanted one of {}", names())))
}

fn formatted(session: &Session, dataset: &Dataset, format: FormatArg, args: &ExportArgs) -> Result<()> {
    let format = match format {
        FormatArg::Png => Format::Png,
        FormatArg::Npz => Format::Npz,
        FormatArg::Idx => Format::Idx,
        FormatArg::Csv => Format::Csv,
    };
    let limit = args.limit.map_or(usize::MAX, |n| n as usize);
    let shown = args.out.display().to_string();
    let parts: Vec<(&str, usize)> = match &args.group {
        Some(name) => {
            let group = find(dataset, name)?;
            vec![(name, export::group(group, &dataset.class_names, format, &args.out, limit)?)]
        }
        None => {
            let [train, validation, test] = export::whole(dataset, format, &args.out, limit)?;
            vec![("training", train), ("validation", validation), ("test", test)]
        }
    };
    if session.ui.json {
        let counts: serde_json::Map<_, _> = parts.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect();
        return session.ui.json_line(&json!({ "path": shown, "images": counts }));
    }
    let counts: Vec<String> = parts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    session.ui.result(&format!("{shown}: {} images", counts.join(", ")))
}

/// Single test images.
fn pictures(session: &Session, dataset: &Dataset, args: &ExportArgs) -> Result<()> {
    let set = &dataset.name;
    let TestGroup { name: group, images, labels, .. } = find(dataset, args.group.as_deref().unwrap_or("clean"))?;
    let places = args.index.clone().unwrap_or(0..10);
    if places.end > images.len() {
        let (found, most) = (places.end, images.len());
        return Err(usage(format!("--index ends at {found}: {set} has {most} {group} images, give at most 0..{most}")));
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let mut written = Vec::new();
    for index in places {
        if session.stopped() {
            bail!("stopped after {} files", written.len());
        }
        // As many digits for all, so that the order of names is that of places.
        let path = args.out.join(format!("{set}-{group}-{index:05}.png"));
        write_whole(&path, &images.png(index, &path)?)?;
        let label = labels.as_ref().and_then(|labels| labels.get(index));
        if session.ui.json {
            written.push(json!({ "file": path.display().to_string(), "index": index, "label": label }));
        } else {
            let label = label.map_or(String::new(), |label| format!("  label {label}"));
            session.ui.result(&format!("{}{label}", path.display()))?;
        }
    }
    if session.ui.json { session.ui.json_line(&json!({ "files": written })) } else { Ok(()) }
}
