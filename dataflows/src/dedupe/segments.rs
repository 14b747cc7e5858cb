//! The fields and times of kept readings, in segments of bytes.
//!
//! A segment has what was kept in one epoch. It is stored as it is, and forgotten as a whole when its latest reading
//! is, so that the state needs one deletion for many readings. An entry is `time i64 | length LEB128 | fields`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Epoch;
use crate::state::{push_length, take_length};

/// A segment of this size takes no more entries.
const SEGMENT_BYTES: usize = 64 << 10;

/// Identifies a segment of a partition: the epoch in which it was filled, and its number there.
pub(super) type SegmentId = (Epoch, u32);

/// Where an entry is: the index of its segment, and its place in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    segment: u32,
    at: u32,
}

#[derive(Debug, Default)]
pub(super) struct Segment {
    pub id: SegmentId,
    pub bytes: Vec<u8>,
    /// Its latest event time.
    latest: i64,
}

/// The segments of a partition.
#[derive(Debug, Default)]
pub(super) struct Segments {
    all: Vec<Segment>,
    /// The indexes of forgotten segments.
    free: Vec<u32>,
    /// The closed segments by their latest event time.
    closed: BinaryHeap<Reverse<(i64, u32)>>,
    /// The segments of the epoch that have not been taken as changes; the last one is open.
    fresh: Vec<u32>,
    /// The id of the next segment.
    next: SegmentId,
}

impl Segments {
    /// Begins an epoch.
    pub fn begin(&mut self, epoch: Epoch) {
        self.next = (epoch, 0);
    }

    /// Adds an entry.
    pub fn push(&mut self, fields: &[u8], time: i64) -> Slot {
        let open = self.fresh.last().copied().filter(|open| self.at(*open).bytes.len() < SEGMENT_BYTES);
        let index = open.unwrap_or_else(|| {
            let fresh = self.add(Segment { id: self.next, bytes: Vec::new(), latest: i64::MIN });
            self.next.1 += 1;
            self.fresh.push(fresh);
            fresh
        });
        let segment = &mut self.all[index as usize];
        let at = segment.bytes.len() as u32;
        segment.latest = segment.latest.max(time);
        segment.bytes.extend_from_slice(&time.to_le_bytes());
        push_length(&mut segment.bytes, fields.len());
        segment.bytes.extend_from_slice(fields);
        Slot { segment: index, at }
    }

    fn add(&mut self, segment: Segment) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.all[index as usize] = segment;
                index
            }
            None => {
                self.all.push(segment);
                self.all.len() as u32 - 1
            }
        }
    }

    /// Adds a stored segment, whose entries are valid. Returns its index.
    pub fn restore(&mut self, id: SegmentId, bytes: Vec<u8>) -> u32 {
        let latest = entries(&bytes).map(|(_, (time, _))| time).max().unwrap_or(i64::MIN);
        let index = self.add(Segment { id, bytes, latest });
        self.closed.push(Reverse((latest, index)));
        index
    }

    /// Ends an epoch: the segments that were filled in it.
    pub fn end(&mut self) -> impl Iterator<Item = &Segment> {
        let fresh = std::mem::take(&mut self.fresh);
        let latest = |index: &u32| Reverse((self.all[*index as usize].latest, *index));
        self.closed.extend(fresh.iter().map(latest));
        fresh.into_iter().map(|index| &self.all[index as usize])
    }

    /// Removes a closed segment without an entry at `horizon` or later.
    pub fn forget(&mut self, horizon: i64) -> Option<(u32, Segment)> {
        let Reverse((latest, index)) = *self.closed.peek()?;
        (latest < horizon).then(|| {
            self.closed.pop();
            self.free.push(index);
            (index, std::mem::take(&mut self.all[index as usize]))
        })
    }

    /// All segments, at the end of an epoch.
    pub fn all(&self) -> impl Iterator<Item = &Segment> {
        self.closed.iter().map(|Reverse((_, index))| self.at(*index))
    }

    /// The fields of an entry.
    pub fn fields(&self, slot: Slot) -> &[u8] {
        self.entry(slot).1
    }

    /// The event time of an entry.
    pub fn time(&self, slot: Slot) -> i64 {
        self.entry(slot).0
    }

    fn entry(&self, slot: Slot) -> (i64, &[u8]) {
        let mut bytes = &self.at(slot.segment).bytes[slot.at as usize..];
        take_entry(&mut bytes).expect("a slot is the beginning of an entry")
    }

    fn at(&self, index: u32) -> &Segment {
        &self.all[index as usize]
    }

    /// The entries of the segment with this index.
    pub fn entries(&self, index: u32) -> impl Iterator<Item = (Slot, i64, &[u8])> {
        slots(index, &self.at(index).bytes)
    }
}

