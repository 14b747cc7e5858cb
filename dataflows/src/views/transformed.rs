//! Every record, with the scaled engine speed and the ratio of distance to engine speed, each computed exactly and
//! rounded once.

use std::sync::Arc;

use super::parameter_map::{reading, truck};
use super::view::{View, of_readings, places, render_stateless};
use super::wanted::{Measures, Missing, Wanted};
use crate::batch::Batch;
use crate::real::{Factor, product, ratio};
use crate::rows::{Changes, Column, ColumnSpec, NULL, Rows, Type, column};

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

const NAME: &str = "transformed";

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    let (measures, factor) = (wanted.measures(), wanted.settings.speed_factor);
    let view = of_readings(wanted.settings, NAME, "SPARK_TABLE_TRANSFORMED", COLUMNS, move |inputs| {
        render_stateless(inputs, "Transformed", move |batch| rows(&batch, measures, factor))
    });
    wanted.found(NAME, view)
}

fn rows(batch: &Batch, measures: Measures, factor: Factor) -> Rows {
    let mut columns = reading(batch, measures);
    columns.push(Column::Real(Arc::new(scaled(batch, measures, factor).collect())));
    columns.push(Column::Real(Arc::new(ratios(batch, measures).collect())));
    columns.push(truck(batch));
    Rows { columns, changes: Changes::of(batch, &places(batch), b"") }
}

/// The engine speed of each record times `factor`.
pub(super) fn scaled(batch: &Batch, measures: Measures, factor: Factor) -> impl Iterator<Item = f64> {
    let scaled = move |&speed: &i64| if speed == NULL { f64::NAN } else { product(speed, factor) };
    batch.units[measures.speed].iter().map(scaled)
}

/// The distance of each record divided by its engine speed; NaN, which is NULL, at speed 0 or if either is NULL.
pub(super) fn ratios(batch: &Batch, measures: Measures) -> impl Iterator<Item = f64> {
    let (distance, speed) = (&batch.units[measures.distance], &batch.units[measures.speed]);
    let known = |d: i64, s: i64| if d == NULL || s == NULL { None } else { ratio(d.into(), s.into()) };
    distance.iter().zip(speed.iter()).map(move |(&d, &s)| known(d, s).unwrap_or(f64::NAN))
}
