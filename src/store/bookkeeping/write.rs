//! Writes the data of a job in an open transaction.

use std::collections::BTreeMap;

use dataflows::Epoch;
use dataflows::item::TopicId;

use super::read;
use super::session::{Lock, Session};
use super::sql::{Existing, insert};
use super::statement::{Statement, Value, topic_key};
use super::tables::{
    CREATED, FILES, FOUND, IN_THE_FUTURE, JOBS, OF_JOBS, OFFSETS, ORIGINS, PIECES, STATE, TABLES, TOPICS,
    Table, VIEWS,
};
use crate::state::StoredView;
use crate::store::commit::{Adopted, Commit, LastCommit, Replacement, StateChange};
use crate::store::error::StoreError;
use crate::store::offset;
use crate::store::table::{self, StoredTable, new_table};

/// State parts are split into pieces of at most this, or of what fits into a value.
const STATE_PIECE: usize = 4 << 20;

/// Fails with [`StoreError::Fenced`] if the generation of the job is another one.
pub(in crate::store) fn check_generation(
    session: &mut dyn Session,
    job: &str,
    generation: u64,
    lock: Lock,
) -> Result<(), StoreError> {
    check_turn(session, job, generation, None, lock)
}

/// Fails with [`StoreError::Fenced`] if the generation of the job is another one, or if `previous` is not its last
/// committed epoch.
fn check_turn(
    session: &mut dyn Session,
    job: &str,
    generation: u64,
    previous: Option<Epoch>,
    lock: Lock,
) -> Result<(), StoreError> {
    match read_job(session, job, lock)? {
        Some((found, epoch))
            if found == generation as i64
                && previous.is_none_or(|previous| epoch == Some(previous as i64)) =>
        {
            Ok(())
        }
        _ => Err(StoreError::Fenced { job: job.to_owned(), place: session.place().to_owned() }),
    }
}

/// The generation and the last committed epoch of a job; `None` if there is no such job.
fn read_job(
    session: &mut dyn Session,
    job: &str,
    lock: Lock,
) -> Result<Option<(i64, Option<i64>)>, StoreError> {
    let lock = lock.sql(session);
    let sql = format!("SELECT generation, epoch FROM truckflow_jobs WHERE job = ?{lock}");
    let found = session.fetch(&Statement::new(sql, [job.into()]))?;
    Ok(found.first().and_then(|row| Some((row.number(0)?, row.number(1)))))
}

/// Inserts the job or raises its generation, and returns its last commit. Its source is that of the first claim, or of
/// the last one before its first commit.
pub(in crate::store) fn raise_generation(
    session: &mut dyn Session,
    job: &str,
    source: &str,
) -> Result<LastCommit, StoreError> {
    match read_job(session, job, Lock::UntilCommit)? {
        Some((generation, _)) => {
            // A job that has committed nothing, as its first input could not be opened, may have another one.
            let sql = "UPDATE truckflow_jobs SET generation = ?, \
                       source = CASE WHEN epoch = 0 THEN ? ELSE source END WHERE job = ?";
            session.execute(&Statement::new(sql, [(generation + 1).into(), source.into(), job.into()]))?;
        }
        None => put_job(session, job, source, 1)?,
    }
    read::committed(session, job)
}

fn put_job(session: &mut dyn Session, job: &str, source: &str, generation: u64) -> Result<(), StoreError> {
    put(session, &JOBS, Existing::Fail, [vec![job.into(), source.into(), generation.into(), 0.into()]])
}

/// Writes a job from another store; fails if the job exists.
pub(in crate::store) fn adopt(session: &mut dyn Session, adopted: &Adopted<'_>) -> Result<(), StoreError> {
    let Adopted { job, source, generation, views, commit } = *adopted;
    if read_job(session, job, Lock::UntilCommit)?.is_some() {
        return Err(StoreError::JobExists { job: job.to_owned(), place: session.place().to_owned() });
    }
    put_job(session, job, source, generation)?;
    for view in views {
        put_view(session, job, view)?;
    }
    put_commit(session, job, generation, &commit)
}

/// Removes all data of a job except rows of its views.
pub(in crate::store) fn forget(session: &mut dyn Session, job: &str) -> Result<(), StoreError> {
    OF_JOBS.iter().rev().try_for_each(|table| {
        let sql = format!("DELETE FROM {} WHERE job = ?", table.name);
        session.execute(&Statement::new(sql, [job.into()])).map(drop)
    })
}

