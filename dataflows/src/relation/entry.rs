//! The entries of operators in their view's state: each key begins with a kind and the number of the operator.

use std::sync::Arc;

use super::kept::{Timed, read_timed, write_timed};
use super::packed;
use super::value::{Value, read_all, read_bytes, take, write_bytes};
use crate::batch::Entity;
use crate::state::{push_end, push_entry};

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The tally of a group, or of one of its windows.
    Tally,
    /// The number of a value in a multiset of a group, or of one of its windows.
    Bag,
    /// The times of a group.
    Times,
    /// The number of equal rows.
    Row,
}

const KINDS: [(u8, Entry); 4] =
    [(b'g', Entry::Tally), (b'b', Entry::Bag), (b'u', Entry::Times), (b'r', Entry::Row)];

/// A change of a view's state.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub bytes: Vec<u8>,
    /// New entries minus removed ones.
    pub added: i64,
    /// The key of an entry that is being written.
    key: Vec<u8>,
}

impl Changes {
    /// Writes an entry: its value, or nothing to remove it. `existed` says whether there was one.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>, existed: bool) {
        self.put_with(key, value.map(|value| |out: &mut Vec<u8>| out.extend_from_slice(value)), existed);
    }

    /// Writes an entry whose value is appended by a function.
    pub fn put_with(&mut self, key: &[u8], value: Option<impl FnOnce(&mut Vec<u8>)>, existed: bool) {
        match value {
            Some(value) => {
                push_entry(&mut self.bytes, key, value);
                self.added += i64::from(!existed);
            }
            None if existed => {
                push_end(&mut self.bytes, key);
                self.added -= 1;
            }
            None => {}
        }
    }

    /// Writes an entry like [`put_with`](Self::put_with); `rest` writes the rest of its key.
    pub fn put_of(
        &mut self,
        (entry, operator): (Entry, u8),
        rest: impl FnOnce(&mut Vec<u8>),
        value: Option<impl FnOnce(&mut Vec<u8>)>,
        existed: bool,
    ) {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        write_key(entry, operator, rest, &mut key);
        self.put_with(&key, value, existed);
        self.key = key;
    }

    /// Writes an entry that is a number; of 0 there is none.
    pub fn put_number(&mut self, key: &[u8], before: i64, after: i64) {
        let value = Some(after).filter(|after| *after != 0).map(i64::to_le_bytes);
        self.put(key, value.as_ref().map(|bytes| &bytes[..]), before != 0);
    }
}

/// The key of an entry.
pub(crate) fn key(entry: Entry, operator: u8, rest: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    write_key(entry, operator, rest, &mut key);
    key
}

fn write_key(entry: Entry, operator: u8, rest: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let kind = KINDS.iter().find(|(_, other)| *other == entry).map_or(0, |(kind, _)| *kind);
    out.extend([kind, operator]);
    rest(out);
}

/// The kind of an entry, the number of its operator, and the rest of its key.
pub(crate) fn parsed(key: &[u8]) -> Option<(Entry, u8, &[u8])> {
    let (&kind, rest) = key.split_first()?;
    let (&operator, rest) = rest.split_first()?;
    let (_, entry) = KINDS.iter().find(|(other, _)| *other == kind)?;
    Some((*entry, operator, rest))
}

/// Appends a group and the start of one of its windows.
pub(super) fn write_slot(group: &[u8], start: i64, out: &mut Vec<u8>) {
    write_bytes(group, out);
    packed::push(&[start], out);
}

pub(super) fn read_slot<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], i64)> {
    let (group, mut start) = (read_bytes(bytes)?, [0]);
    packed::take(bytes, &mut start)?.then_some((group, start[0]))
}

/// The key of a value in a multiset.
pub(super) fn bag_key(operator: u8, group: &[u8], start: i64, bag: usize, value: &Timed) -> Vec<u8> {
    key(Entry::Bag, operator, |out| {
        write_slot(group, start, out);
        out.push(bag as u8);
        write_timed(value, out);
    })
}

pub(super) fn read_bag<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], i64, usize, Timed)> {
    let (group, start) = read_slot(rest)?;
    let bag = take(rest, 1)?[0].into();
    Some((group, start, bag, read_timed(rest)?))
}

/// The group whose times have this key, as text, if it is such a key.
pub(crate) fn group_of_times(key: &[u8]) -> Option<Entity> {
    let (Entry::Times, _, group) = parsed(key)? else { return None };
    let text = |value: Value| match value {
        Value::Text(text) => text,
        other => format!("{other:?}").into(),
    };
    let values: Vec<Arc<str>> = read_all(group)?.into_iter().map(text).collect();
    Some(values.join(", ").into())
}
