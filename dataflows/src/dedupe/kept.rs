//! The kept readings of a partition, and the rule by which a reading repeats one of them.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::segments::{Segment, SegmentId, Segments, Slot, slots};
use crate::Epoch;

/// The kept readings of a partition that are not forgotten.
///
/// A reading is forgotten when the latest event time is more than `within` past it, and readings older than that are
/// not checked. So the times of all others differ by at most `within`: there is at most one with the same fields, and
/// it is repeated whenever these fields come again.
#[derive(Debug)]
pub(super) struct Kept {
    within: i64,
    /// The latest event time of the partition; `i64::MIN` before the first.
    latest: i64,
    /// Where each reading is. One that was forgotten may still be here, as long as its segment is.
    slots: HashTable<Slot>,
    segments: Segments,
    hasher: RandomState,
}

impl Kept {
    pub fn new(within: i64) -> Self {
        let (slots, segments) = (HashTable::new(), Segments::default());
        Self { within, latest: i64::MIN, slots, segments, hasher: RandomState::default() }
    }

    pub fn within(&self) -> i64 {
        self.within
    }

    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// Readings before this time are forgotten, and not checked.
    fn horizon(&self) -> i64 {
        self.latest.saturating_sub(self.within)
    }

    /// Begins an epoch.
    pub fn begin(&mut self, epoch: Epoch) {
        self.segments.begin(epoch);
    }

    /// Takes the next reading of the partition. Returns whether it repeats another and has to be dropped.
    pub fn repeats(&mut self, fields: &[u8], time: i64) -> bool {
        self.latest = self.latest.max(time);
        let horizon = self.horizon();
        if time < horizon {
            return false;
        }
        let Self { slots, segments, hasher, .. } = self;
        let hash = hasher.hash_one(fields);
        match slots.find_mut(hash, |slot| segments.fields(*slot) == fields) {
            Some(slot) if segments.time(*slot) >= horizon => return true,
            Some(slot) => *slot = segments.push(fields, time),
            None => {
                let slot = segments.push(fields, time);
                slots.insert_unique(hash, slot, |slot| hasher.hash_one(segments.fields(*slot)));
            }
        }
        false
    }

    /// Ends an epoch: the segments that were filled in it.
    pub fn end(&mut self) -> impl Iterator<Item = &Segment> {
        self.segments.end()
    }

    /// Forgets a segment, of which no reading is checked any more; returns its id.
    pub fn forget(&mut self) -> Option<SegmentId> {
        let (index, segment) = self.segments.forget(self.horizon())?;
        for (slot, _, fields) in slots(index, &segment.bytes) {
            let hash = self.hasher.hash_one(fields);
            if let Ok(entry) = self.slots.find_entry(hash, |other| *other == slot) {
                entry.remove();
            }
        }
        Some(segment.id)
    }

    /// The ids of all segments, at the end of an epoch.
    pub fn ids(&self) -> impl Iterator<Item = SegmentId> {
        self.segments.all().map(|segment| segment.id)
    }

    /// Restores the latest event time.
    pub fn restore_latest(&mut self, latest: i64) {
        self.latest = latest;
    }

