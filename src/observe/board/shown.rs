//! The parts of rows that the live page shows. Workers create them, as small as possible.

use std::collections::VecDeque;
use std::sync::Arc;

use dataflows::rows::{Change, Changes, Column, NULL, Rows};
use dataflows::views::DEAD_LETTERS;
use serde::{Deserialize, Serialize};

use super::letters::{LETTERS, Letter};
use super::recent::Recent;

/// A view shown on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `parameter_map`: the latest reading of each truck.
    Readings,
    /// `distance_correlation`.
    Distance,
    /// `engine_speed_correlation`.
    Speed,
    /// `window_averages`.
    Windows,
    /// `dead_letters`.
    DeadLetters,
}

/// A truck's latest reading: event time and measures, in the units of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Latest {
    /// Event time, in microseconds since 1970; [`NULL`] if there is none.
    pub time: i64,
    /// Distance covered, in nano-units.
    pub distance: i64,
    /// Engine speed, in nano-units.
    pub speed: i64,
    /// Fuel consumed, in nano-units.
    pub fuel: i64,
}

impl Latest {
    /// No reading.
    pub const NONE: Self = Self { time: NULL, distance: NULL, speed: NULL, fuel: NULL };
}

impl Default for Latest {
    fn default() -> Self {
        Self::NONE
    }
}

/// The parts of rows that the page shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Shown {
    /// Readings by truck.
    Readings {
        /// The trucks.
        names: Arc<Vec<Arc<str>>>,
        /// The latest reading of each, in the same order.
        latest: Vec<Latest>,
        /// Retracted or replaced readings, with the index of their truck in `names`.
        taken: Vec<(u32, Latest)>,
    },
    /// Rows of `distance_correlation`.
    Distance(Rows),
    /// Rows of `engine_speed_correlation`.
    Speed(Rows),
    /// Rows of `window_averages`.
    Windows(Rows),
    /// Dead letters.
    DeadLetters {
        /// The number of all of them.
        count: u64,
        /// The last ones.
        last: VecDeque<Letter>,
    },
}

/// What the page shows of rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OnPage {
    /// Trucks or dead letters, if they are made of them.
    pub shown: Option<Shown>,
    /// The rows themselves, or the last ones.
    pub recent: Recent,
}

impl OnPage {
    /// What the page shows of rows, with the part of their view.
    pub fn of(part: Option<Part>, rows: &Rows) -> Self {
        Self { shown: part.and_then(|part| part.shown(rows)), recent: Recent::of(rows) }
    }

    /// The approximate size in bytes.
    pub fn weight(&self) -> usize {
        self.shown.as_ref().map_or(0, Shown::weight) + self.recent.weight()
    }
}

impl Part {
    /// The part for a view, if the page shows it.
    pub fn of(view: &str) -> Option<Self> {
        match view {
            "parameter_map" => Some(Self::Readings),
            "distance_correlation" => Some(Self::Distance),
            "engine_speed_correlation" => Some(Self::Speed),
            "window_averages" => Some(Self::Windows),
            DEAD_LETTERS => Some(Self::DeadLetters),
            _ => None,
        }
    }

    /// The part of `rows` that the page shows.
    pub fn shown(self, rows: &Rows) -> Option<Shown> {
        match self {
            Self::Readings => readings(rows),
            Self::Distance => Some(Shown::Distance(without_keys(rows))),
            Self::Speed => Some(Shown::Speed(without_keys(rows))),
            Self::Windows => Some(Shown::Windows(without_keys(rows))),
            Self::DeadLetters => {
                let from = rows.len().saturating_sub(LETTERS);
                let last = (from..rows.len()).filter_map(|row| Letter::of(rows, row)).collect();
                Some(Shown::DeadLetters { count: rows.len() as u64, last })
            }
        }
    }
}

impl Shown {
    /// The approximate size in bytes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Readings { names, latest, taken } => {
                size_of_val(&***names) + size_of_val(&**latest) + size_of_val(&**taken)
            }
            Self::Distance(rows) | Self::Speed(rows) | Self::Windows(rows) => rows.weight(),
            Self::DeadLetters { last, .. } => last.iter().map(Letter::weight).sum(),
        }
    }
}

/// Rows without their keys, which the board does not need.
fn without_keys(rows: &Rows) -> Rows {
    let kinds = rows.changes.as_ref().map(|changes| changes.kinds.clone());
    Rows {
        columns: rows.columns.clone(),
        changes: kinds.map(|kinds| Changes { kinds, keys: Arc::default() }),
    }
}

fn readings(rows: &Rows) -> Option<Shown> {
    let [
        Column::Timestamp(time),
        Column::Decimal { values: distance, .. },
        Column::Decimal { values: speed, .. },
        Column::Decimal { values: fuel, .. },
        Column::Name { names, index },
    ] = &rows.columns[..]
    else {
        return None;
    };
    let mut latest = vec![Latest::NONE; names.len()];
    let mut taken = Vec::new();
    for (row, &truck) in index.iter().enumerate() {
        let reading = Latest { time: time[row], distance: distance[row], speed: speed[row], fuel: fuel[row] };
        match rows.changes.as_ref().map(|changes| changes.kinds[row]) {
            Some(Change::Delete | Change::Before) => taken.push((truck, reading)),
            _ => latest[truck as usize] = reading.max(latest[truck as usize]),
        }
    }
    Some(Shown::Readings { names: names.clone(), latest, taken })
}
