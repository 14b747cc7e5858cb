//! The summary of a replay.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dataflows::dead_letter::Reason;

use crate::decode::NoEnvelope;

/// The result of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Messages that the brokers acknowledged.
    pub sent: u64,
    /// Messages that the brokers did not acknowledge.
    pub failed: u64,
    /// Dead letters that were left out.
    pub left_out: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// As one object: messages `sent`, `failed` and `left_out`, and `seconds`.
    pub fn to_json(self) -> serde_json::Value {
        let Self { sent, failed, left_out, elapsed } = self;
        let seconds = elapsed.as_secs_f64();
        serde_json::json!({ "sent": sent, "failed": failed, "left_out": left_out, "seconds": seconds })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.sent as f64 / seconds.max(1e-9);
        write!(f, "sent {} messages, {} failed, in {seconds:.1} s ({rate:.0}/s)", self.sent, self.failed)
    }
}

/// Why a dead letter is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Its reading counts in other views, or it is not a message.
    Reason(Reason),
    /// It is a part of a message.
    Part,
    /// It is a part of a line of a file.
    PartOfLine,
    /// It is a part of a message that its topic no longer has.
    PartOfNothing,
    /// The part cannot be put back into its message.
    NoEnvelope(NoEnvelope),
}

/// The dead letters left out.
#[derive(Default)]
pub(super) struct LeftOut(BTreeMap<Why, Letters>);

/// Dead letters that are left out for one reason.
#[derive(Clone, Copy, Default)]
struct Letters {
    count: u64,
    /// The line of the first one, if it is known.
    line: Option<u64>,
}

impl LeftOut {
    /// Adds a letter, which is in this line of its file.
    pub fn add(&mut self, why: Why, line: Option<u64>) {
        let letters = self.0.entry(why).or_insert(Letters { count: 0, line });
        letters.count += 1;
    }

    pub fn total(&self) -> u64 {
        self.0.values().map(|letters| letters.count).sum()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "left out {total} dead letter{}", if total == 1 { "" } else { "s" })?;
        for (place, (why, Letters { count, line })) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { ": " } else { ", " })?;
            let what = match (why, count) {
                (Why::Reason(reason), _) => reason.name(),
                (_, 1) => "part of a message",
                _ => "parts of messages",
            };
            write!(f, "{count} {what} ({}", why.said(*count == 1))?;
            if let Some(line) = line {
                let first = if *count == 1 { "" } else { "the first " };
                write!(f, ", {first}in line {line}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl Why {
    /// Whether the payload of the letter is at fault.
    pub fn is_of_payload(self) -> bool {
        self == Self::NoEnvelope(NoEnvelope::NotOneValue)
    }

    fn said(self, is_one: bool) -> &'static str {
        match self {
            Self::Reason(Reason::RefusedByDatabase) => "a row, not a message",
            Self::Reason(_) => "already counted in the other views",
            Self::Part if is_one => "send it with --parts",
            Self::Part => "send them with --parts",
            Self::PartOfLine => "of a file, not of a topic",
            Self::PartOfNothing => "no longer in the topic",
            Self::NoEnvelope(NoEnvelope::Binary) => "in a binary format",
            Self::NoEnvelope(NoEnvelope::NoPart) => "not found in the message; check --config",
            Self::NoEnvelope(NoEnvelope::NotOneValue) => "not one value; correct the payload",
            Self::NoEnvelope(NoEnvelope::Dependent) => "read together with another part",
        }
    }
}
