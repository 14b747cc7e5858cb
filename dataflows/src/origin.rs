//! The origin of the records of a batch, and their bytes.
//!
//! A view that discards old state may drop a record as late, long after it was decoded. Its dead letter has the exact
//! bytes, so they are kept with the batch until this is decided. [`dedupe`](crate::dedupe) needs only the positions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dead_letter::{DeadLetter, Reason};
use crate::null::NULL;

/// The origins of the records of a batch, in their order.
///
/// ```
/// use dataflows::dead_letter::Reason;
/// use dataflows::origin::Origin;
///
/// let mut origin = Origin::new("Entity-Data".into());
/// origin.push(3, 41, None, Some(b"truck-1"), None, b"{...}");
/// let letter = origin.dead_letter(0, Reason::Late, "window_averages");
/// assert_eq!((letter.partition, letter.offset, letter.payload.as_deref()), (3, 41, Some(&b"{...}"[..])));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The topic, or the path of the input file.
    topic: Arc<str>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    /// Kafka's timestamps in milliseconds; [`NULL`] if there was none.
    timestamps: Vec<i64>,
    /// Concatenated keys and payloads.
    bytes: Vec<u8>,
    /// The ends of the key and the payload of each record in `bytes`.
    ends: Vec<(u32, u32)>,
    /// The records that had a key.
    keyed: Vec<bool>,
    /// The places of readings among those of their messages; [`WHOLE`] for one that is its whole message.
    places: Vec<u32>,
    /// Whether it has neither timestamps nor bytes.
    is_bare: bool,
}

/// Where a reading is: its partition, the offset of its message, and its place in the message.
pub(crate) type Position = (i32, i64, u32);

/// The place of a reading that is its whole message.
const WHOLE: u32 = u32::MAX;

impl Origin {
    /// An empty origin for records of this topic.
    pub fn new(topic: Arc<str>) -> Self {
        Self { topic, ..Self::default() }
    }

    /// An empty origin that keeps no timestamps and bytes, so that its records cannot become dead letters.
    pub fn bare(topic: Arc<str>) -> Self {
        Self { topic, is_bare: true, ..Self::default() }
    }

    /// The topic, or the path of the input file.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Adds the origin of the next record. `place` is its place among the readings of its message, if that has several;
    /// `payload` then has the bytes of the reading alone.
    pub fn push(
        &mut self,
        partition: i32,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        place: Option<u32>,
        payload: &[u8],
    ) {
        self.partitions.push(partition);
        self.offsets.push(offset);
        self.places.push(place.unwrap_or(WHOLE));
        if self.is_bare {
            return;
        }
        self.timestamps.push(timestamp.unwrap_or(NULL));
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let key_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(payload);
        self.ends.push((key_end, self.bytes.len() as u32));
        self.keyed.push(key.is_some());
    }

    /// Where the `index`-th record is.
    pub(crate) fn position(&self, index: usize) -> Position {
        (self.partitions[index], self.offsets[index], self.places[index])
    }

    /// The origins of the records at `rows`.
    pub(crate) fn only(&self, rows: &[u32]) -> Self {
        let mut only = Self { topic: self.topic.clone(), is_bare: self.is_bare, ..Self::default() };
        for index in rows.iter().map(|row| *row as usize) {
            only.partitions.push(self.partitions[index]);
            only.offsets.push(self.offsets[index]);
            only.places.push(self.places[index]);
            if self.is_bare {
                continue;
            }
            only.timestamps.push(self.timestamps[index]);
            only.keyed.push(self.keyed[index]);
            let (start, (key_end, end)) = (self.start(index), self.ends[index]);
            let before = only.bytes.len();
            only.bytes.extend_from_slice(&self.bytes[start..end as usize]);
            only.ends.push(((before + key_end as usize - start) as u32, only.bytes.len() as u32));
        }
        only
    }

    /// Where the bytes of the `index`-th record begin.
    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before].1) as usize
    }

    /// Takes everything that was pushed.
    pub fn take(&mut self) -> Self {
        let empty = Self {
            topic: self.topic.clone(),
            is_bare: self.is_bare,
            bytes: Vec::with_capacity(self.bytes.len()),
            ends: Vec::with_capacity(self.ends.len()),
            ..Self::default()
        };
        std::mem::replace(self, empty)
    }

    /// The `index`-th record as a dead letter.
    pub fn dead_letter(&self, index: usize, reason: Reason, field: &str) -> DeadLetter {
        let (start, (key_end, end)) = (self.start(index), self.ends[index]);
        let key = &self.bytes[start..key_end as usize];
        DeadLetter {
            topic: self.topic.clone(),
            partition: self.partitions[index],
            offset: self.offsets[index],
            kafka_timestamp: Some(self.timestamps[index]).filter(|timestamp| *timestamp != NULL),
            key: self.keyed[index].then(|| key.to_vec()),
            place: Some(self.places[index]).filter(|place| *place != WHOLE),
            payload: Some(self.bytes[key_end as usize..end as usize].to_vec()),
            reason,
            field: field.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_has_the_bytes_of_its_record() {
        let mut origin = Origin::new("topic".into());
        for _ in 0..2 {
            origin.push(1, 7, Some(5), Some(b"key"), Some(4), b"\xff one");
            origin.push(2, 8, None, None, None, b"two");
            origin.push(3, 9, None, Some(b""), None, b"");
            let taken = origin.take();
            let letters: Vec<_> = (0..3).map(|index| taken.dead_letter(index, Reason::Late, "v")).collect();
            assert_eq!(letters[0].key.as_deref(), Some(&b"key"[..]));
            assert_eq!(letters[0].payload.as_deref(), Some(&b"\xff one"[..]));
            assert_eq!(
                (letters[0].partition, letters[0].offset, letters[0].kafka_timestamp),
                (1, 7, Some(5))
            );
            assert_eq!((letters[1].key.as_deref(), letters[1].payload.as_deref()), (None, Some(&b"two"[..])));
            assert_eq!(
                (letters[2].key.as_deref(), letters[2].payload.as_deref()),
                (Some(&b""[..]), Some(&b""[..]))
            );
            assert_eq!(letters[1].kafka_timestamp, None);
            assert_eq!((letters[0].place, letters[1].place), (Some(4), None));
            let only = taken.only(&[2, 0]);
            let letter = |index| only.dead_letter(index, Reason::Late, "v");
            assert_eq!([letter(0), letter(1)], [letters[2].clone(), letters[0].clone()]);
            assert_eq!((only.position(0), only.position(1)), ((3, 9, WHOLE), (1, 7, 4)));
        }
    }

    #[test]
    fn a_bare_origin_has_positions_only() {
        let mut origin = Origin::bare("topic".into());
        for offset in 0..3 {
            origin.push(1, offset, Some(5), Some(b"key"), Some(4), b"payload");
        }
        let taken = origin.take();
        assert_eq!((taken.bytes.len(), taken.only(&[2]).position(0)), (0, (1, 2, 4)));
        assert!(origin.is_bare && **origin.topic() == *"topic");
    }
}
