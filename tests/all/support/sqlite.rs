//! The rows of an SQLite file, as text like those of a database server.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::mariadb::TextRow;

/// The rows that a query gives. Nothing is created where there is no file.
#[track_caller]
pub fn query(path: &Path, sql: &str) -> Vec<TextRow> {
    rows(path, sql).unwrap_or_else(|error| panic!("{}: {error}: {sql}", path.display()))
}

/// Runs statements that give no rows.
#[track_caller]
pub fn execute(path: &Path, sql: &str) {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let done = connection.and_then(|connection| connection.execute_batch(sql));
    done.unwrap_or_else(|error| panic!("{}: {error}: {sql}", path.display()));
}

fn rows(path: &Path, sql: &str) -> rusqlite::Result<Vec<TextRow>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    statement.query_map([], |row| (0..columns).map(|column| text(row, column)).collect())?.collect()
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) => Some(format!("{value:?}")),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}
