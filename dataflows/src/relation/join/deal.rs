//! Deals the rows of a side, as columns, to the workers of their keys.

use std::collections::HashMap;
use std::sync::Arc;

use differential_dataflow::hashable::Hashable;
use foldhash::fast::RandomState;

use super::super::column::Column;
use super::super::delta::{Deltas, Key};
use super::super::plan::{Join, Relation};
use super::super::value::{Row, Value, values_in, write_text, written};
use super::block::Block;
use super::part::{Change, Origin, Part};
use super::side::{Shown, Side};
use crate::batch::Batch;
use crate::expression::{Evaluated, Expression, Selected};
use crate::rows::NULL;
use crate::views::lateness::BatchId;

/// Deals the rows of a side.
pub(crate) struct Deal {
    join: Arc<Join>,
    side: Side,
    kept: Vec<usize>,
}

/// No group.
const NOWHERE: u32 = u32::MAX;

/// The groups of rows.
struct Groups {
    /// The group of each row, or [`NOWHERE`].
    of_rows: Vec<u32>,
    keys: Vec<Key>,
}

impl Groups {
    /// For each group its rows.
    fn rows(&self) -> Vec<Vec<u32>> {
        let mut counts = vec![0; self.keys.len()];
        self.of_rows.iter().filter(|group| **group != NOWHERE).for_each(|group| counts[*group as usize] += 1);
        let mut rows: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
        for (row, &group) in (0..).zip(&self.of_rows) {
            if group != NOWHERE {
                rows[group as usize].push(row);
            }
        }
        rows
    }
}

/// The groups of keys, by their bytes.
#[derive(Default)]
struct Known {
    places: HashMap<Key, u32, RandomState>,
    keys: Vec<Key>,
}

impl Known {
    fn place(&mut self, key: &[u8]) -> u32 {
        if let Some(&place) = self.places.get(key) {
            return place;
        }
        let (key, place) = (Key::from(key), self.keys.len() as u32);
        self.keys.push(key.clone());
        self.places.insert(key, place);
        place
    }
}

impl Deal {
    pub fn new(join: Arc<Join>, side: Side, shown: &Shown) -> Self {
        Self { join, side, kept: shown.kept[side as usize].clone() }
    }

    fn relation(&self) -> &Relation {
        if self.side == Side::Left { &self.join.left } else { &self.join.right }
    }

    /// The rows of a batch of readings.
    pub fn readings(&self, id: BatchId, batch: &Batch) -> Vec<Part> {
        let Relation::Select { source, columns } = self.relation() else { return Vec::new() };
        let selected = Selected::by(source.filter.as_ref(), batch);
        let column = |of: &Expression| of.place().map(|place| &columns[place]);
        let (keys, time) = self.join.of_side(self.side as usize);
        let keys: Option<Vec<&Expression>> = keys.into_iter().map(column).collect();
        let time = time.map(column);
        let (Some(keys), None | Some(Some(_))) = (keys, time) else {
            return self.by_row(id, &selected, columns);
        };
        let time = time.flatten().map(|time| selected.values(time));
        let times: Option<&[i64]> = match &time {
            Some(Evaluated::Units(times, _)) => Some(times),
            Some(Evaluated::Values(_)) => return self.by_row(id, &selected, columns),
            None => None,
        };
        let groups = groups(batch, &selected, &keys, times);
        // Those of a key are the same in all of its rows.
        let of_key: Vec<Option<usize>> =
            self.kept.iter().map(|&place| keys.iter().position(|key| **key == columns[place])).collect();
        let kept = self.kept.iter().zip(&of_key);
        let kept = kept.map(|(&place, of_key)| of_key.is_none().then(|| selected.values(&columns[place])));
        let kept: Vec<Option<Evaluated<'_>>> = kept.collect();
        let part = |(key, rows): (&Key, Vec<u32>)| {
            let values: Row = values_in(key).collect();
            let column =
                |(values_of, of_key): (&Option<Evaluated<'_>>, &Option<usize>)| match (values_of, of_key) {
                    (Some(evaluated), _) => evaluated.column_at(&rows),
                    (None, of_key) => Column::Same(of_key.map_or(Value::Null, |place| values[place].clone())),
                };
            let columns = kept.iter().zip(&of_key).map(column).collect();
            let times = rows.iter().map(|&row| times.map_or(0, |times| times[row as usize])).collect();
            let origin = rows.iter().map(|&row| selected.places[row as usize]).collect();
            self.part(key.clone(), Block { times, columns }, Some((id, origin)))
        };
        let rows = groups.keys.iter().zip(groups.rows());
        rows.filter(|(_, rows)| !rows.is_empty()).map(part).collect()
    }

