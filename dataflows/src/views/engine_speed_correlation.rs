//! The correlation of engine speed with time, per truck.

use super::correlation::{Axis, Correlation};
use super::view::View;
use super::wanted::{ENGINE_SPEED, Missing, Wanted};

const NAME: &str = "engine_speed_correlation";

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    wanted.truck_and_time();
    let (x, y) = (Axis::Time, Axis::Number(wanted.number(ENGINE_SPEED)));
    let view = Correlation { name: NAME.into(), table: "TRUCK_ENGINE_SPEED_CORRELATION".into(), x, y }
        .view(wanted.settings);
    wanted.found(NAME, view)
}
