//! The windows of a group, and how rows are added to them.

use std::collections::BTreeMap;

use super::delta::Key;
use super::grouped::{row_of, values_of};
use super::kept::{Tally, TallyRef, Timed};
use super::plan::WindowKind;
use super::tally::Layout;
use super::value::{Row, read_time};

#[derive(Default)]
pub(super) struct Group {
    pub times: Times,
    /// The windows by their starts.
    pub windows: BTreeMap<i64, Slot>,
    /// Of sessions that can fall apart, the tallies of single times.
    pub instants: BTreeMap<i64, Tally>,
}

impl Group {
    /// The starts of the sessions that a time is in, or that begin behind it and before `end`.
    fn near(&self, time: i64, end: i64) -> Vec<i64> {
        let before = self.windows.range(..=time).next_back().filter(|(_, slot)| time < slot.end);
        let after = self.windows.range(time.saturating_add(1)..end);
        before.into_iter().chain(after).map(|(start, _)| *start).collect()
    }
}

/// A window.
pub(super) struct Slot {
    pub end: i64,
    pub tally: Tally,
}

/// The times of a group, in microseconds. All only increase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The latest event.
    pub latest: i64,
    /// Windows that end up to here are closed.
    pub closed: i64,
    /// Windows that end up to here are discarded.
    pub horizon: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { latest: i64::MIN, closed: i64::MIN, horizon: i64::MIN }
    }
}

impl Times {
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut next = || read_time(&mut bytes);
        let times = Self { latest: next()?, closed: next()?, horizon: next()? };
        bytes.is_empty().then_some(times)
    }

    pub fn written(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (to, time) in bytes.chunks_mut(8).zip([self.latest, self.closed, self.horizon]) {
            to.copy_from_slice(&time.to_le_bytes());
        }
        bytes
    }
}

/// A window of a group.
pub(super) type Place = (Key, i64);

/// A window before an epoch: its end, and its row if it is needed.
pub(super) type Before = BTreeMap<Place, Option<(i64, Option<Row>)>>;

/// What is known of an epoch while it is passed.
#[derive(Default)]
pub(super) struct Open {
    /// Whether rows before are needed.
    pub tells_old: bool,
    pub before: Before,
    pub times_before: BTreeMap<Key, Option<Times>>,
    /// The values of multisets that change, with their numbers before.
    pub values: BTreeMap<Place, BTreeMap<(usize, Timed), i64>>,
}

/// The end of a window of a fixed size.
pub(super) fn end_of(kind: WindowKind, start: i64) -> i64 {
    match kind {
        WindowKind::Hop { size, .. } => start.saturating_add(size),
        WindowKind::Session { gap } => start.saturating_add(gap),
    }
}

/// What identifies the row of a window.
pub(super) fn delta_key(group: &Key, start: i64) -> Key {
    [&start.to_be_bytes()[..], group].concat().into()
}

/// Notes a window as it is before the epoch, and which values of its multisets a part changes.
pub(super) fn note(
    layout: &Layout,
    group: &Group,
    key: &Key,
    start: i64,
    part: Option<TallyRef<'_>>,
    open: &mut Open,
) {
    let slot = group.windows.get(&start);
    let place = (key.clone(), start);
    if let Some(part) = part {
        let values = open.values.entry(place.clone()).or_default();
        for (bag, value, before) in values_of(part, slot.map(|slot| slot.tally.get())) {
            values.entry((bag, value)).or_insert(before);
        }
    }
    let tells_old = open.tells_old;
    open.before.entry(place).or_insert_with(|| {
        let row = |slot: &Slot| row_of(layout, key, Some((start, slot.end)), slot.tally.get()).collect();
        slot.map(|slot| (slot.end, tells_old.then(|| row(slot))))
    });
}

pub(super) fn add_to_window(
    layout: &Layout,
    group: &mut Group,
    key: &Key,
    (start, end): (i64, i64),
    part: TallyRef<'_>,
    open: &mut Open,
) {
    note(layout, group, key, start, Some(part), open);
    let slot =
        group.windows.entry(start).or_insert_with(|| Slot { end, tally: layout.places.empty().to_owned() });
    layout.places.merge(slot.tally.get_mut(), part);
    if slot.tally.get().rows() == 0 {
        group.windows.remove(&start);
    }
}

/// Adds a part to the session that it is in or next to; it may join two of them.
pub(super) fn add_to_session(
    layout: &Layout,
    group: &mut Group,
    key: &Key,
    time: i64,
    gap: i64,
    part: TallyRef<'_>,
    open: &mut Open,
) {
    let end = time.saturating_add(gap);
    let near = group.near(time, end);
    let mut merged = Slot { end, tally: part.to_owned() };
    let start = near.first().map_or(time, |first| time.min(*first));
    for joined in near {
        // Its values move to the session that it is joined to.
        let all = group.windows.get(&joined).map(|slot| slot.tally.clone());
        note(layout, group, key, joined, all.as_ref().map(Tally::get), open);
        if let Some(slot) = group.windows.remove(&joined) {
            merged.end = merged.end.max(slot.end);
            layout.places.merge(merged.tally.get_mut(), slot.tally.get());
        }
    }
    note(layout, group, key, start, Some(merged.tally.get()), open);
    group.windows.insert(start, merged);
}

pub(super) fn add_instant(layout: &Layout, group: &mut Group, time: i64, part: TallyRef<'_>) {
    let tally = group.instants.entry(time).or_insert_with(|| layout.places.empty().to_owned());
    layout.places.merge(tally.get_mut(), part);
    if tally.get().rows() == 0 {
        group.instants.remove(&time);
    }
}

/// Notes the sessions that a change at a time may concern.
pub(super) fn note_sessions(layout: &Layout, group: &Group, key: &Key, time: i64, gap: i64, open: &mut Open) {
    for start in group.near(time, time.saturating_add(gap)).into_iter().chain([time]) {
        note(layout, group, key, start, None, open);
    }
}
