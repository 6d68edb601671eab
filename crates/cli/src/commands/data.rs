//! `qbnn data`: what data is there and where, getting what is not, what data of one's own is, and images as files.

pub mod export;
pub mod inspect;

use crate::layout::Sheet;
use crate::session::Session;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use comfy_table::presets;
use export::ExportArgs;
use inspect::InspectArgs;
use qbnn::experiment::locations;
use qbnn::wording::thousands;
use qbnn_data::{Catalogue, DataError, Descriptor, FetchEvent, Locations, SetReport};
use serde_json::{Value, json};
use std::ops::ControlFlow;
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
    /// Say what data is: kind, classes and their images, size, pixel statistics, images trained and tested on.
    #[command(after_help = "Examples:\n  qbnn data inspect pictures/\n  \
        qbnn data inspect digits.npz --resize 28x28 --test ood:letters=letters.npz --json")]
    Inspect(InspectArgs),
    /// Write test images of a dataset as PNG files, or a dataset in a format that `--data` reads.
    #[command(after_help = "Examples:\n  qbnn data export strokes --group ood --index 0..3 pictures\n  \
        qbnn data export strokes --format npz --limit 500 strokes.npz\n  \
        qbnn data export strokes --format png --group ood drawings")]
    Export(ExportArgs),
}

/// Lists, fetches, inspects or exports.
pub fn data(session: &Session, args: DataCommand) -> Result<()> {
    let locations = locations(args.data_dir.clone());
    match args.action {
        DataAction::Inspect(inspected) => inspect::inspect(session, args.data_dir, &inspected),
        DataAction::List => list(session, &locations),
        DataAction::Fetch { sets, mirror } => {
            let root = locations.download_root().context("there is no folder to download into; give --data-dir")?;
            fetch(session, root, mirror.as_deref(), &sets)
        }
        DataAction::Export(args) => export::export(session, &locations, &args),
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
        Some(place) => {
            let unverified = report.set.set.as_ref().and_then(|files| files.unverified.as_ref());
            let remark = unverified.map_or(String::new(), |why| format!("; {why}"));
            (thousands(place.bytes()), format!("{}{remark}", place.folder.display()))
        }
        None => {
            let partly = report.places.iter().find(|p| p.bytes() > 0);
            let what = match partly {
                Some(place) => format!("incomplete in {}", place.folder.display()),
                None => "not there".to_owned(),
            };
            (String::new(), format!("{what}; to get it: {}", report.set.how_to_get()))
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
    if let Some((set, _)) = sets.iter().find(|(_, files)| files.mirrors.is_empty() && only.is_none()) {
        bail!("no mirror has {set}; {}, or name an address with --mirror", set.how_to_get());
    }
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
