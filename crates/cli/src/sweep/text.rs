//! A sweep's tables as they are shown.

use crate::layout::{Medium, Sheet, wrap};
use qbnn::sweep::tables::Rendered;

/// As it is shown there: on a terminal as many metrics side by side as fit, the rest below.
pub fn text(table: &Rendered, medium: Medium) -> String {
    let notes = table.notes.iter().map(|n| match medium {
        Medium::Terminal(columns) => wrap(&format!("note: {n}"), columns, 2),
        Medium::Lines => format!("note: {n}"),
    });
    let sheet = Sheet::framed(table.labels, &table.cells).text(medium);
    std::iter::once(sheet).chain(notes).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fits;
    use crate::table::METRICS;

    #[test]
    fn no_sweep_table_exceeds_the_terminal() {
        for (labels, rows) in [(1, 1), (2, 3), (4, 8)] {
            let names = ["strategy", "bits", "sigma grid", "network.activation"];
            let mut header: Vec<String> = names[..labels].iter().map(|n| (*n).to_owned()).collect();
            header.extend(METRICS.map(|h| h.about().heading.clone()));
            let mut cells = vec![header];
            for row in 0..rows {
                let mut line = vec![format!("jq-mu4s{row}w4a4-stochastic"); labels];
                line.extend(METRICS.map(|_| "0.9903 ±0.0042\n-0.0012 ±0.0007".to_owned()));
                cells.push(line);
            }
            let notes =
                vec!["jq, w2a2, seed 3: failed: a reason that is long enough to be broken somewhere".to_owned()];
            let table = Rendered { heading: String::new(), labels, cells, notes };
            for columns in [20, 40, 60, 80, 120, 300] {
                let shown = text(&table, Medium::Terminal(columns));
                assert!(fits(&shown, columns), "{columns} columns:\n{shown}");
                if columns >= 40 {
                    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
                    assert_eq!(words.matches("0.9903 ±0.0042").count(), METRICS.len() * rows, "{columns}:\n{shown}");
                }
            }
            let lines = text(&table, Medium::Lines);
            assert_eq!(lines.lines().count(), 1 + METRICS.len() * rows + 1, "{lines}");
            assert!(lines.contains("NLL nats\t0.9903\t0.0042\t-0.0012\t0.0007"), "{lines}");
        }
    }
}
