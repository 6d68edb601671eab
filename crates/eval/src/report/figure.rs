//! A figure: one question, its panels, and the numbers behind them.

use super::chart::Panel;

/// A figure of the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name of the section and stem of file names, such as `reliability`.
    pub id: &'static str,
    /// Heading.
    pub title: String,
    /// How to read it: one or two sentences.
    pub caption: String,
    /// The drawings.
    pub panels: Vec<Panel>,
    /// The numbers behind them.
    pub table: Table,
}

/// A table of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Heads of the columns.
    pub head: Vec<String>,
    /// Rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

/// A figure, or a sentence that says why there is none.
pub(crate) type Drawn = Result<Figure, String>;
