//! Aggregates without windows: the tallies of the groups of a worker, and what an epoch changes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::hashable::Hashable;
use hashbrown::HashTable;

use super::delta::{Deltas, Key, To};
use super::entry::{Changes, Entry, bag_key, key, read_bag, read_slot, write_slot};
use super::kept::{Tallies, TallyMut, TallyRef, Timed};
use super::part::Parts;
use super::plan::Aggregate;
use super::tally::Layout;
use super::value::{Value, values_in};

/// The groups that this worker keeps.
pub(super) struct Grouped {
    is_whole: bool,
    layout: Arc<Layout>,
    operator: u8,
    /// Whether the tallies are committed.
    keeps_state: bool,
    /// Whether changes have the row before.
    tells_old: bool,
    groups: Groups,
    /// The number of keys of a group.
    keys: usize,
    /// The values of calls without rows.
    nothing: Vec<Value>,
    /// Whether the committed state says that there is the group of everything.
    has_begun: bool,
}

/// The number of changes that are passed at once.
const AT_ONCE: usize = 1 << 14;

/// Groups and their tallies, by places that stay.
#[derive(Default)]
struct Groups {
    places: HashTable<u32>,
    /// The keys of each group, and their hash.
    keys: Vec<(u64, Key)>,
    tallies: Tallies,
    /// Places without a group.
    free: Vec<u32>,
}

impl Groups {
    fn find(&self, hash: u64, group: &[u8]) -> Option<usize> {
        let is_it = |place: &u32| {
            let (other, key) = &self.keys[*place as usize];
            *other == hash && **key == *group
        };
        self.places.find(hash, is_it).map(|place| *place as usize)
    }

    /// Inserts a group that is not there, with an empty tally.
    fn insert(&mut self, hash: u64, group: &[u8], layout: &Layout) -> usize {
        // A copy, so that keys are in memory in the order in which groups are found: mostly that of their hashes.
        let group = Key::from(group);
        let place = match self.free.pop() {
            Some(place) => {
                self.keys[place as usize] = (hash, group);
                self.tallies.put(place as usize, layout.places.empty());
                place as usize
            }
            None => {
                self.keys.push((hash, group));
                self.tallies.push(layout.places.empty())
            }
        };
        self.places.insert_unique(hash, place as u32, |place| self.keys[*place as usize].0);
        place
    }

    fn remove(&mut self, place: usize) {
        let hash = self.keys[place].0;
        if let Ok(entry) = self.places.find_entry(hash, |other| *other as usize == place) {
            entry.remove();
        }
        self.keys[place] = (0, Key::default());
        self.free.push(place as u32);
    }
}

/// The row of a group.
pub(super) fn row_of(
    layout: &Layout,
    group: &[u8],
    window: Option<(i64, i64)>,
    tally: TallyRef<'_>,
) -> impl Iterator<Item = Value> {
    let window = window.into_iter().flat_map(|(start, end)| [Value::Time(start), Value::Time(end)]);
    // Its bytes were written by this job, or were validated.
    values_in(group).chain(window).chain(layout.results(tally))
}

/// Checks an entry of a tally or multiset, and adds it to what `tally_of` finds for its group and window.
pub(super) fn restore<'t>(
    layout: &Layout,
    entry: Entry,
    mut rest: &[u8],
    value: &[u8],
    tally_of: impl FnOnce(&[u8], i64) -> TallyMut<'t>,
) -> Option<()> {
    match entry {
        Entry::Tally => {
            let (group, start) = read_slot(&mut rest)?;
            layout.places.read(value, tally_of(group, start))?;
        }
        Entry::Bag => {
            let (group, start, bag, timed) = read_bag(&mut rest)?;
            let times = i64::from_le_bytes(value.try_into().ok()?);
            tally_of(group, start).bags().get_mut(bag)?.insert(timed, times);
        }
        Entry::Times | Entry::Row => return None,
    }
    Some(())
}

/// Writes what a part has changed of a tally: its bytes, which `write` appends, and of the multisets only the changed
/// values.
pub(super) fn keep(
    changes: &mut Changes,
    operator: u8,
    (group, start): (&[u8], i64),
    tally: Option<TallyRef<'_>>,
    write: impl FnOnce(TallyRef<'_>, &mut Vec<u8>),
    existed: bool,
    values: impl Iterator<Item = (usize, Timed, i64)>,
) {
    let tally_key = key(Entry::Tally, operator, |out| write_slot(group, start, out));
    changes.put_with(&tally_key, tally.map(|tally| move |out: &mut Vec<u8>| write(tally, out)), existed);
    for (bag, value, before) in values {
        let now = tally.and_then(|tally| tally.bags()[bag].get(&value)).copied().unwrap_or(0);
        changes.put_number(&bag_key(operator, group, start, bag, &value), before, now);
    }
}

/// The values that a part changes in multisets, each with its number before.
pub(super) fn values_of<'a>(
    part: TallyRef<'a>,
    before: Option<TallyRef<'a>>,
) -> impl Iterator<Item = (usize, Timed, i64)> {
    part.bags().iter().enumerate().flat_map(move |(bag, values)| {
        let times =
            move |value: &_| before.and_then(|before| before.bags()[bag].get(value)).copied().unwrap_or(0);
        values.keys().map(move |value| (bag, value.clone(), times(value)))
    })
}

