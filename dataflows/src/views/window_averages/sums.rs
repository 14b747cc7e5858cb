//! The sums of readings per truck and window, the unit in which batches reach their windows.

use std::collections::HashMap;

use differential_dataflow::difference::{Abelian, Semigroup};
use serde::{Deserialize, Serialize};

use crate::accumulation::{Accumulation, Narrow};
use crate::batch::{Batch, Entity, NANO};
use crate::real::ratio;
use crate::rows::NULL;
use crate::views::wanted::Measures;

/// The sums of a truck's readings in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Sums {
    /// The number of readings.
    pub samples: i64,
    /// Event time with distance covered.
    pub distance: Accumulation,
    /// Event time with engine speed.
    pub speed: Accumulation,
    /// The number of readings with fuel consumed, and their sum.
    pub fuel: (i64, i128),
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.samples = self.samples.wrapping_add(other.samples);
        self.distance.plus_equals(&other.distance);
        self.speed.plus_equals(&other.speed);
        self.fuel = (self.fuel.0.wrapping_add(other.fuel.0), self.fuel.1.wrapping_add(other.fuel.1));
    }

    fn negate(&mut self) {
        self.samples = self.samples.wrapping_neg();
        self.distance.negate();
        self.speed.negate();
        self.fuel = (self.fuel.0.wrapping_neg(), self.fuel.1.wrapping_neg());
    }
}

/// The average of `n` values from their sum in nano-units; NaN, which is NULL, if there are none.
pub(super) fn average(n: i64, sum: i128) -> f64 {
    ratio(sum, i128::from(n) * i128::from(NANO)).unwrap_or(f64::NAN)
}

/// A window: the truck's name and the window's start.
pub(super) type Window = (Entity, i64);

/// The part of a batch for a window of a truck: the window's start, the sums to add, and the latest event time in it.
pub(super) type Part = (i64, Sums, i64);

/// The start of the window that contains an event.
#[inline]
pub(super) fn start_of(time: i64, length: i64) -> i64 {
    time.div_euclid(length).saturating_mul(length)
}

/// Whether a time is in the window that starts at `start`, without the division that [`start_of`] takes.
#[inline]
fn is_within(time: i64, start: i64, length: i64) -> bool {
    time >= start && time.wrapping_sub(start) < length
}

/// Sums of pairs of event time and a measure, without those whose measure is NULL.
#[derive(Clone, Copy, Default)]
struct Pairs(Option<Narrow>);

impl Pairs {
    #[inline]
    fn push(&mut self, time: i64, value: i64) {
        match &mut self.0 {
            _ if value == NULL => {}
            Some(sums) => sums.push(time, value),
            none => *none = Some(Narrow::start(time, value)),
        }
    }

    fn finish(self) -> Accumulation {
        self.0.map(Narrow::finish).unwrap_or_default()
    }
}

/// The sums of a part of a batch.
#[derive(Clone, Copy, Default)]
struct Open {
    samples: i64,
    distance: Pairs,
    speed: Pairs,
    fuel: (i64, i128),
    latest: i64,
}

/// Aggregates a batch per truck and window, separately for insertions and retractions.
pub(super) fn parts(batch: &Batch, measures: Measures, length: i64) -> impl Iterator<Item = (Entity, Part)> {
    let [distance, speed, fuel] =
        [measures.distance, measures.speed, measures.fuel].map(|column| &batch.units[column]);
    let mut open: HashMap<(u32, i64, bool), usize> = HashMap::new();
    let mut sums: Vec<((u32, i64, bool), Open)> = Vec::new();
    // Neighbouring records of a truck are mostly in the same window.
    let mut last_of: Vec<Option<usize>> = vec![None; batch.entities.len()];
    for (place, &time) in batch.time.iter().enumerate() {
        let (entity, taken) = (batch.entity[place], batch.sign(place) < 0);
        let last = &mut last_of[entity as usize];
        let is_same = |at: &usize| sums[*at].0.2 == taken && is_within(time, sums[*at].0.1, length);
        let at = last.filter(is_same).unwrap_or_else(|| {
            let key = (entity, start_of(time, length), taken);
            *open.entry(key).or_insert_with(|| {
                sums.push((key, Open { latest: i64::MIN, ..Open::default() }));
                sums.len() - 1
            })
        });
        *last = Some(at);
        let sums = &mut sums[at].1;
        sums.samples += 1;
        sums.distance.push(time, distance[place]);
        sums.speed.push(time, speed[place]);
        if fuel[place] != NULL {
            sums.fuel = (sums.fuel.0 + 1, sums.fuel.1 + i128::from(fuel[place]));
        }
        sums.latest = sums.latest.max(time);
    }
    let trucks = batch.entities.clone();
    sums.into_iter().map(move |((truck, start, taken), open)| {
        let (distance, speed) = (open.distance.finish(), open.speed.finish());
        let mut sums = Sums { samples: open.samples, distance, speed, fuel: open.fuel };
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
