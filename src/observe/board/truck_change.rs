//! What commits changed of one truck.

use std::collections::BTreeMap;

use dataflows::rows::NULL;

use super::shown::Latest;
use super::window::Window;

/// Readings of a truck that were taken back and are compared with its latest one.
pub(super) const TAKEN: usize = 16;

/// Which of the two correlations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correlated {
    /// Distance with time.
    Distance,
    /// Engine speed with time.
    Speed,
}

/// What changed of a truck.
#[derive(Debug, Default)]
pub struct TruckChange {
    /// What a correlation says: the event time of the latest reading, [`NULL`] if none is left, and how many
    /// readings there are.
    pub time_and_samples: Option<(i64, i64)>,
    /// The latest distance and its correlation.
    pub distance: Option<(i64, f64)>,
    /// The latest engine speed and its correlation.
    pub speed: Option<(i64, f64)>,
    /// The latest reading that came.
    pub reading: Latest,
    /// The fuel of the latest reading.
    pub fuel: FuelChange,
    /// The windows that changed, by their starts; none where a window is gone.
    pub windows: BTreeMap<i64, Option<Window>>,
    /// Windows that start earlier are no longer shown.
    pub windows_from: i64,
}

/// What readings say of the latest fuel. A reading is its event time and its fuel here.
#[derive(Debug)]
pub struct FuelChange {
    /// Whether what was known before is of no reading any more.
    pub(super) forgets: bool,
    /// Readings that were taken back, if it is not forgotten anyway.
    pub(super) taken: Vec<(i64, i64)>,
    /// The latest that came.
    pub(super) latest: (i64, i64),
}

impl Default for FuelChange {
    fn default() -> Self {
        Self { forgets: false, taken: Vec::new(), latest: Self::NONE }
    }
}

impl FuelChange {
    const NONE: (i64, i64) = (NULL, NULL);

    pub(super) fn take_back(&mut self, reading: (i64, i64)) {
        if self.latest == reading {
            self.forget();
        } else if !self.forgets {
            match self.taken.len() < TAKEN {
                true => self.taken.push(reading),
                // It may be the one that is shown: nothing is shown until the next reading.
                false => self.forget(),
            }
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self { forgets: true, ..Self::default() };
    }

    /// What is known of the fuel after the change, where `known` was.
    pub fn apply(&self, known: (i64, i64)) -> (i64, i64) {
        let left = if self.forgets || self.taken.contains(&known) { Self::NONE } else { known };
        left.max(self.latest)
    }
}
