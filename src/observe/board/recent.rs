//! The rows of a view that changed last, in bounded memory.
//!
//! Rows stay in columns, as they come: a batch for each effect of the view, newest last. No single row is touched until
//! there are twice as many as are kept; then the newest ones of all batches become one batch.

use std::collections::{HashSet, VecDeque};

use dataflows::rows::{Change, Column, Rows};
use serde::{Deserialize, Serialize};

use super::limits::{APPENDED, BATCHES, ROWS};
use super::value::{joined, last, weight, weight_of};

/// Numbers of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that were inserted, updated or deleted.
    pub changes: u64,
    /// Inserted rows.
    pub inserted: u64,
    /// Deleted rows.
    pub deleted: u64,
}

impl Counts {
    fn of(rows: &Rows) -> Self {
        let Some(changes) = &rows.changes else {
            let all = rows.len() as u64;
            return Self { changes: all, inserted: all, deleted: 0 };
        };
        let number = |of: Change| changes.kinds.iter().filter(|kind| **kind == of).count() as u64;
        Self {
            changes: rows.len() as u64 - number(Change::Before),
            inserted: number(Change::Insert),
            deleted: number(Change::Delete),
        }
    }

    /// The number of rows that were inserted and not deleted.
    pub fn rows(&self) -> u64 {
        self.inserted.saturating_sub(self.deleted)
    }
}

/// The rows of a view that changed last, or a part of such changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recent {
    /// Newest last, with the rows that they delete.
    batches: VecDeque<Rows>,
    /// The number of rows in the batches.
    entries: usize,
    /// The approximate size of the batches in bytes.
    bytes: usize,
    /// Whether all earlier rows are left out.
    is_cut: bool,
    counts: Counts,
}

/// A row: the index of its batch, and its own.
pub(super) type Place = (u32, u32);

/// The most rows that are kept of a view with such rows.
fn most(rows: &Rows) -> usize {
    if rows.changes.is_some() { ROWS } else { APPENDED }
}

fn kind(rows: &Rows, row: usize) -> Change {
    rows.changes.as_ref().map_or(Change::Insert, |changes| changes.kinds[row])
}

impl Recent {
    /// The rows of an effect, or the last ones if there are more than are kept.
    pub fn of(rows: &Rows) -> Self {
        let counts = Counts::of(rows);
        let (most, has_bytes) =
            (most(rows), rows.columns.iter().any(|column| matches!(column, Column::Bytes(_))));
        let is_cut = counts.changes > most as u64;
        let batch = if rows.len() <= most && !has_bytes {
            rows.clone()
        } else if rows.changes.is_none() && !has_bytes {
            last(rows, most)
        } else {
            let newest = (0..rows.len() as u32).rev();
            let newest = newest.filter(|&row| kind(rows, row as usize) != Change::Before).take(most);
            let mut places: Vec<u32> = newest.collect();
            places.reverse();
            joined(&[(rows, places)])
        };
        let (entries, bytes) = (batch.len(), weight(&batch));
        Self { batches: [batch].into(), entries, bytes, is_cut, counts }
    }

    /// Rows that were there before the start. Those that have no key are not all.
    pub fn restored(rows: &Rows) -> Self {
        let recent = Self::of(rows);
        let inserted = if rows.changes.is_some() { recent.counts.inserted } else { 0 };
        Self { counts: Counts { inserted, ..Counts::default() }, ..recent }
    }

    /// Without rows, and without any before.
    pub(super) fn nothing() -> Self {
        Self { is_cut: true, ..Self::default() }
    }

    /// Adds later changes. `bytes` is the maximum size.
    pub fn extend(&mut self, later: Self, bytes: usize) {
        self.counts.changes += later.counts.changes;
        self.counts.inserted += later.counts.inserted;
        self.counts.deleted += later.counts.deleted;
        if later.is_cut {
            (self.entries, self.bytes, self.is_cut) = (0, 0, true);
            self.batches.clear();
        }
        self.entries += later.entries;
        self.bytes += later.bytes;
        self.batches.extend(later.batches);
        let most = self.batches.back().map_or(ROWS, most);
        if self.entries > 2 * most || self.bytes > bytes || self.batches.len() > BATCHES {
            // Half of the bytes, so that it is not done again for the next row.
            self.compact(most, bytes / 2);
        }
    }

