//! `qbnn data`: what data is there and where, and getting what is not.

use crate::args::{DataAction, DataCommand};
use crate::session::{Session, locations};
use crate::table::thousands;
use anyhow::Result;
use qbnn_data::{Locations, SetReport};
use serde_json::{Value, json};

/// Lists or fetches.
pub fn data(session: &Session, args: DataCommand) -> Result<()> {
    let locations = locations(args.data_dir);
    match args.action {
        DataAction::List => list(session, &locations),
        DataAction::Fetch { sets } => fetch(session, &locations, &sets),
    }
}

fn list(session: &Session, locations: &Locations) -> Result<()> {
    let reports = qbnn_data::list(locations);
    if session.ui.json {
        let sets: Vec<_> = reports.iter().map(as_json).collect();
        return session.ui.json_line(&json!({ "datasets": qbnn_data::DATASETS, "sets": sets }));
    }
    for report in &reports {
        session.ui.result(&as_line(report))?;
    }
    session.ui.result("strokes           embedded, needs no file")?;
    let roots: Vec<_> = locations.roots().iter().map(|(o, p)| format!("{} ({o})", p.display())).collect();
    let roots = if roots.is_empty() { "nowhere; give --data-dir".into() } else { roots.join(", then ") };
    session.ui.result(&format!("searched: {roots}"))
}

fn as_line(report: &SetReport) -> String {
    let name = report.set.name();
    match report.used() {
        Some(place) => format!("{name:<17} {} ({} bytes)", place.folder.display(), thousands(place.bytes())),
        None => {
            let partly = report.places.iter().find(|p| p.bytes() > 0);
            let what = match partly {
                Some(place) => format!("incomplete in {}", place.folder.display()),
                None => "not there".to_owned(),
            };
            format!("{name:<17} {what}; get it with `qbnn data fetch {name}`")
        }
    }
}

fn as_json(report: &SetReport) -> Value {
    let used = report.used();
    json!({
        "name": report.set.name(),
        "complete": used.is_some(),
        "folder": used.map(|p| p.folder.display().to_string()),
        "bytes": used.map(qbnn_data::Place::bytes),
    })
}

fn fetch(_session: &Session, _locations: &Locations, _sets: &[String]) -> Result<()> {
    anyhow::bail!("this build cannot download")
}