    /// Restores a segment. The order of segments does not matter: of several readings with the same fields all but the
    /// latest are forgotten.
    pub fn restore(&mut self, id: SegmentId, bytes: Vec<u8>) {
        let index = self.segments.restore(id, bytes);
        let Self { slots, segments, hasher, .. } = self;
        for (slot, time, fields) in segments.entries(index) {
            let hash = hasher.hash_one(fields);
            match slots.find_mut(hash, |other| segments.fields(*other) == fields) {
                Some(other) if segments.time(*other) < time => *other = slot,
                Some(_) => {}
                None => {
                    slots.insert_unique(hash, slot, |slot| hasher.hash_one(segments.fields(*slot)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes readings, each in an epoch of its own. Returns which of them are kept.
    fn kept(within: i64, readings: &[(&str, i64)]) -> Vec<bool> {
        let mut kept = Kept::new(within);
        (1..)
            .zip(readings)
            .map(|(epoch, (fields, time))| {
                kept.begin(epoch);
                let repeats = kept.repeats(fields.as_bytes(), *time);
                kept.end().for_each(drop);
                while kept.forget().is_some() {}
                !repeats
            })
            .collect()
    }

    #[test]
    fn a_repetition_is_dropped_up_to_the_bound_and_counts_from_the_reading_that_was_kept() {
        assert_eq!(kept(10, &[("a", 0), ("a", 10), ("a", 11)]), [true, false, true]);
        assert_eq!(kept(10, &[("a", 0), ("a", 6), ("a", 12), ("a", 22)]), [true, false, true, false]);
        assert_eq!(kept(0, &[("a", 0), ("a", 0), ("a", 1), ("a", 1)]), [true, false, true, false]);
        assert_eq!(kept(10, &[("a", 0), ("b", 0), ("", 0), ("a", 0)]), [true, true, true, false]);
    }

    #[test]
    fn an_earlier_time_repeats_a_later_one() {
        assert_eq!(kept(10, &[("a", 10), ("a", 0), ("a", 5)]), [true, false, false]);
    }

    #[test]
    fn a_reading_is_forgotten_when_the_latest_time_is_more_than_the_bound_past_it() {
        // At the bound it is still known.
        assert_eq!(kept(10, &[("a", 0), ("b", 10), ("a", 0)]), [true, true, false]);
        // After it, it is not, and readings so old are not checked at all.
        assert_eq!(kept(10, &[("a", 0), ("b", 11), ("a", 0), ("a", 0)]), [true, true, true, true]);
        assert_eq!(kept(10, &[("a", 0), ("b", 11), ("a", 1), ("a", 1)]), [true, true, true, false]);
        // One that is not checked is forgotten at once.
        assert_eq!(kept(10, &[("b", 20), ("a", 9), ("a", 19), ("a", 9)]), [true, true, true, true]);
    }

    #[test]
    fn the_time_of_a_dropped_reading_counts_as_the_latest() {
        assert_eq!(kept(10, &[("c", 0), ("a", 5), ("a", 15), ("c", 0)]), [true, true, false, true]);
    }

    #[test]
    fn times_at_the_ends_of_their_range_do_not_overflow() {
        let (least, most) = (i64::MIN, i64::MAX);
        let readings = [("a", least), ("a", least), ("a", most), ("a", most), ("a", least)];
        assert_eq!(kept(10, &readings), [true, false, true, false, true]);
        assert_eq!(kept(i64::MAX, &[("a", least), ("b", 0), ("a", 0), ("a", 0)]), [true, true, true, false]);
    }

    #[test]
    fn what_is_forgotten_leaves_nothing() {
        let mut kept = Kept::new(10);
        for epoch in 0..1000 {
            kept.begin(epoch);
            for reading in 0..50 {
                kept.repeats(
                    &(reading % 40 + epoch * 40).to_le_bytes(),
                    epoch as i64 * 3 - reading as i64 % 7,
                );
            }
            kept.end().for_each(drop);
            while kept.forget().is_some() {}
        }
        // Five epochs, whose times are at most 16 apart, of 40 readings each.
        assert!((4..=6).contains(&kept.ids().count()), "{}", kept.ids().count());
        assert!((160..=240).contains(&kept.slots.len()), "{}", kept.slots.len());
    }

    #[test]
    fn segments_can_be_restored_in_any_order() {
        let mut first = Kept::new(10);
        let mut stored = Vec::new();
        for (epoch, time) in [(1, 0), (2, 5), (3, 11)] {
            first.begin(epoch);
            first.repeats(b"a", time);
            first.repeats(b"b", time + 1);
            stored.extend(first.end().map(|segment| (segment.id, segment.bytes.clone())));
        }
        assert_eq!(stored.len(), 2, "epoch 2 has repetitions only");
        for order in [[0, 1], [1, 0]] {
            let mut second = Kept::new(10);
            order
                .map(|index| stored[index].clone())
                .into_iter()
                .for_each(|(id, bytes)| second.restore(id, bytes));
            second.restore_latest(first.latest());
            assert!(second.repeats(b"a", 21) && second.repeats(b"b", 11));
        }
    }
}
