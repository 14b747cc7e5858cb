//! Writes rows in the open transaction.

use dataflows::rows::{Column, NULL, RowKey, Type};
use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement};

use super::tables::quoted;
use crate::store::chunk::{Chunk, Operation};
use crate::store::error::one_line;
use crate::store::table::{ROW_KEY, Refused, Table};
use crate::text::time::TimeWriter;

/// Rows per INSERT; more rows are slower.
pub(super) const STATEMENT_ROWS: usize = 32;
/// SQLite's limit on bound values per statement.
pub(super) const STATEMENT_VALUES: usize = 32766;

/// The statements that write to a prepared table.
pub(super) struct Prepared {
    pub(super) table: String,
    pub(super) append: Insert,
    /// Inserts rows with a key, or updates the existing rows of the key.
    pub(super) upsert: Insert,
    pub(super) delete: String,
}

impl Prepared {
    pub(super) fn new(table: &Table) -> Self {
        let (name, key) = (quoted(&table.name), quoted(ROW_KEY));
        let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let with_key: Vec<_> = columns.iter().cloned().chain([key.clone()]).collect();
        // SQLite copies bound bytes, and a payload may be large.
        let large = table.columns.iter().any(|column| column.column_type == Type::Bytes);
        let most = if large { 1 } else { STATEMENT_ROWS };
        let taken: Vec<_> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        let replace = format!(" ON CONFLICT ({key}) DO UPDATE SET {}", taken.join(", "));
        Self {
            table: table.name.clone(),
            append: Insert::new(&name, &columns, most, ""),
            upsert: Insert::new(&name, &with_key, most, &replace),
            delete: format!("DELETE FROM {name} WHERE {key} = ?"),
        }
    }

    pub(super) fn refused(&self, row: usize, error: &rusqlite::Error) -> Refused {
        Refused { chunk: 0, row, table: self.table.clone(), reason: one_line(error) }
    }
}

/// An INSERT for several rows and for one.
pub(super) struct Insert {
    /// For [`Insert::rows`] rows.
    pub(super) many: String,
    pub(super) one: String,
    pub(super) rows: usize,
}

impl Insert {
    /// Builds the statements; `end` follows the values, and `most` limits the rows.
    pub(super) fn new(table: &str, columns: &[String], most: usize, end: &str) -> Self {
        // Overrides a conflict clause of the table, which could roll back the transaction or skip rows.
        let head = format!("INSERT OR ABORT INTO {table} ({}) VALUES ", columns.join(","));
        let row = format!("({})", vec!["?"; columns.len()].join(","));
        let rows = most.min(STATEMENT_VALUES / columns.len().max(1)).max(1);
        let many = format!("{head}{}{end}", vec![&*row; rows].join(","));
        Self { many, one: format!("{head}{row}{end}"), rows }
    }
}

/// Writes the rows of a chunk; returns those that are refused for their content.
pub(super) fn put(
    connection: &Connection,
    table: &Prepared,
    chunk: &Chunk,
) -> rusqlite::Result<Vec<Refused>> {
    match chunk.operation {
        Operation::Append => insert(connection, table, &table.append, chunk),
        Operation::Insert | Operation::Update => {
            let refused = insert(connection, table, &table.upsert, chunk)?;
            // The rows that they would have updated are out of date.
            delete(connection, table, refused.iter().map(|refused| (refused.row, &chunk.keys[refused.row])))?;
            Ok(refused)
        }
        Operation::Delete => delete(connection, table, chunk.keys.iter().enumerate()),
    }
}

