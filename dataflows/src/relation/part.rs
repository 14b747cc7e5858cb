//! What the rows of an epoch add to a group, or to a pane of its windows.

use differential_dataflow::hashable::Hashable;
use serde::{Deserialize, Serialize};

use super::delta::Key;
use super::kept::Tally;
use super::tally::Layout;

/// What the rows of an epoch add to a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    /// The group's keys.
    pub group: Key,
    /// Their hash, by which groups are dealt to workers, and by which a worker has them in order: it is at hand, and the keys
    /// of many groups are far apart in memory.
    pub hash: u64,
    /// Of windows, the start of the pane.
    pub pane: i64,
    pub tally: Tally,
    /// The latest time of a row that was added.
    pub latest: i64,
}

impl Part {
    /// Of no rows.
    pub fn empty(group: Key, layout: &Layout) -> Self {
        Self { hash: group.hashed(), group, pane: 0, tally: layout.empty(), latest: i64::MIN }
    }
}
