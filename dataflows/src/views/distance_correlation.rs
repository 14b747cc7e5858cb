//! The correlation of distance covered with time, per truck.

use super::{View, correlation};
use crate::batch::Measure;
use crate::rows::{Type, column};

pub(super) const VIEW: View = View {
    name: "distance_correlation",
    table: "TRUCK_DISTANCE_CORRELATION",
    columns: &[
        column("distance_covered", Type::Decimal),
        column("time_elapsed", Type::Decimal),
        column("correlation", Type::Real),
        column("truck_id", Type::Text),
        column("samples", Type::Integer),
        column("timestamp", Type::Timestamp),
    ],
    render: |inputs| correlation::render(inputs, VIEW.name, Measure::DistanceCovered),
};
