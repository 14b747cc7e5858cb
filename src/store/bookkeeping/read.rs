//! Reads the data of a job.

use dataflows::Epoch;
use dataflows::item::{NextOffset, ReadingId, TopicId};

use super::session::{Lock, Session};
use super::statement::{Reads, Row, Statement, Value};
use super::tables::{CREATED, PIECES};
use crate::state::offset::FirstOffset;
use crate::state::{Phase, StoredView};
use crate::store::commit::LastCommit;
use crate::store::error::StoreError;
use crate::store::offset;
use crate::store::table::StoredTable;

/// Pieces of state per query.
const STATE_PAGE: usize = 8;

fn number(row: &Row, index: usize) -> i64 {
    row.number(index).unwrap_or_default()
}

/// The committed data of a job; `None` if there is no such job.
pub(in crate::store) fn last_commit(
    session: &mut dyn Session,
    job: &str,
) -> Result<Option<LastCommit>, StoreError> {
    let mut of_job = |sql: &'static str| session.fetch(&Statement::new(sql, [job.into()]));
    let jobs = of_job("SELECT generation, epoch, source FROM truckflow_jobs WHERE job = ?")?;
    let Some(last) = jobs.first() else { return Ok(None) };
    let offsets = of_job(
        "SELECT COALESCE(long_topic, topic), part, next_offset, byte_position, hash, view_name, role \
         FROM truckflow_offsets WHERE job = ? ORDER BY topic, part, view_name, role",
    )?;
    let topics = of_job("SELECT topic, topic_id FROM truckflow_topics WHERE job = ? ORDER BY topic")?;
    let begun = of_job(
        "SELECT topic, part, first_offset, start FROM truckflow_origins WHERE job = ? ORDER BY topic, part",
    )?;
    let files = of_job("SELECT name, length FROM truckflow_files WHERE job = ? ORDER BY name")?;
    let offset = |row: &Row| NextOffset {
        topic: row.text(0).into(),
        partition: number(row, 1) as i32,
        offset: number(row, 2),
        mark: offset::mark(row.number(3), Some(&row.text(4))),
    };
    let mut last = LastCommit {
        generation: number(last, 0) as u64,
        epoch: number(last, 1) as Epoch,
        source: last.text(2),
        topics: topics.iter().map(|row| TopicId { topic: row.text(0).into(), id: row.text(1) }).collect(),
        begun: begun.iter().map(first_offset).collect(),
        files: files.iter().map(|row| (row.text(0), number(row, 1) as u64)).collect(),
        ..LastCommit::default()
    };
    for row in &offsets {
        last.add_offset(row.text(5), &row.text(6), offset(row));
    }
    Ok(Some(last))
}

/// The committed data of a job that exists.
pub(in crate::store) fn committed(session: &mut dyn Session, job: &str) -> Result<LastCommit, StoreError> {
    last_commit(session, job)?.ok_or_else(|| lost(session))
}

/// The error that the row of a job that exists is not there.
fn lost(session: &dyn Session) -> StoreError {
    StoreError::Failed {
        place: session.place().to_owned(),
        reason: "truckflow_jobs does not contain the job".into(),
    }
}

fn first_offset(row: &Row) -> FirstOffset {
    FirstOffset {
        topic: row.text(0).into(),
        partition: number(row, 1) as i32,
        offset: number(row, 2),
        start: (!row.is_null(3)).then(|| row.text(3)),
    }
}

/// The last committed epoch of a job that exists.
pub(in crate::store) fn committed_epoch(session: &mut dyn Session, job: &str) -> Result<Epoch, StoreError> {
    let sql = "SELECT epoch FROM truckflow_jobs WHERE job = ?";
    let epoch = session.fetch(&Statement::new(sql, [job.into()]))?.first().and_then(|row| row.number(0));
    epoch.map(|epoch| epoch as Epoch).ok_or_else(|| lost(session))
}

/// Whether there are other jobs.
pub(in crate::store) fn has_other_jobs(session: &mut dyn Session, job: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM truckflow_jobs WHERE job <> ? LIMIT 1";
    Ok(!session.fetch(&Statement::new(sql, [job.into()]))?.is_empty())
}

