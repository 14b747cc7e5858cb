//! Every record, with the scaled engine speed and the ratio of distance to engine speed, each
//! computed exactly and rounded once.

use std::sync::Arc;

use super::{View, render_stateless};
use crate::batch::{Batch, Measure, NANO_SCALE};
use crate::real::{Factor, product, ratio};
use crate::rows::{Column, Rows, Type, column};

pub(super) const VIEW: View = View {
    name: "transformed",
    table: "SPARK_TABLE_TRANSFORMED",
    columns: &[
        column("timestamp", Type::Timestamp),
        column("distance_covered", Type::Decimal),
        column("engine_speed", Type::Decimal),
        column("fuel_consumed", Type::Decimal),
        column("engine_speed_scaled", Type::Real),
        column("distance_engine_ratio", Type::Real),
        column("truck_id", Type::Text),
    ],
    render: |inputs| {
        let factor = inputs.settings.speed_factor;
        render_stateless(inputs.records.clone(), "Transformed", move |batch| rows(batch, factor))
    },
};

fn rows(batch: Batch, factor: Factor) -> Rows {
    let distance = batch.measure(Measure::DistanceCovered);
    let speed = batch.measure(Measure::EngineSpeed);
    let scaled = speed.iter().map(|&speed| product(speed, factor)).collect();
    // NaN is NULL: the ratio at speed 0.
    let ratios = distance
        .iter()
        .zip(speed.iter())
        .map(|(&distance, &speed)| ratio(distance.into(), speed.into()).unwrap_or(f64::NAN))
        .collect();
    let measure = |m| Column::Decimal { scale: NANO_SCALE, values: batch.measure(m).clone() };
    Rows {
        columns: vec![
            Column::Timestamp(batch.time.clone()),
            measure(Measure::DistanceCovered),
            measure(Measure::EngineSpeed),
            measure(Measure::FuelConsumed),
            Column::Real(Arc::new(scaled)),
            Column::Real(Arc::new(ratios)),
            Column::Truck { names: batch.trucks.clone(), index: batch.truck.clone() },
        ],
    }
}
