//! Answers as tables: means over seeds, 95 % intervals, and under each value the paired difference from float.

use super::interval::{Mean, mean};
use super::ledger::{Done, Outcome, Results};
use super::plan::{Plan, Point, QuestionTables, RowPlan, TablePlan};
use crate::wording::{number, thousands};
use qbnn_eval::{Contrast, Headline, Measure, OfGroup, Score, is_shown};
use serde_json::{Value, json};

/// A laid-out table; lines of a cell are parted by `\n`.
pub struct Rendered {
    /// What tells it from the question's other tables; may be empty.
    pub heading: String,
    /// Columns that name a row.
    pub labels: usize,
    /// Header, then rows.
    pub cells: Vec<Vec<String>>,
    /// What the cells cannot say: runs that failed.
    pub notes: Vec<String>,
}

/// Marks the label of a row whose figures are of a simulation.
const SIMULATED: &str = " (simulated)";

/// A row's figures over its seeds.
struct Figures<'a> {
    row: &'a RowPlan,
    /// By seed, where it is evaluated.
    done: Vec<(u64, &'a Done)>,
    /// The same of what it is compared with; empty for a reference itself.
    against: Vec<(u64, &'a Done)>,
    failed: Vec<(u64, &'a str)>,
    /// Seeds whose network is that of another one: counted once.
    twice: Vec<(u64, u64)>,
}

impl<'a> Figures<'a> {
    fn new(row: &'a RowPlan, results: &'a Results) -> Self {
        let done = |points: &'a [(u64, Point)]| {
            let of = |(seed, point): &'a (u64, Point)| match results.get(point).map(|l| &l.outcome) {
                Some(Outcome::Done(done)) => Some((*seed, &**done)),
                _ => None,
            };
            points.iter().filter_map(of).collect()
        };
        let failed = |(seed, point): &'a (u64, Point)| match results.get(point).map(|l| &l.outcome) {
            Some(Outcome::Failed(reason)) => Some((*seed, reason.as_str())),
            _ => None,
        };
        let against = if row.results == row.against { Vec::new() } else { done(&row.against) };
        let (mut kept, mut twice) = (Vec::<(u64, &Done)>::new(), Vec::new());
        for (seed, done) in done(&row.results) {
            match kept.iter().find(|k| k.1.is_same_network(done)) {
                Some((first, _)) => twice.push((*first, seed)),
                None => kept.push((seed, done)),
            }
        }
        let failed = row.results.iter().filter_map(failed).collect();
        Figures { row, done: kept, against, failed, twice }
    }

    fn mean(&self, measure: &Measure) -> Option<Mean> {
        mean(&self.done.iter().filter_map(|d| d.1.measured(measure)).collect::<Vec<_>>())
    }

    /// Of the seeds that both have.
    fn difference(&self, measure: &Measure) -> Option<Mean> {
        let of = |(seed, done): &(u64, &Done)| {
            let reference = self.against.iter().find(|a| a.0 == *seed)?;
            Some(done.measured(measure)? - reference.1.measured(measure)?)
        };
        mean(&self.done.iter().filter_map(of).collect::<Vec<_>>())
    }

    /// What computed the predictions, over all seeds.
    fn backend(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        for (_, done) in &self.done {
            let words = done.backend_in_words();
            if !all.contains(&words) {
                all.push(words);
            }
        }
        if all.is_empty() { "-".into() } else { all.join("\n") }
    }

    /// Whether a figure is of a simulation.
    fn is_simulated(&self) -> bool {
        self.done.iter().any(|d| d.1.backend.as_ref().is_some_and(qbnn_eval::Backend::is_simulated))
    }

    fn bytes(&self) -> String {
        let Some((_, done)) = self.done.first() else { return "-".into() };
        let smaller = |a: &&(u64, &Done)| done.bytes > 0 && a.1.bytes as f64 > 1.01 * done.bytes as f64;
        let ratio = self.against.first().filter(smaller);
        let ratio = ratio.map_or(String::new(), |a| format!("\n1/{:.2}", a.1.bytes as f64 / done.bytes as f64));
        format!("{}{ratio}", thousands(done.bytes))
    }
}

