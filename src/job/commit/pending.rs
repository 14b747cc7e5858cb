//! The effects of the next commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use dataflows::item::{Arrival, Mark, NextOffset, ReadingId};
use dataflows::rows::Rows;

use super::refused::Refusals;
use crate::observe::board::shown::Shown;
use crate::observe::board::views::ViewChanges;
use crate::store::Chunk;

/// The position in a partition: the next offset and, for a file, the bytes before it.
type Position = (i64, Option<Mark>);

/// The effects of the next commit.
#[derive(Default)]
pub(super) struct Pending {
    pub chunks: Vec<Arc<Chunk>>,
    /// The number of `chunks` in the open transaction, or on their way to it.
    pub inserted: usize,
    pub refusals: Refusals,
    pub state: BTreeMap<usize, Vec<Bytes>>,
    pub added: BTreeMap<usize, i64>,
    pub offsets: BTreeMap<(Arc<str>, i32), Position>,
    pub arrivals: Vec<Arrival>,
    pub in_the_future: Vec<ReadingId>,
    pub forward: Vec<Rows>,
    pub shown: Vec<Shown>,
    pub views: ViewChanges,
    pub weight: u64,
    /// Whether there is anything to commit.
    pub is_dirty: bool,
}

impl Pending {
    /// The next offset of every partition that was read.
    pub fn offsets(&self) -> Vec<NextOffset> {
        let next = |(at, &(offset, mark)): (&(Arc<str>, i32), &Position)| NextOffset {
            topic: at.0.clone(),
            partition: at.1,
            offset,
            mark,
        };
        self.offsets.iter().map(next).collect()
    }
}
