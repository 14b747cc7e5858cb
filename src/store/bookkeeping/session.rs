//! What a database has to provide, and the SQL that it writes differently.

use super::statement::{Row, Statement};
use super::tables::Kind;
use crate::store::error::StoreError;

/// The SQL that databases write differently.
pub trait Dialect {
    /// The type of a column.
    fn column_type(&self, kind: Kind) -> String;

    /// What follows the columns in a CREATE TABLE.
    fn table_options(&self) -> String;

    /// The end of an INSERT that updates `columns` of a row with the same key.
    fn update_existing(&self, key: &[&str], columns: &[&str]) -> String;

    /// The beginning of an INSERT that keeps a row with the same key.
    fn insert_ignore(&self) -> &'static str;

    /// The end of a SELECT whose rows must not change before the end of the transaction.
    fn for_update(&self) -> &'static str;

    /// The query for the names of tables that begin with `truckflow_`.
    fn table_names(&self) -> &'static str;

    /// An identifier.
    fn quoted(&self, name: &str) -> String;

    /// An expression that differs if any byte of a text does.
    fn exact(&self, text: &str) -> String;

    /// The column that counts the rows of a table.
    fn row_id(&self) -> &'static str;
}

/// A connection to a database with bookkeeping tables.
pub trait Session: Dialect {
    /// Host, port and database, or the file.
    fn place(&self) -> &str;

    /// Executes a statement; returns the number of rows that it changed.
    fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, StoreError>;

    /// Runs a query.
    fn fetch(&mut self, query: &Statement<'_>) -> Result<Vec<Row>, StoreError>;

    /// The number of bytes that fit into a value.
    fn max_value(&self) -> usize;
}

/// Whether rows that are read may change before the end of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Lock {
    No,
    /// A query with this also reads what other transactions have committed since this one has begun.
    UntilCommit,
}

impl Lock {
    /// The end of a SELECT.
    pub fn sql(self, session: &dyn Session) -> &'static str {
        match self {
            Self::No => "",
            Self::UntilCommit => session.for_update(),
        }
    }
}
