//! A reading as `verify` compares it.

use std::sync::Arc;

use dataflows::batch::Record;

/// Where a reading is: its partition, its offset, and its place among those of the message.
pub type Place = (i32, i64, u32);

/// An accepted reading.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The record.
    pub record: Record,
    /// Partition, offset, and the place in the message.
    pub place: Place,
    /// The message's key, in an upsert job.
    pub key: Arc<[u8]>,
    /// A fingerprint of the message's bytes.
    pub bytes: u64,
}
