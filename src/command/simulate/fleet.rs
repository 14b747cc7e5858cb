//! Merges the readings of all trucks in the order of event time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::binary_heap::{BinaryHeap, PeekMut};

use super::truck::{Departure, Reading, Truck};
use crate::store::LastReading;

/// The trucks that still drive. At equal event times, the truck with the lower number comes first.
pub(super) struct Fleet {
    trucks: Vec<Truck>,
    /// Event time and truck of each next reading.
    due: BinaryHeap<Reverse<(i64, usize)>>,
}

impl Fleet {
    /// One truck per name. Those in `resume` continue from their last reading, the others start at `start`.
    pub(super) fn new(names: &[String], seed: u64, start: i64, resume: &[LastReading]) -> Fleet {
        let resume: HashMap<&str, &LastReading> =
            resume.iter().map(|last| (last.truck.as_str(), last)).collect();
        let departure = |name: &String| match resume.get(name.as_str()) {
            None => Departure::At(start),
            Some(last) => {
                Departure::After { micros: last.timestamp_micros, distance: last.distance, fuel: last.fuel }
            }
        };
        let trucks: Vec<Truck> =
            names.iter().enumerate().map(|(n, name)| Truck::new(n, seed, departure(name))).collect();
        let due = trucks.iter().enumerate().map(|(n, truck)| Reverse((truck.due(), n))).collect();
        Fleet { trucks, due }
    }
}

impl Iterator for Fleet {
    type Item = Reading;

    fn next(&mut self) -> Option<Reading> {
        let mut first = self.due.peek_mut()?;
        let truck = &mut self.trucks[first.0.1];
        let (reading, more) = truck.take();
        if more {
            first.0.0 = truck.due();
        } else {
            PeekMut::pop(first);
        }
        Some(reading)
    }
}
