//! Aggregates without windows: the tallies of the groups of a worker, and what an epoch changes of them.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::iter;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::delta::{Delta, Key, To};
use super::entry::{Changes, Entry, bag_key, key, read_bag, read_slot, write_slot};
use super::gather::Part;
use super::kept::{Tally, Timed};
use super::plan::Aggregate;
use super::tally::Layout;
use super::value::{Row, Value, read_all};

/// The groups that this worker keeps.
pub(super) struct Grouped {
    is_whole: bool,
    layout: Arc<Layout>,
    operator: u8,
    /// Whether the tallies are committed.
    keeps_state: bool,
    groups: HashMap<Key, Tally, RandomState>,
    nothing: Vec<Value>,
    /// Whether the committed state says that there is the group of everything.
    has_begun: bool,
}

/// The row of a group.
pub(super) fn row_of(layout: &Layout, group: &[u8], window: Option<(i64, i64)>, tally: &Tally) -> Row {
    // Its bytes were written by this job, or were validated.
    let mut row = read_all(group).unwrap_or_default();
    row.extend(window.into_iter().flat_map(|(start, end)| [Value::Time(start), Value::Time(end)]));
    row.extend(layout.results(tally));
    row
}

/// Checks an entry of a tally or multiset, and adds it to what `tally_of` finds for its group and window.
pub(super) fn restore<'t>(
    layout: &Layout,
    entry: Entry,
    mut rest: &[u8],
    value: &[u8],
    tally_of: impl FnOnce(&[u8], i64) -> &'t mut Tally,
) -> Option<()> {
    match entry {
        Entry::Tally => {
            let (group, start) = read_slot(&mut rest)?;
            let kept = Tally::read(layout, value)?;
            let tally = tally_of(group, start);
            (tally.rows, tally.sums, tally.picks) = (kept.rows, kept.sums, kept.picks);
        }
        Entry::Bag => {
            let (group, start, bag, timed) = read_bag(&mut rest)?;
            let times = i64::from_le_bytes(value.try_into().ok()?);
            let tally = tally_of(group, start);
            tally.bags.get_mut(bag)?.insert(timed, times);
        }
        Entry::Times | Entry::Row => return None,
    }
    Some(())
}

/// Writes what a part has changed of a tally: all of it but the multisets, of which only the changed values. The end of
/// a session stands before its tally.
pub(super) fn keep(
    changes: &mut Changes,
    operator: u8,
    (group, start): (&[u8], i64),
    end: Option<i64>,
    tally: Option<&Tally>,
    existed: bool,
    values: impl Iterator<Item = (usize, Timed, i64)>,
) {
    let tally_key = key(Entry::Tally, operator, |out| write_slot(group, start, out));
    let mut bytes = Vec::new();
    if let Some(tally) = tally {
        bytes.extend(end.into_iter().flat_map(i64::to_le_bytes));
        tally.write(&mut bytes);
    }
    changes.put(&tally_key, tally.map(|_| &bytes[..]), existed);
    for (bag, value, before) in values {
        let now = tally.and_then(|tally| tally.bags[bag].get(&value)).copied().unwrap_or(0);
        changes.put_number(&bag_key(operator, group, start, bag, &value), before, now);
    }
}

/// The values that a part changes in multisets, each with its number before.
pub(super) fn values_of(part: &Tally, before: Option<&Tally>) -> Vec<(usize, Timed, i64)> {
    let of = |(bag, values): (usize, &BTreeMap<Timed, i64>)| {
        let times = |value: &_| before.and_then(|before| before.bags[bag].get(value)).copied().unwrap_or(0);
        values.keys().map(|value| (bag, value.clone(), times(value))).collect::<Vec<_>>()
    };
    part.bags.iter().enumerate().flat_map(of).collect()
}

impl Grouped {
    pub fn new(aggregate: &Aggregate, layout: Arc<Layout>, operator: u8, keeps_state: bool) -> Self {
        let nothing = layout.results(&layout.empty()).collect();
        let groups = HashMap::default();
        let is_whole = aggregate.is_whole;
        Self { is_whole, layout, operator, keeps_state, groups, nothing, has_begun: false }
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, entry: Entry, rest: &[u8], value: &[u8]) {
        if !self.keeps_state {
            self.has_begun = true;
            return;
        }
        let (groups, layout) = (&mut self.groups, &*self.layout);
        restore(layout, entry, rest, value, |group, _| {
            groups.entry(group.into()).or_insert_with(|| layout.empty())
        })
        .expect("validated state parses");
    }

    /// The changes that the parts of an epoch make.
    pub fn pass(&mut self, parts: Vec<Part>) -> (Vec<Delta>, Changes) {
        let mut merged: BTreeMap<Key, Tally> = BTreeMap::new();
        for part in parts {
            match merged.entry(part.group) {
                btree_map::Entry::Vacant(entry) => drop(entry.insert(part.tally)),
                btree_map::Entry::Occupied(mut entry) => {
                    entry.get_mut().merge(&self.layout, &part.tally);
                }
            }
        }
        if std::mem::take(&mut self.has_begun) {
            merged.entry(Key::default()).or_insert_with(|| self.layout.empty());
        }
        let (mut deltas, mut changes) = (Vec::with_capacity(merged.len()), Changes::default());
        for (group, part) in merged {
            let old = self.groups.get(&group);
            let existed = old.is_some();
            let old_row = old.map(|tally| row_of(&self.layout, &group, None, tally));
            let values = if self.keeps_state { values_of(&part, old) } else { Vec::new() };
            let layout = &self.layout;
            let tally = self.groups.entry(group.clone()).or_insert_with(|| layout.empty());
            tally.merge(layout, &part);
            let is_there = tally.rows > 0 || self.is_whole;
            let new_row = is_there.then(|| row_of(&self.layout, &group, None, tally));
            if self.keeps_state {
                let tally = is_there.then_some(&*tally);
                keep(&mut changes, self.operator, (&group, 0), None, tally, existed, values.into_iter());
            } else if self.is_whole && !existed {
                // All readings may be deleted before a restart, and then nothing else says that there is this group.
                let tally = self.layout.empty();
                keep(&mut changes, self.operator, (&group, 0), None, Some(&tally), false, iter::empty());
            }
            if !is_there {
                self.groups.remove(&group);
            }
            if new_row != old_row {
                let mut end = read_all(&group).unwrap_or_default();
                end.extend_from_slice(&self.nothing);
                let end = Some(end).filter(|_| new_row.is_none());
                deltas.push(Delta { key: group, old: old_row, new: new_row, end, to: To::All });
            }
        }
        (deltas, changes)
    }
}
