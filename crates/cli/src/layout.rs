//! Tables for a terminal of any width, and as plain lines for files and other programs.
//!
//! No line is longer than the terminal is wide: a table that does not fit is split into blocks of columns, and where not
//! even one column fits, into one line for each value. Nothing is left out.

use comfy_table::{CellAlignment, Table, TableStyle, presets};

/// Where a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A terminal of so many columns.
    Terminal(usize),
    /// A file or a pipe: one figure a line, its parts between tabs.
    Lines,
}

/// A table: a header and rows of cells. Lines of a cell are parted by `\n`.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// The first columns, which name a row.
    pub labels: usize,
    /// Header, then rows.
    pub cells: &'a [Vec<String>],
    /// How it is drawn.
    pub style: TableStyle,
}

impl<'a> Sheet<'a> {
    /// In a frame.
    pub fn framed(labels: usize, cells: &'a [Vec<String>]) -> Self {
        Sheet { labels, cells, style: presets::UTF8_FULL_CONDENSED }
    }

    /// As Markdown writes tables.
    pub fn plain(labels: usize, cells: &'a [Vec<String>]) -> Self {
        Sheet { labels, cells, style: presets::ASCII_MARKDOWN }
    }

    /// As it is shown there.
    pub fn text(&self, medium: Medium) -> String {
        match medium {
            Medium::Lines => self.lines(),
            Medium::Terminal(columns) => self.blocks(columns).unwrap_or_else(|| self.list(columns)),
        }
    }

    /// As many columns side by side as fit beside the labels, the rest below; `None` where not every column fits.
    pub fn blocks(&self, columns: usize) -> Option<String> {
        let width = self.cells.first().map_or(0, Vec::len);
        if width <= self.labels {
            return Some(self.draw(0, width)).filter(|text| fits(text, columns));
        }
        let (mut blocks, mut from) = (Vec::new(), self.labels);
        while from < width {
            let (to, block) =
                (from + 1..=width).rev().map(|to| (to, self.draw(from, to))).find(|(_, block)| fits(block, columns))?;
            blocks.push(block);
            from = to;
        }
        Some(blocks.join("\n"))
    }

    /// The labels and some of the other columns.
    fn draw(&self, from: usize, to: usize) -> String {
        let pick = |row: &Vec<String>| {
            let labels = row.iter().take(self.labels.min(to));
            labels.chain(row.iter().take(to).skip(from.max(self.labels))).cloned().collect()
        };
        draw(&self.cells.iter().map(pick).collect::<Vec<Vec<String>>>(), self.style)
    }

    /// Each row under its labels, a value a line.
    pub fn list(&self, columns: usize) -> String {
        let Some((header, rows)) = self.cells.split_first() else { return String::new() };
        let mut out = Vec::new();
        for row in rows {
            let label = |(name, label): (&String, &String)| match self.labels {
                0 | 1 => one_line(label),
                _ => one_line(&format!("{name} {label}")),
            };
            let labels = header.iter().zip(row).take(self.labels).filter(|(_, label)| !label.is_empty());
            out.push(wrap(&labels.map(label).collect::<Vec<_>>().join(", "), columns, 0));
            for (name, cell) in header.iter().zip(row).skip(self.labels).filter(|(_, cell)| !cell.is_empty()) {
                out.push(wrap(&format!("  {}: {}", one_line(name), one_line(cell)), columns, 4));
            }
        }
        out.join("\n")
    }

    /// A header, then one line for each value: the row's labels, the column's name, the value and what stands with it,
    /// between tabs.
    fn lines(&self) -> String {
        let Some((header, rows)) = self.cells.split_first() else { return String::new() };
        let mut names: Vec<String> = header.iter().take(self.labels).map(|l| one_line(l)).collect();
        for (place, name) in names.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
            *name = if place == 0 { "row".to_owned() } else { format!("label {}", place + 1) };
        }
        names.extend(["figure", "value"].map(str::to_owned));
        let mut out = vec![names.join("\t")];
        for row in rows {
            let labels: Vec<String> = row.iter().take(self.labels).map(|l| one_line(l)).collect();
            for (name, cell) in header.iter().zip(row).skip(self.labels).filter(|(_, cell)| !cell.is_empty()) {
                let parts = labels.iter().cloned().chain([one_line(name), bare(cell)]);
                out.push(parts.collect::<Vec<_>>().join("\t"));
            }
        }
        out.join("\n")
    }
}