/// Deletes rows by key; returns those that are refused for their content.
pub(super) fn delete<'a>(
    connection: &Connection,
    table: &Prepared,
    keys: impl Iterator<Item = (usize, &'a RowKey)>,
) -> rusqlite::Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for (row, key) in keys {
        match connection.prepare_cached(&table.delete)?.execute([key]) {
            Ok(_) => {}
            Err(error) if is_content(connection, &table.delete, &error) => {
                refused.push(table.refused(row, &error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// Inserts rows; returns those that are refused for their content.
pub(super) fn insert(
    connection: &Connection,
    table: &Prepared,
    insert: &Insert,
    chunk: &Chunk,
) -> rusqlite::Result<Vec<Refused>> {
    let mut many = connection.prepare_cached(&insert.many)?;
    let mut one = connection.prepare_cached(&insert.one)?;
    let mut clock = TimeWriter::default();
    let mut refused = Vec::new();
    for first in (0..chunk.rows.len()).step_by(insert.rows) {
        let count = insert.rows.min(chunk.rows.len() - first);
        if count == insert.rows {
            match execute(&mut many, chunk, first, count, &mut clock) {
                Ok(()) => continue,
                Err(error) if is_content(connection, &insert.many, &error) => {}
                Err(error) => return Err(error),
            }
        }
        for row in first..first + count {
            match execute(&mut one, chunk, row, 1, &mut clock) {
                Ok(()) => {}
                Err(error) if is_content(connection, &insert.one, &error) => {
                    refused.push(table.refused(row, &error));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(refused)
}

/// Whether a statement failed only for the content of its rows. If a trigger also rolled back the transaction, the
/// error is fatal.
pub(super) fn is_content(connection: &Connection, sql: &str, error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch, Unknown};
    let content = match error.sqlite_error_code() {
        Some(ConstraintViolation | TooBig | TypeMismatch) => true,
        // `SQLITE_ERROR` may come from an expression of a column or a trigger, for example for text that is not JSON.
        // It may also mean that the table was altered; then the statement can no longer be prepared.
        Some(Unknown) => connection.prepare(sql).is_ok(),
        _ => false,
    };
    content && !connection.is_autocommit()
}

/// Binds and inserts `count` rows from `first` on.
pub(super) fn execute(
    statement: &mut Statement<'_>,
    chunk: &Chunk,
    first: usize,
    count: usize,
    clock: &mut TimeWriter,
) -> rusqlite::Result<()> {
    let columns = &chunk.rows.columns;
    let width = columns.len() + usize::from(!chunk.keys.is_empty());
    let range = first..first + count;
    if let Some(keys) = chunk.keys.get(range.clone()) {
        for (at, key) in (width..).step_by(width).zip(keys) {
            statement.raw_bind_parameter(at, key)?;
        }
    }
    for (place, column) in columns.iter().enumerate() {
        // Parameters count from 1, row by row.
        let at = (place + 1..).step_by(width);
        match column {
            Column::Timestamp(values) => {
                for (at, &value) in at.zip(&values[range.clone()]) {
                    match value {
                        NULL => statement.raw_bind_parameter(at, Null)?,
                        _ => statement.raw_bind_parameter(at, text(&clock.text(value)))?,
                    }
                }
            }
            Column::Decimal { scale, values } => {
                for (at, &value) in at.zip(&values[range.clone()]) {
                    match value {
                        NULL => statement.raw_bind_parameter(at, Null)?,
                        _ => statement.raw_bind_parameter(at, double(value, *scale))?,
                    }
                }
            }
            Column::Wide { scale, values } => {
                for (at, value) in at.zip(&values[range.clone()]) {
                    statement.raw_bind_parameter(at, value.map(|units| units.to_real(*scale)))?;
                }
            }
            Column::Real(values) => {
                // SQLite stores NaN as NULL.
                for (at, &value) in at.zip(&values[range.clone()]) {
                    statement.raw_bind_parameter(at, value)?;
                }
            }
            Column::Integer(values) => {
                for (at, &value) in at.zip(&values[range.clone()]) {
                    statement.raw_bind_parameter(at, Some(value).filter(|value| *value != NULL))?;
                }
            }
            Column::Name { names, index } => {
                for (at, &name) in at.zip(&index[range.clone()]) {
                    statement.raw_bind_parameter(at, text(names[name as usize].as_bytes()))?;
                }
            }
            Column::Text(values) => {
                for (at, value) in at.zip(&values[range.clone()]) {
                    statement.raw_bind_parameter(at, value.as_ref().map(|value| text(value.as_bytes())))?;
                }
            }
            Column::Bytes(values) => {
                for (at, value) in at.zip(&values[range.clone()]) {
                    statement.raw_bind_parameter(at, value.as_deref())?;
                }
            }
        }
    }
    statement.raw_execute().map(drop)
}

pub(super) fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

/// The powers of ten up to the maximum scale, all exact as doubles.
pub(super) const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The double nearest to `value / 10^scale`.
pub(super) fn double(value: i64, scale: u8) -> f64 {
    match POWERS.get(usize::from(scale)) {
        // Both are exact, and a division rounds correctly.
        Some(power) if value.unsigned_abs() <= 1 << 53 => value as f64 / power,
        _ => format!("{value}e-{scale}").parse().expect("digits are a number"),
    }
}
