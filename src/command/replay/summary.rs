//! The summary of a replay.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dataflows::dead_letter::Reason;

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

/// The number of dead letters left out, by reason.
#[derive(Default)]
pub(super) struct LeftOut(pub BTreeMap<Reason, u64>);

impl LeftOut {
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left out {} dead letters", self.total())?;
        for (place, (reason, count)) in self.0.iter().enumerate() {
            let why = match reason {
                Reason::RefusedByDatabase => "a row, not a message",
                _ => "already counted in the other views",
            };
            write!(f, "{} {count} {} ({why})", if place == 0 { ':' } else { ',' }, reason.name())?;
        }
        Ok(())
    }
}
