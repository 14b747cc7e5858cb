//! The values of an expression as a column of a table.

use std::sync::Arc;

use super::evaluate::Readings;
use super::tree::{Expression, Node};
use super::types::Kind;
use super::values::{TRUE, Texts, UNKNOWN, Values};
use crate::batch::NANO_SCALE;
use crate::real::decimal;
use crate::rows::{Column, NULL, Type};
use crate::schema::{FieldType, Place};
use crate::wide::Wide;

impl Expression {
    /// The values as a column of type [`column_type`](Self::column_type).
    pub(super) fn column(&self, readings: &Readings<'_>) -> Column {
        if let Node::Field(place, field_type) = self.node
            && let Some(column) = field_column(place, field_type, readings)
        {
            return column;
        }
        let rows = readings.rows;
        let scale = match self.kind {
            Kind::Number(decimal) => decimal.scale,
            _ => 0,
        };
        let real = |units: Option<i128>| units.map_or(f64::NAN, |units| decimal(units, scale));
        match self.values(readings) {
            Values::Units(values) if self.kind == Kind::Timestamp => {
                Column::Timestamp(Arc::new(values.into_vec(rows)))
            }
            values @ (Values::Units(_) | Values::Wide(_)) if self.column_type() == Type::Real => {
                Column::Real(Arc::new(values.map_units(real).into_vec(rows)))
            }
            values @ (Values::Units(_) | Values::Wide(_)) => {
                let wide = |units: Option<i128>| units.map(Wide::from);
                Column::Wide { scale, values: Arc::new(optional(&values, wide, rows)) }
            }
            Values::Real(values) => {
                // + 0.0: no negative zero
                Column::Real(Arc::new(values.map(|x| x + 0.0).into_vec(rows)))
            }
            Values::Text(Texts::Constant(Some(text))) => {
                Column::Name { names: Arc::new(vec![text]), index: Arc::new(vec![0; rows]) }
            }
            Values::Text(texts) => {
                Column::Text(Arc::new((0..rows).map(|row| texts.get(row).cloned()).collect()))
            }
            Values::Truth(_) if self.kind == Kind::Null => Column::Real(Arc::new(vec![f64::NAN; rows])),
            Values::Truth(values) => {
                let integer = |x| if x == UNKNOWN { NULL } else { i64::from(x == TRUE) };
                Column::Integer(Arc::new(values.map(integer).into_vec(rows)))
            }
        }
    }
}

/// Each decimal, mapped.
fn optional<R>(values: &Values<'_>, of: impl Fn(Option<i128>) -> Option<R>, rows: usize) -> Vec<Option<R>> {
    (0..rows).map(|row| of(values.wide_at(row))).collect()
}

/// The column of a field: shared if all readings are selected.
fn field_column(place: Place, field_type: FieldType, readings: &Readings<'_>) -> Option<Column> {
    let batch = readings.batch;
    let column = match place {
        Place::Time => Column::Timestamp(batch.time.clone()),
        Place::Entity => Column::Name { names: batch.entities.shared().clone(), index: batch.entity.clone() },
        Place::Texts(column) => Column::Text(batch.texts.get(column)?.clone()),
        Place::Units(column) => {
            let values = batch.units.get(column)?.clone();
            match field_type {
                FieldType::Number => Column::Decimal { scale: NANO_SCALE, values },
                FieldType::Timestamp => Column::Timestamp(values),
                FieldType::Integer | FieldType::Boolean | FieldType::Text => Column::Integer(values),
            }
        }
    };
    Some(match readings.places {
        None => column,
        Some(places) => column.gather(places),
    })
}
