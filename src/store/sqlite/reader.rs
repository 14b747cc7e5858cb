//! Reads a file without claiming a job. After a clean shutdown there is no write-ahead log, and the file is opened as
//! immutable, so that SQLite creates no files next to it.

use std::fs::File;
use std::path::Path;

use dataflows::rows::{ColumnSpec, Type};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::books::Books;
use super::errors::failure;
use super::open::open_to_read;
use super::tables::{Affinity, look_up, quoted};
use crate::state::export::TableSize;
use crate::store::bookkeeping::session::Session;
use crate::store::error::StoreError;
use crate::store::reader::{Found, Keeps, Line, StoreReader, TableRow, shortest};
use crate::store::table::{ROW_KEY, found_id, id_column};

/// See [`StoreReader`].
pub struct SqliteReader {
    /// Without a connection if there is no file.
    books: Books<Connection>,
}

impl SqliteReader {
    pub fn open(path: &str) -> Result<Self, StoreError> {
        let connection = match Path::new(path).exists() {
            false => None,
            true if Path::new(&format!("{path}-wal")).exists() => Some(open_to_read(path)?),
            true => Some(open_unchanging(path)?),
        };
        Ok(Self { books: Books { path: path.to_owned(), connection } })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let done = self.books.connection.as_ref().map(work).transpose();
        done.map_err(|error| failure(&self.books.path, &error))
    }
}

fn open_unchanging(path: &str) -> Result<Connection, StoreError> {
    // The special characters of a URI.
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{escaped}?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags).map_err(|error| failure(path, &error))
}

impl StoreReader for SqliteReader {
    fn session(&mut self) -> Result<&mut dyn Session, StoreError> {
        Ok(&mut self.books)
    }

    fn place(&self) -> String {
        self.books.path.clone()
    }

    fn is_running(&mut self, _job: &str) -> Result<bool, StoreError> {
        // Released at once. A missing lock file is not created.
        let Ok(file) = File::open(format!("{}.lock", self.books.path)) else { return Ok(false) };
        Ok(matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    }

    fn size(&mut self, table: &str) -> Result<TableSize, StoreError> {
        let none = TableSize { table: table.to_owned(), rows: 0, last_id: None };
        let read = |connection: &Connection| {
            let Some(found) = look_up(connection, table)? else { return Ok(none.clone()) };
            let is_integer = |declared: &str| Affinity::of(declared, found.strict) == Affinity::Integer;
            let columns = found.columns.iter();
            let id =
                found_id(columns.map(|column| (&*column.name, is_integer(&column.declared), column.primary)));
            let id = id.map_or_else(|| "NULL".into(), |id| format!("max({})", quoted(id)));
            let sql = format!("SELECT count(*), {id} FROM {}", quoted(table));
            connection.query_row(&sql, [], |row| {
                Ok(TableSize { rows: row.get::<_, i64>(0)? as u64, last_id: row.get(1)?, ..none.clone() })
            })
        };
        Ok(self.with(read)?.unwrap_or_else(|| none.clone()))
    }

    fn columns(&mut self, table: &str, columns: &[ColumnSpec]) -> Result<Option<Found>, StoreError> {
        let Some(found) = self.with(|connection| look_up(connection, table))?.flatten() else {
            return Ok(None);
        };
        let find = |name: &str| found.columns.iter().find(|there| there.name.eq_ignore_ascii_case(name));
        let column = |asked: &ColumnSpec| match find(&asked.name) {
            Some(there) => {
                let affinity = Affinity::of(&there.declared, found.strict);
                Ok((there.name.clone(), keeps(asked.column_type, affinity)))
            }
            None => Err(asked.name.to_string()),
        };
        Ok(Some(Found {
            columns: columns.iter().map(column).collect(),
            id: find(id_column(columns)).map(|column| column.name.clone()),
            has_key: find(ROW_KEY).is_some(),
            table: table.to_owned(),
        }))
    }

    fn rows(&mut self, found: &Found, each: &mut dyn FnMut(TableRow<'_>)) -> Result<(), StoreError> {
        let columns: Vec<&(String, Keeps)> = found.columns.iter().flatten().collect();
        let list: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        let id = found.id.as_deref().map(quoted);
        let sql = format!(
            "SELECT {},{},{} FROM {}{}",
            id.as_deref().unwrap_or("NULL"),
            if found.has_key { ROW_KEY } else { "NULL" },
            list.join(","),
            quoted(&found.table),
            id.as_ref().map(|id| format!(" ORDER BY {id}")).unwrap_or_default()
        );
        let read = |connection: &Connection| {
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            let mut line = Line::default();
            while let Some(row) = rows.next()? {
                line.clear();
                for (at, (_, keeps)) in columns.iter().enumerate() {
                    push(row.get_ref(at + 2)?, *keeps, &mut line);
                }
                let key = row.get_ref(1)?;
                let key = key.as_bytes().ok().and_then(|key| key.try_into().ok());
                each(TableRow { id: row.get(0)?, key, values: &line });
            }
            Ok(())
        };
        self.with(read).map(drop)
    }
}

/// How a column stores values. An INTEGER column stores a double that is not an integer as it is.
fn keeps(column_type: Type, affinity: Affinity) -> Keeps {
    match column_type {
        Type::Decimal | Type::Exact { .. } | Type::Real => Keeps::Double,
        Type::Integer if affinity == Affinity::Real => Keeps::Double,
        Type::Integer => Keeps::Integer,
        Type::Timestamp => Keeps::Time(6),
        Type::Text => Keeps::Text { trimmed: false },
        Type::Bytes => Keeps::Bytes(0),
    }
}

fn push(value: ValueRef<'_>, keeps: Keeps, line: &mut Line) {
    match value {
        ValueRef::Null => line.push(None),
        ValueRef::Integer(value) if keeps == Keeps::Double => {
            line.push(Some(shortest(value as f64).as_bytes()))
        }
        ValueRef::Integer(value) => line.push(Some(value.to_string().as_bytes())),
        ValueRef::Real(value) => line.push(Some(shortest(value).as_bytes())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => line.push(Some(bytes)),
    }
}

/// Opens the database at `path` for reading only.
pub(crate) fn open(path: &str) -> Result<Box<dyn StoreReader>, StoreError> {
    Ok(Box::new(SqliteReader::open(path)?))
}
