//! The correlation of engine speed with time, per truck.

use super::correlation::{Axis, Correlation};
use super::settings::Settings;
use super::view::View;
use crate::batch::Measure;

pub(super) fn view(settings: &Settings) -> View {
    let (x, y) = (Axis::Time, Axis::Measure(Measure::EngineSpeed));
    Correlation {
        name: "engine_speed_correlation".into(),
        table: "TRUCK_ENGINE_SPEED_CORRELATION".into(),
        x,
        y,
    }
    .view(settings)
}
