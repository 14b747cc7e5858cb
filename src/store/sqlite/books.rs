//! The bookkeeping tables in a file.

use std::borrow::Borrow;
use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::errors::failure;
use super::tables::quoted;
use crate::store::bookkeeping::session::{Dialect, Session};
use crate::store::bookkeeping::statement::{Row, Statement, Value};
use crate::store::bookkeeping::tables::Kind;
use crate::store::error::StoreError;

/// Epochs may be large: checkpoints run every 16 MiB instead of 4, and the log is truncated to 64 MiB after a large
/// epoch.
pub(super) const PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = OFF;
    PRAGMA cache_size = -16384;
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 67108864;";

/// The largest value that SQLite stores in its default configuration.
const MAX_VALUE: usize = 1_000_000_000;

/// The claimed job.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) job: Arc<str>,
    pub(super) generation: u64,
}

/// A connection to the file at `path`; without one, each answer is empty.
pub(in crate::store) struct Books<C> {
    pub(in crate::store) connection: Option<C>,
    pub(in crate::store) path: String,
}

impl<C: Borrow<Connection>> Dialect for Books<C> {
    fn column_type(&self, kind: Kind) -> String {
        let column_type = match kind {
            Kind::Name(_) | Kind::Text => "TEXT",
            Kind::Int | Kind::BigInt => "INTEGER",
            Kind::Bytes => "BLOB",
        };
        column_type.into()
    }

    fn table_options(&self) -> String {
        String::new()
    }

    fn update_existing(&self, key: &[&str], columns: &[&str]) -> String {
        let updated: Vec<String> =
            columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), updated.join(", "))
    }

    fn insert_ignore(&self) -> &'static str {
        "INSERT OR IGNORE"
    }

    fn for_update(&self) -> &'static str {
        // A transaction holds the lock of the whole file from its beginning.
        ""
    }

    fn table_names(&self) -> &'static str {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'truckflow_*'"
    }

    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    fn exact(&self, text: &str) -> String {
        format!("CAST({text} AS BLOB)")
    }

    fn row_id(&self) -> &'static str {
        "rowid"
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl<C: Borrow<Connection>> Session for Books<C> {
    fn place(&self) -> &str {
        &self.path
    }

    fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, StoreError> {
        let Some(connection): Option<&Connection> = self.connection.as_ref().map(Borrow::borrow) else {
            return Ok(0);
        };
        let execute = || {
            let mut prepared = connection.prepare_cached(&statement.sql)?;
            prepared.execute(params_from_iter(&statement.values))
        };
        execute().map(|rows| rows as u64).map_err(|error| failure(&self.path, &error))
    }

    fn fetch(&mut self, query: &Statement<'_>) -> Result<Vec<Row>, StoreError> {
        let Some(connection): Option<&Connection> = self.connection.as_ref().map(Borrow::borrow) else {
            return Ok(Vec::new());
        };
        let fetch = || -> rusqlite::Result<Vec<Row>> {
            let mut prepared = connection.prepare_cached(&query.sql)?;
            let width = prepared.column_count();
            let mut rows = prepared.query(params_from_iter(&query.values))?;
            let mut fetched = Vec::new();
            while let Some(row) = rows.next()? {
                let field = |at| Ok(as_text(row.get_ref(at)?));
                fetched.push(Row((0..width).map(field).collect::<rusqlite::Result<_>>()?));
            }
            Ok(fetched)
        };
        fetch().map_err(|error| failure(&self.path, &error))
    }

    fn max_value(&self) -> usize {
        MAX_VALUE
    }
}

fn as_text(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    }
}