impl Grouped {
    pub fn new(
        aggregate: &Aggregate,
        layout: Arc<Layout>,
        operator: u8,
        keeps_state: bool,
        tells_old: bool,
    ) -> Self {
        let nothing = layout.results(layout.places.empty()).collect();
        let groups = Groups::default();
        let (is_whole, keys) = (aggregate.is_whole, aggregate.keys.len());
        Self { is_whole, layout, operator, keeps_state, tells_old, groups, keys, nothing, has_begun: false }
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, entry: Entry, rest: &[u8], value: &[u8]) {
        if !self.keeps_state {
            self.has_begun = true;
            return;
        }
        let (groups, layout) = (&mut self.groups, &*self.layout);
        restore(layout, entry, rest, value, |group, _| {
            let hash = group.hashed();
            let place = groups.find(hash, group).unwrap_or_else(|| groups.insert(hash, group, layout));
            groups.tallies.get_mut(place)
        })
        .expect("validated state parses");
    }

    /// Passes the changes that the parts of an epoch make, some at once.
    pub fn pass(&mut self, mut parts: Vec<Parts>, mut pass: impl FnMut(Deltas)) -> Changes {
        if std::mem::take(&mut self.has_begun) {
            let mut begun = Parts::default();
            begun.push(Key::default(), 0, &self.layout);
            parts.push(begun);
        }
        let hashes = |(from, parts): (usize, &Parts)| {
            parts
                .heads
                .iter()
                .enumerate()
                .map(move |(place, head)| (head.hash, from, place))
                .collect::<Vec<_>>()
        };
        let mut order: Vec<(u64, usize, usize)> = parts.iter().enumerate().flat_map(hashes).collect();
        order.sort_unstable();
        let group_of = |part: &(u64, usize, usize)| &parts[part.1].heads[part.2].group;
        let (mut deltas, mut changes) = (Deltas::default(), Changes::default());
        let width = self.keys + self.nothing.len();
        deltas.reserve(order.len().min(AT_ONCE), width);
        // Those of the same hash are mostly of the same group.
        for run in order.chunk_by(|a, b| a.0 == b.0) {
            for (number, first) in run.iter().enumerate() {
                let group = group_of(first);
                if run[..number].iter().any(|other| group_of(other) == group) {
                    continue;
                }
                let of_group = run[number..].iter().filter(|other| group_of(other) == group);
                let tallies = of_group.map(|(_, from, place)| parts[*from].tallies.get(*place));
                self.change((first.0, group), tallies, &mut deltas, &mut changes);
                if deltas.len() == AT_ONCE {
                    pass(std::mem::take(&mut deltas));
                    deltas.reserve(AT_ONCE, width);
                }
            }
        }
        pass(deltas);
        changes
    }

    /// Adds parts to their group.
    fn change<'p>(
        &mut self,
        (hash, group): (u64, &Key),
        parts: impl Iterator<Item = TallyRef<'p>> + Clone,
        deltas: &mut Deltas,
        changes: &mut Changes,
    ) {
        let (groups, layout) = (&mut self.groups, &*self.layout);
        let found = groups.find(hash, group);
        let had_row = found.is_some();
        let before = found.map(|place| groups.tallies.get(place));
        let mut values: BTreeMap<(usize, Timed), i64> = BTreeMap::new();
        if self.keeps_state && !layout.bags.is_empty() {
            let all = parts.clone().flat_map(|part| values_of(part, before));
            values.extend(all.map(|(bag, value, times)| ((bag, value), times)));
        }
        let mut compares = true;
        if let Some(before) = before {
            let rows: i64 = parts.clone().map(TallyRef::rows).sum();
            // A row that shows the number of rows differs if another number is shown.
            let differs = rows != 0 && layout.shows_rows && before.rows() + rows > 0;
            compares = !differs;
            if self.tells_old || compares {
                deltas.put_old(row_of(layout, group, None, before));
            }
        }
        let place = found.unwrap_or_else(|| groups.insert(hash, group, layout));
        parts.for_each(|part| layout.places.merge(groups.tallies.get_mut(place), part));
        let tally = groups.tallies.get(place);
        let is_there = tally.rows() > 0 || self.is_whole;
        if is_there {
            deltas.put_new(row_of(layout, group, None, tally));
        }
        let write = |tally: TallyRef<'_>, out: &mut Vec<u8>| layout.places.write(tally, out);
        let values = values.into_iter().map(|((bag, value), before)| (bag, value, before));
        if self.keeps_state {
            keep(changes, self.operator, (group, 0), is_there.then_some(tally), write, had_row, values);
        } else if self.is_whole && !had_row {
            // All readings may be deleted before a restart, and then nothing else says that there is this group.
            keep(changes, self.operator, (group, 0), Some(layout.places.empty()), write, false, values);
        }
        if !is_there {
            groups.remove(place);
        }
        if compares && deltas.is_same() {
            deltas.cancel();
            return;
        }
        if !is_there {
            deltas.put_end(values_in(group).chain(self.nothing.iter().cloned()));
        }
        deltas.close(group.clone(), had_row, To::All);
    }
}
