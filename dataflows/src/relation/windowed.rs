//! Aggregates in windows of time: the windows of a worker's groups, when they are closed and when discarded, and what
//! an epoch changes.
//!
//! A window is open until the time of its group has reached its end. It accepts rows until the horizon has passed it;
//! then its state is discarded, and its row stays.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::delta::{Deltas, Key, To};
use super::entry::{self, Changes, Entry};
use super::gather::pane_of;
use super::grouped::{keep, restore, row_of};
use super::kept::TallyRef;
use super::keyed::topic_key;
use super::part::{Head, Parts};
use super::plan::{Window, WindowKind};
use super::slots::{
    Before, Group, Open, Place, Slot, Times, add_instant, add_to_session, add_to_window, delta_key, end_of,
    note_sessions,
};
use super::tally::Layout;
use super::value::{Row, read_time};
use crate::views::lateness::Waiting;
use crate::views::watermark::{Watermark, WatermarkUpdate};

/// The groups that this worker keeps.
pub(super) struct Windowed {
    window: Window,
    pane: i64,
    layout: Arc<Layout>,
    operator: u8,
    /// Whether rows can be taken back, so that sessions can fall apart.
    retracts: bool,
    /// Whether readings can be taken back: they are all state then, and windows are not.
    upserts: bool,
    /// Whether this worker keeps the time of the topic.
    leads: bool,
    /// Whether changes have the row before.
    tells_old: bool,
    watermark: Watermark,
    groups: HashMap<Key, Group, RandomState>,
    waiting: Waiting<Key>,
}

/// A window that an epoch has changed: before, where its row may be left out, and after.
type Changed = (Place, Option<(i64, Option<Row>)>, Option<(i64, Row)>);

/// The output of an epoch.
#[derive(Default)]
pub(super) struct Passed {
    pub deltas: Deltas,
    pub changes: Changes,
    /// The group and pane of rows that are late, and how many rows these are.
    pub late: Vec<((Key, i64), usize)>,
}

impl Windowed {
    pub fn new(
        window: Window,
        layout: Arc<Layout>,
        operator: u8,
        (retracts, upserts): (bool, bool),
        leads: bool,
        tells_old: bool,
    ) -> Self {
        let pane = pane_of(window.kind).unwrap_or(0);
        let watermark = Watermark::new(window.patience.idle);
        Self {
            window,
            pane,
            operator,
            retracts,
            upserts,
            leads,
            // A row that shows another number of rows differs from the one before.
            tells_old: tells_old || retracts || !layout.shows_rows,
            layout,
            watermark,
            groups: HashMap::default(),
            waiting: Waiting::default(),
        }
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, entry: Entry, rest: &[u8], value: &[u8]) {
        let (groups, layout) = (&mut self.groups, &*self.layout);
        if entry == Entry::Times {
            groups.entry(rest.into()).or_default().times =
                Times::read(value).expect("validated state parses");
            return;
        }
        // A session's end stands before its tally.
        let (end, value) = match (self.window.kind, entry) {
            (WindowKind::Session { .. }, Entry::Tally) => {
                let mut rest = value;
                (read_time(&mut rest), rest)
            }
            _ => (None, value),
        };
        let kind = self.window.kind;
        restore(layout, entry, rest, value, |group, start| {
            let group = groups.entry(group.into()).or_default();
            let fresh = || Slot { end: end_of(kind, start), tally: layout.places.empty().to_owned() };
            let slot = group.windows.entry(start).or_insert_with(fresh);
            if let Some(end) = end {
                slot.end = end;
            }
            slot.tally.get_mut()
        })
        .expect("validated state parses");
    }

    /// Whether an entry is valid.
    pub fn keeps(layout: &Layout, kind: WindowKind, entry: Entry, rest: &[u8], value: &[u8]) -> bool {
        if entry == Entry::Times {
            return Times::read(value).is_some();
        }
        let mut value = value;
        if matches!(kind, WindowKind::Session { .. })
            && entry == Entry::Tally
            && read_time(&mut value).is_none()
        {
            return false;
        }
        let mut tally = layout.places.empty().to_owned();
        restore(layout, entry, rest, value, |_, _| tally.get_mut()).is_some()
    }

