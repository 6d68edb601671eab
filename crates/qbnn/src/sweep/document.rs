//! A Markdown page with the tables of several sweeps, made of their specs and ledgers alone: what stands in `docs/results.md`.

use super::ledger::Results;
use super::plan::Plan;
use super::tables::render;
use crate::shell;
use std::path::Path;

/// The page. Each sweep with the path of its spec and what its ledger holds; `open` are those without a ledger.
pub fn page(sweeps: &[(&Path, Plan, Results)], open: &[(&Path, Plan)], command: &str) -> String {
    let mut text = format!(
        "# Results\n\n\
         Made by `{command}` from the ledgers beside the specs; change those, not this page.\n\n\
         Read every cell so: the mean over seeds ± half of its 95 % interval (Student's t); below it, the difference \
         from the float network of the same seed, paired, with its own interval. Accuracy in percent, NLL in nats. \
         Each AUROC names its score, what it has to \
         find, and among what: `ood vs clean + ambiguous` has ood images to be found among clean and ambiguous ones. Compare \
         two of them only where these are the same. *Cross* columns ask a score for what it is not meant for: 0.5 there \
         would be perfect disentanglement. The *epistemic share* is epistemic over total. What a ledger of an earlier \
         version did not measure is left out. S = 32 draws unless said. \
         *Backend* is what computed the predictions: the integer runtime, its simulation in float (with the reason; such \
         rows are marked), draws in float, or an ensemble of them. *Derived* means that a ledger is older than this column, \
         and the settings of the spec tell it; `-` that nothing tells.\n"
    );
    let all = || sweeps.iter().flat_map(|(path, plan, results)| plan.questions.iter().map(move |a| (path, a, results)));
    text += "\n";
    for (_, question, _) in all() {
        text += &format!("- [{}](#{})\n", question.title, anchor(&question.title));
    }
    if !open.is_empty() {
        text += "- [Not run yet](#not-run-yet)\n";
    }
    for (path, question, results) in all() {
        text += &format!("\n## {}\n", question.title);
        if !question.ask.is_empty() {
            text += &format!("\n{}\n", question.ask.trim());
        }
        text += &format!("\n```console\nqbnn sweep {}\n```\n", path.display());
        for table in render(question, results) {
            if !table.heading.is_empty() {
                text += &format!("\n### {}\n", table.heading);
            }
            text += &format!("\n{}", table.markdown());
        }
        if !question.answer.is_empty() {
            text += &format!("\n**Answer.** {}\n", question.answer.trim());
        }
    }
    if !open.is_empty() {
        text += "\n## Not run yet\n\nThese questions are asked, and nobody has answered them here:\n\n";
        for (path, plan) in open {
            let titles: Vec<_> = plan.questions.iter().map(|a| a.title.as_str()).collect();
            text += &format!("- {}: `qbnn sweep {}`\n", titles.join("; "), shell::path(path));
        }
    }
    text
}

/// The anchor that Markdown readers give to a heading.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
