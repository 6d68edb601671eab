//! Whether each score knows where the network errs, on every labelled group: a table without a drawing.

use super::aurocs::beside;
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::RunReport;
use crate::{Headline, Role, Score};

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let mut table = Table::new(["group", "score", "model", "error AUROC", "AURC", "AUGRC"]);
    for measure in report.metrics.measures(&Score::ALL.map(Headline::Augrc)) {
        let Headline::Augrc(score) = measure.headline else { continue };
        for model in &report.metrics.models {
            if model.measured(&measure).is_none() {
                continue;
            }
            table.row([
                measure.group.clone().unwrap_or_else(|| Role::Clean.name().to_owned()),
                score.title().to_owned(),
                model.name.clone(),
                beside(model, &measure, Headline::ErrorAuroc(score)),
                beside(model, &measure, Headline::Aurc(score)),
                beside(model, &measure, Headline::Augrc(score)),
            ]);
        }
    }
    if table.rows.is_empty() {
        return Err("How scores rank wrong predictions is left out: the metrics were written by an older version, which did not \
                    measure it; `qbnn eval` does."
            .into());
    }
    let caption = "Error AUROC: does the score rank wrong predictions above right ones? AURC: mean error rate of the images \
                   kept, over all shares that may be kept, the least doubtful first. AUGRC: the same of the share of all \
                   images that are kept and wrong. The two areas depend on the accuracy too; less is better. There is no \
                   error AUROC where nothing is wrong, and no interval where some resample has no wrong prediction."
        .into();
    let title = "Does a score know where the network errs?".into();
    Ok(Figure { id: "errors", title, caption, panels: Vec::new(), table })
}
