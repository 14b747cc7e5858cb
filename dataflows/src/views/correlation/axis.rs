//! The axes of a correlation, and the points of a batch.

use std::borrow::Cow;

use crate::batch::Batch;
use crate::rows::NULL;
use crate::schema::{Place, Schema};

/// An axis of the correlated pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Event time; the column has the seconds since the truck's earliest event.
    Time,
    /// A number, by its column of units.
    Number(usize),
}

impl Axis {
    /// The name of its column.
    pub(super) fn name(self, schema: &Schema) -> Cow<'static, str> {
        match self {
            Self::Time => "time_elapsed".into(),
            Self::Number(column) => {
                let field = schema.fields().iter().find(|field| field.place == Place::Units(column));
                field.map_or_else(String::new, |field| field.name.to_string()).into()
            }
        }
    }

    /// Its values in a batch; [`NULL`] if a record has none.
    pub(super) fn values(self, batch: &Batch) -> &[i64] {
        match self {
            Self::Time => &batch.time,
            Self::Number(column) => &batch.units[column],
        }
    }
}

/// Event time, then the values of the second and the first axis. Of equal times the greatest values count as the
/// latest, so that the order of arrival does not matter. The first axis is 0 if it is time.
pub(super) type Point = (i64, i64, i64);

/// The records that have both values, each with its index.
pub(super) fn points(batch: &Batch, (x, y): (Axis, Axis)) -> impl Iterator<Item = (usize, Point)> {
    let (first, second) = (x.values(batch), y.values(batch));
    (0..batch.len()).filter(move |&place| first[place] != NULL && second[place] != NULL).map(move |place| {
        let first = if x == Axis::Time { 0 } else { first[place] };
        (place, (batch.time[place], second[place], first))
    })
}

/// The first and the second value of a pair.
#[inline]
pub(super) fn pair((time, y, x): Point, axis: Axis) -> (i64, i64) {
    (if axis == Axis::Time { time } else { x }, y)
}
