//! The table of an evaluation: a row per model, a column per metric, then the paired differences.
//!
//! Under each value stands its 95 % interval. Where the terminal is too narrow the table is turned, so that metrics
//! are rows, and then split: nothing is left out or cut. In a file or a pipe each figure has a line of its own.

use crate::layout::{Medium, Sheet, broken, draw, fits, one_line, wrap};
use comfy_table::presets;
use qbnn::wording::{number, thousands};
use qbnn_eval::{ALPHA, DifferenceEntry, Headline, Interval, Measure, Metrics, ModelEntry};

/// The columns of every table; each further group adds its own.
pub const METRICS: [Headline; Headline::FRONT.len()] = Headline::FRONT;

/// Columns that the name of a model takes in a narrow table: as many as an interval.
const NAME: usize = 18;

/// The table as it is shown there.
pub fn table(metrics: &Metrics, medium: Medium) -> String {
    let mut header = vec![String::new()];
    let measures = metrics.measures(&METRICS);
    header.extend(measures.iter().map(Measure::heading));
    header.push(size_heading(&metrics.models).to_owned());
    let mut cells = vec![header];
    let float = metrics.models.iter().find(|m| m.bits == qbnn_eval::Bits::FLOAT);
    cells.extend(metrics.models.iter().map(|m| model(m, float, &measures)));
    cells.extend(metrics.differences.iter().map(|d| difference(d, &measures)));
    shown(cells, medium)
}

/// What the models are worth once they are calibrated on validation images; `None` where there were none.
pub fn calibrated(metrics: &Metrics, medium: Medium) -> Option<String> {
    let images = metrics.models.iter().find_map(|m| m.calibrator.as_ref())?.inputs;
    let mut measures = metrics.measures(&Headline::CALIBRATED);
    measures.retain(|measure| metrics.models.iter().any(|m| m.measured(measure).is_some()));
    let mut header = vec![String::new(), "temperature".to_owned()];
    header.extend(measures.iter().map(Measure::heading));
    let row = |model: &ModelEntry| {
        let mut row = vec![heading(model)];
        row.push(model.calibrator.as_ref().map_or("-".to_owned(), |c| format!("{:.4}", c.temperature)));
        row.extend(measures.iter().map(|m| cell(m.headline, model.measured(m), model.measured_interval(m), false)));
        row
    };
    let cells: Vec<_> = std::iter::once(header).chain(metrics.models.iter().map(row)).collect();
    let about = format!(
        "calibrated on {} validation images: a temperature, and conformal sets for a coverage of {:.0} %",
        thousands(images),
        100.0 * (1.0 - ALPHA)
    );
    let about = match medium {
        Medium::Lines => about,
        Medium::Terminal(columns) => wrap(&about, columns, 0),
    };
    Some(format!("{about}\n{}", shown(cells, medium)))
}

/// A table of models, whose first cell is free.
fn shown(mut cells: Vec<Vec<String>>, medium: Medium) -> String {
    match medium {
        Medium::Lines => {
            cells[0][0] = "model".to_owned();
            Sheet::framed(1, &cells).text(medium)
        }
        Medium::Terminal(columns) => on_terminal(&cells, columns),
    }
}

/// The first layout that fits, from the widest to the narrowest.
fn on_terminal(cells: &[Vec<String>], columns: usize) -> String {
    let wide = draw(cells, presets::UTF8_HORIZONTAL_ONLY);
    if fits(&wide, columns) {
        return wide;
    }
    let flat = turn(cells, str::to_owned, one_line, one_line);
    let text = draw(&flat, presets::UTF8_FULL_CONDENSED);
    if fits(&text, columns) {
        return text;
    }
    // Models side by side as they fit, the rest below.
    let two_lines = |text: &str| match text.split_once('\n') {
        Some((first, rest)) => format!("{first}\n{}", one_line(rest)),
        None => text.to_owned(),
    };
    let name = |text: &str| broken(text, NAME);
    let labels: [&dyn Fn(&str) -> String; 3] = [&two_lines, &str::to_owned, &name];
    let split = labels.into_iter().find_map(|label| {
        let turned = turn(cells, name, label, str::to_owned);
        Sheet { labels: 1, cells: &turned, style: presets::UTF8_HORIZONTAL_ONLY }.blocks(columns)
    });
    split.unwrap_or_else(|| Sheet::framed(1, cells).list(columns))
}

