//! Every orientation reading of a phone, unchanged.

use std::sync::Arc;

use super::view::{View, of_readings, places, render_stateless};
use super::wanted::{Missing, Wanted};
use crate::batch::{Batch, NANO_SCALE};
use crate::real::decimal;
use crate::rows::{Changes, Column, ColumnSpec, NULL, Rows, Type, column};

/// The view's name.
pub const NAME: &str = "orientation";

const COLUMNS: &[ColumnSpec] = &[
    column("time", Type::Integer),
    column("seconds_elapsed", Type::Real),
    column("qz", Type::Real),
    column("qy", Type::Real),
    column("qx", Type::Real),
    column("qw", Type::Real),
    column("roll", Type::Real),
    column("pitch", Type::Real),
    column("yaw", Type::Real),
];

/// The numbers: seconds, a unit quaternion, angles in radians.
const NUMBERS: [&str; 8] = ["seconds_elapsed", "qz", "qy", "qx", "qw", "roll", "pitch", "yaw"];

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    let time = wanted.integer("time");
    let numbers = NUMBERS.map(|name| wanted.number(name));
    let view = of_readings(wanted.settings, NAME, "INGESTED_TABLE_1", COLUMNS, move |inputs| {
        render_stateless(inputs, "OrientationRows", move |batch| rows(&batch, time, numbers))
    });
    wanted.found(NAME, view)
}

fn rows(batch: &Batch, time: usize, numbers: [usize; 8]) -> Rows {
    let real = |&units: &i64| if units == NULL { f64::NAN } else { decimal(units.into(), NANO_SCALE) };
    let mut columns = vec![Column::Integer(batch.units[time].clone())];
    columns
        .extend(numbers.map(|number| Column::Real(Arc::new(batch.units[number].iter().map(real).collect()))));
    Rows { columns, changes: Changes::of(batch, &places(batch), b"") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, NANO};
    use crate::schema::Schema;

    #[test]
    fn the_rows_have_the_columns() {
        let schema = Schema::orientation();
        let mut builder = BatchBuilder::new(&schema);
        builder.push(
            "",
            1_681_088_547_123_457,
            &[1_681_088_547_123_456_789, NANO / 2, 1, 2, 3, 4, 5, 6, NULL],
        );
        let number = |name| schema.number(name).unwrap();
        let rows = rows(&builder.take(), 0, NUMBERS.map(number));
        let types: Vec<_> = rows.columns.iter().map(Column::column_type).collect();
        assert_eq!(types, COLUMNS.iter().map(|column| column.column_type).collect::<Vec<_>>());
        assert_eq!(rows.columns[0], Column::Integer(Arc::new(vec![1_681_088_547_123_456_789])));
        assert_eq!(rows.columns[1], Column::Real(Arc::new(vec![0.5])));
        let Column::Real(yaw) = &rows.columns[8] else { panic!("a number") };
        assert!(yaw[0].is_nan());
    }
}
