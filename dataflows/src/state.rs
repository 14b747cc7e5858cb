//! The format of a view's state.
//!
//! A state change is a list of entries, each a key and its new value, both opaque bytes. The later value of a key
//! replaces the earlier one, so [`Fold`] can fold changes of any view into a snapshot. An empty value deletes its
//! key. An entry is `length key length value`, with lengths as LEB128.

use std::collections::HashSet;

use foldhash::fast::RandomState;

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

/// Folds the changes of a view, newest first, into the parts of a snapshot. Only the snapshot and its keys are kept
/// in memory.
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
    known: HashSet<Box<[u8]>, RandomState>,
    parts: Vec<Vec<u8>>,
    part_size: usize,
}

impl Fold {
    /// Folds into parts of about `part_size` bytes.
    pub fn new(part_size: usize) -> Self {
        Self { known: HashSet::default(), parts: vec![Vec::new()], part_size }
    }

    /// Adds a change that is older than the previous ones.
    pub fn older(&mut self, change: &[u8]) -> Result<(), Damaged> {
        let entries: Vec<_> = entries(change).collect::<Result<_, _>>()?;
        // The latest entry of a key comes first.
        for (key, value) in entries.into_iter().rev() {
            if self.known.contains(key) {
                continue;
            }
            self.known.insert(key.into());
            if value.is_empty() {
                continue;
            }
            if self.parts.last().is_some_and(|part| part.len() >= self.part_size) {
                self.parts.push(Vec::with_capacity(self.part_size + self.part_size / 8));
            }
            if let Some(part) = self.parts.last_mut() {
                push_entry(part, key, |out| out.extend_from_slice(value));
            }
        }
        Ok(())
    }

    /// The parts of the snapshot.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.parts
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
