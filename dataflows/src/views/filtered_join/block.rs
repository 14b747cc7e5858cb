//! Readings of a truck that are near each other in time, sorted: what the join works on.
//!
//! A reading by itself would be an update of an arrangement, sorted and merged again and again. As blocks
//! of one stretch of time they meet a block at a time, and two blocks are merged only if their times
//! overlap.

use serde::{Deserialize, Serialize};

use crate::batch::Truck;

/// Blocks can meet if they are of the same stretch of event time. Short enough that a truck has few
/// blocks in it where each epoch brings one, long enough that a block is many readings where an epoch is
/// hours.
const STRETCH: i64 = 30_000_000;

/// The start of the stretch that holds an event, in microseconds.
pub(super) fn stretch_of(time: i64) -> i64 {
    time.div_euclid(STRETCH).saturating_mul(STRETCH)
}

/// The time behind a stretch.
pub(super) fn end_of(stretch: i64) -> i64 {
    stretch.saturating_add(STRETCH)
}

/// Event time, distance covered, engine speed.
pub(super) type Reading = (i64, i64, i64);

/// At least one reading, of one truck and one stretch, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Block(Vec<Reading>);

impl Block {
    /// A block of readings that are sorted; none of none.
    pub fn of(readings: Vec<Reading>) -> Option<Self> {
        debug_assert!(readings.is_sorted());
        (!readings.is_empty()).then_some(Self(readings))
    }

    fn first(&self) -> i64 {
        self.0.first().map_or(i64::MAX, |reading| reading.0)
    }

    fn last(&self) -> i64 {
        self.0.last().map_or(i64::MIN, |reading| reading.0)
    }

    /// Whether it reaches into the times from `first` to `last`.
    pub fn reaches(&self, first: i64, last: i64) -> bool {
        self.first() <= last && first <= self.last()
    }

    /// Whether readings of both may share a timestamp.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.reaches(other.first(), other.last())
    }

    /// How many readings it has at a timestamp.
    pub fn count(&self, time: i64) -> usize {
        let from = self.0.partition_point(|reading| reading.0 < time);
        self.0[from..].iter().take_while(|reading| reading.0 == time).count()
    }

    /// The timestamps, each once.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        self.0.chunk_by(|a, b| a.0 == b.0).map(|readings| readings[0].0)
    }

    /// Gives each of its readings faster than `threshold` with each one of `all` at the same timestamp.
    pub fn meet(&self, all: &Self, threshold: i64, mut give: impl FnMut(&Reading, &Reading)) {
        let mut rest = &all.0[..];
        for above in self.0.iter().filter(|reading| reading.2 > threshold) {
            let before = rest.iter().take_while(|reading| reading.0 < above.0).count();
            rest = &rest[before..];
            rest.iter().take_while(|reading| reading.0 == above.0).for_each(|other| give(above, other));
        }
    }

    /// Appends its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.0.len() * size_of::<Reading>());
        for &(time, distance, speed) in &self.0 {
            for number in [time, distance, speed] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    pub fn read(numbers: impl Iterator<Item = i64>) -> Option<Self> {
        let mut numbers = numbers.peekable();
        let mut readings = Vec::new();
        while numbers.peek().is_some() {
            readings.push((numbers.next()?, numbers.next()?, numbers.next()?));
        }
        readings.is_sorted().then(|| Self::of(readings)).flatten()
    }
}

/// What names the blocks that can meet: the truck, and the stretch.
pub(super) type Meeting = (Truck, i64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stretch_holds_its_start_and_not_its_end() {
        for time in [0, 1, STRETCH - 1, -1, -STRETCH, i64::MAX, i64::MIN + STRETCH] {
            let start = stretch_of(time);
            assert!(start <= time && (time < end_of(start) || end_of(start) == i64::MAX), "{time}");
        }
        assert_eq!((stretch_of(-1), end_of(-STRETCH)), (-STRETCH, 0));
    }

    prop_compose! {
        fn block()(mut readings in prop::collection::vec((0i64..12, 0i64..3, 0i64..3), 1..20)) -> Block {
            readings.sort_unstable();
            Block(readings)
        }
    }

    proptest! {
        #[test]
        fn blocks_meet_as_their_readings_do(a in block(), b in block(), threshold in -1i64..3) {
            let mut met = Vec::new();
            a.meet(&b, threshold, |above, other| met.push((*above, *other)));
            let mut expected = Vec::new();
            for above in a.0.iter().filter(|reading| reading.2 > threshold) {
                expected.extend(b.0.iter().filter(|other| other.0 == above.0).map(|other| (*above, *other)));
            }
            prop_assert!(expected.is_empty() || a.overlaps(&b));
            prop_assert_eq!(met, expected);
            for time in 0..12 {
                prop_assert_eq!(a.count(time), a.0.iter().filter(|reading| reading.0 == time).count());
            }
        }

        #[test]
        fn a_block_is_read_as_it_was_written(block in block()) {
            let mut bytes = Vec::new();
            block.write(&mut bytes);
            let (numbers, rest) = bytes.as_chunks::<8>();
            prop_assert!(rest.is_empty());
            let numbers = numbers.iter().map(|number| i64::from_le_bytes(*number));
            prop_assert_eq!(Block::read(numbers.clone()), Some(block));
            prop_assert_eq!(Block::read(numbers.skip(1)), None);
        }
    }
}
