//! Aggregates without windows: the tallies of the groups of a worker, and what an epoch changes of them.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use super::delta::{Deltas, Key, To};
use super::entry::{Changes, Entry, bag_key, read_bag, read_slot, write_slot};
use super::groups::Groups;
use super::index::hash_of;
use super::kept::{TallyMut, TallyRef, Timed};
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
    /// The words of a tally.
    words: Vec<i64>,
    /// The number of keys of a group.
    keys: usize,
    /// The values of calls without rows.
    nothing: Vec<Value>,
    /// Whether the committed state says that there is the group of everything.
    has_begun: bool,
}

/// The number of parts whose memory is read before the first of them is added: they stay in a cache.
const TOUCHED_AT_ONCE: usize = 256;

/// The number of changes that are passed at once.
const AT_ONCE: usize = 1 << 14;

/// A part among those of an epoch.
struct InOrder {
    hash: u64,
    from: u32,
    place: u32,
}

/// All parts, by the hashes of their groups.
fn in_order(parts: &[Parts]) -> Vec<InOrder> {
    let mut order = Vec::with_capacity(parts.iter().map(Parts::len).sum());
    for (from, parts) in (0..).zip(parts) {
        let heads = (0..).zip(&parts.heads);
        order.extend(heads.map(|(place, head)| InOrder { hash: head.hash, from, place }));
    }
    order.sort_unstable_by_key(|part| part.hash);
    order
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
    let of_slot = |out: &mut Vec<u8>| write_slot(group, start, out);
    let write = tally.map(|tally| move |out: &mut Vec<u8>| write(tally, out));
    changes.put_of((Entry::Tally, operator), of_slot, write, existed);
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
        let (groups, words) = (Groups::default(), layout.places.empty().words.to_vec());
        let (is_whole, keys) = (aggregate.is_whole, aggregate.keys.len());
        Self {
            is_whole,
            layout,
            operator,
            keeps_state,
            tells_old,
            groups,
            words,
            keys,
            nothing,
            has_begun: false,
        }
    }

    /// Makes room for so many entries of the committed state.
    pub fn reserve(&mut self, entries: usize) {
        if self.keeps_state {
            self.groups.reserve(entries);
        }
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, entry: Entry, rest: &[u8], value: &[u8]) {
        if !self.keeps_state {
            self.has_begun = true;
            return;
        }
        let (groups, words, layout) = (&mut self.groups, &mut self.words, &*self.layout);
        let mut restored = None;
        restore(layout, entry, rest, value, |group, _| {
            let hash = hash_of(group);
            let found = groups.find(hash, group);
            words.copy_from_slice(layout.places.empty().words);
            found.into_iter().for_each(|place| groups.read(place, &layout.places, words));
            let place = found.unwrap_or_else(|| groups.insert(hash, &layout.places));
            restored = Some((place, Key::from(group)));
            groups.tally_mut(place, words)
        })
        .expect("validated state parses");
        if let Some((place, group)) = restored {
            self.groups.put(place, &group, &layout.places, &self.words);
        }
    }

    /// Passes the changes that the parts of an epoch make, some at once.
    pub fn pass(&mut self, mut parts: Vec<Parts>, mut pass: impl FnMut(Deltas)) -> Changes {
        if std::mem::take(&mut self.has_begun) {
            parts.push(Parts::of_everything(&self.layout));
        }
        let order = in_order(&parts);
        let group_of = |part: &InOrder| parts[part.from as usize].group(part.place as usize);
        let tallies_of = |part: &InOrder| &parts[part.from as usize].tallies;
        // All groups are looked up before the first one changes, so that the waits for memory overlap.
        let found = self.groups.find_all(order.iter().map(|part| (part.hash, group_of(part))));
        let is_new = |at: &usize| {
            found[*at].is_none() && at.checked_sub(1).is_none_or(|last| order[last].hash != order[*at].hash)
        };
        self.groups.reserve((0..order.len()).filter(is_new).count());
        let (mut deltas, mut changes) = (Deltas::default(), Changes::default());
        let width = self.keys + self.nothing.len();
        deltas.reserve(order.len().min(AT_ONCE), width);
        let (mut end, mut touched) = (0, 0);
        // Those of the same hash are mostly of the same group.
        for run in order.chunk_by(|a, b| a.hash == b.hash) {
            let start = end;
            end += run.len();
            if end > touched {
                let next = &order[start..order.len().min(end + TOUCHED_AT_ONCE)];
                touched = start + next.len();
                let touch = |all, part: &InOrder| all ^ tallies_of(part).touch(part.place as usize);
                black_box(next.iter().fold(0, touch));
            }
            for (number, first) in run.iter().enumerate() {
                let group = group_of(first);
                if run[..number].iter().any(|other| group_of(other) == group) {
                    continue;
                }
                let of_group = run[number..].iter().filter(|other| group_of(other) == group);
                let tallies = of_group.map(|part| tallies_of(part).get(part.place as usize));
                let found = found[start + number];
                self.change((first.hash, group, found), tallies, &mut deltas, &mut changes);
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
        (hash, group, found): (u64, &[u8], Option<usize>),
        parts: impl Iterator<Item = TallyRef<'p>> + Clone,
        deltas: &mut Deltas,
        changes: &mut Changes,
    ) {
        let (groups, words, layout) = (&mut self.groups, &mut self.words, &*self.layout);
        let had_row = found.is_some();
        let mut compares = true;
        let mut values: BTreeMap<(usize, Timed), i64> = BTreeMap::new();
        words.copy_from_slice(layout.places.empty().words);
        let place = found.unwrap_or_else(|| groups.insert(hash, &layout.places));
        if had_row {
            groups.read(place, &layout.places, words);
            let before = groups.tally(place, words);
            let rows: i64 = parts.clone().map(TallyRef::rows).sum();
            // A row that shows the number of rows differs if another number is shown.
            let differs = rows != 0 && layout.shows_rows && before.rows() + rows > 0;
            compares = !differs;
            if self.tells_old || compares {
                deltas.put_old(row_of(layout, group, None, before));
            }
        }
        if self.keeps_state && !layout.bags.is_empty() {
            let before = had_row.then(|| groups.tally(place, words));
            let all = parts.clone().flat_map(|part| values_of(part, before));
            values.extend(all.map(|(bag, value, times)| ((bag, value), times)));
        }
        parts.for_each(|part| layout.places.merge(groups.tally_mut(place, words), part));
        let is_there = words[0] > 0 || self.is_whole;
        // Of a group that is gone, too: `remove` finds its place by its keys.
        groups.put(place, group, &layout.places, words);
        let tally = groups.tally(place, words);
        if is_there {
            deltas.put_new(row_of(layout, group, None, tally));
        }
        let write = |tally: TallyRef<'_>, out: &mut Vec<u8>| {
            out.extend_from_slice(groups.packed());
            layout.places.write_rest(tally, out);
        };
        let values = values.into_iter().map(|((bag, value), before)| (bag, value, before));
        if self.keeps_state {
            keep(changes, self.operator, (group, 0), is_there.then_some(tally), write, had_row, values);
        } else if self.is_whole && !had_row {
            // All readings may be deleted before a restart, and then nothing else says that there is this group.
            let write = |tally: TallyRef<'_>, out: &mut Vec<u8>| layout.places.write(tally, out);
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
        deltas.close(Key::from(group), had_row, To::All);
    }
}
