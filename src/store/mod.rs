//! Where a job's rows, state and offsets are committed, all in one transaction.
//!
//! | module | is |
//! |---|---|
//! | [`mysql`] | MySQL and MariaDB, through sqlx |
//! | [`sqlite`] | a file, by default in the output folder |
//! | [`privileges`] | what an account of MySQL or MariaDB may do, as its grants say |
//! | [`schema`] | which tables and columns there must be, whatever the database |
//!
//! The order of calls is: [`Store::claim`], [`Store::prepare`], [`Store::state`]; then for each
//! commit [`Store::begin`], [`Store::insert`] for each chunk, [`Store::commit`]. After an error that
//! may pass, [`Store::abandon`] and again from `begin`.

pub mod mysql;
pub mod privileges;
pub mod schema;
pub mod sqlite;

use std::ops::Range;

use dataflows::Epoch;
use dataflows::item::NextOffset;
use dataflows::rows::{ColumnSpec, Rows};
use thiserror::Error;

use crate::render;
use crate::simulate::LastReading;

/// A table that rows are inserted into. An `id` that the database counts up stands before the
/// columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name.
    pub name: String,
    /// The columns, without `id`.
    pub columns: Vec<ColumnSpec>,
}

/// Rows for one table, in the form that the store wants them.
#[derive(Debug)]
pub struct Chunk {
    /// The table's place among the prepared ones.
    pub table: usize,
    /// The rows.
    pub rows: Rows,
    /// For a store that takes text: `(…),(…)`, in pieces that each fit a statement, with the rows
    /// that a piece holds.
    pub text: Vec<(Range<usize>, Vec<u8>)>,
}

/// About how many bytes of values a statement has.
const STATEMENT_BYTES: usize = 1 << 20;

impl Chunk {
    /// Rows for the `table`-th prepared table, rendered on the caller's thread if `text` is wanted.
    pub fn new(table: usize, rows: Rows, text: bool) -> Self {
        let text = if text { render::sql_pieces(&rows, STATEMENT_BYTES) } else { Vec::new() };
        Self { table, rows, text }
    }

    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        let text: usize = self.text.iter().map(|(_, text)| text.len()).sum();
        text + self.rows.len() * self.rows.columns.len() * 8
    }
}

/// A change of a view's state.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The view.
    pub view: String,
    /// The parts, each at most about 1 MiB unless a single epoch's change is larger.
    pub parts: Vec<Vec<u8>>,
    /// Whether they replace all older parts of the view.
    pub replaces: bool,
}

/// What a commit makes durable together with the rows inserted since [`Store::begin`].
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// The next offsets of the partitions that moved.
    pub offsets: &'a [NextOffset],
    /// The lengths of the files that grew.
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
    /// Lengths of files.
    pub files: Vec<(String, u64)>,
}

/// A row that the database refused for its content alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The row's place in the chunk.
    pub row: usize,
    /// What the database said, in one line.
    pub reason: String,
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
    /// The server does not answer, or the answer was lost. It may pass by itself.
    #[error("{place} does not answer: {reason}; start it or mend --database, or keep trying with --wait")]
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
        /// The statement that mends it.
        advice: String,
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
}

/// A database that a job commits to.
pub trait Store: Send {
    /// Takes the job's lock, makes the bookkeeping tables, counts the generation up (committed at
    /// once), and gives what was committed last.
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError>;

    /// Makes the tables fit: creates what is missing, adds missing columns, refuses what cannot be
    /// used. Their rows are never touched.
    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError>;

    /// The committed and pending parts of a view's state, oldest first.
    fn state(&mut self, view: &str) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Opens a transaction, after connecting anew and taking the lock anew where that is needed;
    /// fails with [`StoreError::Fenced`] if another instance took over.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Inserts a chunk's rows. What the database refuses for its content alone is given back; all
    /// other rows are in.
    fn insert(&mut self, chunk: &Chunk) -> Result<Vec<Refused>, StoreError>;

    /// Adds the rest to the transaction, checks the generation in it, and commits.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError>;

    /// The last committed epoch, read anew: after a commit whose answer was lost.
    fn committed_epoch(&mut self) -> Result<Epoch, StoreError>;

    /// Rolls the open transaction back, if there is one; drops a connection that is in doubt.
    fn abandon(&mut self);

    /// Whether chunks must carry text.
    fn needs_text(&self) -> bool;

    /// Looks at server and tables without changing anything.
    fn check(&mut self, tables: &[Table]) -> Vec<Finding>;
}

/// Opens the store at `url`; see [`StoreError::Url`] for the forms.
pub fn open(url: &str) -> Result<Box<dyn Store>, StoreError> {
    match split(url)? {
        Place::Sqlite(path) => Ok(Box::new(sqlite::SqliteStore::open(path)?)),
        Place::Mysql(url) => Ok(Box::new(mysql::MysqlStore::open(url)?)),
    }
}

/// The last reading of each truck in `TRUCK_PARAMETER_MAP`; none if there is no such table.
pub fn last_readings(url: &str) -> Result<Vec<LastReading>, StoreError> {
    match split(url)? {
        Place::Sqlite(path) => sqlite::last_readings(path),
        Place::Mysql(url) => mysql::last_readings(url),
    }
}

enum Place<'a> {
    Sqlite(&'a str),
    Mysql(&'a str),
}

fn split(url: &str) -> Result<Place<'_>, StoreError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some("") => Err(StoreError::Url("the SQLite path is empty".into())),
        Some(path) => Ok(Place::Sqlite(path)),
        None if url.starts_with("mysql://") || url.starts_with("mariadb://") => Ok(Place::Mysql(url)),
        None => Err(StoreError::Url("this is no database that truckflow knows".into())),
    }
}
