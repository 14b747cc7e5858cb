//! Joins of rows that stay. Each side of a key has its rows in blocks; with a bound by stretches of time, which are
//! discarded as a whole when nothing can match them any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::super::delta::{Deltas, Key};
use super::super::entry::{Changes, Entry, key};
use super::super::keyed::topic_key;
use super::super::plan::Join;
use super::super::value::{read_bytes, read_time, take, write_bytes};
use super::arrived::{Arrived, end_of, stretch_of};
use super::block::Block;
use super::pairs::{AT_ONCE, Pairs};
use super::part::{Lost, Origin, Part};
use super::side::{Shown, Side};
use crate::Epoch;
use crate::dead_letter::Reason;
use crate::views::lateness::Waiting;
use crate::views::watermark::{Watermark, WatermarkUpdate};

/// The rows of a stretch.
#[derive(Default)]
struct Stretch {
    /// The epochs that added rows: each has an entry in the state.
    epochs: Vec<Epoch>,
    /// The later ones are smaller.
    blocks: Vec<Block>,
}

impl Stretch {
    /// Adds the rows of an epoch. Blocks of about the same size are merged, so that there are few of them, and each row
    /// is moved a few times.
    fn add(&mut self, epoch: Epoch, mut block: Block) {
        self.epochs.push(epoch);
        while let Some(last) = self.blocks.pop_if(|last| last.len() / 2 <= block.len()) {
            block = last.merged(block);
        }
        self.blocks.push(block);
    }
}

/// The rows of a side of a key, by the starts of stretches.
type Kept = BTreeMap<i64, Stretch>;

#[derive(Default)]
struct Group {
    sides: [Kept; 2],
    times: Times,
    /// The last epoch in which the key was visited, and its times before it.
    visited: Epoch,
    before: Times,
}

/// The times of a key of a bounded join, in microseconds. Both only increase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    /// The latest time of a row.
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

/// The output of an epoch.
#[derive(Default)]
pub(crate) struct Passed {
    pub changes: Changes,
    pub lost: Vec<(Reason, Lost)>,
}

/// The keys that this worker keeps.
pub(crate) struct Blocks {
    join: Arc<Join>,
    shown: Shown,
    operator: u8,
    leads: bool,
    watermark: Watermark,
    groups: HashMap<Key, Group, RandomState>,
    waiting: Waiting<Key>,
}

impl Blocks {
    pub fn new(join: Arc<Join>, shown: Shown, operator: u8, leads: bool) -> Self {
        let idle = join.bound.as_ref().map_or(0, |bound| bound.patience.idle);
        let leads = leads && join.bound.is_some();
        let (groups, waiting) = (HashMap::default(), Waiting::default());
        Self { join, shown, operator, leads, watermark: Watermark::new(idle), groups, waiting }
    }

    fn parsed(mut rest: &[u8]) -> Option<(Side, &[u8], i64, Epoch)> {
        let side = if take(&mut rest, 1)? == [0] { Side::Left } else { Side::Right };
        let group = read_bytes(&mut rest)?;
        let stretch = read_time(&mut rest)?;
        Some((side, group, stretch, Epoch::from_le_bytes(rest.try_into().ok()?)))
    }

    /// The join key of an entry.
    pub fn group_of(entry: Entry, rest: &[u8]) -> Option<&[u8]> {
        match entry {
            Entry::Row => Some(Self::parsed(rest)?.1),
            _ => Some(rest),
        }
    }

