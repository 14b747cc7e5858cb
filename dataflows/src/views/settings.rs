//! What is configurable about the views.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{FieldSpec, NANO};
use crate::real::Factor;

/// What a message does to the readings before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every message is a reading of its own.
    #[default]
    Append,
    /// The message's key names the reading that it replaces or, without a value, takes back.
    Upsert,
}

/// What a correlation's table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CorrelationTables {
    /// A row for each truck and epoch that changed it.
    #[default]
    History,
    /// One row a truck, replaced in place.
    Latest,
}

/// What is configurable about the views. Spans of event time are in microseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a message does to the readings before it.
    pub mode: Mode,
    /// Whether partitions follow each other, as the parts of a file do, and are not read side by side.
    pub one_after_another: bool,
    /// The fields that readings have beyond the seed's.
    pub fields: Arc<[FieldSpec]>,
    /// `above_speed` keeps engine speeds strictly above this, in nano-units.
    pub above_speed: i64,
    /// `transformed` multiplies the engine's speed by this.
    pub speed_factor: Factor,
    /// What the correlations' tables hold.
    pub correlation_tables: CorrelationTables,
    /// How long a window is.
    pub window: i64,
    /// How far a truck may be behind the topic before it counts as idle.
    pub window_idle: i64,
    /// How far behind a truck's latest event `window_averages` still takes readings.
    pub window_retention: i64,
    /// How far behind a truck's latest event `filtered_join` still takes readings.
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
            fields: Arc::new([]),
            above_speed: 80 * NANO,
            speed_factor: Factor::new(12, 1).unwrap_or_default(),
            correlation_tables: CorrelationTables::History,
            window: 5 * MINUTE,
            window_idle: 5 * MINUTE,
            window_retention: 24 * 60 * MINUTE,
            join_retention: 10 * MINUTE,
            join_limit: 10_000,
        }
    }
}

impl Settings {
    /// Whether rows of readings may change and end.
    pub fn upserts(&self) -> bool {
        self.mode == Mode::Upsert
    }
}
