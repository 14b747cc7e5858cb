//! Joins of two relations: the rows of both sides by their keys, and the pairs that an epoch adds and takes back.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::delta::{Deltas, Key};
use super::entry::{Changes, Entry, key};
use super::kept::count;
use super::plan::Join;
use super::value::{Row, Value, read_all, read_bytes, read_time, take, write_bytes, written};
use crate::views::lateness::Waiting;
use crate::views::watermark::{TOPIC, Watermark, WatermarkUpdate};

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Side {
    Left,
    Right,
}

/// A change of a side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Input {
    pub side: Side,
    pub key: Key,
    /// The time of the bound; 0 without one.
    pub time: i64,
    pub row: Row,
    pub sign: i64,
}

/// Rows by time, each with its number.
type Rows = BTreeMap<(i64, Row), i64>;

#[derive(Default)]
struct Group {
    rows: [Rows; 2],
    /// How many rows each side has.
    numbers: [i64; 2],
    times: Times,
}

/// The times of a key of a bounded join, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    latest: i64,
    /// Rows before it are late.
    horizon: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { latest: i64::MIN, horizon: i64::MIN }
    }
}

impl Times {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let times = Self { latest: read_time(&mut bytes)?, horizon: read_time(&mut bytes)? };
        bytes.is_empty().then_some(times)
    }

    fn written(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.latest.to_le_bytes());
        bytes[8..].copy_from_slice(&self.horizon.to_le_bytes());
        bytes
    }
}

/// The keys that this worker keeps.
pub(super) struct Joined {
    join: Arc<Join>,
    operator: u8,
    upserts: bool,
    /// Whether rows of each side can be taken back. All of them are kept then, also those beyond the limit: they count
    /// when others are gone.
    retracts: [bool; 2],
    leads: bool,
    watermark: Watermark,
    groups: HashMap<Key, Group, RandomState>,
    waiting: Waiting<Key>,
}

/// The output of an epoch.
#[derive(Default)]
pub(super) struct Passed {
    pub deltas: Deltas,
    pub changes: Changes,
    /// Rows that are late, by their bytes.
    pub late: Vec<(Side, Key)>,
    /// Rows that are more than a key may have.
    pub surplus: Vec<(Side, Key)>,
}

impl Join {
    /// The key of a row, and its time; none if it matches nothing.
    pub(super) fn key_of(&self, side: Side, row: &[Value]) -> Option<(Key, i64)> {
        let keys = self.keys.iter().map(|(left, right)| match side {
            Side::Left => left.of_row(row),
            Side::Right => right.of_row(row),
        });
        let keys: Vec<Value> = keys.collect();
        if keys.iter().any(Value::is_null) {
            return None;
        }
        let time = match &self.bound {
            None => 0,
            Some(bound) => {
                let of = if side == Side::Left { &bound.left } else { &bound.right };
                of.of_row(row).time()?
            }
        };
        Some((written(&keys), time))
    }
}

impl Joined {
    pub fn new(join: Arc<Join>, operator: u8, upserts: bool, leads: bool) -> Self {
        let idle = join.bound.as_ref().map_or(0, |bound| bound.patience.idle);
        let watermark = Watermark::new(idle);
        let leads = leads && join.bound.is_some();
        let retracts = [join.left.retracts(upserts), join.right.retracts(upserts)];
        let (groups, waiting) = (HashMap::default(), Waiting::default());
        Self { join, operator, upserts, retracts, leads, watermark, groups, waiting }
    }

    /// The key of the entry of a row.
    fn row_key(&self, side: Side, group: &[u8], time: i64, row: &[Value]) -> Vec<u8> {
        key(Entry::Row, self.operator, |out| {
            out.push(u8::from(side == Side::Right));
            write_bytes(group, out);
            out.extend_from_slice(&time.to_le_bytes());
            row.iter().for_each(|value| value.write(out));
        })
    }

    /// The join key of an entry.
    pub fn group_of(entry: Entry, mut rest: &[u8]) -> Option<&[u8]> {
        match entry {
            Entry::Row => {
                take(&mut rest, 1)?;
                read_bytes(&mut rest)
            }
            _ => Some(rest),
        }
    }

    fn parsed(mut rest: &[u8]) -> Option<(Side, &[u8], i64, Row)> {
        let side = if take(&mut rest, 1)? == [0] { Side::Left } else { Side::Right };
        let group = read_bytes(&mut rest)?;
        let time = read_time(&mut rest)?;
        Some((side, group, time, read_all(rest)?))
    }

