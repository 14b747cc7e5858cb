//! What a commit makes durable, and what is known of the last one.

use bytes::Bytes;
use dataflows::Epoch;
use dataflows::item::{MessageId, NextOffset, TopicId};

use crate::state::StoredView;
use crate::state::offset::ViewOffset;

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

/// What a commit makes durable together with the rows inserted since [`Store::begin`](super::Store::begin).
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
    /// Messages whose event time was found to be too far ahead: see [`Store::in_the_future`](super::Store::in_the_future).
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
