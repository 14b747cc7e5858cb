//! The values of an expression as a column of a table.

use std::sync::Arc;

use super::evaluate::Readings;
use super::tree::{Expression, Node};
use super::types::{Field, Kind};
use super::values::{TRUE, UNKNOWN, Values};
use crate::batch::{ExtraColumn, NANO_SCALE};
use crate::real::decimal;
use crate::rows::{Column, NULL};

impl Expression {
    /// The values as a column of type [`column_type`](Self::column_type).
    pub(super) fn column(&self, readings: &Readings<'_>) -> Column {
        if let Node::Field(field) = &self.node
            && let Some(column) = field_column(*field, readings)
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
            values @ (Values::Units(_) | Values::Wide(_)) => {
                Column::Real(Arc::new(values.map_units(real).into_vec(rows)))
            }
            Values::Real(values) => {
                // + 0.0: no negative zero
                Column::Real(Arc::new(values.map(|x| x + 0.0).into_vec(rows)))
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

/// The column of a field: shared if all readings are selected.
fn field_column(field: Field, readings: &Readings<'_>) -> Option<Column> {
    let batch = readings.batch;
    let column = match (field, readings.units(field)) {
        (Field::Timestamp, _) => Column::Timestamp(batch.time.clone()),
        (Field::Truck, _) => Column::Name { names: batch.trucks.clone(), index: batch.truck.clone() },
        (Field::Measure(_) | Field::Extra(..), Some(values)) => {
            Column::Decimal { scale: NANO_SCALE, values: values.clone() }
        }
        (Field::Extra(place, _), None) => match batch.extras.get(place)? {
            ExtraColumn::Text(values) => Column::Text(values.clone()),
            ExtraColumn::Number(_) => return None,
        },
        (Field::Measure(_), None) => return None,
    };
    Some(match readings.places {
        None => column,
        Some(places) => column.gather(places),
    })
}
