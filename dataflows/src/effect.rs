//! The output of views, and their state at a start.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dead_letter::DeadLetter;
use crate::rows::Rows;

/// The output of a view in an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Rows for the table and the file.
    Rows(Rows),
    /// Rows for the table only.
    TableRows(Rows),
    /// Rows for the file only.
    FileRows(Rows),
    /// Records that the view has dropped.
    DeadLetters(Vec<DeadLetter>),
    /// A key of an upsert job whose messages come from two partitions, so that their order is undefined.
    KeyMoved {
        /// The key.
        key: Arc<[u8]>,
        /// The first partition of the key, and the other one.
        partitions: (i32, i32),
    },
    /// The number of readings that were dropped because they repeat another: see [`crate::dedupe`].
    Duplicates(u64),
    /// A change of the view's state.
    State {
        /// The changed entries: see [`crate::state`].
        bytes: Vec<u8>,
        /// The number of new keys minus the number of removed ones.
        added: i64,
    },
}

/// Committed state of a view, fed to the graph at a start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restored {
    /// The view's name.
    pub view: Arc<str>,
    /// A state change: see [`crate::state`].
    pub bytes: Vec<u8>,
}
