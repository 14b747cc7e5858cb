//! The records whose engine speed is strictly above a threshold.

use std::sync::Arc;

use super::settings::Settings;
use super::view::{View, of_readings, render_stateless};
use crate::batch::{Batch, Measure, NANO_SCALE};
use crate::expression::Comparison;
use crate::expression::select::select_units;
use crate::rows::{Changes, Column, ColumnSpec, Rows, Type, column};

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("truck_id", Type::Text),
];

pub(super) fn view(settings: &Settings) -> View {
    let threshold = settings.above_speed;
    of_readings(settings, "above_speed", "TRUCK_ABOVE_SPEED", COLUMNS, move |inputs| {
        render_stateless(inputs, "AboveSpeed", move |batch| rows(&batch, threshold))
    })
}

fn rows(batch: &Batch, threshold: i64) -> Rows {
    let kept = select_units(batch.measure(Measure::EngineSpeed), Comparison::Greater, threshold, None);
    let gather = |column: &[i64]| Arc::new(kept.iter().map(|&i| column[i as usize]).collect::<Vec<_>>());
    let decimal = |m| Column::Decimal { scale: NANO_SCALE, values: gather(batch.measure(m)) };
    let columns = vec![
        Column::Timestamp(gather(&batch.time)),
        decimal(Measure::DistanceCovered),
        decimal(Measure::EngineSpeed),
        Column::Name {
            names: batch.trucks.clone(),
            index: Arc::new(kept.iter().map(|&i| batch.truck[i as usize]).collect()),
        },
    ];
    Rows { columns, changes: Changes::of(batch, &kept, b"") }
}