/// Draws rows, the first of them as header, the first column to the left and all others to the right.
pub fn draw(rows: &[Vec<String>], style: TableStyle) -> String {
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

/// Whether every line fits into so many columns.
pub fn fits(text: &str, columns: usize) -> bool {
    text.lines().all(|line| width(line) <= columns)
}

/// Columns that a line takes on a terminal.
pub fn width(line: &str) -> usize {
    console::measure_text_width(line)
}

/// Breaks every line of a text between words, and within words that are too long for a line of their own; later lines
/// begin with `indent` spaces.
pub fn wrap(text: &str, columns: usize, indent: usize) -> String {
    let columns = columns.max(1);
    let indent = if indent < columns { indent } else { 0 };
    let mut out = Vec::new();
    for line in text.lines() {
        let first = line.len() - line.trim_start().len();
        let mut now = " ".repeat(if first < columns { first } else { 0 });
        let mut is_empty = true;
        for word in line.split_whitespace() {
            let space = usize::from(!is_empty);
            if width(&now) + space + width(word) <= columns {
                now.push_str(&" ".repeat(space));
                now.push_str(word);
                is_empty = false;
                continue;
            }
            if !is_empty {
                out.push(std::mem::replace(&mut now, " ".repeat(indent)));
            }
            for letter in word.chars() {
                if width(&now) + width(letter.encode_utf8(&mut [0; 4])) > columns && now.len() > indent {
                    out.push(std::mem::replace(&mut now, " ".repeat(indent)));
                }
                now.push(letter);
            }
            is_empty = false;
        }
        out.push(now);
    }
    out.join("\n")
}

/// A name on lines of at most so many columns, broken behind `/`, `-`, `_` or a space where there is one.
pub fn broken(name: &str, columns: usize) -> String {
    let mut lines = Vec::new();
    for line in name.lines() {
        let mut now = String::new();
        for letter in line.chars() {
            now.push(letter);
            if width(&now) > columns.max(1) {
                // At least one letter stays on the line.
                let last = now.len() - letter.len_utf8();
                let at = now[..last].rfind(['/', '-', '_', ' ']).map_or(last, |at| at + 1);
                let rest = now.split_off(if at == 0 { last.max(1) } else { at });
                lines.push(std::mem::replace(&mut now, rest));
            }
        }
        lines.push(now);
    }
    lines.join("\n")
}

/// The lines of a cell as one.
pub fn one_line(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts of a cell between tabs, numbers as programs read them: a value, half an interval or its two ends, what it is
/// compared with.
fn bare(cell: &str) -> String {
    let part = |part: &str| match part.strip_prefix('[').and_then(|p| p.strip_suffix(']')) {
        Some(ends) => ends.split(", ").map(without_commas).collect::<Vec<_>>().join("\t"),
        None => without_commas(part),
    };
    let parts = cell.split(['\n', '±']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(part).collect::<Vec<_>>().join("\t")
}

/// 1,234 as 1234.
fn without_commas(part: &str) -> String {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let letters: Vec<char> = part.chars().collect();
    let between = |&(i, c): &(usize, &char)| {
        *c == ',' && digit(i.checked_sub(1).and_then(|i| letters.get(i).copied())) && digit(letters.get(i + 1).copied())
    };
    letters.iter().enumerate().filter(|at| !between(at)).map(|(_, c)| c).collect()
}

/// A positive number with two significant digits at least, never with an exponent.
pub fn decimal(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    // Rounding 0.0996 to two digits gives 0.10: the digits follow from the value as it is.
    let magnitude = value.abs().log10().floor();
    let digits = (1.0 - magnitude).clamp(0.0, 320.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(rows: usize, columns: usize) -> Vec<Vec<String>> {
        let cell = |r: usize, c: usize| match (r, c) {
            (0, c) => format!("heading\nof {c}"),
            (r, 0) => format!("row {r}"),
            (r, c) => format!("{r}.{c}23 ±0.01\n+0.5{r}{c} ±0.02"),
        };
        (0..=rows).map(|r| (0..=columns).map(|c| cell(r, c)).collect()).collect()
    }

    #[test]
    fn every_terminal_has_every_value() {
        for (rows, columns) in [(1, 1), (3, 5), (8, 14)] {
            let cells = cells(rows, columns);
            for wide in [8, 20, 40, 60, 80, 120, 300] {
                let text = Sheet::framed(1, &cells).text(Medium::Terminal(wide));
                assert!(fits(&text, wide), "{wide} columns:\n{text}");
                if wide >= 20 {
                    for value in cells.iter().skip(1).flat_map(|row| row.iter().skip(1)).flat_map(|c| c.lines()) {
                        assert!(text.contains(value), "{value} at {wide} columns:\n{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_have_a_figure_each() {
        let text = Sheet::framed(1, &cells(2, 2)).text(Medium::Lines);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert_eq!(lines[1], "row 1\theading of 1\t1.123\t0.01\t+0.511\t0.02");
        assert_eq!(bare("63,586\n1/7.78 of float"), "63586\t1/7.78 of float");
        assert_eq!(bare("0.25\n[-0.1, 0.5]"), "0.25\t-0.1\t0.5");
        assert_eq!(bare("embedded, needs no file"), "embedded, needs no file");
    }

    #[test]
    fn words_are_broken_only_where_they_must_be() {
        assert_eq!(wrap("one two three", 7, 0), "one two\nthree");
        assert_eq!(wrap("  one two three", 9, 4), "  one two\n    three");
        assert_eq!(wrap("abcdefgh", 3, 0), "abc\ndef\ngh");
        assert_eq!(wrap("a bcdefgh", 4, 1), "a\n bcd\n efg\n h");
        assert!(fits(&wrap("日本語の名前", 5, 0), 5));
        assert_eq!(broken("jq-mu4s3w4a4-pfp-drawn", 18), "jq-mu4s3w4a4-pfp-\ndrawn");
        assert_eq!(broken("abcdef", 4), "abcd\nef");
        assert!(fits(&broken("runs/a-very-long-name/日本語の名前", 7), 7));
    }

    #[test]
    fn numbers_have_no_exponent() {
        let text = [1.88e-5, 0.0, 0.05, 0.1234, 12.34, 1234.5].map(decimal);
        assert_eq!(text, ["0.000019", "0", "0.050", "0.12", "12", "1234"]);
    }
}