    /// Whether nothing is late or discarded, because rows can be taken back: a window that is gone could not be
    /// corrected.
    fn keeps_all(&self) -> bool {
        self.upserts || self.retracts
    }

    fn horizon(&self, times: &Times) -> i64 {
        if self.keeps_all() {
            return times.horizon;
        }
        self.watermark.horizon(times.horizon, times.latest, self.window.patience.grace)
    }

    /// Processes an epoch. In `is_again` state is restored, and an upsert job is fed its readings once more: their
    /// times are already in the state.
    pub fn pass(&mut self, parts: Vec<Parts>, updates: Vec<WatermarkUpdate>, is_again: bool) -> Passed {
        let mut passed = Passed::default();
        let mut open = Open { tells_old: self.tells_old, ..Open::default() };
        if is_again {
            // What was restored waits from now on.
            open.times_before.extend(self.groups.iter().map(|(key, group)| (key.clone(), Some(group.times))));
        }
        for parts in parts {
            for place in 0..parts.len() {
                self.part(&parts, place, is_again, &mut open, &mut passed);
            }
        }
        updates
            .into_iter()
            .filter(|update| !(is_again && matches!(update, WatermarkUpdate::Event(_))))
            .for_each(|update| {
                self.watermark.update(update);
            });
        for group in self.waiting.due(&self.watermark) {
            let times = self.groups.get(&group).map(|group| group.times);
            open.times_before.entry(group).or_insert(times);
        }
        let changed = self.changed(&open.before);
        if !self.upserts {
            self.keep(&changed, &mut open, &mut passed.changes);
        }
        self.emit(changed, &open.times_before, &mut passed.deltas);
        for (group, before) in open.times_before.iter().filter(|_| !is_again) {
            self.advance(group, *before, &mut passed);
        }
        if self.leads && !is_again {
            let key = topic_key(self.operator);
            passed.changes.added += self.watermark.keep(&key, &mut passed.changes.bytes);
        }
        for group in open.times_before.keys() {
            self.wait(group);
        }
        passed
    }

    /// Adds a part to its windows.
    fn part(&mut self, parts: &Parts, place: usize, is_again: bool, open: &mut Open, passed: &mut Passed) {
        let (key, tally) = (Key::from(parts.group(place)), parts.tallies.get(place));
        let Head { pane, latest, .. } = parts.heads[place];
        let rows = usize::try_from(tally.rows()).unwrap_or(0);
        let known = self.groups.get(&key).map(|group| group.times);
        if !open.times_before.contains_key(&key) {
            open.times_before.insert(key.clone(), known);
            let times = known.unwrap_or_default();
            let horizon = self.horizon(&times);
            self.groups.entry(key.clone()).or_default().times.horizon = horizon;
        }
        let group = self.groups.entry(key.clone()).or_default();
        let mut is_late = false;
        match self.window.kind {
            WindowKind::Hop { slide, size } => {
                let mut start = pane.div_euclid(slide).saturating_mul(slide);
                while start >= (pane + self.pane).saturating_sub(size) {
                    let end = start.saturating_add(size);
                    if end <= group.times.horizon {
                        is_late = true;
                        break;
                    }
                    add_to_window(&self.layout, group, &key, (start, end), tally, open);
                    let Some(before) = start.checked_sub(slide) else { break };
                    start = before;
                }
            }
            WindowKind::Session { gap } => {
                if pane.saturating_add(gap) <= group.times.horizon {
                    is_late = true;
                } else if self.retracts {
                    add_instant(&self.layout, group, pane, tally);
                    note_sessions(&self.layout, group, &key, pane, gap, open);
                } else {
                    add_to_session(&self.layout, group, &key, pane, gap, tally, open);
                }
            }
        }
        if is_late {
            // Rows that are only taken back are not late: what they were part of stays.
            passed.late.extend((latest > i64::MIN).then_some(((key, pane), rows)));
            return;
        }
        if !is_again {
            group.times.latest = group.times.latest.max(latest);
        }
    }