    /// Joins the newest rows, one for each key.
    fn compact(&mut self, most: usize, bytes: usize) {
        let (mut places, mut kept_bytes, mut is_cut) = (Vec::new(), 0, false);
        // Without rows before, there is nothing left to delete.
        for (batch, row) in self.newest(!self.is_cut) {
            kept_bytes += weight_of(self.batch(batch), row as usize);
            is_cut = places.len() == most || kept_bytes > bytes;
            if is_cut {
                break;
            }
            places.push((batch, row));
        }
        self.is_cut |= is_cut;
        let mut parts: Vec<(&Rows, Vec<u32>)> = self.batches.iter().map(|rows| (rows, Vec::new())).collect();
        places.iter().rev().for_each(|&(batch, row)| parts[batch as usize].1.push(row));
        parts.retain(|(_, rows)| !rows.is_empty());
        let all = joined(&parts);
        (self.entries, self.bytes) = (all.len(), weight(&all));
        self.batches = [all].into();
    }

    /// The newest row of each key, newest first.
    fn newest(&self, with_deleted: bool) -> impl Iterator<Item = Place> {
        let mut keys = HashSet::new();
        let all = self.batches.iter().enumerate().rev();
        let all = all.flat_map(|(batch, rows)| (0..rows.len()).rev().map(move |row| (batch, row, rows)));
        all.filter_map(move |(batch, row, rows)| {
            let kind = kind(rows, row);
            let mut is_last = || rows.changes.as_ref().is_none_or(|changes| keys.insert(&changes.keys[row]));
            let is_shown = kind != Change::Before && is_last() && (with_deleted || kind != Change::Delete);
            is_shown.then_some((batch as u32, row as u32))
        })
    }

    /// The numbers of changes.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether earlier rows were left out of these.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The approximate size in bytes.
    pub fn weight(&self) -> usize {
        self.bytes
    }

    /// A batch of rows.
    pub(super) fn batch(&self, batch: u32) -> &Rows {
        &self.batches[batch as usize]
    }

