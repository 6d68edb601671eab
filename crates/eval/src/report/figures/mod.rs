//! The figures of a run: one question, one file.

pub(super) mod aurocs;
pub(super) mod calibrated;
pub(super) mod confusion;
pub(super) mod draws;
pub(super) mod errors;
pub(super) mod gallery;
pub(super) mod posterior;
pub(super) mod reliability;
pub(super) mod risk;
pub(super) mod roc;
pub(super) mod scatter;
pub(super) mod severity;
pub(super) mod training;
pub(super) mod uncertainty;

use super::figure::Drawn;
use super::input::RunReport;

/// Every figure in the order of the page, or why there is none.
pub(super) fn all(report: &RunReport) -> Vec<Drawn> {
    let mut figures = vec![
        uncertainty::figure(report),
        scatter::figure(report),
        roc::figure(report),
        aurocs::figure(report),
        errors::figure(report),
        risk::figure(report),
        reliability::figure(report),
        confusion::figure(report),
        draws::figure(report),
        gallery::figure(report),
    ];
    if report.metrics.models.iter().flat_map(|m| &m.groups).any(|g| g.shift.is_some()) {
        figures.insert(7, severity::figure(report));
    }
    if !report.external {
        let at = figures.len() - 3;
        figures.insert(at, calibrated::figure(report));
        figures.extend([posterior::figure(report), training::figure(report)]);
    }
    figures
}

/// Why figures of predictions are missing.
pub(super) const NO_PREDICTIONS: &str =
    "no predictions are stored beside the metrics; `qbnn eval` on the run stores them";
