//! What the views of the graph send out, and what they get back at a start.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dead_letter::DeadLetter;
use crate::rows::Rows;

/// What a view does in an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Rows for the table and the file.
    Rows(Rows),
    /// Rows for the table only.
    TableRows(Rows),
    /// Rows for the file only.
    FileRows(Rows),
    /// Records that the view cannot use any more.
    DeadLetters(Vec<DeadLetter>),
    /// A key of an upsert job whose messages come from two partitions, so that nobody knows their order.
    KeyMoved {
        /// The key.
        key: Arc<[u8]>,
        /// The partition that it came from first, and the other.
        partitions: (i32, i32),
    },
    /// A change of the view's state.
    State {
        /// The changed entries: see [`crate::state`].
        bytes: Vec<u8>,
        /// How many of them are of keys that had no entry before, less those that ended.
        added: i64,
    },
}

/// State of one view as it was committed, fed to the graph at the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restored {
    /// The view's name.
    pub view: Arc<str>,
    /// A state change: see [`crate::state`].
    pub bytes: Vec<u8>,
}