    /// The windows that an epoch has changed: before and after.
    fn changed(&mut self, before: &Before) -> Vec<Changed> {
        if let (WindowKind::Session { gap }, true) = (self.window.kind, self.retracts) {
            self.cut_sessions(before, gap)
        } else {
            let now = |(key, start): &Place| {
                let slot = self.groups.get(key)?.windows.get(start)?;
                Some((
                    slot.end,
                    row_of(&self.layout, key, Some((*start, slot.end)), slot.tally.get()).collect(),
                ))
            };
            let change = |(place, old): (&Place, &Option<(i64, Option<Row>)>)| {
                (place.clone(), old.clone(), now(place))
            };
            before.iter().map(change).collect()
        }
    }

    /// Cuts the instants of each stretch into sessions again, and compares them with those before.
    fn cut_sessions(&mut self, before: &Before, gap: i64) -> Vec<Changed> {
        let mut stretches: BTreeMap<Key, Vec<(i64, i64)>> = BTreeMap::new();
        for ((key, start), old) in before {
            // An old session, or a time that has changed.
            let end = old.as_ref().map_or(start.saturating_add(gap), |(end, _)| *end);
            stretches.entry(key.clone()).or_default().push((*start, end));
        }
        let mut changed: BTreeMap<Place, (Option<(i64, Option<Row>)>, Option<(i64, Row)>)> = BTreeMap::new();
        for (place, old) in before {
            if old.is_some() {
                changed.insert(place.clone(), (old.clone(), None));
            }
        }
        for (key, all) in stretches {
            let Some(group) = self.groups.get_mut(&key) else { continue };
            // Stretches that touch are cut as one.
            let mut joined: Vec<(i64, i64)> = Vec::new();
            for (start, end) in all {
                match joined.last_mut() {
                    Some((_, last)) if start <= *last => *last = (*last).max(end),
                    _ => joined.push((start, end)),
                }
            }
            for (start, end) in joined {
                group.windows.retain(|at, _| *at < start || *at >= end);
                let mut session: Option<(i64, Slot)> = None;
                let mut sessions = Vec::new();
                for (&time, tally) in group.instants.range(start..end) {
                    match &mut session {
                        Some((_, slot)) if time < slot.end => {
                            self.layout.places.merge(slot.tally.get_mut(), tally.get());
                            slot.end = time.saturating_add(gap);
                        }
                        _ => {
                            let slot = Slot { end: time.saturating_add(gap), tally: tally.clone() };
                            sessions.extend(session.replace((time, slot)));
                        }
                    }
                }
                sessions.extend(session);
                for (start, slot) in sessions {
                    let row = row_of(&self.layout, &key, Some((start, slot.end)), slot.tally.get()).collect();
                    changed.entry((key.clone(), start)).or_default().1 = Some((slot.end, row));
                    group.windows.insert(start, slot);
                }
            }
        }
        changed.into_iter().map(|(place, (old, new))| (place, old, new)).collect()
    }

