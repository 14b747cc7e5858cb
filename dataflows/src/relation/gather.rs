//! Adds up the rows of an epoch per group, on the worker that has them, so that few parts go to the groups' workers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::delta::Key;
use super::kept::{Tally, count};
use super::plan::{Aggregate, WindowKind};
use super::tally::Layout;
use super::value::{Row, Value, written};
use crate::batch::{Batch, Entity};
use crate::expression::{Evaluated, Selected};
use crate::rows::NULL;

/// What the rows of an epoch add to a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    /// The group's keys.
    pub group: Key,
    /// Of windows, the start of the pane: see [`pane_of`].
    pub pane: i64,
    pub tally: Tally,
    /// The latest time of a row that was added.
    pub latest: i64,
}

/// The parts of an open epoch.
#[derive(Default)]
pub(super) struct Parts {
    places: HashMap<(Key, i64), usize, RandomState>,
    parts: Vec<Part>,
    /// The places of entities' parts by the addresses of their names, so that names are neither hashed nor copied.
    of_entities: HashMap<(*const u8, i64), u32, RandomState>,
    /// Keeps the addresses valid.
    names: Vec<Entity>,
}

/// An aggregate, ready to add up rows.
pub(super) struct Gather {
    aggregate: Arc<Aggregate>,
    layout: Arc<Layout>,
    /// The greatest common divisor of slide and size: all rows of a pane are in the same windows.
    pane: Option<i64>,
    is_by_entity: bool,
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

impl Parts {
    /// The place of a part.
    fn at(&mut self, group: &Key, pane: i64, layout: &Layout) -> usize {
        // The key is cloned only for a new part.
        if let Some(&place) = self.places.get(&(group.clone(), pane)) {
            return place;
        }
        self.places.insert((group.clone(), pane), self.parts.len());
        self.parts.push(Part { group: group.clone(), pane, tally: layout.empty(), latest: i64::MIN });
        self.parts.len() - 1
    }

    /// The place of a part of an entity.
    fn of_entity(&mut self, name: &Entity, pane: i64, layout: &Layout) -> u32 {
        let key = (name.as_ptr(), pane);
        if let Some(&place) = self.of_entities.get(&key) {
            return place;
        }
        let place = self.at(&written(&[Value::Text(name.clone())]), pane, layout) as u32;
        self.of_entities.insert(key, place);
        self.names.push(name.clone());
        place
    }

    /// Adds an empty part for the group of everything, so that it exists.
    pub fn whole(&mut self, layout: &Layout) {
        self.at(&Key::default(), 0, layout);
    }

