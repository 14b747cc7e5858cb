//! Every record, as it came. The columns are the batch's own: nothing is copied.

use super::{View, render_stateless};
use crate::batch::{Batch, Measure, NANO_SCALE};
use crate::rows::{Column, Rows, Type, column};

pub(super) const VIEW: View = View {
    name: "parameter_map",
    table: "TRUCK_PARAMETER_MAP",
    columns: &[
        column("timestamp", Type::Timestamp),
        column("distance_covered", Type::Decimal),
        column("engine_speed", Type::Decimal),
        column("fuel_consumed", Type::Decimal),
        column("truck_id", Type::Text),
    ],
    render: |inputs| render_stateless(inputs.records.clone(), "ParameterMap", rows),
};

fn rows(batch: Batch) -> Rows {
    let measure = |m| Column::Decimal { scale: NANO_SCALE, values: batch.measure(m).clone() };
    Rows {
        columns: vec![
            Column::Timestamp(batch.time.clone()),
            measure(Measure::DistanceCovered),
            measure(Measure::EngineSpeed),
            measure(Measure::FuelConsumed),
            Column::Truck { names: batch.trucks.clone(), index: batch.truck.clone() },
        ],
    }
}