    /// Whether an entry is valid.
    pub fn keeps(entry: Entry, rest: &[u8], value: &[u8]) -> bool {
        match entry {
            Entry::Row => Block::read(value).is_some() && Self::parsed(rest).is_some(),
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
        let (side, key, stretch, epoch) = Self::parsed(rest).expect("validated state parses");
        let block = Block::read(value).expect("validated state parses");
        let group = self.groups.entry(key.into()).or_default();
        group.sides[side as usize].entry(stretch).or_default().add(epoch, block);
    }

    /// Processes an epoch; `pass` is called with its pairs, some at a time. At a `start` state was restored.
    pub fn pass(
        &mut self,
        epoch: Epoch,
        mut parts: Vec<Part>,
        updates: Vec<WatermarkUpdate>,
        is_start: bool,
        mut pass: impl FnMut(Deltas),
    ) -> Passed {
        let (mut passed, mut pairs) = (Passed::default(), Pairs::default());
        let mut visited: Vec<Key> = Vec::new();
        if is_start && self.join.bound.is_some() {
            visited.extend(self.groups.keys().cloned());
            self.groups.values_mut().for_each(|group| (group.visited, group.before) = (epoch, group.times));
        }
        parts.sort_unstable_by(|one, other| {
            let batch = |part: &Part| part.origin.as_ref().map(|(batch, _)| *batch);
            let by_key = one.hash.cmp(&other.hash).then_with(|| one.key.cmp(&other.key));
            by_key.then_with(|| (one.side, batch(one)).cmp(&(other.side, batch(other))))
        });
        let mut parts = parts.into_iter().peekable();
        while let Some(first) = parts.next() {
            let key = first.key.clone();
            let mut sides = [Vec::new(), Vec::new()];
            sides[first.side as usize].push(first);
            while let Some(part) = parts.next_if(|part| part.key == key) {
                sides[part.side as usize].push(part);
            }
            self.visit(&key, epoch, &mut visited);
            self.arrive(&key, epoch, sides, &mut passed, &mut pairs, &mut pass);
        }
        pairs.finish(&mut pass);
        updates.into_iter().for_each(|update| self.watermark.update(update));
        if self.join.bound.is_none() {
            return passed;
        }
        for key in self.waiting.due(&self.watermark) {
            self.visit(&key, epoch, &mut visited);
        }
        for key in &visited {
            if !is_start {
                self.advance(key, &mut passed.changes);
            }
            self.wait(key);
        }
        if self.leads && !is_start {
            let key = topic_key(self.operator);
            passed.changes.added += self.watermark.keep(&key, &mut passed.changes.bytes);
        }
        passed
    }

    /// Remembers that a key is visited, and its times before.
    fn visit(&mut self, key: &Key, epoch: Epoch, visited: &mut Vec<Key>) {
        let group = match self.groups.get_mut(key) {
            Some(group) => group,
            None => self.groups.entry(key.clone()).or_default(),
        };
        if group.visited != epoch {
            (group.visited, group.before) = (epoch, group.times);
            visited.push(key.clone());
        }
    }

    fn horizon(&self, times: &Times) -> i64 {
        match &self.join.bound {
            Some(bound) => self.watermark.horizon(times.horizon, times.latest, bound.patience.grace),
            None => times.horizon,
        }
    }

    /// Takes in the new rows of a key: first the left ones, which meet the right ones before, then the right ones, which
    /// meet the left ones after.
    fn arrive(
        &mut self,
        key: &Key,
        epoch: Epoch,
        sides: [Vec<Part>; 2],
        passed: &mut Passed,
        pairs: &mut Pairs,
        pass: &mut impl FnMut(Deltas),
    ) {
        let Some(times) = self.groups.get(key).map(|group| group.times) else { return };
        let horizon = self.horizon(&times);
        let mut sides = sides.map(Arrived::of);
        sides.iter_mut().for_each(|side| side.drop_late(horizon, &mut passed.lost));
        if let Some(limit) = self.join.limit {
            self.drop_surplus(key, limit as usize, horizon, &mut sides, &mut passed.lost);
        }
        let Some(group) = self.groups.get_mut(key) else { return };
        group.times.horizon = horizon;
        let (from, to) = self.join.distance();
        for (side, arrived) in Side::BOTH.into_iter().zip(sides) {
            if let Some(&last) = arrived.order.last().filter(|_| self.join.bound.is_some()) {
                group.times.latest = group.times.latest.max(arrived.rows.times[last as usize]);
            }
            let near =
                if side == Side::Left { (from, to) } else { (to.saturating_neg(), from.saturating_neg()) };
            for (stretch, block) in arrived.blocks() {
                let first = stretch_of(block.first().saturating_add(near.0));
                let last = block.last().saturating_add(near.1);
                let others = group.sides[side.other() as usize].range(first..=last.max(first));
                for other in others.flat_map(|(_, stretch)| &stretch.blocks) {
                    let [own, others] = [side, side.other()].map(|side| side as usize);
                    let mut rows: [Vec<u32>; 2] = Default::default();
                    let mut blocks = [&block; 2];
                    blocks[others] = other;
                    block.each_pair(other, near, |row, other_row| {
                        rows[own].push(row as u32);
                        rows[others].push(other_row as u32);
                        if rows[own].len() == AT_ONCE {
                            pairs.add(&self.shown, blocks, &rows, pass);
                            rows.iter_mut().for_each(Vec::clear);
                        }
                    });
                    pairs.add(&self.shown, blocks, &rows, pass);
                }
                let entry = key_of_block(self.operator, side, key, stretch, epoch);
                passed.changes.put_with(&entry, Some(|out: &mut Vec<u8>| block.write(out)), false);
                group.sides[side as usize].entry(stretch).or_default().add(epoch, block);
            }
        }
    }

    /// Drops the rows beyond the limit. A reading that is beyond it on one side of a join of readings with themselves is
    /// left out of the other one, too.
    fn drop_surplus(
        &self,
        key: &Key,
        limit: usize,
        horizon: i64,
        sides: &mut [Arrived; 2],
        lost: &mut Vec<(Reason, Lost)>,
    ) {
        let Some(group) = self.groups.get(key) else { return };
        let surplus = Side::BOTH.map(|side| self.surplus(group, side, limit, horizon, &sides[side as usize]));
        let mut left_out: BTreeSet<Origin> = BTreeSet::new();
        for (side, surplus) in sides.iter_mut().zip(&surplus) {
            side.lose(surplus, Reason::TooLarge, lost);
            side.leave_out(surplus);
            left_out.extend(surplus.iter().filter_map(|&row| side.origin(row)));
        }
        if !left_out.is_empty() && self.join.is_with_itself() {
            for side in sides {
                let is_lost = |row: &u32| side.origin(*row).is_some_and(|origin| left_out.contains(&origin));
                let lost: Vec<u32> = side.order.iter().copied().filter(is_lost).collect();
                side.leave_out(&lost);
            }
        }
    }

    /// The new rows of a side that are more than a key may have, or a key and time.
    fn surplus(&self, group: &Group, side: Side, limit: usize, horizon: i64, arrived: &Arrived) -> Vec<u32> {
        if !self.join.is_at_once() {
            return arrived.beyond(&arrived.order, limit.saturating_sub(self.known(group, side, horizon)));
        }
        let mut surplus = Vec::new();
        for (stretch, rows) in arrived.of_stretches() {
            let known = group.sides[side as usize].get(&stretch);
            let blocks = || known.into_iter().flat_map(|known| &known.blocks);
            // There are seldom so many rows near each other.
            if rows.len() + blocks().map(Block::len).sum::<usize>() <= limit {
                continue;
            }
            let time = |row: &u32| arrived.rows.times[*row as usize];
            for alike in rows.chunk_by(|one, other| time(one) == time(other)) {
                let known: usize = blocks().map(|block| block.count(time(&alike[0]))).sum();
                surplus.extend(arrived.beyond(alike, limit.saturating_sub(known)));
            }
        }
        surplus
    }

    /// How many rows of a side new ones can still match.
    fn known(&self, group: &Group, side: Side, horizon: i64) -> usize {
        let gone = horizon.saturating_sub(self.wait_of(side));
        let stretches = group.sides[side as usize].iter();
        let blocks =
            stretches.flat_map(|(start, stretch)| stretch.blocks.iter().map(move |block| (*start, block)));
        blocks
            .map(|(start, block)| if start < gone { block.len() - block.before(gone) } else { block.len() })
            .sum()
    }

    /// How long rows of a side wait for those of the other one.
    fn wait_of(&self, side: Side) -> i64 {
        let (from, to) = self.join.distance();
        if side == Side::Left { to.max(0) } else { from.saturating_neg().max(0) }
    }

    /// Discards the stretches that nothing can match any more.
    fn advance(&mut self, key: &Key, changes: &mut Changes) {
        let waits = Side::BOTH.map(|side| self.wait_of(side));
        let Some(horizon) = self.groups.get(key).map(|group| self.horizon(&group.times)) else { return };
        let Some(group) = self.groups.get_mut(key) else { return };
        group.times.horizon = horizon;
        for ((side, kept), wait) in Side::BOTH.into_iter().zip(&mut group.sides).zip(waits) {
            let is_gone = |stretch: &i64| end_of(*stretch).saturating_add(wait) <= horizon;
            while let Some(first) = kept.first_entry().filter(|first| is_gone(first.key())) {
                let (start, stretch) = first.remove_entry();
                for epoch in stretch.epochs {
                    changes.put(&key_of_block(self.operator, side, key, start, epoch), None, true);
                }
            }
        }
        let (before, times) = (group.before, group.times);
        if before != times {
            // Times that were never set are not written.
            let existed = before != Times::default();
            let key = super::super::entry::key(Entry::Times, self.operator, |out| out.extend_from_slice(key));
            changes.put(&key, Some(&times.written()), existed);
        }
    }

    /// Schedules when a key has to be visited again if it has no input.
    fn wait(&mut self, key: &Key) {
        let (Some(group), Some(bound)) = (self.groups.get(key), &self.join.bound) else { return };
        let latest = group.times.latest;
        let points = Side::BOTH.into_iter().filter_map(|side| {
            let (start, _) = group.sides[side as usize].first_key_value()?;
            // The latest rows stay: rows after them are never late.
            let gone =
                Some(end_of(*start).saturating_add(self.wait_of(side))).filter(|gone| *gone <= latest)?;
            Some(gone.saturating_add(bound.patience.grace))
        });
        let points: Vec<i64> = points.collect();
        self.waiting.set(key, latest, points.into_iter());
    }
}

/// The key of the entry of the rows that an epoch added to a stretch.
fn key_of_block(operator: u8, side: Side, group: &[u8], stretch: i64, epoch: Epoch) -> Vec<u8> {
    key(Entry::Row, operator, |out| {
        out.push(side as u8);
        write_bytes(group, out);
        out.extend_from_slice(&stretch.to_le_bytes());
        out.extend_from_slice(&epoch.to_le_bytes());
    })
}
