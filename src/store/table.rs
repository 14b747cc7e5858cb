//! Tables that a job writes, and rows that the database refused.

use dataflows::rows::ColumnSpec;

use super::error::StoreError;

/// A table that a job writes. The database adds an AUTO_INCREMENT column before the columns: [`id_column`].
#[derive(Clone, Debug)]
pub struct Table {
    /// The view whose rows it has.
    pub view: String,
    /// The name.
    pub name: String,
    /// The columns, without that one.
    pub columns: Vec<ColumnSpec>,
    /// Whether rows are updated and deleted, so that it also has a column [`ROW_KEY`].
    pub keyed: bool,
    /// Whether ids must be in the order of epochs, as in a history.
    pub in_order: bool,
    /// The columns of an index, if there is to be one.
    pub index: Vec<String>,
}

/// A table that a job writes to, as recorded in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTable {
    /// The name.
    pub name: String,
    /// The view whose rows it has.
    pub view: String,
    /// Whether the job has created it.
    pub is_created: bool,
    /// The columns that the job has created or uses, besides those that the database adds.
    pub columns: Vec<String>,
}

/// The names of the tables that a job has created for a view.
pub(super) fn created_for(tables: Vec<StoredTable>, view: &str) -> impl Iterator<Item = String> {
    let is_created = move |table: &StoredTable| table.is_created && table.view == view;
    tables.into_iter().filter(is_created).map(|table| table.name)
}

/// The name of the table that a replaced view fills.
pub fn new_table(name: &str) -> String {
    format!("{name}__new")
}

/// The name of a replaced table, until it is dropped.
pub fn old_table(name: &str) -> String {
    format!("{name}__old")
}

/// What is recorded of a table that is to be replaced.
pub(super) struct Replaceable {
    /// The table.
    pub table: String,
    /// The tables of the job.
    pub recorded: Vec<StoredTable>,
    /// Another job that writes to it.
    pub other: Option<String>,
}

impl Replaceable {
    /// Whether the job already fills the table that will replace it.
    pub(super) fn is_filling(&self) -> bool {
        let filled = new_table(&self.table);
        self.recorded.iter().any(|table| table.is_created && table.name == filled)
    }

    /// The error that the name of a table, which the replacement needs, is taken.
    pub(super) fn name_taken(&self, name: &str) -> StoreError {
        StoreError::Table {
            table: self.table.clone(),
            reason: format!("to replace it, a table {name} is created, but there is one already"),
            advice: format!("rename or drop {name}"),
        }
    }

    /// The error that it cannot be replaced.
    pub(super) fn refused(&self, reason: &str) -> StoreError {
        StoreError::Table {
            table: self.table.clone(),
            reason: format!("it cannot be replaced: {reason}"),
            advice: "give the view another table, or rename this one".into(),
        }
    }
}

/// Why the table of a view with these columns cannot be replaced.
pub(super) fn not_replaceable<'a>(
    view: &str,
    replaceable: &Replaceable,
    mut columns: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let is_it =
        |table: &&StoredTable| table.is_created && table.view == view && table.name == replaceable.table;
    let Some(recorded) = replaceable.recorded.iter().find(is_it) else {
        return Some("the job has not created it for this view, so it may have rows of others".into());
    };
    if let Some(job) = &replaceable.other {
        return Some(format!("job `{job}` writes to it, too"));
    }
    let is_ours = |name: &&str| {
        [ID, OTHER_ID, ROW_KEY].iter().any(|own| name.eq_ignore_ascii_case(own))
            || recorded.columns.iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    let extra = columns.find(|name| !is_ours(name));
    extra.map(|name| format!("its column `{name}` is not the job's, and would be lost"))
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
