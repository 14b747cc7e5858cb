//! Where the messages of a replay come from.

use dataflows::dead_letter::Reason;

use super::error::ReplayError;

/// One message on its way from the input to Kafka; its buffers are used again.
#[derive(Default)]
pub(super) struct Message {
    /// Empty where the input does not say.
    pub topic: String,
    /// The partition that it came from, if it did.
    pub partition: Option<i32>,
    pub has_key: bool,
    pub key: Vec<u8>,
    pub has_payload: bool,
    pub payload: Vec<u8>,
}

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Message,
    /// A dead letter that is not to be sent, for its reason.
    LeftOut(Reason),
    End,
}

/// Where messages come from.
pub(super) trait Input {
    /// Reads what comes next, if it is a message into `message`.
    fn read(&mut self, message: &mut Message) -> Result<Next, ReplayError>;

    /// How many bytes of the input were read.
    fn position(&self) -> u64;

    /// The number of the last line, from 1, and its bytes, if it was left as it has no end.
    fn unfinished(&self) -> Option<(i64, u64)> {
        None
    }
}
