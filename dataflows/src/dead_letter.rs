//! Rejected input, with its bytes and the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why an input was rejected: a fixed list, used by tables, files and metrics.
///
/// ```
/// use dataflows::dead_letter::Reason;
///
/// assert!(Reason::ALL.into_iter().all(|reason| Reason::named(reason.name()) == Some(reason)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The bytes, or what they have at the place of a reading, are not an object.
    NotAnObject,
    /// The bytes cannot be read with their schema.
    Undecodable,
    /// A required field is absent or null.
    MissingField,
    /// A field has the wrong type.
    WrongType,
    /// The timestamp is not `YYYY-MM-DD HH:MM:SS[.f]` or no such instant exists.
    BadTimestamp,
    /// The event time is too far ahead of both Kafka's timestamp and the wall clock.
    InTheFuture,
    /// A number is NaN or infinite.
    NotFinite,
    /// A number does not fit: measures are below 9.2e9 in absolute value.
    OutOfRange,
    /// The message, or the truck's name, is longer than allowed.
    TooLarge,
    /// The message has no value (a Kafka tombstone), but the job is in append mode.
    NullValue,
    /// The record is older than the state that a view keeps.
    Late,
    /// The database refused the row because of its content.
    RefusedByDatabase,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 12] = [
        Self::NotAnObject,
        Self::Undecodable,
        Self::MissingField,
        Self::WrongType,
        Self::BadTimestamp,
        Self::InTheFuture,
        Self::NotFinite,
        Self::OutOfRange,
        Self::TooLarge,
        Self::NullValue,
        Self::Late,
        Self::RefusedByDatabase,
    ];

    /// The reason with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The name in tables, files and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Undecodable => "undecodable",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::BadTimestamp => "bad_timestamp",
            Self::InTheFuture => "in_the_future",
            Self::NotFinite => "not_finite",
            Self::OutOfRange => "out_of_range",
            Self::TooLarge => "too_large",
            Self::NullValue => "null_value",
            Self::Late => "late",
            Self::RefusedByDatabase => "refused_by_database",
        }
    }
}

/// Counts by reason. Reasons that never occurred are not included.
///
/// ```
/// use dataflows::dead_letter::{ByReason, Reason};
///
/// let mut numbers = ByReason::default();
/// numbers.add(Reason::Late, 2);
/// numbers.add(Reason::NotFinite, 1);
/// assert_eq!((numbers.get(Reason::Late), numbers.total()), (2, 3));
/// assert_eq!(numbers.to_string(), "late 2, not_finite 1");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByReason(BTreeMap<Reason, u64>);

impl ByReason {
    /// Adds to the count of a reason.
    pub fn add(&mut self, reason: Reason, number: u64) {
        if number > 0 {
            *self.0.entry(reason).or_default() += number;
        }
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(reason, number)| self.add(reason, number));
    }

    /// The count of a reason.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get(&reason).copied().unwrap_or(0)
    }

    /// The sum over all reasons.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Every reason that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.0.iter().map(|(&reason, &number)| (reason, number))
    }
}

/// The most common reason first.
impl fmt::Display for ByReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers: Vec<_> = self.iter().collect();
        numbers.sort_by_key(|&(_, number)| std::cmp::Reverse(number));
        let mut comma = "";
        for (reason, number) in numbers {
            write!(f, "{comma}{} {number}", reason.name())?;
            comma = ", ";
        }
        Ok(())
    }
}

/// One rejected input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The topic, or the path of the input file.
    pub topic: Arc<str>,
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset, or the number of the line counted from 0.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970, if the message had one.
    pub kafka_timestamp: Option<i64>,
    /// The message's key, if it had one.
    pub key: Option<Vec<u8>>,
    /// The place of the reading among those of its message, from 0; none if the letter is of the whole message.
    pub place: Option<u32>,
    /// The exact bytes of the message, or of the reading alone; none for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Why it was rejected.
    pub reason: Reason,
    /// The invalid field, or the empty string.
    pub field: String,
}