/// Inserts or updates the entry of a view.
pub(in crate::store) fn put_view(
    session: &mut dyn Session,
    job: &str,
    view: &StoredView,
) -> Result<(), StoreError> {
    let phase = view.phase.name();
    let row = vec![job.into(), view.name.as_str().into(), view.definition.as_str().into(), phase.into()];
    put(session, &VIEWS, Existing::Update, [row])
}

/// Records the tables that a job writes to: `is_new` says which of them it has just created. Of the others, columns that
/// it has added are added to those that it has created.
pub(in crate::store) fn put_tables(
    session: &mut dyn Session,
    job: &str,
    tables: &[(&table::Table, bool)],
) -> Result<(), StoreError> {
    let known = read::tables(session, job)?;
    for (table, is_new) in tables {
        let known = known.iter().find(|known| known.name == table.name && !is_new);
        let mut columns: Vec<String> = known.map_or_else(Vec::new, |known| known.columns.clone());
        for column in table.columns.iter().map(|column| &*column.name) {
            if !columns.iter().any(|known| known.eq_ignore_ascii_case(column)) {
                columns.push(column.to_owned());
            }
        }
        let stored = StoredTable {
            name: table.name.clone(),
            view: table.view.clone(),
            // It has the rows of the view for which it was created.
            is_created: known.map_or(*is_new, |known| known.is_created && known.view == table.view),
            columns,
        };
        if known != Some(&stored) {
            put_table(session, job, &stored)?;
        }
    }
    Ok(())
}

fn put_table(session: &mut dyn Session, job: &str, table: &StoredTable) -> Result<(), StoreError> {
    let origin = if table.is_created { CREATED } else { FOUND };
    let row = vec![
        job.into(),
        table.name.as_str().into(),
        table.view.as_str().into(),
        origin.into(),
        table.columns.join(",").into(),
    ];
    put(session, &TABLES, Existing::Update, [row])
}

/// Removes all data of a view.
pub(in crate::store) fn forget_view(
    session: &mut dyn Session,
    job: &str,
    view: &str,
) -> Result<(), StoreError> {
    for table in [&OFFSETS, &STATE, &VIEWS, &TABLES] {
        let sql = format!("DELETE FROM {} WHERE job = ? AND view_name = ?", table.name);
        session.execute(&Statement::new(sql, [job.into(), view.into()]))?;
    }
    let sql = "SELECT name FROM truckflow_files WHERE job = ?";
    for name in session.fetch(&Statement::new(sql, [job.into()]))?.iter().map(|row| row.text(0)) {
        if name.split('/').next() == Some(view) {
            let sql = "DELETE FROM truckflow_files WHERE job = ? AND name = ?";
            session.execute(&Statement::new(sql, [job.into(), name.into()]))?;
        }
    }
    Ok(())
}

/// Forgets the rows, state and definition of a view, for those that replace them: the rest of the commit writes them.
fn replace(session: &mut dyn Session, job: &str, replacement: &Replacement<'_>) -> Result<(), StoreError> {
    let Replacement { view, filled, table } = *replacement;
    let tables = read::tables(session, job)?;
    for forgotten in [&view.name, filled] {
        forget_view(session, job, forgotten)?;
    }
    put_view(session, job, view)?;
    let Some(name) = table else { return Ok(()) };
    let filled = new_table(name);
    let of_filled = tables.into_iter().find(|table| table.name == filled);
    let columns = of_filled.map_or_else(Vec::new, |table| table.columns);
    let table = StoredTable { name: name.to_owned(), view: view.name.clone(), is_created: true, columns };
    put_table(session, job, &table)
}

