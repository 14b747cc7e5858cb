//! Every record, with the scaled engine speed and the ratio of distance to engine speed, each computed exactly and
//! rounded once.

use std::sync::Arc;

use super::parameter_map::{reading, truck};
use super::settings::Settings;
use super::view::{View, of_readings, places, render_stateless};
use crate::batch::{Batch, Measure};
use crate::real::{Factor, product, ratio};
use crate::rows::{Changes, Column, ColumnSpec, Rows, Type, column};

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("fuel_consumed", Type::Decimal),
    column(SCALED, Type::Real),
    column(RATIO, Type::Real),
    column("truck_id", Type::Text),
];

/// The column of the engine speed times the factor.
pub(super) const SCALED: &str = "engine_speed_scaled";
/// The column of distance divided by engine speed.
pub(super) const RATIO: &str = "distance_engine_ratio";

pub(super) fn view(settings: &Settings) -> View {
    let factor = settings.speed_factor;
    of_readings(settings, "transformed", "SPARK_TABLE_TRANSFORMED", COLUMNS, move |inputs| {
        render_stateless(inputs, "Transformed", move |batch| rows(&batch, factor))
    })
}

fn rows(batch: &Batch, factor: Factor) -> Rows {
    let mut columns = reading(batch);
    columns.push(Column::Real(Arc::new(scaled(batch, factor).collect())));
    columns.push(Column::Real(Arc::new(ratios(batch).collect())));
    columns.push(truck(batch));
    Rows { columns, changes: Changes::of(batch, &places(batch), b"") }
}

/// The engine speed of each record times `factor`.
pub(super) fn scaled(batch: &Batch, factor: Factor) -> impl Iterator<Item = f64> {
    batch.measure(Measure::EngineSpeed).iter().map(move |&speed| product(speed, factor))
}

/// The distance of each record divided by its engine speed; NaN, which is NULL, at speed 0.
pub(super) fn ratios(batch: &Batch) -> impl Iterator<Item = f64> {
    let distance = batch.measure(Measure::DistanceCovered);
    let speed = batch.measure(Measure::EngineSpeed);
    distance.iter().zip(speed.iter()).map(|(&d, &s)| ratio(d.into(), s.into()).unwrap_or(f64::NAN))
}
