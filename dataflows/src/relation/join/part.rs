//! What goes to the workers of keys, and what is dropped there.

use serde::{Deserialize, Serialize};

use super::super::delta::Key;
use super::super::value::Row;
use super::block::Block;
use super::side::Side;
use crate::views::lateness::BatchId;

/// Rows of a side with one key. They may be out of order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub key: Key,
    /// The hash of the key, by which keys are dealt.
    pub hash: u64,
    pub(super) side: Side,
    pub(super) rows: Block,
    /// Of readings, their batch and their places there.
    pub(super) origin: Option<(BatchId, Vec<u32>)>,
}

/// A change of a side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub side: Side,
    pub key: Key,
    /// The time of the bound; 0 without one.
    pub time: i64,
    /// The values that are kept.
    pub row: Row,
    pub sign: i64,
    /// The reading that it is, if that stays.
    pub origin: Option<Origin>,
}

/// A reading: its batch, and its place there.
pub(super) type Origin = (BatchId, u32);

/// Rows that a join drops.
#[derive(Clone, Debug)]
pub(crate) enum Lost {
    /// A reading.
    Reading(Origin),
    /// So many rows that are not readings.
    Rows(usize),
}
