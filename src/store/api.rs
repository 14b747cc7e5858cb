//! The interface of a store.

use std::sync::Arc;

use dataflows::Epoch;
use dataflows::item::ReadingId;

use super::chunk::{Chunk, Form};
use super::commit::{Adopted, Commit, LastCommit};
use super::error::StoreError;
use super::table::{Refused, StoredTable, Table};
use crate::state::StoredView;

/// The result of one check of `truckflow check`.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was checked.
    pub what: String,
    /// What was found, or an error with the next step.
    pub result: Result<String, String>,
}

/// A database that a job commits to.
pub trait Store: Send {
    /// Takes the lock of the job, creates the bookkeeping tables, raises the generation (committed at once), and
    /// returns the last commit.
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError>;

    /// The last commit of the claimed job.
    fn last_commit(&mut self) -> Result<LastCommit, StoreError>;

    /// Creates missing tables, adds missing columns, and refuses tables that cannot be used. Existing rows are never
    /// changed.
    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError>;

    /// Passes the committed and pending parts of a view's state to `take`, newest first. Only a few are in memory at a
    /// time, because all of them may be large.
    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError>;

    /// The messages whose event time was too far ahead, in any order.
    fn in_the_future(&mut self) -> Result<Vec<ReadingId>, StoreError>;

    /// The views that the job has had, by name.
    fn views(&mut self) -> Result<Vec<StoredView>, StoreError>;

    /// Stores a view's entry, replacing an earlier one. Committed at once; no transaction of an epoch may be open.
    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError>;

    /// The tables that the job writes to, by name.
    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError>;

    /// Checks that the table of a view, if it exists, can be [replaced](Commit::replacement), and that the names are free
    /// which a replacement needs: no trigger, foreign key, column or row of others may be lost. Changes nothing. The job
    /// need not be claimed.
    fn check_replaceable(&mut self, job: &str, view: &str, table: &str) -> Result<(), StoreError>;

    /// Gives the table of a view, whose replacement is committed, its name, and drops the one that it replaces. Can be
    /// repeated.
    fn rename(&mut self, table: &str) -> Result<(), StoreError>;

    /// Removes all data of a view, and the tables that the job has created for it; no transaction of an epoch may be
    /// open.
    fn discard(&mut self, view: &str) -> Result<(), StoreError>;

    /// Opens a transaction, reconnecting and taking the lock again if needed; fails with [`StoreError::Fenced`] if
    /// another instance took over.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Writes the rows of chunks, and returns the rows that the database refused for their content; all others are
    /// written. If a refused row has a key, the existing row of that key is deleted, because it is out of date.
    fn insert(&mut self, chunks: &[Arc<Chunk>]) -> Result<Vec<Refused>, StoreError>;

    /// Adds the rest of the commit to the transaction, checks the generation in it, and commits.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError>;

    /// Further connections that commit for the claimed job, once its tables are prepared. Each has a lock of its own and
    /// the same operations, but is used only from [`begin`](Self::begin) to [`commit`](Self::commit).
    fn more(&mut self) -> Result<Vec<Box<dyn Store>>, StoreError> {
        Ok(Vec::new())
    }

    /// The number of this connection among those that commit; the first one has claimed the job.
    fn number(&self) -> usize {
        1
    }

    /// Whether rows appended to a prepared table may be inserted before the epoch before theirs is committed, as no
    /// transaction waits for such rows of another one.
    fn takes_ahead(&self, _table: usize) -> bool {
        false
    }

    /// Ensures that the server has no open transaction of a connection that was lost.
    fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Reads the last committed epoch, for use after a commit whose answer was lost.
    fn committed_epoch(&mut self) -> Result<Epoch, StoreError>;

    /// Checks within a short time that the store answers; no transaction of an epoch may be open.
    fn ping(&mut self) -> Result<(), StoreError>;

    /// Rolls back the open transaction, if any, and drops a connection whose state is unknown.
    fn abandon(&mut self);

    /// Takes the lock of the job, creates the bookkeeping tables, and writes the job's data from another store; all or
    /// nothing. Refuses a job that already exists.
    fn adopt(&mut self, job: &Adopted<'_>) -> Result<(), StoreError>;

    /// Takes the lock of the job and removes all its data except rows; all or nothing.
    fn forget(&mut self, job: &str) -> Result<(), StoreError>;

    /// The form that chunks must have, once the job is claimed.
    fn form(&self) -> Form;

    /// Checks server and tables without changing anything.
    fn check(&mut self, tables: &[Table]) -> Vec<Finding>;
}
