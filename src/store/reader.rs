//! Reads the committed data of a job and the rows of its tables without claiming the job: nothing is created, locked
//! or changed.

use std::fmt;

use dataflows::item::ReadingId;
use dataflows::rows::ColumnSpec;

use dataflows::rows::RowKey;

use super::bookkeeping::session::{Lock, Session};
use super::bookkeeping::{migrate, read};
use super::commit::LastCommit;
use super::error::StoreError;
use crate::state::StoredView;
use crate::state::export::TableSize;

/// A database that is only read.
pub trait StoreReader {
    /// The connection for the bookkeeping tables. Without a database, its answers are empty.
    fn session(&mut self) -> Result<&mut dyn Session, StoreError>;

    /// Host, port and database, or the file.
    fn place(&self) -> String;

    /// Whether an instance of the job holds its lock.
    fn is_running(&mut self, job: &str) -> Result<bool, StoreError>;

    /// The committed data of the job; `None` if this database does not have the job.
    fn last_commit(&mut self, job: &str) -> Result<Option<LastCommit>, StoreError> {
        let session = self.session()?;
        if migrate::is_readable(session)? { read::last_commit(session, job) } else { Ok(None) }
    }

    /// Whether other jobs also commit here, so that some rows of a table may be theirs.
    fn has_other_jobs(&mut self, job: &str) -> Result<bool, StoreError> {
        read::has_other_jobs(self.session()?, job)
    }

    /// The views that the job has had, by name.
    fn views(&mut self, job: &str) -> Result<Vec<StoredView>, StoreError> {
        let session = self.session()?;
        if migrate::is_readable(session)? { read::views(session, job) } else { Ok(Vec::new()) }
    }

    /// The messages whose event time was too far ahead, in any order.
    fn in_the_future(&mut self, job: &str) -> Result<Vec<ReadingId>, StoreError> {
        read::in_the_future(self.session()?, job)
    }

    /// The views that have state, by name.
    fn with_state(&mut self, job: &str) -> Result<Vec<String>, StoreError> {
        read::with_state(self.session()?, job)
    }

    /// Passes the parts of a view's state to `take`, newest first, with only a few in memory at a time.
    fn state(&mut self, job: &str, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        read::state(self.session()?, job, view, Lock::No, take)
    }

    /// The size of a table; 0 rows if it does not exist.
    fn size(&mut self, table: &str) -> Result<TableSize, StoreError>;

    /// How a table stores each of these columns, in their order; `None` if it does not exist.
    fn columns(&mut self, table: &str, columns: &[ColumnSpec]) -> Result<Option<Found>, StoreError>;

    /// Passes every row of a table to `each`, in the order of its AUTO_INCREMENT column if it has one.
    fn rows(&mut self, found: &Found, each: &mut dyn FnMut(TableRow<'_>)) -> Result<(), StoreError>;
}

/// A table that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name of the table in the database.
    pub table: String,
    /// The requested columns; `Err` is the name of a missing one.
    pub columns: Vec<Result<(String, Keeps), String>>,
    /// The AUTO_INCREMENT column, if there is one.
    pub id: Option<String>,
    /// Whether there is a column of row keys.
    pub has_key: bool,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub struct TableRow<'a> {
    /// Its AUTO_INCREMENT value, if the table has them.
    pub id: Option<i64>,
    /// Its row key, if the table has them.
    pub key: Option<RowKey>,
    /// The values of the requested columns: doubles as their shortest text, everything else as the database prints
    /// it.
    pub values: &'a Line,
}

/// How a column stores a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// The nearest double.
    Double,
    /// The nearest single; for `FLOAT(M,D)` with this many decimals.
    Single(Option<u32>),
    /// A `DOUBLE(M,D)` with this many decimals.
    Fixed(u32),
    /// A decimal with this many places.
    Decimal(u32),
    /// The nearest integer.
    Integer,
    /// A time with this many digits of fractional seconds.
    Time(u32),
    /// A text; a `CHAR` loses trailing spaces.
    Text {
        /// Whether trailing spaces are lost.
        trimmed: bool,
    },
    /// Bytes, padded with zeros to this length.
    Bytes(usize),
}

/// The fields of a row in one buffer.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// Represents NULL; no value of a table is equal to it.
const NULL: &[u8] = b"\0NULL";

impl Line {
    /// Removes all fields.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a field; `None` is NULL.
    pub fn push(&mut self, field: Option<&[u8]>) {
        self.bytes.extend_from_slice(field.unwrap_or(NULL));
        self.end();
    }

    /// The buffer, to which a caller appends a field before [`end`](Self::end).
    pub fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends a field that was appended to [`open`](Self::open).
    pub fn end(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A field; empty if there is none at this index.
    pub fn field(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        self.ends.get(at).map_or(&[], |end| &self.bytes[start as usize..*end as usize])
    }

    /// Whether a field of a table is NULL.
    pub fn is_null(&self, at: usize) -> bool {
        self.field(at) == NULL
    }

    /// The number of fields that are equal in both.
    pub fn likeness(&self, other: &Self) -> usize {
        (0..self.len()).filter(|&at| self.field(at) == other.field(at)).count()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Line {
    fn from_iter<I: IntoIterator<Item = T>>(fields: I) -> Self {
        let mut line = Self::default();
        fields.into_iter().for_each(|field| line.push(Some(field.as_ref())));
        line
    }
}

/// The maximum number of characters of a field in messages.
const SHOWN: usize = 60;

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for at in 0..self.len() {
            f.write_str(if at > 0 { "," } else { "" })?;
            if self.is_null(at) {
                f.write_str("NULL")?;
                continue;
            }
            let text = String::from_utf8_lossy(self.field(at));
            let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
            write!(f, "{shown}{}", if text.chars().nth(SHOWN).is_some() { "…" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The shortest text of a double; zero has no sign.
pub fn shortest(value: f64) -> String {
    ryu::Buffer::new().format(value + 0.0).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_line() {
        let mut line: Line = ["a", "", "cd"].into_iter().collect();
        line.push(None);
        assert_eq!(
            (line.len(), line.field(0), line.field(1), line.field(2)),
            (4, &b"a"[..], &b""[..], &b"cd"[..])
        );
        assert!(line.is_null(3) && !line.is_null(1) && line.field(9).is_empty());
        assert_eq!(line.to_string(), "a,,cd,NULL");
        let other: Line = ["a", "x", "cd"].into_iter().collect();
        assert_eq!(line.likeness(&other), 2);
        assert_ne!(["ab", "c"].into_iter().collect::<Line>(), ["a", "bc"].into_iter().collect());
    }
}
