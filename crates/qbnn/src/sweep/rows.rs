//! A sweep's results as rows of a page: what its spec asks for, where the ledger has it.
//!
//! Curves over widths need all else equal. So a question's rows are split by whatever is neither strategy nor width, and
//! each part is an experiment of its own, with the float networks that it is compared with. A question whose rows are
//! techniques is one experiment. Questions over the number of draws stay with their tables.

use super::ledger::{Outcome, Results};
use super::plan::{Plan, Point, QuestionTables, RowPlan, Run, TablePlan};
use super::spec::Model;
use qbnn_eval::report::SweepRow;
use qbnn_eval::{Bits, ByHeadline, Headline, Strategy};

/// Axes that a page's figures have axes for.
const DRAWN: [&str; 6] = ["strategy", "bits", "mu", "sigma", "weight", "activation"];

/// Every row, and what was left out, in sentences.
pub fn rows(plan: &Plan, results: &Results) -> (Vec<SweepRow>, Vec<String>) {
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for question in &plan.questions {
        for table in &question.tables {
            if table.axes.iter().any(|a| a == "S") {
                left_out.push(format!("\"{}\" is about the number of draws: its table has it.", question.title));
                break;
            }
            for row in &table.rows {
                of_row(plan, results, question, table, row, &mut rows);
            }
        }
    }
    let missing = plan.runs.iter().flat_map(|r| r.samples.iter().map(|&s| Point { run: r.id.clone(), samples: s }));
    let missing = missing.filter(|p| !results.get(p).is_some_and(|l| matches!(l.outcome, Outcome::Done(_)))).count();
    if missing > 0 {
        left_out.push(format!("{missing} results of the sweep are not there yet or failed; `qbnn sweep` makes them."));
    }
    (rows, left_out)
}

fn of_row(
    plan: &Plan,
    results: &Results,
    question: &QuestionTables,
    table: &TablePlan,
    row: &RowPlan,
    rows: &mut Vec<SweepRow>,
) {
    let techniques = table.axes.iter().any(|a| a == "technique");
    let rest = table.axes.iter().zip(&row.labels).filter(|(axis, _)| !DRAWN.contains(&axis.as_str()));
    let rest = rest.map(|(axis, label)| format!("{axis} {label}"));
    let parts = std::iter::once(table.heading.clone()).filter(|h| !h.is_empty());
    let parts: Vec<String> = if techniques { parts.collect() } else { parts.chain(rest).collect() };
    let mut experiment = question.title.clone();
    if !parts.is_empty() {
        experiment = format!("{experiment}: {}", parts.join(", "));
    }
    // A row that is the reference itself comes with those that it serves.
    if row.results == row.against && !techniques {
        return;
    }
    let name = if techniques { row.labels.join(", ") } else { String::new() };
    for (points, float) in [(&row.against, true), (&row.results, false)] {
        for (seed, point) in points {
            let Some(run) = plan.runs.iter().find(|r| r.id == point.run) else { continue };
            let is_float = float || row.results == row.against;
            let technique = techniques && !is_float;
            let name = match (is_float, techniques) {
                (true, _) => "float".to_owned(),
                (false, true) => name.clone(),
                (false, false) => run.model_name(),
            };
            let Some(made) = of_point(results, run, point, *seed, &experiment, name, technique) else { continue };
            let same = |o: &SweepRow| {
                o.seed == made.seed && o.configuration == made.configuration && o.experiment == made.experiment
            };
            if !rows.iter().any(same) {
                rows.push(made);
            }
        }
    }
}

fn of_point(
    results: &Results,
    run: &Run,
    point: &Point,
    seed: u64,
    experiment: &str,
    configuration: String,
    technique: bool,
) -> Option<SweepRow> {
    let Outcome::Done(done) = &results.get(point)?.outcome else { return None };
    // Widths are checked to be at most 32 wherever settings come in.
    let width = |bits: u32| bits.try_into().unwrap_or(u8::MAX);
    let (strategy, bits) = match run.model {
        Model::Quantized | Model::QuantizedEnsemble | Model::Pfp => {
            let q = &run.config.quantize;
            let strategy = match q.strategy {
                qbnn_bnn::Strategy::Vpq => Strategy::Vpq,
                qbnn_bnn::Strategy::Spq => Strategy::Spq,
                qbnn_bnn::Strategy::Jq => Strategy::Jq,
            };
            let [mu, sigma, weight, activation] =
                [q.bits.mu, q.bits.sigma, q.bits.weight, q.bits.activation].map(width);
            (strategy, Bits { mu, sigma, weight, activation })
        }
        Model::Float | Model::Ensemble => (Strategy::Float, Bits::FLOAT),
    };
    Some(SweepRow {
        experiment: experiment.to_owned(),
        configuration,
        technique,
        strategy,
        bits,
        backend: done.backend.clone(),
        seed,
        bytes: done.bytes,
        values: ByHeadline::from_fn(|h: Headline| done.value(h)),
        intervals: ByHeadline::default(),
        differences: ByHeadline::default(),
    })
}
