//! Aggregates without windows: the tallies of the groups of a worker, and what an epoch changes of them.

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::delta::{Delta, Key, To};
use super::entry::{Changes, Entry, bag_key, key, read_bag, read_slot, write_slot};
use super::kept::{Tally, Timed};
use super::part::Part;
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
    /// Whether changes have the row before.
    tells_old: bool,
    groups: HashMap<Key, Packed, RandomState>,
    nothing: Vec<Value>,
    /// Whether the committed state says that there is the group of everything.
    has_begun: bool,
}

/// A tally in as little memory as its bytes in state take: there may be millions of groups.
struct Packed {
    /// All but the multisets.
    bytes: Box<[u8]>,
    bags: Option<Box<Bags>>,
}

type Bags = Vec<BTreeMap<Timed, i64>>;

impl Packed {
    fn new(bytes: Vec<u8>, bags: Bags) -> Self {
        Self { bytes: bytes.into(), bags: (!bags.is_empty()).then(|| Box::new(bags)) }
    }

    /// The tally; its multisets are taken out.
    fn unpacked(&mut self, layout: &Layout) -> Tally {
        let tally = Tally::read(layout, &self.bytes).expect("a tally that was written parses");
        Tally { bags: self.bags.take().map_or_else(Vec::new, |bags| *bags), ..tally }
    }
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

/// Writes what a part has changed of a tally: its bytes, and of the multisets only the changed values.
pub(super) fn keep(
    changes: &mut Changes,
    operator: u8,
    (group, start): (&[u8], i64),
    tally: Option<(&Tally, &[u8])>,
    existed: bool,
    values: impl Iterator<Item = (usize, Timed, i64)>,
) {
    let tally_key = key(Entry::Tally, operator, |out| write_slot(group, start, out));
    changes.put(&tally_key, tally.map(|(_, bytes)| bytes), existed);
    for (bag, value, before) in values {
        let now = tally.and_then(|(tally, _)| tally.bags[bag].get(&value)).copied().unwrap_or(0);
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
    pub fn new(
        aggregate: &Aggregate,
        layout: Arc<Layout>,
        operator: u8,
        keeps_state: bool,
        tells_old: bool,
    ) -> Self {
        let nothing = layout.results(&layout.empty()).collect();
        let groups = HashMap::default();
        let is_whole = aggregate.is_whole;
        Self { is_whole, layout, operator, keeps_state, tells_old, groups, nothing, has_begun: false }
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, entry: Entry, rest: &[u8], value: &[u8]) {
        if !self.keeps_state {
            self.has_begun = true;
            return;
        }
        let (groups, layout) = (&mut self.groups, &*self.layout);
        let mut found: Option<(Key, Tally)> = None;
        restore(layout, entry, rest, value, |group, _| {
            let kept = groups.remove(group);
            let tally = kept.map_or_else(|| layout.empty(), |mut kept| kept.unpacked(layout));
            &mut found.insert((group.into(), tally)).1
        })
        .expect("validated state parses");
        if let Some((group, tally)) = found {
            groups.insert(group, Packed::new(tally.written(), tally.bags));
        }
    }

    /// The changes that the parts of an epoch make.
    pub fn pass(&mut self, mut parts: Vec<Part>) -> (Vec<Delta>, Changes) {
        if std::mem::take(&mut self.has_begun) {
            parts.push(Part::empty(Key::default(), &self.layout));
        }
        let mut order: Vec<(u64, usize)> = parts.iter().map(|part| part.hash).zip(0..).collect();
        order.sort_unstable();
        let mut parts: Vec<Option<Part>> = parts.into_iter().map(Some).collect();
        let (mut deltas, mut changes) = (Vec::with_capacity(parts.len()), Changes::default());
        let mut next = 0;
        while let Some((hash, place)) = order.get(next).copied() {
            next += 1;
            let Some(Part { group, mut tally, .. }) = parts[place].take() else { continue };
            // Those of the same hash are mostly of the same group; others come later.
            for (_, place) in order[next..].iter().take_while(|(other, _)| *other == hash) {
                if let Some(other) = parts[*place].take_if(|other| other.group == group) {
                    tally.merge(&self.layout, &other.tally);
                }
            }
            deltas.extend(self.change(group, tally, &mut changes));
        }
        (deltas, changes)
    }

    /// Adds a part to its group.
    fn change(&mut self, group: Key, part: Tally, changes: &mut Changes) -> Option<Delta> {
        let layout = &*self.layout;
        let kept = self.groups.get_mut(&group);
        let had_row = kept.is_some();
        let old = kept.map(|kept| kept.unpacked(layout));
        let values = if self.keeps_state { values_of(&part, old.as_ref()) } else { Vec::new() };
        let (tally, old_row) = match old {
            None => (part, None),
            Some(mut tally) => {
                // A row that shows the number of rows differs if another number is shown.
                let differs = part.rows != 0 && layout.shows_rows() && tally.rows + part.rows > 0;
                let needs_old = self.tells_old || !differs;
                let old_row = needs_old.then(|| row_of(layout, &group, None, &tally));
                tally.merge(layout, &part);
                (tally, old_row)
            }
        };
        let is_there = tally.rows > 0 || self.is_whole;
        let new_row = is_there.then(|| row_of(layout, &group, None, &tally));
        let bytes = tally.written();
        if self.keeps_state {
            let tally = is_there.then_some((&tally, &bytes[..]));
            keep(changes, self.operator, (&group, 0), tally, had_row, values.into_iter());
        } else if self.is_whole && !had_row {
            // All readings may be deleted before a restart, and then nothing else says that there is this group.
            let tally = layout.empty();
            let bytes = tally.written();
            keep(changes, self.operator, (&group, 0), Some((&tally, &bytes)), false, iter::empty());
        }
        match (is_there, self.groups.get_mut(&group)) {
            (true, Some(kept)) => *kept = Packed::new(bytes, tally.bags),
            (true, None) => drop(self.groups.insert(group.clone(), Packed::new(bytes, tally.bags))),
            (false, _) => drop(self.groups.remove(&group)),
        }
        if new_row == old_row {
            return None;
        }
        let end = new_row.is_none().then(|| {
            let mut end = read_all(&group).unwrap_or_default();
            end.extend_from_slice(&self.nothing);
            end
        });
        Some(Delta { had_row, end, ..Delta::new(group, old_row, new_row, To::All) })
    }
}
