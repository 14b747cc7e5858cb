//! The settings of the views.

use serde::{Deserialize, Serialize};

use crate::dedupe::Dedupe;
use crate::schema::Schema;

/// The effect of a message on earlier readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every message is a new reading.
    #[default]
    Append,
    /// The message's key identifies the reading that it replaces or, without a value, deletes.
    Upsert,
}

/// What all views have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The effect of a message on earlier readings.
    pub mode: Mode,
    /// Whether partitions are read one after another, like the parts of a file, and not concurrently.
    pub one_after_another: bool,
    /// The fields of the record.
    pub schema: Schema,
    /// Which readings repeat others and are dropped; none in an upsert job.
    pub dedupe: Option<Dedupe>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: Mode::Append, one_after_another: false, schema: Schema::trucks(), dedupe: None }
    }
}

impl Settings {
    /// Whether readings can be updated and deleted.
    pub fn upserts(&self) -> bool {
        self.mode == Mode::Upsert
    }
}
