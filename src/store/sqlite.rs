//! A file as the store: SQLite, linked into the program.
//!
//! A lock file beside the database, held as long as the store lives, keeps a second instance out.
//! The database itself is in WAL mode, so that other programs may read it meanwhile.

mod look;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dataflows::Epoch;
use dataflows::item::{MessageId, NextOffset};
use dataflows::rows::{Column, ColumnSpec, NULL, Type, column};
use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Statement, TransactionBehavior, params};

use super::look::Look;
use super::{
    Adopted, Chunk, Commit, Finding, Form, LastCommit, LastReading, Operation, ROW_KEY, Refused, RowKey,
    Store, StoreError, StoredView, Table, TopicId, offset,
};
use crate::text::time::{self, TimeWriter};

/// How long a claim waits for the lock of an instance that is about to end.
const PATIENCE: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Rows of one INSERT; more cost more than they save.
const STATEMENT_ROWS: usize = 32;
/// SQLite's limit of values bound to one statement.
const STATEMENT_VALUES: usize = 32766;

/// An epoch may be large: checkpoints come every 16 MiB rather than 4, and the log that a large
/// epoch leaves behind is cut to 64 MiB.
const PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = OFF;
    PRAGMA cache_size = -16384;
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 67108864;";

const BOOKKEEPING: &str = "
    CREATE TABLE IF NOT EXISTS truckflow_jobs (
        job TEXT PRIMARY KEY, source TEXT NOT NULL, generation INTEGER NOT NULL, epoch INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS truckflow_offsets (
        job TEXT, topic TEXT, part INTEGER, view_name TEXT, role TEXT, next_offset INTEGER NOT NULL,
        byte_position INTEGER, hash TEXT, PRIMARY KEY (job, topic, part, view_name, role));
    CREATE TABLE IF NOT EXISTS truckflow_topics (
        job TEXT, topic TEXT, topic_id TEXT NOT NULL, PRIMARY KEY (job, topic));
    CREATE TABLE IF NOT EXISTS truckflow_in_the_future (
        job TEXT, topic TEXT, part INTEGER, message_offset INTEGER, PRIMARY KEY (job, topic, part, message_offset));
    CREATE TABLE IF NOT EXISTS truckflow_files (
        job TEXT, name TEXT, length INTEGER NOT NULL, PRIMARY KEY (job, name));
    CREATE TABLE IF NOT EXISTS truckflow_state (
        job TEXT, view_name TEXT, epoch INTEGER, part INTEGER, bytes BLOB NOT NULL,
        PRIMARY KEY (job, view_name, epoch, part));
    CREATE TABLE IF NOT EXISTS truckflow_views (
        job TEXT, view_name TEXT, definition TEXT NOT NULL, backfilled INTEGER NOT NULL,
        PRIMARY KEY (job, view_name));";

/// The tables of [`BOOKKEEPING`].
const BOOKS: [&str; 7] = [
    "truckflow_state",
    "truckflow_views",
    "truckflow_files",
    "truckflow_in_the_future",
    "truckflow_topics",
    "truckflow_offsets",
    "truckflow_jobs",
];

/// A job's store in an SQLite file.
pub struct SqliteStore {
    path: String,
    patience: Duration,
    /// The lock file, locked from the claim on.
    lock: Option<File>,
    claim: Option<Claim>,
    connection: Option<Connection>,
    tables: Vec<Prepared>,
}

/// What the claim said.
struct Claim {
    job: Arc<str>,
    generation: i64,
}

/// The statements that write into a prepared table.
struct Prepared {
    table: String,
    append: Insert,
    /// With a key, in the place of the row that has it.
    upsert: Insert,
    delete: String,
}

impl Prepared {
    fn new(table: &Table) -> Self {
        let (name, key) = (quoted(&table.name), quoted(ROW_KEY));
        let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let with_key: Vec<_> = columns.iter().cloned().chain([key.clone()]).collect();
        // Bound bytes are copied, and a payload may be large.
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

    fn refused(&self, row: usize, error: &rusqlite::Error) -> Refused {
        Refused { chunk: 0, row, table: self.table.clone(), reason: one_line(error) }
    }
}

/// A statement that inserts.
struct Insert {
    /// For [`Insert::rows`] rows.
    many: String,
    one: String,
    rows: usize,
}

impl Insert {
    fn new(table: &str, columns: &[String], most: usize, end: &str) -> Self {
        // A conflict clause of the table's own could roll the transaction back or drop rows.
        let head = format!("INSERT OR ABORT INTO {table} ({}) VALUES ", columns.join(","));
        let row = format!("({})", vec!["?"; columns.len()].join(","));
        let rows = most.min(STATEMENT_VALUES / columns.len().max(1)).max(1);
        let many = format!("{head}{}{end}", vec![&*row; rows].join(","));
        Self { many, one: format!("{head}{row}{end}"), rows }
    }
}

impl SqliteStore {
    /// A store in the file `path`, which [`Store::claim`] creates if it is missing.
    pub fn open(path: &str) -> Result<Self, StoreError> {
        if path == ":memory:" {
            return Err(StoreError::Url("an SQLite database in memory holds no job".into()));
        }
        Ok(Self {
            path: path.to_owned(),
            patience: PATIENCE,
            lock: None,
            claim: None,
            connection: None,
            tables: Vec::new(),
        })
    }

    fn take_lock(&mut self, job: &str) -> Result<(), StoreError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let name = format!("{}.lock", self.path);
        // By default the database is in the output folder, which a first run creates.
        if let Some(folder) = Path::new(&self.path).parent() {
            fs::create_dir_all(folder).map_err(|error| unopened(&self.path, &self.path, &error))?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name);
        let file = file.map_err(|error| unopened(&self.path, &name, &error))?;
        let deadline = Instant::now() + self.patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Taken { job: job.to_owned(), place: self.path.clone() });
                }
                Err(TryLockError::Error(error)) => {
                    let reason = format!("{name} cannot be locked: {error}");
                    return Err(StoreError::Failed { place: self.path.clone(), reason });
                }
            }
        }
        self.lock = Some(file);
        Ok(())
    }

    /// The connection, opened anew where that is needed. Only a claim may create the file: one that
    /// vanished under a running job must not come back empty.
    fn connect(&mut self, create: bool) -> Result<&mut Connection, StoreError> {
        if self.connection.is_none() {
            let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
            let open = || -> rusqlite::Result<Connection> {
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.execute_batch(PRAGMAS)?;
                connection.set_prepared_statement_cache_capacity(64);
                Ok(connection)
            };
            self.connection = Some(open().map_err(|error| failure(&self.path, &error))?);
        }
        Ok(self.connection.as_mut().expect("it was opened"))
    }

    /// What `work` does on the connection, its error with the place.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Claim) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.connect(false)?;
        let connection = self.connection.as_ref().expect("it was opened");
        let claim = self.claim.as_ref().expect("a job is claimed first");
        work(connection, claim).map_err(|error| failure(&self.path, &error))
    }

    fn fenced(&self) -> StoreError {
        let job = self.claim.as_ref().map(|claim| claim.job.to_string()).unwrap_or_default();
        StoreError::Fenced { job, place: self.path.clone() }
    }
}

