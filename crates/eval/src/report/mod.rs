//! The report: one page on which a run, a sweep or anyone's predictions can be judged by looking.
//!
//! A pure function from numbers to text: [`RunReport`] or [`SweepReport`] in, one HTML file out, with inline SVG,
//! without scripts and without anything to load. It is a view: every number in it comes from [`crate::Metrics`], every
//! curve from the predictions that were stored with them. What cannot be drawn is left out, and the page says why.

mod card;
mod chart;
mod figure;
mod figures;
mod input;
mod number;
mod page;
mod palette;
mod sweep;
mod words;

pub use card::{CardText, card};
pub use chart::Panel;
pub use figure::{Figure, Table};
pub use figures::gallery::{PER_SHELF, choose};
pub use input::{Chosen, Epoch, GalleryImage, GroupPredictions, Kind, ModelPredictions, RunReport, Shelf, Tensor};
pub use number::{fixed, metric, nats, short, thousands};
pub use sweep::{SweepReport, SweepRow};
pub use words::{Said, Verdict, sentences, verdict};

/// A finished page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The whole file.
    pub html: String,
    /// Its figures, for files of their own.
    pub figures: Vec<Figure>,
    /// What was left out, and why: full sentences.
    pub left_out: Vec<String>,
}

/// The page of one evaluation.
pub fn run_page(report: &RunReport) -> Page {
    let mut left_out = report.left_out.clone();
    let figures = keep(figures::all(report), &mut left_out);
    let html = page::run(report, &figures, &left_out);
    Page { html, figures, left_out }
}

/// The page of many evaluations.
pub fn sweep_page(report: &SweepReport) -> Page {
    let mut left_out = report.left_out.clone();
    let figures = keep(sweep::figures(report), &mut left_out);
    let html = page::sweep(report, &figures, &left_out);
    Page { html, figures, left_out }
}

fn keep(drawn: Vec<figure::Drawn>, left_out: &mut Vec<String>) -> Vec<Figure> {
    drawn.into_iter().filter_map(|figure| figure.map_err(|why| left_out.push(why)).ok()).collect()
}
