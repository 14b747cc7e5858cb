//! What is kept of a group of rows, and its bytes in state.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use super::total::Total;
use super::value::{Value, read_time};

/// An end of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Least,
    Greatest,
}

/// A value, and its event time where the order depends on it (otherwise 0).
pub(super) type Timed = (i64, Value);

/// What is kept of a group. Two of them add up, and with negative signs take each other back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// The number of rows.
    pub rows: i64,
    pub sums: Vec<Total>,
    pub picks: Vec<Option<Timed>>,
    pub bags: Vec<BTreeMap<Timed, i64>>,
}

impl Tally {
    /// The bytes of all but the multisets, whose entries are kept one by one.
    pub fn written(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.write(&mut out);
        out
    }

    /// Appends these bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rows.to_le_bytes());
        self.sums.iter().for_each(|sum| sum.write(out));
        for pick in &self.picks {
            match pick {
                None => out.push(0),
                Some(value) => {
                    out.push(1);
                    write_timed(value, out);
                }
            }
        }
    }
}

/// Adds to the number of a value; without any it is removed. Returns the number before.
pub(super) fn count<T: Ord>(values: &mut BTreeMap<T, i64>, value: T, times: i64) -> i64 {
    match values.entry(value) {
        Entry::Vacant(entry) => {
            if times != 0 {
                entry.insert(times);
            }
            0
        }
        Entry::Occupied(mut entry) => {
            let before = *entry.get();
            *entry.get_mut() += times;
            if *entry.get() == 0 {
                entry.remove();
            }
            before
        }
    }
}

pub(super) fn write_timed((time, value): &Timed, out: &mut Vec<u8>) {
    out.extend_from_slice(&time.to_le_bytes());
    value.write(out);
}

pub(super) fn read_timed(bytes: &mut &[u8]) -> Option<Timed> {
    Some((read_time(bytes)?, Value::read(bytes)?))
}
