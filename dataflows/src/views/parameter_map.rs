//! Every record, unchanged. The columns are shared with the batch, not copied.

use super::settings::Settings;
use super::view::{View, of_readings, places, render_stateless};
use crate::batch::{Batch, Measure, NANO_SCALE};
use crate::rows::{Changes, Column, ColumnSpec, Rows, Type, column};

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("fuel_consumed", Type::Decimal),
    column("truck_id", Type::Text),
];

pub(super) fn view(settings: &Settings) -> View {
    of_readings(settings, "parameter_map", "TRUCK_PARAMETER_MAP", COLUMNS, |inputs| {
        render_stateless(inputs, "ParameterMap", |batch| {
            let mut columns = reading(&batch);
            columns.push(truck(&batch));
            Rows { columns, changes: Changes::of(&batch, &places(&batch), b"") }
        })
    })
}

/// The timestamp and the measures.
pub(super) fn reading(batch: &Batch) -> Vec<Column> {
    let measure = |m| Column::Decimal { scale: NANO_SCALE, values: batch.measure(m).clone() };
    let mut columns = vec![Column::Timestamp(batch.time.clone())];
    columns.extend(Measure::ALL.map(measure));
    columns
}

/// The trucks' names.
pub(super) fn truck(batch: &Batch) -> Column {
    Column::Name { names: batch.trucks.clone(), index: batch.truck.clone() }
}
