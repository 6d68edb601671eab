//! Every score against every stated group: the table behind the headline rows, without a drawing.

use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::RunReport;
use crate::report::number::with_interval;
use crate::{Contrast, Headline, Measure, ModelEntry, Score};

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let mut table = Table::new(["group found", "score", "model", "AUROC", "AUPR", "FPR95", "pairs that tie %"]);
    let mut any_ties = false;
    let aurocs = Contrast::ALL.into_iter().flat_map(|c| Score::ALL.map(|s| Headline::Auroc(s, c)));
    for measure in report.metrics.measures(&aurocs.collect::<Vec<_>>()) {
        let Headline::Auroc(score, contrast) = measure.headline else { continue };
        for model in &report.metrics.models {
            let Some(value) = model.measured(&measure) else { continue };
            let tied = tied(model, &measure);
            any_ties |= tied.is_some_and(|t| t > 0.0);
            table.row([
                measure.found().unwrap_or_default(),
                score.title().to_owned(),
                model.name.clone(),
                with_interval(measure.headline, value, model.measured_interval(&measure), false),
                beside(model, &measure, Headline::Aupr(score, contrast)),
                beside(model, &measure, Headline::Fpr95(score, contrast)),
                tied.map_or("–".to_owned(), |t| format!("{:.2}", 100.0 * t)),
            ]);
        }
    }
    if table.rows.is_empty() {
        return Err("AUROCs are left out: they need a second group beside the clean one.".into());
    }
    let mut caption = "How well each score tells one group from the others that are named: within a group found, all scores \
                       meet the same images. Max probability is one less the greatest mean probability, which needs no \
                       draws. AUPR is the average precision; by chance it is the share of images to be found. FPR95 is the \
                       share of the others that are picked too where 95 % of the group are; less is better, by chance it \
                       is 0.95."
        .to_owned();
    if any_ties {
        caption.push_str(" A pair whose scores tie counts one half.");
    }
    if Score::ALL.into_iter().any(|s| s.needs_energies() && table.rows.iter().all(|row| row[1] != s.title())) {
        caption.push_str(
            " Energy and logit disagreement, which need logits, are left out where they are not known: predictions of other \
             programs and metrics of older versions have probabilities alone, and one draw disagrees with none.",
        );
    }
    if report.metrics.models.iter().any(ModelEntry::lacks_contrasts) {
        caption.push_str(
            " Some metrics were written by an older version, which measured fewer of these; `qbnn eval` measures all.",
        );
    }
    Ok(Figure { id: "aurocs", title: "Every score against every group".into(), caption, panels: Vec::new(), table })
}

/// Another metric of the same group, as a cell.
pub(super) fn beside(model: &ModelEntry, measure: &Measure, headline: Headline) -> String {
    let measure = Measure { group: measure.group.clone(), headline };
    let with = |value| with_interval(headline, value, model.measured_interval(&measure), false);
    model.measured(&measure).map_or("–".to_owned(), with)
}

fn tied(model: &ModelEntry, measure: &Measure) -> Option<f64> {
    match &measure.group {
        None => *model.tied_pairs.get(measure.headline),
        Some(group) => *model.group(group)?.tied_pairs.get(measure.headline),
    }
}