/// The entries of these bytes, which are those of the segment with this index.
pub(super) fn slots(index: u32, bytes: &[u8]) -> impl Iterator<Item = (Slot, i64, &[u8])> {
    entries(bytes).map(move |(at, (time, fields))| (Slot { segment: index, at: at as u32 }, time, fields))
}

/// Whether these are the bytes of a segment.
pub(super) fn is_segment(bytes: &[u8]) -> bool {
    let end = entries(bytes).last().map(|(at, (_, fields))| {
        let mut length = Vec::new();
        push_length(&mut length, fields.len());
        at + 8 + length.len() + fields.len()
    });
    end == Some(bytes.len())
}

/// Entries with their places, up to the first that does not parse.
fn entries(bytes: &[u8]) -> impl Iterator<Item = (usize, (i64, &[u8]))> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let at = bytes.len() - rest.len();
        Some((at, take_entry(&mut rest)?))
    })
}

fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<(i64, &'a [u8])> {
    let (time, mut rest) = bytes.split_first_chunk::<8>()?;
    let length = take_length(&mut rest)?;
    let (fields, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((i64::from_le_bytes(*time), fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_forgotten_when_its_latest_entry_is() {
        let mut segments = Segments::default();
        let mut slots = Vec::new();
        for (epoch, times) in [(1, [5, 3]), (2, [4, 4]), (3, [9, 1])] {
            segments.begin(epoch);
            slots.extend(times.map(|time| segments.push(&[time as u8; 200], time)));
            assert_eq!(segments.end().map(|segment| segment.id).collect::<Vec<_>>(), [(epoch, 0)]);
        }
        assert_eq!((segments.time(slots[1]), segments.fields(slots[1])), (3, &[3; 200][..]));
        let mut forget = |horizon| segments.forget(horizon).map(|(_, segment)| segment.id);
        assert_eq!([forget(4), forget(5), forget(5), forget(6)], [None, Some((2, 0)), None, Some((1, 0))]);
        assert_eq!(segments.all().map(|segment| segment.id).collect::<Vec<_>>(), [(3, 0)]);
        // The space of a forgotten segment is used again.
        segments.begin(4);
        segments.push(b"", 7);
        assert_eq!((segments.end().count(), segments.all.len()), (1, 3));
    }

    #[test]
    fn a_full_segment_is_followed_by_another() {
        let mut segments = Segments::default();
        segments.begin(7);
        let slots: Vec<_> = (0..2000).map(|time| segments.push(&[0; 100], time)).collect();
        let ids: Vec<_> = segments.end().map(|segment| segment.id).collect();
        assert_eq!(ids, [(7, 0), (7, 1), (7, 2), (7, 3)]);
        assert!((0..).zip(slots).all(|(time, slot)| segments.time(slot) == time));
    }

    #[test]
    fn bytes_of_other_lengths_are_no_segment() {
        let mut segments = Segments::default();
        for length in [0, 1, 127, 128, 300] {
            segments.push(&vec![7; length], -1);
        }
        let bytes = segments.end().next().unwrap().bytes.clone();
        let ends: Vec<_> = (0..=bytes.len()).filter(|end| is_segment(&bytes[..*end])).collect();
        assert_eq!(ends, [9, 19, 155, 293, 603]);
    }
}
