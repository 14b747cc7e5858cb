//! The correlation of distance covered with time, per truck.

use super::correlation::{Axis, Correlation};
use super::view::View;
use super::wanted::{DISTANCE_COVERED, Missing, Wanted};

const NAME: &str = "distance_correlation";

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    wanted.truck_and_time();
    let (x, y) = (Axis::Time, Axis::Number(wanted.number(DISTANCE_COVERED)));
    let view = Correlation { name: NAME.into(), table: "TRUCK_DISTANCE_CORRELATION".into(), x, y }
        .view(wanted.settings);
    wanted.found(NAME, view)
}
