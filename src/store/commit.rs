//! The contents of a commit, and the last commit of a job.

use bytes::Bytes;
use dataflows::Epoch;
use dataflows::item::{NextOffset, ReadingId, TopicId};

use crate::state::StoredView;
use crate::state::offset::{FirstOffset, ViewOffset};

/// A change of the state of a view.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The view.
    pub view: String,
    /// The parts, each at most about 1 MiB unless a single epoch's change is larger.
    pub parts: Vec<Bytes>,
    /// Whether they replace all older parts.
    pub replaces: bool,
}

/// Everything that is committed together with the rows inserted since [`Store::begin`](super::Store::begin).
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// The epoch that must be the last committed one, if that is checked: several connections may commit.
    pub previous: Option<Epoch>,
    /// The next offsets of the partitions that moved.
    pub offsets: &'a [NextOffset],
    /// Offsets of views.
    pub view_offsets: &'a [ViewOffset],
    /// The ids of topics that are new or were re-created.
    pub topics: &'a [TopicId],
    /// Where partitions begin that had no committed offset.
    pub begun: &'a [FirstOffset],
    /// Messages whose event time was too far ahead: see [`Store::in_the_future`](super::Store::in_the_future).
    pub in_the_future: &'a [ReadingId],
    /// Numbers of the files that grew, by name, such as their lengths: see [`crate::sink::csv`].
    pub files: &'a [(String, u64)],
    /// Changes of state.
    pub state: &'a [StateChange],
    /// A view whose rows, state and definition are replaced. What was stored of it is forgotten first.
    pub replacement: Option<Replacement<'a>>,
}

/// A view that takes the place of one with another definition.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'a> {
    /// The view, in the phase in which its table and files are renamed.
    pub view: &'a StoredView,
    /// The name under which it was filled.
    pub filled: &'a str,
    /// Its table, if it has one. It was filled under [another name](super::table::new_table).
    pub table: Option<&'a str>,
}

/// The committed data of a job.
#[derive(Clone, Debug, Default)]
pub struct LastCommit {
    /// The number of this claim. An instance with a lower one can no longer commit.
    pub generation: u64,
    /// The last committed epoch; 0 before the first.
    pub epoch: Epoch,
    /// The source of the job's offsets, as given by the first claim.
    pub source: String,
    /// Next offsets.
    pub offsets: Vec<NextOffset>,
    /// Offsets of views.
    pub view_offsets: Vec<ViewOffset>,
    /// The ids of their topics, as far as known.
    pub topics: Vec<TopicId>,
    /// Where the job began to read the partitions of its topics, as far as known.
    pub begun: Vec<FirstOffset>,
    /// The latest numbers of the files, by name.
    pub files: Vec<(String, u64)>,
}

/// A job from another store.
#[derive(Clone, Copy, Debug)]
pub struct Adopted<'a> {
    /// Its name.
    pub job: &'a str,
    /// The source of its offsets.
    pub source: &'a str,
    /// Its generation, higher than that of any earlier instance.
    pub generation: u64,
    /// Its views.
    pub views: &'a [StoredView],
    /// Everything else, as one commit.
    pub commit: Commit<'a>,
}
