//! Where a job's rows, state and offsets are committed, all in one transaction.
//!
//! | module | is |
//! |---|---|
//! | [`mysql`] | MySQL and MariaDB, through mysql_async |
//! | [`sqlite`] | a file, by default in the output folder |
//! | [`privileges`] | what an account of MySQL or MariaDB may do, as its grants say |
//! | [`look`] | reading all that without taking the job over |
//! | [`offset`] | how far the job and its views have read |
//! | [`schema`] | which tables and columns there must be, whatever the database |
//!
//! The order of calls is: [`Store::claim`], [`Store::views`], [`Store::prepare`], [`Store::state`];
//! then for each commit [`Store::begin`], [`Store::insert`] for all chunks, [`Store::commit`]. After
//! an error that may pass, [`Store::abandon`] and again from `begin`.

pub mod look;
pub mod mysql;
pub mod offset;
pub mod privileges;
pub mod schema;
pub mod sqlite;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dataflows::Epoch;
use dataflows::item::{MessageId, NextOffset, TopicId};
use dataflows::rows::{Change, Changes, ColumnSpec, RowKey, Rows};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::render::{self, SqlRows};
use crate::runtime::reload::Reloaded;
use crate::runtime::secret::{DatabaseUrl, ExposeSecret};
use crate::state::StoredView;
use crate::state::offset::ViewOffset;

/// A table that rows are inserted into. An `id` that the database counts up stands before the
/// columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name.
    pub name: String,
    /// The columns, without `id`.
    pub columns: Vec<ColumnSpec>,
    /// Whether its rows change and end: then it has a column [`ROW_KEY`], too.
    pub keyed: bool,
}

/// The column that names the rows of a keyed table. Rows that are not of a job have NULL there, and
/// are never touched.
pub const ROW_KEY: &str = "row_key";

/// What a chunk's rows do to those of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// They stand beside them, without a key.
    Append,
    /// They are new; if there is a row of that key after all, it takes the values.
    Insert,
    /// The rows of those keys take the values; one that is missing comes back.
    Update,
    /// The rows of those keys end; one that is missing is no error.
    Delete,
}

/// Rows for one table, in the form that the store wants them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// The table's place among the prepared ones.
    pub table: usize,
    /// What is done.
    pub operation: Operation,
    /// The rows.
    pub rows: Rows,
    /// Their keys, unless they are appended.
    pub keys: Vec<RowKey>,
    /// For a store that takes text: `(…),(…)`, in pieces that each fit a statement, with the rows
    /// that a piece holds. A delete needs none.
    pub text: Vec<(Range<usize>, Vec<u8>)>,
    /// In the place of that, if the store wants the table's appended rows so: see [`render::lines`].
    pub lines: Bytes,
}

/// About how many bytes of values a statement has.
const STATEMENT_BYTES: usize = 1 << 20;

impl Chunk {
    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        let text: usize = self.text.iter().map(|(_, text)| text.len()).sum();
        text + self.lines.len() + self.rows.weight() + size_of_val(&*self.keys)
    }
}

/// The form in which a store wants the rows of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Form {
    /// The job: in one table, each has keys of its own.
    pub job: Arc<str>,
    /// How rows are written as text, for a store that wants them so.
    pub text: Option<Text>,
    /// For each prepared table, whether rows that are appended are wanted as lines.
    pub lines: Arc<[bool]>,
}

/// How rows are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Text {
    /// `(…),(…)`, where an update is an insert that finds its row.
    Inserts,
    /// `(…),(…)`, also in an update.
    Values,
    /// `(…),(…)`, and in an update `ROW(…),ROW(…)`.
    ValuesRow,
}

impl Text {
    /// What a row begins with.
    pub fn opening(self, operation: Operation) -> &'static str {
        if self == Self::ValuesRow && operation == Operation::Update { "ROW(" } else { "(" }
    }
}

impl Form {
    /// Rows for the `table`-th prepared table, in the order in which they are to be put in: what
    /// ends, what changes, what is new. Hashed and rendered here, on the caller's thread.
    pub fn chunks(&self, table: usize, rows: Rows) -> Vec<Chunk> {
        let Some(Changes { kinds, keys }) = rows.changes.clone() else {
            return vec![self.chunk(table, Operation::Append, rows, Vec::new())];
        };
        let rows = Rows::from(rows.columns);
        let mut chunks = Vec::new();
        for (change, operation) in [
            (Change::Delete, Operation::Delete),
            (Change::Update, Operation::Update),
            (Change::Insert, Operation::Insert),
        ] {
            let places: Vec<u32> =
                (0..kinds.len() as u32).filter(|&place| kinds[place as usize] == change).collect();
            if places.is_empty() {
                continue;
            }
            let of_kind = if places.len() == kinds.len() { rows.clone() } else { rows.gather(&places) };
            let keys = places.iter().map(|&place| self.row_key(&keys[place as usize])).collect();
            chunks.push(self.chunk(table, operation, of_kind, keys));
        }
        chunks
    }

