//! Tables that a job writes, and rows that the database refused.

use dataflows::rows::ColumnSpec;

/// A table that a job writes. The database adds an AUTO_INCREMENT `id` before the columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name.
    pub name: String,
    /// The columns, without `id`.
    pub columns: Vec<ColumnSpec>,
    /// Whether rows are updated and deleted, so that it also has a column [`ROW_KEY`].
    pub keyed: bool,
}

/// The column that identifies the rows of a keyed table. Rows that no job wrote have NULL there and are never changed.
pub const ROW_KEY: &str = "row_key";

/// A row that the database refused for its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The index of its chunk in the call.
    pub chunk: usize,
    /// Its index in the chunk.
    pub row: usize,
    /// The table.
    pub table: String,
    /// The error of the database, in one line.
    pub reason: String,
}

impl Refused {
    /// Refused rows of one chunk, as those of the chunk at this index of the call.
    pub(super) fn in_chunk(chunk: usize, refused: Vec<Self>) -> impl Iterator<Item = Self> {
        refused.into_iter().map(move |refused| Self { chunk, ..refused })
    }
}
