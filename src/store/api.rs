//! What a store does for a job that it is claimed for.

use dataflows::Epoch;
use dataflows::item::MessageId;

use super::chunk::{Chunk, Form};
use super::commit::{Adopted, Commit, LastCommit};
use super::error::StoreError;
use super::table::{Refused, Table};
use crate::state::StoredView;

/// One thing that `truckflow check` looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// What was found, or one sentence with the next step.
    pub result: Result<String, String>,
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