    /// Whether an entry is valid.
    pub fn keeps(entry: Entry, rest: &[u8], value: &[u8]) -> bool {
        match entry {
            Entry::Row => value.len() == 8 && Self::parsed(rest).is_some(),
            Entry::Times => Times::read(value).is_some(),
            _ => false,
        }
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, entry: Entry, rest: &[u8], value: &[u8]) {
        if entry == Entry::Times {
            let times = Times::read(value).expect("validated state parses");
            self.groups.entry(rest.into()).or_default().times = times;
            return;
        }
        let (side, key, time, row) = Self::parsed(rest).expect("validated state parses");
        let number = value.try_into().map(i64::from_le_bytes).expect("validated state parses");
        let group = self.groups.entry(key.into()).or_default();
        group.rows[side as usize].insert((time, row), number);
        group.numbers[side as usize] += number;
    }

    /// Whether nothing is late or discarded, because rows can be taken back: pairs with a row that is gone could not be
    /// corrected.
    fn keeps_all(&self) -> bool {
        self.upserts || self.retracts.contains(&true)
    }

    fn horizon(&self, times: &Times) -> i64 {
        match &self.join.bound {
            Some(bound) if !self.keeps_all() => {
                self.watermark.horizon(times.horizon, times.latest, bound.patience.grace)
            }
            _ => times.horizon,
        }
    }

    /// Processes an epoch. In `is_again` state is restored, and an upsert job is fed its readings once more.
    pub fn pass(&mut self, inputs: Vec<Input>, updates: Vec<WatermarkUpdate>, is_again: bool) -> Passed {
        let mut passed = Passed::default();
        let mut merged: BTreeMap<Key, [Rows; 2]> = BTreeMap::new();
        for Input { side, key, time, row, sign } in inputs {
            *merged.entry(key).or_default()[side as usize].entry((time, row)).or_default() += sign;
        }
        let is_bounded = self.join.bound.is_some();
        let mut visited: BTreeMap<Key, Option<Times>> = BTreeMap::new();
        if is_again && is_bounded {
            visited.extend(self.groups.iter().map(|(key, group)| (key.clone(), Some(group.times))));
        }
        for (key, sides) in merged {
            let known = self.groups.get(&key).map(|group| group.times);
            visited.entry(key.clone()).or_insert(known);
            let horizon = self.horizon(&known.unwrap_or_default());
            let mut group = self.groups.remove(&key).unwrap_or_default();
            group.times.horizon = horizon;
            self.change(&key, &mut group, sides, is_again, &mut passed);
            let is_empty = group.rows.iter().all(BTreeMap::is_empty) && !is_bounded;
            if !is_empty {
                self.groups.insert(key, group);
            }
        }
        for update in updates {
            if !(is_again && matches!(update, WatermarkUpdate::Event(_))) {
                self.watermark.update(update);
            }
        }
        if !is_bounded {
            return passed;
        }
        for key in self.waiting.due(&self.watermark) {
            let times = self.groups.get(&key).map(|group| group.times);
            visited.entry(key).or_insert(times);
        }
        for (key, before) in &visited {
            if !is_again {
                self.advance(key, *before, &mut passed.changes);
            }
            self.wait(key);
        }
        if self.leads && !is_again {
            let key = [TOPIC, &[self.operator]].concat();
            passed.changes.added += self.watermark.keep(&key, &mut passed.changes.bytes);
        }
        passed
    }

    /// Applies the changes of both sides of a key: first those of the left to the right rows before, then those of the
    /// right to the left rows after.
    fn change(&self, key: &Key, group: &mut Group, sides: [Rows; 2], is_again: bool, passed: &mut Passed) {
        for (side, rows) in [Side::Left, Side::Right].into_iter().zip(sides) {
            let beyond_before = self.beyond(side, group);
            let mut counted = Rows::new();
            for ((time, row), sign) in rows.into_iter().filter(|(_, sign)| *sign != 0) {
                if time < group.times.horizon {
                    if sign > 0 {
                        passed.late.push((side, written(&row)));
                    }
                    continue;
                }
                let number = &mut group.numbers[side as usize];
                if let Some(limit) = self.join.limit
                    && !self.retracts[side as usize]
                    && *number + sign > limit as i64
                {
                    passed.surplus.push((side, written(&row)));
                    continue;
                }
                *number += sign;
                if self.join.bound.is_some() && sign > 0 && !is_again {
                    group.times.latest = group.times.latest.max(time);
                }
                let row = (time, row);
                let before = count(&mut group.rows[side as usize], row.clone(), sign);
                if !self.upserts {
                    passed.changes.put_number(&self.row_key(side, key, time, &row.1), before, before + sign);
                }
                counted.insert(row, sign);
            }
            for (row, number) in self.beyond(side, group) {
                if number > beyond_before.get(&row).copied().unwrap_or(0) {
                    passed.surplus.push((side, written(&row.1)));
                }
                *counted.entry(row).or_default() -= number;
            }
            for (row, number) in beyond_before {
                *counted.entry(row).or_default() += number;
            }
            let other = if side == Side::Left { Side::Right } else { Side::Left };
            let mut others = Cow::Borrowed(&group.rows[other as usize]);
            for (row, number) in self.beyond(other, group) {
                count(others.to_mut(), row, -number);
            }
            for ((time, row), sign) in counted.into_iter().filter(|(_, sign)| *sign != 0) {
                self.pairs(side, time, &row, sign, &others, &mut passed.deltas);
            }
        }
    }

