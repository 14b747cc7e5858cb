//! Reading what a job has committed, and the rows of its tables, without taking the job over: nothing
//! is made, locked or counted.

use std::fmt;

use dataflows::item::MessageId;
use dataflows::rows::ColumnSpec;

use dataflows::rows::RowKey;

use super::commit::LastCommit;
use super::error::StoreError;
use crate::state::StoredView;
use crate::state::export::TableSize;

/// A database that is only looked at.
pub trait StoreReader {
    /// Whether an instance of the job has its lock.
    fn is_running(&mut self, job: &str) -> Result<bool, StoreError>;

    /// What the job has committed; none if this database does not know it.
    fn last_commit(&mut self, job: &str) -> Result<Option<LastCommit>, StoreError>;

    /// Whether other jobs commit here, too, so that rows of a table may be theirs.
    fn has_other_jobs(&mut self, job: &str) -> Result<bool, StoreError>;

    /// The views of the job that have not taken all that was before them yet.
    fn unfilled(&mut self, job: &str) -> Result<Vec<String>, StoreError>;

    /// Host, port and database, or the file.
    fn place(&self) -> String;

    /// The views that the job has had, by name.
    fn views(&mut self, job: &str) -> Result<Vec<StoredView>, StoreError>;

    /// The messages whose event time was found to be too far ahead, in any order.
    fn in_the_future(&mut self, job: &str) -> Result<Vec<MessageId>, StoreError>;

    /// The views of which there is state, by name.
    fn with_state(&mut self, job: &str) -> Result<Vec<String>, StoreError>;

    /// Gives the parts of a view's state, newest first, to `take`, few of them at a time.
    fn state(&mut self, job: &str, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError>;

    /// How far a table has come: 0 rows if there is none.
    fn size(&mut self, table: &str) -> Result<TableSize, StoreError>;

    /// What each of these columns of a table keeps, in their order; none if there is no such table.
    fn columns(&mut self, table: &str, columns: &[ColumnSpec]) -> Result<Option<Found>, StoreError>;

    /// Gives every row of a table: those that have an `id` in its order.
    fn rows(&mut self, found: &Found, each: &mut dyn FnMut(TableRow<'_>)) -> Result<(), StoreError>;
}

/// A table that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The table's name, as the database has it.
    pub table: String,
    /// The asked columns; `Err` is the name of one that is missing.
    pub columns: Vec<Result<(String, Keeps), String>>,
    /// Whether there is an `id`.
    pub has_id: bool,
    /// Whether there is a column of keys.
    pub has_key: bool,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub struct TableRow<'a> {
    /// Its `id`, if the table has one.
    pub id: Option<i64>,
    /// What names it among the rows of jobs.
    pub key: Option<RowKey>,
    /// The values of the asked columns: doubles as their shortest text, all else as the database
    /// prints it.
    pub values: &'a Line,
}

/// What a column keeps of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// The nearest double.
    Double,
    /// The nearest single; of `FLOAT(M,D)` with so many decimals.
    Single(Option<u32>),
    /// A double of `DOUBLE(M,D)`, with so many decimals.
    Fixed(u32),
    /// A decimal with so many places.
    Decimal(u32),
    /// The nearest integer.
    Integer,
    /// A time with so many digits of a second's fraction.
    Time(u32),
    /// A text; without the blanks at its end if it is a `CHAR`.
    Text {
        /// Whether blanks at the end are lost.
        trimmed: bool,
    },
    /// Bytes, filled up with zeros to so many.
    Bytes(usize),
}

/// The fields of a row, one behind the other.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// What stands for NULL: no value of a table begins with this byte and is so.
const NULL: &[u8] = b"\0NULL";

impl Line {
    /// Forgets all fields.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a field; none is NULL.
    pub fn push(&mut self, field: Option<&[u8]>) {
        self.bytes.extend_from_slice(field.unwrap_or(NULL));
        self.end();
    }

    /// The bytes so far, to add those of a field to; [`end`](Self::end) ends it.
    pub fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends a field.
    pub fn end(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A field; empty if there are fewer.
    pub fn field(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        self.ends.get(at).map_or(&[], |end| &self.bytes[start as usize..*end as usize])
    }

    /// Whether a field of a table is NULL.
    pub fn is_null(&self, at: usize) -> bool {
        self.field(at) == NULL
    }

    /// How many fields are the same as in another.
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

/// The most characters of a field that are shown.
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

/// The shortest text of a double; a zero has no sign there.
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