    fn part(&self, key: Key, rows: Block, origin: Option<(BatchId, Vec<u32>)>) -> Part {
        Part { hash: key.hashed(), key, side: self.side, rows, origin }
    }

    /// Readings whose key or time is computed of their columns.
    fn by_row(&self, id: BatchId, selected: &Selected<'_>, columns: &[Expression]) -> Vec<Part> {
        let rows = selected.rows(columns);
        self.dealt(rows.iter().map(|(_, row)| &row[..]), |row| Some((id, rows[row].0)))
    }

    /// The rows of another relation, of which none is taken back.
    pub fn rows(&self, deltas: &Deltas) -> Vec<Part> {
        self.dealt(deltas.rows().map(|(row, _)| row), |_| None)
    }

    fn dealt<'r>(
        &self,
        rows: impl Iterator<Item = &'r [Value]>,
        origin: impl Fn(usize) -> Option<Origin>,
    ) -> Vec<Part> {
        let mut known = Known::default();
        let mut parts: Vec<(Vec<i64>, Vec<Vec<Value>>, Vec<u32>, Option<BatchId>)> = Vec::new();
        for (number, row) in rows.enumerate() {
            let Some((key, time)) = self.join.key_of(self.side, row) else { continue };
            let place = known.place(&key) as usize;
            if place == parts.len() {
                parts.push((Vec::new(), vec![Vec::new(); self.kept.len()], Vec::new(), None));
            }
            let (times, columns, places, batch) = &mut parts[place];
            times.push(time);
            self.kept.iter().zip(columns).for_each(|(&kept, column)| column.push(row[kept].clone()));
            if let Some((id, place)) = origin(number) {
                places.push(place);
                *batch = Some(id);
            }
        }
        let part =
            |(key, (times, columns, places, batch)): (Key, (_, Vec<Vec<Value>>, _, Option<BatchId>))| {
                let columns = columns.into_iter().map(Column::Values).collect();
                self.part(key, Block { times, columns }, batch.map(|id| (id, places)))
            };
        known.keys.into_iter().zip(parts).map(part).collect()
    }

    /// The change of a row; none if it matches nothing.
    fn change(&self, row: &[Value], sign: i64, origin: Option<Origin>) -> Option<Change> {
        let (mut key, time) = self.join.key_of(self.side, row)?;
        if self.join.is_at_once() {
            key = [&key[..], &written(&[Value::Time(time)])].concat().into();
        }
        let row = self.kept.iter().map(|&kept| row[kept].clone()).collect();
        Some(Change { side: self.side, key, time, row, sign, origin })
    }

    /// The changes of the rows of another relation.
    pub fn changed_rows(&self, deltas: &Deltas) -> Vec<Change> {
        deltas.rows().filter_map(|(row, sign)| self.change(row, sign, None)).collect()
    }

    /// The changes of a batch of readings.
    pub fn changed_readings(&self, id: BatchId, batch: &Batch, upserts: bool) -> Vec<Change> {
        let Relation::Select { source, columns } = self.relation() else { return Vec::new() };
        let rows = Selected::by(source.filter.as_ref(), batch).rows(columns);
        let change = |(place, row): (u32, Row)| {
            let origin = (!upserts).then_some((id, place));
            self.change(&row, batch.sign(place as usize).into(), origin)
        };
        rows.into_iter().filter_map(change).collect()
    }
}

/// The groups of readings with the same keys. Those with a NULL among them, or without a time, are in none.
fn groups(batch: &Batch, selected: &Selected<'_>, keys: &[&Expression], times: Option<&[i64]>) -> Groups {
    let is_timed = |row: usize| times.is_none_or(|times| times[row] != NULL);
    if let [key] = keys
        && key.is_entity()
    {
        let group = |(row, &place): (usize, &u32)| {
            if is_timed(row) { batch.entity[place as usize] } else { NOWHERE }
        };
        let key = |name: &str| {
            let mut key = Vec::new();
            write_text(name, &mut key);
            Key::from(key)
        };
        let keys = batch.entities.iter().map(key);
        return Groups {
            of_rows: selected.places.iter().enumerate().map(group).collect(),
            keys: keys.collect(),
        };
    }
    let keys: Vec<Evaluated<'_>> = keys.iter().map(|key| selected.values(key)).collect();
    let (mut known, mut bytes) = (Known::default(), Vec::new());
    let group = |row: usize| {
        bytes.clear();
        for key in &keys {
            let value = key.value(row);
            if value.is_null() {
                return NOWHERE;
            }
            value.write(&mut bytes);
        }
        if is_timed(row) { known.place(&bytes) } else { NOWHERE }
    };
    let of_rows = (0..selected.places.len()).map(group).collect();
    Groups { of_rows, keys: known.keys }
}
