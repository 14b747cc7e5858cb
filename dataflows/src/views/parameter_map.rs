//! Every record, unchanged. The columns are shared with the batch, not copied.

use super::view::{View, of_readings, places, render_stateless};
use super::wanted::{Measures, Missing, Wanted};
use crate::batch::{Batch, NANO_SCALE};
use crate::rows::{Changes, Column, ColumnSpec, Rows, Type, column};

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("fuel_consumed", Type::Decimal),
    column("truck_id", Type::Text),
];

const NAME: &str = "parameter_map";

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    let measures = wanted.measures();
    let view = of_readings(wanted.settings, NAME, "TRUCK_PARAMETER_MAP", COLUMNS, move |inputs| {
        render_stateless(inputs, "ParameterMap", move |batch| {
            let mut columns = reading(&batch, measures);
            columns.push(truck(&batch));
            Rows { columns, changes: Changes::of(&batch, &places(&batch), b"") }
        })
    });
    wanted.found(NAME, view)
}

/// The timestamp and the measures.
pub(super) fn reading(batch: &Batch, Measures { distance, speed, fuel }: Measures) -> Vec<Column> {
    let measure = |m: usize| Column::Decimal { scale: NANO_SCALE, values: batch.units[m].clone() };
    let mut columns = vec![Column::Timestamp(batch.time.clone())];
    columns.extend([distance, speed, fuel].map(measure));
    columns
}

/// The trucks' names.
pub(super) fn truck(batch: &Batch) -> Column {
    Column::Name { names: batch.entities.clone(), index: batch.entity.clone() }
}