impl Store for SqliteStore {
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.take_lock(job)?;
        let connection = self.connect(true)?;
        let last = count_up(connection, job, source).map_err(|error| failure(&self.path, &error))?;
        self.claim = Some(Claim { job: job.into(), generation: last.generation as i64 });
        Ok(last)
    }

    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failure = |error| failure(&path, &error);
        let connection = self.connect(false)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
        for table in tables {
            let found = look_up(&transaction, &table.name).map_err(failure)?;
            for statement in changes(table, found.as_ref())? {
                transaction.execute_batch(&statement).map_err(failure)?;
            }
        }
        transaction.commit().map_err(failure)?;
        self.tables = tables.iter().map(Prepared::new).collect();
        Ok(())
    }

    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        self.with(|connection, claim| read_state(connection, &claim.job, view, take))
    }

    fn in_the_future(&mut self) -> Result<Vec<MessageId>, StoreError> {
        self.with(|connection, claim| read_in_the_future(connection, &claim.job))
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        self.with(|connection, claim| read_views(connection, &claim.job))
    }

    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError> {
        let put = self.with(|connection, claim| {
            // In one statement, and so in one transaction, with the look at the generation.
            let sql = "INSERT INTO truckflow_views (job, view_name, definition, backfilled)
                       SELECT job, ?2, ?3, ?4 FROM truckflow_jobs WHERE job = ?1 AND generation = ?5
                       ON CONFLICT (job, view_name) DO UPDATE
                       SET definition = excluded.definition, backfilled = excluded.backfilled";
            let values = params![claim.job, view.name, view.definition, view.backfilled, claim.generation];
            Ok(connection.execute(sql, values)? == 1)
        })?;
        if put { Ok(()) } else { Err(self.fenced()) }
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let holds = self.with(|connection, claim| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let sql = "SELECT generation FROM truckflow_jobs WHERE job = ?";
            let found =
                connection.prepare_cached(sql)?.query_row([&claim.job], |row| row.get(0)).optional()?;
            Ok(found == Some(claim.generation))
        })?;
        if !holds {
            self.abandon();
            return Err(self.fenced());
        }
        Ok(())
    }

    fn insert(&mut self, chunks: &[Chunk]) -> Result<Vec<Refused>, StoreError> {
        let connection = self.connection.as_ref().expect("a transaction is begun first");
        let mut refused = Vec::new();
        for (place, chunk) in chunks.iter().enumerate() {
            let table = &self.tables[chunk.table];
            let of_chunk = put(connection, table, chunk)
                .map_err(|error| failure_on(&self.path, &table.table, &error))?;
            refused.extend(of_chunk.into_iter().map(|refused| Refused { chunk: place, ..refused }));
        }
        Ok(refused)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let committed = self.with(|connection, claim| {
            let holds = write(connection, claim, commit)?;
            if holds {
                connection.execute_batch("COMMIT")?;
            }
            Ok(holds)
        })?;
        if !committed {
            self.abandon();
            return Err(self.fenced());
        }
        Ok(())
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        self.with(|connection, claim| {
            let sql = "SELECT epoch FROM truckflow_jobs WHERE job = ?";
            connection.query_row(sql, [&claim.job], |row| row.get::<_, i64>(0)).map(|epoch| epoch as Epoch)
        })
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        // A file does not come and go.
        Ok(())
    }

    fn abandon(&mut self) {
        // Closing rolls back what is open.
        self.connection = None;
    }

    fn adopt(&mut self, adopted: &Adopted<'_>) -> Result<(), StoreError> {
        self.take_lock(adopted.job)?;
        let path = self.path.clone();
        match adopt(self.connect(true)?, adopted) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::There { job: adopted.job.to_owned(), place: path }),
            Err(error) => Err(failure(&path, &error)),
        }
    }

    fn forget(&mut self, job: &str) -> Result<(), StoreError> {
        self.take_lock(job)?;
        let path = self.path.clone();
        let connection = self.connect(false)?;
        let mut forget = || -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Those that an older version did not have are made, and empty.
            transaction.execute_batch(BOOKKEEPING)?;
            for book in BOOKS {
                transaction.execute(&format!("DELETE FROM {book} WHERE job = ?"), [job])?;
            }
            transaction.commit()
        };
        forget().map_err(|error| failure(&path, &error))
    }

    fn form(&self) -> Form {
        let job = self.claim.as_ref().map_or_else(|| "".into(), |claim| claim.job.clone());
        Form { job, text: None, lines: [].into() }
    }

    fn check(&mut self, tables: &[Table]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let connection = match look_at_file(&self.path) {
            Ok((found, connection)) => {
                findings.push(Finding { what: self.path.clone(), result: Ok(found.into()) });
                connection
            }
            Err(error) => {
                return vec![Finding { what: self.path.clone(), result: Err(error.to_string()) }];
            }
        };
        for table in tables {
            let found = match &connection {
                Some(connection) => look_up(connection, &table.name),
                None => Ok(None),
            };
            let result = found
                .map_err(|error| failure(&self.path, &error))
                .and_then(|found| changes(table, found.as_ref()))
                .map(|statements| match statements.is_empty() {
                    true => "fits".to_owned(),
                    false => format!("would be made to fit: {}", statements.join("; ")),
                })
                .map_err(|error| error.to_string());
            findings.push(Finding { what: format!("table {}", table.name), result });
        }
        findings
    }
}

/// Counts the job's generation up, and reads what was committed last.
fn count_up(connection: &mut Connection, job: &str, source: &str) -> rusqlite::Result<LastCommit> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(BOOKKEEPING)?;
    transaction.execute(
        "INSERT INTO truckflow_jobs (job, source, generation, epoch) VALUES (?, ?, 1, 0)
         ON CONFLICT (job) DO UPDATE SET generation = generation + 1",
        [job, source],
    )?;
    let last = read_last(&transaction, job)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    transaction.commit()?;
    Ok(last)
}

