//! The expected rows of each view, recomputed from the readings by [`dataflows::oracle`].

use std::collections::{HashMap, HashSet};

use dataflows::batch::Entity;
use dataflows::dead_letter::DeadLetter;
use dataflows::oracle;
use dataflows::relation::Relation;
use dataflows::rows::ColumnSpec;

use super::cell::Cell;
use super::compare::Rows;
use super::input::Input;
use super::reading::Place;
use super::shown::cells;

/// The records that a view has dropped.
pub type GivenUp = HashSet<Place>;

/// The rows of a view that is made of each reading alone.
pub fn of_each<'a>(input: &'a Input, relation: &'a Relation, columns: &'a [ColumnSpec]) -> Box<Rows<'a>> {
    let types = || columns.iter().map(|column| column.column_type);
    Box::new(move |give| {
        for reading in &input.readings {
            let mut give_all = |key: &[u8], relation: &Relation| {
                for row in oracle::relation::rows(relation, [&reading.record]) {
                    give(key, &cells(row, types()));
                }
            };
            match relation {
                // Those of a reading are known by the number of their query.
                Relation::Union(all) => {
                    let numbered = all.iter().enumerate();
                    numbered.for_each(|(number, one)| {
                        give_all(&[&reading.key[..], &[number as u8]].concat(), one)
                    });
                }
                one => give_all(&reading.key, one),
            }
        }
    })
}

/// The rows of dead letters.
pub fn letters(letters: &[DeadLetter]) -> Box<Rows<'_>> {
    Box::new(move |give| {
        for letter in letters {
            let time = letter.kafka_timestamp.map_or(Cell::Null, |ms| Cell::Time(ms.saturating_mul(1000)));
            let cells = [
                Cell::Text(letter.topic.clone()),
                Cell::Integer(letter.partition.into()),
                Cell::Integer(letter.offset),
                time,
                Cell::bytes(letter.key.as_deref()),
                Cell::Text(letter.reason.name().into()),
                Cell::Text(letter.field.as_str().into()),
                Cell::bytes(letter.payload.as_deref()),
                letter.place.map_or(Cell::Null, |place| Cell::Integer(place.into())),
            ];
            give(b"", &cells);
        }
    })
}

/// The progress of event time: per truck, and of the topic for idle trucks.
pub struct Times<'a> {
    latest: &'a HashMap<Entity, i64>,
    topic: i64,
}

impl<'a> Times<'a> {
    /// From the latest event of each truck.
    pub fn new(latest: &'a HashMap<Entity, i64>) -> Self {
        Self { latest, topic: latest.values().max().copied().unwrap_or(i64::MIN) }
    }

    /// The truck's latest event.
    pub fn latest(&self, truck: &Entity) -> i64 {
        self.latest.get(truck).copied().unwrap_or(i64::MIN)
    }

    /// The time up to which the truck's readings are complete, if one that is `idle` behind the topic follows it.
    pub fn of(&self, truck: &Entity, idle: i64) -> i64 {
        self.latest(truck).max(self.topic.saturating_sub(idle))
    }
}
