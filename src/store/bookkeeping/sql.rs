//! The statements that create and fill the bookkeeping tables.

use super::session::Dialect;
use super::statement::{Statement, Value};
use super::tables::Table;

/// Rows per INSERT: 500 fit into the smallest packet of a MySQL server.
const ROWS: usize = 500;

/// What an INSERT does with a row whose key exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Existing {
    /// It fails.
    Fail,
    /// It updates the other columns.
    Update,
    /// It keeps the existing row.
    Keep,
}

/// The statements that insert `rows`, which have a value for each column of the table.
pub(in crate::store) fn insert<'a>(
    dialect: &(impl Dialect + ?Sized),
    table: &Table,
    existing: Existing,
    rows: impl IntoIterator<Item = Vec<Value<'a>>>,
) -> Vec<Statement<'a>> {
    let names = table.names();
    let into = match existing {
        Existing::Keep => dialect.insert_ignore(),
        Existing::Fail | Existing::Update => "INSERT",
    };
    let ending = match existing {
        Existing::Update => dialect.update_existing(&names[..table.key], &names[table.key..]),
        Existing::Fail | Existing::Keep => String::new(),
    };
    let row = format!("({})", vec!["?"; names.len()].join(","));
    let rows: Vec<Vec<Value<'a>>> = rows.into_iter().collect();
    rows.chunks(ROWS)
        .map(|rows| {
            let values = vec![&*row; rows.len()].join(",");
            let sql = format!("{into} INTO {} ({}) VALUES {values}{ending}", table.name, names.join(","));
            Statement::new(sql, rows.concat())
        })
        .collect()
}

/// The statement that creates a missing bookkeeping table.
pub(in crate::store) fn create(dialect: &(impl Dialect + ?Sized), table: &Table) -> String {
    let columns = table.columns.iter().map(|column| {
        let null = if column.nullable { "NULL" } else { "NOT NULL" };
        format!("{} {} {null}", column.name, dialect.column_type(column.kind))
    });
    let key = format!("PRIMARY KEY ({})", table.names()[..table.key].join(", "));
    let parts: Vec<String> = columns.chain([key]).collect();
    format!("CREATE TABLE IF NOT EXISTS {} ({}){}", table.name, parts.join(", "), dialect.table_options())
}
