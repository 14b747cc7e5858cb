//! The stored state: the position of each partition, and the segments of its kept readings.
//!
//! A key is `kind | length of the topic LEB128 | topic | partition i32`; that of a segment goes on with
//! `epoch u64 | number u32`. The value of a position is `latest event time i64 | last offset i64`.

use std::sync::Arc;

use super::segments::{SegmentId, is_segment};
use crate::state::{push_end, push_entry, push_length, take_length};

const POSITION: u8 = b'p';
const SEGMENT: u8 = b's';

/// A partition of a topic.
pub(super) type Partition = (Arc<str>, i32);

/// An entry of the state of a partition.
#[derive(Debug, PartialEq)]
pub(super) enum Entry<'a> {
    /// The latest event time, and the offset of the last reading.
    Position(i64, i64),
    /// Kept readings.
    Segment(SegmentId, &'a [u8]),
}

/// Collects changes of the state.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub bytes: Vec<u8>,
    /// The number of new entries minus the number of removed ones.
    pub added: i64,
    key: Vec<u8>,
}

impl Changes {
    pub fn put_position(&mut self, partition: &Partition, latest: i64, offset: i64, is_new: bool) {
        write_key(&mut self.key, POSITION, partition);
        push_entry(&mut self.bytes, &self.key, |out| {
            out.extend_from_slice(&latest.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        });
        self.added += i64::from(is_new);
    }

    pub fn end_position(&mut self, partition: &Partition) {
        write_key(&mut self.key, POSITION, partition);
        push_end(&mut self.bytes, &self.key);
        self.added -= 1;
    }

    pub fn put_segment(&mut self, partition: &Partition, id: SegmentId, bytes: &[u8]) {
        write_segment_key(&mut self.key, partition, id);
        push_entry(&mut self.bytes, &self.key, |out| out.extend_from_slice(bytes));
        self.added += 1;
    }

    pub fn end_segment(&mut self, partition: &Partition, id: SegmentId) {
        write_segment_key(&mut self.key, partition, id);
        push_end(&mut self.bytes, &self.key);
        self.added -= 1;
    }
}

fn write_key(key: &mut Vec<u8>, kind: u8, (topic, partition): &Partition) {
    key.clear();
    key.push(kind);
    push_length(key, topic.len());
    key.extend_from_slice(topic.as_bytes());
    key.extend_from_slice(&partition.to_le_bytes());
}

fn write_segment_key(key: &mut Vec<u8>, partition: &Partition, (epoch, number): SegmentId) {
    write_key(key, SEGMENT, partition);
    key.extend_from_slice(&epoch.to_le_bytes());
    key.extend_from_slice(&number.to_le_bytes());
}

/// Parses an entry.
pub(super) fn read<'a>(key: &[u8], value: &'a [u8]) -> Option<(Partition, Entry<'a>)> {
    let (&kind, mut key) = key.split_first()?;
    let length = take_length(&mut key)?;
    let (topic, key) = key.split_at_checked(length)?;
    let (partition, key) = key.split_first_chunk::<4>()?;
    let partition = (std::str::from_utf8(topic).ok()?.into(), i32::from_le_bytes(*partition));
    let entry = match (kind, key) {
        (POSITION, []) => {
            let ([latest, offset], []) = value.as_chunks::<8>() else { return None };
            Entry::Position(i64::from_le_bytes(*latest), i64::from_le_bytes(*offset))
        }
        (SEGMENT, key) => {
            let (epoch, number) = key.split_first_chunk::<8>()?;
            let number = u32::from_le_bytes(number.try_into().ok()?);
            let id = (u64::from_le_bytes(*epoch), number);
            is_segment(value).then_some(Entry::Segment(id, value))?
        }
        _ => return None,
    };
    Some((partition, entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::entries;

    #[test]
    fn entries_are_read_back() {
        let partition: Partition = ("näher".into(), 7);
        let segment = [1u8, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b'];
        let mut changes = Changes::default();
        changes.put_position(&partition, -5, 41, true);
        changes.put_segment(&partition, (1 << 40, 3), &segment);
        changes.end_segment(&partition, (1 << 40, 3));
        changes.put_position(&partition, -4, 42, false);
        changes.end_position(&partition);
        assert_eq!(changes.added, 0);
        let entries: Vec<_> = entries(&changes.bytes).map(|entry| entry.expect("entries parse")).collect();
        let expected = [Entry::Position(-5, 41), Entry::Segment((1 << 40, 3), &segment)];
        for ((key, value), expected) in entries.iter().zip(expected) {
            assert_eq!(read(key, value), Some((partition.clone(), expected)));
            for cut in 0..key.len() {
                assert_eq!(read(&key[..cut], value), None);
            }
            for cut in 0..value.len() {
                assert_eq!(read(key, &value[..cut]), None);
            }
        }
        assert_eq!((entries[0].0, entries[1].0), (entries[4].0, entries[2].0));
        assert!(entries[2].1.is_empty() && entries[4].1.is_empty());
    }
}