    /// Writes changed windows to the state.
    fn keep(&self, changed: &[Changed], open: &mut Open, changes: &mut Changes) {
        for ((group, start), old, _) in changed {
            let slot = self.groups.get(group).and_then(|of| of.windows.get(start));
            let values = open.values.remove(&(group.clone(), *start)).unwrap_or_default();
            let values = values.into_iter().map(|((bag, value), before)| (bag, value, before));
            let is_session = matches!(self.window.kind, WindowKind::Session { .. });
            let end = slot.filter(|_| is_session).map(|slot| slot.end);
            let write = |tally: TallyRef<'_>, out: &mut Vec<u8>| {
                // The end of a session stands before its tally.
                out.extend(end.into_iter().flat_map(i64::to_le_bytes));
                self.layout.places.write(tally, out);
            };
            let tally = slot.map(|slot| slot.tally.get());
            keep(changes, self.operator, (group, *start), tally, write, old.is_some(), values);
        }
    }

    /// The changes for tables, and those of windows that files already have.
    fn emit(&self, changed: Vec<Changed>, times_before: &BTreeMap<Key, Option<Times>>, deltas: &mut Deltas) {
        let nothing = self.layout.places.empty();
        for ((group, start), old, new) in changed {
            let is_same = match (&old, &new) {
                (Some((end, Some(old))), Some((new_end, new))) => end == new_end && old == new,
                (old, new) => old.is_none() && new.is_none(),
            };
            if is_same {
                continue;
            }
            let closed = times_before.get(&group).copied().flatten().unwrap_or_default().closed;
            let key = delta_key(&group, start);
            let end: Option<Row> = match (&old, &new) {
                (Some((end, _)), None) => {
                    Some(row_of(&self.layout, &group, Some((start, *end)), nothing).collect())
                }
                _ => None,
            };
            // Files have the windows that were closed before.
            let old_in_file = old.clone().filter(|(end, _)| *end <= closed);
            let new_in_file = new.clone().filter(|(end, _)| *end <= closed);
            for (to, old, new) in [(To::File, old_in_file, new_in_file), (To::Table, old, new)] {
                if old.is_none() && new.is_none() {
                    continue;
                }
                let had_row = old.is_some();
                old.and_then(|(_, row)| row).into_iter().for_each(|row| deltas.put_old(row));
                new.into_iter().for_each(|(_, row)| deltas.put_new(row));
                end.iter().for_each(|row| deltas.put_end(row.iter().cloned()));
                deltas.close(key.clone(), had_row, to);
            }
        }
    }

    /// Closes and discards the windows of a group after its time, or that of the topic, has advanced.
    fn advance(&mut self, key: &Key, before: Option<Times>, passed: &mut Passed) {
        let Some(group) = self.groups.get(key) else { return };
        let times = group.times;
        let closed = times.closed.max(self.watermark.of_truck(times.latest));
        let horizon = self.horizon(&times);
        // Windows are in the order of their ends, too.
        let closing = group.windows.iter().rev().skip_while(|(_, slot)| slot.end > closed);
        let closing: Vec<_> = closing.take_while(|(_, slot)| slot.end > times.closed).collect();
        for (&start, slot) in closing.into_iter().rev() {
            let row = row_of(&self.layout, key, Some((start, slot.end)), slot.tally.get());
            let key = delta_key(key, start);
            passed.deltas.put_new(row);
            passed.deltas.close(key, false, To::File);
        }
        let discarded = horizon.saturating_sub(self.gap());
        let (operator, keeps_all) = (self.operator, self.keeps_all());
        let Some(group) = self.groups.get_mut(key) else { return };
        group.times = Times { closed, horizon, ..times };
        if !keeps_all {
            while let Some(entry) = group.windows.first_entry()
                && entry.get().end <= discarded
            {
                let (start, slot) = entry.remove_entry();
                let values = slot.tally.get().bags().iter().enumerate();
                let values = values.flat_map(|(bag, values)| {
                    values.iter().map(move |(value, times)| (bag, value.clone(), *times))
                });
                keep(&mut passed.changes, operator, (key, start), None, |_, _| {}, true, values);
                let end = slot.end;
                while group.instants.first_key_value().is_some_and(|(time, _)| *time < end) {
                    group.instants.pop_first();
                }
            }
        }
        if before != Some(group.times) {
            let key = entry::key(Entry::Times, operator, |out| out.extend_from_slice(key));
            passed.changes.put(&key, Some(&group.times.written()), before.is_some());
        }
    }

    /// How far behind the horizon a window may end to which a row that is not late can belong: it may be part of a
    /// session that ends so much earlier.
    fn gap(&self) -> i64 {
        match self.window.kind {
            WindowKind::Session { gap } => gap,
            WindowKind::Hop { .. } => 0,
        }
    }

    /// Schedules when a group has to be visited again if it has no input.
    fn wait(&mut self, key: &Key) {
        let Some(group) = self.groups.get(key) else { return };
        let open = group.windows.values().rev().map(|slot| slot.end);
        let next_to_close = open.take_while(|end| *end > group.times.closed).last();
        let (grace, keeps_all) = (self.window.patience.grace, self.keeps_all());
        let oldest = group.windows.values().next().map(|slot| slot.end.saturating_add(self.gap()));
        let oldest = oldest.filter(|end| !keeps_all && *end <= group.times.latest);
        let next_to_forget = oldest.map(|end| end.saturating_add(grace));
        let points = next_to_close.into_iter().chain(next_to_forget);
        self.waiting.set(key, group.times.latest, points);
    }
}
