//! The records whose engine speed is strictly above a threshold.

use std::sync::Arc;

use super::view::{View, of_readings, render_stateless};
use super::wanted::{DISTANCE_COVERED, ENGINE_SPEED, Missing, Wanted};
use crate::batch::{Batch, NANO_SCALE};
use crate::expression::Comparison;
use crate::expression::select::select_units;
use crate::rows::{Changes, Column, ColumnSpec, Rows, Type, column};

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("truck_id", Type::Text),
];

const NAME: &str = "above_speed";

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    wanted.truck_and_time();
    let measures = [wanted.number(DISTANCE_COVERED), wanted.number(ENGINE_SPEED)];
    let threshold = wanted.settings.above_speed;
    let view = of_readings(wanted.settings, NAME, "TRUCK_ABOVE_SPEED", COLUMNS, move |inputs| {
        render_stateless(inputs, "AboveSpeed", move |batch| rows(&batch, measures, threshold))
    });
    wanted.found(NAME, view)
}

fn rows(batch: &Batch, [distance, speed]: [usize; 2], threshold: i64) -> Rows {
    let kept = select_units(&batch.units[speed], Comparison::Greater, threshold, None);
    let gather = |column: &[i64]| Arc::new(kept.iter().map(|&i| column[i as usize]).collect::<Vec<_>>());
    let decimal = |m: usize| Column::Decimal { scale: NANO_SCALE, values: gather(&batch.units[m]) };
    let columns = vec![
        Column::Timestamp(gather(&batch.time)),
        decimal(distance),
        decimal(speed),
        Column::Name {
            names: batch.entities.clone(),
            index: Arc::new(kept.iter().map(|&i| batch.entity[i as usize]).collect()),
        },
    ];
    Rows { columns, changes: Changes::of(batch, &kept, b"") }
}
