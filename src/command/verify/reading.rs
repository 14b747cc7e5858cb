//! A reading as `verify` compares it.

use std::sync::Arc;

use dataflows::batch::Record;

/// Where a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The index of the topic in the input's topics; 0 for a file.
    pub topic: u32,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Its place among the readings of the message.
    pub place: u32,
}

/// An accepted reading.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The record.
    pub record: Record,
    /// Where it was read.
    pub place: Place,
    /// The message's key, in an upsert job.
    pub key: Arc<[u8]>,
    /// A fingerprint of the message's bytes.
    pub bytes: u64,
}
