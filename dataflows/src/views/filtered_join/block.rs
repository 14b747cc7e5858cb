//! Sorted readings of a truck that are near each other in time: the unit of the join.
//!
//! Single readings would be updates of an arrangement, sorted and merged again and again. Blocks of a stretch of time
//! are joined a block at a time, and two blocks are only compared if their times overlap.

use serde::{Deserialize, Serialize};

use crate::batch::Entity;

/// Blocks of the same stretch of event time can be joined. It is short enough that a truck has few blocks in it if
/// each epoch adds one, and long enough that a block has many readings if an epoch spans hours.
const STRETCH: i64 = 30_000_000;

/// The start of the stretch that contains an event, in microseconds.
pub(super) fn stretch_of(time: i64) -> i64 {
    time.div_euclid(STRETCH).saturating_mul(STRETCH)
}

/// The end of a stretch.
pub(super) fn end_of(stretch: i64) -> i64 {
    stretch.saturating_add(STRETCH)
}

/// Event time, distance covered, engine speed.
pub(super) type Reading = (i64, i64, i64);

/// One or more sorted readings of one truck and one stretch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Block(Vec<Reading>);

impl Block {
    /// A block of sorted readings; none if there are no readings.
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

    /// Whether its times overlap those from `first` to `last`.
    pub fn reaches(&self, first: i64, last: i64) -> bool {
        self.first() <= last && first <= self.last()
    }

    /// Whether readings of both can have the same timestamp.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.reaches(other.first(), other.last())
    }

    /// The number of readings with a timestamp.
    pub fn count(&self, time: i64) -> usize {
        let from = self.0.partition_point(|reading| reading.0 < time);
        self.0[from..].iter().take_while(|reading| reading.0 == time).count()
    }

    /// The distinct timestamps.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        self.0.chunk_by(|a, b| a.0 == b.0).map(|readings| readings[0].0)
    }

    /// Calls `pair` for each of its readings above `threshold` with each reading of `all` with the same timestamp.
    pub fn for_each_pair(&self, all: &Self, threshold: i64, mut pair: impl FnMut(&Reading, &Reading)) {
        let mut rest = &all.0[..];
        for above in self.0.iter().filter(|reading| reading.2 > threshold) {
            let before = rest.iter().take_while(|reading| reading.0 < above.0).count();
            rest = &rest[before..];
            rest.iter().take_while(|reading| reading.0 == above.0).for_each(|other| pair(above, other));
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

    /// Parses a block that [`write`](Self::write) wrote.
    pub fn read(numbers: impl Iterator<Item = i64>) -> Option<Self> {
        let mut numbers = numbers.peekable();
        let mut readings = Vec::new();
        while numbers.peek().is_some() {
            readings.push((numbers.next()?, numbers.next()?, numbers.next()?));
        }
        readings.is_sorted().then(|| Self::of(readings)).flatten()
    }
}

/// The join key of blocks: the truck and the stretch.
pub(super) type BlockKey = (Entity, i64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stretch_includes_its_start_and_excludes_its_end() {
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
        fn joining_blocks_equals_joining_their_readings(a in block(), b in block(), threshold in -1i64..3) {
            let mut joined = Vec::new();
            a.for_each_pair(&b, threshold, |above, other| joined.push((*above, *other)));
            let mut expected = Vec::new();
            for above in a.0.iter().filter(|reading| reading.2 > threshold) {
                expected.extend(b.0.iter().filter(|other| other.0 == above.0).map(|other| (*above, *other)));
            }
            prop_assert!(expected.is_empty() || a.overlaps(&b));
            prop_assert_eq!(joined, expected);
            for time in 0..12 {
                prop_assert_eq!(a.count(time), a.0.iter().filter(|reading| reading.0 == time).count());
            }
        }

        #[test]
        fn a_block_is_read_back(block in block()) {
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
