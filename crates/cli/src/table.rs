//! The table of an evaluation: a row per model, a column per metric, then the paired differences.
//!
//! Under each value stands its 95 % interval. Where the terminal is too narrow the table is turned, so that metrics
//! are rows: nothing is left out or cut.

use comfy_table::{CellAlignment, Table, TableStyle, presets};
pub use qbnn_eval::report::thousands;
use qbnn_eval::{DifferenceEntry, Headline, Interval, Metrics, ModelEntry};

/// The columns.
pub const METRICS: [Headline; Headline::FRONT.len()] = Headline::FRONT;

/// Lays the table out for so many columns of text.
pub fn table(metrics: &Metrics, columns: u16) -> String {
    let mut header = vec![String::new()];
    header.extend(METRICS.map(|h| h.about().heading.clone()));
    header.push("bytes".to_owned());
    let mut cells = vec![header];
    let float = metrics.models.iter().find(|m| m.bits == qbnn_eval::Bits::FLOAT);
    cells.extend(metrics.models.iter().map(|m| model(m, float)));
    cells.extend(metrics.differences.iter().map(difference));
    // From the widest to the narrowest; the last is taken even where it does not fit.
    let wide = lay_out(&cells, presets::UTF8_HORIZONTAL_ONLY);
    if fits(&wide, columns) {
        return wide;
    }
    let flat = turn(&cells, |text| text.replace('\n', " "), |text| text.replace('\n', " "));
    let flat = lay_out(&flat, presets::UTF8_FULL_CONDENSED);
    if fits(&flat, columns) {
        return flat;
    }
    let two_lines = |text: &str| match text.split_once('\n') {
        Some((first, rest)) => format!("{first}\n{}", rest.replace('\n', " ")),
        None => text.to_owned(),
    };
    lay_out(&turn(&cells, two_lines, str::to_owned), presets::UTF8_HORIZONTAL_ONLY)
}

/// Whether every line fits into so many columns.
pub fn fits(text: &str, columns: u16) -> bool {
    text.lines().all(|l| l.chars().count() <= usize::from(columns))
}

/// Columns as rows. The names of the models, now the header, keep their lines.
fn turn(rows: &[Vec<String>], label: impl Fn(&str) -> String, cell: impl Fn(&str) -> String) -> Vec<Vec<String>> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let text = |row: usize, column: usize| rows[row].get(column).map_or("", String::as_str);
    let turned = |column: usize| {
        let one = |row: usize| match (row, column) {
            (_, 0) => text(row, 0).to_owned(),
            (0, _) => label(text(0, column)),
            _ => cell(text(row, column)),
        };
        (0..rows.len()).map(one).collect()
    };
    (0..width).map(turned).collect()
}

/// Lays rows out, the first as header, without lines between them.
pub fn lay_out_rows(rows: &[Vec<String>]) -> String {
    lay_out(rows, presets::UTF8_FULL_CONDENSED)
}

fn lay_out(rows: &[Vec<String>], style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style);
    if let Some((header, rows)) = rows.split_first() {
        table.set_header(header);
        table.add_rows(rows);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Rows of text under a header, all but the first column to the right.
pub fn plain(rows: &[Vec<String>]) -> String {
    lay_out(rows, presets::ASCII_MARKDOWN)
}

/// Accuracy in percent, the rest as it is.
pub fn number(headline: Headline, value: f64, signed: bool) -> String {
    let (value, digits) = if headline == Headline::Accuracy { (100.0 * value, 2) } else { (value, 4) };
    if signed { format!("{value:+.digits$}") } else { format!("{value:.digits$}") }
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

fn model(model: &ModelEntry, float: Option<&ModelEntry>) -> Vec<String> {
    // A figure of a simulation must not be taken for the machine's.
    let backend = model.backend.as_ref().map_or(String::new(), |b| format!("\n{}", b.name()));
    let mut row = vec![format!("{}\nS = {}{backend}", model.name, model.samples)];
    row.extend(METRICS.map(|h| cell(h, model.value(h), model.interval(h), false)));
    let sizes = float.map(|f| model.bytes_beside(f)).filter(|(own, float)| own != float && *own > 0);
    let ratio = sizes.map_or(String::new(), |(own, f)| format!("\n1/{:.2} of float", f as f64 / own as f64));
    row.push(format!("{}{ratio}", thousands(model.bytes())));
    row
}

fn difference(entry: &DifferenceEntry) -> Vec<String> {
    let mut row = vec![format!("{}\n- {}", entry.name, entry.against)];
    row.extend(METRICS.map(|h| {
        let difference = entry.metrics.get(h);
        cell(h, difference.map(|d| d.value), difference.and_then(|d| d.ci95), true)
    }));
    row.push(String::new());
    row
}

/// What the parameters of each model weigh, by kind: one line a model.
pub fn bytes(metrics: &Metrics) -> String {
    let line = |m: &ModelEntry| {
        let p = m.parameters?;
        let [weights, biases, scales] = [p.weights_bytes, p.biases_bytes, p.scales_bytes].map(thousands);
        let file = m.file_bytes.map_or(String::new(), |file| format!(", model file {}", thousands(file)));
        Some(format!("{}: weights {weights} + biases {biases} + scales {scales}{file}", m.name))
    };
    format!("bytes of mu and sigma: {}", metrics.models.iter().filter_map(line).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_eval::ByHeadline;

    #[test]
    fn every_width_has_a_layout_with_all_numbers() {
        let model = ModelEntry {
            name: "float".into(),
            strategy: qbnn_eval::Strategy::Float,
            bits: qbnn_eval::Bits::FLOAT,
            samples: 32,
            backend: Some(qbnn_eval::Backend::Float),
            identity: None,
            values: ByHeadline::from_fn(|h| match h {
                Headline::Accuracy => Some(0.5),
                Headline::Ece => Some(0.0625),
                Headline::SpearmanAleatoricEpistemic => Some(-0.5),
                Headline::SpearmanAleatoricSoftLabel => None,
                _ => Some(0.75),
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
        };
        let mut metrics = Metrics::new("strokes", 1);
        metrics.models = vec![model.clone(), ModelEntry { name: "jq-w4a4".into(), parameter_bytes: 91_463, ..model }];
        for columns in [200, 120, 80] {
            let text = table(&metrics, columns);
            assert!(fits(&text, columns), "{text}");
            for part in ["50.00", "0.0625", "[0.0123, 0.9876]", "-0.5000", "1/7.84"] {
                assert!(text.contains(part), "{part} at {columns}:\n{text}");
            }
        }
    }
}