    /// Of a side whose rows can be taken back, those beyond the limit: the last ones, so that they depend only on what
    /// rows there are.
    fn beyond(&self, side: Side, group: &Group) -> Rows {
        let mut beyond = Rows::new();
        let Some(limit) = self.join.limit.filter(|_| self.retracts[side as usize]) else { return beyond };
        let mut number = group.numbers[side as usize] - limit as i64;
        for (row, times) in group.rows[side as usize].iter().rev() {
            if number <= 0 {
                break;
            }
            beyond.insert(row.clone(), number.min(*times));
            number -= times;
        }
        beyond
    }

    /// The pairs of a row with those of the other side.
    fn pairs(&self, side: Side, time: i64, row: &Row, sign: i64, others: &Rows, deltas: &mut Deltas) {
        let (from, to) = match (&self.join.bound, side) {
            (None, _) => (0, 0),
            (Some(bound), Side::Left) => (time.saturating_add(bound.from), time.saturating_add(bound.to)),
            (Some(bound), Side::Right) => (time.saturating_sub(bound.to), time.saturating_sub(bound.from)),
        };
        if from > to {
            return;
        }
        let first = others.range((from, Row::new())..);
        for ((_, other), number) in first.take_while(|((time, _), _)| *time <= to) {
            let (left, right) = if side == Side::Left { (row, other) } else { (other, row) };
            let times = number * sign;
            for _ in 0..times.abs() {
                deltas.push_row(left.iter().chain(right).cloned(), times.signum());
            }
        }
    }

    /// Discards rows that nothing can match any more.
    fn advance(&mut self, key: &Key, before: Option<Times>, changes: &mut Changes) {
        let Some(group) = self.groups.get(key) else { return };
        let horizon = self.horizon(&group.times);
        let Some(bound) = &self.join.bound else { return };
        let (from, to) = (bound.from, bound.to);
        let mut removed = Vec::new();
        let Some(group) = self.groups.get_mut(key) else { return };
        group.times.horizon = horizon;
        let times = group.times;
        if !self.upserts {
            for (side, wait) in [(Side::Left, to), (Side::Right, from.saturating_neg())] {
                let rows = &mut group.rows[side as usize];
                while let Some(entry) = rows.first_entry()
                    && entry.key().0.saturating_add(wait) < horizon
                    && entry.key().0 < horizon
                {
                    let ((time, row), number) = entry.remove_entry();
                    group.numbers[side as usize] -= number;
                    removed.push((side, time, row));
                }
            }
        }
        for (side, time, row) in removed {
            changes.put(&self.row_key(side, key, time, &row), None, true);
        }
        // Times that were never set are not written.
        let before = before.unwrap_or_default();
        if before != times {
            let existed = before != Times::default();
            let key = super::entry::key(Entry::Times, self.operator, |out| out.extend_from_slice(key));
            changes.put(&key, Some(&times.written()), existed);
        }
    }

    /// Schedules when a key has to be visited again if it has no input.
    fn wait(&mut self, key: &Key) {
        let (Some(group), Some(bound)) = (self.groups.get(key), &self.join.bound) else { return };
        let waits = [(Side::Left, bound.to), (Side::Right, bound.from.saturating_neg())];
        let points = waits.into_iter().filter(|_| !self.keeps_all()).filter_map(|(side, wait)| {
            let ((time, _), _) = group.rows[side as usize].first_key_value()?;
            Some(time.saturating_add(wait.max(0)).saturating_add(bound.patience.grace).saturating_add(1))
        });
        self.waiting.set(key, group.times.latest, points.min().into_iter());
    }
}
