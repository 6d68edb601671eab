//! `qbnn data inspect`: what a run would see of data.

use crate::layout::Sheet;
use crate::session::Session;
use crate::settings::{BaseArgs, Flags, Reading};
use anyhow::Result;
use clap::Args;
use comfy_table::presets;
use qbnn::config::Layers;
use qbnn::experiment;
use qbnn_data::own::Kind;
use qbnn_data::{Part, Summary};
use std::path::PathBuf;

/// `data inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Name of a dataset, or a path.
    #[arg(value_name = "SET|PATH")]
    pub data: String,
    /// How it is read.
    #[command(flatten)]
    pub reading: Reading,
    /// Any setting by its key, such as data.channels=1; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Classes that are listed for people.
const LISTED: usize = 20;

/// Inspects.
pub fn inspect(session: &Session, dir: Option<PathBuf>, args: &InspectArgs) -> Result<()> {
    let mut layers = Layers::default();
    let base = BaseArgs { data: Some(args.data.clone()), data_dir: dir, ..BaseArgs::default() };
    base.apply(&mut layers);
    args.reading.put(&mut layers)?;
    for assignment in &args.set {
        layers.set(assignment)?;
    }
    let config = layers.finish()?;
    let summary = Summary::of(&experiment::load(&config)?);
    let kind = match &config.data.path {
        Some(path) => Kind::at(path)?.what(),
        None => "built-in",
    };
    if session.ui.json {
        let mut json = serde_json::to_value(&summary)?;
        json["kind"] = kind.into();
        return session.ui.json_line(&json);
    }
    show(session, kind, &summary)
}

fn show(session: &Session, kind: &str, data: &Summary) -> Result<()> {
    let Summary { name, rows, columns, pixels, class_names, parts, .. } = data;
    let colour = if data.channels == 3 { "in colour" } else { "in grey" };
    session.ui.result(&format!(
        "{name}: {kind}, {} classes, images of {rows} x {columns} {colour}, pixel mean {:.4}, std {:.4} (of 0 to 1)",
        class_names.len(),
        pixels.mean,
        pixels.std
    ))?;
    let row = |name: &str, cell: &dyn Fn(&Part) -> String| -> Vec<String> {
        [name.to_owned()].into_iter().chain(parts.iter().map(cell)).collect()
    };
    let mut cells = vec![row("class", &|p| p.name.clone()), row("role", &|p| p.role.to_owned())];
    for (class, name) in class_names.iter().enumerate().take(LISTED) {
        let of = |p: &Part| p.classes.as_ref().map_or(String::new(), |classes| classes[class].to_string());
        cells.push(row(name, &of));
    }
    if class_names.len() > LISTED {
        cells.push(row(&format!("{} more", class_names.len() - LISTED), &|_| String::new()));
    }
    cells.push(row("images", &|p| p.images.to_string()));
    cells.push(row("trained on too", &|p| p.trained_on_too.map_or(String::new(), |n| n.to_string())));
    session.ui.table(&Sheet { labels: 1, cells: &cells, style: presets::NOTHING })?;
    data.note.iter().try_for_each(|note| session.ui.text(&format!("note: {note}")))
}
