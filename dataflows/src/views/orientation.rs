//! Every orientation reading of the phone, unchanged. These are not readings of trucks: they are never corrected, and
//! other views do not see them.

use super::view::{View, append_only, render_each};
use crate::orientation::Orientation;
use crate::rows::{Column, ColumnSpec, Rows, Type, column};

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

pub(super) fn view() -> View {
    append_only(NAME, "INGESTED_TABLE_1", COLUMNS, |inputs| {
        render_each(inputs.orientation(), inputs.start, "OrientationRows", rows)
    })
}

fn rows(readings: Orientation) -> Rows {
    let time = Column::Integer(readings.time);
    let columns: Vec<Column> =
        std::iter::once(time).chain(readings.values.into_iter().map(Column::Real)).collect();
    columns.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::orientation::{FIELDS, OrientationBuilder};

    #[test]
    fn the_columns_are_time_and_the_fields() {
        let names: Vec<_> = COLUMNS.iter().map(|column| &*column.name).collect();
        assert_eq!(names[0], "time");
        assert_eq!(names[1..], FIELDS);
        let mut readings = OrientationBuilder::default();
        readings.push(1_681_088_547_123_456_789, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
        let rows = rows(readings.take());
        let types: Vec<_> = rows.columns.iter().map(Column::column_type).collect();
        assert_eq!(types, COLUMNS.iter().map(|column| column.column_type).collect::<Vec<_>>());
        assert_eq!(rows.columns[0], Column::Integer(Arc::new(vec![1_681_088_547_123_456_789])));
        assert_eq!(rows.columns[8], Column::Real(Arc::new(vec![0.8])));
    }
}
