//! The readings for which a condition is true.

use super::compare::{Comparator, Comparison};
use super::evaluate::Readings;
use super::tree::{Expression, Node};
use super::types::Test;
use super::values::{TRUE, Values, Vector};
use crate::batch::Batch;
use crate::rows::NULL;
use crate::schema::Place;

impl Expression {
    /// The indices of the readings for which a condition is true.
    pub(super) fn selected(&self, batch: &Batch, places: Option<Vec<u32>>) -> Vec<u32> {
        if let Some(column) = self.wanted_field().and_then(|place| Readings::all(batch).units(place)) {
            return match (column.iter().filter(|value| **value == NULL).count(), places) {
                (0, None) => (0..batch.len() as u32).collect(),
                (0, Some(places)) => places,
                // NULL is the least value.
                (_, places) => select_units(column, Comparison::GreaterOrEqual, NULL + 1, places),
            };
        }
        match &self.node {
            Node::And(all) => all
                .iter()
                .fold(places, |places, one| Some(one.selected(batch, places)))
                .unwrap_or_else(|| (0..batch.len() as u32).collect()),
            Node::Compare(op, Comparator::Units, left, right) => {
                let all = Readings::all(batch);
                if let (Node::Field(place, _), Values::Units(Vector::Constant(limit))) =
                    (&left.node, right.values(&all))
                    && let Some(column) = all.units(*place)
                {
                    return select_units(column, *op, limit, places);
                }
                self.selected_by_value(batch, places)
            }
            _ => self.selected_by_value(batch, places),
        }
    }

    /// The field, if the condition is that it is not NULL.
    fn wanted_field(&self) -> Option<Place> {
        let Node::Not(is) = &self.node else { return None };
        let Node::Is(Test::Null, of) = &is.node else { return None };
        let Node::Field(place, _) = &of.node else { return None };
        Some(*place)
    }

    fn selected_by_value(&self, batch: &Batch, places: Option<Vec<u32>>) -> Vec<u32> {
        let Some(places) = places else {
            let values = self.values(&Readings::all(batch));
            let truths = values.truths();
            return select(batch.len(), |row| row as u32, |row| truths.get(row) == TRUE);
        };
        let values = self.values(&Readings::at(batch, &places));
        let truths = values.truths();
        select(places.len(), |row| places[row], |row| truths.get(row) == TRUE)
    }
}

/// The rows that satisfy a predicate, without a branch per row.
fn select(rows: usize, place: impl Fn(usize) -> u32, holds: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut kept: Vec<u32> = (0..rows).map(place).collect();
    let mut count = 0;
    for row in 0..rows {
        kept[count] = kept[row];
        count += usize::from(holds(row));
    }
    kept.truncate(count);
    kept
}

/// The rows where `column op limit`, without NULL, which is stored as the least value.
pub(crate) fn select_units(column: &[i64], op: Comparison, limit: i64, places: Option<Vec<u32>>) -> Vec<u32> {
    fn by(column: &[i64], places: Option<Vec<u32>>, holds: impl Fn(i64) -> bool) -> Vec<u32> {
        match places {
            None => select(column.len(), |row| row as u32, |row| holds(column[row])),
            Some(places) => {
                select(places.len(), |row| places[row], |row| holds(column[places[row] as usize]))
            }
        }
    }
    if limit == NULL {
        return Vec::new();
    }
    match op {
        Comparison::Equal => by(column, places, |value| value == limit),
        Comparison::NotEqual => by(column, places, |value| value != limit && value != NULL),
        Comparison::Less => by(column, places, |value| value < limit && value != NULL),
        Comparison::LessOrEqual => by(column, places, |value| value <= limit && value != NULL),
        Comparison::Greater => by(column, places, |value| value > limit),
        Comparison::GreaterOrEqual => by(column, places, |value| value >= limit),
    }
}
