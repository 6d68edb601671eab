//! `qbnn data`: what data is there and where, getting what is not, and images of it as files.

use crate::failure::usage;
use crate::layout::Sheet;
use crate::session::Session;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use comfy_table::presets;
use qbnn::experiment::locations;
use qbnn::output::write_whole;
use qbnn::wording::thousands;
use qbnn_data::{Catalogue, DataError, Descriptor, FetchEvent, Limits, Locations, SetReport, TestGroup};
use serde_json::{Value, json};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

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
        /// Names of sets, as `qbnn data list` shows them.
        #[arg(value_name = "SET", required = true)]
        sets: Vec<String>,
        /// Folder address to download from instead of the public mirrors; checksums stay the same.
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Write test images of a dataset as PNG files.
    #[command(after_help = "Examples:\n  qbnn data export strokes --group ood --index 0..3 pictures\n  \
        qbnn data export dirty-mnist --group ambiguous --index 17 pictures")]
    Export(ExportArgs),
}

/// `data export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Name of a dataset.
    #[arg(value_name = "SET", help = format!("Dataset: {}", qbnn::experiment::datasets()))]
    pub dataset: String,
    /// Folder for the files, made if it is not there.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Which test images: the name of a group, such as clean, ambiguous or ood.
    #[arg(long, value_name = "NAME", default_value = "clean")]
    pub group: String,
    /// Their places: one, or from the first up to before the last.
    #[arg(long, value_name = "N|FROM..TO", default_value = "0..10", value_parser = places)]
    pub index: Range<usize>,
    /// Seed of strokes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
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

/// Lists, fetches or exports.
pub fn data(session: &Session, args: DataCommand) -> Result<()> {
    let locations = locations(args.data_dir);
    match args.action {
        DataAction::List => list(session, &locations),
        DataAction::Fetch { sets, mirror } => {
            let root = locations.download_root().context("there is no folder to download into; give --data-dir")?;
            fetch(session, root, mirror.as_deref(), &sets)
        }
        DataAction::Export(args) => export(session, &locations, &args),
    }
}

fn list(session: &Session, locations: &Locations) -> Result<()> {
    let reports = qbnn_data::list(locations)?;
    if session.ui.json {
        let sets: Vec<_> = reports.iter().map(as_json).collect();
        let datasets: Vec<_> = Catalogue::built_in()?.datasets().map(|d| &d.0.name).collect();
        return session.ui.json_line(&json!({ "datasets": datasets, "sets": sets }));
    }
    let mut cells = vec![["set", "bytes", "where"].map(str::to_owned).to_vec()];
    cells.extend(reports.iter().map(as_row));
    cells
        .extend(embedded()?.into_iter().map(|d| vec![d.name.clone(), String::new(), "embedded, needs no file".into()]));
    session.ui.table(&Sheet { labels: 1, cells: &cells, style: presets::NOTHING })?;
    let roots: Vec<_> = locations.roots().iter().map(|(o, p)| format!("{} ({o})", p.display())).collect();
    let roots = if roots.is_empty() { "nowhere; give --data-dir".into() } else { roots.join(", then ") };
    session.ui.text(&format!("searched: {roots}"))
}

/// Datasets that this program draws.
pub fn embedded() -> Result<Vec<&'static Descriptor>, DataError> {
    let all = Catalogue::built_in()?.datasets();
    Ok(all.filter(|(_, composition)| composition.drawn.is_some()).map(|d| d.0).collect())
}

fn as_row(report: &SetReport) -> Vec<String> {
    let name = &report.set.name;
    let (bytes, place) = match report.used() {
        Some(place) => (thousands(place.bytes()), place.folder.display().to_string()),
        None => {
            let partly = report.places.iter().find(|p| p.bytes() > 0);
            let what = match partly {
                Some(place) => format!("incomplete in {}", place.folder.display()),
                None => "not there".to_owned(),
            };
            (String::new(), format!("{what}; get it with `qbnn data fetch {name}`"))
        }
    };
    vec![name.to_owned(), bytes, place]
}

fn as_json(report: &SetReport) -> Value {
    let used = report.used();
    json!({
        "name": report.set.name,
        "complete": used.is_some(),
        "folder": used.map(|p| p.folder.display().to_string()),
        "bytes": used.map(qbnn_data::SetLocation::bytes),
    })
}

fn fetch(session: &Session, root: &Path, mirror: Option<&str>, names: &[String]) -> Result<()> {
    let catalogue = Catalogue::built_in()?;
    let sets = names.iter().map(|n| catalogue.set(n)).collect::<Result<Vec<_>, _>>()?;
    let only = mirror.map(|url| vec![format!("{}/", url.trim_end_matches('/'))]);
    let mut fetched = Vec::new();
    for (set, public) in sets {
        let files = fetch_one(session, root, only.as_ref().unwrap_or(&public.mirrors), set)?;
        let folder = root.join(&set.name).display().to_string();
        if !session.ui.json {
            session.ui.result(&format!("{set}: {} files, checked, in {folder}", files.len()))?;
        }
        fetched.push(json!({ "name": set.name, "folder": folder }));
    }
    if session.ui.json { session.ui.json_line(&json!({ "sets": fetched })) } else { Ok(()) }
}

fn fetch_one(session: &Session, root: &Path, mirrors: &[String], set: &Descriptor) -> Result<Vec<PathBuf>> {
    let ui = session.ui;
    let mut bar = None;
    let mut tell = |event: FetchEvent<'_>| {
        match event {
            FetchEvent::Present { file } => ui.say(&format!("{set}: {file} is there already and right")),
            FetchEvent::Started { file, url, resumed } => {
                let from = if resumed > 0 { format!(", from byte {}", thousands(resumed)) } else { String::new() };
                ui.say(&format!("{set}: {url}{from}"));
                bar = Some(ui.downloading(file));
            }
            FetchEvent::Progress { bytes, total, .. } => {
                if let Some(bar) = &bar {
                    bar.set_length(total.unwrap_or(bytes));
                    bar.set_position(bytes);
                }
            }
            FetchEvent::Failed { url, reason, .. } => {
                bar = None;
                ui.say(&format!("{set}: {url} failed: {reason}"));
            }
            FetchEvent::Verified { file } => {
                bar = None;
                ui.say(&format!("{set}: {file} is right"));
            }
            FetchEvent::Converted { set } => ui.say(&format!("{set}: converted to IDX")),
            _ => {}
        }
        if session.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    Ok(qbnn_data::fetch(set, root, mirrors, &mut tell)?)
}

fn export(session: &Session, locations: &Locations, args: &ExportArgs) -> Result<()> {
    let dataset = qbnn_data::load(&args.dataset, locations, args.seed, Limits::default())?;
    let set = &dataset.name;
    let names = || dataset.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = || usage(format!("--group {}: {set} has no such images, wanted one of {}", args.group, names()));
    let TestGroup { name: group, images, labels, .. } = dataset.group(&args.group).ok_or_else(unknown)?;
    if args.index.end > images.len() {
        let (found, most) = (args.index.end, images.len());
        return Err(usage(format!("--index ends at {found}: {set} has {most} {group} images, give at most 0..{most}")));
    }
    std::fs::create_dir_all(&args.folder).with_context(|| format!("cannot make {}", args.folder.display()))?;
    let mut written = Vec::new();
    for index in args.index.clone() {
        if session.stopped() {
            bail!("stopped after {} files", written.len());
        }
        // As many digits for all, so that the order of names is that of places.
        let path = args.folder.join(format!("{set}-{group}-{index:05}.png"));
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
