//! Rows that are known by their content: `DISTINCT`, and the numbers among equals by which tables know them.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::delta::{Deltas, Key, To};
use super::entry::{Changes, Entry, key};
use super::value::read_all;

/// What becomes of equal rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equals {
    /// One row.
    One,
    /// A row each, with a number.
    Numbered,
}

/// The rows of this worker, each with its number.
pub(super) struct Content {
    equals: Equals,
    operator: u8,
    keeps_state: bool,
    rows: HashMap<Key, i64, RandomState>,
}

impl Content {
    pub fn new(equals: Equals, operator: u8, keeps_state: bool) -> Self {
        Self { equals, operator, keeps_state, rows: HashMap::default() }
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, row: &[u8], value: &[u8]) {
        let number = value.try_into().map(i64::from_le_bytes).expect("validated state parses");
        self.rows.insert(row.into(), number);
    }

    /// Whether an entry is valid.
    pub fn keeps(entry: Entry, row: &[u8], value: &[u8]) -> bool {
        entry == Entry::Row && value.len() == 8 && read_all(row).is_some()
    }

    /// The changes that the rows of an epoch make, each with its sign.
    pub fn pass(&mut self, rows: impl Iterator<Item = (Key, i64)>) -> (Deltas, Changes) {
        let mut merged: BTreeMap<Key, i64> = BTreeMap::new();
        for (row, sign) in rows {
            *merged.entry(row).or_default() += sign;
        }
        let (mut deltas, mut changes) = (Deltas::default(), Changes::default());
        for (row, more) in merged.into_iter().filter(|(_, more)| *more != 0) {
            let before = self.rows.get(&row).copied().unwrap_or(0);
            let after = before + more;
            match after {
                0 => drop(self.rows.remove(&row)),
                _ => drop(self.rows.insert(row.clone(), after)),
            }
            if self.keeps_state {
                let key = key(Entry::Row, self.operator, |out| out.extend_from_slice(&row));
                changes.put_number(&key, before, after);
            }
            let content = read_all(&row).unwrap_or_default();
            let mut change = |key: Key, is_new: bool| {
                let content = content.iter().cloned();
                if is_new {
                    deltas.put_new(content)
                } else {
                    deltas.put_old(content)
                }
                deltas.close(key, !is_new, To::All);
            };
            match self.equals {
                Equals::One if (before > 0) != (after > 0) => change(row, after > 0),
                Equals::One => {}
                Equals::Numbered => {
                    let (low, high) = (before.min(after).max(0), before.max(after).max(0));
                    for number in low..high {
                        change([&row[..], &number.to_be_bytes()].concat().into(), after > before);
                    }
                }
            }
        }
        (deltas, changes)
    }
}