/// Columns as rows. The names of the models, now the header, keep their lines.
fn turn(
    rows: &[Vec<String>],
    name: impl Fn(&str) -> String,
    label: impl Fn(&str) -> String,
    cell: impl Fn(&str) -> String,
) -> Vec<Vec<String>> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let text = |row: usize, column: usize| rows[row].get(column).map_or("", String::as_str);
    let turned = |column: usize| {
        let one = |row: usize| match (row, column) {
            (_, 0) => name(text(row, 0)),
            (0, _) => label(text(0, column)),
            _ => cell(text(row, column)),
        };
        (0..rows.len()).map(one).collect()
    };
    (0..width).map(turned).collect()
}

fn cell(headline: Headline, value: Option<f64>, interval: Option<Interval>, signed: bool) -> String {
    let Some(value) = value else { return "-".into() };
    let value = number(headline, value, signed);
    match interval {
        Some([low, high]) => {
            format!("{value}\n[{}, {}]", number(headline, low, signed), number(headline, high, signed))
        }
        None => value,
    }
}

/// A model's name, its draws, and what computed them: a figure of a simulation must not be taken for the machine's.
fn heading(model: &ModelEntry) -> String {
    let backend = model.backend.as_ref().map_or(String::new(), |b| format!("\n{}", b.name()));
    format!("{}\nS = {}{backend}", model.name, model.samples)
}

fn model(model: &ModelEntry, float: Option<&ModelEntry>, measures: &[Measure]) -> Vec<String> {
    let mut row = vec![heading(model)];
    row.extend(measures.iter().map(|m| cell(m.headline, model.measured(m), model.measured_interval(m), false)));
    let sizes = float.map(|f| model.bytes_beside(f)).filter(|(own, float)| own != float && *own > 0);
    let ratio = sizes.map_or(String::new(), |(own, f)| format!("\n1/{:.2} of float", f as f64 / own as f64));
    row.push(format!("{}{ratio}", thousands(model.bytes())));
    row
}

fn difference(entry: &DifferenceEntry, measures: &[Measure]) -> Vec<String> {
    let mut row = vec![format!("{}\n- {}", entry.name, entry.against)];
    row.extend(measures.iter().map(|measure| {
        let difference = entry.measured(measure);
        cell(measure.headline, difference.map(|d| d.value), difference.and_then(|d| d.ci95), true)
    }));
    row.push(String::new());
    row
}

/// What the last column counts: whole model files, where all models have one.
fn size_heading(models: &[ModelEntry]) -> &'static str {
    if models.iter().all(|m| m.file_bytes.is_some()) {
        "model file\nbytes"
    } else if models.iter().all(|m| m.file_bytes.is_none()) {
        "parameter\nbytes"
    } else {
        "bytes"
    }
}

/// The parameters of each model alone, by kind; empty where they are not known.
pub fn bytes(metrics: &Metrics, medium: Medium) -> String {
    let kinds = |m: &ModelEntry| {
        let p = m.parameters?;
        Some([("weights", p.weights_bytes), ("biases", p.biases_bytes), ("scales", p.scales_bytes)])
    };
    let known = metrics.models.iter().filter_map(|m| Some((m, kinds(m)?)));
    let line = |(m, kinds): (&ModelEntry, [(&str, u64); 3])| match medium {
        Medium::Lines => {
            let name = one_line(&heading(m));
            let all = format!("{name}\tparameter bytes\t{}", m.parameter_bytes);
            let lines = kinds.map(|(kind, n)| format!("\n{name}\tparameter bytes of {kind}\t{n}"));
            format!("{all}{}", lines.concat())
        }
        Medium::Terminal(_) => {
            let parts = kinds.map(|(name, n)| format!("{name} {}", thousands(n))).join(" + ");
            format!("{}: {} parameter bytes = {parts}", m.name, thousands(m.parameter_bytes))
        }
    };
    let mut lines: Vec<String> = known.map(line).collect();
    if !lines.is_empty() && medium != Medium::Lines {
        lines.push(PARAMETER_BYTES.to_owned());
    }
    lines.join("\n")
}