/// What a job has committed; none if there is no such job.
fn read_last(connection: &Connection, job: &str) -> rusqlite::Result<Option<LastCommit>> {
    let sql = "SELECT source, generation, epoch FROM truckflow_jobs WHERE job = ?";
    let last = connection.query_row(sql, [job], |row| {
        Ok(LastCommit {
            source: row.get(0)?,
            generation: row.get::<_, i64>(1)? as u64,
            epoch: row.get::<_, i64>(2)? as Epoch,
            ..LastCommit::default()
        })
    });
    let Some(mut last) = last.optional()? else { return Ok(None) };
    let sql = "SELECT topic, part, next_offset, byte_position, hash, view_name, role FROM truckflow_offsets
               WHERE job = ? ORDER BY topic, part, view_name, role";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([job])?;
    while let Some(row) = rows.next()? {
        let at = NextOffset {
            topic: row.get::<_, String>(0)?.into(),
            partition: row.get(1)?,
            offset: row.get(2)?,
            mark: offset::mark(row.get(3)?, row.get::<_, Option<String>>(4)?.as_deref()),
        };
        last.add_offset(row.get(5)?, &row.get::<_, String>(6)?, at);
    }
    // The file may be of a version that kept no ids, and is not to be changed by a look.
    if look_up(connection, "truckflow_topics")?.is_some() {
        last.topics = connection
            .prepare("SELECT topic, topic_id FROM truckflow_topics WHERE job = ? ORDER BY topic")?
            .query_map([job], |row| Ok(TopicId { topic: row.get::<_, String>(0)?.into(), id: row.get(1)? }))?
            .collect::<rusqlite::Result<_>>()?;
    }
    last.files = connection
        .prepare("SELECT name, length FROM truckflow_files WHERE job = ? ORDER BY name")?
        .query_map([job], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(last))
}

/// Gives the parts of a view's state, newest first, to `take`.
fn read_state(
    connection: &Connection,
    job: &str,
    view: &str,
    take: &mut dyn FnMut(Vec<u8>),
) -> rusqlite::Result<()> {
    let sql =
        "SELECT bytes FROM truckflow_state WHERE job = ? AND view_name = ? ORDER BY epoch DESC, part DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([job, view])?;
    while let Some(row) = rows.next()? {
        take(row.get(0)?);
    }
    Ok(())
}

/// The messages of a job whose event time was found to be too far ahead.
fn read_in_the_future(connection: &Connection, job: &str) -> rusqlite::Result<Vec<MessageId>> {
    let sql = "SELECT topic, part, message_offset FROM truckflow_in_the_future WHERE job = ?";
    let message = |row: &rusqlite::Row<'_>| {
        let topic = Arc::from(row.get::<_, String>(0)?);
        Ok(MessageId { topic, partition: row.get(1)?, offset: row.get(2)? })
    };
    connection.prepare(sql)?.query_map([job], message)?.collect()
}

/// The views that a job has had.
fn read_views(connection: &Connection, job: &str) -> rusqlite::Result<Vec<StoredView>> {
    let sql =
        "SELECT view_name, definition, backfilled FROM truckflow_views WHERE job = ? ORDER BY view_name";
    let view = |row: &rusqlite::Row<'_>| {
        Ok(StoredView { name: row.get(0)?, definition: row.get(1)?, backfilled: row.get(2)? })
    };
    connection.prepare(sql)?.query_map([job], view)?.collect()
}

/// Puts in what another store held of a job; false if the job is there already.
fn adopt(connection: &mut Connection, adopted: &Adopted<'_>) -> rusqlite::Result<bool> {
    let Adopted { job, source, generation, views, commit } = *adopted;
    let claim = Claim { job: job.into(), generation: generation as i64 };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(BOOKKEEPING)?;
    let sql = "INSERT INTO truckflow_jobs (job, source, generation, epoch) VALUES (?, ?, ?, 0)
               ON CONFLICT (job) DO NOTHING";
    if transaction.execute(sql, params![job, source, claim.generation])? == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO truckflow_views (job, view_name, definition, backfilled) VALUES (?, ?, ?, ?)";
    for view in views {
        transaction.execute(sql, params![job, view.name, view.definition, view.backfilled])?;
    }
    Ok(write(&transaction, &claim, &commit)? && transaction.commit().map(|()| true)?)
}

/// The database at `path`, only to be looked at.
pub(super) fn look(path: &str) -> Result<Box<dyn Look>, StoreError> {
    Ok(Box::new(look::SqliteLook::open(path)?))
}

