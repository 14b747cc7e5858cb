//! The values of expressions for some readings of a batch, for aggregates and for rows that are not readings.

use std::borrow::Cow;

use super::evaluate::Readings;
use super::tree::{Expression, Node};
use super::types::Kind;
use super::values::{TRUE, UNKNOWN, Values, Vector};
use crate::batch::Batch;
use crate::relation::column::Column;
use crate::relation::value::{Row, Value};
use crate::rows::NULL;
use crate::schema::Place;

/// The values of an expression.
pub(crate) enum Evaluated<'a> {
    /// Units of decimals, or microseconds, in 64 bits. [`NULL`] is NULL.
    Units(Cow<'a, [i64]>, Kind),
    /// Others.
    Values(Vec<Value>),
}

impl Evaluated<'_> {
    /// The value of a row.
    pub fn value(&self, row: usize) -> Value {
        match self {
            Self::Units(values, kind) => value_of(values[row], *kind),
            Self::Values(values) => values[row].clone(),
        }
    }

    /// The values as a column.
    pub fn into_column(self) -> Column {
        match self {
            Self::Units(units, kind) => column_of(units.into_owned(), kind),
            Self::Values(values) => Column::Values(values),
        }
    }

    /// Those of some rows as a column.
    pub fn column_at(&self, rows: &[u32]) -> Column {
        match self {
            Self::Units(units, kind) => {
                column_of(rows.iter().map(|&row| units[row as usize]).collect(), *kind)
            }
            Self::Values(values) => {
                Column::Values(rows.iter().map(|&row| values[row as usize].clone()).collect())
            }
        }
    }
}

/// The column of units.
fn column_of(units: Vec<i64>, kind: Kind) -> Column {
    if units.contains(&NULL) {
        return Column::Values(units.into_iter().map(|units| value_of(units, kind)).collect());
    }
    if kind == Kind::Timestamp { Column::Times(units) } else { Column::Numbers(units) }
}

/// The value of units.
pub(crate) fn value_of(units: i64, kind: Kind) -> Value {
    match kind {
        _ if units == NULL => Value::Null,
        Kind::Timestamp => Value::Time(units),
        _ => Value::Number(units.into()),
    }
}

/// Readings of a batch, or rows of other columns, by their indices.
pub(crate) struct Selected<'a> {
    all: Readings<'a>,
    pub places: Vec<u32>,
}

impl<'a> Selected<'a> {
    /// Those for which a condition is true.
    pub fn by(filter: Option<&Expression>, batch: &'a Batch) -> Self {
        let places = match filter {
            Some(filter) => filter.selected(batch, None),
            None => (0..batch.len() as u32).collect(),
        };
        Self { all: Readings::all(batch), places }
    }

    /// Of so many rows that are not readings those for which a condition is true. None if the expressions that follow, or
    /// the condition, cannot be evaluated a column at a time.
    pub fn of_columns(
        columns: &'a [Column],
        rows: usize,
        filter: Option<&Expression>,
        others: &[Expression],
    ) -> Option<Self> {
        let computed = others.iter().filter(|one| one.place().is_none());
        if !filter.into_iter().chain(computed).all(|one| one.is_columnar(columns)) {
            return None;
        }
        let all = Readings::of_columns(columns, rows);
        let holds = filter.map(|filter| filter.values(&all));
        let holds = holds.as_ref().map(Values::truths);
        let passes = |row: &u32| holds.is_none_or(|holds| holds.get(*row as usize) == TRUE);
        Some(Self { all, places: (0..rows as u32).filter(passes).collect() })
    }

    fn readings(&self) -> Readings<'_> {
        match self.places.len() == self.all.rows {
            true => self.all,
            false => self.all.among(&self.places),
        }
    }

    /// The values of an expression.
    pub fn values<'b>(&'b self, of: &'b Expression) -> Evaluated<'b> {
        let rows = self.places.len();
        let all = |value: &dyn Fn(usize) -> Value| Evaluated::Values((0..rows).map(value).collect());
        match of.values(&self.readings()) {
            Values::Units(Vector::Borrowed(values)) => Evaluated::Units(Cow::Borrowed(values), of.kind),
            Values::Units(values) => Evaluated::Units(Cow::Owned(values.into_vec(rows)), of.kind),
            values @ Values::Wide(_) => {
                all(&|row| values.wide_at(row).map_or(Value::Null, |units| Value::Number(units.into())))
            }
            Values::Real(values) => all(&|row| Value::real(values.get(row))),
            Values::Text(texts) => {
                all(&|row| texts.get(row).map_or(Value::Null, |text| Value::Text(text.clone())))
            }
            Values::Truth(values) => all(&|row| match values.get(row) {
                UNKNOWN => Value::Null,
                truth => Value::Truth(truth == TRUE),
            }),
        }
    }

    /// Their rows of some columns, each with its index.
    pub fn rows(&self, columns: &[Expression]) -> Vec<(u32, Row)> {
        let columns: Vec<Evaluated<'_>> = columns.iter().map(|column| self.values(column)).collect();
        let row =
            |(row, &place): (usize, &u32)| (place, columns.iter().map(|column| column.value(row)).collect());
        self.places.iter().enumerate().map(row).collect()
    }

    /// Their event times.
    pub fn event_times(&self) -> Cow<'_, [i64]> {
        let times = &self.all.batch.time;
        match self.places.len() == self.all.rows {
            true => Cow::Borrowed(times),
            false => self.places.iter().map(|&place| times[place as usize]).collect(),
        }
    }

    /// For which of them a condition is true.
    pub fn truths(&self, of: &Expression) -> Vec<bool> {
        let values = of.values(&self.readings());
        let truths = values.truths();
        (0..self.places.len()).map(|row| truths.get(row) == TRUE).collect()
    }
}

impl Expression {
    /// Whether it is the name of the entity itself.
    pub fn is_entity(&self) -> bool {
        matches!(self.node, Node::Field(Place::Entity, _))
    }

    /// Whether every reading has a value of it.
    pub(crate) fn is_always_there(&self) -> bool {
        matches!(self.node, Node::Field(Place::Entity | Place::Time, _))
    }
}