    fn chunk(&self, table: usize, operation: Operation, rows: Rows, keys: Vec<RowKey>) -> Chunk {
        let operation = match (operation, self.text) {
            (Operation::Update, Some(Text::Inserts)) => Operation::Insert,
            _ => operation,
        };
        let (mut text, mut lines) = (Vec::new(), Bytes::new());
        match self.text {
            Some(_) if operation == Operation::Append && self.lines.get(table) == Some(&true) => {
                lines = render::lines(&rows).into();
            }
            Some(form) if operation != Operation::Delete => {
                let values = SqlRows { rows: &rows, keys: &keys, opening: form.opening(operation) };
                text = values.pieces(0..rows.len(), STATEMENT_BYTES);
            }
            _ => {}
        }
        Chunk { table, operation, rows, keys, text, lines }
    }

    /// The key in the database of what `key` names among the rows of its view.
    fn row_key(&self, key: &[u8]) -> RowKey {
        let hash = Sha256::new().chain_update(&*self.job).chain_update([0]).chain_update(key).finalize();
        std::array::from_fn(|at| hash[at])
    }
}

/// A change of a view's state.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The view.
    pub view: String,
    /// The parts, each at most about 1 MiB unless a single epoch's change is larger.
    pub parts: Vec<Bytes>,
    /// Whether they replace all older parts of the view.
    pub replaces: bool,
}

/// What a commit makes durable together with the rows inserted since [`Store::begin`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// The next offsets of the partitions that moved.
    pub offsets: &'a [NextOffset],
    /// Offsets of views.
    pub view_offsets: &'a [ViewOffset],
    /// The ids of topics that are new, or others than before.
    pub topics: &'a [TopicId],
    /// Messages whose event time was found to be too far ahead: see [`Store::in_the_future`].
    pub in_the_future: &'a [MessageId],
    /// Numbers of the files that grew, by name: lengths and more, see [`crate::sink::csv`].
    pub files: &'a [(String, u64)],
    /// The changes of state.
    pub state: &'a [StateChange],
}

/// What the store holds of a job.
#[derive(Clone, Debug, Default)]
pub struct LastCommit {
    /// This claim's number; an instance with a lower one can no longer commit.
    pub generation: u64,
    /// The last committed epoch; 0 before the first.
    pub epoch: Epoch,
    /// What the job's offsets are offsets of, as the first claim said.
    pub source: String,
    /// Next offsets.
    pub offsets: Vec<NextOffset>,
    /// Offsets of views.
    pub view_offsets: Vec<ViewOffset>,
    /// The ids of the topics that they are of, as far as they are known.
    pub topics: Vec<TopicId>,
    /// The last numbers of the files, by name.
    pub files: Vec<(String, u64)>,
}

/// A job that comes from another store.
#[derive(Clone, Copy, Debug)]
pub struct Adopted<'a> {
    /// Its name.
    pub job: &'a str,
    /// What its offsets are offsets of.
    pub source: &'a str,
    /// Its generation: no instance of before has one as high.
    pub generation: u64,
    /// Its views.
    pub views: &'a [StoredView],
    /// All else, as if it were committed at once.
    pub commit: Commit<'a>,
}

/// A row that the database refused for its content alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The chunk's place among those that were to be put in.
    pub chunk: usize,
    /// The row's place in the chunk.
    pub row: usize,
    /// The table.
    pub table: String,
    /// What the database said, in one line.
    pub reason: String,
}

/// The last reading of a truck in TRUCK_PARAMETER_MAP, from which a simulated drive goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct LastReading {
    /// The truck's name; empty for the single truck without a name.
    pub truck: String,
    /// Kilometres since the drive began.
    pub distance: f64,
    /// Litres since the drive began.
    pub fuel: f64,
    /// Event time in microseconds since 1970.
    pub timestamp_micros: i64,
}

/// One thing that `truckflow check` looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// What was found, or one sentence with the next step.
    pub result: Result<String, String>,
}

