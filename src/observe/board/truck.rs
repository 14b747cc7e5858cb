//! A truck: its latest values and a bounded history.
//!
//! The histories of all trucks together have a bounded number of points, so with more trucks each has fewer. A full
//! history drops every second point, and then half of the new ones, so that it always reaches back to its beginning.

use std::collections::VecDeque;
use std::sync::Arc;

use dataflows::rows::NULL;
use serde::{Deserialize, Serialize};

use super::shown::Latest;
use super::truck_change::TruckChange;
use super::window::{Window, defined};

/// Nano-units in a unit.
const NANO: f64 = 1e9;

/// The measures whose correlation view is missing in the job, so that they come from readings only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadingsOnly {
    /// `distance_correlation`.
    pub distance: bool,
    /// `engine_speed_correlation`.
    pub speed: bool,
}

/// A truck.
#[derive(Debug)]
pub struct Truck {
    pub(super) name: Arc<str>,
    /// The latest reading; measures that are not known yet are [`NULL`].
    pub(super) latest: Latest,
    /// The event time that `latest.fuel` belongs to.
    pub(super) fuel_time: i64,
    pub(super) distance_r: f64,
    pub(super) speed_r: f64,
    pub(super) samples: i64,
    /// The version of the board at its last change.
    pub(super) changed: u64,
    history: History,
    pub(super) windows: VecDeque<Window>,
}

/// A truck's row on the page. Unknown and undefined values are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The name.
    pub name: Arc<str>,
    /// The event time of the latest reading, in microseconds since 1970.
    pub time: Option<i64>,
    /// Kilometres.
    pub distance: Option<f64>,
    /// The engine's speed.
    pub speed: Option<f64>,
    /// Litres.
    pub fuel: Option<f64>,
    /// The correlation of distance with time.
    pub distance_r: Option<f64>,
    /// The correlation of engine speed with time.
    pub speed_r: Option<f64>,
    /// The number of readings in the correlations.
    pub samples: i64,
}

/// The correlations after a reading: its event time in microseconds, then distance and speed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point(i64, f32, f32);

/// The history of the correlations.
#[derive(Debug, Default)]
struct History {
    points: Vec<Point>,
    /// The number of points to skip after each one kept.
    skip: u32,
    skipped: u32,
}

impl History {
    fn push(&mut self, point: Point, room: usize) {
        // After a correction, later points are no longer valid.
        while self.points.last().is_some_and(|last| last.0 >= point.0) {
            self.points.pop();
        }
        if self.skipped < self.skip && !self.points.is_empty() {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        if self.points.len() >= room {
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.points.shrink_to(room);
            self.skip = self.skip * 2 + 1;
        }
        self.points.push(point);
    }
}

fn measure(value: i64) -> Option<f64> {
    (value != NULL).then_some(value as f64 / NANO)
}

impl Truck {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            latest: Latest::NONE,
            fuel_time: NULL,
            distance_r: f64::NAN,
            speed_r: f64::NAN,
            samples: 0,
            changed: 0,
            history: History::default(),
            windows: VecDeque::new(),
        }
    }

    /// Adds the current correlations to the history, which has room for this number of points.
    pub(super) fn remember(&mut self, room: usize) {
        if self.latest.time != NULL {
            let point = Point(self.latest.time, self.distance_r as f32, self.speed_r as f32);
            self.history.push(point, room);
        }
    }

    /// Applies a change. Values from a correlation take precedence over those from readings.
    pub(super) fn take(&mut self, change: TruckChange, readings_only: ReadingsOnly, windows: usize) {
        if let Some((time, samples)) = change.time_and_samples {
            (self.latest.time, self.samples) = (time, samples);
        }
        if let Some((distance, r)) = change.distance {
            (self.latest.distance, self.distance_r) = (distance, r);
        }
        if let Some((speed, r)) = change.speed {
            (self.latest.speed, self.speed_r) = (speed, r);
        }
        (self.fuel_time, self.latest.fuel) = change.fuel.apply((self.fuel_time, self.latest.fuel));
        let reading = change.reading;
        if reading.time != NULL && reading.time >= self.latest.time {
            if readings_only.distance {
                self.latest.distance = reading.distance;
            }
            if readings_only.speed {
                self.latest.speed = reading.speed;
            }
            if readings_only.distance && readings_only.speed {
                self.latest.time = reading.time;
            }
        }
        self.windows.retain(|window| window.start() >= change.windows_from);
        for (start, window) in change.windows {
            let place = self.windows.partition_point(|other| other.start() < start);
            let is_there = self.windows.get(place).is_some_and(|other| other.start() == start);
            match (is_there, window) {
                (true, None) => drop(self.windows.remove(place)),
                (true, Some(window)) => self.windows[place] = window,
                (false, None) => {}
                (false, Some(window)) => self.windows.insert(place, window),
            }
        }
        self.windows.drain(..self.windows.len().saturating_sub(windows));
    }

    /// The row.
    pub fn row(&self) -> Row {
        let latest = &self.latest;
        Row {
            name: self.name.clone(),
            time: (latest.time != NULL).then_some(latest.time),
            distance: measure(latest.distance),
            speed: measure(latest.speed),
            fuel: measure(self.fuel()),
            distance_r: defined(self.distance_r),
            speed_r: defined(self.speed_r),
            samples: self.samples,
        }
    }

    /// The fuel of the latest reading; [`NULL`] if only that of another reading is known.
    pub(super) fn fuel(&self) -> i64 {
        if self.fuel_time == self.latest.time { self.latest.fuel } else { NULL }
    }

    /// The version of the board at its last change.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// The last windows, oldest first.
    pub fn windows(&self) -> &VecDeque<Window> {
        &self.windows
    }

    /// The history of the correlations: event times, and the values of distance and speed. The last point is the
    /// current one.
    pub fn history(&self) -> (Vec<i64>, Vec<Option<f64>>, Vec<Option<f64>>) {
        let mut points = self.history.points.clone();
        if self.latest.time != NULL {
            points.retain(|point| point.0 < self.latest.time);
            points.push(Point(self.latest.time, self.distance_r as f32, self.speed_r as f32));
        }
        // Written with the digits of a float, not of a double.
        let written =
            |value: f32| defined(value.into()).map(|_| value.to_string().parse().unwrap_or_default());
        (
            points.iter().map(|point| point.0).collect(),
            points.iter().map(|point| written(point.1)).collect(),
            points.iter().map(|point| written(point.2)).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_history_reaches_back_to_its_beginning() {
        let mut past = History::default();
        for time in 0..10_000 {
            past.push(Point(time, 0.0, 0.0), 16);
            assert!(past.points.len() <= 16);
        }
        assert_eq!(past.points[0].0, 0);
        let gaps: Vec<i64> = past.points.windows(2).map(|two| two[1].0 - two[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0]) && past.points.len() >= 8, "{gaps:?}");
        // A correction removes all later points.
        past.push(Point(-1, 1.0, 1.0), 16);
        assert_eq!(past.points, [Point(-1, 1.0, 1.0)]);
    }
}