/// Writes a commit's bookkeeping; false if the generation is no longer the claim's.
fn write(connection: &Connection, claim: &Claim, commit: &Commit<'_>) -> rusqlite::Result<bool> {
    let (job, epoch) = (&claim.job, commit.epoch as i64);
    for change in commit.state {
        if change.replaces {
            let sql = "DELETE FROM truckflow_state WHERE job = ? AND view_name = ?";
            connection.prepare_cached(sql)?.execute(params![job, change.view])?;
        }
        let sql = "SELECT coalesce(max(part) + 1, 0) FROM truckflow_state
                   WHERE job = ? AND view_name = ? AND epoch = ?";
        let next: i64 =
            connection.prepare_cached(sql)?.query_row(params![job, change.view, epoch], |row| row.get(0))?;
        let sql = "INSERT INTO truckflow_state (job, view_name, epoch, part, bytes) VALUES (?, ?, ?, ?, ?)";
        let mut statement = connection.prepare_cached(sql)?;
        for (part, bytes) in (next..).zip(&change.parts) {
            statement.execute(params![job, change.view, epoch, part, &**bytes])?;
        }
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO truckflow_offsets
             (job, topic, part, view_name, role, next_offset, byte_position, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (job, topic, part, view_name, role) DO UPDATE SET
             next_offset = excluded.next_offset, byte_position = excluded.byte_position, hash = excluded.hash",
    )?;
    for offset::Row { view, role, at } in commit.offset_rows() {
        let (bytes, hash) = (at.mark.map(|mark| mark.bytes as i64), at.mark.map(offset::hash_text));
        statement.execute(params![job, &*at.topic, at.partition, view, role, at.offset, bytes, hash])?;
    }
    for TopicId { topic, id } in commit.topics {
        let sql = "INSERT INTO truckflow_topics (job, topic, topic_id) VALUES (?, ?, ?)
                   ON CONFLICT (job, topic) DO UPDATE SET topic_id = excluded.topic_id";
        connection.prepare_cached(sql)?.execute(params![job, topic, id])?;
        // What was decided of another topic of this name.
        let sql = "DELETE FROM truckflow_in_the_future WHERE job = ? AND topic = ?";
        connection.prepare_cached(sql)?.execute(params![job, topic])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO truckflow_in_the_future (job, topic, part, message_offset) VALUES (?, ?, ?, ?)",
    )?;
    for MessageId { topic, partition, offset } in commit.in_the_future {
        statement.execute(params![job, topic, partition, offset])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO truckflow_files (job, name, length) VALUES (?, ?, ?)
         ON CONFLICT (job, name) DO UPDATE SET length = excluded.length",
    )?;
    for (name, length) in commit.files {
        statement.execute(params![job, name, *length as i64])?;
    }
    let sql = "UPDATE truckflow_jobs SET epoch = ? WHERE job = ? AND generation = ?";
    Ok(connection.prepare_cached(sql)?.execute(params![epoch, job, claim.generation])? == 1)
}

/// Writes a chunk's rows; gives back those that are refused for their content.
fn put(connection: &Connection, table: &Prepared, chunk: &Chunk) -> rusqlite::Result<Vec<Refused>> {
    match chunk.operation {
        Operation::Append => insert(connection, table, &table.append, chunk),
        Operation::Insert | Operation::Update => {
            let refused = insert(connection, table, &table.upsert, chunk)?;
            // What they would have replaced no longer is.
            delete(connection, table, refused.iter().map(|refused| (refused.row, &chunk.keys[refused.row])))?;
            Ok(refused)
        }
        Operation::Delete => delete(connection, table, chunk.keys.iter().enumerate()),
    }
}

fn delete<'a>(
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

/// Inserts rows; gives back those that are refused for their content.
fn insert(
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

/// Whether a statement failed for the content of its rows alone. A trigger may have rolled the
/// whole transaction back as well: then it is more than that.
fn is_content(connection: &Connection, sql: &str, error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch, Unknown};
    let content = match error.sqlite_error_code() {
        Some(ConstraintViolation | TooBig | TypeMismatch) => true,
        // `SQLITE_ERROR` is what an expression of a column or a trigger says of a value, as of text that
        // is not JSON; and what a table says that has changed, which the statement does not fit any more.
        Some(Unknown) => connection.prepare(sql).is_ok(),
        _ => false,
    };
    content && !connection.is_autocommit()
}

/// Binds `count` rows from `first` on, and inserts them.
fn execute(
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
            Column::Real(values) => {
                // SQLite itself makes NULL of NaN.
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

fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

/// The powers of ten that a double holds exactly, as far as a scale goes.
const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The double nearest to `value / 10^scale`.
fn double(value: i64, scale: u8) -> f64 {
    match POWERS.get(usize::from(scale)) {
        // Both are exact, and a division rounds correctly.
        Some(power) if value.unsigned_abs() <= 1 << 53 => value as f64 / power,
        _ => format!("{value}e-{scale}").parse().expect("digits are a number"),
    }
}

/// What SQLite makes of a declared type: <https://sqlite.org/datatype3.html#determination_of_column_affinity>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    fn of(declared: &str, strict: bool) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if declared.is_empty() || has(&["BLOB"]) || (strict && declared == "ANY") {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// Whether a column keeps values of a type as they are. Without an affinity it keeps all, and
    /// bytes are kept by all; a text that is no number is kept by NUMERIC, which DATETIME is. A
    /// strict table takes nothing but what it declares.
    fn keeps(self, value: Type, strict: bool) -> bool {
        match value {
            Type::Bytes => !strict || self == Self::Blob,
            _ if self == Self::Blob => true,
            Type::Text => self == Self::Text,
            Type::Timestamp => matches!(self, Self::Text | Self::Numeric),
            Type::Integer => self != Self::Text,
            Type::Decimal | Type::Real => self == Self::Real || (self != Self::Text && !strict),
        }
    }
}

/// The type that a column is created with.
fn declared(column_type: Type) -> &'static str {
    match column_type {
        Type::Timestamp | Type::Text => "TEXT",
        Type::Decimal | Type::Real => "REAL",
        Type::Integer => "INTEGER",
        Type::Bytes => "BLOB",
    }
}

/// A table or view that there is.
struct Existing {
    /// `table`, `view`, `virtual` or `shadow`.
    kind: String,
    strict: bool,
    columns: Vec<ExistingColumn>,
    /// Whether the column of keys is a unique one.
    keyed: bool,
}

struct ExistingColumn {
    name: String,
    declared: String,
    /// Whether an INSERT must give it a value.
    demanded: bool,
    generated: bool,
}

fn look_up(connection: &Connection, table: &str) -> rusqlite::Result<Option<Existing>> {
    let sql = r#"SELECT type, wr, "strict" FROM pragma_table_list
                 WHERE schema = 'main' AND name = ? COLLATE NOCASE"#;
    let found = connection
        .query_row(sql, [table], |row| Ok((row.get(0)?, row.get::<_, bool>(1)?, row.get(2)?)))
        .optional()?;
    let Some((kind, without_rowid, strict)) = found else {
        return Ok(None);
    };
    let sql = r#"SELECT name, type, "notnull" AND dflt_value IS NULL, pk, hidden FROM pragma_table_xinfo(?)"#;
    let mut statement = connection.prepare(sql)?;
    let columns = statement.query_map([table], |row| {
        let (declared, key): (String, bool) = (row.get(1)?, row.get::<_, i64>(3)? > 0);
        // SQLite counts such a key up itself.
        let counted = key && !without_rowid && declared.eq_ignore_ascii_case("INTEGER");
        let generated = row.get::<_, i64>(4)? != 0;
        let demanded = row.get(2)? && !counted && !generated;
        Ok(ExistingColumn { name: row.get(0)?, declared, demanded, generated })
    })?;
    let columns = columns.collect::<rusqlite::Result<_>>()?;
    let sql = r#"SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1) AS list WHERE list."unique" AND NOT list.partial
                 AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = ?2 COLLATE NOCASE)"#;
    let keyed = connection.query_row(sql, [table, ROW_KEY], |row| row.get(0))?;
    Ok(Some(Existing { kind, strict, columns, keyed }))
}

