//! Adds up the rows of an epoch per group, on the worker that has them, so that few parts go to the groups' workers.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::columns::{Columns, Groups, NOWHERE};
use super::delta::Key;
use super::index::{Index, hash_of};
use super::part::Parts;
use super::plan::{Aggregate, WindowKind};
use super::tally::Layout;
use super::value::{Value, write_text, written};
use crate::batch::Batch;
use crate::expression::{Evaluated, Selected};
use crate::names::Names;

/// The parts of an open epoch.
#[derive(Default)]
pub(super) struct Gathered {
    /// The places of parts, by their groups and panes.
    places: Index,
    parts: Parts,
    /// The keys of the groups of a batch, one after another, and of each its hash, and where it ends.
    keys: Vec<u8>,
    ends: Vec<(u64, usize)>,
    /// How many batches there were.
    batches: u32,
    /// For each part the number of the last batch with rows of it, and its index among the parts of that batch.
    seen: Vec<(u32, u32)>,
}

/// An aggregate, ready to add up rows.
pub(super) struct Gather {
    aggregate: Arc<Aggregate>,
    layout: Arc<Layout>,
    /// The greatest common divisor of slide and size: all rows of a pane are in the same windows.
    pane: Option<i64>,
    is_by_entity: bool,
    /// How many parts an epoch has had.
    most: Cell<usize>,
}

/// The greatest common divisor.
fn divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// The start of the pane that contains a time.
#[inline]
fn start_of(time: i64, pane: i64) -> i64 {
    time.div_euclid(pane).saturating_mul(pane)
}

/// The length of the panes of windows; none for sessions, whose panes are single times.
pub(super) fn pane_of(kind: WindowKind) -> Option<i64> {
    match kind {
        WindowKind::Hop { slide, size } => Some(divisor(slide, size)),
        WindowKind::Session { .. } => None,
    }
}

