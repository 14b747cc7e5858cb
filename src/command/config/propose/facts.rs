//! What is known of the readings of a sample as a whole.

/// What is known of the readings of a sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// How many there are.
    pub(super) readings: usize,
    /// How many are in a message with a key.
    pub(super) keyed: usize,
    /// Whether messages have Kafka's timestamps.
    pub(super) has_timestamps: bool,
    /// Whether the times around readings are those of their transport.
    pub(super) is_transport: bool,
    /// Whether a key of the message leads to each reading.
    pub(super) has_root_key: bool,
}
