//! How one message is read, as data.

use std::sync::Arc;

use dataflows::dead_letter::Reason;
use dataflows::schema::FieldType;

/// How a message is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// Nothing of it can be read.
    Rejected(Rejected),
    /// In an upsert job: it deletes the reading of its key.
    Deletes,
    /// It has these readings.
    Readings(Vec<ReadingExplained>),
}

/// How one reading is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingExplained {
    /// Its fields, in the order in which errors are reported; none if no object or list is in its place.
    pub fields: Vec<FieldExplained>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What becomes of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is a record.
    Record {
        /// The name of its entity.
        entity: Arc<str>,
        /// Its event time, UTC.
        time: String,
    },
    /// The job's condition leaves it out.
    Skipped,
    /// It is a dead letter.
    Rejected(Rejected),
}

/// Why a message or reading is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason.
    pub reason: Reason,
    /// The field at fault, or `key`, or the empty text.
    pub field: Arc<str>,
    /// What was found, and what was expected, without the message's control characters.
    pub said: String,
}

/// How one field is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldExplained {
    /// The field.
    pub name: Arc<str>,
    /// Its type.
    pub field_type: FieldType,
    /// Where its value is looked for.
    pub from: String,
    /// What is there, as JSON; none if nothing is.
    pub found: Option<String>,
    /// Its value as a text, none for NULL; or what is wrong.
    pub value: Result<Option<String>, Reason>,
    /// Why a bad value became NULL.
    pub forgiven: Option<Reason>,
}

impl ReadingExplained {
    /// Whether another reading has the same fields, and becomes the same.
    pub(in crate::decode) fn means(&self, other: &Self) -> bool {
        self.fields == other.fields
            && match (&self.outcome, &other.outcome) {
                (Outcome::Rejected(one), Outcome::Rejected(other)) => {
                    (one.reason, &one.field) == (other.reason, &other.field)
                }
                (one, other) => one == other,
            }
    }
}