/// The statements that make a table fit, or why it cannot be used.
fn changes(table: &Table, found: Option<&Existing>) -> Result<Vec<String>, StoreError> {
    let name = quoted(&table.name);
    let definition =
        |column: &ColumnSpec| format!("{} {}", quoted(&column.name), declared(column.column_type));
    let key_column = column(ROW_KEY, Type::Bytes);
    let key = table.keyed.then_some(&key_column);
    let index = || {
        let index = quoted(&format!("{}_{ROW_KEY}", table.name));
        format!("CREATE UNIQUE INDEX {index} ON {name} ({})", quoted(ROW_KEY))
    };
    let Some(found) = found else {
        let columns: Vec<_> = table.columns.iter().chain(key).map(definition).collect();
        let create = format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, {})", columns.join(", "));
        return Ok([create].into_iter().chain(table.keyed.then(index)).collect());
    };
    let refuse =
        |reason: String, advice: String| StoreError::Table { table: table.name.clone(), reason, advice };
    if found.kind == "view" {
        return Err(refuse("it is a view, and rows go into a table".into(), format!("DROP VIEW {name}")));
    }
    let rename = || {
        let old = quoted(&format!("{}_old", table.name));
        format!("ALTER TABLE {name} RENAME TO {old}, and a table that fits is created")
    };
    if found.kind != "table" {
        return Err(refuse(format!("it is a {} table", found.kind), rename()));
    }
    let ours: HashSet<_> =
        table.columns.iter().chain(key).map(|column| column.name.to_ascii_lowercase()).collect();
    for column in &found.columns {
        if column.demanded && !ours.contains(&column.name.to_ascii_lowercase()) {
            let reason = format!("its column {} is NOT NULL and has no default", column.name);
            return Err(refuse(reason, rename()));
        }
    }
    let mut statements = Vec::new();
    for column in table.columns.iter().chain(key) {
        let there = found.columns.iter().find(|there| there.name.eq_ignore_ascii_case(&column.name));
        let Some(there) = there else {
            statements.push(format!("ALTER TABLE {name} ADD COLUMN {}", definition(column)));
            continue;
        };
        if there.generated {
            return Err(refuse(format!("its column {} is generated", there.name), rename()));
        }
        if !Affinity::of(&there.declared, found.strict).keeps(column.column_type, found.strict) {
            let wanted = declared(column.column_type);
            let reason =
                format!("its column {} is {} and must be {wanted} or alike", there.name, there.declared);
            return Err(refuse(reason, rename()));
        }
    }
    if table.keyed && !found.keyed {
        statements.push(index());
    }
    Ok(statements)
}

/// What there is at `path`, and a connection that cannot write if there is a database.
fn look_at_file(path: &str) -> Result<(&'static str, Option<Connection>), StoreError> {
    let file = Path::new(path);
    if file.try_exists().map_err(|error| unopened(path, path, &error))? {
        OpenOptions::new().write(true).open(file).map_err(|error| unopened(path, path, &error))?;
        return Ok(("is there", Some(open_to_read(path)?)));
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => Ok(("would be created, and its folder as well", None)),
        _ => Ok(("would be created", None)),
    }
}

fn open_to_read(path: &str) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        Ok(connection)
    };
    open().map_err(|error| failure(path, &error))
}

/// The last row of each truck in `TRUCK_PARAMETER_MAP`; none if the file or the table is missing.
pub fn last_readings(path: &str) -> Result<Vec<LastReading>, StoreError> {
    let failure = |error| failure(path, &error);
    if !Path::new(path).try_exists().map_err(|error| unopened(path, path, &error))? {
        return Ok(Vec::new());
    }
    let connection = open_to_read(path)?;
    let Some(found) = look_up(&connection, "TRUCK_PARAMETER_MAP").map_err(failure)? else {
        return Ok(Vec::new());
    };
    let column = |name: &str| match found.columns.iter().any(|there| there.name.eq_ignore_ascii_case(name)) {
        true => quoted(name),
        false => "NULL".to_owned(),
    };
    // Beside max(), SQLite takes the other columns from the row that has the maximum. The rowid is
    // the id that SQLite counts up.
    let sql = format!(
        "SELECT coalesce({truck}, ''), {distance}, {fuel}, {time}, max(rowid) FROM TRUCK_PARAMETER_MAP
         GROUP BY coalesce({truck}, '') ORDER BY 1",
        truck = column("truck_id"),
        distance = column("distance_covered"),
        fuel = column("fuel_consumed"),
        time = column("timestamp"),
    );
    let mut statement = connection.prepare(&sql).map_err(failure)?;
    let mut rows = statement.query([]).map_err(failure)?;
    let mut readings = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        let number = |at| row.get::<_, Option<f64>>(at).map(Option::unwrap_or_default);
        let truck: String = row.get(0).map_err(failure)?;
        let time: Option<String> = row.get(3).map_err(failure)?;
        let Some(timestamp_micros) = time.as_deref().and_then(time::parse) else {
            return Err(StoreError::Table {
                table: "TRUCK_PARAMETER_MAP".into(),
                reason: format!("the last row of truck `{truck}` has no usable timestamp"),
                advice: "mend or delete that row, or leave out --resume-from".into(),
            });
        };
        let (distance, fuel) = (number(1).map_err(failure)?, number(2).map_err(failure)?);
        readings.push(LastReading { truck, distance, fuel, timestamp_micros });
    }
    Ok(readings)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn one_line(error: &rusqlite::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unopened(place: &str, name: &str, error: &io::Error) -> StoreError {
    StoreError::Denied {
        place: place.to_owned(),
        reason: format!("{name} cannot be opened: {error}"),
        advice: "give this user a folder that exists and a file that can be written".into(),
    }
}

/// Of a statement on a table of the job.
fn failure_on(place: &str, table: &str, error: &rusqlite::Error) -> StoreError {
    match failure(place, error) {
        StoreError::Failed { reason, .. } if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
            StoreError::Table {
                table: table.to_owned(),
                reason,
                advice: "start the job again, and it adds what is missing; correct what its triggers do"
                    .into(),
            }
        }
        other => other,
    }
}

fn failure(place: &str, error: &rusqlite::Error) -> StoreError {
    use ErrorCode::*;
    let (place, reason) = (place.to_owned(), one_line(error));
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => {
            StoreError::Busy { place, reason, advice: "end the program that writes to it".into() }
        }
        Some(ReadOnly | CannotOpen | PermissionDenied | AuthorizationForStatementDenied) => {
            StoreError::Denied {
                place,
                reason,
                advice: "give this user a folder that exists and a file that can be written".into(),
            }
        }
        Some(DiskFull) => {
            StoreError::Failed { place, reason: format!("{reason}, so free space on its disk") }
        }
        Some(NotADatabase | DatabaseCorrupt) => {
            let reason = format!("{reason}, so put a backup or another file in its place");
            StoreError::Failed { place, reason }
        }
        _ => StoreError::Failed { place, reason },
    }
}

