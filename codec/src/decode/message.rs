//! A message of a source, and the interface of all decoders.

use std::sync::Arc;

use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::Item;

/// Payloads longer than this many bytes are rejected, unless [`Decoder::with_max_bytes`](super::Decoder::with_max_bytes) sets another limit.
pub const MAX_BYTES: usize = 1 << 20;

/// A borrowed message of a source.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset, or the number of the line counted from 0.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970, if the message has one.
    pub timestamp: Option<i64>,
    /// The key, if the message has one: it names the truck if the payload does not.
    pub key: Option<&'a [u8]>,
    /// The value; none for a tombstone.
    pub payload: Option<&'a [u8]>,
}

impl Message<'_> {
    /// The message as a dead letter.
    pub(super) fn dead_letter(&self, topic: &Arc<str>, reason: Reason, field: &str) -> DeadLetter {
        DeadLetter {
            topic: topic.clone(),
            partition: self.partition,
            offset: self.offset,
            kafka_timestamp: self.timestamp,
            key: self.key.map(<[u8]>::to_vec),
            payload: self.payload.map(<[u8]>::to_vec),
            reason,
            field: field.to_owned(),
        }
    }
}

/// Turns messages of one topic or file into items for the graph.
pub trait Decode {
    /// Takes the header of a CSV file whose records are the following messages. Fails with the name of a missing
    /// column.
    fn header(&mut self, header: &[u8]) -> Result<(), &'static str>;

    /// Sets the wall clock of the epoch of the following messages, in microseconds since 1970.
    fn set_wall_clock(&mut self, wall: i64);

    /// Decodes a message into a record or a dead letter, which [`take`](Self::take) returns.
    fn decode(&mut self, message: &Message<'_>);

    /// Appends everything decoded since the last call to `items`.
    fn take(&mut self, items: &mut Vec<Item>);

    /// Calls `count` for each field with rounded values in records accepted since the last call, with the number of
    /// such values.
    fn take_rounded(&mut self, count: &mut dyn FnMut(&str, u64));

    /// The event time of the last decoded message in microseconds, if it was a reading.
    fn last_time(&self) -> Option<i64> {
        None
    }
}

/// Why a message was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// The invalid field, `key` for the message's key, or the empty string.
    pub field: &'static str,
}
