//! Joins with rows that can be taken back: all of them are kept, each with its number.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::super::delta::{Deltas, Key};
use super::super::entry::{Changes, Entry, key};
use super::super::kept::count;
use super::super::plan::Join;
use super::super::value::{Row, read_all, read_bytes, read_time, take, write_bytes};
use super::part::{Change, Lost, Origin};
use super::side::{Shown, Side};

/// Rows by time, each with its number.
type Rows = BTreeMap<(i64, Row), i64>;

/// The changes of a side: how many of a row there are more, and the readings that they are.
type Merged = BTreeMap<(i64, Row), (i64, Vec<Origin>)>;

#[derive(Default)]
struct Group {
    rows: [Rows; 2],
    /// How many rows each side has.
    numbers: [i64; 2],
}

/// The keys that this worker keeps.
pub(crate) struct Bags {
    join: Arc<Join>,
    shown: Shown,
    operator: u8,
    keeps_state: bool,
    /// Whether rows of each side can be taken back. Those beyond the limit count when others are gone.
    retracts: [bool; 2],
    groups: HashMap<Key, Group, RandomState>,
}

/// The output of an epoch.
#[derive(Default)]
pub(crate) struct Passed {
    pub deltas: Deltas,
    pub changes: Changes,
    /// Rows that are more than a key may have.
    pub surplus: Vec<Lost>,
}

impl Bags {
    pub fn new(join: Arc<Join>, shown: Shown, operator: u8, upserts: bool) -> Self {
        let retracts = [join.left.retracts(upserts), join.right.retracts(upserts)];
        Self { join, shown, operator, keeps_state: !upserts, retracts, groups: HashMap::default() }
    }

    /// The key of the entry of a row.
    fn row_key(&self, side: Side, group: &[u8], (time, row): &(i64, Row)) -> Vec<u8> {
        key(Entry::Row, self.operator, |out| {
            out.push(side as u8);
            write_bytes(group, out);
            out.extend_from_slice(&time.to_le_bytes());
            row.iter().for_each(|value| value.write(out));
        })
    }

    fn parsed(mut rest: &[u8]) -> Option<(Side, &[u8], i64, Row)> {
        let side = if take(&mut rest, 1)? == [0] { Side::Left } else { Side::Right };
        let group = read_bytes(&mut rest)?;
        let time = read_time(&mut rest)?;
        Some((side, group, time, read_all(rest)?))
    }

    /// The join key of an entry.
    pub fn group_of(mut rest: &[u8]) -> Option<&[u8]> {
        take(&mut rest, 1)?;
        read_bytes(&mut rest)
    }

    /// Whether an entry is valid.
    pub fn keeps(entry: Entry, rest: &[u8], value: &[u8]) -> bool {
        entry == Entry::Row && value.len() == 8 && Self::parsed(rest).is_some()
    }

    /// Restores an entry of the committed state.
    pub fn restore(&mut self, rest: &[u8], value: &[u8]) {
        let (side, key, time, row) = Self::parsed(rest).expect("validated state parses");
        let number = value.try_into().map(i64::from_le_bytes).expect("validated state parses");
        let group = self.groups.entry(key.into()).or_default();
        group.rows[side as usize].insert((time, row), number);
        group.numbers[side as usize] += number;
    }

    /// Processes an epoch.
    pub fn pass(&mut self, inputs: Vec<Change>) -> Passed {
        let mut passed = Passed::default();
        let mut merged: BTreeMap<Key, [Merged; 2]> = BTreeMap::new();
        for Change { side, key, time, row, sign, origin } in inputs {
            let rows = &mut merged.entry(key).or_default()[side as usize];
            let (number, origins) = rows.entry((time, row)).or_default();
            *number += sign;
            origins.extend(origin);
        }
        for (key, sides) in merged {
            let mut group = self.groups.remove(&key).unwrap_or_default();
            self.change(&key, &mut group, sides, &mut passed);
            if group.rows.iter().any(|rows| !rows.is_empty()) {
                self.groups.insert(key, group);
            }
        }
        passed
    }

    /// Applies the changes of both sides of a key: first those of the left to the right rows before, then those of the
    /// right to the left rows after.
    fn change(&self, key: &Key, group: &mut Group, sides: [Merged; 2], passed: &mut Passed) {
        for (side, rows) in Side::BOTH.into_iter().zip(sides) {
            let beyond_before = self.beyond(side, group);
            let mut counted = Rows::new();
            for (row, (mut sign, mut origins)) in rows {
                let number = &mut group.numbers[side as usize];
                if let Some(limit) = self.join.limit
                    && !self.retracts[side as usize]
                    && *number + sign > limit as i64
                {
                    let taken = (limit as i64 - *number).max(0);
                    origins.sort_unstable();
                    let readings = origins.into_iter().skip(taken as usize);
                    let lost = passed.surplus.len() + (sign - taken) as usize;
                    passed.surplus.extend(readings.map(Lost::Reading));
                    // Others are not readings.
                    passed.surplus.resize_with(lost, || Lost::Rows(1));
                    sign = taken;
                }
                if sign == 0 {
                    continue;
                }
                *number += sign;
                let before = count(&mut group.rows[side as usize], row.clone(), sign);
                if self.keeps_state {
                    passed.changes.put_number(&self.row_key(side, key, &row), before, before + sign);
                }
                counted.insert(row, sign);
            }
            for (row, number) in self.beyond(side, group) {
                if number > beyond_before.get(&row).copied().unwrap_or(0) {
                    passed.surplus.push(Lost::Rows(1));
                }
                *counted.entry(row).or_default() -= number;
            }
            for (row, number) in beyond_before {
                *counted.entry(row).or_default() += number;
            }
            let mut others = Cow::Borrowed(&group.rows[side.other() as usize]);
            for (row, number) in self.beyond(side.other(), group) {
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
        let (from, to) = self.join.distance();
        let (from, to) = match side {
            Side::Left => (time.saturating_add(from), time.saturating_add(to)),
            Side::Right => (time.saturating_sub(to), time.saturating_sub(from)),
        };
        if from > to {
            return;
        }
        let first = others.range((from, Row::new())..);
        for ((_, other), number) in first.take_while(|((time, _), _)| *time <= to) {
            let value =
                |of: Side, place: usize| if of == side { row[place].clone() } else { other[place].clone() };
            let times = number * sign;
            for _ in 0..times.abs() {
                self.shown.push(deltas, times.signum(), value);
            }
        }
    }
}