/// A store that cannot be used. Every message is one sentence that names the place and the next
/// step, and never shows a password.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error("{0}; give mysql://user:password@host:port/database or sqlite:PATH as --database")]
    Url(String),
    /// A certificate or key that the URL names cannot be used.
    #[error("{path}, the {name} of --database, cannot be used: {reason}; give a PEM file that can be read")]
    Certificate {
        /// `ssl-ca`, `ssl-cert` or `ssl-key`.
        name: &'static str,
        /// The file.
        path: String,
        /// What the operating system said, or what the file lacks.
        reason: String,
    },
    /// The server does not answer, or the answer was lost. It may pass by itself.
    #[error("{place} does not answer: {reason}; start it or correct --database")]
    Away {
        /// Host, port and database, or the file.
        place: String,
        /// What the client said.
        reason: String,
    },
    /// The server cannot do it now: full disk, lock, too many connections. It may pass by itself.
    #[error("{place} cannot do it now: {reason}; {advice}")]
    Busy {
        /// Host, port and database, or the file.
        place: String,
        /// What the database said.
        reason: String,
        /// The next step.
        advice: String,
    },
    /// User, password or privilege.
    #[error("{place} refuses it: {reason}; {advice}")]
    Denied {
        /// Host, port and database, or the file.
        place: String,
        /// What the database said.
        reason: String,
        /// The next step, a statement where there is one.
        advice: String,
    },
    /// A table that cannot be used.
    #[error("table {table}: {reason}; {advice}")]
    Table {
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
        /// The next step, a statement where there is one.
        advice: String,
    },
    /// The job is there already.
    #[error(
        "job `{job}` is in {place} already; forget what it holds with `truckflow state reset`, or give an empty --database"
    )]
    There {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Another instance has the job.
    #[error("another instance of job `{job}` runs on {place}; stop it, or give this one another --job")]
    Taken {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Another instance took the job over.
    #[error(
        "another instance of job `{job}` took over on {place}; this one stops, and nothing of it was committed since"
    )]
    Fenced {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Anything else that the database said.
    #[error("{place}: {reason}; mend it and start again: the job goes on from its last commit")]
    Failed {
        /// Host, port and database, or the file.
        place: String,
        /// What the database said.
        reason: String,
    },
}

impl StoreError {
    /// Whether it may pass by itself.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Busy { .. })
    }

    /// The same for a job that tries again by itself: without the advice to start what it waits for.
    pub fn while_waiting(&self) -> String {
        match self {
            Self::Away { place, reason } => format!("{place} does not answer: {reason}"),
            other => other.to_string(),
        }
    }
}

/// A database that a job commits to.
pub trait Store: Send {
    /// Takes the job's lock, makes the bookkeeping tables, counts the generation up (committed at
    /// once), and gives what was committed last.
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError>;

    /// Makes the tables fit: creates what is missing, adds missing columns, refuses what cannot be
    /// used. Their rows are never touched.
    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError>;

    /// Gives the committed and pending parts of a view's state, newest first, to `take`, few of them at a
    /// time: together they may be large.
    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError>;

    /// The messages whose event time was found to be too far ahead, in any order.
    fn in_the_future(&mut self) -> Result<Vec<MessageId>, StoreError>;

    /// The views that the job has had, by name.
    fn views(&mut self) -> Result<Vec<StoredView>, StoreError>;

    /// Keeps what is known of a view, in the place of what was known of it before. Committed at
    /// once; an epoch's transaction must not be open.
    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError>;

    /// Opens a transaction, after connecting anew and taking the lock anew where that is needed;
    /// fails with [`StoreError::Fenced`] if another instance took over.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Puts the rows of chunks in. What the database refuses for its content alone is given back; all
    /// other rows are in. If such a row has a key, the row of that key is gone: it would no longer
    /// be true.
    fn insert(&mut self, chunks: &[Chunk]) -> Result<Vec<Refused>, StoreError>;

    /// Adds the rest to the transaction, checks the generation in it, and commits.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError>;

    /// The last committed epoch, read anew: after a commit whose answer was lost.
    fn committed_epoch(&mut self) -> Result<Epoch, StoreError>;

    /// Sees whether the store answers, soon; an epoch's transaction must not be open.
    fn ping(&mut self) -> Result<(), StoreError>;

    /// Rolls the open transaction back, if there is one; drops a connection that is in doubt.
    fn abandon(&mut self);

