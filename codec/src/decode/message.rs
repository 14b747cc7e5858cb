//! A message of a source, and the interface of all decoders.

use std::fmt;
use std::sync::Arc;

use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::Item;

/// Payloads longer than this many bytes are rejected, unless [`Decoder::with_max_bytes`](super::Decoder::with_max_bytes) sets another limit.
pub const MAX_BYTES: usize = 1 << 20;

/// The longest name of an entity, in bytes.
pub const MAX_ENTITY_BYTES: usize = 255;

/// The headers of a message of Kafka. They are looked up in the fetched message when a decoder asks for one, so a message
/// whose headers are not read costs nothing.
pub trait Headers {
    /// The value of the last header with this name; the inner `None` is a null value.
    fn last(&self, name: &str) -> Option<Option<&[u8]>>;
}

impl fmt::Debug for dyn Headers + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Headers")
    }
}

/// A borrowed message of a source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// The topic; none for a file.
    pub topic: Option<&'a Arc<str>>,
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset, or the number of the line counted from 0.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970, if the message has one.
    pub timestamp: Option<i64>,
    /// The key, if the message has one: it names the truck if the payload does not.
    pub key: Option<&'a [u8]>,
    /// The headers, if the message has any.
    pub headers: Option<&'a dyn Headers>,
    /// The value; none for a tombstone.
    pub payload: Option<&'a [u8]>,
}

impl Message<'_> {
    /// The value of the last header with this name; none if there is none, or if it is null.
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers?.last(name).flatten()
    }

    /// The message as a dead letter.
    pub(super) fn dead_letter(&self, topic: &Arc<str>, reason: Reason, field: &str) -> DeadLetter {
        DeadLetter {
            topic: topic.clone(),
            partition: self.partition,
            offset: self.offset,
            kafka_timestamp: self.timestamp,
            key: self.key.map(<[u8]>::to_vec),
            place: None,
            payload: self.payload.map(<[u8]>::to_vec),
            reason,
            field: field.to_owned(),
        }
    }
}

/// What a decoder counts besides records and dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted<'a> {
    /// Values of this field that were rounded, in records.
    Rounded(&'a str),
    /// Bad values of this field that became NULL, in records.
    Forgiven(&'a str, Reason),
    /// Readings that the job's condition left out.
    Skipped,
}

/// Turns messages of one topic or file into items for the graph.
pub trait Decode {
    /// Takes the header of a CSV file whose records are the following messages.
    fn header(&mut self, header: &[u8]);

    /// Sets the wall clock of the epoch of the following messages, in microseconds since 1970.
    fn set_wall_clock(&mut self, wall: i64);

    /// Whether a message can be decoded now. Otherwise it has to be given again, before those that follow it.
    fn is_ready(&mut self, _message: &Message<'_>) -> bool {
        true
    }

    /// Decodes a message into a record or a dead letter, which [`take`](Self::take) returns.
    fn decode(&mut self, message: &Message<'_>);

    /// Appends everything decoded since the last call to `items`.
    fn take(&mut self, items: &mut Vec<Item>);

    /// Calls `count` with everything that was counted since the last call.
    fn take_counts(&mut self, count: &mut dyn FnMut(Counted<'_>, u64));

    /// The event time of the last decoded message in microseconds, if it was a reading.
    fn last_time(&self) -> Option<i64> {
        None
    }
}
