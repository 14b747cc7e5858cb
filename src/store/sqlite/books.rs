//! The bookkeeping tables, `truckflow_*`.

use std::sync::Arc;

use dataflows::Epoch;
use dataflows::item::{MessageId, NextOffset, TopicId};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::state::StoredView;
use crate::store::commit::{Adopted, Commit, LastCommit};
use crate::store::offset;

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

/// The statements that create missing bookkeeping tables.
pub(super) const BOOKKEEPING: &str = "
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
pub(super) const BOOKS: [&str; 7] = [
    "truckflow_state",
    "truckflow_views",
    "truckflow_files",
    "truckflow_in_the_future",
    "truckflow_topics",
    "truckflow_offsets",
    "truckflow_jobs",
];

/// The claimed job.
pub(super) struct Claim {
    pub(super) job: Arc<str>,
    pub(super) generation: i64,
}

/// Raises the generation of the job and reads its last commit.
pub(super) fn raise_generation(
    connection: &mut Connection,
    job: &str,
    source: &str,
) -> rusqlite::Result<LastCommit> {
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

/// The committed data of a job; `None` if there is no such job.
pub(super) fn read_last(connection: &Connection, job: &str) -> rusqlite::Result<Option<LastCommit>> {
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
    last.topics = connection
        .prepare("SELECT topic, topic_id FROM truckflow_topics WHERE job = ? ORDER BY topic")?
        .query_map([job], |row| Ok(TopicId { topic: row.get::<_, String>(0)?.into(), id: row.get(1)? }))?
        .collect::<rusqlite::Result<_>>()?;
    last.files = connection
        .prepare("SELECT name, length FROM truckflow_files WHERE job = ? ORDER BY name")?
        .query_map([job], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(last))
}

/// Passes the parts of a view's state to `take`, newest first.
pub(super) fn read_state(
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

/// The messages of a job whose event time was too far ahead.
pub(super) fn read_in_the_future(connection: &Connection, job: &str) -> rusqlite::Result<Vec<MessageId>> {
    let sql = "SELECT topic, part, message_offset FROM truckflow_in_the_future WHERE job = ?";
    let message = |row: &rusqlite::Row<'_>| {
        let topic = Arc::from(row.get::<_, String>(0)?);
        Ok(MessageId { topic, partition: row.get(1)?, offset: row.get(2)? })
    };
    connection.prepare(sql)?.query_map([job], message)?.collect()
}

/// The views that a job has had.
pub(super) fn read_views(connection: &Connection, job: &str) -> rusqlite::Result<Vec<StoredView>> {
    let sql =
        "SELECT view_name, definition, backfilled FROM truckflow_views WHERE job = ? ORDER BY view_name";
    let view = |row: &rusqlite::Row<'_>| {
        Ok(StoredView { name: row.get(0)?, definition: row.get(1)?, backfilled: row.get(2)? })
    };
    connection.prepare(sql)?.query_map([job], view)?.collect()
}

/// Writes a job from another store; false if the job already exists.
pub(super) fn adopt(connection: &mut Connection, adopted: &Adopted<'_>) -> rusqlite::Result<bool> {
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

/// Writes everything of a commit except rows; false if the generation is no longer that of the claim.
pub(super) fn write(connection: &Connection, claim: &Claim, commit: &Commit<'_>) -> rusqlite::Result<bool> {
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
        // Decisions about an earlier topic of this name.
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