/// The hash of the hash of a group and a pane.
#[inline]
fn with_pane(hash: u64, pane: i64) -> u64 {
    // The halves change places, as rows may come in the order of the hashes. With an odd factor panes of any length differ in
    // the upper bits.
    hash.rotate_left(32).wrapping_add((pane as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Gathered {
    /// The place of a part of a group, whose keys have this hash.
    fn at(&mut self, group: &[u8], hash: u64, pane: i64, layout: &Layout) -> u32 {
        let of_both = with_pane(hash, pane);
        let found = self.places.find(of_both, |place| self.is_of(place, group, pane));
        found.unwrap_or_else(|| {
            let place = self.parts.push(group, hash, pane, layout) as u32;
            self.places.insert(of_both, place);
            place
        })
    }

    /// Whether a part is of a group and pane.
    #[inline]
    fn is_of(&self, place: u32, group: &[u8], pane: i64) -> bool {
        let place = place as usize;
        self.parts.heads[place].pane == pane && self.parts.group(place) == group
    }

    /// Makes room for as many parts as an earlier epoch had.
    fn reserve(&mut self, most: usize) {
        self.places.reserve(most);
        self.parts.heads.reserve(most);
    }

    /// The index of a part among those that the current batch has rows of.
    fn index_of(&mut self, place: u32, touched: &mut Vec<u32>) -> u32 {
        if self.seen.len() < self.parts.len() {
            self.seen.resize(self.parts.len(), (0, 0));
        }
        let seen = &mut self.seen[place as usize];
        if seen.0 != self.batches {
            *seen = (self.batches, touched.len() as u32);
            touched.push(place);
        }
        seen.1
    }

    /// Keeps the keys of the entities of a batch, each of which is the group of its name.
    fn know(&mut self, names: &Names) {
        self.keys.clear();
        self.ends.clear();
        let mut start = 0;
        for name in names.iter() {
            write_text(name, &mut self.keys);
            self.ends.push((hash_of(&self.keys[start..]), self.keys.len()));
            start = self.keys.len();
        }
    }

    /// The place of a part of an entity of the batch.
    fn of_entity(&mut self, entity: usize, pane: i64, layout: &Layout) -> u32 {
        let keys = std::mem::take(&mut self.keys);
        let (hash, end) = self.ends[entity];
        let start = entity.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let place = self.at(&keys[start..end], hash, pane, layout);
        self.keys = keys;
        place
    }

    /// Adds an empty part for the group of everything, so that it exists.
    pub fn whole(&mut self, layout: &Layout) {
        self.at(&[], hash_of(&[]), 0, layout);
    }

    /// All parts.
    pub fn finish(self) -> Parts {
        self.parts
    }
}

impl Gather {
    pub fn new(aggregate: Arc<Aggregate>, layout: Arc<Layout>) -> Self {
        let pane = aggregate.window.as_ref().map_or(Some(0), |window| pane_of(window.kind));
        let is_by_entity = matches!(&aggregate.keys[..], [key] if key.is_entity());
        Self { aggregate, layout, pane, is_by_entity, most: Cell::new(0) }
    }

    /// The pane of a time.
    #[inline]
    fn pane(&self, time: i64) -> i64 {
        match self.pane {
            Some(0) => 0,
            Some(pane) => start_of(time, pane),
            None => time,
        }
    }

    /// Adds a row that is not a reading.
    pub fn row(&self, row: &[Value], sign: i64, parts: &mut Gathered) {
        let Aggregate { source, keys, window, time, .. } = &*self.aggregate;
        if source.filter.as_ref().is_some_and(|filter| !filter.holds_for(row)) {
            return;
        }
        let at = window.as_ref().map(|window| window.time.of_row(row).time());
        if at == Some(None) {
            return;
        }
        let at = at.flatten();
        let group = written(&keys.iter().map(|key| key.of_row(row)).collect::<Vec<_>>());
        let arguments: Vec<Value> = self.layout.arguments.iter().map(|one| one.of_row(row)).collect();
        let passes: Vec<bool> = self.layout.filters.iter().map(|one| one.holds_for(row)).collect();
        let time = time.as_ref().and_then(|time| time.of_row(row).time()).unwrap_or(0);
        let pane = at.map_or(0, |at| self.pane(at));
        let place = parts.at(&group, hash_of(&group), pane, &self.layout) as usize;
        let parts = &mut parts.parts;
        self.layout.push(parts.tallies.get_mut(place), &arguments, &passes, time, sign);
        if let Some(at) = at.filter(|_| sign > 0) {
            let latest = &mut parts.heads[place].latest;
            *latest = at.max(*latest);
        }
    }

    /// Adds the readings of a batch.
    pub fn batch(&self, batch: &Batch, parts: &mut Gathered) {
        let mut selected = Selected::by(self.aggregate.source.filter.as_ref(), batch);
        if let Some(window) = self.aggregate.window.as_ref().filter(|window| !window.time.is_always_there()) {
            let times = selected.values(&window.time);
            let timed = |row: usize| (!times.value(row).is_null()).then(|| selected.places[row]);
            let timed = (0..selected.places.len()).filter_map(timed).collect();
            drop(times);
            selected.places = timed;
        }
        self.selected(batch, &selected, parts);
    }

    /// The readings of a batch that are in these groups and panes.
    pub fn places(&self, batch: &Batch, wanted: &BTreeSet<(Key, i64)>) -> Vec<u32> {
        let Aggregate { source, keys, window: Some(window), .. } = &*self.aggregate else {
            return Vec::new();
        };
        let selected = Selected::by(source.filter.as_ref(), batch);
        let times = selected.values(&window.time);
        let keys: Vec<Evaluated<'_>> = keys.iter().map(|key| selected.values(key)).collect();
        let is_wanted = |row: usize| {
            times.value(row).time().is_some_and(|time| {
                let group = written(&keys.iter().map(|key| key.value(row)).collect::<Vec<_>>());
                wanted.contains(&(group, self.pane(time)))
            })
        };
        let rows = selected.places.iter().enumerate();
        rows.filter(|(row, _)| is_wanted(*row)).map(|(_, place)| *place).collect()
    }

    fn selected(&self, batch: &Batch, selected: &Selected<'_>, parts: &mut Gathered) {
        let (layout, aggregate) = (&*self.layout, &*self.aggregate);
        let at = aggregate.window.as_ref().map(|window| selected.values(&window.time));
        let at: Option<&[i64]> = match &at {
            Some(Evaluated::Units(times, _)) => Some(times),
            _ => None,
        };
        let groups = self.groups(batch, selected, at, parts);
        let signs: Option<Vec<i8>> = batch.corrections.as_ref().map(|corrections| {
            selected.places.iter().map(|&place| corrections.signs[place as usize]).collect()
        });
        let arguments: Vec<Evaluated<'_>> =
            layout.arguments.iter().map(|argument| selected.values(argument)).collect();
        let filters: Vec<Vec<bool>> = layout.filters.iter().map(|filter| selected.truths(filter)).collect();
        let columns = Columns {
            groups: &groups,
            arguments: &arguments,
            filters: &filters,
            signs: signs.as_deref(),
            event_times: &selected.event_times(),
            times: at,
            near: vec![OnceCell::new(); arguments.len()],
        };
        columns.add(layout, &mut parts.parts);
    }

    /// The part of each row.
    fn groups<'b>(
        &self,
        batch: &'b Batch,
        selected: &Selected<'_>,
        at: Option<&[i64]>,
        parts: &mut Gathered,
    ) -> Groups<'b> {
        parts.batches += 1;
        let number = parts.parts.len();
        if number == 0 {
            parts.reserve(self.most.get());
        }
        self.most.set(self.most.get().max(number));
        match (self.is_by_entity, at) {
            (true, None) => self.of_entities(batch, selected, parts),
            (true, Some(at)) => self.of_panes(batch, selected, at, parts),
            (false, at) => self.of_keys(selected, at, parts),
        }
    }

    /// A part for each entity that has rows.
    fn of_entities<'b>(&self, batch: &'b Batch, selected: &Selected<'_>, parts: &mut Gathered) -> Groups<'b> {
        let of_row: Cow<'b, [u32]> = match selected.places.len() == batch.len() {
            true => Cow::Borrowed(&batch.entity),
            false => selected.places.iter().map(|&place| batch.entity[place as usize]).collect(),
        };
        let mut has_rows = vec![false; batch.entities.len()];
        of_row.iter().for_each(|&entity| has_rows[entity as usize] = true);
        parts.know(&batch.entities);
        // One step for all, then the next one: so the waits for memory that is in no cache overlap.
        let first = |(hash, _): &(u64, usize)| parts.places.first(with_pane(*hash, 0)).unwrap_or(NOWHERE);
        let mut touched: Vec<u32> = parts.ends.iter().map(first).collect();
        let range = |&place: &u32| if place == NOWHERE { 0..0 } else { parts.parts.range(place as usize) };
        let ranges: Vec<Range<usize>> = touched.iter().map(range).collect();
        let mut start = 0;
        for ((place, range), &(_, end)) in touched.iter_mut().zip(ranges).zip(&parts.ends) {
            if parts.parts.group_at(range) != &parts.keys[start..end] {
                *place = NOWHERE;
            }
            start = end;
        }
        for (entity, (place, has_rows)) in touched.iter_mut().zip(has_rows).enumerate() {
            if !has_rows {
                *place = NOWHERE;
            } else if *place == NOWHERE {
                *place = parts.of_entity(entity, 0, &self.layout);
            }
        }
        Groups { touched, of_row }
    }

    /// A part for each entity and pane.
    fn of_panes(
        &self,
        batch: &Batch,
        selected: &Selected<'_>,
        at: &[i64],
        parts: &mut Gathered,
    ) -> Groups<'static> {
        // Neighbouring readings of an entity are mostly in the same pane: its first time, its last one, its part.
        let mut last: Vec<(i64, i64, u32)> = vec![(i64::MAX, i64::MIN, NOWHERE); batch.entities.len()];
        let mut touched = Vec::new();
        parts.know(&batch.entities);
        let of_row = selected.places.iter().zip(at).map(|(&place, &time)| {
            let entity = batch.entity[place as usize] as usize;
            let (first, end, part) = last[entity];
            if (first..=end).contains(&time) {
                return part;
            }
            let pane = self.pane(time);
            let place = parts.of_entity(entity, pane, &self.layout);
            let part = parts.index_of(place, &mut touched);
            let end = pane.saturating_add(self.pane.map_or(0, |length| length - 1));
            last[entity] = (pane, end, part);
            part
        });
        Groups { of_row: of_row.collect(), touched }
    }

    /// A part for each row of keys and pane.
    fn of_keys(&self, selected: &Selected<'_>, at: Option<&[i64]>, parts: &mut Gathered) -> Groups<'static> {
        let keys: Vec<Evaluated<'_>> = self.aggregate.keys.iter().map(|key| selected.values(key)).collect();
        let (mut touched, mut bytes) = (Vec::new(), Vec::new());
        let mut known: HashMap<Box<[u8]>, u32, RandomState> = HashMap::default();
        let of_row = (0..selected.places.len()).map(|row| {
            let pane = at.map_or(0, |at| self.pane(at[row]));
            bytes.clear();
            bytes.extend_from_slice(&pane.to_le_bytes());
            keys.iter().for_each(|key| key.value(row).write(&mut bytes));
            match known.get(&bytes[..]) {
                Some(&part) => part,
                None => {
                    let group = &bytes[8..];
                    let place = parts.at(group, hash_of(group), pane, &self.layout);
                    let part = parts.index_of(place, &mut touched);
                    known.insert(bytes[..].into(), part);
                    part
                }
            }
        });
        Groups { of_row: of_row.collect(), touched }
    }
}
