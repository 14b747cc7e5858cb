//! Tables that a job writes, and rows that the database refused.

use dataflows::rows::ColumnSpec;

/// A table that a job writes. The database adds an AUTO_INCREMENT column before the columns: [`id_column`].
#[derive(Clone, Debug)]
pub struct Table {
    /// The name.
    pub name: String,
    /// The columns, without that one.
    pub columns: Vec<ColumnSpec>,
    /// Whether rows are updated and deleted, so that it also has a column [`ROW_KEY`].
    pub keyed: bool,
    /// The columns of an index, if there is to be one.
    pub index: Vec<String>,
}

/// The column that identifies the rows of a keyed table. Rows that no job wrote have NULL there and are never changed.
pub const ROW_KEY: &str = "row_key";

/// The AUTO_INCREMENT column of tables.
const ID: &str = "id";
/// Its name in the table of a view that has a column `id` of its own.
pub const OTHER_ID: &str = "row_id";

/// The AUTO_INCREMENT column of a table with these columns.
pub fn id_column(columns: &[ColumnSpec]) -> &'static str {
    if columns.iter().any(|column| column.name.eq_ignore_ascii_case(ID)) { OTHER_ID } else { ID }
}

/// Which of an existing table's columns is its AUTO_INCREMENT column: each with its name, and whether it is an integer
/// and a primary key.
pub fn found_id<'a>(columns: impl Iterator<Item = (&'a str, bool, bool)> + Clone) -> Option<&'a str> {
    let named =
        |id: &str| columns.clone().find(|(name, is_integer, _)| *is_integer && name.eq_ignore_ascii_case(id));
    let other = named(OTHER_ID).filter(|(.., is_primary)| *is_primary);
    other.or_else(|| named(ID)).map(|(name, ..)| name)
}

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
