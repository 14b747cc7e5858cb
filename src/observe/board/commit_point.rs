//! A commit, as shown on the page.

use serde::{Deserialize, Serialize};

/// A commit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CommitPoint {
    /// The committed epoch.
    pub epoch: u64,
    /// The time, in milliseconds since 1970.
    pub at: u64,
    /// The duration.
    pub seconds: f64,
    /// The number of messages whose offsets it committed.
    pub messages: u64,
}
