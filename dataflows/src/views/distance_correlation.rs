//! The correlation of distance covered with time, per truck.

use super::correlation::{Axis, Correlation};
use super::settings::Settings;
use super::view::View;
use crate::batch::Measure;

pub(super) fn view(settings: &Settings) -> View {
    let (x, y) = (Axis::Time, Axis::Measure(Measure::DistanceCovered));
    Correlation { name: "distance_correlation".into(), table: "TRUCK_DISTANCE_CORRELATION".into(), x, y }
        .view(settings)
}
