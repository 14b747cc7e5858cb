//! The tables that rows go to, and rows that they do not take.

use dataflows::rows::ColumnSpec;

/// A table that rows are inserted into. An `id` that the database counts up stands before the
/// columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name.
    pub name: String,
    /// The columns, without `id`.
    pub columns: Vec<ColumnSpec>,
    /// Whether its rows change and end: then it has a column [`ROW_KEY`], too.
    pub keyed: bool,
}

/// The column that names the rows of a keyed table. Rows that are not of a job have NULL there, and
/// are never touched.
pub const ROW_KEY: &str = "row_key";

/// A row that the database refused for its content alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The chunk's place among those that were to be put in.
    pub chunk: usize,
    /// The row's place in the chunk.
    pub row: usize,
    /// The table.
    pub table: String,
    /// What the database said, in one line.
    pub reason: String,
}
