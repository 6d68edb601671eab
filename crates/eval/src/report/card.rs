//! The model card: purpose, data, figures, limits, how to run, from the same numbers (Mitchell et al. 2019,
//! arXiv 1810.03993).

use super::input::RunReport;
use super::number::{thousands, with_interval};
use super::words::{model_in_words, ratio, sentences, size_in_words};
use crate::{Headline, Score, is_shown};

/// What a card says that its numbers do not: filled in by who knows how the models were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardText {
    /// What the network reads and decides: one sentence.
    pub purpose: String,
    /// The data, one line each.
    pub data: Vec<String>,
    /// Commands that repeat or use it, one line each.
    pub commands: Vec<String>,
}

/// The metrics of a card: every one but those that say the same of a score in another way, and of errors by the total
/// uncertainty alone. The report has all.
fn shown() -> Vec<Headline> {
    let shown = |h: &Headline| match h {
        Headline::Aupr(..) | Headline::Fpr95(..) | Headline::Aurc(_) => false,
        Headline::ErrorAuroc(score) | Headline::Augrc(score) => *score == Score::Total,
        _ => true,
    };
    Headline::ALL.into_iter().filter(shown).collect()
}

/// The card as Markdown.
pub fn card(report: &RunReport, text: &CardText) -> String {
    let m = &report.metrics;
    let mut out = format!("# {}\n\n{}\n\n", report.title, text.purpose);
    for said in sentences(m) {
        out.push_str(&format!("{}\n\n", format!("{} {}", said.result, said.more).trim_end()));
    }
    out.push_str("## Data\n\n");
    for line in text.data.iter().chain(&report.note.as_deref().map(|n| format!("note: {n}"))) {
        out.push_str(&format!("- {line}\n"));
    }
    let counts = m.models.first().map(|m| m.counts).unwrap_or_default();
    let further = m.models.first().into_iter().flat_map(|m| &m.groups).filter(|g| is_shown(&g.name, g.shift.as_ref()));
    let further: String =
        further.map(|g| format!(", {} of {} ({})", thousands(g.inputs), g.name, g.role.name())).collect();
    out.push_str(&format!(
        "- evaluated on {} clean, {} ambiguous and {} ood images{further}, seed {}\n\n## Figures\n\n",
        thousands(counts.clean),
        thousands(counts.ambiguous),
        thousands(counts.ood),
        m.seed
    ));
    out.push_str("95 % bootstrap intervals over test images in brackets. One seed of training: another can move an AUROC by 0.01 to 0.02.\n\n");
    let names: Vec<&str> = m.models.iter().map(|m| m.name.as_str()).collect();
    out.push_str(&format!("| | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len())));
    if m.models.iter().any(|m| m.backend.is_some()) {
        let backend = |m: &crate::ModelEntry| m.backend.as_ref().map_or("–".to_owned(), ToString::to_string);
        let cells: Vec<String> = m.models.iter().map(backend).collect();
        out.push_str(&format!("| backend | {} |\n", cells.join(" | ")));
    }
    for measure in m.measures(&shown()) {
        if m.models.iter().all(|m| m.measured(&measure).is_none()) {
            continue;
        }
        let h = measure.headline;
        let cell = |m: &crate::ModelEntry| {
            m.measured(&measure).map_or("–".into(), |v| with_interval(h, v, m.measured_interval(&measure), false))
        };
        let cells: Vec<String> = m.models.iter().map(cell).collect();
        out.push_str(&format!(
            "| {} | {} |\n",
            format!("{} {}", measure.title(), h.about().unit).trim_end(),
            cells.join(" | ")
        ));
    }
    let bytes = |model: &crate::ModelEntry| {
        let r = m.models.first().and_then(|first| ratio(model, first));
        r.map_or(thousands(model.bytes()), |r| format!("{} ({r})", thousands(model.bytes())))
    };
    let cells: Vec<String> = m.models.iter().map(bytes).collect();
    out.push_str(&format!("| bytes ({}) | {} |\n", size_in_words(&m.models), cells.join(" | ")));
    let models: Vec<String> = m
        .models
        .iter()
        .map(|m| format!("`{}` is {}, {} draws", m.name, model_in_words(&m.name, m.strategy, m.bits), m.samples))
        .collect();
    for note in m.models.iter().flat_map(crate::ModelEntry::notes) {
        out.push_str(&format!("\n{note}\n"));
    }
    out.push_str(&format!("\n{}.\n\n## Limits\n\n", models.join("; ")));
    for limit in [
        "It was evaluated on the groups above and on nothing else: another kind of OOD image may look familiar to it.",
        "A low epistemic uncertainty is no proof of a right answer, and the two uncertainties are entangled as far as the cross \
         rows and the rank correlation say.",
        "Uncertainty shrinks or grows with the number of draws; the figures hold for the number given.",
        "Not meant for decisions about people, nor for any use where an error does harm without a human in between.",
    ] {
        out.push_str(&format!("- {limit}\n"));
    }
    out.push_str("\n## How to run\n\n```console\n");
    for command in &text.commands {
        out.push_str(&format!("{command}\n"));
    }
    out.push_str("```\n\n## Where this comes from\n\n");
    for (what, value) in &report.provenance {
        out.push_str(&format!("- {what}: {value}\n"));
    }
    out
}