#[cfg(test)]
mod tests {
    use dataflows::item::Mark;
    use dataflows::rows::Rows;
    use rusqlite::types::Value;
    use tempfile::TempDir;

    use super::*;
    use crate::state::offset::{Role, ViewOffset};
    use crate::store::StateChange;

    struct Place(TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> String {
            self.0.path().join("job.db").to_str().unwrap().to_owned()
        }

        /// The database, as another program sees it.
        fn raw(&self) -> Connection {
            Connection::open(self.path()).unwrap()
        }

        fn claimed(&self) -> (SqliteStore, LastCommit) {
            let mut store = SqliteStore::open(&self.path()).unwrap();
            store.patience = Duration::ZERO;
            let last = store.claim("job", "topic t").unwrap();
            (store, last)
        }

        fn prepared(&self, table: Table) -> SqliteStore {
            let (mut store, _) = self.claimed();
            store.prepare(&[table]).unwrap();
            store
        }

        fn numbers(&self) -> Vec<i64> {
            let raw = self.raw();
            let mut statement = raw.prepare("SELECT n FROM numbers ORDER BY id").unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
        }
    }

    fn numbers_table() -> Table {
        Table { name: "numbers".into(), columns: vec![column("n", Type::Integer)], keyed: false }
    }

    fn numbers(values: impl IntoIterator<Item = i64>) -> [Chunk; 1] {
        let column = Column::Integer(Arc::new(values.into_iter().collect()));
        chunk(vec![column].into())
    }

    /// Rows that are appended.
    fn chunk(rows: Rows) -> [Chunk; 1] {
        [Form { job: "job".into(), text: None, lines: [].into() }.chunks(0, rows).remove(0)]
    }

