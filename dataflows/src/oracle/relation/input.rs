//! The rows that an operator reads.

use super::cell::Cell;
use crate::batch::Record;
use crate::expression::Expression;
use crate::expression::by_row::Operands;
use crate::oracle::value::Datum;

/// A row that expressions are evaluated for.
pub(super) enum Input<'a> {
    /// A reading, which counts in windows that end after a time.
    Reading(&'a Record, i64),
    /// A row of a relation, with its values as they are in expressions.
    Row(Vec<Cell>, Vec<Datum>),
}

impl Input<'_> {
    pub fn of(cells: Vec<Cell>) -> Self {
        let values = cells.iter().map(Cell::datum).collect();
        Self::Row(cells, values)
    }

    pub fn value(&self, expression: &Expression) -> Datum {
        let value = expression.value_of(match self {
            Self::Reading(record, _) => Operands::Reading(record),
            Self::Row(_, values) => Operands::Row(values),
        });
        match value {
            Datum::Real(real) => Datum::Real(real + 0.0), // there is one zero
            other => other,
        }
    }

    /// The value as a result. A root that is a column stays one.
    pub fn cell(&self, expression: &Expression) -> Cell {
        match (self, expression.place()) {
            (Self::Row(cells, _), Some(place)) => cells[place].clone(),
            _ => Cell::Datum(self.value(expression)),
        }
    }

    pub fn satisfies(&self, filter: Option<&Expression>) -> bool {
        filter.is_none_or(|filter| self.value(filter).truth() == Some(true))
    }

    /// Whether it counts in a window that ends then.
    pub fn is_in(&self, end: i128) -> bool {
        !matches!(self, Self::Reading(_, after) if end <= i128::from(*after))
    }

    pub fn time(&self, expression: &Expression) -> Option<i64> {
        match self.value(expression) {
            Datum::Time(time) => Some(time),
            _ => None,
        }
    }
}