/// Writes everything of a commit except rows of views. Fails with [`StoreError::Fenced`] if the job has another
/// generation, or if the last committed epoch is not the one before.
pub(in crate::store) fn put_commit(
    session: &mut dyn Session,
    job: &str,
    generation: u64,
    commit: &Commit<'_>,
) -> Result<(), StoreError> {
    check_turn(session, job, generation, commit.previous, Lock::UntilCommit)?;
    if let Some(replacement) = &commit.replacement {
        replace(session, job, replacement)?;
    }
    // The number of the next part of each view.
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for change in commit.state {
        let first = next.entry(&change.view).or_default();
        put_state(session, job, commit.epoch, change, *first)?;
        *first += change.parts.len();
    }
    let offsets = commit.offset_rows().map(|offset::Row { view, role, at }| {
        let (topic, long_topic) = topic_key(&at.topic);
        vec![
            job.into(),
            Value::Text(topic),
            at.partition.into(),
            view.into(),
            role.into(),
            at.offset.into(),
            at.mark.map(|mark| mark.bytes).into(),
            at.mark.map(offset::hash_text).into(),
            long_topic.into(),
        ]
    });
    put(session, &OFFSETS, Existing::Update, offsets)?;
    for TopicId { topic, id } in commit.topics {
        // Decisions about an earlier topic of this name.
        let sql = "DELETE FROM truckflow_in_the_future WHERE job = ? AND topic = ? AND EXISTS \
                   (SELECT 1 FROM truckflow_topics WHERE job = ? AND topic = ? AND topic_id <> ?)";
        let (job, topic) = (Value::from(job), Value::from(&**topic));
        let values = [job.clone(), topic.clone(), job, topic, id.as_str().into()];
        session.execute(&Statement::new(sql, values))?;
    }
    let topics = commit.topics.iter();
    let topics = topics.map(|topic| vec![job.into(), (&*topic.topic).into(), topic.id.as_str().into()]);
    put(session, &TOPICS, Existing::Update, topics)?;
    let begun = commit.begun.iter().map(|at| {
        vec![
            job.into(),
            (&*at.topic).into(),
            at.partition.into(),
            at.offset.into(),
            at.start.as_deref().into(),
        ]
    });
    put(session, &ORIGINS, Existing::Update, begun)?;
    let messages = commit.in_the_future.iter().map(|message| {
        let (topic, long_topic) = topic_key(&message.topic);
        vec![
            job.into(),
            Value::Text(topic),
            message.partition.into(),
            message.offset.into(),
            i64::from(message.place).into(),
            long_topic.into(),
        ]
    });
    put(session, &IN_THE_FUTURE, Existing::Keep, messages)?;
    let files = commit.files.iter();
    let files = files.map(|(name, length)| vec![job.into(), name.as_str().into(), (*length).into()]);
    put(session, &FILES, Existing::Update, files)?;
    let sql = "UPDATE truckflow_jobs SET epoch = ? WHERE job = ?";
    session.execute(&Statement::new(sql, [commit.epoch.into(), job.into()])).map(drop)
}

/// Writes a change of state, in pieces that fit into a value. `first` is the number of its first part.
fn put_state(
    session: &mut dyn Session,
    job: &str,
    epoch: Epoch,
    change: &StateChange,
    first: usize,
) -> Result<(), StoreError> {
    let view = change.view.as_str();
    if change.replaces {
        let sql = "DELETE FROM truckflow_state WHERE job = ? AND view_name = ? AND epoch <= ?";
        session.execute(&Statement::new(sql, [job.into(), view.into(), epoch.into()]))?;
    }
    let largest = session.max_value().clamp(1, STATE_PIECE);
    for (place, part) in (first..).zip(&change.parts) {
        // An empty part is written as one piece.
        let pieces = part.len().div_ceil(largest).max(1);
        if pieces > PIECES {
            let (bytes, most) = (part.len(), session.max_value());
            return Err(StoreError::Failed {
                place: session.place().to_owned(),
                reason: format!("state of {bytes} bytes is too large for values of at most {most} bytes"),
            });
        }
        for piece in 0..pieces {
            let bytes = &part[piece * largest..part.len().min((piece + 1) * largest)];
            let number = (place * PIECES + piece) as i64;
            let row = vec![job.into(), view.into(), epoch.into(), number.into(), bytes.into()];
            put(session, &STATE, Existing::Fail, [row])?;
        }
    }
    Ok(())
}

fn put<'a>(
    session: &mut dyn Session,
    table: &Table,
    existing: Existing,
    rows: impl IntoIterator<Item = Vec<Value<'a>>>,
) -> Result<(), StoreError> {
    insert(session, table, existing, rows)
        .iter()
        .try_for_each(|statement| session.execute(statement).map(drop))
}