    /// Takes the job's lock, makes the bookkeeping tables, and puts in what another store held of the job;
    /// all or nothing. Refuses a job that is there already.
    fn adopt(&mut self, job: &Adopted<'_>) -> Result<(), StoreError>;

    /// Takes the job's lock, and removes all that is kept of it but rows; all or nothing.
    fn forget(&mut self, job: &str) -> Result<(), StoreError>;

    /// The form in which chunks must come, once the job is claimed.
    fn form(&self) -> Form;

    /// Looks at server and tables without changing anything.
    fn check(&mut self, tables: &[Table]) -> Vec<Finding>;
}

/// Opens the store at `url`; see [`StoreError::Url`] for the forms.
pub fn open(url: &DatabaseUrl) -> Result<Box<dyn Store>, StoreError> {
    open_reloaded(Reloaded::fixed(Login::read(url)?))
}

/// Opens a store; each new connection takes the login as it was last read.
pub fn open_reloaded(login: Arc<Reloaded<Login>>) -> Result<Box<dyn Store>, StoreError> {
    match &login.get().0 {
        Place::Sqlite(path) => Ok(Box::new(sqlite::SqliteStore::open(path)?)),
        Place::Mysql(address) => Ok(Box::new(mysql::MysqlStore::open(address.clone(), login.clone())?)),
    }
}

/// A database that is made beside the one of `url`, and that is to be dropped again; its URL, and what
/// the server is. SQLite needs none.
pub fn create_scratch(url: &DatabaseUrl, name: &str) -> Result<Option<mysql::scratch::Scratch>, StoreError> {
    match url.file() {
        Some(_) => Ok(None),
        None => mysql::scratch::Scratch::create(url, name).map(Some),
    }
}

/// The last reading of each truck in `TRUCK_PARAMETER_MAP`; none if there is no such table.
pub fn last_readings(url: &DatabaseUrl) -> Result<Vec<LastReading>, StoreError> {
    match Login::read(url)?.0 {
        Place::Sqlite(path) => sqlite::last_readings(&path),
        Place::Mysql(address) => mysql::last_readings(address),
    }
}

/// How a database is reached: what its URL says, with the certificates that it names.
pub struct Login(Place);

enum Place {
    Sqlite(String),
    Mysql(mysql::Address),
}

impl Login {
    /// Reads a URL and the files of its certificates.
    pub fn read(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let text = url.expose_secret();
        match url.file() {
            Some("") => Err(StoreError::Url("the SQLite path is empty".into())),
            Some(path) => Ok(Self(Place::Sqlite(path.to_owned()))),
            None if text.starts_with("mysql://") || text.starts_with("mariadb://") => {
                Ok(Self(Place::Mysql(mysql::Address::read(text, |path| std::fs::read(path))?)))
            }
            None => Err(StoreError::Url("this is no database that truckflow knows".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use dataflows::rows::Column;

    use super::*;

    /// The chunks of three rows: what each does, and its text.
    fn chunks(text: Option<Text>) -> Vec<(Operation, String)> {
        let keys = [b"a", b"b", b"c"].map(|key| Arc::from(&key[..])).to_vec();
        let rows = Rows {
            columns: vec![Column::Integer(Arc::new(vec![1, 2, 3]))],
            changes: Some(Changes {
                kinds: Arc::new(vec![Change::Insert, Change::Update, Change::Delete]),
                keys: Arc::new(keys),
            }),
        };
        let text_of = |chunk: &Chunk| {
            let texts: Vec<_> = chunk.text.iter().map(|(_, text)| text.as_slice()).collect();
            String::from_utf8(texts.concat()).unwrap()
        };
        let chunks = Form { job: "job".into(), text, lines: [true].into() }.chunks(0, rows);
        chunks.iter().map(|chunk| (chunk.operation, text_of(chunk))).collect()
    }

    #[test]
    fn an_update_is_written_as_the_store_wants_it() {
        use Operation::{Delete, Insert, Update};
        for (text, operation, start) in [
            (None, Update, ""),
            (Some(Text::Inserts), Insert, "(2,X'"),
            (Some(Text::Values), Update, "(2,X'"),
            (Some(Text::ValuesRow), Update, "ROW(2,X'"),
        ] {
            let chunks = chunks(text);
            let operations: Vec<_> = chunks.iter().map(|(operation, _)| *operation).collect();
            assert_eq!(operations, [Delete, operation, Insert]);
            assert!(chunks[0].1.is_empty() && chunks[1].1.starts_with(start), "{chunks:?}");
            assert_eq!(chunks[2].1.starts_with("(1,X'"), text.is_some());
        }
    }

    #[test]
    fn rows_without_changes_are_appended_without_a_key() {
        let rows: Rows = vec![Column::Integer(Arc::new(vec![1, 2]))].into();
        let form = Form { job: "job".into(), text: Some(Text::ValuesRow), lines: [false, true].into() };
        let chunks = form.chunks(0, rows.clone());
        assert_eq!((chunks.len(), chunks[0].table, chunks[0].operation), (1, 0, Operation::Append));
        assert_eq!((&*chunks[0].text[0].1, chunks[0].keys.len()), (&b"(1),(2)"[..], 0));
        assert!(chunks[0].lines.is_empty());
        let chunks = form.chunks(1, rows);
        assert_eq!((&*chunks[0].lines, chunks[0].text.len()), (&b"1\n2\n"[..], 0));
    }
}