/// The views that a job has had, by name.
pub(in crate::store) fn views(session: &mut dyn Session, job: &str) -> Result<Vec<StoredView>, StoreError> {
    let sql = "SELECT view_name, definition, state FROM truckflow_views WHERE job = ? ORDER BY view_name";
    let view = |row: &Row| StoredView {
        name: row.text(0),
        definition: row.text(1),
        phase: Phase::ALL.into_iter().find(|phase| phase.name() == row.text(2)).unwrap_or(Phase::Complete),
    };
    Ok(session.fetch(&Statement::new(sql, [job.into()]))?.iter().map(view).collect())
}

/// The tables that a job writes to, by name.
pub(in crate::store) fn tables(session: &mut dyn Session, job: &str) -> Result<Vec<StoredTable>, StoreError> {
    let sql = "SELECT name, view_name, origin, columns FROM truckflow_tables WHERE job = ? ORDER BY name";
    let table = |row: &Row| StoredTable {
        name: row.text(0),
        view: row.text(1),
        is_created: row.text(2) == CREATED,
        columns: row.text(3).split(',').map(str::to_owned).collect(),
    };
    Ok(session.fetch(&Statement::new(sql, [job.into()]))?.iter().map(table).collect())
}

/// Another job that writes to a table, if there is one.
pub(in crate::store) fn other_writer(
    session: &mut dyn Session,
    job: &str,
    table: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT job FROM truckflow_tables WHERE name = ? AND job <> ? ORDER BY job LIMIT 1";
    Ok(session.fetch(&Statement::new(sql, [table.into(), job.into()]))?.first().map(|row| row.text(0)))
}

/// The readings of a job whose event time was too far ahead.
pub(in crate::store) fn in_the_future(
    session: &mut dyn Session,
    job: &str,
) -> Result<Vec<ReadingId>, StoreError> {
    let sql = "SELECT COALESCE(long_topic, topic), part, message_offset, place FROM truckflow_in_the_future \
               WHERE job = ?";
    let message = |row: &Row| ReadingId {
        topic: row.text(0).into(),
        partition: number(row, 1) as i32,
        offset: number(row, 2),
        place: number(row, 3) as u32,
    };
    Ok(session.fetch(&Statement::new(sql, [job.into()]))?.iter().map(message).collect())
}

/// The views of a job that have state, by name.
pub(in crate::store) fn with_state(session: &mut dyn Session, job: &str) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT DISTINCT view_name FROM truckflow_state WHERE job = ? ORDER BY view_name";
    Ok(session.fetch(&Statement::new(sql, [job.into()]))?.iter().map(|row| row.text(0)).collect())
}

/// Passes the parts of a view's state to `take`, newest first.
pub(in crate::store) fn state(
    session: &mut dyn Session,
    job: &str,
    view: &str,
    lock: Lock,
    take: &mut dyn FnMut(Vec<u8>),
) -> Result<(), StoreError> {
    let lock = lock.sql(session);
    let sql = format!(
        "SELECT epoch, part, LENGTH(bytes) FROM truckflow_state WHERE job = ? AND view_name = ? \
         ORDER BY epoch DESC, part DESC{lock}"
    );
    let pieces = session.fetch(&Statement::new(sql, [job.into(), view.into()]))?;
    // Pieces of a part, last first, until its first piece is read.
    let mut rest: Vec<Vec<u8>> = Vec::new();
    // In pages: everything at once may exceed the timeout of a statement, and takes much memory. Pieces are selected by
    // their full keys, because a range would also read the pieces before it.
    for page in pieces.chunks(STATE_PAGE) {
        let keys = vec!["epoch = ? AND part = ?"; page.len()].join(" OR ");
        let sql = format!(
            "SELECT part, bytes FROM truckflow_state WHERE job = ? AND view_name = ? AND ({keys}) \
             ORDER BY epoch DESC, part DESC{lock}"
        );
        let of_page = page.iter().flat_map(|piece| [number(piece, 0).into(), number(piece, 1).into()]);
        let values: Vec<Value<'_>> = [job.into(), view.into()].into_iter().chain(of_page).collect();
        let reads = Reads::Bytes(page.iter().map(|piece| number(piece, 2) as usize).sum());
        for mut row in session.fetch(&Statement { reads, ..Statement::new(sql, values) })? {
            let bytes = row.0[1].take().unwrap_or_default();
            if number(&row, 0) % PIECES as i64 != 0 {
                rest.push(bytes);
            } else if rest.is_empty() {
                take(bytes);
            } else {
                rest.push(bytes);
                rest.reverse();
                take(std::mem::take(&mut rest).concat());
            }
        }
    }
    Ok(())
}
