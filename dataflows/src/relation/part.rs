//! What the rows of an epoch add to groups, or to panes of their windows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::index::hash_of;
use super::kept::Tallies;
use super::tally::Layout;

/// What the rows of an epoch add to groups.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Parts {
    pub heads: Vec<Head>,
    /// The keys of all, one after another.
    keys: Vec<u8>,
    /// A tally for each.
    pub tallies: Tallies,
}

/// What a part is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// Where its group's keys end.
    end: usize,
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
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// The keys of a part's group.
    #[inline]
    pub fn group(&self, place: usize) -> &[u8] {
        self.group_at(self.range(place))
    }

    /// Where they are.
    #[inline]
    pub fn range(&self, place: usize) -> Range<usize> {
        place.checked_sub(1).map_or(0, |before| self.heads[before].end)..self.heads[place].end
    }

    #[inline]
    pub fn group_at(&self, range: Range<usize>) -> &[u8] {
        &self.keys[range]
    }

    /// Appends a part of no rows of a group, whose keys have this hash; returns its place.
    pub fn push(&mut self, group: &[u8], hash: u64, pane: i64, layout: &Layout) -> usize {
        self.keys.extend_from_slice(group);
        self.heads.push(Head { end: self.keys.len(), hash, pane, latest: i64::MIN });
        self.tallies.push(layout.places.empty())
    }

    /// One part of no rows of the group of everything.
    pub fn of_everything(layout: &Layout) -> Self {
        let mut parts = Self::default();
        parts.push(&[], hash_of(&[]), 0, layout);
        parts
    }

    /// The parts, dealt to so many workers by their hashes.
    pub fn dealt(self, workers: usize) -> Vec<(u64, Self)> {
        if workers == 1 {
            return vec![(0, self)];
        }
        let mut dealt = Vec::new();
        let mut open: Vec<Self> = vec![Self::default(); workers];
        for (place, head) in self.heads.iter().enumerate() {
            let worker = head.hash % workers as u64;
            let parts = &mut open[worker as usize];
            parts.keys.extend_from_slice(self.group(place));
            parts.heads.push(Head { end: parts.keys.len(), ..head.clone() });
            parts.tallies.push(self.tallies.get(place));
            if parts.heads.len() == AT_ONCE {
                dealt.push((worker, std::mem::take(parts)));
            }
        }
        dealt.extend((0..).zip(open).filter(|(_, parts)| !parts.heads.is_empty()));
        dealt
    }
}
