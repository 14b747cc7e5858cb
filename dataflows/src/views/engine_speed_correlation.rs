//! The correlation of engine speed with time, per truck.

use super::{View, correlation};
use crate::batch::Measure;
use crate::rows::{Type, column};

pub(super) const VIEW: View = View {
    name: "engine_speed_correlation",
    table: "TRUCK_ENGINE_SPEED_CORRELATION",
    columns: &[
        column("engine_speed", Type::Decimal),
        column("time_elapsed", Type::Decimal),
        column("correlation", Type::Real),
        column("truck_id", Type::Text),
        column("samples", Type::Integer),
        column("timestamp", Type::Timestamp),
    ],
    render: |inputs| correlation::render(inputs, VIEW.name, Measure::EngineSpeed),
};
