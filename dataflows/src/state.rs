//! The format of a view's state.
//!
//! A state change is a list of entries, each a key and its new value, both opaque bytes. The later value of a key
//! replaces the earlier one, so [`Fold`] can fold changes of any view into a snapshot. An empty value deletes its
//! key. An entry is `length key length value`, with lengths as LEB128.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Appends an entry; `value` writes the value's bytes.
pub fn push_entry(out: &mut Vec<u8>, key: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    push_length(out, key.len());
    out.extend_from_slice(key);
    // Most lengths fit one byte, which is reserved here and extended if necessary.
    let length_at = out.len();
    out.push(0);
    value(out);
    let mut length = out.len() - length_at - 1;
    let mut last = length_at;
    while length >= 0x80 {
        out[last] = length as u8 | 0x80;
        length >>= 7;
        last += 1;
        out.insert(last, 0);
    }
    out[last] = length as u8;
}

/// The entries of a state change, in order. An `Err` is the last item, and means that the bytes are damaged.
///
/// ```
/// use dataflows::state::{Damaged, entries, push_end, push_entry};
///
/// let mut bytes = Vec::new();
/// push_entry(&mut bytes, b"truck-1", |out| out.extend_from_slice(b"sums"));
/// push_end(&mut bytes, b"truck-2");
/// let read: Result<Vec<_>, Damaged> = entries(&bytes).collect();
/// assert_eq!(read.unwrap(), [(&b"truck-1"[..], &b"sums"[..]), (b"truck-2", b"")]);
/// assert!(entries(&bytes[..5]).any(|entry| entry == Err(Damaged)));
/// ```
pub fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Damaged>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let entry = take_entry(&mut bytes).ok_or(Damaged);
        if entry.is_err() {
            bytes = &[];
        }
        Some(entry)
    })
}

/// State that does not parse. Its checksum was verified before, so this is a bug or the format of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Appends an entry that deletes `key`.
pub fn push_end(out: &mut Vec<u8>, key: &[u8]) {
    push_entry(out, key, |_| {});
}

/// Folds the changes of a view, newest first, into the parts of a snapshot. Only the snapshot and the keys that were deleted
/// are kept in memory.
///
/// ```
/// use dataflows::state::{Fold, entries, push_entry};
///
/// let change = |value: u8| {
///     let mut bytes = Vec::new();
///     push_entry(&mut bytes, b"key", |out| out.push(value));
///     bytes
/// };
/// let mut fold = Fold::new(1 << 20);
/// fold.older(&change(2)).unwrap();
/// fold.older(&change(1)).unwrap();
/// assert_eq!(fold.finish(), [change(2)]);
/// ```
pub struct Fold {
    /// The keys so far, which are where they were written: there may be millions.
    known: HashTable<Place>,
    hasher: RandomState,
    parts: Parts,
    /// The entries of keys that were deleted.
    ended: Parts,
}

/// Where an entry was written: the number of its part, and where it begins there.
#[derive(Clone, Copy)]
struct Place {
    is_end: bool,
    part: u32,
    start: u32,
}

/// Entries in parts of about the same size.
struct Parts {
    parts: Vec<Vec<u8>>,
    size: usize,
}

impl Parts {
    fn new(size: usize) -> Self {
        Self { parts: vec![Vec::new()], size }
    }

    /// Appends an entry; returns the number of its part, and where it begins there.
    fn push(&mut self, key: &[u8], value: &[u8]) -> (u32, u32) {
        if self.parts.last().is_none_or(|part| part.len() >= self.size) {
            self.parts.push(Vec::with_capacity(self.size + self.size / 8));
        }
        let number = self.parts.len() - 1;
        let part = &mut self.parts[number];
        let start = part.len();
        push_entry(part, key, |out| out.extend_from_slice(value));
        (number as u32, start as u32)
    }

    /// The key of an entry.
    fn key(&self, place: Place) -> &[u8] {
        let mut bytes = &self.parts[place.part as usize][place.start as usize..];
        let length = take_length(&mut bytes).unwrap_or_default();
        &bytes[..length]
    }
}

impl Fold {
    /// Folds into parts of about `part_size` bytes.
    pub fn new(part_size: usize) -> Self {
        Self {
            known: HashTable::new(),
            hasher: RandomState::default(),
            parts: Parts::new(part_size),
            ended: Parts::new(part_size),
        }
    }

    /// Adds a change that is older than the previous ones.
    pub fn older(&mut self, change: &[u8]) -> Result<(), Damaged> {
        let entries: Vec<_> = entries(change).collect::<Result<_, _>>()?;
        // The latest entry of a key comes first.
        for (key, value) in entries.into_iter().rev() {
            let Self { known, hasher, parts, ended } = self;
            let hash = hasher.hash_one(key);
            let key_of = |place: &Place| if place.is_end { ended.key(*place) } else { parts.key(*place) };
            if known.find(hash, |place| key_of(place) == key).is_some() {
                continue;
            }
            let is_end = value.is_empty();
            let (part, start) = if is_end { ended.push(key, value) } else { parts.push(key, value) };
            let key_of = |place: &Place| if place.is_end { ended.key(*place) } else { parts.key(*place) };
            known.insert_unique(hash, Place { is_end, part, start }, |place| hasher.hash_one(key_of(place)));
        }
        Ok(())
    }

    /// The parts of the snapshot.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.parts.parts
    }
}

/// Appends a length as LEB128.
pub(crate) fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Takes a length from the front of `bytes`.
pub(crate) fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(length);
        }
    }
    None
}

fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut take = || {
        let length = take_length(bytes)?;
        let (taken, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(taken)
    };
    Some((take()?, take()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn folding_keeps_the_latest_value_of_each_key_that_is_not_deleted(
            changes in prop::collection::vec(prop::collection::vec((0u8..20, prop::collection::vec(any::<u8>(), 0..200)), 0..20), 0..6),
            part_size in 1usize..500,
        ) {
            let mut expected = BTreeMap::new();
            let mut encoded = Vec::new();
            for change in &changes {
                let mut bytes = Vec::new();
                for (key, value) in change {
                    push_entry(&mut bytes, &[*key], |out| out.extend_from_slice(value));
                    expected.insert(vec![*key], value.clone());
                }
                encoded.push(bytes);
            }
            expected.retain(|_, value| !value.is_empty());
            let mut fold = Fold::new(part_size);
            encoded.iter().rev().for_each(|change| fold.older(change).unwrap());
            let parts = fold.finish();
            let got: BTreeMap<_, _> = parts.iter().flat_map(|part| entries(part))
                .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn any_bytes_parse_or_end_with_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(entries(&bytes).count() <= bytes.len());
        }
    }
}
