//! Decoded orientation readings of a phone as columns.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The fields of a reading except `time`, in the order of [`Orientation::values`].
pub const FIELDS: [&str; 8] = ["seconds_elapsed", "qz", "qy", "qx", "qw", "roll", "pitch", "yaw"];

/// Readings as columns of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orientation {
    /// Nanoseconds since 1970, UTC; never [`NULL`](crate::rows::NULL).
    pub time: Arc<Vec<i64>>,
    /// The [`FIELDS`]: seconds, a unit quaternion, angles in radians. All are finite.
    pub values: [Arc<Vec<f64>>; 8],
}

impl Orientation {
    /// How many readings there are.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }
}

/// Collects readings into an [`Orientation`].
///
/// ```
/// use dataflows::orientation::OrientationBuilder;
///
/// let mut builder = OrientationBuilder::default();
/// builder.push(1_681_088_547_000_000_000, [0.5, 0.0, 0.0, 0.0, 1.0, 0.1, 0.2, 0.3]);
/// let readings = builder.take();
/// assert_eq!((readings.len(), readings.values[7][0]), (1, 0.3));
/// ```
#[derive(Debug, Default)]
pub struct OrientationBuilder {
    time: Vec<i64>,
    values: [Vec<f64>; 8],
}

impl OrientationBuilder {
    /// Adds a reading: its time in nanoseconds, and its [`FIELDS`].
    pub fn push(&mut self, time: i64, values: [f64; 8]) {
        self.time.push(time);
        for (column, value) in self.values.iter_mut().zip(values) {
            column.push(value);
        }
    }

    /// The readings pushed since the last call.
    pub fn take(&mut self) -> Orientation {
        Orientation {
            time: Arc::new(std::mem::take(&mut self.time)),
            values: std::mem::take(&mut self.values).map(Arc::new),
        }
    }
}