    /// The current rows, newest first.
    pub(super) fn current(&self) -> Vec<Place> {
        self.newest(false).take(self.batches.back().map_or(0, most)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::{Changes, NULL};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const BYTES: usize = 1 << 30;

    fn integers(values: impl IntoIterator<Item = i64>) -> Rows {
        vec![Column::Integer(Arc::new(values.into_iter().collect()))].into()
    }

    fn changes(all: &[(i64, Change, i64)]) -> Rows {
        let kinds = Arc::new(all.iter().map(|(_, kind, _)| *kind).collect());
        let keys = Arc::new(all.iter().map(|(key, ..)| key.to_le_bytes()[..].into()).collect());
        Rows { changes: Some(Changes { kinds, keys }), ..integers(all.iter().map(|(.., value)| *value)) }
    }

    /// The current values, newest first.
    fn values(recent: &Recent) -> Vec<i64> {
        let value = |(batch, row): Place| match &recent.batch(batch).columns[0] {
            Column::Integer(values) => values[row as usize],
            _ => NULL,
        };
        recent.current().into_iter().map(value).collect()
    }

    fn taken(all: impl IntoIterator<Item = Rows>, bytes: usize) -> Recent {
        let mut recent = Recent::nothing();
        all.into_iter().for_each(|rows| recent.extend(Recent::of(&rows), bytes));
        recent
    }

    #[test]
    fn the_last_appended_rows_are_kept_and_all_are_counted() {
        let most = APPENDED as i64;
        let recent = taken([integers(0..10), integers(10..2 * most), integers([7])], BYTES);
        let expected: Vec<i64> = [7].into_iter().chain((most + 1..2 * most).rev()).collect();
        assert_eq!(values(&recent), expected);
        let all = 2 * most as u64 + 1;
        assert_eq!(recent.counts(), Counts { changes: all, inserted: all, deleted: 0 });
        // One at a time, there are never many more than are kept.
        let mut recent = Recent::nothing();
        for value in 0..5 * most {
            recent.extend(Recent::of(&integers([value])), BYTES);
            assert!(recent.entries <= 2 * APPENDED && recent.batches.len() <= BATCHES);
        }
        assert_eq!(values(&recent), (4 * most..5 * most).rev().collect::<Vec<_>>());
    }

    #[test]
    fn the_rows_of_a_large_change_replace_all_earlier_ones() {
        let first = changes(&[(-1, Change::Insert, -1)]);
        let many: Vec<_> = (0..2 * ROWS as i64).map(|key| (key, Change::Insert, key)).collect();
        let recent = taken([first.clone(), changes(&many), first], BYTES);
        assert_eq!((values(&recent).len(), values(&recent)[0]), (ROWS, -1));
        assert_eq!(recent.counts().rows(), 2 * ROWS as u64 + 2);
    }

    #[test]
    fn memory_is_bounded_by_bytes() {
        let text = |key: i64| Rows {
            columns: vec![Column::Text(Arc::new(vec![Some("x".repeat(1000).into())]))],
            ..changes(&[(key, Change::Insert, 0)])
        };
        let recent = taken((0..1000).map(text), 100_000);
        assert!(recent.weight() <= 100_000, "{}", recent.weight());
        assert!((40..100).contains(&recent.current().len()), "{}", recent.current().len());
    }

    #[test]
    fn values_that_are_replaced_are_not_shown() {
        let rows = [(1, Change::Insert, 5), (2, Change::Insert, 6)];
        let replaced = [(1, Change::Before, 5), (1, Change::Update, 7), (2, Change::Delete, 6)];
        let recent = taken([changes(&rows), changes(&replaced)], BYTES);
        assert_eq!(values(&recent), [7]);
        assert_eq!(recent.counts(), Counts { changes: 4, inserted: 2, deleted: 1 });
    }

    proptest! {
        #[test]
        fn rows_are_those_that_changed_last(
            epochs in prop::collection::vec(prop::collection::btree_map(0..6i64, (0..3, any::<i16>()), 0..6), 0..30),
            merged in prop::collection::vec(any::<bool>(), 30),
            compacts in prop::collection::vec(any::<bool>(), 30),
        ) {
            let mut model: BTreeMap<i64, (usize, i64)> = BTreeMap::new();
            let (mut all, mut waiting) = (Recent::nothing(), Recent::default());
            for (epoch, rows) in epochs.into_iter().enumerate() {
                let mut batch = Vec::new();
                for (key, (what, value)) in rows {
                    let (is_there, value) = (model.contains_key(&key), i64::from(value));
                    match (what, is_there) {
                        (0, true) => {
                            batch.push((key, Change::Delete, value));
                            model.remove(&key);
                        }
                        (0, false) => {}
                        _ => {
                            batch.push((key, if is_there { Change::Update } else { Change::Insert }, value));
                            model.insert(key, (epoch, value));
                        }
                    }
                }
                waiting.extend(Recent::of(&changes(&batch)), BYTES);
                if compacts[epoch] {
                    waiting.compact(ROWS, BYTES);
                    all.compact(ROWS, BYTES);
                }
                if !merged[epoch] {
                    all.extend(std::mem::take(&mut waiting), BYTES);
                }
            }
            all.extend(waiting, BYTES);
            let mut expected: Vec<(usize, i64, i64)> =
                model.iter().map(|(key, (epoch, value))| (*epoch, *key, *value)).collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            let expected: Vec<i64> = expected.into_iter().map(|(.., value)| value).collect();
            prop_assert_eq!(values(&all), expected);
            prop_assert_eq!(all.counts().rows(), model.len() as u64);
        }
    }
}
