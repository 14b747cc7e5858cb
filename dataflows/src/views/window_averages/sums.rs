//! The sums of readings per truck and window, the unit in which batches reach their windows.

use std::collections::HashMap;

use differential_dataflow::difference::{Abelian, Semigroup};
use serde::{Deserialize, Serialize};

use crate::accumulation::{Accumulation, Narrow};
use crate::batch::{Batch, Measure, NANO, Truck};
use crate::real::ratio;

/// The sums of a truck's readings in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Sums {
    /// Event time with distance covered.
    pub distance: Accumulation,
    /// Event time with engine speed.
    pub speed: Accumulation,
    pub fuel: i128,
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.distance.plus_equals(&other.distance);
        self.speed.plus_equals(&other.speed);
        self.fuel = self.fuel.wrapping_add(other.fuel);
    }

    fn negate(&mut self) {
        self.distance.negate();
        self.speed.negate();
        self.fuel = self.fuel.wrapping_neg();
    }

    pub fn samples(&self) -> i64 {
        self.distance.samples()
    }

    /// The average in units of a sum in nano-units.
    pub fn average(&self, sum: i128) -> f64 {
        ratio(sum, i128::from(self.samples()) * i128::from(NANO)).unwrap_or(f64::NAN)
    }
}

/// A window: the truck's name and the window's start.
pub(super) type Window = (Truck, i64);

/// The part of a batch for a window of a truck: the window's start, the sums to add, and the latest event time in it.
pub(super) type Part = (i64, Sums, i64);

/// The start of the window that contains an event.
#[inline]
pub(super) fn start_of(time: i64, length: i64) -> i64 {
    time.div_euclid(length).saturating_mul(length)
}

/// Aggregates a batch per truck and window, separately for insertions and retractions.
pub(super) fn parts(batch: &Batch, length: i64) -> impl Iterator<Item = (Truck, Part)> {
    struct Open {
        distance: Narrow,
        speed: Narrow,
        fuel: i128,
        latest: i64,
    }
    let [distance, speed, fuel] = Measure::ALL.map(|measure| batch.measure(measure));
    let mut open: HashMap<(u32, i64, bool), usize> = HashMap::new();
    let mut sums: Vec<((u32, i64, bool), Open)> = Vec::new();
    for (place, &time) in batch.time.iter().enumerate() {
        let key = (batch.truck[place], start_of(time, length), batch.sign(place) < 0);
        let (distance, speed, fuel) = (distance[place], speed[place], fuel[place]);
        // Neighbouring records are mostly of the same truck and window.
        let found = match sums.last() {
            Some((last, _)) if *last == key => Some(sums.len() - 1),
            _ => open.get(&key).copied(),
        };
        match found {
            Some(at) => {
                let sums = &mut sums[at].1;
                sums.distance.push(time, distance);
                sums.speed.push(time, speed);
                sums.fuel += i128::from(fuel);
                sums.latest = sums.latest.max(time);
            }
            None => {
                open.insert(key, sums.len());
                let (distance, speed) = (Narrow::start(time, distance), Narrow::start(time, speed));
                sums.push((key, Open { distance, speed, fuel: fuel.into(), latest: time }));
            }
        }
    }
    let trucks = batch.trucks.clone();
    sums.into_iter().map(move |((truck, start, taken), open)| {
        let mut sums = Sums { distance: open.distance.finish(), speed: open.speed.finish(), fuel: open.fuel };
        if taken {
            sums.negate();
        }
        // A retracted reading does not advance time.
        let latest = if taken { i64::MIN } else { open.latest };
        (trucks[truck as usize].clone(), (start, sums, latest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_includes_its_start_and_excludes_its_end() {
        for (time, start) in [(0, 0), (299, 0), (300, 300), (-1, -300), (-300, -300), (-301, -600)] {
            assert_eq!(start_of(time, 300), start);
        }
    }
}
