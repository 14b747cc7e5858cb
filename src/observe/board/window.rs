//! A window of event time, as shown on the page.

use dataflows::rows::{Column, Rows};
use serde::Serialize;

/// A window of event time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    start: i64,
    end: i64,
    samples: i64,
    distance: Option<f64>,
    speed: Option<f64>,
    fuel: Option<f64>,
    distance_r: Option<f64>,
    speed_r: Option<f64>,
}

impl Window {
    /// The window in a row of `window_averages`.
    pub(super) fn of(rows: &Rows, row: usize) -> Option<Self> {
        let [
            _,
            Column::Timestamp(start),
            Column::Timestamp(end),
            Column::Integer(samples),
            Column::Real(distance),
            Column::Real(speed),
            Column::Real(fuel),
            Column::Real(distance_r),
            Column::Real(speed_r),
        ] = &rows.columns[..]
        else {
            return None;
        };
        Some(Self {
            start: start[row],
            end: end[row],
            samples: samples[row],
            distance: defined(distance[row]),
            speed: defined(speed[row]),
            fuel: defined(fuel[row]),
            distance_r: defined(distance_r[row]),
            speed_r: defined(speed_r[row]),
        })
    }

    /// The start, in microseconds since 1970.
    pub(super) fn start(&self) -> i64 {
        self.start
    }
}

/// The value, or None for NaN.
pub(super) fn defined(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}
