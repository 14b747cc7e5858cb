//! The trait of the inputs of a replay.

use super::error::ReplayError;
use super::summary::Why;

/// A message between the input and Kafka; its buffers are reused.
#[derive(Default)]
pub(super) struct Message {
    /// Empty if the input does not name a topic.
    pub topic: String,
    /// The partition that the message came from, if known.
    pub partition: Option<i32>,
    pub has_key: bool,
    pub key: Vec<u8>,
    pub has_payload: bool,
    pub payload: Vec<u8>,
    /// Names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Of a dead letter of a part: where it was in its message.
    pub part: Option<PartOf>,
}

/// Where a part of a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartOf {
    /// The offset of the message.
    pub offset: i64,
    /// The Kafka timestamp of the message, in microseconds since 1970, if it is known.
    pub timestamp: Option<i64>,
    /// The place of the part among the readings of the message.
    pub place: u32,
    /// The line of the dead letter, from 1.
    pub line: u64,
}

/// The result of a read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Message,
    /// A dead letter that must not be sent.
    LeftOut(Why),
    End,
}

/// A source of messages.
pub(super) trait Input {
    /// Reads the next message into `message`.
    fn read(&mut self, message: &mut Message) -> Result<Next, ReplayError>;

    /// The number of bytes read so far.
    fn position(&self) -> u64;

    /// The number (from 1) and length of a last line that was skipped because it has no line feed.
    fn unfinished(&self) -> Option<(i64, u64)> {
        None
    }
}
