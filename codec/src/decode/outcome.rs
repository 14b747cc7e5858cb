//! What becomes of a message and of its readings.

use std::sync::Arc;

use dataflows::dead_letter::Reason;

/// Why a message or reading was rejected, and the field at fault, or `key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub reason: Reason,
    pub field: Arc<str>,
}

impl Rejection {
    /// For no field.
    pub fn of_all(reason: Reason) -> Self {
        Self { reason, field: "".into() }
    }
}

/// What becomes of a reading that is not rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// A record of this entity at this time.
    Record(Arc<str>, i64),
    /// The condition of the mapping leaves it out.
    Skipped,
}

/// A part of a message with several readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// Its place among them.
    pub place: u32,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Why a message has no readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// In an upsert job: it deletes the reading of its key.
    Deleted,
    /// It is rejected as a whole.
    Rejected(Rejection),
}

impl From<Rejection> for Unreadable {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}
