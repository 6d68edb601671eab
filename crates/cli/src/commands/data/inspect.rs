//! `qbnn data inspect`: what a run would see of data.

use crate::layout::Sheet;
use crate::session::Session;
use crate::settings::{BaseArgs, Flags, Reading};
use anyhow::Result;
use clap::Args;
use comfy_table::presets;
use qbnn::config::{Config, Layers};
use qbnn::experiment;
use qbnn_data::Dataset;
use qbnn_data::own::{Kind, leaked_by_group};
use serde_json::json;
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
    let dataset = experiment::load(&config)?;
    let seen = Seen::new(&config, &dataset)?;
    if session.ui.json { session.ui.json_line(&seen.json()) } else { seen.show(session) }
}

/// What there is to say.
struct Seen<'a> {
    kind: String,
    dataset: &'a Dataset,
    /// Name, role, images, images of each class where they are labelled, images that are trained on too.
    parts: Vec<Part>,
}

struct Part {
    name: String,
    role: &'static str,
    images: usize,
    classes: Option<Vec<usize>>,
    /// `None` of what is trained on or chosen by.
    leaked: Option<usize>,
}

impl<'a> Seen<'a> {
    fn new(config: &Config, dataset: &'a Dataset) -> Result<Self> {
        let kind = match &config.data.path {
            Some(path) => Kind::at(path)?.what().to_owned(),
            None => "built-in".to_owned(),
        };
        let count = |labels: &mut dyn Iterator<Item = u16>| {
            let mut counts = vec![0; dataset.classes()];
            for label in labels {
                if let Some(count) = counts.get_mut(usize::from(label)) {
                    *count += 1;
                }
            }
            counts
        };
        let part =
            |name: &str, role, images, classes| Part { name: name.to_owned(), role, images, classes, leaked: None };
        let (train, validation) = (&dataset.train, &dataset.validation);
        let mut parts = vec![
            part("training", "training", train.images.len(), Some(count(&mut train.pairs.iter().map(|pair| pair.1)))),
            part(
                "validation",
                "validation",
                validation.labels.len(),
                Some(count(&mut validation.labels.iter().copied())),
            ),
        ];
        for (group, leaked) in dataset.groups.iter().zip(leaked_by_group(dataset)) {
            let labels = group.labels.as_ref().filter(|_| group.role.is_labelled());
            let classes = labels.map(|labels| count(&mut labels.iter().copied()));
            parts.push(Part {
                leaked: Some(leaked),
                ..part(&group.name, group.role.name(), group.images.len(), classes)
            });
        }
        Ok(Seen { kind, dataset, parts })
    }

    fn json(&self) -> serde_json::Value {
        let d = self.dataset;
        let part = |p: &Part| json!({ "name": p.name, "role": p.role, "images": p.images, "classes": p.classes, "trained_on_too": p.leaked });
        let parts: Vec<_> = self.parts.iter().map(part).collect();
        json!({
            "name": d.name,
            "kind": self.kind,
            "rows": d.shape().rows,
            "columns": d.shape().columns,
            "channels": d.shape().channels,
            "class_names": d.class_names,
            "pixels": { "mean": d.pixels.mean, "std": d.pixels.std },
            "parts": parts,
            "note": d.note,
        })
    }

    fn show(&self, session: &Session) -> Result<()> {
        let (d, shape) = (self.dataset, self.dataset.shape());
        let colour = if shape.channels == 3 { "in colour" } else { "in grey" };
        session.ui.result(&format!(
            "{}: {}, {} classes, images of {} x {} {colour}, pixel mean {:.4}, std {:.4} (of 0 to 1)",
            d.name,
            self.kind,
            d.classes(),
            shape.rows,
            shape.columns,
            d.pixels.mean,
            d.pixels.std
        ))?;
        let mut cells =
            vec![["class".to_owned()].into_iter().chain(self.parts.iter().map(|p| p.name.clone())).collect()];
        let row = |name: &str, cell: &dyn Fn(&Part) -> String| -> Vec<String> {
            [name.to_owned()].into_iter().chain(self.parts.iter().map(cell)).collect()
        };
        cells.push(row("role", &|p| p.role.to_owned()));
        for (class, name) in d.class_names.iter().enumerate().take(LISTED) {
            let of = |p: &Part| p.classes.as_ref().map_or(String::new(), |classes| classes[class].to_string());
            cells.push(row(name, &of));
        }
        if d.classes() > LISTED {
            cells.push(row(&format!("{} more", d.classes() - LISTED), &|_| String::new()));
        }
        cells.push(row("images", &|p| p.images.to_string()));
        cells.push(row("trained on too", &|p| p.leaked.map_or(String::new(), |n| n.to_string())));
        session.ui.table(&Sheet { labels: 1, cells: &cells, style: presets::NOTHING })?;
        d.note.iter().try_for_each(|note| session.ui.text(&format!("note: {note}")))
    }
}
