//! The trait of the inputs of a replay.

use dataflows::dead_letter::Reason;

use super::error::ReplayError;

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
}

/// The result of a read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Message,
    /// A dead letter that must not be sent, because of its reason.
    LeftOut(Reason),
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
