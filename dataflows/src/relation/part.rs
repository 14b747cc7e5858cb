//! What the rows of an epoch add to groups, or to panes of their windows.

use differential_dataflow::hashable::Hashable;
use serde::{Deserialize, Serialize};

use super::delta::Key;
use super::kept::Tallies;
use super::tally::Layout;

/// What the rows of an epoch add to groups.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Parts {
    pub heads: Vec<Head>,
    /// A tally for each.
    pub tallies: Tallies,
}

/// What a part is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// The group's keys.
    pub group: Key,
    /// Their hash, by which groups are dealt to workers, and by which a worker has them in order: it is at hand, and the keys
    /// of many groups are far apart in memory.
    pub hash: u64,
    /// Of windows, the start of the pane.
    pub pane: i64,
    /// The latest time of a row that was added.
    pub latest: i64,
}

/// The number of parts that are sent to another worker at once.
const AT_ONCE: usize = 1 << 12;

impl Parts {
    /// Appends a part of no rows; returns its place.
    pub fn push(&mut self, group: Key, pane: i64, layout: &Layout) -> usize {
        self.heads.push(Head { hash: group.hashed(), group, pane, latest: i64::MIN });
        self.tallies.push(layout.places.empty())
    }

    /// The parts, dealt to so many workers by their hashes.
    pub fn dealt(self, workers: usize) -> Vec<(u64, Self)> {
        if workers == 1 {
            return vec![(0, self)];
        }
        let mut dealt = Vec::new();
        let mut open: Vec<Self> = vec![Self::default(); workers];
        for (place, head) in self.heads.into_iter().enumerate() {
            let worker = head.hash % workers as u64;
            let parts = &mut open[worker as usize];
            parts.heads.push(head);
            parts.tallies.push(self.tallies.get(place));
            if parts.heads.len() == AT_ONCE {
                dealt.push((worker, std::mem::take(parts)));
            }
        }
        dealt.extend((0..).zip(open).filter(|(_, parts)| !parts.heads.is_empty()));
        dealt
    }
}