    /// All parts.
    pub fn finish(self) -> Vec<Part> {
        self.parts
    }
}

impl Gather {
    pub fn new(aggregate: Arc<Aggregate>, layout: Arc<Layout>) -> Self {
        let pane = aggregate.window.as_ref().map_or(Some(0), |window| pane_of(window.kind));
        let is_by_entity = matches!(&aggregate.keys[..], [key] if key.is_entity());
        Self { aggregate, layout, pane, is_by_entity }
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
    pub fn row(&self, row: &Row, sign: i64, parts: &mut Parts) {
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
        let place = parts.at(&group, at.map_or(0, |at| self.pane(at)), &self.layout);
        let part = &mut parts.parts[place];
        part.tally.push(&self.layout, &arguments, &passes, time, sign);
        if let Some(at) = at.filter(|_| sign > 0) {
            part.latest = part.latest.max(at);
        }
    }

    /// Adds the readings of a batch.
    pub fn batch(&self, batch: &Batch, parts: &mut Parts) {
        let mut selected = Selected::by(self.aggregate.source.filter.as_ref(), batch);
        if let Some(window) = &self.aggregate.window {
            let times = selected.values(&window.time);
            let is_timed = |row: &usize| !times.value(*row).is_null();
            let timed = (0..selected.places.len()).filter(is_timed).map(|row| selected.places[row]);
            let timed: Vec<u32> = timed.collect();
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

    fn selected(&self, batch: &Batch, selected: &Selected<'_>, parts: &mut Parts) {
        let (layout, aggregate) = (&*self.layout, &*self.aggregate);
        let rows = selected.places.len();
        let at = aggregate.window.as_ref().map(|window| selected.values(&window.time));
        let at: Option<&[i64]> = match &at {
            Some(Evaluated::Units(times, _)) => Some(times),
            _ => None,
        };
        let groups = self.groups(batch, selected, at, parts);
        let signs: Option<Vec<i8>> = batch.corrections.as_ref().map(|corrections| {
            selected.places.iter().map(|&place| corrections.signs[place as usize]).collect()
        });
        let sign = |row: usize| signs.as_ref().map_or(1, |signs| i64::from(signs[row]));
        for row in 0..rows {
            let part = &mut parts.parts[groups.of_row[row] as usize];
            part.tally.rows += sign(row);
            if let Some(at) = at
                && sign(row) > 0
            {
                part.latest = part.latest.max(at[row]);
            }
        }
        let arguments: Vec<Evaluated<'_>> =
            layout.arguments.iter().map(|argument| selected.values(argument)).collect();
        let filters: Vec<Vec<bool>> = layout.filters.iter().map(|filter| selected.truths(filter)).collect();
        self.sums(&groups, &arguments, &filters, &sign, parts);
        if layout.picks.is_empty() && layout.bags.is_empty() {
            return;
        }
        let time_of = |row: usize| batch.time[selected.places[row] as usize];
        for (row, &part) in groups.of_row.iter().enumerate() {
            let tally = &mut parts.parts[part as usize].tally;
            let passes = |filter: Option<usize>| filter.is_none_or(|filter| filters[filter][row]);
            for (place, pick) in layout.picks.iter().enumerate() {
                if passes(pick.filter) {
                    let time = if pick.by_time { time_of(row) } else { 0 };
                    tally.pick_of(layout, place, time, &arguments[pick.argument], row);
                }
            }
            for (values, bag) in tally.bags.iter_mut().zip(&layout.bags) {
                if passes(bag.filter) {
                    let value = arguments[bag.argument].value(row);
                    if !value.is_null() {
                        let time = if bag.by_time { time_of(row) } else { 0 };
                        count(values, (time, value), sign(row));
                    }
                }
            }
        }
    }

    /// The part of each row.
    fn groups(
        &self,
        batch: &Batch,
        selected: &Selected<'_>,
        at: Option<&[i64]>,
        parts: &mut Parts,
    ) -> Groups {
        let rows = selected.places.len();
        let pane_at = |row: usize| at.map_or(0, |at| self.pane(at[row]));
        let mut of_row = Vec::with_capacity(rows);
        if self.is_by_entity {
            // Neighbouring readings of an entity are mostly in the same pane.
            let mut last: Vec<Option<(i64, u32)>> = vec![None; batch.entities.len()];
            for (row, &place) in selected.places.iter().enumerate() {
                let entity = batch.entity[place as usize] as usize;
                let pane = pane_at(row);
                let known = last[entity].filter(|(known, _)| *known == pane);
                let (_, part) = known
                    .unwrap_or_else(|| (pane, parts.of_entity(&batch.entities[entity], pane, &self.layout)));
                last[entity] = Some((pane, part));
                of_row.push(part);
            }
            return Groups { of_row };
        }
        let keys: Vec<Evaluated<'_>> = self.aggregate.keys.iter().map(|key| selected.values(key)).collect();
        let mut bytes = Vec::new();
        let mut known: HashMap<Box<[u8]>, u32, RandomState> = HashMap::default();
        for row in 0..rows {
            bytes.clear();
            let pane = pane_at(row);
            bytes.extend_from_slice(&pane.to_le_bytes());
            keys.iter().for_each(|key| key.value(row).write(&mut bytes));
            let part = match known.get(&bytes[..]) {
                Some(&part) => part,
                None => {
                    let part = parts.at(&bytes[8..].into(), pane, &self.layout) as u32;
                    known.insert(bytes[..].into(), part);
                    part
                }
            };
            of_row.push(part);
        }
        Groups { of_row }
    }

    /// Adds to the sums, one after another.
    fn sums(
        &self,
        groups: &Groups,
        arguments: &[Evaluated<'_>],
        filters: &[Vec<bool>],
        sign: &impl Fn(usize) -> i64,
        parts: &mut Parts,
    ) {
        let rows = groups.of_row.len();
        let (touched, local) = groups.local();
        let mut sums: Vec<i128> = vec![0; touched.len()];
        for (place, term) in self.layout.terms.iter().enumerate() {
            let units = |argument: usize| match &arguments[argument] {
                Evaluated::Units(values, _) => Some(&**values),
                Evaluated::Values(_) => None,
            };
            let all: Option<Vec<&[i64]>> = term.present.iter().map(|&argument| units(argument)).collect();
            let filter = term.filter.map(|filter| &filters[filter]);
            let passes = |row: usize| filter.is_none_or(|filter| filter[row]);
            let Some(all) = all.filter(|_| !term.is_big) else {
                self.sum_of_values(place, groups, arguments, filter, sign, parts);
                continue;
            };
            let is_present = |row: usize| all.iter().all(|values| values[row] != NULL);
            let mut flush = |sums: &mut [i128]| {
                for (sum, &part) in sums.iter_mut().zip(&touched) {
                    parts.parts[part as usize].tally.sums[place].add_narrow(std::mem::take(sum));
                }
            };
            let factors: Vec<&[i64]> = term.factors.iter().filter_map(|&argument| units(argument)).collect();
            match factors[..] {
                [] => {
                    for row in 0..rows {
                        if passes(row) && is_present(row) {
                            sums[local[row] as usize] += i128::from(sign(row));
                        }
                    }
                }
                // A batch has far fewer than 2^63 rows, so that sums of 64 bits fit 128.
                [x] => {
                    for row in 0..rows {
                        if passes(row) && is_present(row) {
                            sums[local[row] as usize] += i128::from(x[row]) * i128::from(sign(row));
                        }
                    }
                }
                _ => {
                    let (x, y) = (factors[0], factors[1]);
                    for row in 0..rows {
                        if !(passes(row) && is_present(row)) {
                            continue;
                        }
                        let product = i128::from(x[row]) * i128::from(y[row]) * i128::from(sign(row));
                        let sum = &mut sums[local[row] as usize];
                        match sum.checked_add(product) {
                            Some(more) => *sum = more,
                            None => {
                                flush(&mut sums);
                                sums[local[row] as usize] = product;
                            }
                        }
                    }
                }
            }
            flush(&mut sums);
        }
    }

    fn sum_of_values(
        &self,
        place: usize,
        groups: &Groups,
        arguments: &[Evaluated<'_>],
        filter: Option<&Vec<bool>>,
        sign: &impl Fn(usize) -> i64,
        parts: &mut Parts,
    ) {
        let term = &self.layout.terms[place];
        for (row, &part) in groups.of_row.iter().enumerate() {
            if filter.is_none_or(|filter| filter[row]) {
                let values: Vec<Value> =
                    term.present.iter().map(|&argument| arguments[argument].value(row)).collect();
                if values.iter().all(|value| !value.is_null()) {
                    let of = |argument: usize| {
                        let at = term.present.iter().position(|present| *present == argument);
                        at.map_or(&Value::Null, |at| &values[at])
                    };
                    parts.parts[part as usize].tally.sums[place].add(&term.of(of, sign(row)));
                }
            }
        }
    }
}

/// The part of each row of a batch.
struct Groups {
    of_row: Vec<u32>,
}

impl Groups {
    /// The parts that rows are in, and for each row the index of its own among them.
    fn local(&self) -> (Vec<u32>, Vec<u32>) {
        let most = self.of_row.iter().max().map_or(0, |most| *most as usize + 1);
        let mut of_part = vec![u32::MAX; most];
        let mut touched = Vec::new();
        let local = self.of_row.iter().map(|&part| {
            let local = &mut of_part[part as usize];
            if *local == u32::MAX {
                *local = touched.len() as u32;
                touched.push(part);
            }
            *local
        });
        let local = local.collect();
        (touched, local)
    }
}
