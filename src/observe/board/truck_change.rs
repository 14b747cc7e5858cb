//! The changes of one truck in one or more commits.

use std::collections::BTreeMap;

use dataflows::rows::NULL;

use super::shown::Latest;
use super::window::Window;

/// Maximum number of retracted readings that are compared with the latest one.
pub(super) const TAKEN: usize = 16;

/// The two correlations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correlated {
    /// Distance with time.
    Distance,
    /// Engine speed with time.
    Speed,
}

/// The changes of a truck.
#[derive(Debug, Default)]
pub struct TruckChange {
    /// From a correlation: the event time of the latest reading ([`NULL`] if none is left), and the number of
    /// readings.
    pub time_and_samples: Option<(i64, i64)>,
    /// The latest distance and its correlation.
    pub distance: Option<(i64, f64)>,
    /// The latest engine speed and its correlation.
    pub speed: Option<(i64, f64)>,
    /// The latest new reading.
    pub reading: Latest,
    /// The fuel of the latest reading.
    pub fuel: FuelChange,
    /// The changed windows by start; None for a removed window.
    pub windows: BTreeMap<i64, Option<Window>>,
    /// Windows that start earlier are no longer shown.
    pub windows_from: i64,
}

/// The change of the latest fuel. Readings are pairs of event time and fuel.
#[derive(Debug)]
pub struct FuelChange {
    /// Whether the previous value was retracted.
    pub(super) forgets: bool,
    /// Retracted readings, unless `forgets` is set.
    pub(super) taken: Vec<(i64, i64)>,
    /// The latest new reading.
    pub(super) latest: (i64, i64),
}

impl Default for FuelChange {
    fn default() -> Self {
        Self { forgets: false, taken: Vec::new(), latest: Self::NONE }
    }
}

impl FuelChange {
    const NONE: (i64, i64) = (NULL, NULL);

    pub(super) fn retract(&mut self, reading: (i64, i64)) {
        if self.latest == reading {
            self.forget();
        } else if !self.forgets {
            match self.taken.len() < TAKEN {
                true => self.taken.push(reading),
                // It may be the shown one, so nothing is shown until the next reading.
                false => self.forget(),
            }
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self { forgets: true, ..Self::default() };
    }

    /// The fuel after the change, given the one before.
    pub fn apply(&self, known: (i64, i64)) -> (i64, i64) {
        let left = if self.forgets || self.taken.contains(&known) { Self::NONE } else { known };
        left.max(self.latest)
    }
}