/// What parameter bytes are, wherever they are shown.
pub const PARAMETER_BYTES: &str = "parameter bytes: mu and sigma of weights and biases, and 4 bytes for each scale; a model \
    file stores a scale in 2 bytes and adds its headers";

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_eval::{ByHeadline, Calibrator, Difference};

    fn entry(name: &str) -> ModelEntry {
        ModelEntry {
            name: name.into(),
            strategy: qbnn_eval::Strategy::Float,
            bits: qbnn_eval::Bits::FLOAT,
            samples: 32,
            draw_seeds: None,
            backend: Some(qbnn_eval::Backend::Float),
            identity: None,
            values: ByHeadline::from_fn(|h| match h {
                Headline::Accuracy => Some(0.5),
                Headline::Ece => Some(0.0625),
                Headline::SpearmanAleatoricEpistemic => Some(-0.5),
                Headline::SpearmanAleatoricSoftLabel => None,
                _ => Some(0.75),
            }),
            calibrator: Some(Calibrator {
                inputs: 5_000,
                temperature: 1.25,
                temperature_at_end: false,
                alpha: ALPHA,
                rules: Vec::new(),
            }),
            parameter_bytes: 716_880,
            parameters: None,
            file_bytes: None,
            ci95: ByHeadline::from_fn(|_| Some([0.0123, 0.9876])),
            tied_pairs: ByHeadline::default(),
            nll_clamped: None,
            mean_uncertainty: Default::default(),
            counts: Default::default(),
            by_samples: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// So many models, each but the first compared with it.
    fn made(models: usize, name: impl Fn(usize) -> String) -> Metrics {
        let mut metrics = Metrics::new("strokes", 1);
        metrics.models = (0..models).map(|i| ModelEntry { bits: bits(i), ..entry(&name(i)) }).collect();
        for i in 1..models {
            metrics.models[i].parameter_bytes = 91_463;
            let difference = Difference { value: -0.0371, ci95: Some([-0.0442, -0.0294]) };
            metrics.differences.push(DifferenceEntry {
                name: name(i),
                against: name(0),
                metrics: ByHeadline::from_fn(|_| Some(difference)),
                groups: Vec::new(),
            });
        }
        metrics
    }

    fn bits(model: usize) -> qbnn_eval::Bits {
        if model == 0 { qbnn_eval::Bits::FLOAT } else { qbnn_eval::Bits { mu: 4, ..qbnn_eval::Bits::FLOAT } }
    }

    #[test]
    fn no_table_exceeds_the_terminal() {
        let names: [fn(usize) -> String; 3] = [
            |i| if i == 0 { "float".to_owned() } else { format!("jq-w4a{i}") },
            |i| format!("jq-mu4s3w4a4-stochastic-uniform-sigma-per-tensor-pfp-drawn{i}"),
            |i| format!("/a/folder/far/away/with spaces/runs/2026-01-01-日本語の名前/{i}/jq-w4a4"),
        ];
        for (names, models) in names.iter().flat_map(|n| (1..=8).map(move |m| (n, m))) {
            let metrics = made(models, names);
            for columns in [2, 20, 40, 60, 80, 100, 120, 200, 300] {
                let calibrated = calibrated(&metrics, Medium::Terminal(columns)).unwrap();
                assert!(fits(&calibrated, columns), "{models} models, {columns} columns:\n{calibrated}");
                let text = table(&metrics, Medium::Terminal(columns));
                assert!(fits(&text, columns), "{models} models, {columns} columns:\n{text}");
                if columns < 40 {
                    continue;
                }
                // A narrow list breaks lines between words.
                let words = format!(" {}", text.split_whitespace().collect::<Vec<_>>().join(" "));
                let count = |part: &str| words.matches(part).count();
                assert_eq!(count(" 50.00"), models, "accuracies at {columns}:\n{text}");
                let known = METRICS[1..].iter().filter(|h| metrics.models[0].value(**h).is_some()).count();
                assert_eq!(count("[0.0123, 0.9876]"), known * models, "{columns}:\n{text}");
                let differences = (METRICS.len() - 1) * (models - 1);
                assert_eq!(count("[-0.0442, -0.0294]"), differences, "{columns}:\n{text}");
                assert_eq!(count("1/7.84 of float"), models - 1, "{columns}:\n{text}");
            }
        }
    }

    #[test]
    fn files_have_a_figure_a_line() {
        let metrics = made(2, |i| ["float", "jq-w4a4"][i].to_owned());
        let text = table(&metrics, Medium::Lines);
        for line in [
            "model\tfigure\tvalue",
            "float S = 32 float\taccuracy %\t50.00\t1.23\t98.76",
            "jq-w4a4 - float\tNLL nats\t-0.0371\t-0.0442\t-0.0294",
            "jq-w4a4 S = 32 float\tparameter bytes\t91463\t1/7.84 of float",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        let text = calibrated(&metrics, Medium::Lines).unwrap();
        for line in [
            "calibrated on 5,000 validation images: a temperature, and conformal sets for a coverage of 90 %",
            "float S = 32 float\ttemperature\t1.2500",
            "jq-w4a4 S = 32 float\tcoverage LAC %\t75.00\t1.23\t98.76",
            "jq-w4a4 S = 32 float\tset size randomised APS\t0.7500\t0.0123\t0.9876",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        let none = ModelEntry { calibrator: None, ..entry("float") };
        assert_eq!(calibrated(&Metrics { models: vec![none], ..metrics }, Medium::Lines), None);
    }
}
