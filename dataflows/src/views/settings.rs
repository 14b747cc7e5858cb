//! The settings of the views.

use serde::{Deserialize, Serialize};

use crate::batch::NANO;
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

/// What all views have in common. Spans of event time are in microseconds.
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
    /// `filtered_join` joins readings with engine speeds strictly above this, in nano-units.
    pub above_speed: i64,
    /// How far a truck may be behind the topic before it counts as idle.
    pub window_idle: i64,
    /// How far behind a truck's latest event `filtered_join` still accepts readings.
    pub join_retention: i64,
    /// How many readings of a truck may share a timestamp in `filtered_join`.
    pub join_limit: usize,
}

const MINUTE: i64 = 60_000_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Append,
            one_after_another: false,
            schema: Schema::trucks(),
            dedupe: None,
            above_speed: 80 * NANO,
            window_idle: 5 * MINUTE,
            join_retention: 10 * MINUTE,
            join_limit: 10_000,
        }
    }
}

impl Settings {
    /// Whether readings can be updated and deleted.
    pub fn upserts(&self) -> bool {
        self.mode == Mode::Upsert
    }
}