    fn commit(epoch: Epoch) -> Commit<'static> {
        Commit { epoch, ..Commit::default() }
    }

    /// The parts of the state of view `v`.
    fn parts(store: &mut SqliteStore) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        store.state("v", &mut |part| parts.push(part)).unwrap();
        parts
    }

    fn change(parts: &[&[u8]], replaces: bool) -> StateChange {
        StateChange {
            view: "v".into(),
            parts: parts.iter().map(|part| part.to_vec().into()).collect(),
            replaces,
        }
    }

    #[test]
    fn every_type_is_kept() {
        let place = Place::new();
        let columns = vec![
            column("timestamp", Type::Timestamp),
            column("decimal", Type::Decimal),
            column("real", Type::Real),
            column("integer", Type::Integer),
            column("truck", Type::Text),
            column("text", Type::Text),
            column("bytes", Type::Bytes),
        ];
        let mut store = place.prepared(Table { name: "all".into(), columns, keyed: false });
        let rows: Rows = vec![
            Column::Timestamp(Arc::new(vec![1_681_088_547_000_020, NULL, -1])),
            Column::Decimal { scale: 9, values: Arc::new(vec![100_000_000, -1, i64::MAX]) },
            Column::Real(Arc::new(vec![0.1, f64::NAN, -2e300])),
            Column::Integer(Arc::new(vec![i64::MIN + 1, 0, i64::MAX])),
            Column::Name { names: Arc::new(vec!["a'b".into(), "".into()]), index: Arc::new(vec![0, 1, 0]) },
            Column::Text(Arc::new(["1", "", "\u{e9}"].map(|text| Some(text.into())).to_vec())),
            Column::Bytes(Arc::new(vec![Some(vec![0, 255]), None, Some(vec![])])),
        ]
        .into();
        store.begin().unwrap();
        assert_eq!(store.insert(&chunk(rows)).unwrap(), []);
        store.commit(&commit(1)).unwrap();

        let raw = place.raw();
        let mut statement = raw.prepare(r#"SELECT * FROM "all" ORDER BY id"#).unwrap();
        let rows: Vec<Vec<Value>> = statement
            .query_map([], |row| (0..8).map(|at| row.get(at)).collect())
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let text = |text: &str| Value::Text(text.into());
        let expected = vec![
            vec![
                Value::Integer(1),
                text("2023-04-10 01:02:27.000020"),
                Value::Real(0.1),
                Value::Real(0.1),
                Value::Integer(i64::MIN + 1),
                text("a'b"),
                text("1"),
                Value::Blob(vec![0, 255]),
            ],
            vec![
                Value::Integer(2),
                Value::Null,
                Value::Real(-1e-9),
                Value::Null,
                Value::Integer(0),
                text(""),
                text(""),
                Value::Null,
            ],
            vec![
                Value::Integer(3),
                text("1969-12-31 23:59:59.999999"),
                Value::Real(9_223_372_036.854_776),
                Value::Real(-2e300),
                Value::Integer(i64::MAX),
                text("a'b"),
                text("\u{e9}"),
                Value::Blob(vec![]),
            ],
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_decimal_is_the_nearest_double() {
        for value in [0, 1, -7, 123_456_789, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN] {
            for scale in [0, 1, 9, 17, 18, 19, 40] {
                let expected: f64 = format!("{value}e-{scale}").parse().unwrap();
                assert_eq!(double(value, scale), expected, "{value} / 10^{scale}");
            }
        }
    }

    #[test]
    fn a_kill_leaves_the_last_commit() {
        let place = Place::new();
        let at = |offset| {
            let mark = Some(Mark { bytes: offset as u64, hash: u128::MAX - offset as u128 });
            NextOffset { topic: "t".into(), partition: 3, offset, mark }
        };
        let of_view = |offset| ViewOffset { view: "v".into(), role: Role::Filled, at: at(offset) };
        let mut store = place.prepared(numbers_table());
        for (epoch, length) in [(1, 10), (2, 20)] {
            store.begin().unwrap();
            store.insert(&numbers([epoch])).unwrap();
            let files = [("a.csv".to_owned(), length)];
            let state = [change(&[&[epoch as u8]], false)];
            let topics = [TopicId { topic: "t".into(), id: epoch.to_string() }];
            let commit = Commit {
                epoch: epoch as u64,
                offsets: &[at(epoch * 100)],
                view_offsets: &[of_view(epoch)],
                topics: &topics,
                files: &files,
                state: &state,
                ..Commit::default()
            };
            store.commit(&commit).unwrap();
        }
        store.begin().unwrap();
        store.insert(&numbers(3..1000)).unwrap();
        drop(store);

        assert_eq!(place.numbers(), [1, 2]);
        let mut store = SqliteStore::open(&place.path()).unwrap();
        let last = store.claim("job", "another topic").unwrap();
        assert_eq!((last.generation, last.epoch, &*last.source), (2, 2, "topic t"));
        assert_eq!((last.offsets, last.view_offsets), (vec![at(200)], vec![of_view(2)]));
        assert_eq!(last.topics, [TopicId { topic: "t".into(), id: "2".into() }]);
        assert_eq!(last.files, [("a.csv".to_owned(), 20)]);
        assert_eq!(parts(&mut store), [[2], [1]]);
        assert_eq!(store.committed_epoch().unwrap(), 2);
    }

    #[test]
    fn what_is_abandoned_can_be_done_again() {
        let place = Place::new();
        let mut store = place.prepared(numbers_table());
        store.begin().unwrap();
        store.insert(&numbers([1])).unwrap();
        store.abandon();
        store.begin().unwrap();
        store.insert(&numbers(10..60)).unwrap();
        store.commit(&commit(1)).unwrap();
        assert_eq!(place.numbers(), (10..60).collect::<Vec<_>>());
    }

    #[test]
    fn an_older_generation_is_fenced() {
        let place = Place::new();
        let mut store = place.prepared(numbers_table());
        store.begin().unwrap();
        store.insert(&numbers([1])).unwrap();
        store.commit(&commit(1)).unwrap();
        place.raw().execute("UPDATE truckflow_jobs SET generation = generation + 1", []).unwrap();
        assert!(matches!(store.begin(), Err(StoreError::Fenced { .. })));
        assert!(matches!(store.begin(), Err(StoreError::Fenced { .. })));
        assert_eq!(store.committed_epoch().unwrap(), 1);
    }

    #[test]
    fn the_generation_is_checked_in_the_commit() {
        let place = Place::new();
        let mut store = place.prepared(numbers_table());
        store.begin().unwrap();
        store.insert(&numbers([1])).unwrap();
        store.claim.as_mut().unwrap().generation -= 1;
        assert!(matches!(store.commit(&commit(1)), Err(StoreError::Fenced { .. })));
        assert!(place.numbers().is_empty());
    }

    #[test]
    fn a_second_instance_is_refused_until_the_first_ends() {
        let place = Place::new();
        let (first, _) = place.claimed();
        let mut second = SqliteStore::open(&place.path()).unwrap();
        second.patience = Duration::ZERO;
        let error = second.claim("job", "topic t").unwrap_err();
        assert!(matches!(&error, StoreError::Taken { job, .. } if job == "job"), "{error}");
        drop(first);
        assert_eq!(second.claim("job", "topic t").unwrap().generation, 2);
    }

    #[test]
    fn a_lock_that_is_held_moves_nothing() {
        let place = Place::new();
        let mut store = place.prepared(numbers_table());
        let raw = place.raw();
        raw.execute_batch("BEGIN IMMEDIATE").unwrap();
        store.connect(false).unwrap().busy_timeout(Duration::ZERO).unwrap();
        let error = store.begin().unwrap_err();
        assert!(error.is_retryable(), "{error}");
        raw.execute_batch("ROLLBACK").unwrap();
        store.begin().unwrap();
    }

    #[test]
    fn a_narrow_table_is_extended_and_its_rows_stay() {
        let place = Place::new();
        place
            .raw()
            .execute_batch(
                "CREATE TABLE TRUCK_PARAMETER_MAP (ID INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
                     Timestamp DATETIME, distance_covered FLOAT, note VARCHAR(9) NOT NULL DEFAULT 'x');
                 INSERT INTO TRUCK_PARAMETER_MAP VALUES (7, '2023-04-10 01:02:27', 1.5, 'old');",
            )
            .unwrap();
        let columns = vec![
            column("timestamp", Type::Timestamp),
            column("distance_covered", Type::Decimal),
            column("truck_id", Type::Text),
        ];
        let table = Table { name: "TRUCK_PARAMETER_MAP".into(), columns, keyed: false };
        let mut store = place.prepared(table.clone());
        let row: Rows = vec![
            Column::Timestamp(Arc::new(vec![0])),
            Column::Decimal { scale: 1, values: Arc::new(vec![25]) },
            Column::Text(Arc::new(vec![Some("t1".into())])),
        ]
        .into();
        store.begin().unwrap();
        assert_eq!(store.insert(&chunk(row)).unwrap(), []);
        store.commit(&commit(1)).unwrap();
        // A second time there is nothing to do.
        store.prepare(&[table]).unwrap();

        let rows: Vec<String> = place
            .raw()
            .prepare("SELECT concat_ws('|', id, timestamp, distance_covered, note, truck_id) FROM TRUCK_PARAMETER_MAP")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert_eq!(rows, ["7|2023-04-10 01:02:27|1.5|old", "8|1970-01-01 00:00:00.000000|2.5|x|t1"]);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (sql, reason, advice) in [
            ("CREATE VIEW numbers AS SELECT 1 AS n", "view", "DROP VIEW \"numbers\""),
            ("CREATE TABLE numbers (n INT, own TEXT NOT NULL)", "own is NOT NULL", "ALTER TABLE"),
            (
                "CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT) WITHOUT ROWID",
                "id is NOT NULL",
                "RENAME",
            ),
            ("CREATE TABLE numbers (n VARCHAR(20))", "n is VARCHAR(20)", "RENAME"),
            ("CREATE TABLE numbers (a INT, n INT AS (a + 1))", "generated", "RENAME"),
        ] {
            let place = Place::new();
            place.raw().execute_batch(sql).unwrap();
            let (mut store, _) = place.claimed();
            let error = store.prepare(&[numbers_table()]).unwrap_err();
            let StoreError::Table { table, reason: said, advice: advised } = error else {
                panic!("{sql}: {error}")
            };
            assert_eq!(table, "numbers");
            assert!(said.contains(reason) && advised.contains(advice), "{sql}: {said}; {advised}");
        }
    }

    #[test]
    fn a_declared_type_keeps_what_its_affinity_keeps() {
        let keeps = |declared, value, strict| Affinity::of(declared, strict).keeps(value, strict);
        for (declared, value) in [
            ("DATETIME", Type::Timestamp),
            ("VARCHAR(32)", Type::Timestamp),
            ("FLOAT", Type::Decimal),
            ("DOUBLE PRECISION", Type::Real),
            ("DECIMAL(10,2)", Type::Decimal),
            ("INT", Type::Decimal),
            ("BIGINT", Type::Integer),
            ("", Type::Integer),
            ("TEXT", Type::Bytes),
        ] {
            assert!(keeps(declared, value, false), "{declared} {value:?}");
        }
        for (declared, value) in [
            ("TEXT", Type::Decimal),
            ("CHAR(3)", Type::Integer),
            ("INTEGER", Type::Timestamp),
            ("DATETIME", Type::Text),
            ("FLOAT", Type::Text),
        ] {
            assert!(!keeps(declared, value, false), "{declared} {value:?}");
        }
        assert!(keeps("ANY", Type::Text, true) && !keeps("INT", Type::Real, true));
    }

    #[test]
    fn only_the_refused_rows_are_missing() {
        let place = Place::new();
        place
            .raw()
            .execute_batch("CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT UNIQUE ON CONFLICT ROLLBACK CHECK (n < 90))")
            .unwrap();
        let mut store = place.prepared(numbers_table());
        store.begin().unwrap();
        let refused = store.insert(&numbers((0..100).map(|n| if n == 20 { 5 } else { n }))).unwrap();
        store.commit(&commit(1)).unwrap();
        let rows: Vec<_> = refused.iter().map(|refused| refused.row).collect();
        assert_eq!(rows, [20].into_iter().chain(90..100).collect::<Vec<_>>());
        assert!(refused[0].reason.contains("UNIQUE") && refused[1].reason.contains("CHECK"), "{refused:?}");
        assert_eq!(place.numbers(), (0..90).filter(|&n| n != 20).collect::<Vec<_>>());
    }

    #[test]
    fn a_value_that_an_expression_of_the_table_cannot_take_is_refused_with_its_row() {
        let place = Place::new();
        place
            .raw()
            .execute_batch(
                "CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT,
                     j TEXT AS (json_extract(iif(n = 50, '{', '{}'), '$.a')) STORED)",
            )
            .unwrap();
        let mut store = place.prepared(numbers_table());
        store.begin().unwrap();
        let refused = store.insert(&numbers(0..100)).unwrap();
        store.commit(&commit(1)).unwrap();
        let [refused] = refused.as_slice() else { panic!("{refused:?}") };
        assert_eq!((refused.row, &*refused.table), (50, "numbers"));
        assert!(refused.reason.contains("JSON"), "{refused:?}");
        assert_eq!(place.numbers().len(), 99);
    }

    #[test]
    fn a_table_that_was_changed_is_named() {
        let place = Place::new();
        let mut store = place.prepared(numbers_table());
        place.raw().execute_batch("ALTER TABLE numbers RENAME COLUMN n TO m").unwrap();
        store.begin().unwrap();
        let error = store.insert(&numbers([1])).unwrap_err();
        assert!(matches!(&error, StoreError::Table { table, .. } if table == "numbers"), "{error}");
        assert!(error.to_string().contains("start the job again"), "{error}");
    }

    #[test]
    fn state_is_in_order_and_a_snapshot_replaces_it() {
        let place = Place::new();
        let (mut store, _) = place.claimed();
        let mut commit = |epoch, state: &[StateChange]| {
            store.begin().unwrap();
            store.commit(&Commit { epoch, state, ..Commit::default() }).unwrap();
            parts(&mut store).concat()
        };
        assert_eq!(commit(9, &[change(&[b"a", b"b"], false), change(&[b"c"], false)]), b"cba");
        assert_eq!(commit(10, &[change(&[b"d"], false)]), b"dcba");
        assert_eq!(commit(11, &[change(&[b"e", b"f"], true)]), b"fe");
        assert_eq!(commit(12, &[change(&[b"g"], false)]), b"gfe");
    }

    #[test]
    fn a_check_changes_nothing() {
        let place = Place::new();
        let mut store = SqliteStore::open(&place.path()).unwrap();
        let said = |store: &mut SqliteStore| -> Vec<_> {
            let findings = store.check(&[numbers_table()]);
            findings.into_iter().map(|finding| finding.result.unwrap_or_else(|error| error)).collect()
        };
        assert_eq!(said(&mut store)[0], "would be created");
        assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0);

        place.raw().execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE numbers (x)").unwrap();
        let before = fs::read(place.path()).unwrap();
        let findings = said(&mut store);
        assert_eq!(
            findings,
            ["is there", "would be made to fit: ALTER TABLE \"numbers\" ADD COLUMN \"n\" INTEGER"]
        );
        assert_eq!(fs::read(place.path()).unwrap(), before);

        fs::write(place.path(), "this is no database, but a text of some length").unwrap();
        assert!(said(&mut store)[1].contains("not a database"));
    }

    #[test]
    fn last_readings_are_those_of_the_highest_id() {
        let place = Place::new();
        assert_eq!(last_readings(&place.path()).unwrap(), []);
        assert!(!Path::new(&place.path()).exists());
        let reading = |truck: &str, distance, micros| LastReading {
            truck: truck.into(),
            distance,
            fuel: 0.5,
            timestamp_micros: micros,
        };
        place
            .raw()
            .execute_batch(
                "CREATE TABLE TRUCK_PARAMETER_MAP
                     (id INTEGER PRIMARY KEY, timestamp TEXT, distance_covered REAL, fuel_consumed REAL);
                 INSERT INTO TRUCK_PARAMETER_MAP VALUES
                     (2, '1970-01-01 00:00:02', 9, 0.5), (1, '1970-01-01 00:00:09', 1, 1);",
            )
            .unwrap();
        assert_eq!(last_readings(&place.path()).unwrap(), [reading("", 9.0, 2_000_000)]);
        place
            .raw()
            .execute_batch(
                "ALTER TABLE TRUCK_PARAMETER_MAP ADD COLUMN truck_id TEXT;
                 INSERT INTO TRUCK_PARAMETER_MAP VALUES
                     (3, '1970-01-01 00:00:03.000001', 7, 0.5, 'b'), (4, '1970-01-01 00:00:04', 8, 0.5, 'a'),
                     (5, '1970-01-01 00:00:01', 6, 0.5, 'b')",
            )
            .unwrap();
        let expected =
            [reading("", 9.0, 2_000_000), reading("a", 8.0, 4_000_000), reading("b", 6.0, 1_000_000)];
        assert_eq!(last_readings(&place.path()).unwrap(), expected);
    }
}
