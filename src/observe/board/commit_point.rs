//! A commit, as the page shows it.

use serde::{Deserialize, Serialize};

/// A commit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CommitPoint {
    /// The epoch up to which it reached.
    pub epoch: u64,
    /// When it was, in milliseconds since 1970.
    pub at: u64,
    /// How long it took.
    pub seconds: f64,
    /// Messages whose offsets it moved past.
    pub messages: u64,
}
