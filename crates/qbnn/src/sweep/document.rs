//! A Markdown page of several sweeps' answers, made of their specs and ledgers alone: what stands in `docs/results.md`.

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
         *Backend* is what computed the predictions: the integer machine, its simulation in float (with the reason; such \
         rows are marked), draws in float, or an ensemble of them. *Derived* means that a ledger is older than this column, \
         and the settings of the spec tell it; `-` that nothing tells.\n"
    );
    let all = || sweeps.iter().flat_map(|(path, plan, results)| plan.answers.iter().map(move |a| (path, a, results)));
    text += "\n";
    for (_, answer, _) in all() {
        text += &format!("- [{}](#{})\n", answer.title, anchor(&answer.title));
    }
    if !open.is_empty() {
        text += "- [Not run yet](#not-run-yet)\n";
    }
    for (path, answer, results) in all() {
        text += &format!("\n## {}\n", answer.title);
        if !answer.ask.is_empty() {
            text += &format!("\n{}\n", answer.ask.trim());
        }
        text += &format!("\n```console\nqbnn sweep {}\n```\n", path.display());
        for table in render(answer, results) {
            if !table.heading.is_empty() {
                text += &format!("\n### {}\n", table.heading);
            }
            text += &format!("\n{}", table.markdown());
        }
        if !answer.answer.is_empty() {
            text += &format!("\n**Answer.** {}\n", answer.answer.trim());
        }
    }
    if !open.is_empty() {
        text += "\n## Not run yet\n\nThese questions are asked, and nobody has answered them here:\n\n";
        for (path, plan) in open {
            let titles: Vec<_> = plan.answers.iter().map(|a| a.title.as_str()).collect();
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
