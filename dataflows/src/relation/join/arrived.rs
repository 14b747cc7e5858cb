//! The rows that an epoch adds to a side of a key: which of them are late or too many, and in which blocks the others are.

use std::collections::BTreeSet;

use super::block::Block;
use super::part::{Lost, Origin, Part};
use crate::dead_letter::Reason;
use crate::views::lateness::BatchId;

/// The length of a stretch of time, in microseconds: short enough that a key has few blocks in it if each epoch adds one,
/// and long enough that a block has many rows if an epoch spans hours.
const STRETCH: i64 = 30_000_000;

/// The start of the stretch of a time.
pub(super) fn stretch_of(time: i64) -> i64 {
    time.div_euclid(STRETCH).saturating_mul(STRETCH)
}

/// The end of a stretch.
pub(super) fn end_of(stretch: i64) -> i64 {
    stretch.saturating_add(STRETCH)
}

/// The rows that an epoch adds to a side of a key.
pub(super) struct Arrived {
    pub rows: Block,
    /// The first row of each part.
    starts: Vec<usize>,
    origins: Vec<Option<(BatchId, Vec<u32>)>>,
    /// The rows that are kept, in the order of their times.
    pub order: Vec<u32>,
}

impl Arrived {
    pub fn of(parts: Vec<Part>) -> Self {
        let (mut rows, mut starts, mut origins) = (Block::default(), Vec::new(), Vec::new());
        for part in parts {
            starts.push(rows.len());
            rows.append(part.rows);
            origins.push(part.origin);
        }
        let order = rows.order();
        Self { rows, starts, origins, order }
    }

    /// The reading that a row is, if it is one.
    pub fn origin(&self, row: u32) -> Option<Origin> {
        let part = self.starts.partition_point(|start| *start <= row as usize) - 1;
        let (batch, places) = self.origins[part].as_ref()?;
        Some((*batch, places[row as usize - self.starts[part]]))
    }

    /// Drops the rows that are before a time.
    pub fn drop_late(&mut self, horizon: i64, lost: &mut Vec<(Reason, Lost)>) {
        let late = self.order.partition_point(|&row| self.rows.times[row as usize] < horizon);
        let late: Vec<u32> = self.order.drain(..late).collect();
        self.lose(&late, Reason::Late, lost);
    }

    pub fn lose(&self, rows: &[u32], reason: Reason, lost: &mut Vec<(Reason, Lost)>) {
        let mut others = 0;
        for &row in rows {
            match self.origin(row) {
                Some(origin) => lost.push((reason, Lost::Reading(origin))),
                None => others += 1,
            }
        }
        if others > 0 {
            lost.push((reason, Lost::Rows(others)));
        }
    }

    /// Of rows that are alike those for which there is no room. They do not depend on the order of arrival.
    pub fn beyond(&self, alike: &[u32], room: usize) -> Vec<u32> {
        if alike.len() <= room {
            return Vec::new();
        }
        let mut alike = alike.to_vec();
        alike.sort_by(|&one, &other| {
            let by_origin = || self.origin(one).cmp(&self.origin(other));
            self.rows.compare(one, other).then_with(by_origin)
        });
        alike.split_off(room)
    }

    /// Leaves out rows.
    pub fn leave_out(&mut self, rows: &[u32]) {
        if !rows.is_empty() {
            let rows: BTreeSet<u32> = rows.iter().copied().collect();
            self.order.retain(|row| !rows.contains(row));
        }
    }

    /// The kept rows of each stretch, in order.
    pub fn of_stretches(&self) -> impl Iterator<Item = (i64, &[u32])> {
        let mut rest = &self.order[..];
        std::iter::from_fn(move || {
            let time = |row: &u32| self.rows.times[*row as usize];
            let stretch = stretch_of(time(rest.first()?));
            let (rows, others) = rest.split_at(rest.partition_point(|row| time(row) < end_of(stretch)));
            rest = others;
            Some((stretch, rows))
        })
    }

    /// The blocks of kept rows, each of a stretch.
    pub fn blocks(self) -> Vec<(i64, Block)> {
        let blocks: Vec<(i64, &[u32])> = self.of_stretches().collect();
        match blocks[..] {
            [(stretch, rows)] if rows.len() == self.rows.len() && self.rows.times.is_sorted() => {
                vec![(stretch, self.rows)]
            }
            _ => blocks.into_iter().map(|(stretch, rows)| (stretch, self.rows.at(rows))).collect(),
        }
    }
}