fn cell(headline: Headline, value: Option<Mean>, signed: bool) -> String {
    let Some(Mean { value, half, .. }) = value else { return if signed { String::new() } else { "-".into() } };
    let half = half.map_or(String::new(), |h| format!(" ±{}", number(headline, h, false)));
    format!("{}{half}", number(headline, value, signed))
}

/// Whether some result has a metric, and none lacks it that could have it. A metric younger than part of a ledger is left
/// out: its means would be over other seeds than those beside them.
fn is_whole(rows: &[Figures<'_>], measure: &Measure) -> bool {
    let done = || rows.iter().flat_map(|row| &row.done).map(|d| d.1);
    let lacks = |done: &Done| {
        let could = measure.group.is_some() || could_have(done, measure.headline);
        done.measured(measure).is_none() && could
    };
    !done().any(lacks) && (done().next().is_none() || done().any(|d| d.measured(measure).is_some()))
}

/// The metrics that some results may have: the headline ones, then those of each further group that is shown.
fn measures(rows: &[Figures<'_>], headlines: &[Headline], shown: impl Fn(&OfGroup<f64>) -> bool) -> Vec<Measure> {
    let groups = || rows.iter().flat_map(|row| &row.done).flat_map(|d| &d.1.groups);
    let exists = |name: &str, h| groups().any(|g| g.name == name && g.metrics.get(h).is_some());
    Measure::all(headlines, groups().filter(|g| shown(g)).map(|g| g.name.as_str()), exists)
}

/// Whether a result would have a metric, had it been measured: its groups are there, for a score that needs several draws
/// they are several, and for the AUROC of errors there are some. What every ledger ever held says so.
/// Every run has validation images.
fn could_have(done: &Done, headline: Headline) -> bool {
    if headline.needs_validation() {
        return true;
    }
    let (Headline::Auroc(score, _) | Headline::Aupr(score, _) | Headline::Fpr95(score, _)) = headline else {
        let (Headline::ErrorAuroc(score) | Headline::Aurc(score) | Headline::Augrc(score)) = headline else {
            return false;
        };
        let some_are = |accuracy: f64| accuracy > 0.0 && accuracy < 1.0;
        let errors =
            !matches!(headline, Headline::ErrorAuroc(_)) || done.value(Headline::Accuracy).is_some_and(some_are);
        return errors && has_draws_for(done, score);
    };
    let has = |contrast| done.value(Headline::Auroc(Score::Aleatoric, contrast)).is_some();
    let groups = match headline.contrast() {
        Some(Contrast::OodVsCleanAmbiguous) => has(Contrast::OodVsClean) && has(Contrast::AmbiguousVsClean),
        Some(contrast) => has(contrast),
        None => false,
    };
    groups && has_draws_for(done, score)
}

/// Whether a result has as many draws as a score needs.
fn has_draws_for(done: &Done, score: Score) -> bool {
    let epistemic = |c| done.value(Headline::Auroc(Score::Epistemic, c)).is_some();
    let several =
        || done.value(Headline::SpearmanAleatoricEpistemic).is_some() || Contrast::ALL.into_iter().any(epistemic);
    !matches!(score, Score::Epistemic | Score::Share | Score::LogitDisagreement) || several()
}

/// The tables of a question.
pub fn render(question: &QuestionTables, results: &Results) -> Vec<Rendered> {
    question.tables.iter().map(|t| one(t, question.columns.as_deref(), results)).collect()
}

fn one(plan: &TablePlan, columns: Option<&[Measure]>, results: &Results) -> Rendered {
    let mut header = plan.axes.clone();
    if header.is_empty() {
        header.push("model".into());
    }
    let labels = header.len();
    let figures: Vec<Figures<'_>> = plan.rows.iter().map(|row| Figures::new(row, results)).collect();
    let usual = || measures(&figures, &Headline::FRONT, |g| is_shown(&g.name, g.shift.as_ref()));
    let mut shown = columns.map_or_else(usual, <[Measure]>::to_vec);
    let mut lacking = Vec::new();
    shown.retain(|measure| {
        let whole = is_whole(&figures, measure);
        if !whole && columns.is_some() {
            lacking.push(format!("`{}` is left out: not every result has it", measure.name()));
        }
        whole
    });
    header.extend(shown.iter().map(Measure::heading));
    header.extend(["parameter\nbytes", "backend", "seeds"].map(str::to_owned));
    let mut rendered = Rendered { heading: plan.heading.clone(), labels, cells: vec![header], notes: lacking };
    for (row, figures) in plan.rows.iter().zip(&figures) {
        let mut cells = row.labels.clone();
        if cells.is_empty() {
            let model = row.results.first().and_then(|(_, p)| results.get(p)).map(|l| l.model.clone());
            cells.push(model.unwrap_or_default());
        }
        if figures.is_simulated()
            && let Some(last) = cells.last_mut()
        {
            last.push_str(SIMULATED);
        }
        cells.extend(shown.iter().map(|measure| {
            let difference = cell(measure.headline, figures.difference(measure), true);
            let value = cell(measure.headline, figures.mean(measure), false);
            if difference.is_empty() { value } else { format!("{value}\n{difference}") }
        }));
        cells.push(figures.bytes());
        cells.push(figures.backend());
        let (n, of) = (figures.done.len(), row.results.len());
        cells.push(if n == of { n.to_string() } else { format!("{n} of {of}") });
        let named: Vec<_> = row.labels.iter().filter(|l| !l.is_empty()).map(String::as_str).collect();
        let named = named.join(", ");
        for (seed, reason) in &figures.failed {
            rendered.notes.push(format!("{named}, seed {seed}: failed: {reason}"));
        }
        for (first, seed) in &figures.twice {
            let note = format!("{named}: seed {seed} is the network of seed {first} again; it is counted once");
            rendered.notes.push(note);
        }
        rendered.cells.push(cells);
    }
    rendered
}

impl Rendered {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let line = |row: &Vec<String>| {
            let cells: Vec<_> = row.iter().map(|c| c.replace('|', "\\|").replace('\n', "<br>")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = String::new();
        if let Some((header, rows)) = self.cells.split_first() {
            text += &line(&header.iter().map(|h| h.replace('\n', " ")).collect());
            text += &format!(
                "|{}\n",
                (0..header.len()).map(|i| if i < self.labels { "---|" } else { "--:|" }).collect::<String>()
            );
            rows.iter().for_each(|row| text += &line(row));
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }
}

/// One JSON object per row of every table: means, half widths of the intervals, paired differences.
pub fn rows(plan: &Plan, results: &Results) -> Vec<Value> {
    let number = |m: Mean| json!({ "mean": m.value, "half95": m.half, "n": m.n });
    let mut out = Vec::new();
    for question in &plan.questions {
        for table in &question.tables {
            for row in &table.rows {
                let figures = Figures::new(row, results);
                let measures = measures(std::slice::from_ref(&figures), &Headline::ALL, |_| true);
                let metrics = measures.iter().filter_map(|measure| {
                    let mut value = number(figures.mean(measure)?);
                    value["difference"] = figures.difference(measure).map_or(Value::Null, number);
                    Some((measure.name(), value))
                });
                let metrics: serde_json::Map<_, _> = metrics.collect();
                let labels = table.axes.iter().cloned().zip(figures.row.labels.iter().map(|l| json!(l)));
                let labels: serde_json::Map<_, _> = labels.collect();
                let failed = figures.failed.iter().map(|(seed, reason)| json!({ "seed": seed, "reason": reason }));
                out.push(json!({
                    "question": question.name,
                    "table": table.heading,
                    "row": labels,
                    "seeds": figures.done.iter().map(|d| d.0).collect::<Vec<_>>(),
                    "backend": figures.done.first().map(|d| &d.1.backend),
                    "backend_derived": figures.done.iter().any(|d| d.1.derived),
                    "simulated": figures.is_simulated(),
                    "parameter_bytes": figures.done.first().map(|d| d.1.bytes),
                    "metrics": metrics,
                    "failed": failed.collect::<Vec<_>>(),
                }));
            }
        }
    }
    out
}
